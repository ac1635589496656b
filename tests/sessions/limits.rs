//! Limits and time-outs, each with its SQLSTATE.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::ALICE;
use crate::support::people::{alice, bob, carol, in_seconds};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{Frame, RawClient, parse, query, sync};
use crate::support::wait_until;

/// The FATAL error with which an idle session is ended, and how long that took.
fn farewell(client: &mut RawClient) -> (String, Frame, Duration) {
    let start = Instant::now();
    let frame = client.read();
    assert_eq!(
        (frame.tag, frame.field('V').as_deref()),
        (b'E', Some("FATAL")),
        "{frame:?}"
    );
    assert!(client.is_closed());
    (frame.sqlstate(), frame, start.elapsed())
}

#[test]
fn clients_in_all() {
    let stack = Stack::start(&StackOptions::pool(1).with("listen.max_client_conn = 2"));
    let first = stack.login(&alice());
    let mut second = stack.login(&bob());
    let (code, message, hint) = stack.refusal(&alice().token(), "acme");
    assert_eq!(code, "53300", "{message}");
    assert!(
        hint.contains("limit") || hint.contains("max_client_conn"),
        "{hint}"
    );
    assert!(second.value("SELECT who()").contains("bob"));
    drop(first);
    let mut again = None;
    wait_until("the slot is free again", Duration::from_secs(5), || {
        again = stack.try_login(&alice().token(), "acme").ok();
        again.is_some()
    });
    // A cancel must get through although all slots are taken.
    second.send(&query("SELECT pg_sleep(20)"));
    std::thread::sleep(Duration::from_millis(300));
    crate::support::raw::cancel(stack.port(), &second.cancel_key);
    assert!(
        second
            .until_ready()
            .iter()
            .any(|frame| frame.tag == b'E' && frame.sqlstate() == "57014")
    );
}

#[test]
fn clients_of_a_tenant() {
    let stack = Stack::start(&StackOptions::pool(1).with("listen.max_tenant_client_conn = 2"));
    let first = stack.login(&alice());
    let _second = stack.login(&carol());
    let (code, message, hint) = stack.refusal(&alice().token(), "acme");
    assert_eq!(code, "53300", "{message}");
    assert!(
        hint.contains("limit") || hint.contains("max_tenant_client_conn"),
        "{hint}"
    );
    assert!(stack.login(&bob()).value("SELECT who()").contains("globex"));
    drop(first);
    wait_until("the slot is free again", Duration::from_secs(5), || {
        stack.try_login(&alice().token(), "acme").is_ok()
    });
}

#[test]
fn waiting_for_a_server_connection() {
    let stack = Stack::start(&StackOptions::pool(1).with("pool.query_wait_timeout = 1"));
    let mut holder = stack.login(&bob());
    holder.values("BEGIN; SELECT 1");
    let mut waiter = stack.login(&alice());
    let start = Instant::now();
    let error = waiter.query("SELECT who()").unwrap_err();
    let took = start.elapsed();
    assert_eq!(error.sqlstate(), "53300", "{error:?}");
    assert!(
        error
            .field('H')
            .is_some_and(|hint| hint.contains("query_wait_timeout")),
        "{error:?}"
    );
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(4),
        "{took:?}"
    );
    // The session goes on, and so does a batch's: the error is counted once.
    crate::support::trace::play(
        &mut waiter,
        r#"
        F Parse "" "SELECT who()"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ErrorResponse ERROR 53300
        B ReadyForQuery I
        "#,
    );
    holder.values("COMMIT");
    assert_eq!(waiter.value("SELECT who()"), ALICE);
}

#[test]
fn waiters_are_served_in_order() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut holder = stack.login(&bob());
    holder.values("BEGIN; SELECT 1");
    let mut waiters: Vec<RawClient> = (0..10).map(|_| stack.login(&alice())).collect();
    for waiter in &mut waiters {
        waiter.send(&query("SELECT clock_timestamp()::text FROM pg_sleep(0.01)"));
        std::thread::sleep(Duration::from_millis(30));
    }
    holder.values("COMMIT");
    let times: Vec<String> = waiters
        .iter_mut()
        .map(|waiter| {
            let frames = waiter.until_ready();
            let row = frames.iter().find(|frame| frame.tag == b'D').unwrap().row();
            row[0].clone().unwrap()
        })
        .collect();
    let mut sorted = times.clone();
    sorted.sort();
    assert_eq!(times, sorted);
}

#[test]
fn idle_clients() {
    let stack = Stack::start(&StackOptions::pool(1).with("listen.client_idle_timeout = 1"));
    let mut client = stack.login(&alice());
    assert_eq!(
        client.value("SELECT who() FROM pg_sleep(1.5)"),
        ALICE,
        "a long query is not idle"
    );
    let (code, _, took) = farewell(&mut client);
    assert_eq!(code, "57P05");
    assert!(
        took > Duration::from_millis(800) && took < Duration::from_secs(4),
        "{took:?}"
    );
}

#[test]
fn idle_transactions() {
    let stack = Stack::start(&StackOptions::pool(1).with("listen.idle_transaction_timeout = 1"));
    let mut client = stack.login(&alice());
    client.values("BEGIN; INSERT INTO scratch (run, n) VALUES ('idle-transaction', 1)");
    let mut waiter = stack.login(&bob());
    waiter.send(&query("SELECT 'served'"));
    let (code, _, took) = farewell(&mut client);
    assert_eq!(code, "25P03");
    assert!(
        took > Duration::from_millis(800) && took < Duration::from_secs(4),
        "{took:?}"
    );
    assert!(waiter.until_ready().iter().any(|frame| frame.tag == b'D'));
    let left = stack
        .login(&alice())
        .value("SELECT count(*) FROM scratch WHERE run = 'idle-transaction'");
    assert_eq!(left, "0");
}

#[test]
fn a_token_that_expires() {
    let stack = Stack::start(&StackOptions::pool(1).with("listen.expiry_grace = 2"));
    let short = |seconds| {
        let token = alice().token_with(&[("exp", json!(in_seconds(seconds)))]);
        stack
            .try_login(&token, "acme")
            .unwrap_or_else(|why| panic!("{}", why.describe()))
    };
    // Idle: told and closed when the time comes.
    let mut idle = short(2);
    assert_eq!(idle.value("SELECT who()"), ALICE);
    // In a block that ends within the grace: it may end, and the session ends with it.
    let mut ends = short(2);
    ends.values("BEGIN");
    ends.values("INSERT INTO scratch (run, n) VALUES ('expiry', 1)");
    let (code, frame, took) = farewell(&mut idle);
    assert_eq!(code, "57P01", "{frame:?}");
    assert!(
        frame
            .field('M')
            .is_some_and(|message| message.contains("token has expired")),
        "{frame:?}"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(ends.value("SELECT who()"), ALICE, "within the grace");
    ends.send(&query("COMMIT"));
    assert_eq!(ends.read().tag, b'C');
    let (code, frame, _) = {
        let next = ends.read();
        // ReadyForQuery may or may not come before the farewell.
        if next.tag == b'Z' {
            farewell(&mut ends)
        } else {
            (next.sqlstate(), next, Duration::ZERO)
        }
    };
    assert_eq!(code, "57P01", "{frame:?}");
    let kept = "DELETE FROM scratch WHERE run = 'expiry' RETURNING n";
    assert_eq!(stack.login(&alice()).values(kept), ["1"]);
    // In a block that goes on beyond the grace: ended.
    let mut goes_on = short(1);
    goes_on.values("BEGIN");
    goes_on.values("INSERT INTO scratch (run, n) VALUES ('expiry', 2)");
    let (code, frame, took) = farewell(&mut goes_on);
    assert_eq!(code, "57P01", "{frame:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(stack.login(&alice()).values(kept), Vec::<String>::new());
}

#[test]
fn statements_that_are_too_long() {
    let mut stack = Stack::start(&StackOptions::pool(1).with("listen.max_statement_bytes = 10000"));
    let mut client = stack.login(&alice());
    let fits = format!("SELECT length('{}')", "x".repeat(9000));
    assert_eq!(client.value(&fits), "9000");
    let too_long = format!("SELECT length('{}')", "x".repeat(10_000));
    assert_eq!(client.sqlstate(&too_long), "54000");
    assert_eq!(client.value("SELECT who()"), ALICE);
    client.send(
        &[
            crate::support::raw::parse("", &too_long, &[]),
            crate::support::raw::sync(),
        ]
        .concat(),
    );
    let frames = client.until_ready();
    assert_eq!(frames[0].sqlstate(), "54000");
    assert_eq!(client.value("SELECT who()"), ALICE);
    // A long value is no long statement.
    crate::support::trace::play(
        &mut client,
        &format!(
            "F Parse \"\" \"SELECT length($1::text)\"\nF Bind \"\" \"\" {}\nF Execute \"\" 0\nF Sync\n\
             B ParseComplete\nB BindComplete\nB DataRow 50000\nB CommandComplete \"SELECT 1\"\nB ReadyForQuery I",
            "x".repeat(50_000)
        ),
    );
    stack.assert_well();
}

#[test]
fn statements_without_number() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    let mut refused = None;
    for n in 0..20_000 {
        client.send(
            &[
                crate::support::raw::parse(&format!("s{n}"), "SELECT 1", &[]),
                crate::support::raw::sync(),
            ]
            .concat(),
        );
        let frames = client.until_ready();
        if frames[0].tag == b'E' {
            refused = Some(frames[0].sqlstate());
            break;
        }
    }
    assert_eq!(refused.as_deref(), Some("53400"));
    assert_eq!(client.value("SELECT who()"), ALICE);
    client.values("DEALLOCATE ALL");
    client.send(
        &[
            crate::support::raw::parse("again", "SELECT 1", &[]),
            crate::support::raw::sync(),
        ]
        .concat(),
    );
    assert_eq!(client.until_ready()[0].tag, b'1');
    stack.assert_well();
}

#[test]
fn statements_without_end() {
    let mut stack = Stack::start(&StackOptions::pool(1).with("listen.max_statement_bytes = 2000000"));
    let mut client = stack.login(&alice());
    let long = format!("SELECT 1{}", " ".repeat(1 << 20));
    let prepare = |client: &mut RawClient, name: &str, sql: &str| {
        client.send(&[parse(name, sql, &[]), sync()].concat());
        let answer = client.until_ready().remove(0);
        if answer.tag == b'E' {
            answer.sqlstate()
        } else {
            "ok".to_owned()
        }
    };
    for n in 0..15 {
        assert_eq!(prepare(&mut client, &format!("s{n}"), &long), "ok", "{n}");
    }
    assert_eq!(prepare(&mut client, "s15", &long), "53400", "16 MiB and some");
    assert_eq!(
        prepare(&mut client, "", &long),
        "ok",
        "the unnamed one is not kept"
    );
    assert_eq!(prepare(&mut client, "short", "SELECT 1"), "ok");
    client.values("DEALLOCATE s3");
    assert_eq!(prepare(&mut client, "s15", &long), "ok");
    assert_eq!(prepare(&mut client, "s16", &long), "53400");
    assert_eq!(client.value("SELECT who()"), ALICE);
    stack.assert_well();
}
