//! Queues: who waits, who is next, and who must make room when too many wait.

use std::time::{Duration, Instant};

use crate::base::WaitReason;
use crate::base::limits::ROLE_AFFINITY_SCAN;

use super::flow::{Flow, Place, Standing};
use super::slots::{FlowId, PoolId};
use super::turns::Arrival;
use super::{Access, Accounting, Grant, Ticket};

/// A waiter whose turn it is, out of its queue.
#[derive(Debug)]
pub(super) struct Called<W> {
    ticket: Ticket,
    waiter: W,
    prepaid_us: i64,
}

impl<P: Clone, C, W, E: Clone> Accounting<P, C, W, E> {
    /// Whether a flow for which nobody waits may have an idle connection of its pool.
    pub(super) fn may_lease(&self, id: FlowId) -> bool {
        let flow = &self.flows[id];
        match self.standing(flow) {
            Standing::Urgent => true,
            Standing::Line => self.leaves_floors(flow.pool),
            Standing::Spare => self.leaves_floors(flow.pool) && self.is_calm(flow.pool),
            Standing::Parked => false,
        }
    }

    /// Hands idle connections of a pool to those who wait for it, each in its turn.
    pub(super) fn serve(&mut self, pool: PoolId, now: Instant) {
        while let Some(place) = self.pools[pool].idle.back().copied()
            && let Some(next) = self.call_next(pool)
        {
            let since = self.shelf.get(place).map_or(now, |idle| idle.since);
            let newest = self.pools[pool].idle.len() - 1;
            if let Some(connection) = self.take_at(pool, newest) {
                self.hand_over(next, connection, now.saturating_duration_since(since), now);
            }
        }
    }

    /// Takes who is next in a pool out of the queue, if there may be a lease now, and charges it.
    pub(super) fn call_next(&mut self, pool: PoolId) -> Option<Called<W>> {
        let flow = self.next_flow(pool)?;
        let number = self.flows[flow].queue.first()?;
        let prepaid_us = self.prepay(flow);
        let waiter = self.part(flow, number)?;
        let ticket = Ticket { flow, number };
        Some(Called {
            ticket,
            waiter,
            prepaid_us,
        })
    }

    /// Leases a connection, which was idle for so long, to who was called.
    pub(super) fn hand_over(&mut self, called: Called<W>, connection: C, rested: Duration, now: Instant) {
        let Called {
            ticket,
            waiter,
            prepaid_us,
        } = called;
        let permit = self.lease(ticket.flow, now, prepaid_us);
        self.follow.grant(Grant {
            link: self.pools[permit.pool].link.clone(),
            waiter,
            ticket,
            connection,
            rested,
            permit,
        });
    }

    /// The flow that is next in a pool, if it may have a connection now.
    pub(super) fn next_flow(&self, pool: PoolId) -> Option<FlowId> {
        let ledger = &self.pools[pool];
        if let Some((_, flow)) = ledger.urgent.first_key_value() {
            return Some(*flow);
        }
        if ledger.waiting == 0 || !self.leaves_floors(pool) {
            return None;
        }
        let spare = || {
            let (_, flow) = ledger.spare.first_key_value()?;
            self.is_calm(pool).then_some(*flow)
        };
        ledger.turns.first().or_else(spare)
    }

    /// Whether one more lease leaves the floors of others what is kept for them, in the pool and on the
    /// server. They are kept at most half of either.
    fn leaves_floors(&self, pool: PoolId) -> bool {
        let ledger = &self.pools[pool];
        let limit = self.limit(ledger.limits.access);
        let server = self.totals.unmet == 0
            || ledger.limits.access == Access::Trusted
            || self.totals.end_users.leased + self.totals.unmet.min(limit / 2) < limit;
        server && ledger.spares_floors()
    }

    /// Whether nobody wants more who is within its cap.
    pub(super) fn is_calm(&self, pool: PoolId) -> bool {
        let ledger = &self.pools[pool];
        ledger.urgent.is_empty() && ledger.turns.is_empty() && self.hunger.is_calm()
    }

    /// Takes an idle connection, one that `fits` if there is any among the most recently used.
    pub(super) fn take_idle(&mut self, pool: PoolId, fits: impl Fn(&C) -> bool) -> Option<C> {
        let idle = &self.pools[pool].idle;
        let fitting = idle
            .iter()
            .rev()
            .take(ROLE_AFFINITY_SCAN)
            .position(|place| self.shelf.get(*place).is_some_and(|idle| fits(&idle.connection)));
        let last = idle.len().checked_sub(1)?;
        self.take_at(pool, last - fitting.unwrap_or(0))
    }

    /// Takes an idle connection of a pool by its index.
    pub(super) fn take_at(&mut self, pool: PoolId, index: usize) -> Option<C> {
        let ledger = &mut self.pools[pool];
        let place = ledger.idle.remove(index)?;
        self.totals.of(ledger.limits.access).idle -= 1;
        self.shelf.take(place)
    }

    /// Makes a connection idle.
    pub(super) fn put_down(&mut self, pool: PoolId, connection: C, now: Instant) {
        let place = self.shelf.put(connection, pool, now);
        let ledger = &mut self.pools[pool];
        ledger.idle.push_back(place);
        self.totals.of(ledger.limits.access).idle += 1;
    }

    /// Adds a waiter to a flow.
    pub(super) fn join(&mut self, flow: FlowId, number: u64, waiter: W) {
        self.resize(flow, |flow| flow.queue.insert(number, waiter));
        // Where others wait already it is in its place.
        if self.flows[flow].place == Place::Out {
            self.place(flow, Arrival::Fresh);
        }
    }

    /// Takes a waiter out of a flow.
    pub(super) fn part(&mut self, flow: FlowId, number: u64) -> Option<W> {
        let mut waiter = None;
        self.resize(flow, |flow| waiter = flow.queue.remove(number));
        if self.flows[flow].queue.is_empty() {
            self.displace(flow);
        }
        waiter
    }

    /// Takes everybody out of a pool's queues.
    pub(super) fn send_away(&mut self, pool: PoolId) -> Vec<W> {
        let mut away = Vec::new();
        for flow in self.pools[pool].flows.values().copied().collect::<Vec<_>>() {
            self.resize(flow, |flow| away.extend(flow.queue.drain()));
            self.displace(flow);
            self.drop_unused(flow);
        }
        // In order of arrival, whosever they are.
        away.sort_unstable_by_key(|(number, _)| *number);
        away.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// Whether as many wait as may, and no tenant has more waiting than this flow would then have.
    pub(super) fn is_crowded_by(&self, flow: FlowId) -> bool {
        let of = &self.flows[flow];
        let trusted = self.pools[of.pool].limits.access == Access::Trusted;
        let longest = self.crowd.longest().map_or(0, |(length, _)| length);
        !trusted && self.totals.waiting >= self.limits.waiting && longest <= of.queue.len() + 1
    }

    /// Sends the newest waiter of the longest queue away if as many wait as may.
    pub(super) fn make_space(&mut self) {
        if self.totals.waiting < self.limits.waiting {
            return;
        }
        if let Some((_, flow)) = self.crowd.longest()
            && let Some(newest) = self.flows[flow].queue.last()
            && let Some(waiter) = self.part(flow, newest)
        {
            self.follow.more().shed.push(waiter);
            self.touched.push(self.flows[flow].pool);
        }
    }

    /// What a flow's waiters wait for.
    pub(in super::super) fn reason(&self, id: FlowId) -> WaitReason {
        let flow = &self.flows[id];
        let ledger = &self.pools[flow.pool];
        match self.standing(flow) {
            Standing::Parked | Standing::Spare => WaitReason::Cap,
            Standing::Line if !self.leaves_floors(flow.pool) => WaitReason::Floor,
            Standing::Urgent | Standing::Line if ledger.open() - ledger.connecting >= ledger.limits.max => {
                WaitReason::Pool
            }
            Standing::Urgent | Standing::Line if self.has_room(ledger.limits.access) => {
                WaitReason::Connecting
            }
            Standing::Urgent | Standing::Line if ledger.connecting > 0 => WaitReason::Connecting,
            Standing::Urgent | Standing::Line => WaitReason::Server,
        }
    }

    /// Changes a queue, and with it what is counted.
    fn resize(&mut self, id: FlowId, change: impl FnOnce(&mut Flow<W>)) {
        let before = self.flows[id].queue.len();
        self.adjust(id, change);
        let flow = &self.flows[id];
        let after = flow.queue.len();
        let ledger = &mut self.pools[flow.pool];
        ledger.waiting = ledger.waiting + after - before;
        self.totals.waiting = self.totals.waiting + after - before;
        // Who is trusted is not sent away, and so not looked for.
        let lengths = match ledger.limits.access {
            Access::EndUser => (before, after),
            Access::Trusted => (0, 0),
        };
        let waiting = (self.totals.waiting, self.limits.waiting);
        let (flows, pools) = (&self.flows, &self.pools);
        self.crowd.resized(id, lengths, waiting, || {
            let end_users = flows.keys().filter(|id| {
                let flow = &flows[*id];
                !flow.queue.is_empty() && pools[flow.pool].limits.access == Access::EndUser
            });
            end_users.map(|id| (flows[id].queue.len(), id)).collect()
        });
    }
}
