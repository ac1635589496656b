//! What `portcullis dev` stands on: a private Postgres of the machine's own binaries, a watchdog that
//! leaves nothing behind, and a demonstration with two tenants.
//!
//! [`Cluster`] blocks: call it from a blocking thread when inside a runtime. It is also what the
//! integration tests start their servers with.

mod account;
mod binaries;
mod cluster;
mod demo;
mod demo_config;
mod error;
mod folder;
mod options;
mod postmaster;
mod script;
mod seed;
mod signing;
mod stop;
pub mod watchdog;

pub use binaries::{Binaries, Version};
pub use cluster::{Cluster, SUPERUSER};
pub use demo::{Demo, DemoUrl};
pub use error::DevError;
pub use options::{ClusterOptions, DataDir};
pub use script::Script;
pub use stop::{StopReason, StopSignals};
