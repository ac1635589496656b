//! The databases that `portcullis check` looks at where tenants come by pattern: some of those that exist.

use std::collections::BTreeSet;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::check::{Findings, Spot, target};
use super::check_tls::Encryption;
use crate::base::{DatabaseName, LoginName, ServerName};
use crate::config::Config;
use crate::harden::reason;
use crate::tenant::{Pattern, Settings};

/// How many databases of one pattern are looked at. Those of a fleet are alike.
const LOOKED_AT: usize = 3;

/// What nearly every server has and lets everybody into: to ask there which databases it has.
const DOORS: [&str; 2] = ["postgres", "template1"];

/// The databases that a server has and lets in.
const EXISTING: &str =
    "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname";

/// What came of knocking.
enum Door {
    /// The login is let in.
    Open(Vec<DatabaseName>),
    /// Its password is right, and it may enter nothing that we know of.
    Known,
    /// It is not let in, or the server cannot be reached.
    Shut(String),
}

/// For each pattern up to [`LOOKED_AT`] of its databases with every login. Where there is none yet, the logins are
/// tried on the server alone. Says what it has found.
///
/// Cancel safe: it changes nothing.
pub(super) async fn spots(config: &Config, findings: &mut Findings) -> BTreeSet<Spot> {
    let tenants = &config.tenants;
    let logins: BTreeSet<&LoginName> = tenants.roles.values().map(|role| &role.login).collect();
    let mut spots = BTreeSet::new();
    let mut tried = BTreeSet::new();
    for pattern in &tenants.patterns {
        let server = &pattern.template.server;
        let name = format!("pattern {} on {server}", pattern.template.database);
        let mut meant = Vec::new();
        for login in &logins {
            let is_new = tried.insert((server, *login));
            match knock(config, server, login).await {
                Door::Open(existing) => {
                    meant = existing;
                    meant.retain(|database| pattern.tenant_of(database.as_str()).is_some());
                    break;
                }
                // Said once, however many patterns there are.
                Door::Shut(why) if is_new => findings.bad(&format!("login {login} on {server}: {why}")),
                Door::Known if is_new => findings.warning(&format!(
                    "login {login} on {server}: the server takes its password, and lets it into no database that \
                     is known, so what a pattern means cannot be listed"
                )),
                Door::Shut(_) | Door::Known => {}
            }
        }
        say(&name, pattern, &meant, findings);
        if meant.is_empty() {
            for login in &logins {
                if tried.insert((server, *login)) {
                    try_login(config, server, login, findings).await;
                }
            }
        }
        for database in meant.iter().take(LOOKED_AT) {
            spots.extend(logins.iter().map(|login| Spot {
                server: server.clone(),
                database: database.clone(),
                login: (*login).clone(),
            }));
        }
    }
    spots
}

fn say(name: &str, pattern: &Pattern, meant: &[DatabaseName], findings: &Findings) {
    let looked_at: Vec<&str> = meant.iter().take(LOOKED_AT).map(DatabaseName::as_str).collect();
    match meant.len() {
        0 => findings.warning(&format!(
            "{name}: no database of it was found{}: the logins are tried on the server alone",
            if pattern.prefix.is_empty() { String::new() } else { format!(" (tenants {}…)", pattern.prefix) }
        )),
        all => findings.good(&format!("{name}: {all} databases, looking at {}", looked_at.join(", "))),
    }
}

/// Whether the server takes a login's password, where no database of a pattern shows it.
async fn try_login(config: &Config, server: &ServerName, login: &LoginName, findings: &mut Findings) {
    let place = format!("login {login} on {server}");
    match knock(config, server, login).await {
        Door::Open(_) | Door::Known => findings.good(&format!("{place}: the server takes its password")),
        Door::Shut(why) => findings.bad(&format!("{place}: {why}")),
    }
}

/// Tries the databases that the configuration names, then those that every server has.
async fn knock(config: &Config, server: &ServerName, login: &LoginName) -> Door {
    let mut came = Door::Known;
    for database in doors(&config.tenants, server) {
        let spot = Spot {
            server: server.clone(),
            database,
            login: login.clone(),
        };
        let Some(target) = target(&config.pool, &spot) else {
            continue;
        };
        match target.connect(Encryption::of(&config.pool, server)).await {
            Ok((client, connection)) => {
                let driver = tokio::spawn(connection);
                let existing = existing(&client).await;
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
    let mut doors: Vec<DatabaseName> = tenants.databases_on(server, &[]).into_iter().take(LOOKED_AT).collect();
    let fixed = tenants.patterns.iter().map(|pattern| &pattern.template);
    let fixed = fixed.filter(|place| place.server == *server).map(|place| &place.database);
    doors.extend(fixed.filter(|database| !database.as_str().contains('{')).cloned());
    doors.extend(DOORS.map(DatabaseName::new));
    doors
}

async fn existing(client: &Client) -> Result<Vec<DatabaseName>, tokio_postgres::Error> {
    let rows = client.query(EXISTING, &[]).await?;
    rows.iter()
        .map(|row| row.try_get::<_, String>(0).map(DatabaseName::new))
        .collect()
}
