//! Part of `portcullis check`: whether a server has as many connections as the pools may ask it for.

use std::collections::HashSet;

use tokio_postgres::{Client, Error};

use crate::base::{LoginName, ServerName};
use crate::pool::Settings;
use crate::tenant::{self, TENANT_MARK};

/// How many connections a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seats {
    /// `max_connections`.
    max: i32,
    /// Those that ordinary roles do not get: `superuser_reserved_connections`, and from PostgreSQL 16 on
    /// `reserved_connections` (PostgreSQL manual, 20.3.1).
    reserved: i32,
}

impl Seats {
    /// Asks the server. Not cancel safe, and harmless to drop.
    pub(super) async fn of(client: &Client) -> Result<Self, Error> {
        let row = client
            .query_one(
                "SELECT pg_catalog.current_setting('max_connections')::int4, \
                        pg_catalog.current_setting('superuser_reserved_connections')::int4 \
                        + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int4",
                &[],
            )
            .await?;
        Ok(Self {
            max: row.try_get(0)?,
            reserved: row.try_get(1)?,
        })
    }

    fn free(self) -> usize {
        usize::try_from(self.max.saturating_sub(self.reserved)).unwrap_or(0)
    }
}

/// Whether the connections that may be asked of a server fit it, in words; `Err` is a warning.
pub(super) fn fits(
    pools: &Settings,
    tenants: &tenant::Settings,
    name: &ServerName,
    seats: Seats,
) -> Result<String, String> {
    let free = seats.free();
    let has = format!(
        "the {free} that the server has for ordinary roles (max_connections {} less {} reserved)",
        seats.max, seats.reserved
    );
    let remedy = format!("set max_connections to at most {free}, divided by the number of proxies");
    let endpoint = pools.servers.get(name).map(|server| &server.endpoint);
    // The same server under several names has to bear what is asked under all of them.
    let same = pools
        .servers
        .iter()
        .filter(|(_, other)| Some(&other.endpoint) == endpoint);
    let most: Option<Vec<usize>> = same
        .map(|(name, server)| {
            server
                .budget
                .max_connections
                .or_else(|| pools_at_most(pools, tenants, name))
        })
        .collect();
    let Some(most) = most else {
        return Err(format!(
            "server {name}: without max_connections, as many tenants as a pattern has may each open a pool, \
             and together more than {has}; {remedy}"
        ));
    };
    let names = match most.len() {
        0 | 1 => String::new(),
        names => format!(" under {names} names"),
    };
    let most: usize = most.iter().sum();
    if most > free {
        return Err(format!(
            "server {name}: up to {most} connections{names} are more than {has}, and logins beyond it fail; {remedy}"
        ));
    }
    Ok(format!(
        "server {name}: up to {most} connections{names} are within {has}"
    ))
}

/// The most connections that the pools of a server without a budget may open, a pool for each database and login;
/// `None` if nobody can tell how many databases there are.
fn pools_at_most(pools: &Settings, tenants: &tenant::Settings, server: &ServerName) -> Option<usize> {
    let patterns = tenants.patterns.iter().map(|pattern| &pattern.template);
    let placements = tenants.tenants.values().chain(patterns);
    let placed = placements.map(|place| (&place.server, &place.database));
    let shared = tenants
        .databases
        .values()
        .map(|shared| (&shared.server, &shared.database));
    let here = placed.chain(shared).filter(|(on, _)| *on == server);
    let databases: HashSet<&str> = here.map(|(_, database)| database.as_str()).collect();
    let own_logins = tenants.roles.values().any(|role| role.user.names_tenant());
    let is_fleet = tenants
        .patterns
        .iter()
        .any(|pattern| pattern.template.server == *server);
    if databases.iter().any(|database| database.contains(TENANT_MARK)) || (own_logins && is_fleet) {
        return None;
    }
    let listed = tenants.tenants.values().filter(|place| place.server == *server);
    let listed = listed.count();
    let logins: HashSet<&LoginName> = tenants.roles.values().map(|role| &role.login).collect();
    let logins = logins.into_iter().filter_map(|login| pools.logins.get(login));
    let most = logins.map(|login| {
        let times = match login.user.contains(TENANT_MARK) {
            true => listed,
            false => databases.len(),
        };
        times * pools.max_size(login)
    });
    Some(most.sum())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::net::Endpoint;
    use crate::pool::{Access, Budget, LoginSettings, ServerSettings, Share};
    use crate::server::Password;
    use crate::tenant::{OwnName, Pattern, Placement, RoleSettings, RunsAs, Separation, TenantChoice};

    type Budgets<'a> = &'a [(&'a str, u16, Option<usize>)];

    fn servers(budgets: Budgets<'_>) -> Settings {
        let server = |port, max_connections| ServerSettings {
            endpoint: Endpoint::Tcp {
                host: "db".into(),
                port,
            },
            tls: None,
            budget: Budget {
                max_connections,
                ..Budget::default()
            },
        };
        let login = |size| LoginSettings {
            user: "u".into(),
            password: Password::Absent,
            default_pool_size: size,
            min_pool_size: None,
            access: Access::EndUser,
        };
        let servers = budgets.iter();
        Settings {
            servers: servers
                .map(|(name, port, max)| ((*name).into(), server(*port, *max)))
                .collect(),
            logins: HashMap::from([("app".into(), login(None)), ("service".into(), login(Some(5)))]),
            plans: HashMap::new(),
            default_share: Share::default(),
            default_pool_size: 20,
            min_pool_size: 0,
            query_wait_timeout: Duration::ZERO,
            server_lifetime: Duration::ZERO,
            server_idle_timeout: Duration::ZERO,
            server_connect_timeout: Duration::ZERO,
            server_login_retry: Duration::ZERO,
            server_prepared_statements: 1,
        }
    }

    fn place(database: &str) -> Placement {
        Placement {
            server: "main".into(),
            database: database.into(),
            separation: Separation::Shared,
            pool_mode: None,
            role: None,
        }
    }

    /// Tenants in these databases of `main`; two roles for end users, one for the service.
    fn tenants(databases: &[&str]) -> tenant::Settings {
        let role = |login: &str| RoleSettings {
            login: login.into(),
            user: OwnName::new(login),
            runs_as: RunsAs::TenantsRole,
            choice: TenantChoice::FromToken,
            pool_mode: None,
        };
        let placed = databases.iter().enumerate();
        tenant::Settings {
            tenants: placed
                .map(|(number, database)| (format!("t{number}").into(), place(database)))
                .collect(),
            roles: HashMap::from([
                ("user".into(), role("app")),
                ("editor".into(), role("app")),
                ("service".into(), role("service")),
            ]),
            ..tenant::Settings::default()
        }
    }

    fn verdict(budgets: Budgets<'_>, tenants: &tenant::Settings) -> Result<String, String> {
        let seats = Seats {
            max: 100,
            reserved: 5,
        };
        fits(&servers(budgets), tenants, &"main".into(), seats)
    }

    #[test]
    fn a_budget_is_compared_with_what_the_server_has() {
        let none = tenants(&[]);
        let good = verdict(&[("main", 5432, Some(95)), ("other", 5433, Some(400))], &none).unwrap();
        assert!(good.contains("up to 95 connections are within the 95"), "{good}");
        let bad = verdict(&[("main", 5432, Some(96))], &none).unwrap_err();
        assert!(bad.contains("96 connections are more than the 95"), "{bad}");
        assert!(bad.contains("(max_connections 100 less 5 reserved)"), "{bad}");
        assert!(bad.contains("max_connections to at most 95"), "{bad}");
    }

    #[test]
    fn one_server_under_two_names_bears_both() {
        let two = [("main", 5432, Some(60)), ("again", 5432, Some(60))];
        let bad = verdict(&two, &tenants(&[])).unwrap_err();
        assert!(
            bad.contains("120 connections under 2 names are more than"),
            "{bad}"
        );
    }

    #[test]
    fn without_a_budget_the_pools_are_counted() {
        let main = [("main", 5432, None)];
        // Tenants of one database share its pools: 20 for end users, 5 for the service.
        let good = verdict(&main, &tenants(&["a", "a", "b", "c"])).unwrap();
        assert!(good.contains("up to 75 connections"), "{good}");
        let bad = verdict(&main, &tenants(&["a", "b", "c", "d"])).unwrap_err();
        assert!(bad.contains("up to 100 connections"), "{bad}");
    }

    #[test]
    fn a_database_for_every_tenant_of_a_pattern_has_no_bound() {
        let pattern = Pattern {
            prefix: "p".into(),
            template: place("d_{tenant}"),
            plan: None,
        };
        let fleet = tenant::Settings {
            patterns: vec![pattern],
            ..tenants(&["a"])
        };
        let bad = verdict(&[("main", 5432, None)], &fleet).unwrap_err();
        assert!(bad.contains("without max_connections"), "{bad}");
        assert!(verdict(&[("main", 5432, Some(90))], &fleet).is_ok());
    }

    #[test]
    fn a_server_that_keeps_everything_has_nothing() {
        let seats = Seats { max: 3, reserved: 5 };
        assert!(
            fits(
                &servers(&[("main", 1, Some(1))]),
                &tenants(&[]),
                &"main".into(),
                seats
            )
            .is_err()
        );
    }
}
