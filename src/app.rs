//! The composition root: builds every part from the configuration and runs them.

mod memory;
mod policies;
mod tenants;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;

use crate::admin::{self, Readiness};
use crate::auth::{AuthSetupError, Authenticator};
use crate::base::{Drain, DrainHandle, Events, Phase, limits};
use crate::client::{Gateway, GatewayParts};
use crate::config::Config;
use crate::net;
use crate::net::tls::{self, Certificates};
use crate::observe::{EventLog, Fanout, Metrics, MetricsError, MetricsSettings, PoolGauge, ServerGauge};
use crate::pool::Pools;
use crate::tenant::{Directory, DirectoryInForce};

/// Why the proxy cannot run.
#[derive(Debug, Error)]
pub enum AppError {
    /// The tokens' issuers are not usable.
    #[error(transparent)]
    Auth(#[from] AuthSetupError),
    /// A metric is declared wrongly.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Connections that a server without `max_connections` is taken to need.
const UNBOUNDED_SERVER: usize = 500;

/// Files of the process's own: its listeners, logs, the runtime's, those that are read again and again.
const OTHER_FILES: usize = 100;

/// How long the operators' endpoint may take to end once everything else has.
const ADMIN_LIMIT: Duration = Duration::from_secs(2);

/// Runs the proxy until it is drained: at [`Phase::Draining`] no client is accepted any more and sessions end
/// with their transactions, at [`Phase::Stopping`] those that are left are cut off. Operators can reach it as soon as
/// clients can.
///
/// Dropped, it cuts off everybody.
pub async fn run(config: Config, drain: Drain) -> Result<(), AppError> {
    make_room(&config);
    let budget = memory::budget(&config);
    let admin = config.admin.as_ref();
    let admin_listener = admin.map(|settings| listen(settings.address)).transpose()?;
    let listener = listen(config.client.address)?;
    let pools_seen = Arc::new(OnceLock::new());
    let metrics = Metrics::new(MetricsSettings {
        roles: config.auth.roles.iter().cloned().collect(),
        pools: pool_gauges(Arc::clone(&pools_seen)),
        servers: server_gauges(Arc::clone(&pools_seen)),
        memory: Arc::clone(&budget),
    })?;
    let events = Events::new(Arc::new(Fanout::new(
        Arc::clone(&metrics),
        Arc::new(EventLog::new()),
    )));
    let certificates = certificates(&config);
    let end_users = tenants::end_user_logins(&config.pool);
    let pools = Pools::new(config.pool, events.clone());
    // It was empty: this is the only place that fills it.
    let _ = pools_seen.set(Arc::downgrade(&pools));
    let anonymous_role = config.auth.anonymous_role.as_ref().map(ToString::to_string);
    let authenticator = Authenticator::new(config.auth, events.clone())?;
    let guard = memory::guard(config.guard, &budget);
    let directory = DirectoryInForce::new(Directory::new(config.tenants));
    let follower = tenants::Follower::new(&directory, &pools, end_users, &events);
    tokio::spawn(policies::watch(
        config.policy_files,
        Arc::clone(&guard),
        events.clone(),
        drain.clone(),
    ));
    let gateway = Gateway::new(GatewayParts {
        settings: config.client,
        authenticator: Arc::clone(&authenticator),
        directory,
        pools: Arc::clone(&pools),
        identity: config.identity,
        sessions: memory::sessions(config.session, guard, &pools, &budget, &events),
        budget,
        anonymous_role,
        events: events.clone(),
    });

    // The pools and the endpoint outlive the sessions, so that the last transactions end well and are seen.
    let (after_sessions, after) = DrainHandle::new();
    follower.follow(config.tenants_file, drain.clone());
    let reaper = tokio::spawn(pools.run(after.clone()));
    let refresher = tokio::spawn(Arc::clone(&authenticator).run(drain.clone()));
    let memory = tokio::spawn(memory::give_back());
    tokio::spawn(tls::watch(certificates, events.clone(), after.clone()));
    let admin = admin_listener.map(|listener| {
        let ready = readiness(authenticator, drain.clone());
        tokio::spawn(admin::serve_on(listener, metrics, ready, after))
    });
    tracing::info!(address = %listener.local_addr().map_or_else(|_| String::new(), |a| a.to_string()), "listening");
    gateway.serve(listener, drain).await;
    after_sessions.advance(Phase::Stopping);
    refresher.abort();
    memory.abort();
    for task in [Some(reaper), admin.map(|admin| tokio::spawn(ended(admin)))]
        .into_iter()
        .flatten()
    {
        let _ = timeout(ADMIN_LIMIT, task).await;
    }
    Ok(())
}

/// Every certificate that is shown or trusted over TLS.
fn certificates(config: &Config) -> Vec<Arc<dyn Certificates>> {
    let listener = config.client.tls.iter().map(|tls| Arc::clone(&tls.acceptor) as _);
    let servers = config
        .pool
        .servers
        .values()
        .filter_map(|server| server.tls.clone());
    listener.chain(servers.map(|connector| connector as _)).collect()
}

async fn ended(admin: tokio::task::JoinHandle<io::Result<()>>) {
    if let Ok(Err(error)) = admin.await {
        tracing::warn!(%error, "the operators' endpoint failed");
    }
}

/// Room for the sockets of as many clients and server connections as the configuration lets there be.
fn make_room(config: &Config) {
    let servers = config.pool.servers.values();
    let servers: usize = servers
        .map(|server| server.budget.max_connections.unwrap_or(UNBOUNDED_SERVER))
        .sum();
    let clients = config.client.max_client_conn + config.client.pending.total;
    let wanted = clients + servers + OTHER_FILES;
    match net::make_room(wanted) {
        Ok(room) if room < wanted => tracing::warn!(
            room,
            wanted,
            "the process may open fewer files than max_client_conn and the server connections can need: raise the hard limit (ulimit -Hn, LimitNOFILE)"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, wanted, "no room for so many sockets beforehand"),
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, AppError> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let listener = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(limits::LISTEN_BACKLOG)
    });
    listener.map_err(|source| AppError::Listen { address, source })
}

fn pool_gauges(pools: Arc<OnceLock<Weak<Pools>>>) -> crate::observe::PoolGauges {
    Box::new(move || {
        let pools = pools.get().and_then(Weak::upgrade);
        pools.map_or_else(Vec::new, |pools| {
            pools
                .snapshot()
                .into_iter()
                .map(|pool| PoolGauge {
                    server: pool.key.server,
                    database: pool.key.database,
                    login: pool.key.login,
                    mode: pool.key.mode,
                    idle: pool.idle,
                    leased: pool.leased,
                    waiting: pool.waiting,
                })
                .collect()
        })
    })
}

fn server_gauges(pools: Arc<OnceLock<Weak<Pools>>>) -> crate::observe::ServerGauges {
    Box::new(move || {
        let pools = pools.get().and_then(Weak::upgrade);
        pools.map_or_else(Vec::new, |pools| {
            pools
                .servers()
                .into_iter()
                .map(|server| ServerGauge {
                    server: server.server,
                    idle: server.idle,
                    leased: server.leased,
                    connecting: server.connecting,
                    waiting: server.waiting,
                    max: server.max,
                })
                .collect()
        })
    })
}

/// New clients are welcome unless the process drains or an issuer's keys were never read.
fn readiness(authenticator: Arc<Authenticator>, drain: Drain) -> admin::ReadyCheck {
    Arc::new(move || {
        if drain.phase() >= Phase::Draining {
            return Readiness::NotReady("shutting down".into());
        }
        match authenticator.key_sets().into_iter().find(|set| set.keys == 0) {
            Some(set) => Readiness::NotReady(format!("no keys of issuer {} yet", set.issuer)),
            None => Readiness::Ready,
        }
    })
}
