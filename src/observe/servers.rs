//! Gauges of the servers' budgets, read at scrape time from whoever owns the pools.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};

use crate::base::ServerName;

/// One server at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerGauge {
    /// The server.
    pub server: ServerName,
    /// Connections that wait for a client.
    pub idle: usize,
    /// Connections a client holds.
    pub leased: usize,
    /// Logins under way.
    pub connecting: usize,
    /// Clients that wait for a connection.
    pub waiting: usize,
    /// The most connections it may have; `None` without limit.
    pub max: Option<usize>,
}

/// Tells the state of every server; called once per scrape.
pub type ServerGauges = Box<dyn Fn() -> Vec<ServerGauge> + Send + Sync>;

/// The collector of [`ServerGauge`]s. Servers are configured by hand, so each has series of its own.
pub(super) struct ServerCollector {
    read: ServerGauges,
    gauges: IntGaugeVec,
}

impl ServerCollector {
    pub(super) fn new(read: ServerGauges) -> Result<Self, prometheus::Error> {
        Ok(Self {
            read,
            gauges: gauges()?,
        })
    }
}

impl Collector for ServerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Fresh gauges per scrape, as for pools.
        let Ok(gauges) = gauges() else {
            return Vec::new();
        };
        for server in (self.read)() {
            let states = [
                ("idle", Some(server.idle)),
                ("leased", Some(server.leased)),
                ("connecting", Some(server.connecting)),
                ("waiting", Some(server.waiting)),
                ("max", server.max),
            ];
            for (state, count) in states {
                if let Some(count) = count
                    && let Ok(gauge) = gauges.get_metric_with_label_values(&[server.server.as_str(), state])
                {
                    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
                }
            }
        }
        gauges.collect()
    }
}

fn gauges() -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(
        Opts::new(
            "portcullis_server_budget",
            "Connections of a server in all its pools by state, its waiting clients, and its limit.",
        ),
        &["server", "state"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_limit_shows_none() {
        let server = |name: &str, max| ServerGauge {
            server: name.into(),
            idle: 1,
            leased: 2,
            connecting: 3,
            waiting: 4,
            max,
        };
        let read = Box::new(move || vec![server("a", Some(9)), server("b", None)]);
        let families = ServerCollector::new(read).unwrap().collect();
        assert_eq!(families[0].get_metric().len(), 9);
    }
}
