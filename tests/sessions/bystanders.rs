//! Clients that share a server connection must not notice each other: neither by what one of them has
//! prepared nor by what it has set.

use std::time::Duration;

use serde_json::json;

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, cancel, execute, parse, query, sync};

/// Prepares a text under a name, or under none, and runs it: its value, or the SQLSTATE.
fn prepared(client: &mut RawClient, name: &str, sql: &str) -> Result<String, String> {
    let run = [parse(name, sql, &[]), sync()].concat();
    client.send(&run);
    let mut frames = client.until_ready();
    client.send(&[bind("", name, &[]), execute("", 0), sync()].concat());
    frames.extend(client.until_ready());
    if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
        return Err(error.sqlstate());
    }
    let row = frames.iter().find(|frame| frame.tag == b'D').expect("a row");
    Ok(row.row().remove(0).unwrap_or_default())
}

/// Whether a name in a schema may be used is asked when a statement is parsed, and never again.
#[test]
fn a_role_cannot_use_what_another_has_prepared() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    stack.postgres().superuser("shop").values(
        "CREATE SCHEMA IF NOT EXISTS gate; GRANT USAGE ON SCHEMA gate TO authenticated; \
         CREATE OR REPLACE FUNCTION gate.secret() RETURNS text LANGUAGE sql AS $$ SELECT 'secret' $$",
    );
    for name in ["s", ""] {
        let mut insider = stack.login(&alice());
        assert_eq!(
            prepared(&mut insider, name, "SELECT gate.secret()"),
            Ok("secret".into())
        );
        let token = alice().token_with(&[("role", json!("member"))]);
        let mut outsider = stack.try_login(&token, "acme").expect("a login");
        assert_eq!(
            prepared(&mut outsider, name, "SELECT gate.secret()"),
            Err("42501".into())
        );
    }
    stack.assert_well();
}

/// A literal is read when its statement is parsed, by the settings of that moment.
#[test]
fn literals_are_read_by_ones_own_settings() {
    const DAY: &str = "SELECT '01/02/2024'::date::text";
    for (case, before, after) in [
        ("local", "BEGIN; SET LOCAL DateStyle = 'ISO, DMY'", "COMMIT"),
        ("of the session", "SET DateStyle = 'ISO, DMY'", "RESET DateStyle"),
        (
            "of the session, in a block",
            "BEGIN; SET DateStyle = 'ISO, DMY'",
            "ROLLBACK",
        ),
        (
            "in a script",
            "BEGIN; SELECT 1; SET LOCAL DateStyle = 'ISO, DMY'",
            "COMMIT",
        ),
    ] {
        for name in ["s", ""] {
            let mut stack = Stack::start(&StackOptions::pool(1));
            let mut one = stack.login(&alice());
            one.values(before);
            assert_eq!(prepared(&mut one, name, DAY), Ok("2024-02-01".into()), "{case}");
            one.values(after);
            let mut other = stack.login(&bob());
            assert_eq!(
                prepared(&mut other, name, DAY),
                Ok("2024-01-02".into()),
                "{case} {name:?}"
            );
            stack.assert_well();
        }
    }
}

/// A statement parsed earlier is prepared on a server connection only later, under other settings.
#[test]
fn literals_of_statements_prepared_late() {
    const DAY: &str = "SELECT '01/02/2024'::date::text";
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut one = stack.login(&alice());
    assert_eq!(prepared(&mut one, "s", DAY), Ok("2024-01-02".into()));
    let backend = one.value("SELECT pg_backend_pid()");
    let mut superuser = stack.postgres().superuser("shop");
    superuser.values(&format!("SELECT pg_terminate_backend({backend}, 5000)"));
    one.values("BEGIN; SET LOCAL DateStyle = 'ISO, DMY'");
    one.send(&[bind("", "s", &[]), execute("", 0), sync()].concat());
    one.until_ready();
    one.values("COMMIT");
    let mut other = stack.login(&bob());
    assert_eq!(prepared(&mut other, "s", DAY), Ok("2024-01-02".into()));
    stack.assert_well();
}

/// In one transaction every statement can be cancelled, not only the first.
#[test]
fn cancelling_again_in_one_transaction() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.set_patience(Duration::from_secs(15));
    client.values("BEGIN; SAVEPOINT s");
    for _ in 0..2 {
        client.send(&query("SELECT pg_sleep(12)"));
        std::thread::sleep(Duration::from_millis(500));
        cancel(stack.port(), &client.cancel_key);
        assert_eq!(
            client
                .until_ready()
                .iter()
                .find(|f| f.tag == b'E')
                .map(|f| f.sqlstate()),
            Some("57014".into())
        );
        client.values("ROLLBACK TO s");
    }
    client.values("COMMIT");
    let mut next = stack.login(&bob());
    assert_eq!(next.value("SELECT who()"), crate::BOB);
    stack.assert_well();
}
