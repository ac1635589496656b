//! `[servers]`, `[logins]` and `[pool]`.

use std::collections::HashMap;
use std::path::Path;

use crate::base::{LoginName, PoolMode, ServerName};
use crate::guard::RepeatedTexts;
use crate::net::Endpoint;
use crate::pool::{Access, Budget, LoginSettings, ServerSettings, Settings};
use crate::server::Password;
use crate::session::ApplicationName;
use crate::tenant::TENANT_MARK;

use super::super::raw::{Item, Section};
use super::super::secret;
use super::placement::marked_name;
use super::{plans, pool_mode, postgres_name, tls};

/// Longest path of a Unix socket (`sun_path` of sockaddr_un on Linux, less its terminator).
const SOCKET_PATH_BYTES: usize = 107;

/// Most server connections of one pool. Postgres itself becomes slow long before.
const POOL_SIZE: usize = 10_000;

/// The servers; one with a mistake keeps its name, so that what refers to it is not called wrong as well.
pub(super) fn servers(top: &Section<'_>) -> HashMap<ServerName, ServerSettings> {
    let named = top.named("servers");
    if named.is_empty() {
        top.mistake(
            "servers",
            "there is none: add a [servers.main] with host and port",
        );
    }
    named
        .into_iter()
        .filter_map(|(name, item)| {
            let section = item.section()?;
            let port = section.count("port", 5432, 1, 65_535);
            let host = section.required("host", host).unwrap_or_default();
            let endpoint = endpoint(&section, host, u16::try_from(port).unwrap_or_default());
            let tls = tls::server(&section, &endpoint);
            let budget = budget(&section);
            let server = ServerSettings {
                endpoint,
                tls,
                budget,
            };
            Some((ServerName::new(name), server))
        })
        .collect()
}

/// The logins; one with a mistake keeps its name.
pub(super) fn logins(top: &Section<'_>) -> HashMap<LoginName, LoginSettings> {
    let named = top.named("logins");
    if named.is_empty() {
        top.mistake(
            "logins",
            "there is none: add a [logins.app] with user and password",
        );
    }
    named
        .into_iter()
        .filter_map(|(name, item)| {
            let section = item.section()?;
            let user = section.required("user", user);
            let of_tenants = user.as_ref().is_some_and(|user| user.contains(TENANT_MARK));
            let password = password(&section, of_tenants);
            let default_pool_size = section.maybe("default_pool_size", |item| item.count(1, POOL_SIZE));
            let min_pool_size = section.maybe("min_pool_size", |item| item.count(0, POOL_SIZE));
            Some((
                LoginName::new(name),
                LoginSettings {
                    user: user.unwrap_or_default(),
                    password,
                    default_pool_size,
                    min_pool_size,
                    // Until the roles are known.
                    access: Access::EndUser,
                },
            ))
        })
        .collect()
}

/// The role of a login; with the tenant's mark in it, one for each tenant.
fn user(item: &Item<'_>) -> Option<String> {
    let name = postgres_name(item)?;
    match name.contains(TENANT_MARK) {
        true => Some(marked_name(item, &[TENANT_MARK])?.as_str().to_owned()),
        false => Some(name),
    }
}

/// The password of a login. That of a tenant's own login may be in a file that is named after the tenant, and is read
/// when a connection is opened.
fn password(section: &Section<'_>, of_tenants: bool) -> Password {
    let file = section
        .get("password")
        .filter(Item::is_table)
        .and_then(|item| item.child("file"))
        .filter(|item| item.text().is_some_and(|path| path.contains(TENANT_MARK)));
    let Some(file) = file else {
        return secret::maybe(section, "password").map_or(Password::Absent, Password::Known);
    };
    let Some(path) = secret::path(section, "password") else {
        return Password::Absent;
    };
    if !of_tenants {
        file.mistake(format!("{TENANT_MARK} needs a user that has it as well"));
    } else if path.to_str().is_none() {
        file.mistake("the path is not UTF-8");
    }
    Password::InFile(path)
}

/// How much of a server may be used.
fn budget(section: &Section<'_>) -> Budget {
    let some = |count: usize| Some(count).filter(|count| *count > 0);
    let max_connections = some(section.count("max_connections", 0, 0, POOL_SIZE));
    let reserved_connections = section.count("reserved_connections", 0, 0, POOL_SIZE);
    match max_connections {
        Some(max) if reserved_connections >= max => {
            section.mistake("reserved_connections", "must be less than max_connections");
        }
        None if reserved_connections > 0 => section.mistake(
            "reserved_connections",
            "needs max_connections: without it there is nothing to keep a part of",
        ),
        Some(_) | None => {}
    }
    Budget {
        max_connections,
        reserved_connections,
        max_concurrent_logins: section.count("max_concurrent_logins", 16, 1, 1_000),
        max_waiting: some(section.count("max_waiting", 0, 0, 1_000_000)),
    }
}

/// How sessions use the pools.
pub(super) struct Transactions {
    /// The mode of sessions for which nothing else says one.
    pub(super) mode: PoolMode,
    pub(super) application_name: ApplicationName,
    pub(super) repeated_texts: RepeatedTexts,
}

/// Sizes and times, and how sessions use the pools.
pub(super) fn pool(
    top: &Section<'_>,
    servers: HashMap<ServerName, ServerSettings>,
    logins: HashMap<LoginName, LoginSettings>,
) -> (Settings, Transactions) {
    let pool = top.section("pool");
    let plans = plans::plans(top, &pool);
    let transactions = Transactions {
        mode: pool.or("pool_mode", PoolMode::Transaction, pool_mode),
        application_name: match pool.flag("application_name_add_principal", false) {
            true => ApplicationName::WithSubject,
            false => ApplicationName::AsGiven,
        },
        repeated_texts: match pool.flag("auto_prepare", false) {
            true => RepeatedTexts::Prepared,
            false => RepeatedTexts::ParsedEachTime,
        },
    };
    let settings = Settings {
        plans: plans.named,
        default_share: plans.default,
        default_pool_size: pool.count("default_pool_size", 20, 1, POOL_SIZE),
        min_pool_size: pool.count("min_pool_size", 0, 0, POOL_SIZE),
        query_wait_timeout: pool.time_or_zero("query_wait_timeout", 30),
        server_lifetime: pool.time_or_zero("server_lifetime", 3600),
        server_idle_timeout: pool.time_or_zero("server_idle_timeout", 600),
        server_connect_timeout: pool.time("server_connect_timeout", 5),
        server_login_retry: pool.time("server_login_retry", 1),
        server_prepared_statements: pool.count("server_prepared_statements", 200, 1, 100_000),
        servers,
        logins,
    };
    if settings.min_pool_size > settings.default_pool_size {
        pool.mistake("min_pool_size", "is more than default_pool_size");
    }
    for (name, login) in &settings.logins {
        let own = login.default_pool_size.or(login.min_pool_size).is_some();
        let most = login.default_pool_size.unwrap_or(settings.default_pool_size);
        if own && login.min_pool_size.unwrap_or(settings.min_pool_size) > most {
            top.mistake_path(
                &format!("logins.{name}.min_pool_size"),
                "is more than default_pool_size",
            );
        }
    }
    (settings, transactions)
}

fn host(item: &Item<'_>) -> Option<String> {
    let host = item.text()?;
    if host.starts_with('/') || !host.contains(['/', ' ', '@']) {
        return Some(host);
    }
    item.mistake("must be a host name or address, or the folder of a Unix socket, which starts with /");
    None
}

fn endpoint(section: &Section<'_>, host: String, port: u16) -> Endpoint {
    if !host.starts_with('/') {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        return Endpoint::Tcp {
            host: address.map_or_else(|| host.clone(), str::to_owned),
            port,
        };
    }
    // The name of the socket in its folder: PostgreSQL manual, 20.3.1, unix_socket_directories.
    let path = Path::new(&host).join(format!(".s.PGSQL.{port}"));
    if path.as_os_str().len() > SOCKET_PATH_BYTES {
        section.mistake(
            "host",
            format!("the socket's path is longer than {SOCKET_PATH_BYTES} bytes"),
        );
    }
    Endpoint::Unix(path)
}
