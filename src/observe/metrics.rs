//! Counts events and renders them for Prometheus.
//!
//! | metric | type | labels | meaning |
//! |---|---|---|---|
//! | `portcullis_build_info` | gauge | `version` | always 1 |
//! | `portcullis_client_connections` | gauge | | client sockets that are open |
//! | `portcullis_client_connections_accepted_total` | counter | | client sockets accepted |
//! | `portcullis_client_connections_closed_total` | counter | `end` | client sockets closed, by reason |
//! | `portcullis_sessions` | gauge | | clients that are logged in |
//! | `portcullis_sessions_total` | counter | `role` | logins by role; a role that is not configured counts as `other` |
//! | `portcullis_logins_total` | counter | `result`, `sqlstate` | logins `accepted` (`00000`) and `refused` |
//! | `portcullis_verdicts_total` | counter | `verdict`, `class` | what the guard decided (`allow`, `refuse`), by statement class |
//! | `portcullis_errors_total` | counter | `sqlstate` | errors sent to clients; at most 256 codes, the rest is `other` |
//! | `portcullis_transactions_total` | counter | | server transactions that ended |
//! | `portcullis_transaction_seconds` | histogram | | from checkout to check-in |
//! | `portcullis_wait_seconds` | histogram | | how long a client waited for its server connection |
//! | `portcullis_waits_total` | counter | `reason` | waits begun, by what for: `pool`, `server`, `cap`, `floor`, `connecting` |
//! | `portcullis_waits_shed_total` | counter | | clients that were not let wait, or sent away, as too many did |
//! | `portcullis_clients_waiting` | gauge | | clients that wait for a server connection |
//! | `portcullis_transferred_bytes_total` | counter | `direction` | `in`: client to server, `out`: server to client |
//! | `portcullis_server_connections` | gauge | | server connections that are open |
//! | `portcullis_server_connections_opened_total` | counter | `server` | server connections opened |
//! | `portcullis_server_connections_closed_total` | counter | `reason` | server connections closed |
//! | `portcullis_server_connect_failures_total` | counter | `server` | server connections that could not be opened |
//! | `portcullis_checkins_total` | counter | `verdict`, `reason` | `reuse`, `rollback`, `reset` (a session that kept it is over, or DO has run), or `discard` with its reason |
//! | `portcullis_cancel_requests_total` | counter | `result` | `matched` a running query, or `unmatched` |
//! | `portcullis_key_refreshes_total` | counter | `issuer`, `result` | key sets fetched: `ok`, `failed` |
//! | `portcullis_policy_reloads_total` | counter | `result` | changed policies put into force: `ok`, `failed` |
//! | `portcullis_certificate_reloads_total` | counter | `result` | changed certificates put into force: `ok`, `failed` |
//! | `portcullis_tenant_reloads_total` | counter | `result` | changed tenants files put into force: `ok`, `failed` |
//! | `portcullis_user_reloads_total` | counter | `result` | changed users files put into force: `ok`, `failed` |
//! | `portcullis_pool_connections` | gauge | `server`, `database`, `login`, `mode`, `state` | server connections `idle` and `leased`; the 200 busiest pools, the rest summed as `other` |
//! | `portcullis_server_budget` | gauge | `server`, `state` | server connections of all pools `idle`, `leased` and `connecting`, clients `waiting`; `max` where there is a limit |
//! | `portcullis_pool_waiting` | gauge | `server`, `database`, `login`, `mode` | clients that wait for a connection of the pool |
//! | `portcullis_memory_budget_bytes` | gauge | `state` | `max`: the whole budget; `caches`: set apart for caches; `sessions`: had by sessions of their part; `shared`: what tenants may hold together; `used`: what they hold |
//! | `portcullis_memory_refusals_total` | counter | | messages, statements, sessions refused for want of memory in the budget (53200) |
//! | `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`, `process_threads` | counter, gauges | | the process (Linux) |
//!
//! No series is labelled with a tenant, a client or anything else without an end.

use std::error::Error;
use std::sync::Arc;

use prometheus::{Encoder, IntGauge, Opts, Registry, TextEncoder};

use super::counters::registered;
use super::families::{ClientMetrics, ServerMetrics, TrafficMetrics};
use super::memory::MemoryCollector;
use super::pools::{PoolCollector, PoolGauges};
use super::process::ProcessCollector;
use super::servers::{ServerCollector, ServerGauges};
use crate::base::memory::Budget;
use crate::base::{Event, Exposition, Observe, RoleName, VerdictKind, Who};

/// What the metrics must know beforehand.
pub struct MetricsSettings {
    /// The configured roles, which get a series each.
    pub roles: Vec<RoleName>,
    /// Tells the state of the pools at scrape time.
    pub pools: PoolGauges,
    /// Tells the state of the servers at scrape time.
    pub servers: ServerGauges,
    /// What clients make the process hold.
    pub memory: Arc<Budget>,
}

/// A metric was declared wrongly: a defect of Portcullis, found at start-up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// Counts every event. Feeding it takes a few atomic operations and no lock.
pub struct Metrics {
    registry: Registry,
    clients: ClientMetrics,
    traffic: TrafficMetrics,
    servers: ServerMetrics,
}

impl Metrics {
    /// Metrics in a registry of their own, all at zero.
    pub fn new(settings: MetricsSettings) -> Result<Arc<Self>, MetricsError> {
        let registry = Registry::new();
        let build = Opts::new("portcullis_build_info", "The version that runs; always 1.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        registered(&registry, IntGauge::with_opts(build)?)?.set(1);
        registry.register(Box::new(PoolCollector::new(settings.pools)?))?;
        registry.register(Box::new(ServerCollector::new(settings.servers)?))?;
        registry.register(Box::new(MemoryCollector::new(settings.memory)?))?;
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(Arc::new(Self {
            clients: ClientMetrics::new(&registry, settings.roles)?,
            traffic: TrafficMetrics::new(&registry)?,
            servers: ServerMetrics::new(&registry)?,
            registry,
        }))
    }
}

impl Exposition for Metrics {
    /// Prometheus' text format, version 0.0.4.
    fn content_type(&self) -> &'static str {
        "text/plain; version=0.0.4; charset=utf-8"
    }

    fn render(&self) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Observe for Metrics {
    /// Whose session it is of makes no label.
    fn observe(&self, event: &Event<'_>, _: Option<&dyn Who>) {
        match *event {
            Event::ClientAccepted => {
                self.clients.accepted.inc();
                self.clients.open.inc();
            }
            Event::ClientClosed { end, authenticated } => self.clients.closed(end, authenticated),
            Event::LoggedIn { role, .. } => self.clients.logged_in(role),
            Event::LoginRefused { sqlstate, .. } => self.clients.logins_refused.inc(sqlstate),
            Event::KeysRefreshed { issuer, error } => match error {
                None => self.clients.key_refreshes_ok.inc(issuer),
                Some(_) => self.clients.key_refreshes_failed.inc(issuer),
            },
            Event::PolicyReloaded { error, .. } => self.clients.policy_reloads.count(error),
            Event::CertificatesReloaded { error, .. } => self.clients.certificate_reloads.count(error),
            Event::TenantsReloaded { error, .. } => self.clients.tenant_reloads.count(error),
            Event::UsersReloaded { error, .. } => self.clients.user_reloads.count(error),
            Event::Verdict { kind, class } => match kind {
                VerdictKind::Allow => self.traffic.allowed.inc(class),
                VerdictKind::Refuse => self.traffic.refused.inc(class),
            },
            Event::ErrorSent { sqlstate } => self.traffic.errors.inc(sqlstate),
            Event::TransactionDone {
                took,
                bytes_in,
                bytes_out,
            } => {
                self.traffic.transactions.inc();
                self.traffic.transaction_seconds.observe(took.as_secs_f64());
                self.traffic.bytes_in.inc_by(bytes_in);
                self.traffic.bytes_out.inc_by(bytes_out);
            }
            Event::CancelRequested { matched: true } => self.traffic.cancels_matched.inc(),
            Event::CancelRequested { matched: false } => self.traffic.cancels_unmatched.inc(),
            Event::CheckedOut { waited } => self.servers.wait_seconds.observe(waited.as_secs_f64()),
            Event::CheckedIn { verdict } => self.servers.checked_in(verdict),
            Event::ServerOpened { server, .. } => {
                self.servers.open.inc();
                self.servers.opened.inc(server.as_str());
            }
            Event::ServerClosed { reason } => {
                self.servers.open.dec();
                self.servers.closed.inc(reason.as_str());
            }
            Event::ServerConnectFailed { server, .. } => {
                self.servers.connect_failures.inc(server.as_str());
            }
            Event::WaitBegan { reason, .. } => self.servers.wait_began(reason),
            Event::WaitShed => self.servers.shed.inc(),
            Event::WaitEnded => self.servers.waiting.dec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{CheckIn, ClientEnd, DiscardReason, SqlState, WaitReason};
    use crate::observe::families::SQLSTATES;
    use crate::observe::{PoolGauge, ServerGauge};
    use std::time::Duration;

    fn metrics() -> Arc<Metrics> {
        let pools: PoolGauges = Box::new(|| {
            let (server, database, login) = ("main".into(), "acme".into(), "app".into());
            vec![PoolGauge {
                server,
                database,
                login,
                mode: crate::base::PoolMode::Transaction,
                idle: 2,
                leased: 3,
                waiting: 4,
            }]
        });
        Metrics::new(MetricsSettings {
            roles: vec!["authenticated".into()],
            pools,
            servers: Box::new(|| {
                vec![ServerGauge {
                    server: "main".into(),
                    idle: 2,
                    leased: 3,
                    connecting: 1,
                    waiting: 4,
                    max: Some(10),
                }]
            }),
            memory: Budget::new(64 << 20, 100),
        })
        .unwrap()
    }

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render().unwrap()).unwrap()
    }

    /// The value of one series, by its name and labels as they are rendered.
    fn value(metrics: &Metrics, series: &str) -> Option<f64> {
        text(metrics)
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    fn each_event() -> Vec<Event<'static>> {
        // Leaked on purpose: names that live as long as the test.
        let role: &RoleName = Box::leak(Box::new("authenticated".into()));
        let stranger: &RoleName = Box::leak(Box::new("stranger".into()));
        let server = Box::leak(Box::new("main".into()));
        let database = Box::leak(Box::new("acme".into()));
        let login = Box::leak(Box::new("app".into()));
        let (sqlstate, reason) = (SqlState::INVALID_PASSWORD, "expired");
        let dropped = DiscardReason::Dropped;
        vec![
            Event::ClientAccepted,
            Event::ClientClosed {
                end: ClientEnd::Vanished,
                authenticated: true,
            },
            Event::LoggedIn { role, tenant: None },
            Event::LoggedIn {
                role: stranger,
                tenant: None,
            },
            Event::LoginRefused { sqlstate, reason },
            Event::Verdict {
                kind: VerdictKind::Allow,
                class: "SELECT",
            },
            Event::Verdict {
                kind: VerdictKind::Refuse,
                class: "DROP TABLE",
            },
            Event::ErrorSent {
                sqlstate: SqlState::INSUFFICIENT_PRIVILEGE,
            },
            Event::CheckedOut {
                waited: Duration::from_micros(50),
            },
            Event::CheckedIn {
                verdict: CheckIn::Reuse,
            },
            Event::CheckedIn {
                verdict: CheckIn::Rollback,
            },
            Event::CheckedIn {
                verdict: CheckIn::Discard(dropped),
            },
            Event::TransactionDone {
                took: Duration::from_millis(3),
                bytes_in: 10,
                bytes_out: 2000,
            },
            Event::ServerOpened {
                server,
                database,
                login,
            },
            Event::ServerClosed {
                reason: DiscardReason::Idle,
            },
            Event::ServerConnectFailed { server, reason },
            Event::WaitBegan {
                place: 1,
                reason: WaitReason::Pool,
            },
            Event::WaitEnded,
            Event::WaitShed,
            Event::CancelRequested { matched: true },
            Event::CancelRequested { matched: false },
            Event::KeysRefreshed {
                issuer: "https://id.example",
                error: None,
            },
            Event::KeysRefreshed {
                issuer: "https://id.example",
                error: Some("down"),
            },
            Event::PolicyReloaded {
                policy: "end_user",
                error: None,
            },
            Event::CertificatesReloaded {
                files: "server.crt",
                error: None,
            },
            Event::CertificatesReloaded {
                files: "server.crt",
                error: Some("is not valid PEM"),
            },
            Event::TenantsReloaded {
                file: "tenants.toml",
                error: None,
            },
            Event::TenantsReloaded {
                file: "tenants.toml",
                error: Some("is not valid TOML"),
            },
            Event::UsersReloaded {
                file: "users.toml",
                error: None,
            },
            Event::UsersReloaded {
                file: "users.toml",
                error: Some("is not valid TOML"),
            },
        ]
    }

    #[test]
    fn a_wait_is_counted_by_its_reason() {
        let metrics = metrics();
        for (times, reason) in (1..).zip(WaitReason::ALL) {
            for place in 0..times {
                metrics.observe(&Event::WaitBegan { place, reason }, None);
            }
            let series = format!("portcullis_waits_total{{reason=\"{}\"}}", reason.as_str());
            assert_eq!(value(&metrics, &series), Some(times as f64), "{series}");
        }
    }

    #[test]
    fn every_event_is_counted_in_its_series() {
        let metrics = metrics();
        each_event().iter().for_each(|event| metrics.observe(event, None));
        for (series, expected) in [
            ("portcullis_client_connections", 0.0),
            ("portcullis_client_connections_accepted_total", 1.0),
            (
                "portcullis_client_connections_closed_total{end=\"vanished\"}",
                1.0,
            ),
            ("portcullis_sessions", 1.0),
            ("portcullis_sessions_total{role=\"authenticated\"}", 1.0),
            ("portcullis_sessions_total{role=\"other\"}", 1.0),
            (
                "portcullis_logins_total{result=\"accepted\",sqlstate=\"00000\"}",
                2.0,
            ),
            (
                "portcullis_logins_total{result=\"refused\",sqlstate=\"28P01\"}",
                1.0,
            ),
            (
                "portcullis_verdicts_total{class=\"SELECT\",verdict=\"allow\"}",
                1.0,
            ),
            (
                "portcullis_verdicts_total{class=\"DROP TABLE\",verdict=\"refuse\"}",
                1.0,
            ),
            ("portcullis_errors_total{sqlstate=\"42501\"}", 1.0),
            ("portcullis_errors_total{sqlstate=\"57P01\"}", 0.0),
            ("portcullis_transactions_total", 1.0),
            ("portcullis_transaction_seconds_bucket{le=\"0.0025\"}", 0.0),
            ("portcullis_transaction_seconds_bucket{le=\"0.005\"}", 1.0),
            ("portcullis_wait_seconds_bucket{le=\"0.0001\"}", 1.0),
            ("portcullis_clients_waiting", 0.0),
            ("portcullis_transferred_bytes_total{direction=\"in\"}", 10.0),
            ("portcullis_transferred_bytes_total{direction=\"out\"}", 2000.0),
            ("portcullis_server_connections", 0.0),
            ("portcullis_server_connections_opened_total{server=\"main\"}", 1.0),
            ("portcullis_server_connections_closed_total{reason=\"idle\"}", 1.0),
            ("portcullis_server_connect_failures_total{server=\"main\"}", 1.0),
            ("portcullis_checkins_total{reason=\"\",verdict=\"reuse\"}", 1.0),
            ("portcullis_checkins_total{reason=\"\",verdict=\"rollback\"}", 1.0),
            (
                "portcullis_checkins_total{reason=\"dropped\",verdict=\"discard\"}",
                1.0,
            ),
            ("portcullis_cancel_requests_total{result=\"matched\"}", 1.0),
            ("portcullis_cancel_requests_total{result=\"unmatched\"}", 1.0),
            (
                "portcullis_key_refreshes_total{issuer=\"https://id.example\",result=\"ok\"}",
                1.0,
            ),
            (
                "portcullis_key_refreshes_total{issuer=\"https://id.example\",result=\"failed\"}",
                1.0,
            ),
            ("portcullis_policy_reloads_total{result=\"ok\"}", 1.0),
            ("portcullis_certificate_reloads_total{result=\"ok\"}", 1.0),
            ("portcullis_certificate_reloads_total{result=\"failed\"}", 1.0),
            ("portcullis_tenant_reloads_total{result=\"ok\"}", 1.0),
            ("portcullis_tenant_reloads_total{result=\"failed\"}", 1.0),
            ("portcullis_user_reloads_total{result=\"ok\"}", 1.0),
            ("portcullis_user_reloads_total{result=\"failed\"}", 1.0),
            (
                "portcullis_pool_waiting{database=\"acme\",login=\"app\",mode=\"transaction\",server=\"main\"}",
                4.0,
            ),
            (
                "portcullis_pool_connections{database=\"acme\",login=\"app\",mode=\"transaction\",server=\"main\",state=\"idle\"}",
                2.0,
            ),
            (
                "portcullis_pool_connections{database=\"acme\",login=\"app\",mode=\"transaction\",server=\"main\",state=\"leased\"}",
                3.0,
            ),
        ] {
            assert_eq!(value(&metrics, series), Some(expected), "{series}");
        }
    }

    #[test]
    fn every_metric_is_documented_above() {
        let documented = include_str!("metrics.rs")
            .lines()
            .filter(|line| line.starts_with("//! |"));
        let documented: String = documented.collect();
        let metrics = metrics();
        each_event().iter().for_each(|event| metrics.observe(event, None));
        let text = text(&metrics);
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        assert!(names.len() > 20);
        for name in &names {
            assert!(
                documented.contains(&format!("`{name}`")),
                "{name} is not in the table"
            );
        }
        for name in documented
            .split('`')
            .filter(|word| word.starts_with("portcullis_"))
        {
            assert!(names.contains(&name), "{name} does not exist");
        }
    }

    #[test]
    fn a_client_cannot_make_series_without_end_nor_crowd_out_our_own() {
        let metrics = metrics();
        for n in 0..2000 {
            let sqlstate = SqlState::from_bytes(format!("Z{n:04}").as_bytes()).unwrap();
            metrics.observe(&Event::ErrorSent { sqlstate }, None);
        }
        metrics.observe(
            &Event::ErrorSent {
                sqlstate: SqlState::ADMIN_SHUTDOWN,
            },
            None,
        );
        let text = text(&metrics);
        let series = text
            .lines()
            .filter(|line| line.starts_with("portcullis_errors_total{"))
            .count();
        assert_eq!(series, SQLSTATES + 1);
        let own = SqlState::OWN.len();
        let other = value(&metrics, "portcullis_errors_total{sqlstate=\"other\"}");
        assert_eq!(other, Some((2000 - (SQLSTATES - own)) as f64));
        assert_eq!(
            value(&metrics, "portcullis_errors_total{sqlstate=\"57P01\"}"),
            Some(1.0)
        );
    }
}
