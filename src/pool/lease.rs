//! The right to use one server connection.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::base::limits::{RESET_TIMEOUT, ROLLBACK_TIMEOUT};
use crate::base::{CheckIn, DiscardReason, Event, clock};
use crate::server::{CancelKey, ServerConn, ServerError};

use super::Pool;
use super::accounting::Permit;

/// A server connection checked out of its pool. Ends with [`Lease::check_in`]; dropped without it, the
/// connection is closed and what it ran is cancelled.
#[derive(Debug)]
pub struct Lease {
    // The order matters: the socket closes before the slot lets another connection be opened.
    pooled: Pooled,
    slot: Slot,
}

/// A server connection as the pool keeps it.
#[derive(Debug)]
pub(super) struct Pooled {
    /// Boxed, as it is handed on with every transaction.
    pub(super) server: Box<ServerConn>,
    /// When it is too old to be used again; `None`: never.
    pub(super) retire_at: Option<Instant>,
}

/// What a connection needs before it can serve others.
#[derive(Clone, Copy, Debug)]
enum Remedy {
    Rollback,
    Reset,
}

/// The lease's entry in the pool's books.
#[derive(Debug)]
struct Slot {
    pool: Arc<Pool>,
    /// `None` once the lease has ended properly.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    permit: Permit,
    /// What to cancel if the lease is dropped.
    key: Arc<CancelKey>,
}

impl Lease {
    /// A lease on a connection that the books count as leased.
    pub(super) fn new(pool: Arc<Pool>, pooled: Pooled, permit: Permit) -> Self {
        let key = Arc::clone(pooled.server.cancel_key());
        let open = Some(Open { permit, key });
        Self {
            pooled,
            slot: Slot { pool, open },
        }
    }

    /// Ends the lease.
    ///
    /// * [`CheckIn::Reuse`]: every reply has been read and the server is idle outside a transaction.
    /// * [`CheckIn::Rollback`]: every reply has been read and a transaction is open, failed or not. A task
    ///   rolls it back; the connection serves others if that works within [`ROLLBACK_TIMEOUT`].
    /// * [`CheckIn::Reset`]: no reply is awaited and no transaction is open. A task makes the connection as new
    ///   and has the server show it; it serves others if that works within [`RESET_TIMEOUT`].
    /// * [`CheckIn::Discard`]: anything else. The connection is closed; where a statement may still run for
    ///   nobody, it is cancelled.
    ///
    /// A connection past its lifetime, or on which something unread has arrived, is closed in any case.
    pub fn check_in(self, verdict: CheckIn) {
        self.check_in_at(verdict, clock::now());
    }

    /// The same, for a caller that knows what time it is.
    pub fn check_in_at(self, verdict: CheckIn, now: Instant) {
        self.slot.pool.events().emit(&Event::CheckedIn { verdict });
        match verdict {
            CheckIn::Reuse => self.put_back(now),
            CheckIn::Rollback => self.restore(Remedy::Rollback),
            CheckIn::Reset => self.restore(Remedy::Reset),
            CheckIn::Discard(reason) => self.discard(reason),
        }
    }

    /// Closes the connection and opens one in its place, by the same login and counted as the same, with `more`
    /// parameters in its startup packet. No other client can use such a connection, nor one that could not be opened:
    /// the lease ends with [`CheckIn::Discard`].
    ///
    /// # Errors
    /// As [`ServerConn::connect`].
    ///
    /// # Cancel safety
    /// Dropped, it leaves a lease on a closed connection.
    pub async fn reconnect(&mut self, more: &[(String, String)]) -> Result<(), ServerError> {
        // Past its lifetime from now on, so that no verdict keeps it.
        self.pooled.retire_at = Some(clock::now());
        self.pooled.server.hang_up();
        *self.pooled.server = ServerConn::connect_with(self.slot.pool.target(), more).await?;
        if let Some(open) = &mut self.slot.open {
            open.key = Arc::clone(self.pooled.server.cancel_key());
        }
        Ok(())
    }

    /// Returns a clean connection to the pool.
    pub(super) fn put_back(mut self, now: Instant) {
        match self.pooled.fault(now) {
            Some(reason) => self.discard(reason),
            None => {
                if let (pooled, slot, Some(permit)) = self.end() {
                    slot.pool.give(pooled, permit, now);
                }
            }
        }
    }

    /// Gives up the lease without any transition: the books still count the connection as leased.
    pub(super) fn into_parts(self) -> Option<(Pooled, Permit)> {
        let (pooled, _, permit) = self.end();
        Some((pooled, permit?))
    }

    fn end(self) -> (Pooled, Slot, Option<Permit>) {
        let Self { pooled, mut slot } = self;
        let permit = slot.open.take().map(|open| open.permit);
        (pooled, slot, permit)
    }

    fn discard(self, reason: DiscardReason) {
        let (pooled, slot, Some(permit)) = self.end() else {
            return;
        };
        let key = Arc::clone(pooled.server.cancel_key());
        match reason {
            // Idle, gone, or cancelled already.
            DiscardReason::ServerGone
            | DiscardReason::Lifetime
            | DiscardReason::Idle
            | DiscardReason::Evicted
            | DiscardReason::DatabaseChanges
            | DiscardReason::SessionEnded
            | DiscardReason::Unclean
            | DiscardReason::Cancelled => pooled.server.close(),
            // A statement may still run, for nobody.
            DiscardReason::ClientGone
            | DiscardReason::ProtocolViolation
            | DiscardReason::PinnedSetting
            | DiscardReason::Timeout
            | DiscardReason::Ceiling
            | DiscardReason::Dropped
            | DiscardReason::Shutdown => {
                drop(pooled);
                cancel_soon(key);
            }
        }
        slot.pool.forget(permit, reason);
    }

    fn restore(mut self, remedy: Remedy) {
        let Ok(runtime) = Handle::try_current() else {
            return self.discard(DiscardReason::Shutdown);
        };
        // The task holds the lease: if it is dropped half-way, the connection is closed.
        runtime.spawn(async move {
            let outcome = match remedy {
                Remedy::Rollback => timeout(ROLLBACK_TIMEOUT, self.roll_back_now()).await,
                Remedy::Reset => timeout(RESET_TIMEOUT, self.pooled.server.reset()).await,
            };
            match outcome {
                Ok(Ok(())) => self.put_back(clock::now()),
                Ok(Err(reason)) => self.discard(reason),
                Err(_) => self.discard(DiscardReason::Timeout),
            }
        });
    }

    /// Not cancel safe, as [`ServerConn::roll_back`].
    async fn roll_back_now(&mut self) -> Result<(), DiscardReason> {
        match self.pooled.server.disturbance() {
            Some(reason) => Err(reason),
            None => self.pooled.server.roll_back().await,
        }
    }
}

impl Deref for Lease {
    type Target = ServerConn;

    fn deref(&self) -> &ServerConn {
        &self.pooled.server
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut ServerConn {
        &mut self.pooled.server
    }
}

impl Pooled {
    /// Why the connection must not be used again, if so.
    pub(super) fn fault(&mut self, now: Instant) -> Option<DiscardReason> {
        if self.retire_at.is_some_and(|retire_at| now >= retire_at) {
            // A dead one that is old as well: what it says is worth more than its age.
            return Some(self.server.disturbance().unwrap_or(DiscardReason::Lifetime));
        }
        self.server.disturbance()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(Open { permit, key }) = self.open.take() {
            cancel_soon(key);
            self.pool.forget(permit, DiscardReason::Dropped);
        }
    }
}

/// Cancels what a closed connection may still run: the server itself would notice only when it next writes.
/// The key fits one backend and that is never used again, so a late signal can hit nobody else.
fn cancel_soon(key: Arc<CancelKey>) {
    // Outside a runtime the process is ending; its sockets close by themselves.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            // Nobody is left to tell.
            let _ = key.send().await;
        });
    }
}
