//! Flows: what one tenant asks of one pool, and what it may have.

use std::collections::hash_map::Entry;
use std::time::Instant;

use crate::base::TenantName;

use super::queue::Queue;
use super::slots::{FlowId, PoolId, TenantId};
use super::turns::{Arrival, Credit, Turn};
use super::{Access, Accounting};

/// What a tenant may have of a server's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its part of the connections' time where others want it too, relative to theirs.
    pub weight: u32,
    /// Connections of each pool that are kept for it as long as it has sessions.
    pub floor: usize,
    /// Most connections of the server; `None` is without limit.
    pub cap: Option<usize>,
    /// How many more while nobody else waits.
    pub burst: usize,
    /// How much of one pool.
    pub of_pool: PoolPart,
}

/// How much of one pool a tenant may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolPart {
    /// All of it.
    #[default]
    All,
    /// All but a quarter, rounded up, so that something is left for those it shares the pool with. Of a pool of one, that one.
    Most,
}

impl Default for Share {
    /// As everybody: weight 1, nothing kept, no limit.
    fn default() -> Self {
        Self {
            weight: 1,
            floor: 0,
            cap: None,
            burst: 0,
            of_pool: PoolPart::All,
        }
    }
}

/// What one tenant asks of one pool; there is one more for sessions without a tenant.
#[derive(Debug)]
pub(super) struct Flow<W> {
    pub(super) pool: PoolId,
    pub(super) tenant: Option<TenantId>,
    pub(super) share: Share,
    /// Sessions; it is awake while there are any.
    pub(super) sessions: usize,
    pub(super) leased: usize,
    pub(super) queue: Queue<W>,
    pub(super) place: Place,
    credit: Credit,
    /// How long its leases last, a moving mean.
    typical_us: i64,
}

/// One tenant, in all of its flows.
#[derive(Debug)]
pub(super) struct Tenant {
    name: TenantName,
    /// What its end users hold.
    pub(super) leased: usize,
    flows: Vec<FlowId>,
}

/// Where a flow with waiters stands in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nobody waits.
    Out,
    Urgent(u64),
    Turn(Turn),
    Spare(u64),
    /// At the tenant's limit: only its own connections can serve it.
    Parked,
}

/// What a flow may have now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Below its floor: before all others.
    Urgent,
    /// Its turn.
    Line,
    /// What nobody else wants.
    Spare,
    /// Nothing.
    Parked,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Ticket {
    pub(super) flow: FlowId,
    pub(super) number: u64,
}

/// The right to one connection, as long as it is leased. The books take it back.
#[derive(Debug)]
#[must_use]
pub(in super::super) struct Permit {
    pub(super) flow: FlowId,
    pub(super) pool: PoolId,
    since: Instant,
    prepaid_us: i64,
}

/// Microseconds of one connection that a round gives to weight 1: a transaction or a few.
const QUANTUM_US: i64 = 1_000;

/// What a lease costs at least, so that nobody goes on for ever by being quick.
const LEAST_US: i64 = 50;

impl<W> Flow<W> {
    /// Connections that its floor still lacks.
    pub(super) fn unmet(&self) -> usize {
        if self.sessions == 0 {
            return 0;
        }
        self.share.floor.saturating_sub(self.leased)
    }

    /// Its weight, while it holds or wants anything.
    pub(super) fn weight(&self) -> u64 {
        if self.leased == 0 && self.queue.is_empty() {
            return 0;
        }
        u64::from(self.share.weight)
    }

    fn quantum(&self) -> i64 {
        QUANTUM_US * i64::from(self.share.weight.max(1))
    }
}

impl<P: Clone, C, W, E: Clone> Accounting<P, C, W, E> {
    /// A session of some tenant will use a pool: its flow, which is awake until [`Self::exit`].
    pub(in super::super) fn enter(
        &mut self,
        pool: PoolId,
        tenant: Option<&TenantName>,
        share: Share,
    ) -> FlowId {
        let share = match self.pools[pool].limits.access {
            Access::EndUser => share,
            Access::Trusted => Share::default(),
        };
        let tenant = tenant.map(|name| self.tenant(name));
        let flow = match self.pools[pool].flows.entry(tenant) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let flow = self.flows.insert(Flow {
                    pool,
                    tenant,
                    share,
                    sessions: 0,
                    leased: 0,
                    queue: Queue::new(),
                    place: Place::Out,
                    credit: Credit::default(),
                    typical_us: LEAST_US,
                });
                if let Some(tenant) = tenant {
                    self.tenants[tenant].flows.push(flow);
                }
                *new.insert(flow)
            }
        };
        self.adjust(flow, |flow| {
            flow.sessions += 1;
            flow.share = share;
        });
        self.place(flow, Arrival::Fresh);
        flow
    }

    /// A session ended.
    pub(in super::super) fn exit(&mut self, flow: FlowId) {
        self.adjust(flow, |flow| flow.sessions = flow.sessions.saturating_sub(1));
        self.drop_unused(flow);
    }

    fn tenant(&mut self, name: &TenantName) -> TenantId {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let id = self.tenants.insert(Tenant {
            name: name.clone(),
            leased: 0,
            flows: Vec::new(),
        });
        self.by_name.insert(name.clone(), id);
        id
    }

    /// Changes a flow, and with it the sums that depend on it.
    pub(super) fn adjust(&mut self, id: FlowId, change: impl FnOnce(&mut Flow<W>)) {
        let flow = &mut self.flows[id];
        let before = (flow.unmet(), flow.weight());
        change(flow);
        let after = (flow.unmet(), flow.weight());
        if after == before {
            return;
        }
        let ledger = &mut self.pools[flow.pool];
        ledger.unmet = ledger.unmet + after.0 - before.0;
        ledger.weight = ledger.weight + after.1 - before.1;
        self.totals.unmet = self.totals.unmet + after.0 - before.0;
    }

    /// What a flow may have now.
    pub(super) fn standing(&self, flow: &Flow<W>) -> Standing {
        let held = self.held(flow);
        let cap = flow.share.cap.unwrap_or(usize::MAX);
        if held >= cap.saturating_add(flow.share.burst) || flow.leased >= self.most(flow) {
            Standing::Parked
        } else if flow.leased < flow.share.floor {
            Standing::Urgent
        } else if held >= cap {
            Standing::Spare
        } else {
            Standing::Line
        }
    }

    /// Most connections of its pool that a flow may hold: of those that the pool can come to, and never fewer than are
    /// kept for it.
    pub(super) fn most(&self, flow: &Flow<W>) -> usize {
        match flow.share.of_pool {
            PoolPart::All => usize::MAX,
            PoolPart::Most => {
                let limits = &self.pools[flow.pool].limits;
                let size = limits.max.min(self.limit(limits.access));
                (size - size.div_ceil(4)).max(1).max(flow.share.floor)
            }
        }
    }

    /// How many connections more a flow may have that may hold so many on the server.
    pub(super) fn left(&self, flow: &Flow<W>, limit: usize) -> usize {
        let of_pool = self.most(flow).saturating_sub(flow.leased);
        limit.saturating_sub(self.held(flow)).min(of_pool)
    }

    /// Connections that a flow's tenant holds; without a tenant, the flow.
    pub(super) fn held(&self, flow: &Flow<W>) -> usize {
        flow.tenant
            .map_or(flow.leased, |tenant| self.tenants[tenant].leased)
    }

    /// Puts a flow where it belongs after something about it has changed.
    pub(super) fn place(&mut self, id: FlowId, arrival: Arrival) {
        let flow = &self.flows[id];
        if flow.queue.is_empty() {
            return self.displace(id);
        }
        let standing = self.standing(flow);
        match (flow.place, standing) {
            (Place::Urgent(_), Standing::Urgent)
            | (Place::Turn(_), Standing::Line)
            | (Place::Spare(_), Standing::Spare)
            | (Place::Parked, Standing::Parked) => return,
            _ => self.displace(id),
        }
        let flow = &mut self.flows[id];
        let ledger = &mut self.pools[flow.pool];
        let number = self.next_number;
        self.next_number += 1;
        flow.place = match standing {
            Standing::Urgent => {
                ledger.urgent.insert(number, id);
                Place::Urgent(number)
            }
            Standing::Line => {
                let quantum = flow.quantum();
                Place::Turn(ledger.turns.enter(id, &mut flow.credit, quantum, arrival))
            }
            Standing::Spare => {
                ledger.spare.insert(number, id);
                Place::Spare(number)
            }
            Standing::Parked => Place::Parked,
        };
    }

    /// Takes a flow from where it stands.
    pub(super) fn displace(&mut self, id: FlowId) {
        let flow = &mut self.flows[id];
        let ledger = &mut self.pools[flow.pool];
        match flow.place {
            Place::Urgent(number) => drop(ledger.urgent.remove(&number)),
            Place::Turn(turn) => ledger.turns.leave(turn),
            Place::Spare(number) => drop(ledger.spare.remove(&number)),
            Place::Out | Place::Parked => {}
        }
        flow.place = Place::Out;
    }

    /// Charges a flow whose turn it is for one lease of its usual length; the rest follows at its end.
    /// It then has no place, so that it gets one behind the others.
    pub(super) fn prepay(&mut self, id: FlowId) -> i64 {
        let flow = &mut self.flows[id];
        let Place::Turn(turn) = flow.place else {
            self.displace(id);
            return 0;
        };
        let cost = flow.typical_us.max(LEAST_US);
        let quantum = flow.quantum();
        let turns = &mut self.pools[flow.pool].turns;
        turns.begin(turn);
        turns.leave(turn);
        turns.charge(&mut flow.credit, quantum, cost);
        flow.place = Place::Out;
        cost
    }

    /// Counts a lease.
    pub(super) fn lease(&mut self, id: FlowId, now: Instant, prepaid_us: i64) -> Permit {
        self.adjust(id, |flow| flow.leased += 1);
        let flow = &self.flows[id];
        let (pool, tenant) = (flow.pool, flow.tenant);
        let ledger = &mut self.pools[pool];
        ledger.leased += 1;
        let access = ledger.limits.access;
        self.totals.of(access).leased += 1;
        let tenant = tenant.filter(|_| access == Access::EndUser);
        if let Some(tenant) = tenant {
            self.tenants[tenant].leased += 1;
        }
        self.place_all(id, tenant, Arrival::Served);
        Permit {
            flow: id,
            pool,
            since: now,
            prepaid_us,
        }
    }

    /// Counts the end of a lease.
    pub(super) fn end(&mut self, permit: Permit, now: Instant) {
        let id = permit.flow;
        self.charge(&permit, now);
        self.adjust(id, |flow| flow.leased = flow.leased.saturating_sub(1));
        let tenant = self.flows[id].tenant;
        let ledger = &mut self.pools[permit.pool];
        ledger.leased = ledger.leased.saturating_sub(1);
        let access = ledger.limits.access;
        let used = self.totals.of(access);
        used.leased = used.leased.saturating_sub(1);
        let tenant = tenant.filter(|_| access == Access::EndUser);
        if let Some(tenant) = tenant {
            let entry = &mut self.tenants[tenant];
            entry.leased = entry.leased.saturating_sub(1);
        }
        self.place_all(id, tenant, Arrival::Fresh);
        self.drop_unused(id);
    }

    /// Charges a flow for what a lease has taken beyond what was paid ahead, if somebody else waits for it.
    fn charge(&mut self, permit: &Permit, now: Instant) {
        let flow = &mut self.flows[permit.flow];
        let used = now.saturating_duration_since(permit.since);
        let used_us = i64::try_from(used.as_micros()).unwrap_or(i64::MAX).max(LEAST_US);
        let drift = (used_us - flow.typical_us) / 8;
        flow.typical_us += drift;
        let ledger = &mut self.pools[permit.pool];
        if ledger.turns.is_empty() {
            return;
        }
        let quantum = flow.quantum();
        let waits = match flow.place {
            Place::Turn(turn) => {
                ledger.turns.leave(turn);
                true
            }
            Place::Out | Place::Urgent(_) | Place::Spare(_) | Place::Parked => false,
        };
        ledger.turns.charge(
            &mut flow.credit,
            quantum,
            used_us.saturating_sub(permit.prepaid_us),
        );
        if waits {
            let turn = ledger
                .turns
                .enter(permit.flow, &mut flow.credit, quantum, Arrival::Served);
            flow.place = Place::Turn(turn);
        }
    }

    /// The leases of a flow have changed: so may its standing, and that of its tenant's others if they count
    /// for it.
    fn place_all(&mut self, changed: FlowId, tenant: Option<TenantId>, arrival: Arrival) {
        self.place(changed, arrival);
        let Some(tenant) = tenant else { return };
        let mut index = 0;
        while let Some(flow) = self.tenants[tenant].flows.get(index).copied() {
            index += 1;
            if flow == changed {
                continue;
            }
            self.place(flow, Arrival::Fresh);
            let Flow { queue, pool, .. } = &self.flows[flow];
            if !queue.is_empty() {
                self.touched.push(*pool);
            }
        }
    }

    /// Forgets a flow that nobody uses, and its tenant with the last of them.
    pub(super) fn drop_unused(&mut self, id: FlowId) {
        let Some(flow) = self.flows.find(id) else { return };
        if flow.sessions > 0 || flow.leased > 0 || !flow.queue.is_empty() {
            return;
        }
        let (pool, tenant) = (flow.pool, flow.tenant);
        self.flows.remove(id);
        self.pools[pool].flows.remove(&tenant);
        if let Some(tenant) = tenant {
            let entry = &mut self.tenants[tenant];
            entry.flows.retain(|flow| *flow != id);
            if entry.flows.is_empty()
                && let Some(gone) = self.tenants.remove(tenant)
            {
                self.by_name.remove(&gone.name);
            }
        }
        self.drop_retired(pool);
    }

    /// Forgets a retired pool with the last that refers to it.
    pub(super) fn drop_retired(&mut self, pool: PoolId) {
        let unused = self.pools.find(pool).is_some_and(|ledger| {
            ledger.retired && ledger.flows.is_empty() && ledger.open() + ledger.waiting == 0
        });
        if unused {
            self.pools.remove(pool);
        }
    }
}

impl Permit {
    /// The pool it is for.
    pub(in super::super) fn pool(&self) -> PoolId {
        self.pool
    }
}
