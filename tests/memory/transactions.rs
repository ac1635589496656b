//! Transactions that make much of little: scripts, pipelines, answers that nobody reads.

use std::time::Duration;

use crate::support::proxy::StackOptions;
use crate::support::raw::{RawClient, bind, close, execute, parse, query, sync};
use crate::{MIB, besiege, outcome, text};

#[test]
fn a_script_that_sends_a_long_statement_again_and_again() {
    besiege(StackOptions::pool(4), |siege| {
        let mut client = siege.attacker();
        client.send(&[parse("long", &text(1, MIB), &[]), sync()].concat());
        assert_eq!(outcome(&mut client), "ok");
        // With a time zone of its own the transaction parses each text for itself.
        let script = format!(
            "BEGIN; SET LOCAL timezone = 'UTC'; {}",
            "EXECUTE long;".repeat(900)
        );
        client.send(&query(&script));
        assert_eq!(outcome(&mut client), "53200");
        client.values("ROLLBACK");
        assert_eq!(client.value("SELECT 1"), "1");
        drop(client);
    });
}

#[test]
fn savepoints_without_number() {
    besiege(StackOptions::pool(8), |siege| {
        let mut sessions: Vec<RawClient> = (0..6).map(|_| siege.attacker()).collect();
        for client in &mut sessions {
            client.values("BEGIN");
            for from in (0..3_000).step_by(300) {
                let names = (from..from + 300).map(|n| format!("SAVEPOINT s{n};"));
                client.send(&query(&names.collect::<String>()));
                assert_eq!(outcome(client), "ok");
            }
        }
        assert!(siege.state("used") > 6 * 3_000 * 20);
        for client in &mut sessions {
            client.values("COMMIT");
        }
        assert_eq!(siege.state("used"), 0);
        drop(sessions);
    });
}

#[test]
fn names_in_one_pipeline() {
    besiege(StackOptions::pool(4), |siege| {
        let mut client = siege.attacker();
        // The server keeps the first 63 bytes of a portal's name.
        let name = |number: usize| format!("{number:05}{}", "n".repeat(1_000));
        let mut batch = Vec::new();
        for number in 0..20_000 {
            batch.extend(match number % 3 {
                0 => parse("", &text(number, 1_000), &[]),
                1 => bind(&name(number), "", &[]),
                _ => close('S', &name(number)),
            });
        }
        batch.extend(sync());
        let mut writer = client.second_half();
        let writing = std::thread::spawn(move || writer.send(&batch));
        let answer = outcome(&mut client);
        assert!(matches!(answer.as_str(), "ok" | "53400" | "53200"), "{answer}");
        writing.join().unwrap();
        assert_eq!(client.value("SELECT 1"), "1");
        drop(client);
    });
}

#[test]
fn answers_that_nobody_reads() {
    besiege(StackOptions::pool(30), |siege| {
        let mut sessions: Vec<RawClient> = (0..150).map(|_| siege.attacker()).collect();
        let rows = "SELECT repeat('x', 100000) FROM generate_series(1, 40)";
        for (number, client) in sessions.iter_mut().enumerate() {
            match number % 3 {
                0 => client.send(&query(rows)),
                1 => {
                    let one = [parse("", rows, &[]), bind("", "", &[]), execute("", 0), sync()].concat();
                    client.send(&one.repeat(20));
                }
                // Small errors of our own, more than anybody reads.
                _ => client.send(&query("nonsense").repeat(2_000)),
            }
        }
        std::thread::sleep(Duration::from_secs(2));
        assert!(siege.peak() < crate::CONTAINER);
        drop(sessions);
    });
}
