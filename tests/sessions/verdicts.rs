//! A text is judged once, whatever its message has to wait for, and by the policy that is in force when it runs.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::support::people::{alice, bob};
use crate::support::postgres::free_port;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, execute, function_call, parse, query, sync};
use crate::support::{metric, wait_until};

/// `loread` by its number (`pg_proc.dat`).
const LOREAD: u32 = 954;

/// Its third argument is edited, so that what is sent is not what the client wrote.
const EDITED: &str = "SELECT set_config('TimeZone', 'UTC', false)";

fn in_extended(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat()
}

#[test]
fn a_message_that_waits_is_counted_once() {
    let metrics_port = free_port();
    let stack =
        Stack::start(&StackOptions::pool(1).with(&format!("admin.address = '127.0.0.1:{metrics_port}'")));
    let counted = || {
        metric(
            metrics_port,
            "portcullis_verdicts_total{class=\"SELECT\",verdict=\"allow\"}",
        )
    };
    let mut holder = stack.login(&bob());
    let service = alice().token_with(&[("role", json!("service_role"))]);
    let mut client = stack
        .try_login(&service, "acme")
        .unwrap_or_else(|why| panic!("{}", why.describe()));
    let long = |n: u32| format!("SELECT length('{n}{}')", "x".repeat(40_000));
    let messages = [
        query("SELECT 1"),
        query(EDITED),
        query(&long(1)),
        in_extended("SELECT 2"),
        in_extended(EDITED),
        in_extended(&long(2)),
        function_call(LOREAD, &["0", "4"]),
    ];
    for (number, message) in messages.iter().enumerate() {
        // A server connection is to be had at once, and then when another client is done with it.
        for is_busy in [false, true] {
            if is_busy {
                holder.values("BEGIN; SELECT 1");
            }
            let before = counted();
            client.send(message);
            if is_busy {
                std::thread::sleep(Duration::from_millis(100));
                holder.values("COMMIT");
            }
            client.until_ready();
            assert_eq!(counted() - before, 1.0, "message {number}, busy: {is_busy}");
        }
    }
}

#[test]
fn a_message_that_waits_runs_under_the_policy_that_is_in_force_then() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    let policy = |keys: &str| {
        fs::write(
            &file,
            format!("name = 'own'\nstatements = ['SELECT', 'DELETE']\n{keys}\n"),
        )
    };
    policy("").unwrap();
    let config = format!(
        "[guard]\npolicies = ['{}']\ndefault_policy = 'own'",
        file.display()
    );
    let stack = Stack::start(&StackOptions::pool(1).with(&config));
    let mut holder = stack.login(&bob());
    let mut clients: Vec<RawClient> = (0..4).map(|_| stack.login(&alice())).collect();
    let delete = "DELETE FROM scratch";
    let prepared = [parse("gone", delete, &[]), sync()].concat();
    clients[2].send(&prepared);
    clients[2].until_ready();
    holder.values("BEGIN; SELECT 1");
    let long = format!("{delete}{}", " ".repeat(40_000));
    for (client, message) in clients.iter_mut().zip([
        query(delete),
        in_extended(delete),
        [bind("", "gone", &[]), execute("", 0), sync()].concat(),
        query(&long),
    ]) {
        client.send(&message);
    }
    std::thread::sleep(Duration::from_millis(200));
    policy("require_where = true").unwrap();
    stack.signal("HUP");
    wait_until("the new policy", Duration::from_secs(20), || {
        stack.log().contains("in force")
    });
    holder.values("COMMIT");
    for (number, client) in clients.iter_mut().enumerate() {
        let frames = client.until_ready();
        let error = frames.iter().find(|frame| frame.tag == b'E');
        let sqlstate = error.map(|frame| frame.sqlstate());
        assert_eq!(sqlstate.as_deref(), Some("42501"), "client {number}");
    }
}

/// What the guard has edited is not what the client wrote: judged again, it would be another statement.
#[test]
fn a_prepared_statement_means_the_same_under_another_policy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    let policy = |keys: &str| {
        fs::write(
            &file,
            format!("name = 'own'\nstatements = ['SELECT']\nsettable = ['timezone']\n{keys}\n"),
        )
    };
    policy("").unwrap();
    let config = format!(
        "[guard]\npolicies = ['{}']\ndefault_policy = 'own'",
        file.display()
    );
    let stack = Stack::start(&StackOptions::pool(1).with(&config));
    let mut client = stack.login(&alice());
    let zone = "SELECT set_config('TimeZone', 'Europe/Oslo', false)";
    client.send(&[parse("zone", zone, &[]), sync()].concat());
    client.until_ready();
    policy("require_where = true").unwrap();
    stack.signal("HUP");
    wait_until("the new policy", Duration::from_secs(20), || {
        stack.log().contains("in force")
    });
    client.send(&[bind("", "zone", &[]), execute("", 0), sync()].concat());
    client.until_ready();
    assert_eq!(client.value("SELECT current_setting('TimeZone')"), "Europe/Oslo");
}
