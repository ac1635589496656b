//! Who may use which server connection: accounting, checkout, lease, reaper.

mod accounting;
mod attempt;
mod backoff;
mod customer;
mod error;
mod host;
mod lease;
// The pool itself is what this module is named after.
#[expect(
    clippy::module_inception,
    reason = "the file holds the type the module is named after"
)]
mod pool;
mod pools;
mod settings;
mod waiting;

pub use accounting::{Access, PoolPart, Share};
pub use customer::Customer;
pub use error::PoolError;
pub use lease::Lease;
pub use pool::{Checkout, Pool, PoolKey, PoolSnapshot};
pub use pools::{Pools, ServerSnapshot};
pub use settings::{Budget, LoginSettings, ServerSettings, Settings};
pub use waiting::Waiting;
