//! What the books say of one pool, and of all of them together.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use super::super::backoff::Backoff;
use super::growth::Craving;
use super::slots::{FlowId, PlaceId, TenantId};
use super::turns::Turns;
use super::{Access, Counts, PoolLimits};

/// One pool.
#[derive(Debug)]
pub(super) struct Ledger<P, E> {
    pub(super) link: P,
    pub(super) limits: PoolLimits,
    /// Least recently used first.
    pub(super) idle: VecDeque<PlaceId>,
    pub(super) leased: usize,
    pub(super) connecting: usize,
    pub(super) waiting: usize,
    pub(super) flows: HashMap<Option<TenantId>, FlowId>,
    /// Flows with waiters below their floor, in order of arrival.
    pub(super) urgent: BTreeMap<u64, FlowId>,
    /// Flows with waiters between floor and cap.
    pub(super) turns: Turns<FlowId>,
    /// Flows with waiters beyond their cap, within their burst, in order of arrival.
    pub(super) spare: BTreeMap<u64, FlowId>,
    /// Connections that the floors of awake flows still lack.
    pub(super) unmet: usize,
    /// The weights of the flows that hold or want connections.
    pub(super) weight: u64,
    /// What it would have from the server if the server had it to give.
    pub(super) craving: Option<Craving>,
    pub(super) backoff: Backoff<E>,
    /// Since when it has had connections without giving one up for another pool.
    pub(super) turn_began: Instant,
    pub(super) last_used: Instant,
    pub(super) retired: bool,
}

impl<P, E> Ledger<P, E> {
    pub(super) fn new(link: P, limits: PoolLimits, now: Instant) -> Self {
        Self {
            link,
            limits,
            idle: VecDeque::new(),
            leased: 0,
            connecting: 0,
            waiting: 0,
            flows: HashMap::new(),
            urgent: BTreeMap::new(),
            turns: Turns::new(),
            spare: BTreeMap::new(),
            unmet: 0,
            weight: 0,
            craving: None,
            backoff: Backoff::new(limits.login_retry),
            turn_began: now,
            last_used: now,
            retired: false,
        }
    }

    pub(super) fn open(&self) -> usize {
        self.idle.len() + self.leased + self.connecting
    }

    /// Whether it wants nothing.
    pub(super) fn is_content(&self) -> bool {
        self.waiting == 0 && self.open() >= self.limits.min
    }

    /// Whether it has all it may have, and all of that in use or on its way.
    pub(super) fn is_full(&self) -> bool {
        self.idle.is_empty() && self.open() >= self.limits.max
    }

    /// Whether a lease leaves enough for the floors of others. They are kept at most half of the pool.
    pub(super) fn spares_floors(&self) -> bool {
        self.unmet == 0 || self.leased + self.unmet.min(self.limits.max / 2) < self.limits.max
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            idle: self.idle.len(),
            leased: self.leased,
            connecting: self.connecting,
            waiting: self.waiting,
        }
    }
}

/// All pools of the server together.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) end_users: Use,
    pub(super) trusted: Use,
    pub(super) waiting: usize,
    /// Connections that the floors of awake flows still lack.
    pub(super) unmet: usize,
}

/// The connections of some pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) idle: usize,
    pub(super) leased: usize,
    pub(super) connecting: usize,
}

impl Totals {
    pub(super) fn of(&mut self, access: Access) -> &mut Use {
        match access {
            Access::EndUser => &mut self.end_users,
            Access::Trusted => &mut self.trusted,
        }
    }

    pub(super) fn open(&self) -> usize {
        self.end_users.open() + self.trusted.open()
    }

    pub(super) fn connecting(&self) -> usize {
        self.end_users.connecting + self.trusted.connecting
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            idle: self.end_users.idle + self.trusted.idle,
            leased: self.end_users.leased + self.trusted.leased,
            connecting: self.connecting(),
            waiting: self.waiting,
        }
    }
}

impl Use {
    pub(super) fn open(&self) -> usize {
        self.idle + self.leased + self.connecting
    }
}
