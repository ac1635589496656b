//! A client that waits for a server connection.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::base::{Event, RoleName, WaitReason, clock};

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
    began: Instant,
    state: State,
}

/// Whether the books may still know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Answered,
}

impl Waiting {
    /// Takes note of a place that was just got.
    pub(super) fn new(
        pool: Arc<Pool>,
        position: Position,
        answer: oneshot::Receiver<Result<Lease, PoolError>>,
        now: Instant,
    ) -> Self {
        let Position {
            ticket,
            place,
            reason,
        } = position;
        pool.events().emit(&Event::WaitBegan { place, reason });
        Self {
            pool,
            ticket,
            answer,
            began: now,
            state: State::Open,
        }
    }

    /// When its time is up; `None` if it may wait for ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.began.checked_add(self.pool.query_wait_timeout()?)
    }

    /// Ready with a connection for a transaction under `role`, when it is its turn; not to be asked again after that.
    ///
    /// # Errors
    /// As [`Pool::checkout`], but for the timeout.
    pub fn poll_turn(&mut self, role: &RoleName, cx: &mut Context<'_>) -> Poll<Result<Lease, PoolError>> {
        let answer = ready!(self.poll_answer(cx));
        Poll::Ready(self.checked_out(answer, role))
    }

    /// Its time is up: leaves the queue. A connection that was handed over in the same moment is not lost.
    ///
    /// # Errors
    /// [`PoolError::WaitTimeout`].
    pub fn give_up(&mut self, role: &RoleName) -> Result<Lease, PoolError> {
        let answer = self.time_out();
        self.checked_out(answer, role)
    }

    /// Waits for a connection for a transaction under `role`, within `query_wait_timeout`.
    ///
    /// # Errors
    /// As [`Pool::checkout`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped wait leaves the queue, and a connection meant for it goes to the next.
    pub async fn turn(mut self, role: &RoleName) -> Result<Lease, PoolError> {
        let answer = self.wait().await;
        self.checked_out(answer, role)
    }

    /// The same, whoever it is for.
    pub(super) async fn wait(&mut self) -> Result<Lease, PoolError> {
        let deadline = self.deadline();
        let answer = poll_fn(|cx| self.poll_answer(cx));
        match deadline {
            None => answer.await,
            Some(deadline) => match timeout_at(deadline.into(), answer).await {
                Ok(answer) => answer,
                Err(_) => self.time_out(),
            },
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Lease, PoolError>> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        self.state = State::Answered;
        // No answer at all: the pool is gone.
        Poll::Ready(answer.unwrap_or(Err(PoolError::Closed)))
    }

    fn time_out(&mut self) -> Result<Lease, PoolError> {
        let (reason, answer) = self.leave();
        self.state = State::Answered;
        answer.unwrap_or_else(|| {
            Err(PoolError::WaitTimeout {
                limit: self.pool.query_wait_timeout().unwrap_or_default(),
                // Answered, and yet no answer: then it waited for its pool.
                reason: reason.unwrap_or(WaitReason::Pool),
            })
        })
    }

    fn checked_out(&self, answer: Result<Lease, PoolError>, role: &RoleName) -> Result<Lease, PoolError> {
        let mut lease = answer?;
        self.pool.checked_out(
            &mut lease,
            role,
            clock::now().saturating_duration_since(self.began),
        );
        Ok(lease)
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
        if self.state == State::Open
            && let (_, Some(Ok(lease))) = self.leave()
        {
            lease.put_back(clock::now());
        }
        self.pool.events().emit(&Event::WaitEnded);
    }
}
