//! Which prepared statements a server connection holds.

use std::num::NonZeroUsize;

use lru::LruCache;

/// The statements prepared on one server connection, by the id the session gives to a statement's text.
/// Bounded by their number and by the bytes of their texts: the least recently used ones make room.
#[derive(Debug)]
pub struct PreparedSet {
    /// Each with the bytes of its text.
    statements: LruCache<u64, usize>,
    bytes: usize,
    max_bytes: usize,
}

impl PreparedSet {
    /// An empty set for at most `max` statements (none at all counts as one) whose texts have at most
    /// `max_bytes` together; one that is longer by itself has the set to itself.
    pub fn new(max: usize, max_bytes: usize) -> Self {
        Self {
            // `sparse` takes memory as statements arrive, not for all of them at login.
            statements: LruCache::sparse(NonZeroUsize::new(max).unwrap_or(NonZeroUsize::MIN)),
            bytes: 0,
            max_bytes,
        }
    }

    /// Notes a statement with a text of `bytes` as prepared and most recently used. The ids it pushes out are
    /// returned, oldest first: the caller sends Close for them.
    pub fn insert(&mut self, id: u64, bytes: usize) -> Vec<u64> {
        let mut evicted = Vec::new();
        self.bytes += bytes;
        if let Some((old, old_bytes)) = self.statements.push(id, bytes) {
            self.bytes -= old_bytes;
            evicted.extend((old != id).then_some(old));
        }
        while self.bytes > self.max_bytes
            && self.statements.len() > 1
            && let Some((old, old_bytes)) = self.statements.pop_lru()
        {
            self.bytes -= old_bytes;
            evicted.push(old);
        }
        evicted
    }

    /// Whether the statement is prepared; its place in the order stays.
    pub fn contains(&self, id: u64) -> bool {
        self.statements.contains(&id)
    }

    /// Whether the statement is prepared; if so it becomes the most recently used.
    pub fn touch(&mut self, id: u64) -> bool {
        self.statements.promote(&id)
    }

    /// Forgets a statement, e.g. one whose Parse failed; says whether it was there.
    pub fn remove(&mut self, id: u64) -> bool {
        let removed = self.statements.pop(&id);
        self.bytes -= removed.unwrap_or_default();
        removed.is_some()
    }

    /// Forgets all of them, e.g. after DISCARD ALL or DEALLOCATE ALL.
    pub fn clear(&mut self) {
        self.statements.clear();
        self.bytes = 0;
    }

    /// How many are prepared.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether none is prepared.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_statement_makes_room() {
        let mut set = PreparedSet::new(2, 100);
        assert!(set.insert(1, 1).is_empty());
        assert!(set.insert(2, 1).is_empty());
        assert!(set.touch(1));
        assert_eq!(set.insert(3, 1), [2]);
        assert!(set.contains(1) && set.contains(3) && !set.contains(2));
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn inserting_again_evicts_nothing() {
        let mut set = PreparedSet::new(1, 10);
        assert!(set.insert(7, 10).is_empty());
        assert!(set.insert(7, 10).is_empty());
        assert!(set.contains(7));
    }

    #[test]
    fn long_texts_push_out_as_many_as_they_need_room_for() {
        let mut set = PreparedSet::new(10, 100);
        for id in 0..5 {
            assert!(set.insert(id, 20).is_empty());
        }
        assert!(set.touch(0));
        assert_eq!(set.insert(5, 50), [1, 2, 3]);
        assert_eq!(set.len(), 3);
        // One that does not fit at all is alone, and leaves again like any other.
        assert_eq!(set.insert(6, 1_000), [4, 0, 5]);
        assert_eq!(set.len(), 1);
        assert_eq!(set.insert(7, 100), [6]);
        // Both bounds at once.
        let mut set = PreparedSet::new(3, 100);
        for id in 0..3 {
            assert!(set.insert(id, 30).is_empty());
        }
        assert_eq!(set.insert(3, 60), [0, 1]);
    }

    #[test]
    fn what_is_removed_takes_no_room() {
        let mut set = PreparedSet::new(10, 100);
        assert!(set.insert(1, 90).is_empty());
        assert!(set.remove(1) && !set.remove(1));
        assert!(set.insert(2, 90).is_empty());
        set.clear();
        assert!(set.insert(3, 90).is_empty());
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn removal_and_clearing() {
        let mut set = PreparedSet::new(0, 100);
        assert!(set.insert(1, 1).is_empty());
        assert!(set.remove(1) && !set.remove(1) && !set.touch(1));
        set.insert(2, 1);
        set.clear();
        assert!(set.is_empty());
    }

    proptest::proptest! {
        /// The bytes are always those of the statements that are held.
        #[test]
        fn the_bytes_add_up(steps in proptest::collection::vec((0_u64..8, 0_usize..60, 0_u8..3), 0..200)) {
            let mut set = PreparedSet::new(4, 100);
            for (id, bytes, what) in steps {
                match what {
                    0 => drop(set.remove(id)),
                    _ if set.touch(id) => {}
                    _ => {
                        let before = set.len();
                        let evicted = set.insert(id, bytes);
                        proptest::prop_assert_eq!(set.len(), before + 1 - evicted.len());
                    }
                }
                let sum: usize = set.statements.iter().map(|(_, bytes)| *bytes).sum();
                proptest::prop_assert_eq!(sum, set.bytes);
                proptest::prop_assert!(set.len() <= 4 && (sum <= 100 || set.len() == 1));
            }
        }
    }
}
