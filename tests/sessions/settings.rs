//! What a session sets for itself stays with it, over every server connection, and nobody else has it.

use std::fs;

use serde_json::json;

use crate::support::people::{alice, bob, person};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, close, execute, parse, query, sync};
use crate::{MODES, VERSIONS, proxied, same_as_postgres, stacks_of_one_in_both_modes};

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
        B DataRow 1min
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
        B DataRow 1min
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
        F Query "SET lock_timeout TO 'soon'"
        B ErrorResponse ERROR 22023
        B ReadyForQuery I
        F Query "SHOW no_such_setting"
        B ErrorResponse ERROR 42704
        B ReadyForQuery I
        F Query "SHOW statement_timeout"
        B RowDescription statement_timeout
        B DataRow 1min
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
        B DataRow 1min 0 authenticated|alice|acme
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
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
        "SELECT set_config('lock_timeout', '3s', false)",
        "SET default_transaction_isolation TO 'repeatable read'",
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

#[test]
fn default_modes_are_those_of_later_transactions() {
    same_as_postgres(
        "modes",
        r#"
        F Query "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"
        B CommandComplete SET
        B ParameterStatus default_transaction_read_only on
        B ReadyForQuery I
        F Query "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only')"
        B RowDescription current_setting current_setting current_setting current_setting
        B DataRow serializable on serializable on
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "INSERT INTO scratch (run, n) VALUES ('$RUN', 1)"
        B ErrorResponse ERROR 25006
        B ReadyForQuery I
        F Parse "" "SELECT current_setting('transaction_isolation')"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B DataRow serializable
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "BEGIN READ WRITE"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Query "INSERT INTO scratch (run, n) VALUES ('$RUN', 1)"
        B CommandComplete "INSERT 0 1"
        B ReadyForQuery T
        F Query "SHOW transaction_isolation"
        B RowDescription transaction_isolation
        B DataRow serializable
        B CommandComplete SHOW
        B ReadyForQuery T
        F Query "ROLLBACK AND CHAIN; SHOW transaction_read_only; SHOW transaction_isolation; COMMIT"
        B CommandComplete ROLLBACK
        B RowDescription transaction_read_only
        B DataRow off
        B CommandComplete SHOW
        B RowDescription transaction_isolation
        B DataRow serializable
        B CommandComplete SHOW
        B CommandComplete COMMIT
        B ReadyForQuery I
        F Query "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SHOW transaction_isolation; SHOW transaction_read_only; ROLLBACK"
        B CommandComplete BEGIN
        B CommandComplete SET
        B RowDescription transaction_isolation
        B DataRow "repeatable read"
        B CommandComplete SHOW
        B RowDescription transaction_read_only
        B DataRow on
        B CommandComplete SHOW
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Query "SET default_transaction_read_only = off; SHOW transaction_read_only"
        B CommandComplete SET
        B RowDescription transaction_read_only
        B DataRow on
        B CommandComplete SHOW
        B ParameterStatus default_transaction_read_only off
        B ReadyForQuery I
        F Query "SHOW transaction_read_only"
        B RowDescription transaction_read_only
        B DataRow off
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "RESET default_transaction_isolation"
        B CommandComplete RESET
        B ReadyForQuery I
        F Query "SHOW transaction_isolation"
        B RowDescription transaction_isolation
        B DataRow "read committed"
        B CommandComplete SHOW
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn default_modes_are_taken_back_with_their_transaction() {
    same_as_postgres(
        "modes-rollback",
        r#"
        F Query "BEGIN; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; ROLLBACK"
        B CommandComplete BEGIN
        B CommandComplete SET
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Query "SHOW transaction_read_only"
        B RowDescription transaction_read_only
        B DataRow off
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "BEGIN; SET LOCAL default_transaction_deferrable = on; SET default_transaction_isolation TO 'repeatable read'; COMMIT; SHOW transaction_isolation; SHOW default_transaction_deferrable"
        B CommandComplete BEGIN
        B CommandComplete SET
        B CommandComplete SET
        B CommandComplete COMMIT
        B RowDescription transaction_isolation
        B DataRow "repeatable read"
        B CommandComplete SHOW
        B RowDescription default_transaction_deferrable
        B DataRow off
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "SET default_transaction_isolation TO 'chaos'"
        B ErrorResponse ERROR 22023
        B ReadyForQuery I
        F Query "SHOW default_transaction_isolation"
        B RowDescription default_transaction_isolation
        B DataRow "repeatable read"
        B CommandComplete SHOW
        B ReadyForQuery I
        "#,
    );
}

/// A pipeline of several transactions: each begins with the modes, and none is warned about.
#[test]
fn default_modes_hold_in_a_pipeline() {
    same_as_postgres(
        "modes-pipeline",
        r#"
        F Parse c "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE"
        F Bind "" c
        F Describe P ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B NoData
        B CommandComplete SET
        B ParameterStatus default_transaction_read_only on
        B ReadyForQuery I
        F Parse b "BEGIN ISOLATION LEVEL REPEATABLE READ"
        F Parse e "COMMIT"
        F Parse s "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('transaction_deferrable')"
        F Sync
        B ParseComplete
        B ParseComplete
        B ParseComplete
        B ReadyForQuery I
        F Bind "" b
        F Execute "" 0
        F Bind "" s
        F Execute "" 0
        F Bind "" e
        F Execute "" 0
        F Bind "" s
        F Execute "" 0
        F Sync
        F Bind "" s
        F Execute "" 0
        F Sync
        B BindComplete
        B CommandComplete BEGIN
        B BindComplete
        B DataRow "repeatable read" on on
        B CommandComplete "SELECT 1"
        B BindComplete
        B CommandComplete COMMIT
        B BindComplete
        B DataRow serializable on on
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        B BindComplete
        B DataRow serializable on on
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn default_modes_by_startup_options() {
    for stack in crate::stacks_of_one() {
        let startup = [
            ("user", "alice"),
            ("database", "acme"),
            (
                "options",
                "-c default_transaction_read_only=on -c default_transaction_isolation=serializable",
            ),
        ];
        let token = alice().token();
        let mut client = RawClient::try_login(stack.port(), &startup, Some(&token))
            .unwrap_or_else(|why| panic!("{}", why.describe()));
        assert_eq!(client.parameters["default_transaction_read_only"], "on");
        let write = "INSERT INTO scratch (run, n) VALUES ('modes-startup', 1)";
        assert_eq!(client.sqlstate(write), "25006");
        assert_eq!(client.value("SHOW transaction_isolation"), "serializable");
        client.values("SET default_transaction_read_only = off");
        assert_eq!(client.value("SHOW transaction_read_only"), "off");
        client.values("RESET ALL");
        assert_eq!(client.sqlstate(write), "25006", "as at startup");
        // The next client of the same connection is free of it.
        let mut other = stack.login(&bob());
        assert_eq!(other.value("SHOW transaction_isolation"), "read committed");
        assert_eq!(other.value("SHOW default_transaction_read_only"), "off");
        other.values("BEGIN; INSERT INTO scratch (run, n) VALUES ('modes-startup', 1); ROLLBACK");
    }
}

/// What a transaction sets for the session holds for the next one of the same string or batch.
#[test]
fn settings_hold_in_the_rest_of_a_string() {
    same_as_postgres("set-string", include_str!("../traces/set-string.trace"));
}

#[test]
fn a_savepoint_takes_back_only_what_is_the_sessions() {
    same_as_postgres(
        "set-savepoints",
        r#"
        F Query "BEGIN; SET LOCAL statement_timeout = '3s'; SAVEPOINT s; SET statement_timeout = '4s'; ROLLBACK TO s; SHOW statement_timeout; COMMIT"
        B CommandComplete BEGIN
        B CommandComplete SET
        B CommandComplete SAVEPOINT
        B CommandComplete SET
        B CommandComplete ROLLBACK
        B RowDescription statement_timeout
        B DataRow 3s
        B CommandComplete SHOW
        B CommandComplete COMMIT
        B ReadyForQuery I
        F Query "SHOW statement_timeout"
        B RowDescription statement_timeout
        B DataRow 1min
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "BEGIN; SET statement_timeout = '1s'; SAVEPOINT a; SET statement_timeout = '2s'; SAVEPOINT b; SET statement_timeout = '3s'; SET lock_timeout = '3s'; ROLLBACK TO b; RELEASE a"
        B CommandComplete BEGIN
        B CommandComplete SET
        B CommandComplete SAVEPOINT
        B CommandComplete SET
        B CommandComplete SAVEPOINT
        B CommandComplete SET
        B CommandComplete SET
        B CommandComplete ROLLBACK
        B CommandComplete RELEASE
        B ReadyForQuery T
        F Query "SAVEPOINT A; SAVEPOINT \"a\"; SET statement_timeout = '5s'; RELEASE a; SELECT 1/0"
        B CommandComplete SAVEPOINT
        B CommandComplete SAVEPOINT
        B CommandComplete SET
        B CommandComplete RELEASE
        B ErrorResponse ERROR 22012
        B ReadyForQuery E
        F Query "ROLLBACK TO a; COMMIT; SHOW statement_timeout; SHOW lock_timeout"
        B CommandComplete ROLLBACK
        B CommandComplete COMMIT
        B RowDescription statement_timeout
        B DataRow 2s
        B CommandComplete SHOW
        B RowDescription lock_timeout
        B DataRow 0
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "BEGIN; SAVEPOINT a; RESET statement_timeout; SAVEPOINT b; SET statement_timeout = '9s'; ROLLBACK TO b; COMMIT; SHOW statement_timeout"
        B CommandComplete BEGIN
        B CommandComplete SAVEPOINT
        B CommandComplete RESET
        B CommandComplete SAVEPOINT
        B CommandComplete SET
        B CommandComplete ROLLBACK
        B CommandComplete COMMIT
        B RowDescription statement_timeout
        B DataRow 1min
        B CommandComplete SHOW
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn set_config_is_kept_as_set_is() {
    same_as_postgres(
        "set-config",
        r#"
        F Query "SELECT set_config('TimeZone', 'Asia/Tokyo', false)"
        B RowDescription set_config
        B DataRow Asia/Tokyo
        B CommandComplete "SELECT 1"
        B ParameterStatus TimeZone Asia/Tokyo
        B ReadyForQuery I
        F Query "SHOW TimeZone"
        B RowDescription TimeZone
        B DataRow Asia/Tokyo
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "SELECT set_config('lock_timeout', '1min', false), pg_catalog.set_config('statement_timeout', '2s', true) AS local, set_config('DateStyle', 'German', false)"
        B RowDescription set_config local set_config
        B DataRow 1min 2s "German, DMY"
        B CommandComplete "SELECT 1"
        B ParameterStatus DateStyle "German, DMY"
        B ReadyForQuery I
        F Query "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('DateStyle')"
        B RowDescription current_setting current_setting current_setting
        B DataRow 1min 1min "German, DMY"
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Parse "" "SELECT set_config('lock_timeout', $1, false)"
        F Bind "" "" 3s
        F Describe P ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B RowDescription set_config
        B DataRow 3s
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "BEGIN; SELECT set_config('lock_timeout', '4s', false); SAVEPOINT a; SELECT set_config('lock_timeout', '5s', false); ROLLBACK TO a; SHOW lock_timeout"
        B CommandComplete BEGIN
        B RowDescription set_config
        B DataRow 4s
        B CommandComplete "SELECT 1"
        B CommandComplete SAVEPOINT
        B RowDescription set_config
        B DataRow 5s
        B CommandComplete "SELECT 1"
        B CommandComplete ROLLBACK
        B RowDescription lock_timeout
        B DataRow 4s
        B CommandComplete SHOW
        B ReadyForQuery T
        F Query "ROLLBACK; SHOW lock_timeout"
        B CommandComplete ROLLBACK
        B RowDescription lock_timeout
        B DataRow 3s
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "SELECT set_config('bytea_output', 'escape', false) FROM pg_show_all_settings() WHERE name = 'bytea_output'"
        B RowDescription set_config
        B DataRow escape
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "SELECT set_config('lock_timeout', 'soon', false)"
        B RowDescription set_config
        B ErrorResponse ERROR 22023
        B ReadyForQuery I
        F Query "SELECT current_setting('bytea_output'), current_setting('lock_timeout')"
        B RowDescription current_setting current_setting
        B DataRow escape 3s
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "RESET ALL"
        B CommandComplete RESET
        B ParameterStatus _ _
        B ParameterStatus _ _
        B ReadyForQuery I
        "#,
    );
}

/// Execute of an SQL cursor leaves what the transaction has set for itself.
#[test]
fn reading_a_cursor_changes_no_setting() {
    same_as_postgres(
        "set-cursor",
        r#"
        F Query "SET statement_timeout = '9s'"
        B CommandComplete SET
        B ReadyForQuery I
        F Query "BEGIN; SET LOCAL statement_timeout = '2s'; DECLARE c CURSOR FOR SELECT 1 AS one"
        B CommandComplete BEGIN
        B CommandComplete SET
        B CommandComplete "DECLARE CURSOR"
        B ReadyForQuery T
        F Execute c 0
        F Parse "" "SHOW statement_timeout"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B DataRow 1
        B CommandComplete "SELECT 1"
        B ParseComplete
        B BindComplete
        B DataRow 2s
        B CommandComplete SHOW
        B ReadyForQuery T
        F Query "COMMIT"
        B CommandComplete COMMIT
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn copy_behind_a_setting_in_one_batch() {
    same_as_postgres(
        "set-copy",
        r#"
        F Parse "" "SET statement_timeout = '9s'"
        F Bind "" ""
        F Execute "" 0
        F Parse "" "COPY scratch_in (run, n, body) FROM STDIN"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B CommandComplete SET
        B ParseComplete
        B BindComplete
        B CopyInResponse
        F CopyData "$RUN\t1\tone\n"
        F CopyDone
        F Sync
        B CommandComplete "COPY 1"
        B ReadyForQuery I
        F Parse "" "SET statement_timeout = '8s'"
        F Bind "" ""
        F Execute "" 0
        F Parse "" "COPY scratch_in (run, n, body) FROM STDIN"
        F Bind "" ""
        F Execute "" 0
        F CopyData "$RUN\t2\ttwo\n"
        F CopyFail "never mind"
        F Sync
        B ParseComplete
        B BindComplete
        B CommandComplete SET
        B ParseComplete
        B BindComplete
        B CopyInResponse
        B ErrorResponse ERROR 57014
        B ReadyForQuery I
        F Query "SELECT current_setting('statement_timeout'), (SELECT count(*) FROM scratch WHERE run = '$RUN')"
        B RowDescription current_setting count
        B DataRow 9s 1
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

/// The client learns of a wrong value before it ends its batch.
#[test]
fn a_wrong_value_ahead_of_the_sync() {
    same_as_postgres("set-flush", include_str!("../traces/set-flush.trace"));
}

/// Somebody whose role may set anything but its identity.
fn service(stack: &Stack) -> RawClient {
    let token = alice().token_with(&[("role", json!("service_role"))]);
    stack
        .try_login(&token, "acme")
        .unwrap_or_else(|why| panic!("{}", why.describe()))
}

#[test]
fn long_values_are_kept_or_refused() {
    for mut stack in crate::stacks_of_one() {
        let mut client = service(&stack);
        let long = |bytes: usize| "x".repeat(bytes);
        client.values(&format!("SET my.long = '{}'", long(5_900)));
        assert_eq!(client.value("SELECT length(current_setting('my.long'))"), "5900");
        assert_eq!(
            client.sqlstate(&format!("SET my.long = '{}'", long(7_000))),
            "53400"
        );
        assert_eq!(client.value("SELECT length(current_setting('my.long'))"), "5900");
        let local = format!("BEGIN; SET LOCAL my.long = '{}'", long(7_000));
        client.values(&local);
        assert_eq!(client.value("SELECT length(current_setting('my.long'))"), "7000");
        client.values("COMMIT");
        // From 18 on a ParameterStatus of that length comes back.
        let path: Vec<String> = (0..480).map(|n| format!("schema_{n}")).collect();
        client.values(&format!("SET search_path TO {}", path.join(", ")));
        client.values("BEGIN");
        assert_eq!(client.value("SHOW search_path"), path.join(", "));
        client.values("ROLLBACK");
        client.values("DISCARD ALL");
        assert_eq!(client.value("SHOW search_path"), "\"$user\", public");
        stack.assert_well();
    }
}

#[test]
fn other_encodings_are_not_supported() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    for sql in [
        "SET client_encoding = 'SJIS'",
        "SET NAMES 'LATIN1'",
        "SET LOCAL client_encoding TO win1252",
    ] {
        assert_eq!(client.sqlstate(sql), "0A000", "{sql}");
    }
    for sql in [
        "SET client_encoding = 'utf-8'",
        "SET NAMES 'UTF8'",
        "SET client_encoding TO unicode",
        "RESET client_encoding",
    ] {
        client.values(sql);
    }
    let token = alice().token();
    let options = [
        ("user", "alice"),
        ("database", "acme"),
        ("client_encoding", "SJIS"),
    ];
    let refused = RawClient::try_login(stack.port(), &options, Some(&token));
    assert_eq!(refused.err().map(|why| why.sqlstate()).as_deref(), Some("0A000"));
}

/// The prelude of a tenant with a schema of its own sets the search path, which PostgreSQL reports from 18 on.
#[test]
fn the_prelude_is_never_reported() {
    for stack in crate::stacks_of_one() {
        let mut client = stack.login(&person("ina", "initech"));
        let path = client.value("SHOW search_path");
        if let Some(told) = client.parameters.get("search_path") {
            assert_eq!(*told, path);
        }
        for sql in [
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "BEGIN",
            "SELECT 1",
            "COMMIT",
            "SELECT 1",
            "BEGIN; SELECT 1",
            "SELECT 1/0",
            "ROLLBACK",
        ] {
            client.send(&query(sql));
            let frames = client.until_ready();
            let reports = frames.iter().filter(|frame| matches!(frame.tag, b'S' | b'N'));
            assert_eq!(reports.count(), 0, "{sql}: {frames:?}");
        }
        assert_eq!(client.value("SHOW search_path"), path);
    }
}

/// A role that may set its own search path has that, also where its tenant has a schema.
#[test]
fn a_search_path_that_may_be_set_is_kept() {
    let stack = Stack::start(&StackOptions::pool(1));
    let token = person("ina", "initech").token_with(&[("role", json!("service_role"))]);
    let mut client = stack
        .try_login(&token, "initech")
        .unwrap_or_else(|why| panic!("{}", why.describe()));
    let path = client.value("SHOW search_path");
    client.values("SET search_path TO pg_catalog");
    assert_eq!(client.value("SHOW search_path"), "pg_catalog");
    client.values("RESET search_path");
    assert_eq!(client.value("SHOW search_path"), path);
    let mut other = stack.login(&person("ina", "initech"));
    assert_eq!(other.sqlstate("SET search_path TO pg_catalog"), "42501");
    assert_eq!(other.value("SHOW search_path"), path);
}

/// A trusted role that is a superuser is told so, and keeps what only a superuser may set.
#[test]
fn a_superuser_role_is_one() {
    let chief = "[roles.chief]\nlogin = \"service\"\npolicy = \"trusted\"\nany_tenant = true";
    let stack = Stack::start(&StackOptions::pool(1).with(chief));
    let mut superuser = stack.postgres().superuser("shop");
    superuser.values(
        "DO $$BEGIN CREATE ROLE chief NOLOGIN SUPERUSER; GRANT chief TO portcullis_service; \
         EXCEPTION WHEN duplicate_object THEN END$$",
    );
    let token = alice().token_with(&[("role", json!("chief"))]);
    let mut client = stack.try_login(&token, "acme").unwrap();
    assert_eq!(client.parameters["is_superuser"], "on");
    assert_eq!(client.parameters["session_authorization"], "chief");
    assert_eq!(client.value("SHOW is_superuser"), "on");
    client.values("SET session_replication_role = replica");
    assert_eq!(client.value("SHOW session_replication_role"), "replica");
    client.values("RESET ALL");
    assert_eq!(client.value("SHOW session_replication_role"), "origin");
    assert_eq!(service(&stack).parameters["is_superuser"], "off");
    assert_eq!(stack.login(&alice()).value("SHOW is_superuser"), "off");
}

/// A name with a point in it that nobody has listed is never known to the server: what is made up there is never freed,
/// and everybody's to see.
#[test]
fn nobody_makes_up_new_settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prefixes.toml");
    let policy = "name = 'prefixes'\nstatements = ['SELECT', 'SET', 'RESET', 'BEGIN', 'COMMIT', 'ROLLBACK']\n\
                  settable = ['enable_*', 'jit*', 'geqo*']\n";
    fs::write(&file, policy).unwrap();
    let with = format!(
        "[guard]\npolicies = ['{}']\ndefault_policy = 'prefixes'",
        file.display()
    );
    let all = VERSIONS
        .into_iter()
        .flat_map(|version| MODES.map(|mode| (version, mode)));
    for (version, mode) in all {
        let options = StackOptions {
            postgres: version,
            ..StackOptions::pool(1).with(&format!("pool.pool_mode = '{mode}'\n{with}"))
        };
        let Some(mut stack) = Stack::try_start(&options) else {
            continue;
        };
        let mut client = stack.login(&alice());
        for (name, setting) in [
            ("enable_x.y", "enable_x.y"),
            ("ENABLE_x.Y", "enable_x.y"),
            ("jit_.\"a b\"", "jit_.a b"),
            ("geqo_a.b.c", "geqo_a.b.c"),
            ("\"enable_x\".z", "enable_x.z"),
            ("U&\"enable\\005fx\".u", "enable_x.u"),
            ("app.invented", "app.invented"),
        ] {
            for sql in [
                format!("SET {name} = 1"),
                format!("SET LOCAL {name} = 1"),
                format!("SET SESSION {name} TO DEFAULT"),
                format!("RESET {name}"),
                format!("SELECT set_config('{setting}', '1', true)"),
                format!("SELECT set_config('{setting}', '1', false)"),
                format!("BEGIN; SET LOCAL {name} = 1; COMMIT"),
            ] {
                assert_eq!(client.sqlstate(&sql), "42501", "{sql}");
                client.values("ROLLBACK");
            }
            for options in [
                format!("-c {setting}=1").replace("a b", "a\\ b"),
                format!("--{setting}=1").replace(' ', ""),
            ] {
                let startup = [
                    ("user", "alice"),
                    ("database", "acme"),
                    ("options", options.as_str()),
                ];
                let refused = RawClient::try_login(stack.port(), &startup, Some(&alice().token()))
                    .err()
                    .unwrap();
                assert_eq!(refused.sqlstate(), "42501", "{options}");
            }
            let startup = [("user", "alice"), ("database", "acme"), (setting, "1")];
            let refused = RawClient::try_login(stack.port(), &startup, Some(&alice().token()))
                .err()
                .unwrap();
            assert_eq!(refused.sqlstate(), "42501", "{setting}");
            let known = client.value(&format!("SELECT current_setting('{setting}', true)"));
            assert_eq!(known, "NULL", "{setting} has come to be");
        }
        // A word of the server's own that it does not know is the server's to refuse.
        assert_eq!(client.sqlstate("SET enable_nonsense = 1"), "42704");
        client.values("SET enable_seqscan = off");
        stack.assert_well();
    }
}

/// The server's own messages name its statements and show what it logs: who asks for them gets what there is for users.
#[test]
fn nobody_hears_the_servers_own_messages() {
    for mut stack in stacks_of_one_in_both_modes() {
        let options = |level: &str| {
            [
                ("user", "alice".to_owned()),
                ("database", "acme".to_owned()),
                ("client_min_messages", level.to_owned()),
            ]
        };
        for level in ["debug5", "DEBUG2", "debug1", "debug", "log", "Log"] {
            let startup = options(level);
            let startup: Vec<(&str, &str)> = startup
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let mut client = RawClient::try_login(stack.port(), &startup, Some(&alice().token()))
                .unwrap_or_else(|why| panic!("{}", why.describe()));
            assert_eq!(listen(&mut client), "notice", "{level} at startup");
            client.values("RESET client_min_messages");
            assert_eq!(listen(&mut client), "notice", "{level} at startup, reset");
            for sql in [
                format!("SET client_min_messages = {level}"),
                format!("SET SESSION \"client_min_messages\" TO '{level}'"),
                format!("SET Client_Min_Messages = \"{level}\""),
            ] {
                client.values(&sql);
                assert_eq!(listen(&mut client), "notice", "{sql}");
                client.values("SET client_min_messages = error");
            }
            client.values("BEGIN");
            client.values(&format!("SET LOCAL client_min_messages = {level}"));
            assert_eq!(listen(&mut client), "notice", "SET LOCAL {level}");
            client.values("ROLLBACK");
            for sql in [
                format!("SELECT set_config('client_min_messages', '{level}', false)"),
                format!("SELECT set_config('CLIENT_MIN_MESSAGES', E'{level}', true)"),
                format!("SELECT set_config('client_min_messages', lower('{level}'), true)"),
            ] {
                assert_eq!(client.sqlstate(&sql), "42501", "{sql}");
            }
            let by_parameter = "SELECT set_config('client_min_messages', $1, true)";
            client.send(
                &[
                    parse("", by_parameter, &[]),
                    bind("", "", &[Some(level.as_bytes())]),
                    sync(),
                ]
                .concat(),
            );
            assert_eq!(client.until_ready()[0].sqlstate(), "42501");
        }
        let mut client = stack.login(&alice());
        for level in ["info", "notice", "warning", "error"] {
            client.values(&format!("SET client_min_messages = {level}"));
            client.values(&format!(
                "SELECT set_config('client_min_messages', '{level}', false)"
            ));
            assert_eq!(client.value("SHOW client_min_messages"), level);
        }
        assert_eq!(client.sqlstate("SET client_min_messages = chatty"), "22023");
        stack.assert_well();
    }
}

/// What the session says of its level, after work that the server would comment on.
fn listen(client: &mut RawClient) -> String {
    let work = [
        parse("w", "SELECT $1::text", &[]),
        bind("", "w", &[Some(b"x")]),
        execute("", 0),
        close('S', "w"),
        sync(),
    ];
    client.send(&[query("SELECT count(*) FROM todos"), work.concat()].concat());
    let frames = [client.until_ready(), client.until_ready()].concat();
    let notices = frames.iter().filter(|frame| frame.tag == b'N');
    let heard: Vec<Option<String>> = notices.map(|frame| frame.field('M')).collect();
    assert!(heard.is_empty(), "{heard:?}");
    client.value("SHOW client_min_messages")
}
