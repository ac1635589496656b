//! Who waits in one flow, in order of arrival.

use std::collections::VecDeque;

/// Waiters by number. Most come last and go first; the others are looked for.
#[derive(Debug)]
pub(super) struct Queue<W>(VecDeque<(u64, W)>);

impl<W> Queue<W> {
    pub(super) fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of who has waited longest.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.front().map(|(number, _)| *number)
    }

    /// The number of who came last.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.back().map(|(number, _)| *number)
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.find(number).is_ok()
    }

    /// Adds a waiter at the place of its number, which is the last unless it waited before.
    pub(super) fn insert(&mut self, number: u64, waiter: W) {
        if self.last() < Some(number) {
            self.0.push_back((number, waiter));
        } else if let Err(place) = self.find(number) {
            self.0.insert(place, (number, waiter));
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<W> {
        let (_, waiter) = if self.first() == Some(number) {
            self.0.pop_front()
        } else {
            self.0.remove(self.find(number).ok()?)
        }?;
        Some(waiter)
    }

    /// Everybody with their numbers.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, W)> {
        self.0.drain(..)
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &W> {
        self.0.iter().map(|(_, waiter)| waiter)
    }

    /// Where a number is, or would be.
    fn find(&self, number: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    proptest::proptest! {
        #[test]
        fn is_in_order_whoever_comes_and_goes(
            steps in proptest::collection::vec((0_u64..12, proptest::bool::ANY), 0..60),
        ) {
            let (mut queue, mut model) = (Queue::new(), BTreeMap::new());
            for (number, comes) in steps {
                if comes && !model.contains_key(&number) {
                    queue.insert(number, number);
                    model.insert(number, number);
                } else {
                    proptest::prop_assert_eq!(queue.remove(number), model.remove(&number));
                }
                proptest::prop_assert_eq!(queue.contains(number), model.contains_key(&number));
                proptest::prop_assert!(queue.iter().eq(model.values()));
                proptest::prop_assert_eq!(queue.first(), model.keys().next().copied());
                proptest::prop_assert_eq!(queue.last(), model.keys().next_back().copied());
            }
        }
    }
}
