//! Long texts: half sent, full of tokens, deep, many at a time.

use crate::support::people::{alice, person};
use crate::support::proxy::StackOptions;
use crate::support::raw::{RawClient, parse, query, sync};
use crate::{MIB, besiege, head, outcome, round};
use std::time::Duration;

use serde_json::json;

#[test]
fn half_sent_messages() {
    besiege(StackOptions::pool(4), |siege| {
        let whole = 4 * MIB;
        let mut sessions: Vec<RawClient> = (0..60).map(|_| siege.attacker()).collect();
        for (session, client) in sessions.iter_mut().enumerate() {
            let tag = [b'Q', b'P', b'F'][session % 3];
            client.send(&head(tag, whole));
            client.send(&vec![b'-'; whole - 1000]);
        }
        // Whoever was refused has been told so, though its message is not over; the rest of it is read and dropped.
        let mut refused = 0;
        for client in sessions.iter_mut().step_by(3) {
            client.set_patience(Duration::from_millis(50));
            if let Ok(frame) = client.try_read() {
                assert_eq!(frame.sqlstate(), "53200");
                assert!(
                    frame
                        .field('H')
                        .is_some_and(|hint| hint.contains("memory_budget"))
                );
                client.set_patience(Duration::from_secs(20));
                assert_eq!(client.read().tag, b'Z');
                client.send(&vec![b'-'; 1000]);
                assert_eq!(client.value("SELECT 1"), "1");
                refused += 1;
            }
        }
        assert!(refused >= 10, "{refused}");
        drop(sessions);
    });
}

#[test]
fn a_parse_that_is_refused_is_skipped_to_its_sync() {
    besiege(StackOptions::pool(4), |siege| {
        let whole = 4 * MIB;
        let mut hoarders: Vec<RawClient> = (0..20).map(|_| siege.attacker()).collect();
        for client in &mut hoarders {
            client.send(&head(b'Q', whole));
            client.send(&vec![b'-'; whole - 1000]);
        }
        let mut client = siege.attacker();
        let long = format!("SELECT 1{}", " ".repeat(whole - 1000));
        client.send(&[parse("a", &long, &[]), parse("b", "SELECT 1", &[]), sync()].concat());
        assert_eq!(outcome(&mut client), "53200");
        client.send(&[parse("b", "SELECT 1", &[]), sync()].concat());
        assert_eq!(outcome(&mut client), "ok", "it was skipped before");
        // In a block, the block has failed.
        client.values("BEGIN");
        client.send(&query(&long));
        assert_eq!(outcome(&mut client), "53200");
        assert_eq!(client.sqlstate("SELECT 1"), "25P02");
        client.values("ROLLBACK");
        drop((hoarders, client));
    });
}

/// A list of numbers that has so many tokens with its commas.
fn list(tokens: usize) -> String {
    let round = round();
    format!(
        "SELECT 1 /* {round} */ WHERE 1 IN ({})",
        vec!["1"; tokens / 2].join(",")
    )
}

#[test]
fn tokens_without_end() {
    besiege(StackOptions::pool(4), |siege| {
        // An end user's text may have 200,000.
        let mut client = siege.attacker();
        assert_eq!(client.values(&list(198_000)), ["1"]);
        let error = client.query(&list(202_000)).unwrap_err();
        assert_eq!(error.sqlstate(), "54000", "{error:?}");
        assert!(
            error.field('H').is_some_and(|hint| hint.contains("max_tokens")),
            "{error:?}"
        );
        assert_eq!(client.value("SELECT 1"), "1");

        let mut sessions: Vec<RawClient> = (0..24).map(|_| siege.attacker()).collect();
        for round in 0..2 {
            for client in &mut sessions {
                let sql = list([1_900_000, 198_000][round]);
                client.send(&query(&sql));
            }
            for client in &mut sessions {
                let answer = outcome(client);
                assert!(matches!(answer.as_str(), "ok" | "54000" | "53200"), "{answer}");
            }
        }
        drop((client, sessions));
    });
}

#[test]
fn tokens_of_a_trusted_role() {
    besiege(StackOptions::pool(4), |siege| {
        let token = person("ops", "acme").token_with(&[("role", json!("service_role"))]);
        let mut sessions: Vec<RawClient> = (0..24)
            .map(|_| siege.stack.try_login(&token, "acme").expect("trusted"))
            .collect();
        for client in &mut sessions {
            client.send(&query(&list(1_900_000)));
        }
        for client in &mut sessions {
            assert_eq!(outcome(client), "53200");
        }
        assert_eq!(sessions[0].values(&list(198_000)), ["1"]);
        drop(sessions);
    });
}

#[test]
fn texts_of_every_kind_at_once() {
    besiege(StackOptions::pool(4), |siege| {
        let deep = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
        let texts = [
            deep(900),
            deep(90_000),
            format!("SELECT 1{}", "+1".repeat(90_000)),
            format!("SELECT {}", vec!["f(A)"; 40_000].join(",")),
            format!("SELECT 1 FROM {}", vec!["T A"; 60_000].join(",")),
            format!("SELECT '{}'", "é".repeat(MIB)),
            format!("SELECT \"{}\"", "A".repeat(MIB)),
            vec![format!("SELECT {}", vec!["a.B"; 25].join(",")); 990].join(";"),
            format!("INSERT INTO scratch VALUES {}", vec!["('a',1)"; 30_000].join(",")),
            "/*".repeat(90_000) + &"*/".repeat(90_000),
        ];
        let mut sessions: Vec<RawClient> = (0..40).map(|_| siege.attacker()).collect();
        for (number, client) in sessions.iter_mut().enumerate() {
            client.send(&query(&texts[number % texts.len()]));
        }
        for client in &mut sessions {
            assert_ne!(outcome(client), "XX000");
            assert_eq!(client.value("SELECT 1"), "1");
        }
        drop(sessions);
    });
}

#[test]
fn whoever_leaves_the_queue_of_long_texts_is_passed_over() {
    besiege(StackOptions::pool(4), |siege| {
        for _ in 0..3 {
            let mut sessions: Vec<RawClient> = (0..12).map(|_| siege.attacker()).collect();
            for client in &mut sessions {
                client.send(&query(&list(190_000)));
            }
            drop(sessions);
        }
        let mut client = siege.stack.login(&alice());
        assert_eq!(client.values(&list(20_000)), ["1"]);
        drop(client);
    });
}

/// None of them needs a server connection, so that nothing holds the sessions up but the proxy's own work.
#[test]
fn refused_statements_of_all_sessions_at_once() {
    besiege(StackOptions::pool(4), |siege| {
        let mut sessions: Vec<RawClient> = (0..64).map(|_| siege.attacker()).collect();
        for _ in 0..5 {
            let round = round();
            for (session, client) in sessions.iter_mut().enumerate() {
                let texts = (0..200).map(|number| query(&format!("DROP TABLE t{round}_{session}_{number}")));
                client.send(&texts.collect::<Vec<_>>().concat());
            }
            for client in &mut sessions {
                for _ in 0..200 {
                    assert_eq!(outcome(client), "42501");
                }
            }
        }
    });
}
