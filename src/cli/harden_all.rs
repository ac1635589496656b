//! `portcullis harden --all`: which databases of a server the configuration means.

use std::collections::BTreeSet;

use tokio_postgres::Config as Target;
use tokio_postgres::config::Host;

use super::harden::{HardenOptions, connect};
use crate::base::{DatabaseName, ServerName};
use crate::config::Config;
use crate::harden::{self, reason};
use crate::net::Endpoint;

/// The port of a URL that names none (`DEF_PGPORT`).
const PORT: u16 = 5432;

/// A target for each database that the configuration means on the targets' servers, and what is wrong with the rest.
///
/// Cancel safe: it changes nothing.
pub(super) async fn databases(
    config: &Config,
    targets: Vec<Target>,
    options: &HardenOptions,
) -> (Vec<Target>, Vec<String>) {
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    let mut missing = config.tenants.servers();
    for target in targets {
        let Some(server) = server_of(config, &target) else {
            let names: Vec<&str> = config.pool.servers.keys().map(ServerName::as_str).collect();
            let names = names.join(", ");
            mistakes.push(format!(
                "--database names none of the servers by host and port: {names}"
            ));
            continue;
        };
        missing.remove(&server);
        match on_server(config, &server, &target, options).await {
            Ok(databases) => found.extend(databases),
            Err(why) => mistakes.push(why),
        }
    }
    let unnamed = missing
        .iter()
        .map(|server| format!("server {server}: no --database names it, so nothing on it is looked at"));
    mistakes.extend(unnamed);
    (found, mistakes)
}

async fn on_server(
    config: &Config,
    server: &ServerName,
    target: &Target,
    options: &HardenOptions,
) -> Result<Vec<Target>, String> {
    let session = connect(target, options).await?;
    let existing = harden::databases(session.client()).await;
    session.close().await;
    let existing = existing.map_err(|error| format!("server {server}: {}", reason(&error)))?;
    let databases: BTreeSet<DatabaseName> = config.tenants.databases_on(server, &existing);
    let targets = databases.iter().map(|database| {
        let mut target = target.clone();
        target.dbname(database.as_str());
        target
    });
    Ok(targets.collect())
}

/// The server that a target is; where there is only one, it is that one, by whatever address.
fn server_of(config: &Config, target: &Target) -> Option<ServerName> {
    let mut servers = config.pool.servers.iter();
    if let (Some((only, _)), 1) = (servers.next(), config.pool.servers.len()) {
        return Some(only.clone());
    }
    let port = target.get_ports().first().copied().unwrap_or(PORT);
    let same = |endpoint: &Endpoint| match (endpoint, target.get_hosts().first()) {
        (Endpoint::Tcp { host, port: theirs }, Some(Host::Tcp(name))) => host == name && *theirs == port,
        (Endpoint::Unix(path), Some(Host::Unix(folder))) => *path == folder.join(format!(".s.PGSQL.{port}")),
        _ => false,
    };
    let found = config
        .pool
        .servers
        .iter()
        .find(|(_, server)| same(&server.endpoint));
    found.map(|(name, _)| name.clone())
}
