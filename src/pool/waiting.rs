//! A client that waits for a server connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::base::Event;

use super::accounting::Ticket;
use super::{Lease, Pool, PoolError};

/// Where the answer to a waiting client goes.
pub(super) type Waiter = oneshot::Sender<Result<Lease, PoolError>>;

/// A place in a pool's queue. Dropping it leaves the queue; a connection that was handed over in the same
/// moment goes to the next in line.
#[derive(Debug)]
pub(super) struct Waiting {
    pool: Arc<Pool>,
    ticket: Ticket,
    answer: oneshot::Receiver<Result<Lease, PoolError>>,
}

impl Waiting {
    /// Takes note of a place that was just got.
    pub(super) fn new(
        pool: Arc<Pool>,
        ticket: Ticket,
        answer: oneshot::Receiver<Result<Lease, PoolError>>,
    ) -> Self {
        pool.events().emit(&Event::WaitBegan);
        Self { pool, ticket, answer }
    }

    /// Waits for the answer, at most for `limit`. Cancel safe: see [`Waiting`].
    pub(super) async fn wait(mut self, limit: Option<Duration>) -> Result<Lease, PoolError> {
        let answer = match limit {
            None => (&mut self.answer).await,
            Some(limit) => match timeout(limit, &mut self.answer).await {
                Ok(answer) => answer,
                Err(_) => return self.leave().unwrap_or(Err(PoolError::WaitTimeout(limit))),
            },
        };
        // No answer at all: the pool is gone.
        answer.unwrap_or(Err(PoolError::Closed))
    }

    /// Leaves the queue; an answer that arrived before is not lost.
    fn leave(&mut self) -> Option<Result<Lease, PoolError>> {
        self.pool.leave(self.ticket);
        // From here on a sender gets its lease back; what it sent before is taken out.
        self.answer.close();
        self.answer.try_recv().ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(Ok(lease)) = self.leave() {
            lease.put_back();
        }
        self.pool.events().emit(&Event::WaitEnded);
    }
}
