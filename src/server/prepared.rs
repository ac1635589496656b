//! Which prepared statements a server connection holds.

use std::num::NonZeroUsize;

use lru::LruCache;

/// The statements prepared on one server connection, by the id the session gives to a statement's text.
/// Bounded: the least recently used one makes room.
#[derive(Debug)]
pub struct PreparedSet(LruCache<u64, ()>);

impl PreparedSet {
    /// An empty set for at most `max` statements; none at all counts as one.
    pub fn new(max: usize) -> Self {
        // `sparse` takes memory as statements arrive, not for all of them at login.
        Self(LruCache::sparse(
            NonZeroUsize::new(max).unwrap_or(NonZeroUsize::MIN),
        ))
    }

    /// Notes a statement as prepared and most recently used. The id it pushes out is returned: the caller
    /// sends Close for it.
    pub fn insert(&mut self, id: u64) -> Option<u64> {
        self.0
            .push(id, ())
            .map(|(evicted, ())| evicted)
            .filter(|evicted| *evicted != id)
    }

    /// Whether the statement is prepared; its place in the order stays.
    pub fn contains(&self, id: u64) -> bool {
        self.0.contains(&id)
    }

    /// Whether the statement is prepared; if so it becomes the most recently used.
    pub fn touch(&mut self, id: u64) -> bool {
        self.0.promote(&id)
    }

    /// Forgets a statement, e.g. one whose Parse failed; says whether it was there.
    pub fn remove(&mut self, id: u64) -> bool {
        self.0.pop(&id).is_some()
    }

    /// Forgets all of them, e.g. after DISCARD ALL or DEALLOCATE ALL.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many are prepared.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is prepared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_statement_makes_room() {
        let mut set = PreparedSet::new(2);
        assert_eq!(set.insert(1), None);
        assert_eq!(set.insert(2), None);
        assert!(set.touch(1));
        assert_eq!(set.insert(3), Some(2));
        assert!(set.contains(1) && set.contains(3) && !set.contains(2));
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn inserting_again_evicts_nothing() {
        let mut set = PreparedSet::new(1);
        assert_eq!(set.insert(7), None);
        assert_eq!(set.insert(7), None);
        assert!(set.contains(7));
    }

    #[test]
    fn removal_and_clearing() {
        let mut set = PreparedSet::new(0);
        assert_eq!(set.insert(1), None);
        assert!(set.remove(1) && !set.remove(1) && !set.touch(1));
        set.insert(2);
        set.clear();
        assert!(set.is_empty());
    }
}
