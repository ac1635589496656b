//! Numbered places that are given out, given back and given out again.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// The number of a place.
pub(super) trait Key: Copy {
    /// The key of a place.
    fn at(place: u32) -> Self;
    /// The place of a key.
    fn place(self) -> usize;
}

macro_rules! key {
    ($(#[$doc:meta])* $visibility:vis $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(u32);

        impl Key for $name {
            fn at(place: u32) -> Self {
                Self(place)
            }

            fn place(self) -> usize {
                self.0 as usize
            }
        }
    };
}

key! {
    /// A pool in the books of its server.
    pub(in super::super) PoolId
}
key! {
    /// A flow in the books of its server.
    pub(in super::super) FlowId
}
key! {
    /// A tenant in the books of one server.
    pub(super) TenantId
}
key! {
    /// An idle connection.
    pub(super) PlaceId
}

/// Entries by number. A number is used again once its entry is removed.
#[derive(Debug)]
pub(super) struct Slots<K, T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
    key: PhantomData<K>,
}

impl<K: Key, T> Slots<K, T> {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            key: PhantomData,
        }
    }

    pub(super) fn insert(&mut self, entry: T) -> K {
        let place = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            // More than four thousand million entries do not fit into memory.
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.entries.get_mut(place as usize) {
            *slot = Some(entry);
        }
        K::at(place)
    }

    pub(super) fn remove(&mut self, key: K) -> Option<T> {
        let entry = self.entries.get_mut(key.place()).and_then(Option::take)?;
        self.free.push(key.place() as u32);
        Some(entry)
    }

    pub(super) fn find(&self, key: K) -> Option<&T> {
        self.entries.get(key.place()).and_then(Option::as_ref)
    }

    pub(super) fn find_mut(&mut self, key: K) -> Option<&mut T> {
        self.entries.get_mut(key.place()).and_then(Option::as_mut)
    }

    /// Every key in use, in the order of the places.
    pub(super) fn keys(&self) -> impl Iterator<Item = K> {
        (0_u32..)
            .zip(&self.entries)
            .filter(|(_, entry)| entry.is_some())
            .map(|(place, _)| K::at(place))
    }
}

#[expect(
    clippy::expect_used,
    reason = "keys are only held by what keeps their entry: one without an entry is a defect of the books, \
              and to go on with wrong books would be worse"
)]
impl<K: Key, T> Index<K> for Slots<K, T> {
    type Output = T;

    fn index(&self, key: K) -> &T {
        self.find(key).expect("the entry of a key in use")
    }
}

#[expect(clippy::expect_used, reason = "as for Index")]
impl<K: Key, T> IndexMut<K> for Slots<K, T> {
    fn index_mut(&mut self, key: K) -> &mut T {
        self.find_mut(key).expect("the entry of a key in use")
    }
}
