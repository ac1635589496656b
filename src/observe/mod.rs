//! Consumers of [`Event`](crate::base::Event): metrics and logs.
//!
//! [`Metrics`] counts every event and renders the Prometheus text format; [`EventLog`] writes the few
//! that an operator reads; [`Fanout`] hands one event to both. None of them sees a token, a secret or
//! the text of a statement, because events carry none.

mod bounded;
mod counters;
mod event_log;
mod families;
mod fanout;
mod log;
mod log_queue;
mod memory;
mod metrics;
mod pools;
mod process;
mod servers;
mod throttle;

pub use event_log::EventLog;
pub use fanout::Fanout;
pub use log::{LogError, LogFormat, LogSettings, flush, init};
pub use metrics::{Metrics, MetricsError, MetricsSettings};
pub use pools::{PoolGauge, PoolGauges};
pub use servers::{ServerGauge, ServerGauges};
