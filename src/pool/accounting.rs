//! The pool's books: who holds a connection, who waits, whether to connect. Pure: no I/O, no clock, no tokio.
//!
//! A connection is always in exactly one place: idle (in here), leased (counted here, held outside) or being
//! connected (counted). Each method is one transition; [`Accounting::settle`] after it says what to start.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::base::DiscardReason;
use crate::base::limits::{CONNECTS_PER_POOL, ROLE_AFFINITY_SCAN};

use super::backoff::Backoff;

/// The sizes and times of one pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most connections, in whatever state.
    pub(super) max: usize,
    /// Connections to keep open; at most `max`.
    pub(super) min: usize,
    /// How long one may be idle; `None`: for ever.
    pub(super) idle_timeout: Option<Duration>,
    /// Pause after the first failed login.
    pub(super) login_retry: Duration,
}

/// The books, over connections `C`, waiters `W` and errors `E`.
#[derive(Debug)]
pub(super) struct Accounting<C, W, E> {
    limits: Limits,
    /// Least recently used first. Empty while anybody waits.
    idle: VecDeque<Idle<C>>,
    leased: usize,
    connecting: usize,
    /// In order of arrival, as tickets only grow.
    waiters: BTreeMap<Ticket, W>,
    next_ticket: u64,
    backoff: Backoff<E>,
    closed: bool,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    since: Instant,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// What a checkout leads to.
#[derive(Debug)]
pub(super) enum Decision<C, E> {
    /// Take this connection.
    Lease(C),
    /// Enqueue, then settle.
    Wait,
    /// Nothing to wait for: there is no connection, and the last login failed just now.
    Fail(E),
}

/// What to do after a transition.
#[derive(Debug)]
pub(super) struct Follow<W, E> {
    /// Connects to start; counted already.
    pub(super) connects: usize,
    /// Waiters whom nothing can serve any more, with the reason.
    pub(super) stranded: Option<(Vec<W>, E)>,
}

/// How many connections and waiters there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) idle: usize,
    pub(super) leased: usize,
    pub(super) connecting: usize,
    pub(super) waiting: usize,
}

impl<C, W, E: Clone> Accounting<C, W, E> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            idle: VecDeque::new(),
            leased: 0,
            connecting: 0,
            waiters: BTreeMap::new(),
            next_ticket: 0,
            backoff: Backoff::new(limits.login_retry),
            closed: false,
        }
    }

    /// Somebody wants a connection: the most recently used one that `fits`, else the most recently used.
    /// Those who wait come first, but while anybody waits nothing is idle.
    pub(super) fn checkout(&mut self, now: Instant, fits: impl Fn(&C) -> bool) -> Decision<C, E> {
        if let Some(connection) = self.take_idle(fits) {
            self.leased += 1;
            return Decision::Lease(connection);
        }
        match self.backoff.in_force(now) {
            Some(error) if self.is_hopeless() => Decision::Fail(error.clone()),
            _ => Decision::Wait,
        }
    }

    /// Somebody waits, behind all who do already.
    pub(super) fn enqueue(&mut self, waiter: W) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiters.insert(ticket, waiter);
        ticket
    }

    /// Somebody no longer waits; `None` if it was served or failed before.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<W> {
        self.waiters.remove(&ticket)
    }

    /// A leased connection is free: it stays leased and goes to the first waiter, or becomes idle.
    /// A waiter who turns out to be gone is answered by calling this again.
    pub(super) fn give_back(&mut self, connection: C, now: Instant) -> Option<(W, C)> {
        if let Some((_, waiter)) = self.waiters.pop_first() {
            return Some((waiter, connection));
        }
        self.leased = self.leased.saturating_sub(1);
        self.idle.push_back(Idle {
            connection,
            since: now,
        });
        None
    }

    /// A leased connection was closed.
    pub(super) fn discarded(&mut self) {
        self.leased = self.leased.saturating_sub(1);
    }

    /// A connect worked: the connection counts as leased until it is given back.
    pub(super) fn connected(&mut self) {
        self.connecting = self.connecting.saturating_sub(1);
        self.leased += 1;
        self.backoff.succeeded();
    }

    /// A connect failed. `jitter` in 0..1 shortens the pause that follows.
    pub(super) fn connect_failed(&mut self, now: Instant, jitter: f64, error: E) {
        self.connecting = self.connecting.saturating_sub(1);
        self.backoff.failed(now, jitter, error);
    }

    /// What has to follow the transitions since the last call: new connects, and an answer to those whom
    /// neither a connection nor a connect can serve.
    pub(super) fn settle(&mut self, now: Instant) -> Follow<W, E> {
        if self.closed {
            return Follow {
                connects: 0,
                stranded: None,
            };
        }
        let Some(error) = self.backoff.in_force(now) else {
            return Follow {
                connects: self.begin_connects(),
                stranded: None,
            };
        };
        let stranded = (self.is_hopeless() && !self.waiters.is_empty()).then(|| error.clone());
        let stranded =
            stranded.map(|error| (std::mem::take(&mut self.waiters).into_values().collect(), error));
        Follow {
            connects: 0,
            stranded,
        }
    }

    /// Removes idle connections: those that `fault` objects to, and above `min` those idle for too long.
    pub(super) fn reap(
        &mut self,
        now: Instant,
        mut fault: impl FnMut(&mut C) -> Option<DiscardReason>,
    ) -> Vec<(C, DiscardReason)> {
        let mut reaped = Vec::new();
        for mut idle in std::mem::take(&mut self.idle) {
            match fault(&mut idle.connection) {
                Some(reason) => reaped.push((idle.connection, reason)),
                None => self.idle.push_back(idle),
            }
        }
        if let Some(timeout) = self.limits.idle_timeout {
            while self.open() > self.limits.min
                && self
                    .idle
                    .front()
                    .is_some_and(|oldest| now.saturating_duration_since(oldest.since) >= timeout)
                && let Some(oldest) = self.idle.pop_front()
            {
                reaped.push((oldest.connection, DiscardReason::Idle));
            }
        }
        reaped
    }

    /// Changes how many connections are kept open.
    pub(super) fn set_min(&mut self, min: usize) {
        self.limits.min = min.min(self.limits.max);
    }

    /// Nothing more is connected or served: gives up what is idle and who waits.
    pub(super) fn close(&mut self) -> (Vec<C>, Vec<W>) {
        self.closed = true;
        let idle = std::mem::take(&mut self.idle)
            .into_iter()
            .map(|idle| idle.connection)
            .collect();
        (idle, std::mem::take(&mut self.waiters).into_values().collect())
    }

    /// Whether [`Self::close`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            idle: self.idle.len(),
            leased: self.leased,
            connecting: self.connecting,
            waiting: self.waiters.len(),
        }
    }

    fn take_idle(&mut self, fits: impl Fn(&C) -> bool) -> Option<C> {
        let fitting = self
            .idle
            .iter()
            .rev()
            .take(ROLE_AFFINITY_SCAN)
            .position(|idle| fits(&idle.connection));
        let taken = match fitting {
            Some(from_back) => self.idle.remove(self.idle.len() - 1 - from_back),
            None => self.idle.pop_back(),
        };
        taken.map(|idle| idle.connection)
    }

    /// Counts as many connects as are needed and allowed. After a failure one probe goes ahead.
    fn begin_connects(&mut self) -> usize {
        let side_by_side = if self.backoff.is_failing() {
            1
        } else {
            CONNECTS_PER_POOL
        };
        let missing = self.limits.min.saturating_sub(self.idle.len() + self.leased);
        let needed = self.waiters.len().max(missing);
        let room = self.limits.max.saturating_sub(self.idle.len() + self.leased);
        let wanted = side_by_side.min(needed).min(room);
        let connects = wanted.saturating_sub(self.connecting);
        self.connecting += connects;
        connects
    }

    /// Whether no connection exists and none is being made.
    fn is_hopeless(&self) -> bool {
        self.open() == 0
    }

    fn open(&self) -> usize {
        self.idle.len() + self.leased + self.connecting
    }
}

#[cfg(test)]
mod tests;
