//! What a pool would have of its server, and which pool gets it: connects, evictions, turns between pools.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::base::limits::{CONNECTS_PER_POOL, POOL_TENURE, POOL_TENURE_WEIGHT};

use super::ledger::Ledger;
use super::slots::PoolId;
use super::{Access, Accounting};

/// Why a pool wants more than it has. The first come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// A trusted login's client waits.
    Trusted,
    /// A client of a tenant below its floor waits.
    Urgent,
    /// A client waits.
    Line,
    /// A client of a tenant beyond its cap waits.
    Spare,
    /// There are fewer connections than the pool keeps open.
    Refill,
}

impl Class {
    const ALL: [Self; 5] = [Self::Trusted, Self::Urgent, Self::Line, Self::Spare, Self::Refill];
}

/// What would still a pool's want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Means {
    /// The right to use a connection it has idle.
    Idle,
    /// One more connection.
    Connect,
}

/// The pools that want something the server has not had for them: by class and means, then those that have least
/// by their weight, then in order of arrival.
#[derive(Debug)]
pub(super) struct Hunger(BTreeMap<Craving, PoolId>);

/// A pool's place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Craving {
    class: Class,
    means: Means,
    /// Connections by weight, in millionths.
    has: u64,
    number: u64,
}

/// What the closing of an idle connection has to make room for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victims {
    Anybody,
    EndUsers,
}

#[cfg(test)]
impl Craving {
    pub(super) fn class(&self) -> Class {
        self.class
    }
}

impl Hunger {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nobody wants more who is within its cap.
    pub(super) fn is_calm(&self) -> bool {
        let first = self.0.first_key_value();
        first.is_none_or(|(craving, _)| craving.class > Class::Line)
    }

    /// Whose turn it is in a class, of those whom the same would help.
    fn first(&self, class: Class, means: Means) -> Option<PoolId> {
        let start = Craving {
            class,
            means,
            has: 0,
            number: 0,
        };
        let (first, pool) = self.0.range(start..).next()?;
        ((first.class, first.means) == (class, means)).then_some(*pool)
    }
}

impl<P: Clone, C, W, E: Clone> Accounting<P, C, W, E> {
    /// What a pool wants that only the server can give, if anything.
    pub(super) fn appetite(&self, id: PoolId, now: Instant) -> Option<Class> {
        let ledger = &self.pools[id];
        if self.closed || ledger.retired {
            return None;
        }
        // After a failed login there are no connects for a while; the right to use what is idle is wanted all the same.
        let may_connect = self.pause(ledger, now).is_none()
            && ledger.connecting < self.side_by_side(ledger)
            && ledger.open() < ledger.limits.max;
        if ledger.waiting > 0 && (may_connect || !ledger.idle.is_empty()) {
            // With a connection idle it is the right to use it that is wanted.
            let coming = if ledger.idle.is_empty() {
                ledger.connecting
            } else {
                0
            };
            let wanted = self.class_of_waiter(ledger, coming);
            if wanted.is_some() {
                return wanted;
            }
        }
        (may_connect && ledger.open() < ledger.limits.min).then_some(Class::Refill)
    }

    /// Notes what a pool wants now, and how much it has.
    pub(super) fn crave(&mut self, id: PoolId, class: Option<Class>) {
        let ledger = &mut self.pools[id];
        let before = ledger.craving;
        let now = class.map(|class| Craving {
            class,
            means: means_of(class, ledger),
            has: (ledger.open() as u64).saturating_mul(1_000_000) / ledger.weight.max(1),
            number: match before {
                Some(before) if before.class == class => before.number,
                _ => self.next_number,
            },
        });
        if now == before {
            return;
        }
        self.next_number += 1;
        ledger.craving = now;
        if let Some(before) = before {
            self.hunger.0.remove(&before);
        }
        if let Some(now) = now {
            self.hunger.0.insert(now, id);
        }
    }

    /// Gives the pools that want something what the server has.
    ///
    /// What keeps the first of a class from it keeps all of them from it, but only by the same means: a pool that
    /// may not connect now must not hide one behind it that has a connection idle.
    pub(super) fn feed(&mut self, now: Instant) {
        if self.hunger.is_empty() {
            return;
        }
        for class in Class::ALL {
            for means in [Means::Idle, Means::Connect] {
                while let Some(pool) = self.hunger.first(class, means) {
                    let wanted = self.appetite(pool, now);
                    let is_known = wanted == Some(class) && means_of(class, &self.pools[pool]) == means;
                    if is_known && !self.feed_one(class, means, pool, now) {
                        break;
                    }
                    self.crave(pool, self.appetite(pool, now));
                }
            }
        }
    }

    /// Gives one pool what it wants, if it may have it.
    fn feed_one(&mut self, class: Class, means: Means, pool: PoolId, now: Instant) -> bool {
        match means {
            Means::Idle => {
                let waiting = self.pools[pool].waiting;
                self.serve(pool, now);
                self.pools[pool].waiting != waiting
            }
            Means::Connect => {
                let may = self.make_room(class, pool);
                if may {
                    self.begin_connect(pool);
                }
                may
            }
        }
    }

    /// A pool that has just got a connection back gives it up for a pool that has a better claim to it.
    pub(super) fn yield_turn(&mut self, id: PoolId, now: Instant) {
        let ledger = &self.pools[id];
        let nobody_asks = self.hunger.is_empty();
        if nobody_asks || ledger.waiting == 0 || !ledger.urgent.is_empty() || !self.has_login_slot() {
            return;
        }
        let entitled = [Class::Trusted, Class::Urgent, Class::Line]
            .into_iter()
            .any(|class| {
                self.hunger
                    .first(class, Means::Connect)
                    .is_some_and(|other| other != id && self.is_entitled(class, other, ledger, now))
            });
        if entitled && let Some(last) = ledger.idle.len().checked_sub(1) {
            self.pools[id].turn_began = now;
            // It goes behind those who wait already.
            self.crave(id, None);
            let connection = self.take_at(id, last);
            self.follow.more().evicted.extend(connection);
        }
    }

    /// Whether a pool that wants a connection should have one of `holder`'s, who wants it as well.
    fn is_entitled(&self, class: Class, other: PoolId, holder: &Ledger<P, E>, now: Instant) -> bool {
        let other = &self.pools[other];
        let one_is_free = self.has_room(other.limits.access) || self.totals.counts().idle > 1;
        let fits = other.limits.access == holder.limits.access || other.limits.access == Access::Trusted;
        if one_is_free || !fits || !other.idle.is_empty() {
            return false;
        }
        if class != Class::Line {
            return true;
        }
        // By weight neither side should have more after it than the other has then.
        let (mine, theirs) = (ledger_parts(holder), ledger_parts(other));
        let fairer = mine.open.saturating_sub(1).saturating_mul(theirs.weight)
            >= (theirs.open + 1).saturating_mul(mine.weight);
        let held_for = now.saturating_duration_since(holder.turn_began);
        let weight = u32::try_from(mine.weight.div_ceil(theirs.weight)).unwrap_or(u32::MAX);
        let had_its_time = held_for >= POOL_TENURE * weight.min(POOL_TENURE_WEIGHT);
        fairer || (theirs.open == 0 && had_its_time)
    }

    /// Most connections for these logins.
    pub(super) fn limit(&self, access: Access) -> usize {
        match access {
            Access::EndUser => self.limits.max.saturating_sub(self.limits.reserved),
            Access::Trusted => self.limits.max,
        }
    }

    /// Whether the server may have one connection more.
    pub(super) fn has_room(&self, access: Access) -> bool {
        let own = match access {
            Access::EndUser => self.totals.end_users.open() < self.limit(Access::EndUser),
            Access::Trusted => true,
        };
        own && self.totals.open() < self.limits.max
    }

    /// Starts a connect.
    fn begin_connect(&mut self, id: PoolId) {
        let ledger = &mut self.pools[id];
        ledger.connecting += 1;
        self.totals.of(ledger.limits.access).connecting += 1;
        self.follow.more().connects.push((id, ledger.link.clone()));
    }

    /// Counts the end of a connect.
    pub(super) fn end_connect(&mut self, id: PoolId) {
        let ledger = &mut self.pools[id];
        ledger.connecting = ledger.connecting.saturating_sub(1);
        let used = self.totals.of(ledger.limits.access);
        used.connecting = used.connecting.saturating_sub(1);
    }

    /// Whether a pool may connect now, for which an idle connection of another may have to go.
    fn make_room(&mut self, class: Class, id: PoolId) -> bool {
        let access = self.pools[id].limits.access;
        if !self.has_login_slot() || !self.leaves_floors_to_come(class, access) {
            return false;
        }
        if self.has_room(access) {
            return true;
        }
        let own_limit = self.totals.end_users.open() >= self.limit(Access::EndUser);
        match class {
            Class::Refill => false,
            _ if access == Access::EndUser && own_limit => self.evict(Victims::EndUsers),
            _ => self.evict(Victims::Anybody),
        }
    }

    fn has_login_slot(&self) -> bool {
        let most = if self.backoff.is_failing() {
            1
        } else {
            self.limits.logins
        };
        self.totals.connecting() < most
    }

    /// Whether one more connection in use leaves enough for floors; those that fill up spare all of it.
    fn leaves_floors_to_come(&self, class: Class, access: Access) -> bool {
        let (used, unmet) = (self.totals.end_users, self.totals.unmet);
        let limit = self.limit(access);
        match (class, access) {
            (Class::Trusted | Class::Urgent, _) | (_, Access::Trusted) => true,
            (Class::Refill, Access::EndUser) => used.open().saturating_add(unmet) < limit,
            (Class::Line | Class::Spare, Access::EndUser) => {
                used.leased + used.connecting + unmet.min(limit / 2) < limit
            }
        }
    }

    /// Closes the least recently used idle connection, of a pool that has more than it keeps open if
    /// there is one.
    fn evict(&mut self, victims: Victims) -> bool {
        let is_victim =
            |pool: PoolId| victims == Victims::Anybody || self.pools[pool].limits.access == Access::EndUser;
        let surplus = |pool: PoolId| self.pools[pool].open() > self.pools[pool].limits.min;
        let victims = || {
            self.shelf
                .by_age()
                .map(|(_, pool)| pool)
                .filter(|pool| is_victim(*pool))
        };
        let of_surplus = victims().find(|pool| surplus(*pool));
        let Some(pool) = of_surplus.or_else(|| victims().next()) else {
            return false;
        };
        let connection = self.take_at(pool, 0);
        self.follow.more().evicted.extend(connection);
        // It may have fallen below what it keeps open.
        self.touched.push(pool);
        true
    }

    /// Connects that may run at one time in a pool. After a failure one probe goes ahead.
    fn side_by_side(&self, ledger: &Ledger<P, E>) -> usize {
        if ledger.backoff.is_failing() || self.backoff.is_failing() {
            1
        } else {
            CONNECTS_PER_POOL
        }
    }

    /// The class of the waiter that comes after so many others in a pool, of those who may be served.
    fn class_of_waiter(&self, ledger: &Ledger<P, E>, others: usize) -> Option<Class> {
        let class = |class| match ledger.limits.access {
            Access::EndUser => Some(class),
            Access::Trusted => Some(Class::Trusted),
        };
        let mut before = 0;
        for id in ledger.urgent.values() {
            let flow = &self.flows[*id];
            before += flow.queue.len().min(flow.unmet().max(1));
            if before > others {
                return class(Class::Urgent);
            }
        }
        if !ledger.spares_floors() {
            return None;
        }
        for id in ledger.turns.iter() {
            let flow = &self.flows[id];
            let room = self.left(flow, flow.share.cap.unwrap_or(usize::MAX));
            before += flow.queue.len().min(room);
            if before > others {
                return class(Class::Line);
            }
        }
        if ledger.urgent.is_empty() && ledger.turns.is_empty() {
            for id in ledger.spare.values() {
                let flow = &self.flows[*id];
                let limit = flow
                    .share
                    .cap
                    .unwrap_or(usize::MAX)
                    .saturating_add(flow.share.burst);
                before += flow.queue.len().min(self.left(flow, limit));
                if before > others {
                    return class(Class::Spare);
                }
            }
        }
        None
    }
}

/// What would still a want of this class. To fill up takes connects, whatever is idle.
fn means_of<P, E>(class: Class, ledger: &Ledger<P, E>) -> Means {
    if class == Class::Refill || ledger.idle.is_empty() {
        Means::Connect
    } else {
        Means::Idle
    }
}

struct Parts {
    open: u64,
    weight: u64,
}

fn ledger_parts<P, E>(ledger: &Ledger<P, E>) -> Parts {
    Parts {
        open: ledger.open() as u64,
        weight: ledger.weight.max(1),
    }
}
