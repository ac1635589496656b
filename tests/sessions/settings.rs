//! What a session sets for itself stays with it, over every server connection, and nobody else has it.

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::RawClient;
use crate::{proxied, same_as_postgres};

#[test]
fn set_show_reset() {
    same_as_postgres(
        "set",
        r#"
        F Query "SET statement_timeout = '54321ms'"
        B CommandComplete SET
        B ReadyForQuery I
        F Query "SHOW statement_timeout"
        B RowDescription statement_timeout
        B DataRow 54321ms
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "BEGIN; SET statement_timeout = '1min'; SET LOCAL lock_timeout = '2s'"
        B CommandComplete BEGIN
        B CommandComplete SET
        B CommandComplete SET
        B ReadyForQuery T
        F Query "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        B RowDescription current_setting current_setting
        B DataRow 1min 2s
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Query "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        B RowDescription current_setting current_setting
        B DataRow 54321ms 0
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "BEGIN; SET SESSION statement_timeout TO 7000; SET LOCAL statement_timeout TO 8000; COMMIT"
        B CommandComplete BEGIN
        B CommandComplete SET
        B CommandComplete SET
        B CommandComplete COMMIT
        B ReadyForQuery I
        F Query "SHOW statement_timeout"
        B RowDescription statement_timeout
        B DataRow 7s
        B CommandComplete SHOW
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn savepoints_take_settings_back() {
    same_as_postgres(
        "set-savepoint",
        r#"
        F Query "BEGIN; SAVEPOINT a; SET statement_timeout = '9s'; ROLLBACK TO a"
        B CommandComplete BEGIN
        B CommandComplete SAVEPOINT
        B CommandComplete SET
        B CommandComplete ROLLBACK
        B ReadyForQuery T
        F Query "SHOW statement_timeout"
        B RowDescription statement_timeout
        B DataRow 0
        B CommandComplete SHOW
        B ReadyForQuery T
        F Query "SAVEPOINT b; SET statement_timeout = '8s'; RELEASE b; COMMIT"
        B CommandComplete SAVEPOINT
        B CommandComplete SET
        B CommandComplete RELEASE
        B CommandComplete COMMIT
        B ReadyForQuery I
        F Query "SHOW statement_timeout"
        B RowDescription statement_timeout
        B DataRow 8s
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "RESET statement_timeout"
        B CommandComplete RESET
        B ReadyForQuery I
        F Query "SHOW statement_timeout"
        B RowDescription statement_timeout
        B DataRow 0
        B CommandComplete SHOW
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn reported_settings_are_reported() {
    same_as_postgres(
        "reported",
        r#"
        F Query "SET TimeZone TO 'Asia/Tokyo'"
        B CommandComplete SET
        B ParameterStatus TimeZone Asia/Tokyo
        B ReadyForQuery I
        F Query "SELECT current_setting('TimeZone')"
        B RowDescription current_setting
        B DataRow Asia/Tokyo
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "SELECT timestamptz '2024-01-01 00:00:00+00'"
        B RowDescription timestamptz
        B DataRow "2024-01-01 09:00:00+09"
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "SET TIME ZONE 'UTC'"
        B CommandComplete SET
        B ParameterStatus TimeZone UTC
        B ReadyForQuery I
        F Query "SET application_name = 'mine'"
        B CommandComplete SET
        B ParameterStatus application_name mine
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn wrong_values_are_told() {
    same_as_postgres(
        "wrong-values",
        r#"
        F Query "SET TimeZone TO 'Mars/Olympus'"
        B ErrorResponse ERROR 22023
        B ReadyForQuery I
        F Query "SET statement_timeout TO 'soon'"
        B ErrorResponse ERROR 22023
        B ReadyForQuery I
        F Query "SHOW no_such_setting"
        B ErrorResponse ERROR 42704
        B ReadyForQuery I
        F Query "SHOW statement_timeout"
        B RowDescription statement_timeout
        B DataRow 0
        B CommandComplete SHOW
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn reset_all_resets_the_session_and_not_the_identity() {
    proxied(
        "reset-all",
        r#"
        F Query "SET statement_timeout = '9s'; SET lock_timeout = '8s'"
        B CommandComplete SET
        B CommandComplete SET
        B ReadyForQuery I
        F Query "RESET ALL"
        B CommandComplete RESET
        B ReadyForQuery I
        F Query "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), who()"
        B RowDescription current_setting current_setting who
        B DataRow 0 0 authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Query "SELECT who()"
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        F Query "RESET ALL"
        B CommandComplete RESET
        B ReadyForQuery T
        F Query "SELECT who()"
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        F Query "COMMIT"
        B CommandComplete COMMIT
        B ReadyForQuery I
        F Query "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;"
        B RowDescription pg_advisory_unlock_all
        B DataRow ""
        B CommandComplete "SELECT 1"
        B CommandComplete "CLOSE CURSOR ALL"
        B CommandComplete UNLISTEN
        B CommandComplete RESET
        B ReadyForQuery I
        "#,
    );
}

/// Every setting there is, as the session of somebody who has set nothing sees it.
fn everything(client: &mut RawClient) -> Vec<String> {
    let names = "SELECT name || ' = ' || coalesce(current_setting(name, true), 'NULL') FROM pg_settings \
                 WHERE name NOT IN ('application_name') ORDER BY name";
    let mut all = client.values(names);
    all.push(client.value("SELECT residue()"));
    all.push(client.value("SELECT who() || session_user"));
    all
}

#[test]
fn nothing_leaks_to_the_next_client() {
    let stack = Stack::start(&StackOptions::pool(1));
    let before = everything(&mut stack.login(&bob()));
    let mut client = stack.login(&alice());
    for sql in [
        "SET TimeZone TO 'Asia/Tokyo'",
        "SET statement_timeout = '9s'",
        "SET DateStyle = 'German'",
        "SET IntervalStyle = 'iso_8601'",
        "SET extra_float_digits = 3",
        "SET bytea_output = 'escape'",
        "SET client_min_messages = 'error'",
        "SET jit = off",
        "SET enable_seqscan = off",
        "BEGIN; SET LOCAL lock_timeout = '3s'; COMMIT",
        "BEGIN; SET idle_in_transaction_session_timeout = '3s'; ROLLBACK",
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; COMMIT",
        "SELECT pg_advisory_xact_lock(1)",
        "PREPARE p AS SELECT 1",
        "PREPARE q (mood) AS SELECT $1",
        "EXECUTE q('ok')",
    ] {
        client.values(sql);
    }
    // These must be refused, because they would stay behind.
    for sql in [
        "LISTEN x",
        "CREATE TEMP TABLE t (a int)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)",
    ] {
        assert_eq!(client.sqlstate(sql), "0A000", "{sql}");
    }
    for sql in [
        "SET app.invented = 'x'",
        "SELECT setseed(0.5)",
        "SELECT lo_create(0)",
    ] {
        assert_eq!(client.sqlstate(sql), "42501", "{sql}");
    }
    let after = everything(&mut stack.login(&bob()));
    assert_eq!(after, before, "with the client still there");
    drop(client);
    assert_eq!(
        everything(&mut stack.login(&bob())),
        before,
        "with the client gone"
    );
}
