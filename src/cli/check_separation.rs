//! Part of `portcullis check`: whether the server itself keeps apart the tenants of one database that have a schema
//! each. The guard reads what a client sends, not what a function of the application makes of it.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::check::{Findings, Spot, target};
use super::check_tls::Encryption;
use crate::base::{DatabaseName, RoleName, ServerName};
use crate::config::Config;
use crate::harden::{self, Finding, Kind, TenantRoles, Wanted, reason};
use crate::tenant::{
    Directory, Resident, ResidentRole, RunsAs, Separation, Settings, TENANT_MARK, TenantChoice,
};

/// The query that looks for tables of others.
const CROSSINGS: &str = include_str!("../../policies/sql/separation.sql");

/// Which logins of tenants may become roles that are not theirs: the login role is what an application's own function
/// can go back to. $1, $2: own logins and their tenants; $3, $4: own roles and their tenants.
const STRAYS: &str = "SELECT l.rolname::text, r.rolname::text \
    FROM unnest($1::text[], $2::text[]) AS a (login, tenant) JOIN pg_catalog.pg_roles l ON l.rolname = a.login, \
        unnest($3::text[], $4::text[]) AS b (role, tenant) JOIN pg_catalog.pg_roles r ON r.rolname = b.role \
    WHERE a.tenant <> b.tenant AND pg_catalog.pg_has_role(l.oid, r.oid, 'MEMBER') LIMIT 4";

/// Roles that are asked about one by one. All tenants of a pattern are set up alike; with more than this many some are
/// asked for the others.
const ASKED: usize = 64;

/// Memberships of one login that cost nothing that is noticed: beyond it the first transaction of a connection, and of
/// every connection after a GRANT, waits for tens of milliseconds and more (`bench/memberships.py`).
const MEMBERSHIPS: usize = 1_000;

/// Where tenants have a schema each: a database on a server.
type Place = (ServerName, DatabaseName);

/// Looks at every database in which tenants have a schema each, those of patterns by the schemas that are there.
///
/// Cancel safe: it changes nothing.
pub(super) async fn check(config: &Config, findings: &mut Findings) {
    let directory = Directory::new(config.tenants.clone());
    for (server, database) in places(&config.tenants) {
        let place = format!("database {server}/{database}");
        let Some(spot) = door(&config.tenants, &server, &database) else {
            findings.warning(&format!(
                "{place}: no login to look with whether tenants are kept apart"
            ));
            continue;
        };
        let Some(target) = target(&config.pool, &spot) else {
            continue;
        };
        match target.connect(Encryption::of(&config.pool, &server)).await {
            Ok((client, connection)) => {
                let driver = tokio::spawn(connection);
                let looked = Look {
                    client: &client,
                    config,
                    place: &place,
                };
                if let Err(error) = looked.at(&directory, &server, &database, findings).await {
                    findings.bad(&format!("{place}: {}", reason(&error)));
                }
                drop(client);
                driver.abort();
            }
            Err(error) => findings.bad(&format!("{place}: {spot}: {}", reason(&error))),
        }
    }
}

/// What is wanted of a database, with the tenants that live there and elsewhere.
///
/// # Errors
/// The server's. Cancel safe: it changes nothing.
pub(super) async fn with_tenants(
    client: &Client,
    config: &Config,
    spot: &Spot,
    wanted: &Wanted,
) -> Result<Wanted, tokio_postgres::Error> {
    if places(&config.tenants).is_empty() {
        return Ok(wanted.clone());
    }
    let directory = Directory::new(config.tenants.clone());
    let schemas = harden::schemas(client).await?;
    let residents = directory.residents(&spot.server, spot.database.as_str(), &schemas);
    let wanted = wanted.clone().with_residents(&residents);
    wanted.with_tenants_elsewhere(client, &directory).await
}

/// Databases in which tenants have a schema, a role or a login of their own.
fn places(tenants: &Settings) -> BTreeSet<Place> {
    let own_logins = tenants.roles.values().any(|role| role.user.names_tenant());
    let patterns = tenants.patterns.iter().map(|pattern| &pattern.template);
    tenants
        .tenants
        .values()
        .chain(patterns)
        .filter(|place| {
            let has_schema = matches!(place.separation, Separation::Schema { .. });
            has_schema || place.role.is_some() || own_logins
        })
        .filter(|place| !place.database.as_str().contains(TENANT_MARK))
        .map(|place| (place.server.clone(), place.database.clone()))
        .collect()
}

/// A login to look with: one that all tenants have, else a listed tenant's.
fn door(tenants: &Settings, server: &ServerName, database: &DatabaseName) -> Option<Spot> {
    let spot = |login: &crate::base::LoginName, tenant| Spot {
        server: server.clone(),
        database: database.clone(),
        login: login.clone(),
        tenant,
    };
    let shared = tenants.roles.values().filter(|role| !role.user.names_tenant());
    if let Some(login) = shared.map(|role| &role.login).min() {
        return Some(spot(login, None));
    }
    let login = tenants.roles.values().map(|role| &role.login).min()?;
    let mut listed = tenants.tenants.iter();
    let tenant = listed.find(|(_, place)| place.server == *server && place.database == *database)?;
    Some(spot(login, Some(tenant.0.clone())))
}

/// A session in one database, and what is asked there.
struct Look<'a> {
    client: &'a Client,
    config: &'a Config,
    place: &'a str,
}

impl Look<'_> {
    async fn at(
        &self,
        directory: &Directory,
        server: &ServerName,
        database: &DatabaseName,
        findings: &mut Findings,
    ) -> Result<(), tokio_postgres::Error> {
        let schemas = harden::schemas(self.client).await?;
        let residents = directory.residents(server, database.as_str(), &schemas);
        for resident in &residents {
            for (role, trap) in &resident.refused {
                findings.bad(&format!(
                    "{}: tenant {} cannot have a role or login of its own for {role}: {trap}",
                    self.place, resident.tenant
                ));
            }
        }
        self.own_roles(&residents, findings).await?;
        self.strays(&residents, findings).await?;
        self.crossings(&residents, findings).await
    }

    /// Whether tenants' own roles are there and can be had, by what `portcullis harden` would do.
    async fn own_roles(
        &self,
        residents: &[Resident],
        findings: &mut Findings,
    ) -> Result<(), tokio_postgres::Error> {
        let needed = TenantRoles::of(self.config, &Wanted::of(self.config), residents);
        if needed.is_empty() {
            return Ok(());
        }
        let found = needed.findings(self.client).await?;
        for group in found.chunk_by(|a, b| (a.kind, &a.rule) == (b.kind, &b.rule)) {
            let line = format!("{}: {}", self.place, super::check::in_one_line(group));
            let stops = |finding: &Finding| {
                let is_login = finding.rule == "tenant.login";
                finding.kind == Kind::Mend && finding.rule != "tenant.defaults" || is_login
            };
            match group.iter().any(stops) {
                true => findings.bad(&line),
                false => findings.warning(&line),
            }
        }
        let mut memberships: BTreeMap<&str, usize> = BTreeMap::new();
        for role in residents.iter().flat_map(|resident| &resident.roles) {
            *memberships.entry(&role.user).or_default() += usize::from(role.is_own());
        }
        for (login, number) in memberships
            .into_iter()
            .filter(|(_, number)| *number > MEMBERSHIPS)
        {
            findings.warning(&format!(
                "{}: login {login} is a member of {number} roles: beyond {MEMBERSHIPS} each new connection, and each one \
                 after a GRANT, is slow at first; give tenants logins of their own (user = \"…_{TENANT_MARK}\")",
                self.place
            ));
        }
        if !found.iter().any(|finding| finding.kind == Kind::Mend) {
            let tenants = residents
                .iter()
                .filter(|resident| resident.roles.iter().any(ResidentRole::is_own));
            findings.good(&format!(
                "{}: {} tenants have roles of their own",
                self.place,
                tenants.count()
            ));
        }
        Ok(())
    }

    /// Whether the own login of one tenant may become the role of another.
    async fn strays(
        &self,
        residents: &[Resident],
        findings: &mut Findings,
    ) -> Result<(), tokio_postgres::Error> {
        let mut logins: BTreeMap<&str, &str> = BTreeMap::new();
        let mut roles: BTreeMap<&str, &str> = BTreeMap::new();
        for resident in residents {
            for role in &resident.roles {
                if role.has_own_login {
                    logins.insert(&role.user, resident.tenant.as_str());
                }
                if role.is_own() {
                    roles.insert(role.role.as_str(), resident.tenant.as_str());
                }
            }
        }
        let (logins, whose): (Vec<&str>, Vec<&str>) =
            sample(logins.into_iter().collect()).into_iter().unzip();
        let (roles, theirs): (Vec<&str>, Vec<&str>) = roles.into_iter().unzip();
        if logins.is_empty() {
            return Ok(());
        }
        let rows = self
            .client
            .query(STRAYS, &[&logins, &whose, &roles, &theirs])
            .await?;
        for row in &rows {
            let (login, role): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            findings.bad(&format!(
                "{}: login {login} of one tenant may become {role} of another: REVOKE it",
                self.place
            ));
        }
        Ok(())
    }

    /// Whether the sessions of one tenant may use a table of another.
    async fn crossings(
        &self,
        residents: &[Resident],
        findings: &mut Findings,
    ) -> Result<(), tokio_postgres::Error> {
        let housed: Vec<&Resident> = residents
            .iter()
            .filter(|resident| resident.schema.is_some())
            .collect();
        if housed.is_empty() {
            return Ok(());
        }
        if housed.len() < 2 {
            findings.warning(&format!(
                "{}: fewer than two tenants have a schema yet: whether they are kept apart cannot be seen",
                self.place
            ));
            return Ok(());
        }
        let roles = self.entering(&housed);
        let (asked, of) = (sample(roles.clone()), roles.len());
        let number = asked.len();
        let (roles, own): (Vec<String>, Vec<Option<String>>) = asked.into_iter().unzip();
        let schemas: Vec<&str> = housed
            .iter()
            .filter_map(|resident| resident.schema.as_deref())
            .collect();
        let rows = self.client.query(CROSSINGS, &[&roles, &own, &schemas]).await?;
        if rows.is_empty() {
            findings.good(&format!(
                "{}: {} tenants' schemas are kept apart by the server (asked for {number} of {of} roles)",
                self.place,
                schemas.len()
            ));
        }
        for row in &rows {
            let (role, table): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            findings.bad(&format!(
                "{}: sessions of one tenant may use {table} of another, as {role}: nothing but the guard keeps them \
                 apart. Give the placement role = \"{{role}}_{TENANT_MARK}\" and run `portcullis harden`, or enable \
                 row security there",
                self.place
            ));
        }
        Ok(())
    }

    /// The roles that sessions of tenants run as, each with the schema that it is for; `None` for one of several
    /// tenants. Roles that may enter any tenant anyway are left out, as are trusted ones.
    fn entering(&self, housed: &[&Resident]) -> Vec<(String, Option<String>)> {
        let mut roles: BTreeMap<&RoleName, Option<&str>> = BTreeMap::new();
        for resident in housed {
            for role in &resident.roles {
                let settings = self.config.tenants.roles.get(&role.token_role);
                let is_held = settings.is_some_and(|role| role.choice == TenantChoice::FromToken);
                if role.runs_as == RunsAs::TenantsRole && is_held {
                    roles
                        .entry(&role.role)
                        .and_modify(|own| *own = None)
                        .or_insert(resident.schema.as_deref());
                }
            }
        }
        let owned =
            |(role, own): (&RoleName, Option<&str>)| (role.as_str().to_owned(), own.map(str::to_owned));
        roles.into_iter().map(owned).collect()
    }
}

/// At most [`ASKED`] of them, spread evenly.
fn sample<T>(all: Vec<T>) -> Vec<T> {
    let step = all.len().div_ceil(ASKED).max(1);
    all.into_iter().step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_bounded_and_spread() {
        assert_eq!(sample(vec![1, 2, 3]), [1, 2, 3]);
        let some = sample((0..10_000).collect());
        assert!(some.len() <= ASKED && some.len() > ASKED / 2);
        assert!(some.first() == Some(&0) && some.last() > Some(&9_000));
        assert_eq!(sample(Vec::<i32>::new()), [0; 0]);
    }
}
