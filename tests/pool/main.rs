//! The pool and its server connections against a real Postgres and against servers that misbehave.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests stop at the first surprise"
)]
#![expect(clippy::indexing_slicing, reason = "tests stop at the first surprise")]

mod cluster;
mod events;
mod fake;
mod hygiene;
mod login;
mod queue;
mod reaper;
mod reset;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::base::{Events, RoleName, Secret};
use portcullis::net::Endpoint;
use portcullis::pool::{
    Access, Budget, LoginSettings, Pool, PoolKey, Pools, ServerSettings, Settings, Share,
};
use portcullis::server::Password;

const SECOND: Duration = Duration::from_secs(1);

/// Settings for one server and one login, both called `main`.
fn settings(endpoint: Endpoint, user: &str, size: usize) -> Settings {
    let password = match user {
        "u_trust" => Password::Absent,
        _ => Password::Known(Secret::new(*b"s3cret")),
    };
    let login = LoginSettings {
        user: user.into(),
        password,
        default_pool_size: None,
        min_pool_size: None,
        access: Access::EndUser,
    };
    Settings {
        servers: HashMap::from([(
            "main".into(),
            ServerSettings {
                endpoint,
                tls: None,
                budget: Budget::default(),
            },
        )]),
        logins: HashMap::from([("main".into(), login)]),
        plans: HashMap::new(),
        default_share: Share::default(),
        default_pool_size: size,
        min_pool_size: 0,
        query_wait_timeout: 10 * SECOND,
        server_lifetime: 3600 * SECOND,
        server_idle_timeout: 600 * SECOND,
        server_connect_timeout: 5 * SECOND,
        server_login_retry: SECOND,
        server_prepared_statements: 10,
    }
}

fn key(database: &str) -> PoolKey {
    PoolKey {
        server: "main".into(),
        database: database.into(),
        login: "main".into(),
        login_tenant: None,
        mode: portcullis::base::PoolMode::Transaction,
    }
}

/// The pool of database `postgres` under these settings.
fn pool(settings: Settings) -> Arc<Pool> {
    Pools::new(settings, Events::none())
        .get(&key("postgres"))
        .unwrap()
}

/// A pool of some size on the shared cluster.
fn real_pool(size: usize) -> Arc<Pool> {
    pool(settings(cluster::tcp(), "u_trust", size))
}

fn role(name: &str) -> RoleName {
    name.into()
}

/// Waits until something holds; fails after five seconds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < 5 * SECOND, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
