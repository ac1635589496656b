//! Every message in every state, in process: what comes back is what Postgres is on record with.

use super::book::{Book, answers, cases, closed, comparable, may_differ};
use super::player::{Direct, Theatre};
use super::stage::Plan;

#[test]
fn every_message_in_every_state_is_answered_as_by_postgres() {
    let book = Book::load();
    let theatre = Theatre::open(Plan::default());
    let (mut client, mut next) = (theatre.login("alice"), theatre.login("bob"));
    let (mut found, mut gaps) = (Vec::new(), Vec::new());
    for case in cases() {
        let (state, name) = (case.state, case.name.as_str());
        let recorded = book.of(&case, "15").expect("an answer on record");
        let imitated = answers(&mut Direct::new("alice"), case.lines, &case.bytes);
        if comparable(name, &imitated) != comparable(name, recorded) {
            gaps.push(format!(
                "{name} {state}\n  postgres {recorded:?}\n  scripted {imitated:?}"
            ));
        }
        let through = answers(&mut client, case.lines, &case.bytes);
        if closed(&through) {
            client = theatre.login("alice");
        } else {
            assert_eq!(
                client.value("SELECT who()"),
                "authenticated|alice|acme",
                "{state}: {name}"
            );
        }
        assert_eq!(
            next.value("SELECT who()"),
            "authenticated|bob|globex",
            "{state}: {name}"
        );
        let same = comparable(name, recorded) == comparable(name, &through);
        if !same && may_differ(state, name, recorded, &through).is_none() {
            found.push(format!(
                "{name} {state}\n  postgres {recorded:?}\n  through  {through:?}"
            ));
        }
    }
    drop((client, next));
    theatre.assert_well();
    assert!(gaps.is_empty(), "{} gaps:\n{}", gaps.len(), gaps.join("\n"));
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}
