//! Turns at what takes the processor: as many at a time as leave it to others. Tenants take turns, so that one with much
//! to do waits for its own.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::yield_now;

/// Who has a turn, and who waits for one.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// One queue for each tenant that waits; the first of the first is next, and its tenant goes to the end. A session
    /// waits once at a time, so there are no more places than sessions, those aside that have been left.
    queues: VecDeque<(usize, VecDeque<oneshot::Sender<()>>)>,
}

/// A turn. The next one gets it when it is dropped.
#[derive(Debug)]
pub struct Turn(Arc<Turns>);

/// A place in the queue. Dropped, it is left.
#[derive(Debug)]
pub struct Place {
    turns: Arc<Turns>,
    called: oneshot::Receiver<()>,
}

impl Turns {
    /// So many turns at a time, at least one.
    pub fn new(at_a_time: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: at_a_time.max(1),
                queues: VecDeque::new(),
            }),
        })
    }

    /// Waits until it is a tenant's turn to work on, and lets those work meanwhile that wait for no turn. The turn itself
    /// is over when this returns: the caller works until it waits for something else.
    ///
    /// Cancel safe: a dropped wait leaves its place.
    pub async fn work_on(self: &Arc<Self>, tenant: usize) {
        let turn = match self.ask(tenant) {
            Ok(turn) => turn,
            Err(mut place) => poll_fn(|cx| place.poll(cx)).await,
        };
        // Had meanwhile, so that those who ask for one wait aside instead of standing in the scheduler's queue.
        yield_now().await;
        drop(turn);
    }

    /// A turn at once, or a place in the queue of a tenant.
    pub fn ask(self: &Arc<Self>, tenant: usize) -> Result<Turn, Place> {
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
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
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
