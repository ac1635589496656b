//! Turns at judging long texts. As many are judged at a time as leaves the other cores to the other sessions; tenants
//! take turns, so that one with many long texts waits for its own.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Session;
use crate::base::{ClientEnd, Fault, SqlState, limits};
use crate::wire::body;
use crate::wire::tag::client as tag;

/// Who judges, and who waits to.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// One queue for each tenant that waits; the first of the first is next, and its tenant goes to the end. A session
    /// waits once at a time, so there are no more places than sessions, those aside that have been left.
    queues: VecDeque<(usize, VecDeque<oneshot::Sender<()>>)>,
}

/// The right to judge one long text. The next one gets it when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

/// What came of the wait for a turn. The error is that of the message that has waited.
pub(super) type Turned = Result<Turn, Box<Fault>>;

/// A place in the queue. Dropped, it is left.
#[derive(Debug)]
struct Place {
    turns: Arc<Turns>,
    called: oneshot::Receiver<()>,
}

impl Turns {
    /// So many at a time.
    pub(super) fn new(at_a_time: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: at_a_time.max(1),
                queues: VecDeque::new(),
            }),
        })
    }

    /// A turn at once, or a place in the queue of a tenant.
    fn ask(self: &Arc<Self>, tenant: usize) -> Result<Turn, Place> {
        let mut state = self.state.lock();
        if state.free > 0 {
            state.free -= 1;
            return Ok(Turn(Arc::clone(self)));
        }
        let (call, called) = oneshot::channel();
        match state.queues.iter_mut().find(|(of, _)| *of == tenant) {
            Some((_, queue)) => queue.push_back(call),
            None => state.queues.push_back((tenant, VecDeque::from([call]))),
        }
        Err(Place {
            turns: Arc::clone(self),
            called,
        })
    }

    /// A turn is over: calls the next who has not left.
    fn pass_on(&self) {
        loop {
            let mut state = self.state.lock();
            let Some((tenant, mut queue)) = state.queues.pop_front() else {
                state.free += 1;
                return;
            };
            let next = queue.pop_front();
            if !queue.is_empty() {
                state.queues.push_back((tenant, queue));
            }
            drop(state);
            if next.is_some_and(|next| next.send(()).is_ok()) {
                return;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

impl Place {
    /// Ready when it is this one's turn.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        // The sender is only dropped with a call, or with the queue.
        Pin::new(&mut self.called)
            .poll(cx)
            .map(|_| Turn(Arc::clone(&self.turns)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.called.close();
        if self.called.try_recv().is_ok() {
            // Called, and gone.
            self.turns.pass_on();
        }
    }
}

impl Session {
    /// Whether a message is a long text that it must wait to have judged.
    pub(super) fn awaits_judge(&self, tag: u8, body: &[u8]) -> bool {
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
    pub(super) async fn wait_to_judge(&mut self) -> Result<Turned, ClientEnd> {
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn is_called(place: &mut Place) -> Option<Turn> {
        match place.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn tenants_take_turns_and_who_has_left_is_passed_over() {
        let turns = Turns::new(1);
        let first = turns.ask(1).unwrap();
        let mut greedy: Vec<Place> = (0..3).map(|_| turns.ask(1).unwrap_err()).collect();
        let mut other = turns.ask(2).unwrap_err();
        drop(first);
        let turn = is_called(&mut greedy[0]).unwrap();
        assert!(is_called(&mut other).is_none() && is_called(&mut greedy[1]).is_none());
        drop(turn);
        let turn = is_called(&mut other).unwrap();
        drop(greedy.remove(1));
        drop(turn);
        let last = is_called(&mut greedy[1]).unwrap();
        // Called, and gone before it has looked.
        let gone = turns.ask(3).unwrap_err();
        drop(last);
        drop(gone);
        assert_eq!(turns.state.lock().free, 1);
        assert!(turns.state.lock().queues.is_empty());
        assert!(turns.ask(2).is_ok());
    }
}
