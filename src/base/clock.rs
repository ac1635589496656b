//! What time it is.

use std::time::Instant;

/// The time that deadlines and ages go by: the runtime's, which tests can stop and move. Outside of such a test it is
/// the system's.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
