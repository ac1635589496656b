//! Getting a server connection, and giving it back: one place per transition.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use crate::base::{CheckIn, ClientEnd, DiscardReason, Event, Fault, SqlState, clock};
use crate::pool::{Checkout, Lease, Waiting};
use crate::session::Session;
use crate::session::io::pump::expired;
use crate::session::link::{Left, Link};

impl Session {
    /// Leases a server connection. The error within is that of the message that needed it; `Err` ends the session. A
    /// client that leaves while it waits leaves the queue: a connection that begins to work for it would have to be closed.
    ///
    /// Cancel safe: a dropped checkout leaves its place in the queue.
    pub(in crate::session) async fn check_out(&mut self) -> Result<Result<(), Fault>, ClientEnd> {
        let now = clock::now();
        if self.clock.expired_since(now.into()).is_some() {
            self.say(&expired(self.identity.principal.credential()));
            return Err(ClientEnd::Expired);
        }
        if self.resume_kept(now) {
            return Ok(Ok(()));
        }
        self.ticket.slot().wait();
        let (leased, now) = match self.identity.pool.begin_checkout(&self.identity.route.role, now) {
            Ok(Checkout::Lease(lease)) => (Ok(lease), now),
            Ok(Checkout::Waiting(waiting)) => (self.wait_for_turn(waiting).await?, clock::now()),
            Err(error) => (Err(Fault::from(&error)), now),
        };
        match leased {
            Ok(lease) => {
                self.ticket.slot().begin(Arc::clone(lease.cancel_key()));
                self.link = Some(Box::new(Link::new(
                    lease,
                    self.setup.context(),
                    self.identity.route.mode,
                    now,
                )));
            }
            Err(fault) => {
                self.ticket.slot().end();
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }

    /// Waits for a server connection, until the client cancels or leaves, or its time is up. Cancel safe: see
    /// [`Waiting`].
    async fn wait_for_turn(&mut self, mut waiting: Waiting) -> Result<Result<Lease, Fault>, ClientEnd> {
        let role = &self.identity.route.role;
        let deadline = waiting.deadline().map(tokio::time::Instant::from_std);
        let turn = poll_fn(|cx| {
            if let Poll::Ready(leased) = waiting.poll_turn(role, cx) {
                return Poll::Ready(Ok(leased));
            }
            if self.ticket.slot().poll_cancelled(cx).is_ready() {
                return Poll::Ready(Err(None));
            }
            if self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Some(ClientEnd::Vanished)));
            }
            match deadline {
                Some(deadline) => self.clock.poll(deadline, cx).map(|()| Ok(waiting.give_up(role))),
                None => Poll::Pending,
            }
        });
        match turn.await {
            Ok(leased) => Ok(leased.map_err(|error| Fault::from(&error))),
            Err(None) => Ok(Err(Fault::error(
                SqlState::QUERY_CANCELED,
                "canceling statement due to user request",
            ))),
            Err(Some(end)) => Err(end),
        }
    }

    /// Gives the server connection back if its transaction is over.
    pub(in crate::session) fn check_in_if_done(&mut self) {
        let Some(link) = self.link.take_if(|link| link.is_clean()) else {
            return;
        };
        let now = clock::now();
        self.teller().tell(&Event::TransactionDone {
            took: now.saturating_duration_since(link.began),
            bytes_in: link.bytes_in,
            bytes_out: link.bytes_out,
        });
        self.clock.is_idle_from(now.into());
        if self.keeps() {
            return self.keep(link.end());
        }
        let verdict = if self.ticket.slot().end() {
            // The cancel may have come too late for its query: its signal could hit the next one.
            CheckIn::Discard(DiscardReason::Cancelled)
        } else if !self.answers.are_passed_on() {
            CheckIn::Discard(DiscardReason::ProtocolViolation)
        } else {
            match link.traces.left() {
                Left::Nothing => CheckIn::Reuse,
                Left::ByCode => CheckIn::Reset,
                Left::ForGood => CheckIn::Discard(DiscardReason::SessionEnded),
            }
        };
        link.end().check_in_at(verdict, now);
    }
}
