//! Gauges of the memory budget, read at scrape time.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGaugeVec, Opts};

use crate::base::memory::Budget;

/// The collector of a [`Budget`].
pub(super) struct MemoryCollector {
    budget: Arc<Budget>,
    bytes: IntGaugeVec,
    refusals: IntCounter,
}

impl MemoryCollector {
    pub(super) fn new(budget: Arc<Budget>) -> Result<Self, prometheus::Error> {
        let bytes = IntGaugeVec::new(
            Opts::new(
                "portcullis_memory_budget_bytes",
                "The memory budget: the whole, its parts, and what tenants hold.",
            ),
            &["state"],
        )?;
        let refusals = IntCounter::new(
            "portcullis_memory_refusals_total",
            "Times that something was refused for want of memory in the budget.",
        )?;
        Ok(Self {
            budget,
            bytes,
            refusals,
        })
    }
}

impl Collector for MemoryCollector {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.bytes.desc();
        all.extend(self.refusals.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = self.budget.snapshot();
        for (state, bytes) in [
            ("max", now.max),
            ("caches", now.caches),
            ("sessions", now.sessions),
            ("shared", now.shared),
            ("used", now.used),
        ] {
            if let Ok(gauge) = self.bytes.get_metric_with_label_values(&[state]) {
                gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        }
        self.refusals
            .inc_by(now.refused.saturating_sub(self.refusals.get()));
        let mut all = self.bytes.collect();
        all.extend(self.refusals.collect());
        all
    }
}
