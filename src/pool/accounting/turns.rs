//! Whose turn it is: weighted deficit round robin.
//!
//! Every member gets a quantum a round and is served while some of it is left (M. Shreedhar and G. Varghese,
//! "Efficient fair queuing using deficit round robin", 1995). What a turn costs is known only afterwards, so a
//! member may get into debt; the rounds in which it would be passed over are then computed rather than walked
//! through, which makes every step logarithmic. Whoever comes to a round anew goes before those who have been
//! served in it (as in FQ-CoDel, RFC 8290, 4.2): a member that asks rarely hardly waits for those who always ask.

use std::collections::BTreeMap;

/// Those who wait for their turn, over their keys `K`.
#[derive(Debug)]
pub(super) struct Turns<K> {
    /// Who comes first, kept out of the tree: where one member waits alone there is no tree to walk.
    first: Option<(Turn, K)>,
    /// Everybody else.
    later: BTreeMap<Turn, K>,
    round: u64,
    next_number: u64,
}

/// A place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    round: u64,
    arrival: Arrival,
    number: u64,
}

/// How somebody came to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arrival {
    /// By asking when it did not wait before.
    Fresh,
    /// By having been served before.
    Served,
}

/// What a member may still use: from which round on, and how much then. Kept by the member.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Credit {
    round: u64,
    left: i64,
}

/// Most rounds that a debt lasts, so that one very long turn is not held against a member for hours.
const DEBT_ROUNDS: i64 = 1_000;

impl<K: Copy> Turns<K> {
    pub(super) fn new() -> Self {
        Self {
            first: None,
            later: BTreeMap::new(),
            // Not the round of a default credit, which counts as one of the past.
            round: 1,
            next_number: 0,
        }
    }

    /// Gives a member with this quantum a place. It must not have one.
    pub(super) fn enter(&mut self, member: K, credit: &mut Credit, quantum: i64, arrival: Arrival) -> Turn {
        self.renew(credit, quantum);
        let turn = Turn {
            round: credit.round,
            arrival,
            number: self.next_number,
        };
        self.next_number += 1;
        match &mut self.first {
            None => self.first = Some((turn, member)),
            Some(first) => {
                let mut later = (turn, member);
                if turn < first.0 {
                    std::mem::swap(first, &mut later);
                }
                self.later.insert(later.0, later.1);
            }
        }
        turn
    }

    /// Gives up a place.
    pub(super) fn leave(&mut self, turn: Turn) {
        if self.first.is_some_and(|(first, _)| first == turn) {
            self.first = self.later.pop_first();
        } else {
            self.later.remove(&turn);
        }
    }

    /// Whose turn it is.
    pub(super) fn first(&self) -> Option<K> {
        self.first.map(|(_, member)| member)
    }

    /// Everybody in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = K> {
        let first = self.first.iter().map(|(_, member)| *member);
        first.chain(self.later.values().copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Charges a member that has no place now, or gives it back what it was charged too much.
    pub(super) fn charge(&mut self, credit: &mut Credit, quantum: i64, cost: i64) {
        self.renew(credit, quantum);
        let quantum = quantum.max(1);
        credit.left = credit
            .left
            .saturating_sub(cost)
            .clamp(-DEBT_ROUNDS.saturating_mul(quantum), quantum);
        if credit.left <= 0 {
            let rounds = (-credit.left / quantum) + 1;
            credit.left += rounds * quantum;
            let latest = self.round.saturating_add(DEBT_ROUNDS.unsigned_abs());
            credit.round = credit.round.saturating_add(rounds.unsigned_abs()).min(latest);
        }
    }

    /// Takes note that the first is served: its round is the one that runs.
    pub(super) fn begin(&mut self, turn: Turn) {
        self.round = self.round.max(turn.round);
    }

    /// What was left in a round of the past is forfeited, a debt is not.
    fn renew(&self, credit: &mut Credit, quantum: i64) {
        if credit.round < self.round {
            *credit = Credit {
                round: self.round,
                left: quantum.max(1),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves members who always ask, with these quanta and costs, and counts what each has used.
    fn used(members: &[(i64, i64)], turns: usize) -> Vec<i64> {
        let mut order = Turns::new();
        let mut credits = vec![Credit::default(); members.len()];
        let mut places: Vec<Turn> = (0..members.len())
            .map(|member| order.enter(member, &mut credits[member], members[member].0, Arrival::Fresh))
            .collect();
        let mut used = vec![0; members.len()];
        for _ in 0..turns {
            let member = order.first().unwrap();
            let (quantum, cost) = members[member];
            order.begin(places[member]);
            order.leave(places[member]);
            order.charge(&mut credits[member], quantum, cost);
            used[member] += cost;
            places[member] = order.enter(member, &mut credits[member], quantum, Arrival::Served);
        }
        used
    }

    #[test]
    fn what_is_used_follows_the_weights_and_not_the_cost_of_a_turn() {
        for (members, ratio) in [
            ([(100, 10), (100, 10)], 1.0),
            ([(100, 10), (300, 10)], 3.0),
            ([(100, 1000), (100, 10)], 1.0),
            ([(100, 7), (500, 900)], 5.0),
        ] {
            let used = used(&members, 200_000);
            let found = used[1] as f64 / used[0] as f64;
            assert!((found / ratio - 1.0).abs() < 0.05, "{members:?}: {used:?}");
        }
    }

    #[test]
    fn who_asks_rarely_goes_first() {
        let mut order = Turns::new();
        let mut busy = Credit::default();
        let turn = order.enter('b', &mut busy, 100, Arrival::Fresh);
        order.begin(turn);
        order.leave(turn);
        order.charge(&mut busy, 100, 10);
        order.enter('b', &mut busy, 100, Arrival::Served);
        order.enter('q', &mut Credit::default(), 100, Arrival::Fresh);
        assert_eq!(order.iter().collect::<String>(), "qb");
    }

    #[test]
    fn a_debt_outlives_an_empty_queue_but_not_for_ever() {
        let mut order: Turns<char> = Turns::new();
        let mut debtor = Credit::default();
        order.charge(&mut debtor, 100, i64::MAX);
        let late = order.enter('d', &mut debtor, 100, Arrival::Fresh);
        let turn = order.enter('n', &mut Credit::default(), 100, Arrival::Fresh);
        assert_eq!(order.first(), Some('n'));
        assert!(late.round - turn.round <= DEBT_ROUNDS.unsigned_abs() + 1);
    }

    proptest::proptest! {
        #[test]
        fn everybody_stands_in_order_whoever_comes_and_goes(
            steps in proptest::collection::vec((0_usize..6, 0_i64..400), 0..60),
        ) {
            let mut order = Turns::new();
            let mut credits = [Credit::default(); 6];
            let mut places: BTreeMap<Turn, usize> = BTreeMap::new();
            for (member, cost) in steps {
                match places.iter().find(|(_, other)| **other == member).map(|(turn, _)| *turn) {
                    Some(turn) => {
                        order.leave(turn);
                        places.remove(&turn);
                        order.charge(&mut credits[member], 100, cost);
                    }
                    None => {
                        places.insert(order.enter(member, &mut credits[member], 100, Arrival::Fresh), member);
                    }
                }
                proptest::prop_assert!(order.iter().eq(places.values().copied()));
                proptest::prop_assert_eq!(order.first(), places.values().next().copied());
            }
        }
    }
}
