//! One server: the books of all its pools under one lock, and what has to follow from them.
//!
//! Lock order: the table of pools ([`Pools`](super::Pools)) before a server's books; a pool's parameters and
//! an answer's channel are never touched under either. No lock is held across an await.

use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use crate::base::{DiscardReason, Event, Events, ServerName, clock};
use crate::server::ServerError;

use super::accounting::{Accounting, Follow, Grant, More, ServerLimits};
use super::attempt::Attempt;
use super::lease::Pooled;
use super::waiting::Waiter;
use super::{Lease, Pool, PoolError, ServerSnapshot};

/// The books of a server as they are kept here.
pub(super) type Books = Accounting<Link, Pooled, Waiter, Arc<ServerError>>;

type Link = Weak<Pool>;
type Next = Follow<Link, Pooled, Waiter, Arc<ServerError>>;
type Handover = Grant<Link, Pooled, Waiter>;

/// One server.
#[derive(Debug)]
pub(super) struct Host {
    name: ServerName,
    limits: ServerLimits,
    events: Events,
    books: Mutex<Books>,
}

impl Host {
    pub(super) fn new(name: ServerName, limits: ServerLimits, events: Events) -> Arc<Self> {
        Arc::new(Self {
            name,
            limits,
            events,
            books: Mutex::new(Accounting::new(limits)),
        })
    }

    /// The books; to be let go of before anything else is called.
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock()
    }

    /// Its counts now.
    pub(super) fn snapshot(&self) -> ServerSnapshot {
        let counts = self.books().server_counts();
        ServerSnapshot {
            server: self.name.clone(),
            idle: counts.idle,
            leased: counts.leased,
            connecting: counts.connecting,
            waiting: counts.waiting,
            max: Some(self.limits.max).filter(|max| *max != usize::MAX),
        }
    }

    /// Does what the books ask for. Never called under the lock.
    pub(super) fn follow(&self, follow: Next) {
        if follow.is_empty() {
            return;
        }
        // A list rather than recursion: any number of waiters may turn out to be gone.
        let mut rest = Vec::new();
        self.carry_out(follow, &mut rest);
        while let Some(follow) = rest.pop() {
            self.carry_out(follow, &mut rest);
        }
    }

    /// Does what the books ask for; what follows from that goes to `rest`.
    fn carry_out(&self, follow: Next, rest: &mut Vec<Next>) {
        let further = follow.more.map(|more| self.make_way(*more));
        rest.extend(follow.grant.and_then(|grant| self.grant(grant)));
        if let Some(further) = further {
            rest.extend(further.into_iter().filter_map(|grant| self.grant(grant)));
        }
    }

    /// Does everything that comes before the handing over: first what makes room, then what uses it.
    fn make_way(&self, more: More<Link, Pooled, Waiter, Arc<ServerError>>) -> Vec<Handover> {
        for pooled in more.evicted {
            self.close(pooled, DiscardReason::Evicted);
        }
        for (waiter, error) in more.stranded {
            // One that has gone needs no answer.
            let _ = waiter.send(Err(PoolError::Server(error)));
        }
        for waiter in more.shed {
            self.events.emit(&Event::WaitShed);
            let _ = waiter.send(Err(PoolError::Overloaded));
        }
        for (pool, link) in more.connects {
            match link.upgrade() {
                Some(pool) => Attempt::start(pool),
                None => self.books().connect_abandoned(pool),
            }
        }
        more.grants
    }

    /// Closes what is idle in any pool and turns away who waits; leased connections are closed at check-in.
    pub(super) fn shut(&self) {
        let (idle, waiters) = self.books().close();
        for pooled in idle {
            self.close(pooled, DiscardReason::Shutdown);
        }
        for waiter in waiters {
            let _ = waiter.send(Err(PoolError::Closed));
        }
    }

    /// Closes a connection that is not leased any more.
    pub(super) fn close(&self, pooled: Pooled, reason: DiscardReason) {
        pooled.server.close();
        self.events.emit(&Event::ServerClosed { reason });
    }

    /// Hands a connection to its waiter; what follows if that does not work.
    fn grant(&self, grant: Handover) -> Option<Next> {
        let Grant {
            link,
            waiter,
            ticket,
            mut connection,
            rested,
            permit,
        } = grant;
        let id = permit.pool();
        // One that comes straight from another client was looked at when that gave it back.
        let fault = if rested.is_zero() {
            None
        } else {
            connection.fault(clock::now())
        };
        let Some(pool) = link.upgrade().filter(|_| fault.is_none()) else {
            let next = {
                let now = clock::now();
                let mut books = self.books();
                // Whoever is gone must not be waited for.
                if !waiter.is_closed() {
                    books.requeue(ticket, waiter);
                }
                books.discarded(permit, now);
                books.settle(id, now)
            };
            self.close(connection, fault.unwrap_or(DiscardReason::Shutdown));
            return Some(next);
        };
        let Err(Ok(lease)) = waiter.send(Ok(Lease::new(pool, connection, permit))) else {
            return None;
        };
        // The waiter has just gone: the next one, then.
        let (pooled, permit) = lease.into_parts()?;
        let now = clock::now();
        let (next, left) = {
            let mut books = self.books();
            let left = books.give_back(permit, pooled, now);
            (books.settle(id, now), left)
        };
        if let Some(pooled) = left {
            self.close(pooled, DiscardReason::Shutdown);
        }
        Some(next)
    }
}
