//! Who may use which server connection: accounting, checkout, lease, reaper.

mod accounting;
mod attempt;
mod backoff;
mod error;
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

pub use error::PoolError;
pub use lease::Lease;
pub use pool::{Pool, PoolKey, PoolSnapshot};
pub use pools::Pools;
pub use settings::{LoginSettings, ServerSettings, Settings};
