//! Clients that vanish in the middle of something, with a pool of one: whoever comes next must find a clean
//! server connection, and soon.

use std::time::Duration;

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, execute, flush, message, parse, query, sync};
use crate::support::wait_until;
use crate::{ALICE, BOB, VERSIONS};

/// Lets alice do something and vanish, then asks as bob and as another alice.
fn after(run: &str, act: impl Fn(&mut RawClient)) {
    for postgres in VERSIONS {
        let options = StackOptions {
            postgres,
            ..StackOptions::pool(1)
        };
        let Some(mut stack) = Stack::try_start(&options) else {
            continue;
        };
        for round in 0..3 {
            let mut client = stack.login(&alice());
            act(&mut client);
            client.vanish();
            let mut next = stack.login(&bob());
            next.set_patience(Duration::from_secs(15));
            let what = format!("{run}, round {round}, {postgres:?}");
            assert_eq!(next.value("SELECT who()"), BOB, "{what}");
            assert_eq!(
                next.values("SELECT title FROM todos ORDER BY title")[0],
                "bob one",
                "{what}"
            );
            assert_eq!(next.value("SELECT residue()"), "", "{what}");
            assert_eq!(next.value("SHOW statement_timeout"), "1min", "{what}");
            // Outside a block: two statements have two transactions.
            let first = next.value("SELECT now()");
            assert_ne!(next.value("SELECT now()"), first, "{what}");
            let mut again = stack.login(&alice());
            assert_eq!(again.value("SELECT who()"), ALICE, "{what}");
            let left = format!("SELECT count(*) FROM scratch WHERE run = '{run}'");
            assert_eq!(again.value(&left), "0", "{what}");
        }
        // Nobody holds a transaction or a lock open on the server.
        wait_until("no transaction is left", Duration::from_secs(5), || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'portcullis_app' AND xact_start IS NOT NULL \
                       AND state LIKE 'idle in transaction%' AND query LIKE '%vanishing%'";
            stack.postgres().ask(sql) == ["0"]
        });
        stack.assert_well();
    }
}

#[test]
fn in_a_transaction() {
    after("vanishing-block", |client| {
        client.values("BEGIN");
        client.values("SET LOCAL statement_timeout = '44s'");
        client.values("INSERT INTO scratch (run, n) VALUES ('vanishing-block', 1)");
    });
}

#[test]
fn in_a_failed_transaction() {
    after("vanishing-failed", |client| {
        client.values("BEGIN; INSERT INTO scratch (run, n) VALUES ('vanishing-failed', 1)");
        assert_eq!(client.sqlstate("SELECT 1/0"), "22012");
    });
}

#[test]
fn during_a_query() {
    after("vanishing-query", |client| {
        client.send(&query(
            "INSERT INTO scratch (run, n) SELECT 'vanishing-query', 1 FROM pg_sleep(20)",
        ));
        std::thread::sleep(Duration::from_millis(200));
    });
}

#[test]
fn in_a_copy_in() {
    after("vanishing-copy", |client| {
        client.send(&query("COPY scratch_in (run, n) FROM STDIN"));
        assert_eq!(client.read().tag, b'G');
        client.send(&message(b'd', b"vanishing-copy\t1\n"));
        // Half a frame as well.
        client.send(&message(b'd', b"vanishing-copy\t2\n")[..9]);
    });
}

#[test]
fn with_unread_rows() {
    after("vanishing-rows", |client| {
        client.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"));
        assert_eq!(client.read().tag, b'T');
        assert_eq!(client.read().tag, b'D');
    });
}

#[test]
fn with_an_unread_copy() {
    after("vanishing-copy-out", |client| {
        client.send(&query(
            "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT",
        ));
        assert_eq!(client.read().tag, b'H');
    });
}

#[test]
fn in_a_batch_without_its_sync() {
    after("vanishing-batch", |client| {
        let sql = "INSERT INTO scratch (run, n) VALUES ('vanishing-batch', 1)";
        client.send(&[parse("", sql, &[]), bind("", "", &[]), execute("", 0), flush()].concat());
        for tag in [b'1', b'2', b'C'] {
            assert_eq!(client.read().tag, tag);
        }
    });
}

#[test]
fn with_a_batch_unanswered() {
    after("vanishing-unanswered", |client| {
        let sql = "INSERT INTO scratch (run, n) SELECT 'vanishing-unanswered', 1 FROM pg_sleep(0.5), generate_series(1, 1/0)";
        client.send(&[parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat());
        client.send(&query("BEGIN")[..3]);
    });
}

#[test]
fn with_a_portal_open() {
    after("vanishing-portal", |client| {
        client.values("BEGIN");
        let sql = "SELECT generate_series(1, 1000)";
        client.send(&[parse("", sql, &[]), bind("p", "", &[]), execute("p", 2), sync()].concat());
        assert!(client.until_ready().iter().any(|frame| frame.tag == b's'));
    });
}

/// A flood that dies while it waits: nothing of it reaches the server, and the one connection is not lost to it, as it
/// would be to each of them that began to work.
#[test]
fn in_the_queue() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut holder = stack.login(&bob());
    let backend = holder.value("SELECT pg_backend_pid()");
    let insert = query("INSERT INTO scratch (run, n) VALUES ('vanishing-queue', 1)");
    holder.values("BEGIN; SELECT 1");
    for number in 0..20 {
        let mut client = stack.login(&alice());
        client.send(&insert);
        if number % 2 == 0 {
            // With half of the next message.
            std::thread::sleep(Duration::from_millis(10));
            client.send(&insert[..9]);
        }
        client.vanish();
    }
    // One that has said goodbye is waited for.
    let mut client = stack.login(&alice());
    let last = query("INSERT INTO scratch (run, n) VALUES ('vanishing-queue', 2)");
    client.send(&[last, message(b'X', &[])].concat());
    client.vanish();
    std::thread::sleep(Duration::from_millis(300));
    holder.values("COMMIT");
    assert_eq!(holder.value("SELECT pg_backend_pid()"), backend);
    let mut next = stack.login(&alice());
    let left = "SELECT coalesce(string_agg(n::text, ' '), '') FROM scratch WHERE run = 'vanishing-queue'";
    wait_until("the goodbye's work is done", Duration::from_secs(5), || {
        next.value(left) == "2"
    });
    assert_eq!(next.value("SELECT pg_backend_pid()"), backend);
}

/// A client that sends more while it waits is not taken for one that left, and nothing of it is lost.
#[test]
fn whoever_sends_more_while_waiting_is_served() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut holder = stack.login(&bob());
    holder.values("BEGIN; SELECT 1");
    let mut client = stack.login(&alice());
    let long = format!("SELECT length('{}')", "x".repeat(40_000));
    for text in ["SELECT who()", "SELECT 2", &long, "SELECT 4"] {
        client.send(&query(text));
        std::thread::sleep(Duration::from_millis(50));
    }
    holder.values("COMMIT");
    for wanted in [ALICE, "2", "40000", "4"] {
        let frames = client.until_ready();
        let row = frames.iter().find(|frame| frame.tag == b'D').unwrap();
        assert_eq!(row.row()[0].as_deref(), Some(wanted));
    }
    stack.assert_well();
}

/// Half-closed by the client in the middle of a query: nobody can want the answer's successor.
#[test]
fn half_closed() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.send(&query("SELECT pg_sleep(0.3)"));
    client.half_close();
    assert!(client.is_closed());
    assert_eq!(stack.login(&bob()).value("SELECT who()"), BOB);
    stack.assert_well();
}

/// A client that says goodbye behind a complete batch does not wait for the answers: what it has asked for is
/// done all the same, as by Postgres.
#[test]
fn after_a_goodbye_the_work_is_done() {
    let stack = Stack::start(&StackOptions::pool(1));
    let goodbye = message(b'X', &[]);
    let insert = |n: u32| format!("INSERT INTO scratch (run, n) SELECT 'goodbye', {n} FROM pg_sleep(0.2)");
    let batch = |n: u32| {
        [
            parse("", &insert(n), &[]),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ]
        .concat()
    };
    let mut next = stack.login(&alice());
    for (n, messages) in [
        (1, [query(&insert(1)), goodbye.clone()].concat()),
        (3, [batch(2), batch(3), goodbye.clone()].concat()),
        // With answers that nobody reads, so that the socket is reset.
        (
            4,
            [
                query("SELECT repeat('x', 100000) FROM generate_series(1, 50)"),
                query(&insert(4)),
                goodbye.clone(),
            ]
            .concat(),
        ),
    ] {
        let mut client = stack.login(&alice());
        client.send(&messages);
        client.vanish();
        wait_until("the work is done", Duration::from_secs(10), || {
            next.value("SELECT count(*) FROM scratch WHERE run = 'goodbye'") == n.to_string()
        });
    }
    // What is not complete is not done, and holds nothing.
    for messages in [
        [query("BEGIN"), query(&insert(5)), goodbye.clone()].concat(),
        [
            parse("", &insert(5), &[]),
            bind("", "", &[]),
            execute("", 0),
            goodbye.clone(),
        ]
        .concat(),
    ] {
        let mut client = stack.login(&alice());
        client.send(&messages);
        client.vanish();
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(
            next.value("SELECT max(n) FROM scratch WHERE run = 'goodbye'"),
            "4"
        );
    }
}

/// Terminate in any state: nobody answers, the connection closes, what was not committed is gone. The client leaves
/// its own end open, so that it is the proxy that closes.
#[test]
fn goodbye_in_every_state() {
    let insert = "INSERT INTO scratch (run, n) VALUES ('vanishing-goodbye', 1)";
    let batch = [parse("", insert, &[]), bind("", "", &[]), execute("", 0)].concat();
    let states: [(&str, Vec<u8>, &[u8]); 7] = [
        ("idle", Vec::new(), b""),
        ("transaction", [query("BEGIN"), query(insert)].concat(), b"CZCZ"),
        (
            "failed",
            [query("BEGIN"), query(insert), query("SELECT 1/0")].concat(),
            b"CZCZEZ",
        ),
        ("copy", query("COPY scratch_in (run, n) FROM STDIN"), b"G"),
        (
            "copy data",
            [
                query("COPY scratch_in (run, n) FROM STDIN"),
                message(b'd', b"vanishing-goodbye\t1\n"),
            ]
            .concat(),
            b"G",
        ),
        ("flushed", [batch.clone(), flush()].concat(), b"12C"),
        ("unsynced", batch, b""),
    ];
    for mut stack in crate::stacks_of_one() {
        for (state, messages, answer) in &states {
            let mut client = stack.login(&alice());
            client.send(messages);
            for tag in *answer {
                assert_eq!(client.read().tag, *tag, "{state}");
            }
            client.send(&message(b'X', &[]));
            assert!(client.is_closed(), "{state}");
            let mut next = stack.login(&bob());
            assert_eq!(next.value("SELECT who()"), BOB, "{state}");
            assert_eq!(next.value("SELECT residue()"), "", "{state}");
            let left = "SELECT count(*) FROM scratch WHERE run = 'vanishing-goodbye'";
            assert_eq!(stack.login(&alice()).value(left), "0", "{state}");
        }
        stack.assert_well();
    }
}
