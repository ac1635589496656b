//! Prepared statements, portals, settings: what a session may keep.

use serde_json::json;

use crate::support::people::person;
use crate::support::proxy::StackOptions;
use crate::support::raw::{RawClient, bind, parse, query, sync};
use crate::{MIB, besiege, outcome, text};

/// Prepares texts of so many bytes until one is refused.
fn hoard(client: &mut RawClient, session: usize, bytes: usize, most: usize) -> (usize, String) {
    for number in 0..most {
        let sql = text(session * 10_000 + number, bytes);
        client.send(&[parse(&format!("s{number}"), &sql, &[]), sync()].concat());
        let answer = outcome(client);
        if answer != "ok" {
            return (number, answer);
        }
    }
    (most, "ok".to_owned())
}

#[test]
fn named_statements_of_many_sessions() {
    besiege(StackOptions::pool(4), |siege| {
        let mut sessions: Vec<RawClient> = (0..15).map(|_| siege.attacker()).collect();
        let mut refused = 0;
        for (session, client) in sessions.iter_mut().enumerate() {
            let (_, answer) = hoard(client, session, MIB, 15);
            refused += usize::from(answer == "53200");
            assert!(matches!(answer.as_str(), "ok" | "53200"), "{answer}");
            // The session goes on, and little statements are never refused.
            assert_eq!(client.value("SELECT 1"), "1");
            client.send(&[parse("little", "SELECT 2", &[]), sync()].concat());
            assert_eq!(outcome(client), "ok");
        }
        assert!(refused >= 10, "{refused}");
        assert!(siege.state("used") <= siege.state("shared"));
        // What one gives back another can have.
        sessions[0].values("DEALLOCATE ALL");
        assert_eq!(hoard(&mut sessions[14], 99, MIB, 1).1, "ok");
        drop(sessions);
    });
}

#[test]
fn short_statements_without_number() {
    besiege(StackOptions::pool(4), |siege| {
        let mut sessions: Vec<RawClient> = (0..8).map(|_| siege.attacker()).collect();
        for (session, client) in sessions.iter_mut().enumerate() {
            let mut batch = Vec::new();
            for number in 0..4_900 {
                let name = format!("{}{number}", "n".repeat(1_000));
                batch.extend(parse(&name, &text(session * 10_000 + number, 500), &[]));
                if number % 100 == 99 {
                    batch.extend(sync());
                    client.send(&std::mem::take(&mut batch));
                    outcome(client);
                }
            }
            assert_eq!(client.value("SELECT 1"), "1");
        }
        assert!(siege.refusals() > 0);
        drop(sessions);
    });
}

#[test]
fn the_same_statements_of_many_sessions_count_once() {
    besiege(StackOptions::pool(4), |siege| {
        let mut sessions: Vec<RawClient> = (0..40).map(|_| siege.attacker()).collect();
        for client in &mut sessions {
            for number in 0..10 {
                client.send(&[parse(&format!("s{number}"), &text(number, 100_000), &[]), sync()].concat());
                assert_eq!(outcome(client), "ok");
            }
        }
        assert!(siege.state("used") < 3 * MIB, "{}", siege.state("used"));
        drop(sessions);
    });
}

#[test]
fn unnamed_statements_of_idle_sessions() {
    besiege(StackOptions::pool(4), |siege| {
        let mut sessions: Vec<RawClient> = (0..60).map(|_| siege.attacker()).collect();
        let mut answers = Vec::new();
        for (session, client) in sessions.iter_mut().enumerate() {
            client.send(&[parse("", &text(session, 2 * MIB), &[]), sync()].concat());
            answers.push(outcome(client));
        }
        assert!(answers.iter().any(|answer| answer == "53200"), "{answers:?}");
        assert!(answers.iter().any(|answer| answer == "ok"), "{answers:?}");
        drop(sessions);
    });
}

#[test]
fn portals_of_texts_that_nobody_names() {
    for (bytes, count) in [(15_000, 1_500), (MIB, 40)] {
        besiege(StackOptions::pool(4), |siege| {
            let mut sessions: Vec<RawClient> = (0..3).map(|_| siege.attacker()).collect();
            let mut answers = Vec::new();
            for (session, client) in sessions.iter_mut().enumerate() {
                client.values("BEGIN");
                for number in 0..count {
                    let sql = text(session * 10_000 + number, bytes);
                    let portal = format!("p{number}");
                    client.send(&[parse("", &sql, &[]), bind(&portal, "", &[]), sync()].concat());
                    let answer = outcome(client);
                    if answer != "ok" {
                        answers.push(answer);
                        break;
                    }
                }
            }
            assert!(!answers.is_empty(), "{answers:?}");
            assert!(answers.iter().all(|answer| answer == "53200"), "{answers:?}");
            for client in &mut sessions {
                client.values("ROLLBACK");
                assert_eq!(client.value("SELECT 1"), "1");
            }
            drop(sessions);
        });
    }
}

#[test]
fn portals_in_one_pipeline() {
    besiege(StackOptions::pool(4), |siege| {
        let mut client = siege.attacker();
        let mut batch = query("BEGIN");
        for number in 0..3_000 {
            batch.extend(parse("", &text(number, 15_000), &[]));
            batch.extend(bind(&format!("p{number}"), "", &[]));
        }
        batch.extend(sync());
        client.send(&batch);
        client.until_ready();
        assert_eq!(outcome(&mut client), "53200");
        drop(client);
    });
}

#[test]
fn settings_of_many_sessions() {
    besiege(StackOptions::pool(4), |siege| {
        // An end user may set little that is long.
        let token = person("ops", "acme").token_with(&[("role", json!("service_role"))]);
        let login = || siege.stack.try_login(&token, "acme").expect("trusted");
        let mut sessions: Vec<RawClient> = (0..80).map(|_| login()).collect();
        let value = "x".repeat(5_900);
        let all: String = (0..50)
            .map(|number| format!("SET mine.v{number} = '{value}';"))
            .collect();
        let mut refused = 0;
        for client in &mut sessions {
            client.send(&query(&all));
            let answer = outcome(client);
            assert!(matches!(answer.as_str(), "ok" | "53200"), "{answer}");
            refused += usize::from(answer == "53200");
            assert_eq!(client.value("SELECT 1"), "1");
        }
        assert!(refused > 0);
        for client in &mut sessions {
            client.values("RESET ALL");
        }
        assert!(siege.state("used") < MIB, "{}", siege.state("used"));
        drop(sessions);
    });
}
