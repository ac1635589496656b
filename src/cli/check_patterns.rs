//! The databases that `portcullis check` looks at where tenants come by pattern: some of those that exist.

use std::collections::BTreeSet;

use tokio_postgres::error::SqlState;

use super::check::{Findings, Spot, target};
use super::check_tls::Encryption;
use crate::base::{DatabaseName, LoginName, ServerName, TenantName};
use crate::config::Config;
use crate::harden::{databases, reason};
use crate::tenant::{Pattern, Settings};

/// How many databases of one pattern are looked at. Those of a fleet are alike.
const LOOKED_AT: usize = 3;

/// What nearly every server has and lets everybody into: to ask there which databases it has.
const DOORS: [&str; 2] = ["postgres", "template1"];

/// What came of knocking.
enum Door {
    /// The login is let in, and finds these databases.
    Open(Vec<DatabaseName>),
    /// Its password is right, and it may enter nothing that we know of.
    Known,
    /// It is not let in, or the server cannot be reached.
    Shut(String),
}

/// Tries every login on each server that a pattern names, and gives for each pattern up to [`LOOKED_AT`] of its databases
/// with every login. Says what it has found.
///
/// Cancel safe: it changes nothing.
pub(super) async fn spots(config: &Config, findings: &mut Findings) -> BTreeSet<Spot> {
    let tenants = &config.tenants;
    // A login that each tenant has of its own is tried where the tenant lives.
    let logins: BTreeSet<(&LoginName, bool)> = tenants
        .roles
        .values()
        .map(|role| (&role.login, role.user.names_tenant()))
        .collect();
    let servers: BTreeSet<&ServerName> = tenants.patterns.iter().map(|p| &p.template.server).collect();
    let mut spots = BTreeSet::new();
    for server in servers {
        let mut existing = None;
        for (login, _) in logins.iter().filter(|(_, is_tenants)| !is_tenants) {
            let place = format!("login {login} on {server}");
            match knock(config, server, login).await {
                Door::Open(found) => {
                    findings.good(&format!("{place}: the server takes its password"));
                    existing = Some(found);
                }
                Door::Known => findings.good(&format!(
                    "{place}: the server takes its password, but lets it into no database that is known"
                )),
                Door::Shut(why) => findings.bad(&format!("{place}: {why}")),
            }
        }
        let patterns = tenants.patterns.iter().filter(|p| p.template.server == *server);
        for pattern in patterns {
            let looked_at = some_of(pattern, existing.as_deref(), findings);
            spots.extend(looked_at.iter().flat_map(|database| {
                logins.iter().map(|(login, is_tenants)| Spot {
                    server: server.clone(),
                    database: database.clone(),
                    login: (*login).clone(),
                    tenant: pattern
                        .tenant_of(database.as_str())
                        .filter(|tenant| *is_tenants && !tenant.is_empty())
                        .map(TenantName::new),
                })
            }));
        }
    }
    spots
}

/// Some databases of a pattern.
fn some_of(pattern: &Pattern, existing: Option<&[DatabaseName]>, findings: &Findings) -> Vec<DatabaseName> {
    let name = format!(
        "pattern {} on {}",
        pattern.template.database, pattern.template.server
    );
    let Some(existing) = existing else {
        findings.warning(&format!("{name}: no login could list the server's databases"));
        return Vec::new();
    };
    let meant = existing
        .iter()
        .filter(|database| pattern.tenant_of(database.as_str()).is_some());
    let mut meant: Vec<DatabaseName> = meant.cloned().collect();
    let all = meant.len();
    meant.truncate(LOOKED_AT);
    if meant.is_empty() {
        findings.warning(&format!("{name}: no database of it is there yet"));
    } else {
        let names: Vec<&str> = meant.iter().map(DatabaseName::as_str).collect();
        findings.good(&format!(
            "{name}: {all} databases, looking at {}",
            names.join(", ")
        ));
    }
    meant
}

/// Tries the databases that the configuration names, then those that every server has.
async fn knock(config: &Config, server: &ServerName, login: &LoginName) -> Door {
    let mut came = Door::Known;
    for database in doors(&config.tenants, server) {
        let spot = Spot {
            server: server.clone(),
            database,
            login: login.clone(),
            tenant: None,
        };
        let Some(target) = target(&config.pool, &spot) else {
            continue;
        };
        match target.connect(Encryption::of(&config.pool, server)).await {
            Ok((client, connection)) => {
                let driver = tokio::spawn(connection);
                let existing = databases(&client).await;
                drop(client);
                driver.abort();
                return existing.map_or_else(|error| Door::Shut(reason(&error)), Door::Open);
            }
            // Both are looked at after the password (`InitPostgres`, postinit.c).
            Err(error)
                if [SqlState::UNDEFINED_DATABASE, SqlState::INSUFFICIENT_PRIVILEGE]
                    .iter()
                    .any(|state| error.code() == Some(state)) => {}
            Err(error) => came = Door::Shut(reason(&error)),
        }
    }
    came
}

fn doors(tenants: &Settings, server: &ServerName) -> Vec<DatabaseName> {
    let mut doors: Vec<DatabaseName> = tenants
        .databases_on(server, &[])
        .into_iter()
        .take(LOOKED_AT)
        .collect();
    let fixed = tenants.patterns.iter().map(|pattern| &pattern.template);
    let fixed = fixed
        .filter(|place| place.server == *server)
        .map(|place| &place.database);
    doors.extend(fixed.filter(|database| !database.as_str().contains('{')).cloned());
    doors.extend(DOORS.map(DatabaseName::new));
    doors
}
