//! A map of fixed size that is read without a lock: metric handles by label value.
//!
//! Labels such as a SQLSTATE can be chosen by a client (`RAISE … USING ERRCODE = 'AB123'`), so the
//! number of series must have an end; and they are counted on the data path, so a look-up must not lock.

use std::borrow::Borrow;
use std::hash::{BuildHasher as _, Hash};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;

/// At most `capacity` entries, never removed; there is no room for a key beyond them.
pub(super) struct Bounded<K, V> {
    slots: Box<[OnceLock<(K, V)>]>,
    capacity: usize,
    taken: AtomicUsize,
    hasher: RandomState,
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    /// An empty map. Twice as many slots as entries keep the probes short.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: std::iter::repeat_with(OnceLock::new)
                .take(capacity * 2 + 1)
                .collect(),
            capacity,
            taken: AtomicUsize::new(0),
            hasher: RandomState::default(),
        }
    }

    /// The value of `key`, made on first sight; `None` once the map is full.
    pub(super) fn get_or_insert_with<Q>(&self, key: &Q, make: impl Fn() -> (K, V)) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        for slot in self.probe(key) {
            let entry = match slot.get() {
                Some(entry) => entry,
                None if self.reserve() => {
                    let mut mine = false;
                    let entry = slot.get_or_init(|| {
                        mine = true;
                        make()
                    });
                    if !mine {
                        // Another thread filled the slot between the two looks at it.
                        self.taken.fetch_sub(1, Ordering::Relaxed);
                    }
                    entry
                }
                None => return None,
            };
            if entry.0.borrow() == key {
                return Some(&entry.1);
            }
        }
        None
    }

    /// The slots in the order in which `key` may be found. Slots are never emptied, so the first empty
    /// one ends the search.
    fn probe<Q: Hash + ?Sized>(&self, key: &Q) -> impl Iterator<Item = &OnceLock<(K, V)>> {
        let start = usize::try_from(self.hasher.hash_one(key) % self.slots.len() as u64).unwrap_or(0);
        let (before, after) = self.slots.split_at(start);
        after.iter().chain(before)
    }

    /// Whether one more entry may be made; counts it if so.
    fn reserve(&self) -> bool {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.capacity).then_some(taken + 1)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::sync::atomic::AtomicU64;

    type Counts = Bounded<Box<str>, AtomicU64>;

    fn count(counts: &Counts, key: &str) -> bool {
        let value = counts.get_or_insert_with(key, || (key.into(), AtomicU64::new(0)));
        value.map(|value| value.fetch_add(1, Ordering::Relaxed)).is_some()
    }

    #[test]
    fn there_is_no_room_beyond_the_capacity() {
        let counts = Counts::new(3);
        let counted: Vec<_> = ["a", "b", "c", "d", "e", "a", "d"]
            .map(|key| count(&counts, key))
            .into();
        assert_eq!(counted, [true, true, true, false, false, true, false]);
        let a = counts.get_or_insert_with("a", || unreachable!("known")).unwrap();
        assert_eq!(a.load(Ordering::Relaxed), 2);
        assert!(!count(&Counts::new(0), "a"));
    }

    #[test]
    fn threads_that_meet_agree_on_one_entry_per_key() {
        for _ in 0..50 {
            // More room than keys: a reservation that is about to be given back must not turn a key away.
            let counts = Counts::new(100);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..40).for_each(|n| assert!(count(&counts, &n.to_string()))));
                }
            });
            assert_eq!(counts.taken.load(Ordering::Relaxed), 40);
            let entries = counts.slots.iter().filter_map(OnceLock::get);
            let by_key: HashMap<_, _> = entries.map(|(k, n)| (k, n.load(Ordering::Relaxed))).collect();
            assert_eq!(by_key.len(), 40);
            assert!(by_key.values().all(|&n| n == 4));
        }
    }

    proptest::proptest! {
        #[test]
        fn counts_as_a_hash_map_would(keys in proptest::collection::vec("[a-d]{1,2}", 0..60)) {
            let counts = Counts::new(64);
            let mut model: HashMap<String, u64> = HashMap::new();
            for key in keys {
                count(&counts, &key);
                *model.entry(key).or_default() += 1;
            }
            let entries = counts.slots.iter().filter_map(OnceLock::get);
            let seen: HashMap<String, u64> =
                entries.map(|(k, n)| (k.to_string(), n.load(Ordering::Relaxed))).collect();
            proptest::prop_assert_eq!(seen, model);
        }
    }
}
