//! One session's way to server connections, on its tenant's account.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use crate::base::RoleName;

use super::accounting::FlowId;
use super::{Checkout, Lease, Pool, PoolError};

/// A session's hold on its pool: what it checks out counts for its tenant. As long as there is one, the
/// tenant's floor is kept.
#[derive(Debug)]
pub struct Customer {
    pool: Arc<Pool>,
    flow: FlowId,
}

impl Customer {
    pub(super) fn new(pool: Arc<Pool>, flow: FlowId) -> Self {
        Self { pool, flow }
    }

    /// Gets a server connection for a transaction under `role`, as [`Pool::checkout`] does, in the tenant's turn.
    ///
    /// # Errors
    /// As [`Pool::checkout`].
    ///
    /// # Cancel safety
    /// Cancel safe, as [`Pool::checkout`].
    pub async fn checkout(&self, role: &RoleName) -> Result<Lease, PoolError> {
        self.pool.checkout_for(self.flow, role).await
    }

    /// Asks for a server connection without waiting: an idle one, or a place in the queue. `now` is what time it is.
    ///
    /// # Errors
    /// As [`Pool::checkout`], but for the timeout.
    pub fn begin_checkout(&self, role: &RoleName, now: Instant) -> Result<Checkout, PoolError> {
        self.pool.begin_checkout(self.flow, role, now)
    }
}

impl Deref for Customer {
    type Target = Arc<Pool>;

    fn deref(&self) -> &Arc<Pool> {
        &self.pool
    }
}

impl Drop for Customer {
    fn drop(&mut self) {
        self.pool.exit(self.flow);
    }
}
