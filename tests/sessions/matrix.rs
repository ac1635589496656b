//! Every message in every state: what comes back is what Postgres itself sends, and the next client on the pool of
//! one finds a fresh session. What Postgres sends is on record.

use crate::leaks::{FRESH, look};
use crate::support::matrix::{BOOK, Book, answers, cases, closed, comparable, may_differ};
use crate::support::people::{alice, bob};
use crate::support::postgres::{Version, cluster};
use crate::support::proxy::{Stack, StackOptions};
use crate::{ALICE, BOB, VERSIONS};

/// Writes down what the servers answer in place of holding them against it.
const RECORD: &str = "PORTCULLIS_TEST_RECORD";

fn name_of(version: Version) -> &'static str {
    match version {
        Version::Installed => "15",
        Version::Eighteen => "18",
    }
}

#[test]
fn every_message_in_every_state_is_answered_as_by_postgres() {
    if std::env::var_os("PORTCULLIS_TEST_HARDENED").is_some() {
        return;
    }
    let records = std::env::var_os(RECORD).is_some();
    let mut book = if records { Book::default() } else { Book::load() };
    let mut found = Vec::new();
    for version in VERSIONS {
        let Some(postgres) = cluster(version) else {
            continue;
        };
        let options = StackOptions {
            postgres: version,
            ..StackOptions::pool(1)
        };
        let mut stack = Stack::start(&options);
        let (mut server, mut client) = (postgres.direct(&alice()), stack.login(&alice()));
        let mut next = stack.login(&bob());
        for case in cases() {
            let (state, name) = (case.state, &case.name);
            let direct = answers(&mut server, case.lines, &case.bytes);
            let through = answers(&mut client, case.lines, &case.bytes);
            if closed(&direct) {
                server = postgres.direct(&alice());
            }
            if closed(&through) {
                client = stack.login(&alice());
            } else {
                assert_eq!(client.value("SELECT who()"), ALICE, "{state}: {name}");
            }
            assert_eq!(look(&mut next), FRESH, "behind {name} {state}");
            assert_eq!(next.value("SELECT who()"), BOB);
            if records {
                book.note(&case, name_of(version), &direct);
            } else if book.of(&case, name_of(version)) != Some(&direct) {
                found.push(format!("{version:?}: {name} {state}\n  not on record {direct:?}"));
            }
            let same = comparable(name, &direct) == comparable(name, &through);
            if !same && may_differ(state, name, &direct, &through).is_none() {
                found.push(format!(
                    "{version:?}: {name} {state}\n  postgres {direct:?}\n  through  {through:?}"
                ));
            }
        }
        stack.assert_well();
    }
    if records {
        std::fs::write(BOOK, book.render()).unwrap();
        assert_eq!(Book::load(), book, "what was written is read back");
    }
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}
