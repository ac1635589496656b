//! The idle connections of all pools of a server, by age. Taking any of them out costs the same.

use std::time::Instant;

use super::slots::{PlaceId, PoolId, Slots};

/// Idle connections: a list from the least to the most recently used, linked by place.
#[derive(Debug)]
pub(super) struct Shelf<C> {
    places: Slots<PlaceId, Idle<C>>,
    oldest: Option<PlaceId>,
    newest: Option<PlaceId>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Idle<C> {
    pub(super) connection: C,
    pub(super) since: Instant,
    pub(super) pool: PoolId,
    older: Option<PlaceId>,
    newer: Option<PlaceId>,
}

impl<C> Shelf<C> {
    pub(super) fn new() -> Self {
        Self {
            places: Slots::new(),
            oldest: None,
            newest: None,
        }
    }

    /// Puts down a connection that was used just now.
    pub(super) fn put(&mut self, connection: C, pool: PoolId, now: Instant) -> PlaceId {
        let place = self.places.insert(Idle {
            connection,
            since: now,
            pool,
            older: self.newest,
            newer: None,
        });
        match self.newest {
            Some(before) => self.places[before].newer = Some(place),
            None => self.oldest = Some(place),
        }
        self.newest = Some(place);
        place
    }

    /// Takes a connection off.
    pub(super) fn take(&mut self, place: PlaceId) -> Option<C> {
        let idle = self.places.remove(place)?;
        match idle.older {
            Some(older) => self.places[older].newer = idle.newer,
            None => self.oldest = idle.newer,
        }
        match idle.newer {
            Some(newer) => self.places[newer].older = idle.older,
            None => self.newest = idle.older,
        }
        Some(idle.connection)
    }

    pub(super) fn get(&self, place: PlaceId) -> Option<&Idle<C>> {
        self.places.find(place)
    }

    pub(super) fn get_mut(&mut self, place: PlaceId) -> Option<&mut Idle<C>> {
        self.places.find_mut(place)
    }

    /// All of them with their pools, the least recently used first.
    pub(super) fn by_age(&self) -> impl Iterator<Item = (PlaceId, PoolId)> {
        std::iter::successors(self.oldest, |place| {
            self.places.find(*place).and_then(|idle| idle.newer)
        })
        .filter_map(|place| Some((place, self.places.find(place)?.pool)))
    }
}
