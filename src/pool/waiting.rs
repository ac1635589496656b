//! A client that waits for a server connection.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::base::{Event, RoleName, WaitReason};

use super::accounting::{Position, Ticket};
use super::{Lease, Pool, PoolError};

/// Where the answer to a waiting client goes.
pub(super) type Waiter = oneshot::Sender<Result<Lease, PoolError>>;

/// A place in a pool's queue. Dropping it leaves the queue; a connection that was handed over in the same
/// moment goes to the next in line.
#[derive(Debug)]
pub struct Waiting {
    pool: Arc<Pool>,
    ticket: Ticket,
    answer: oneshot::Receiver<Result<Lease, PoolError>>,
}

impl Waiting {
    /// Takes note of a place that was just got.
    pub(super) fn new(
        pool: Arc<Pool>,
        position: Position,
        answer: oneshot::Receiver<Result<Lease, PoolError>>,
    ) -> Self {
        let Position {
            ticket,
            place,
            reason,
        } = position;
        pool.events().emit(&Event::WaitBegan { place, reason });
        Self { pool, ticket, answer }
    }

    /// Waits for a connection for a transaction under `role`, within `query_wait_timeout`.
    ///
    /// # Errors
    /// As [`Pool::checkout`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped wait leaves the queue, and a connection meant for it goes to the next.
    pub async fn turn(self, role: &RoleName) -> Result<Lease, PoolError> {
        let pool = Arc::clone(&self.pool);
        let began = Instant::now();
        let mut lease = self.wait().await?;
        pool.checked_out(&mut lease, role, began.elapsed());
        Ok(lease)
    }

    /// The same, whoever it is for.
    pub(super) async fn wait(mut self) -> Result<Lease, PoolError> {
        let answer = match self.pool.query_wait_timeout() {
            None => (&mut self.answer).await,
            Some(limit) => match timeout(limit, &mut self.answer).await {
                Ok(answer) => answer,
                Err(_) => match self.leave() {
                    (_, Some(answer)) => return answer,
                    (reason, None) => {
                        // Answered, and yet no answer: then it waited for its pool.
                        let reason = reason.unwrap_or(WaitReason::Pool);
                        return Err(PoolError::WaitTimeout { limit, reason });
                    }
                },
            },
        };
        // No answer at all: the pool is gone.
        answer.unwrap_or(Err(PoolError::Closed))
    }

    /// Leaves the queue and says what it waited for; an answer that arrived before is not lost.
    fn leave(&mut self) -> (Option<WaitReason>, Option<Result<Lease, PoolError>>) {
        let reason = self.pool.leave(self.ticket);
        // From here on a sender gets its lease back; what it sent before is taken out.
        self.answer.close();
        (reason, self.answer.try_recv().ok())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let (_, Some(Ok(lease))) = self.leave() {
            lease.put_back(Instant::now());
        }
        self.pool.events().emit(&Event::WaitEnded);
    }
}
