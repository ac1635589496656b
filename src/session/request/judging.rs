//! Waits until a long text may be judged. As many are judged at a time as leaves the other cores to the other sessions;
//! tenants take turns, so that one with many long texts waits for its own.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::{ClientEnd, Fault, SqlState, Turn, limits};
use crate::session::Session;
use crate::wire::body;
use crate::wire::tag::client as tag;

/// What came of the wait for a turn. The error is that of the message that has waited.
pub(in crate::session) type Turned = Result<Turn, Box<Fault>>;

impl Session {
    /// Whether a message is a long text that it must wait to have judged.
    pub(in crate::session) fn awaits_judge(&self, tag: u8, body: &[u8]) -> bool {
        if body.len() < limits::LONG_TEXT_BYTES {
            return false;
        }
        let text = match tag {
            tag::QUERY => body::query(body).ok(),
            tag::PARSE => body::parse(body).ok().map(|message| message.sql),
            _ => None,
        };
        text.is_some_and(|text| !self.shared.guard.knows(self.asker(), &self.policy, text))
    }

    /// Waits for the turn to judge the message at hand, until the client cancels or leaves, or time is up. `Err` ends
    /// the session.
    ///
    /// Cancel safe: a dropped wait leaves its place.
    pub(in crate::session) async fn wait_to_judge(&mut self) -> Result<Turned, ClientEnd> {
        let mut place = match self.shared.turns.ask(self.identity.stay.account().id()) {
            Ok(turn) => return Ok(Ok(turn)),
            Err(place) => place,
        };
        let is_free = self.link.is_none();
        if is_free {
            self.ticket.slot().wait();
        }
        let limit = self.shared.settings.judge_wait_timeout;
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let turn = poll_fn(|cx| {
            if let Poll::Ready(turn) = place.poll(cx) {
                return Poll::Ready(Ok(turn));
            }
            if is_free && self.ticket.slot().poll_cancelled(cx).is_ready() {
                return Poll::Ready(Err(Ok(cancelled())));
            }
            if self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Err(ClientEnd::Vanished)));
            }
            match deadline {
                Some(deadline) => self.clock.poll(deadline, cx).map(|()| Err(Ok(too_late(limit)))),
                None => Poll::Pending,
            }
        });
        let outcome = turn.await;
        if is_free {
            self.ticket.slot().end();
        }
        match outcome {
            Ok(turn) => Ok(Ok(turn)),
            Err(Ok(fault)) => Ok(Err(Box::new(fault))),
            Err(Err(end)) => Err(end),
        }
    }
}

fn cancelled() -> Fault {
    Fault::error(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}

fn too_late(limit: Option<Duration>) -> Fault {
    Fault::error(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        format!(
            "a long statement has waited for its turn to be read for {} ms",
            limit.unwrap_or_default().as_millis()
        ),
    )
    .with_hint("Send shorter statements, or fewer at a time. query_wait_timeout is the limit.")
}
