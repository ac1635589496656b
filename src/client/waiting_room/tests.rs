//! Who goes when the waiting room is full.

use proptest::prelude::*;

use super::*;

fn books(total: usize, of_address: usize) -> (Books<()>, Instant) {
    let start = Instant::now();
    (Books::new(RoomLimits { total, of_address }, start), start)
}

fn from(address: u32) -> Origin {
    Origin::V4(address)
}

fn number(knock: Knock<()>) -> u64 {
    match knock {
        Knock::Enter(number, _) => number,
        Knock::Full => panic!("full"),
    }
}

#[test]
fn addresses_of_one_customer_are_one() {
    let origin = |text: &str| Origin::from(text.parse::<SocketAddr>().unwrap());
    assert_eq!(origin("[2001:db8:1:2::1]:1"), origin("[2001:db8:1:2:ffff::9]:2"));
    assert_ne!(origin("[2001:db8:1:2::1]:1"), origin("[2001:db8:1:3::1]:1"));
    assert_eq!(origin("[::ffff:10.0.0.1]:1"), origin("10.0.0.1:2"));
    assert_ne!(origin("10.0.0.2:1"), origin("10.0.0.1:1"));
}

#[test]
fn the_address_with_most_gives_up_its_silent_ones_first() {
    let (mut books, start) = books(6, 6);
    let at = |ms| start + Duration::from_millis(ms);
    let few = number(books.knock(from(1), at(0)));
    let spoken = number(books.knock(from(2), at(1)));
    let silent: Vec<u64> = (2..6).map(|ms| number(books.knock(from(2), at(ms)))).collect();
    books.get_on(spoken, at(10));
    let others: Vec<u64> = (0..5)
        .map(|n| number(books.knock(from(10 + n), at(11))))
        .collect();
    for gone in &silent {
        assert!(!books.places.contains_key(gone), "{gone}");
    }
    // All addresses have one each now but for the spoken one's place: the oldest of the silent is gone.
    assert!(!books.places.contains_key(&few));
    assert!(books.places.contains_key(&spoken));
    assert_eq!(
        others
            .iter()
            .filter(|one| books.places.contains_key(*one))
            .count(),
        5
    );
}

#[test]
fn who_has_spoken_goes_once_a_silent_one_is_new() {
    let (mut books, start) = books(2, 2);
    let stuck = number(books.knock(from(1), start));
    books.get_on(stuck, start);
    let new = start + SILENCE + Duration::from_secs(1);
    let fresh = number(books.knock(from(1), new));
    number(books.knock(from(1), new + Duration::from_millis(1)));
    assert!(!books.places.contains_key(&stuck) && books.places.contains_key(&fresh));
}

#[test]
fn who_waits_for_us_is_left_alone_and_who_is_refused_goes_first() {
    let (mut books, start) = books(2, 2);
    let (a, b) = (
        number(books.knock(from(1), start)),
        number(books.knock(from(1), start)),
    );
    books.keep(a);
    books.keep(b);
    assert_eq!(books.knock(from(1), start), Knock::Full);
    assert_eq!(books.knock(from(2), start), Knock::Full);
    books.dismiss(b);
    number(books.knock(from(1), start));
    assert!(books.places.contains_key(&a) && !books.places.contains_key(&b));
}

#[test]
fn one_address_has_a_bound_of_its_own() {
    let (mut books, start) = books(10, 3);
    let first = number(books.knock(from(1), start));
    for _ in 0..2 {
        number(books.knock(from(1), start));
    }
    let Knock::Enter(_, Some(())) = books.knock(from(1), start) else {
        panic!("one of its own goes");
    };
    assert!(!books.places.contains_key(&first));
    assert_eq!(books.places.len(), 3);
}

#[derive(Clone, Debug)]
enum Move {
    Knock(u32),
    GetOn(usize),
    Keep(usize),
    Dismiss(usize),
    Leave(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..5_u32).prop_map(Move::Knock),
        1 => (0..40_usize).prop_map(Move::GetOn),
        1 => (0..40_usize).prop_map(Move::Keep),
        1 => (0..40_usize).prop_map(Move::Dismiss),
        1 => (0..40_usize).prop_map(Move::Leave),
    ];
    proptest::collection::vec(one, 1..200)
}

proptest! {
    /// The sums are those of the places, no bound is ever passed, and nobody is turned away while an address that has
    /// as many has somebody who could go.
    #[test]
    fn the_books_are_kept(moves in moves(), total in 1..12_usize, of_address in 1..12_usize) {
        let (mut books, start) = books(total, of_address);
        let mut known = Vec::new();
        for (tick, step) in moves.into_iter().enumerate() {
            let now = start + Duration::from_millis(tick as u64);
            let pick = |index: usize| known.get(index % known.len().max(1)).copied().unwrap_or(u64::MAX);
            match step {
                Move::Knock(address) => {
                    let own = books.parties.get(&from(address)).map_or(0, |party| party.count);
                    let most = books.parties.values().filter(|party| !party.ranks.is_empty()).map(|party| party.count).max();
                    match books.knock(from(address), now) {
                        Knock::Enter(number, _) => known.push(number),
                        Knock::Full => prop_assert!(own >= of_address || most.is_none_or(|most| most <= own)),
                    }
                }
                Move::GetOn(index) => books.get_on(pick(index), now),
                Move::Keep(index) => books.keep(pick(index)),
                Move::Dismiss(index) => books.dismiss(pick(index)),
                Move::Leave(index) => drop(books.leave(pick(index))),
            }
            prop_assert!(books.places.len() <= total);
            let mut counts = HashMap::<Origin, (usize, BTreeSet<Rank>)>::new();
            for seat in books.places.values() {
                let entry = counts.entry(seat.origin).or_default();
                entry.0 += 1;
                entry.1.extend(seat.rank);
            }
            prop_assert_eq!(counts.len(), books.parties.len());
            for (origin, party) in &books.parties {
                let (count, ranks) = &counts[origin];
                prop_assert!(party.count == *count && party.ranks == *ranks && party.count <= of_address);
            }
            let crowds: BTreeSet<_> = books.parties.iter().filter_map(|(origin, party)| party.crowd(*origin)).collect();
            prop_assert_eq!(&crowds, &books.crowds);
        }
    }
}
