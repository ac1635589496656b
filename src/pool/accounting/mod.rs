//! The books of one server: who holds its connections, who waits, what to open and what to close. Pure: no
//! I/O, no clock, no tokio.
//!
//! A server has pools, a pool has flows: what one tenant asks of it. A connection is always in exactly one
//! place: idle (on the shelf), leased (counted here, held outside with its [`Permit`]) or being connected
//! (counted). Each method is one transition; [`Accounting::settle`] after it says what to do.

mod crowd;
mod flow;
mod growth;
mod ledger;
mod pick;
mod queue;
mod shelf;
mod slots;
mod turns;

pub(super) use flow::{Permit, Ticket};
pub use flow::{PoolPart, Share};
pub(super) use slots::{FlowId, PoolId};

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::base::{DiscardReason, TenantName, WaitReason};

use super::backoff::Backoff;
use crowd::Crowd;
use flow::{Flow, Tenant};
use growth::Hunger;
use ledger::{Ledger, Totals};
use shelf::Shelf;
use slots::{Slots, TenantId};

/// The sizes and times of one server. `usize::MAX` is without limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerLimits {
    /// Most connections, in whatever state, of all pools.
    pub(super) max: usize,
    /// How many of them are for trusted logins alone.
    pub(super) reserved: usize,
    /// Logins under way at one time.
    pub(super) logins: usize,
    /// Clients that wait at one time.
    pub(super) waiting: usize,
    /// Pause after the first failed login.
    pub(super) login_retry: Duration,
}

/// The sizes and times of one pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolLimits {
    /// Most connections, in whatever state.
    pub(super) max: usize,
    /// Connections to keep open; at most `max`.
    pub(super) min: usize,
    /// How long one may be idle; `None`: for ever.
    pub(super) idle_timeout: Option<Duration>,
    /// Pause after the first failed login.
    pub(super) login_retry: Duration,
    /// Whose pool it is.
    pub(super) access: Access,
}

/// Whom a login serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// End users.
    EndUser,
    /// Trusted roles: they may use the server's reserved connections as well.
    Trusted,
}

/// The books, over links to pools `P`, connections `C`, waiters `W` and errors `E`.
#[derive(Debug)]
pub(super) struct Accounting<P, C, W, E> {
    limits: ServerLimits,
    pools: Slots<PoolId, Ledger<P, E>>,
    flows: Slots<FlowId, Flow<W>>,
    tenants: Slots<TenantId, Tenant>,
    by_name: HashMap<TenantName, TenantId>,
    shelf: Shelf<C>,
    totals: Totals,
    hunger: Hunger,
    crowd: Crowd,
    /// Pools that the transitions since the last settling have touched.
    touched: Vec<PoolId>,
    follow: Follow<P, C, W, E>,
    backoff: Backoff<E>,
    next_number: u64,
    closed: bool,
}

/// What a checkout leads to.
#[derive(Debug)]
pub(super) enum Decision<C, E> {
    /// Take this connection, then settle: its tenant may be at its cap now, and what its clients in other pools
    /// wait for no longer counts as wanted by right.
    Lease(C, Permit),
    /// Enqueue, then settle.
    Wait,
    /// Nothing to wait for: there is no connection, and the last login failed just now.
    Fail(E),
    /// Too many wait already, and nobody has more waiting than this one's tenant.
    Shed,
    /// Nothing is served any more.
    Closed,
}

/// A waiter who gets a connection.
#[derive(Debug)]
pub(super) struct Grant<P, C, W> {
    pub(super) link: P,
    pub(super) waiter: W,
    pub(super) ticket: Ticket,
    pub(super) connection: C,
    /// How long the connection was idle; zero if it comes straight from another lease or a login.
    pub(super) rested: Duration,
    pub(super) permit: Permit,
}

/// What to do after a transition. Usually it is nothing, or one connection to hand over.
#[derive(Debug)]
pub(super) struct Follow<P, C, W, E> {
    /// A connection to hand over, counted as leased.
    pub(super) grant: Option<Grant<P, C, W>>,
    /// Everything else, which comes before it. Boxed, as it is rare.
    pub(super) more: Option<Box<More<P, C, W, E>>>,
}

/// What else there is to do after a transition.
#[derive(Debug)]
pub(super) struct More<P, C, W, E> {
    /// Idle connections to close, which make room for another pool's.
    pub(super) evicted: Vec<C>,
    /// Waiters whom nothing can serve any more, with the reason.
    pub(super) stranded: Vec<(W, E)>,
    /// Waiters who make room for those whose tenant has fewer waiting.
    pub(super) shed: Vec<W>,
    /// Connects to start, counted as connecting.
    pub(super) connects: Vec<(PoolId, P)>,
    /// Further connections to hand over.
    pub(super) grants: Vec<Grant<P, C, W>>,
}

/// Where somebody who begins to wait stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) ticket: Ticket,
    /// Clients that wait in the same pool, this one included.
    pub(super) place: usize,
    pub(super) reason: WaitReason,
}

/// How many connections and waiters there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) idle: usize,
    pub(super) leased: usize,
    pub(super) connecting: usize,
    pub(super) waiting: usize,
}

/// How far a failed login tells of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The server cannot be reached or takes nobody.
    Server,
    /// It refused this login or this database.
    Pool,
}

impl<P: Clone, C, W, E: Clone> Accounting<P, C, W, E> {
    pub(super) fn new(limits: ServerLimits) -> Self {
        Self {
            limits,
            pools: Slots::new(),
            flows: Slots::new(),
            tenants: Slots::new(),
            by_name: HashMap::new(),
            shelf: Shelf::new(),
            totals: Totals::default(),
            hunger: Hunger::new(),
            crowd: Crowd::default(),
            touched: Vec::new(),
            follow: Follow::default(),
            backoff: Backoff::new(limits.login_retry),
            next_number: 0,
            closed: false,
        }
    }

    /// Adds a pool without connections.
    pub(super) fn add_pool(&mut self, link: P, limits: PoolLimits, now: Instant) -> PoolId {
        self.pools.insert(Ledger::new(link, limits, now))
    }

    /// Takes a pool that nobody holds out of the books; its idle connections are to be closed.
    pub(super) fn retire(&mut self, pool: PoolId) -> Vec<C> {
        let Some(ledger) = self.pools.find_mut(pool) else {
            return Vec::new();
        };
        ledger.retired = true;
        let access = ledger.limits.access;
        let places = std::mem::take(&mut ledger.idle);
        self.totals.of(access).idle -= places.len();
        self.crave(pool, None);
        let idle = places
            .into_iter()
            .filter_map(|place| self.shelf.take(place))
            .collect();
        self.drop_retired(pool);
        idle
    }

    /// Somebody wants a connection: the most recently used one that `fits`, else the most recently used.
    /// Those who wait come first, but nobody waits whom an idle connection of the pool could serve.
    pub(super) fn checkout(
        &mut self,
        flow: FlowId,
        now: Instant,
        fits: impl Fn(&C) -> bool,
    ) -> Decision<C, E> {
        if self.closed {
            return Decision::Closed;
        }
        let of = &self.flows[flow];
        let (pool, waits) = (of.pool, !of.queue.is_empty());
        self.pools[pool].last_used = now;
        if !waits
            && self.may_lease(flow)
            && let Some(connection) = self.take_idle(pool, fits)
        {
            return Decision::Lease(connection, self.lease(flow, now, 0));
        }
        let ledger = &self.pools[pool];
        match self.pause(ledger, now) {
            Some(error) if ledger.open() == 0 => Decision::Fail(error.clone()),
            _ if self.is_crowded_by(flow) => Decision::Shed,
            _ => Decision::Wait,
        }
    }

    /// Somebody waits, behind all of the same flow who do already.
    pub(super) fn enqueue(&mut self, flow: FlowId, waiter: W) -> Position {
        self.make_space();
        let number = self.next_number;
        self.next_number += 1;
        self.join(flow, number, waiter);
        let ledger = &self.pools[self.flows[flow].pool];
        Position {
            ticket: Ticket { flow, number },
            place: ledger.waiting,
            reason: self.reason(flow),
        }
    }

    /// A waiter whose connection turned out to be unusable waits on, at the place it had.
    pub(super) fn requeue(&mut self, ticket: Ticket, waiter: W) {
        if self.flows.find(ticket.flow).is_some() {
            self.join(ticket.flow, ticket.number, waiter);
        }
    }

    /// Somebody no longer waits; the waiter and what it waited for, or `None` if it was answered before. Then settle:
    /// what was kept from others for it may serve them now.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<(W, WaitReason)> {
        let flow = self.flows.find(ticket.flow)?;
        if !flow.queue.contains(ticket.number) {
            return None;
        }
        let reason = self.reason(ticket.flow);
        let waiter = self.part(ticket.flow, ticket.number)?;
        self.drop_unused(ticket.flow);
        Some((waiter, reason))
    }

    /// A leased connection is free. Given back if nothing is served any more: then it is to be closed.
    pub(super) fn give_back(&mut self, permit: Permit, connection: C, now: Instant) -> Option<C> {
        let pool = permit.pool;
        self.end(permit, now);
        if self.closed {
            return Some(connection);
        }
        // Straight to whose turn it is where no other pool can have a better claim.
        if self.pools[pool].idle.is_empty()
            && self.hunger.is_empty()
            && let Some(next) = self.call_next(pool)
        {
            self.hand_over(next, connection, Duration::ZERO, now);
        } else {
            self.put_down(pool, connection, now);
            self.yield_turn(pool, now);
        }
        None
    }

    /// A leased connection was closed.
    pub(super) fn discarded(&mut self, permit: Permit, now: Instant) {
        self.end(permit, now);
    }

    /// A connect worked. Given back if nothing is served any more: then it is to be closed.
    pub(super) fn connected(&mut self, pool: PoolId, connection: C, now: Instant) -> Option<C> {
        self.end_connect(pool);
        if self.backoff.is_failing() {
            // It is up again: pools that were held back by that may go on.
            self.backoff.succeeded();
            self.touch_discontent();
        }
        let ledger = &mut self.pools[pool];
        ledger.backoff.succeeded();
        if ledger.retired || self.closed {
            self.drop_retired(pool);
            return Some(connection);
        }
        if ledger.idle.len() + ledger.leased == 0 {
            ledger.turn_began = now;
        }
        self.put_down(pool, connection, now);
        None
    }

    /// A connect failed. `jitter` in 0..1 shortens the pause that follows.
    pub(super) fn connect_failed(&mut self, pool: PoolId, now: Instant, jitter: f64, blame: Blame, error: E) {
        self.end_connect(pool);
        match blame {
            Blame::Pool => self.pools[pool].backoff.failed(now, jitter, error),
            Blame::Server => {
                self.backoff.failed(now, jitter, error);
                // Those too who wait for a cap or a floor rather than for the server may have nothing left to wait for.
                self.touch_discontent();
            }
        }
        self.drop_retired(pool);
    }

    /// A connect never began, as its pool is gone.
    pub(super) fn connect_abandoned(&mut self, pool: PoolId) {
        self.end_connect(pool);
        self.drop_retired(pool);
    }

    /// What has to follow the transitions since the last call, the last of which was about `pool`.
    pub(super) fn settle(&mut self, pool: PoolId, now: Instant) -> Follow<P, C, W, E> {
        if !self.closed && !self.is_settled(pool) {
            self.touched.push(pool);
            while let Some(touched) = self.touched.pop() {
                if self.pools.find(touched).is_some() {
                    self.strand(touched, now);
                    self.serve(touched, now);
                    self.crave(touched, self.appetite(touched, now));
                }
                if self.touched.is_empty() {
                    self.feed(now);
                }
            }
        }
        std::mem::take(&mut self.follow)
    }

    /// As [`Self::settle`], for those alone that are known to want something.
    pub(super) fn settle_others(&mut self, now: Instant) -> Follow<P, C, W, E> {
        if !self.closed {
            self.feed(now);
        }
        std::mem::take(&mut self.follow)
    }

    /// Removes idle connections of a pool: those that `fault` objects to, and above its minimum those idle
    /// for too long.
    pub(super) fn reap(
        &mut self,
        pool: PoolId,
        now: Instant,
        mut fault: impl FnMut(&mut C) -> Option<DiscardReason>,
    ) -> Vec<(C, DiscardReason)> {
        let ledger = &self.pools[pool];
        let PoolLimits {
            min, idle_timeout, ..
        } = ledger.limits;
        let mut above_min = ledger.open().saturating_sub(min);
        let mut reaped = Vec::new();
        for index in (0..ledger.idle.len()).rev() {
            let place = self.pools[pool].idle.get(index).copied();
            let idle = place.and_then(|place| self.shelf.get_mut(place));
            if let Some(reason) = idle.and_then(|idle| fault(&mut idle.connection)) {
                above_min = above_min.saturating_sub(1);
                reaped.extend(self.take_at(pool, index).map(|connection| (connection, reason)));
            }
        }
        while above_min > 0
            && let Some(timeout) = idle_timeout
            && let Some(oldest) = self.pools[pool].idle.front()
            && let Some(idle) = self.shelf.get(*oldest)
            && now.saturating_duration_since(idle.since) >= timeout
        {
            above_min -= 1;
            reaped.extend(
                self.take_at(pool, 0)
                    .map(|connection| (connection, DiscardReason::Idle)),
            );
        }
        reaped
    }

    /// Changes how many connections a pool keeps open.
    pub(super) fn set_min(&mut self, pool: PoolId, min: usize) {
        let limits = &mut self.pools[pool].limits;
        limits.min = min.min(limits.max);
    }

    /// Nothing more is connected or served: gives up what is idle and who waits.
    pub(super) fn close(&mut self) -> (Vec<C>, Vec<W>) {
        self.closed = true;
        let (mut idle, mut waiters) = (Vec::new(), Vec::new());
        for pool in self.pools.keys().collect::<Vec<_>>() {
            while let Some(connection) = self.take_at(pool, 0) {
                idle.push(connection);
            }
            self.crave(pool, None);
            waiters.extend(self.send_away(pool));
        }
        (idle, waiters)
    }

    /// The counts of one pool.
    pub(super) fn counts(&self, pool: PoolId) -> Counts {
        self.pools.find(pool).map_or_else(Counts::default, Ledger::counts)
    }

    /// The counts of the server.
    pub(super) fn server_counts(&self) -> Counts {
        self.totals.counts()
    }

    /// When somebody last wanted a connection of a pool.
    pub(super) fn last_used(&self, pool: PoolId) -> Option<Instant> {
        self.pools.find(pool).map(|ledger| ledger.last_used)
    }

    /// Whether nothing can follow from a transition of this pool, as is usual.
    fn is_settled(&self, pool: PoolId) -> bool {
        let at_rest = |ledger: &Ledger<P, E>| ledger.is_content() || ledger.is_full();
        self.pools.find(pool).is_some_and(at_rest) && self.touched.is_empty() && self.hunger.is_empty()
    }

    /// Marks every pool that wants anything, whether the server could give it now or not.
    fn touch_discontent(&mut self) {
        let wants = |pool: &PoolId| !self.pools[*pool].is_content();
        self.touched.extend(self.pools.keys().filter(wants));
    }

    /// Answers everybody in a pool that has no connection and may not make one.
    fn strand(&mut self, pool: PoolId, now: Instant) {
        let ledger = &self.pools[pool];
        if ledger.waiting > 0
            && ledger.open() == 0
            && let Some(error) = self.pause(ledger, now).cloned()
        {
            let away = self.send_away(pool);
            let told = away.into_iter().map(|waiter| (waiter, error.clone()));
            self.follow.more().stranded.extend(told);
        }
    }

    /// The error to answer with while neither this pool nor any may connect.
    fn pause<'a>(&'a self, ledger: &'a Ledger<P, E>, now: Instant) -> Option<&'a E> {
        let own = ledger.backoff.in_force(now);
        own.or_else(|| self.backoff.in_force(now))
    }
}

impl<P, C, W, E> Follow<P, C, W, E> {
    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.grant.is_none() && self.more.is_none()
    }

    fn grant(&mut self, grant: Grant<P, C, W>) {
        match self.grant {
            None => self.grant = Some(grant),
            Some(_) => self.more().grants.push(grant),
        }
    }

    fn more(&mut self) -> &mut More<P, C, W, E> {
        self.more.get_or_insert_default()
    }
}

impl<P, C, W, E> Default for Follow<P, C, W, E> {
    fn default() -> Self {
        Self {
            grant: None,
            more: None,
        }
    }
}

impl<P, C, W, E> Default for More<P, C, W, E> {
    fn default() -> Self {
        Self {
            evicted: Vec::new(),
            stranded: Vec::new(),
            shed: Vec::new(),
            connects: Vec::new(),
            grants: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
