//! Counters that are told apart by a label whose values are found out while running.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::OnceLock;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::bounded::Bounded;
use crate::base::SqlState;

/// Upper bounds in seconds: 100 µs, where a transaction on a local network begins, to 30 s, where
/// `query_wait_timeout` ends a wait by default.
const SECONDS: [f64; 17] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// The label of everything beyond a bound.
pub(super) const OTHER: &str = "other";

/// Puts a value in its place among a metric's labels.
type Labels = for<'a> fn(&'a str) -> Vec<&'a str>;

/// One counter per key, up to a bound; the rest counts as [`OTHER`]. A series appears with its first use.
pub(super) struct Counters<K> {
    counters: Bounded<K, Option<IntCounter>>,
    other: OnceLock<Option<IntCounter>>,
    family: IntCounterVec,
    labels: Labels,
}

impl<K: Hash + Eq> Counters<K> {
    /// Counters of `family` for at most `bound` keys; `labels` makes the label values of one.
    pub(super) fn new(bound: usize, family: &IntCounterVec, labels: Labels) -> Self {
        Self {
            counters: Bounded::new(bound),
            other: OnceLock::new(),
            family: family.clone(),
            labels,
        }
    }

    /// The counter of `key`, whose label is `value`. `None` only if `labels` does not fit the family.
    fn get<Q>(&self, key: &Q, value: &str, owned: impl Fn() -> K) -> Option<&IntCounter>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let counter = |value| {
            self.family
                .get_metric_with_label_values(&(self.labels)(value))
                .ok()
        };
        self.counters
            .get_or_insert_with(key, || (owned(), counter(value)))
            .unwrap_or_else(|| self.other.get_or_init(|| counter(OTHER)))
            .as_ref()
    }
}

impl Counters<&'static str> {
    pub(super) fn inc(&self, key: &'static str) {
        inc(self.get(key, key, || key));
    }
}

impl Counters<SqlState> {
    pub(super) fn inc(&self, sqlstate: SqlState) {
        inc(self.get(&sqlstate, sqlstate.as_str(), || sqlstate));
    }

    /// Makes room for these codes at once, so that a client that raises odd ones cannot crowd them out.
    pub(super) fn with_known(self, sqlstates: &[SqlState]) -> Self {
        for sqlstate in sqlstates {
            self.get(sqlstate, sqlstate.as_str(), || *sqlstate);
        }
        self
    }
}

impl Counters<Box<str>> {
    pub(super) fn inc(&self, key: &str) {
        inc(self.get(key, key, || key.into()));
    }
}

fn inc(counter: Option<&IntCounter>) {
    if let Some(counter) = counter {
        counter.inc();
    }
}

/// A registered gauge without labels.
pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    registered(registry, IntGauge::new(name, help)?)
}

/// A registered counter without labels.
pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    registered(registry, IntCounter::new(name, help)?)
}

/// A registered counter with labels.
pub(super) fn counter_vec(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

/// A registered histogram of seconds.
pub(super) fn histogram(registry: &Registry, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
    registered(registry, Histogram::with_opts(opts)?)
}

/// Registers a metric and gives it back.
pub(super) fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
