//! Every message in every state: what comes back is what Postgres itself sends, and the next client on the pool of
//! one finds a fresh session.

use crate::leaks::{FRESH, look};
use crate::support::people::{alice, bob};
use crate::support::postgres::cluster;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, message};
use crate::support::trace::{encode_line, render};
use crate::{ALICE, BOB, VERSIONS};

/// How a session comes into a state.
const STATES: [(&str, &[&str]); 12] = [
    ("idle", &[]),
    ("in a block", &["Query BEGIN"]),
    ("in a failed block", &["Query BEGIN", "Query \"SELECT 1/0\""]),
    (
        "behind a portal without Sync",
        &["Parse s \"SELECT $1::text\"", "Bind p s a"],
    ),
    (
        "behind a statement that has run, without Sync",
        &[
            "Parse s \"SELECT n FROM generate_series(1, 3) AS n\"",
            "Bind p s",
            "Execute p 1",
        ],
    ),
    (
        "in a block, behind a portal without Sync",
        &["Query BEGIN", "Parse s \"SELECT $1::text\"", "Bind p s a"],
    ),
    (
        "behind a setting without Sync",
        &["Parse s \"SET lock_timeout = '7s'\"", "Bind p s", "Execute p 0"],
    ),
    (
        "skipping to a Sync",
        &[
            "Parse s \"SELECT $1::text\"",
            "Bind p s a",
            "Parse t \"SELECT nonsense\"",
        ],
    ),
    (
        "in COPY FROM STDIN",
        &["Query \"COPY scratch_in (run, n, body) FROM STDIN\""],
    ),
    (
        "in COPY FROM STDIN of the extended protocol",
        &[
            "Parse s \"COPY scratch_in (run, n, body) FROM STDIN\"",
            "Bind p s",
            "Execute p 0",
        ],
    ),
    (
        "in COPY FROM STDIN within a block",
        &[
            "Query BEGIN",
            "Query \"COPY scratch_in (run, n, body) FROM STDIN\"",
        ],
    ),
    (
        "in COPY TO STDOUT",
        &["Query \"COPY (SELECT generate_series(1, 3)) TO STDOUT\""],
    ),
];

/// Every message that a client can send after its login; `p` and `y` are no messages at that point.
const MESSAGES: [&str; 29] = [
    "Query \"SELECT 2\"",
    "Query \"\"",
    "Query \"SELECT 2; SELECT 3\"",
    "Query COMMIT",
    "Query \"SELECT nonsense\"",
    "Query \"SHOW lock_timeout\"",
    "Parse s \"SELECT 3\"",
    "Parse u \"SELECT 3\"",
    "Parse \"\" \"SELECT nonsense\"",
    "Parse \"\" COMMIT",
    "Bind q s b",
    "Bind p s b",
    "Bind \"\" \"\"",
    "Bind q none",
    "Describe S s",
    "Describe S none",
    "Describe P p",
    "Describe P \"\"",
    "Execute p 0",
    "Execute p 1",
    "Execute none 0",
    "Close S s",
    "Close P p",
    "Flush",
    "Sync",
    "CopyData \"x\\t1\\tbody\\n\"",
    "CopyDone",
    "CopyFail why",
    "FunctionCall 4",
];

/// No messages, or the last one.
const ENDS: [u8; 3] = [b'p', b'y', b'X'];

/// Whatever went before: the session is as new, and says so.
const END: [&str; 6] = [
    "CopyFail late",
    "Sync",
    "Query ROLLBACK",
    "Query \"RESET ALL\"",
    "Query \"DEALLOCATE ALL\"",
    "Query \"SELECT 'the end'\"",
];

/// All that comes back up to the end.
fn answers(client: &mut RawClient, state: &[&str], last: &[u8]) -> Vec<Vec<String>> {
    let mut bytes: Vec<u8> = state.iter().flat_map(|line| encode_line(line)).collect();
    bytes.extend_from_slice(last);
    for line in END {
        bytes.extend_from_slice(&encode_line(line));
    }
    client.send(&bytes);
    let mut seen = Vec::new();
    let mut ends = false;
    while let Ok(frame) = client.try_read() {
        seen.push(render(&frame));
        ends |= seen
            .last()
            .is_some_and(|tokens| tokens.get(1).is_some_and(|value| value == "the end"));
        if ends && frame.tag == b'Z' {
            return seen;
        }
    }
    seen.push(vec!["closed".to_owned()]);
    seen
}

fn closed(answers: &[Vec<String>]) -> bool {
    answers.last().is_some_and(|tokens| tokens[0] == "closed")
}

/// Why two answers need not be the same; `None` if they must.
fn may_differ(
    state: &str,
    message: &str,
    direct: &[Vec<String>],
    through: &[Vec<String>],
) -> Option<&'static str> {
    let says =
        |answers: &[Vec<String>], words: &str| answers.iter().flatten().any(|token| token.contains(words));
    let unexpected = "unexpected message type";
    if says(direct, "unexpected state STARTED") {
        return Some("PostgreSQL 18 takes ReadyForQuery for T there, and fails by itself");
    }
    if says(direct, "protocol synchronization was lost") {
        if message == "Close S s" {
            return Some("a statement's name is closed without the server");
        }
        let fails = says(through, unexpected) || closed(through);
        return fails.then_some("what does not belong into COPY data fails the COPY, not the session");
    }
    if message.starts_with("a message of type") {
        let both = closed(direct) && closed(through);
        return both.then_some("what came right before the end of a session may go unanswered");
    }
    match (state, message) {
        ("behind a setting without Sync", "Query COMMIT") => {
            Some("a SET has a block of ours, which COMMIT ends without a warning")
        }
        ("behind a setting without Sync", "Execute p 0" | "Execute p 1") => {
            Some("a portal of a SET may be executed twice")
        }
        _ => None,
    }
}

/// Which functions may be called by number is the guard's to say, in its own words.
fn comparable(message: &str, answers: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut answers = answers.to_vec();
    for tokens in &mut answers {
        if message.starts_with("FunctionCall") && tokens[0] == "ErrorResponse" {
            tokens.truncate(2);
        }
    }
    answers
}

#[test]
fn every_message_in_every_state_is_answered_as_by_postgres() {
    if std::env::var_os("PORTCULLIS_TEST_HARDENED").is_some() {
        return;
    }
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
        let messages = MESSAGES.map(|line| (line.to_owned(), encode_line(line)));
        let ends = ENDS.map(|tag| {
            (
                format!("a message of type {:?}", char::from(tag)),
                message(tag, &[]),
            )
        });
        for (state, lines) in STATES {
            for (name, bytes) in messages.iter().chain(&ends) {
                let direct = answers(&mut server, lines, bytes);
                let through = answers(&mut client, lines, bytes);
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
                let same = comparable(name, &direct) == comparable(name, &through);
                if !same && may_differ(state, name, &direct, &through).is_none() {
                    found.push(format!(
                        "{version:?}: {name} {state}\n  postgres {direct:?}\n  through  {through:?}"
                    ));
                }
            }
        }
        stack.assert_well();
    }
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}
