//! Gauges of the pools, read at scrape time from whoever owns the pools.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use crate::base::{DatabaseName, LoginName, PoolMode, ServerName};

/// Pools with series of their own. A fleet of a database per tenant may have tens of thousands; beyond
/// this many the scrape costs more than it tells.
const POOLS_SHOWN: usize = 200;

/// The label of the pools that are summed up.
const OTHER: &str = "other";

/// One pool at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolGauge {
    /// The server it connects to.
    pub server: ServerName,
    /// The database on it.
    pub database: DatabaseName,
    /// The login it uses.
    pub login: LoginName,
    /// How long its clients keep a connection.
    pub mode: PoolMode,
    /// Server connections that wait for a client.
    pub idle: usize,
    /// Server connections a client holds.
    pub leased: usize,
    /// Clients that wait for a server connection.
    pub waiting: usize,
}

/// Tells the state of every pool; called once per scrape.
pub type PoolGauges = Box<dyn Fn() -> Vec<PoolGauge> + Send + Sync>;

/// The collector of [`PoolGauge`]s.
pub(super) struct PoolCollector {
    read: PoolGauges,
    connections: IntGaugeVec,
    waiting: IntGaugeVec,
}

/// What a pool's series are told apart by: server, database, login, mode.
type Labels = [String; 4];

/// What is shown of a pool.
#[derive(Clone, Copy, Default)]
struct Counts {
    idle: usize,
    leased: usize,
    waiting: usize,
}

impl PoolCollector {
    pub(super) fn new(read: PoolGauges) -> Result<Self, prometheus::Error> {
        let (connections, waiting) = gauges()?;
        Ok(Self {
            read,
            connections,
            waiting,
        })
    }
}

impl Collector for PoolCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.connections
            .desc()
            .into_iter()
            .chain(self.waiting.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Fresh gauges per scrape: a pool that is gone leaves no series behind, and two scrapes at one
        // time do not write into each other's.
        let Ok((connections, waiting)) = gauges() else {
            return Vec::new();
        };
        for ([server, database, login, mode], counts) in summed((self.read)()) {
            let states = [("idle", counts.idle), ("leased", counts.leased)];
            for (state, count) in states {
                set(&connections, &[&server, &database, &login, &mode, state], count);
            }
            set(&waiting, &[&server, &database, &login, &mode], counts.waiting);
        }
        connections
            .collect()
            .into_iter()
            .chain(waiting.collect())
            .collect()
    }
}

fn gauges() -> Result<(IntGaugeVec, IntGaugeVec), prometheus::Error> {
    let connections = IntGaugeVec::new(
        Opts::new(
            "portcullis_pool_connections",
            "Server connections of a pool by state.",
        ),
        &["server", "database", "login", "mode", "state"],
    )?;
    let waiting = IntGaugeVec::new(
        Opts::new(
            "portcullis_pool_waiting",
            "Clients that wait for a server connection of a pool.",
        ),
        &["server", "database", "login", "mode"],
    )?;
    Ok((connections, waiting))
}

fn set(gauges: &IntGaugeVec, labels: &[&str], count: usize) {
    if let Ok(gauge) = gauges.get_metric_with_label_values(labels) {
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// The busiest pools by name, the rest as one. Keyed by label, so that no series can appear twice
/// (Prometheus drops a scrape that repeats one), even if a pool is named as the rest is.
fn summed(mut pools: Vec<PoolGauge>) -> BTreeMap<Labels, Counts> {
    pools.sort_by(|a, b| {
        let rank = |pool: &PoolGauge| Reverse((pool.leased.saturating_add(pool.waiting), pool.idle));
        let name = |pool: &PoolGauge| {
            let PoolGauge {
                server,
                database,
                login,
                mode,
                ..
            } = pool;
            (server.clone(), database.clone(), login.clone(), *mode)
        };
        rank(a).cmp(&rank(b)).then_with(|| name(a).cmp(&name(b)))
    });
    let mut shown: BTreeMap<Labels, Counts> = BTreeMap::new();
    for (place, pool) in pools.iter().enumerate() {
        let labels = if place < POOLS_SHOWN {
            let PoolGauge {
                server,
                database,
                login,
                mode,
                ..
            } = pool;
            [server.as_str(), database.as_str(), login.as_str(), mode.as_str()].map(String::from)
        } else {
            [OTHER; 4].map(String::from)
        };
        let counts = shown.entry(labels).or_default();
        counts.idle = counts.idle.saturating_add(pool.idle);
        counts.leased = counts.leased.saturating_add(pool.leased);
        counts.waiting = counts.waiting.saturating_add(pool.waiting);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(database: &str, idle: usize, leased: usize, waiting: usize) -> PoolGauge {
        let database = DatabaseName::from(database);
        PoolGauge {
            server: "main".into(),
            database,
            login: "app".into(),
            mode: PoolMode::Transaction,
            idle,
            leased,
            waiting,
        }
    }

    fn labels(database: &str) -> Labels {
        ["main", database, "app", "transaction"].map(String::from)
    }

    #[test]
    fn the_busiest_are_named_and_the_rest_is_summed() {
        let mut pools: Vec<_> = (0..300).map(|n| pool(&format!("quiet_{n}"), 1, 0, 0)).collect();
        pools.push(pool("busy", 2, 3, 4));
        let shown = summed(pools);
        assert_eq!(shown.len(), POOLS_SHOWN + 1);
        let busy = shown[&labels("busy")];
        assert_eq!((busy.idle, busy.leased, busy.waiting), (2, 3, 4));
        let rest = shown[&[OTHER; 4].map(String::from)];
        assert_eq!((rest.idle, rest.leased, rest.waiting), (101, 0, 0));
    }

    #[test]
    fn a_pool_named_twice_is_one_series() {
        let shown = summed(vec![pool("a", 1, 0, 0), pool("a", 2, 1, 0)]);
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[&labels("a")].idle, 3);
    }

    #[test]
    fn no_pools_no_series() {
        let collector = PoolCollector::new(Box::new(Vec::new)).unwrap();
        assert!(
            collector
                .collect()
                .iter()
                .all(|family| family.get_metric().is_empty())
        );
    }
}
