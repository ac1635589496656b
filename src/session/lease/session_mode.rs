//! Session mode: the server connection stays with its session between transactions, and is watched there.
//!
//! While a transaction runs nothing differs from transaction mode: a [`Link`] holds the connection, and every
//! transaction gets its prelude. Between two of them the connection waits here, as the login role with nothing
//! granted, with what Postgres keeps for a session: channels, temporary tables, session locks, held cursors.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::base::{CheckIn, DiscardReason, PoolMode};
use crate::pool::Lease;
use crate::session::Session;
use crate::session::io::pump::Wake;
use crate::session::link::Link;
use crate::session::link::effect::Effect;
use crate::wire::replies::Delivery;

/// The server connection of a session that keeps it.
#[derive(Default)]
pub(in crate::session) struct Kept {
    /// Between two transactions; while one runs, the link has it.
    lease: Option<Box<Lease>>,
    taint: Taint,
}

/// Whether a cancel was ever sent for the connection: a late signal could hit whatever it runs next. For the
/// session itself that is as with Postgres; nobody else may have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Taint {
    #[default]
    None,
    Cancelled,
}

impl Kept {
    /// Whether a connection waits here.
    pub(in crate::session) fn is_here(&self) -> bool {
        self.lease.is_some()
    }
}

/// What takes away all that Postgres keeps for a session and that `DISCARD ALL` would; unlike it, each of these
/// may run in a transaction and leaves the prepared statements, which are ours.
const DISCARD_KEPT: [&str; 5] = [
    "CLOSE ALL",
    "UNLISTEN *",
    "SELECT pg_catalog.pg_advisory_unlock_all()",
    "DISCARD TEMP",
    "DISCARD SEQUENCES",
];

impl Session {
    /// Whether the session keeps its server connection.
    pub(in crate::session) fn keeps(&self) -> bool {
        self.identity.route.mode == PoolMode::Session
    }

    /// Its transaction is over: the connection waits for the next one.
    pub(in crate::session) fn keep(&mut self, lease: Lease) {
        if self.ticket.slot().end() {
            self.kept.taint = Taint::Cancelled;
        }
        self.kept.lease = Some(Box::new(lease));
    }

    /// Takes the kept connection into use, if there is one.
    pub(in crate::session) fn resume_kept(&mut self, now: Instant) -> bool {
        let Some(lease) = self.kept.lease.take() else {
            return false;
        };
        self.ticket.slot().begin(Arc::clone(lease.cancel_key()));
        self.link = Some(Box::new(Link::new(
            *lease,
            self.setup.context(),
            self.identity.route.mode,
            now,
        )));
        true
    }

    /// The session is over. The connection of an end user's is reset: its policy bounds what it can have left,
    /// and the server shows that nothing is. A trusted session may have left what no reset takes away (libraries
    /// loaded, links of dblink, the seed of random()), so its connection is closed.
    pub(in crate::session) fn give_up_kept(&mut self, verdict: CheckIn) {
        let Some(lease) = self.kept.lease.take() else {
            return;
        };
        let unread = !self.answers.are_passed_on();
        let verdict = match verdict {
            CheckIn::Discard(DiscardReason::ServerGone) => verdict,
            // It is idle: closed with a goodbye, and nothing is there to be cancelled.
            CheckIn::Discard(DiscardReason::Shutdown) => CheckIn::Discard(DiscardReason::SessionEnded),
            _ if self.kept.taint == Taint::Cancelled => CheckIn::Discard(DiscardReason::Cancelled),
            // The rest of a notification that is half read could not be told from an answer.
            _ if unread || self.policy.is_trusted() => CheckIn::Discard(DiscardReason::SessionEnded),
            _ => CheckIn::Reset,
        };
        lease.check_in(verdict);
    }

    /// The server's process that the session has, in use or kept.
    pub(in crate::session) fn server_pid(&self) -> Option<i32> {
        match &self.link {
            Some(link) => Some(link.server_pid()),
            None => Some(self.kept.lease.as_deref()?.cancel_key().pid()),
        }
    }

    /// Gives up a kept connection that cannot be trusted.
    pub(in crate::session) fn discard_kept(&mut self, reason: DiscardReason) {
        if let Some(lease) = self.kept.lease.take() {
            lease.check_in(CheckIn::Discard(reason));
        }
    }

    /// Listens to the kept connection: notifications come unasked, and so does the news of its end.
    pub(in crate::session) fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        // Back-pressure: a client that does not read is not read for.
        if !self.client.outbox.is_empty() || !self.answers.have_room() {
            return Poll::Pending;
        }
        let Some(lease) = &mut self.kept.lease else {
            return Poll::Pending;
        };
        match self.answers.poll_fill(&mut lease.stream, cx) {
            Poll::Ready(Ok(1..)) => Poll::Ready(Wake::Server),
            Poll::Ready(_) => Poll::Ready(Wake::ServerGone),
            Poll::Pending => Poll::Pending,
        }
    }

    /// DISCARD ALL: what Postgres keeps for the session goes.
    pub(in crate::session) fn discard_server_state(&mut self) {
        if self.keeps()
            && let Some(link) = &mut self.link
        {
            for sql in DISCARD_KEPT {
                link.run_unnamed(
                    crate::session::link::Text::ours(sql),
                    Delivery::Hide,
                    Effect::None,
                );
            }
        }
    }
}
