//! PREPARE, EXECUTE and DEALLOCATE in SQL: they share their names with the protocol's prepared statements.

use serde_json::json;

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::trace::play;
use crate::{proxied, same_as_postgres};

#[test]
fn by_simple_queries() {
    same_as_postgres(
        "prepare-simple",
        r#"
        F Query "PREPARE plan AS SELECT 1 AS one"
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Query "EXECUTE plan"
        B RowDescription one
        B DataRow 1
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "PREPARE typed (int, text) AS SELECT $1 + 1 AS n, upper($2) AS t"
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Query "EXECUTE typed(41, 'a' || 'b')"
        B RowDescription n t
        B DataRow 42 AB
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "BEGIN; EXECUTE typed(1, 'x'); EXECUTE plan; COMMIT"
        B CommandComplete "BEGIN"
        B RowDescription n t
        B DataRow 2 X
        B CommandComplete "SELECT 1"
        B RowDescription one
        B DataRow 1
        B CommandComplete "SELECT 1"
        B CommandComplete "COMMIT"
        B ReadyForQuery I
        F Query "DEALLOCATE plan"
        B CommandComplete "DEALLOCATE"
        B ReadyForQuery I
        F Query "EXECUTE plan"
        B ErrorResponse ERROR 26000 - "prepared statement \"plan\" does not exist"
        B ReadyForQuery I
        F Query "DEALLOCATE ALL"
        B CommandComplete "DEALLOCATE ALL"
        B ReadyForQuery I
        F Query "EXECUTE typed(1, 'x')"
        B ErrorResponse ERROR 26000 - "prepared statement \"typed\" does not exist"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn statements_that_write() {
    same_as_postgres(
        "prepare-write",
        r#"
        F Query "PREPARE add (text) AS INSERT INTO scratch (run, n, body) VALUES ('$RUN', length($1), $1) RETURNING body AS text"
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Query "EXECUTE add('one')"
        B RowDescription text
        B DataRow one
        B CommandComplete "INSERT 0 1"
        B ReadyForQuery I
        F Query "EXECUTE add('three'); SELECT 1/0"
        B RowDescription text
        B DataRow three
        B CommandComplete "INSERT 0 1"
        B ErrorResponse ERROR 22012
        B ReadyForQuery I
        F Query "SELECT body AS text FROM scratch WHERE run = '$RUN'"
        B RowDescription text
        B DataRow one
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn the_names_are_the_protocols_too() {
    same_as_postgres(
        "prepare-shared-names",
        r#"
        F Parse plan "SELECT $1::int + 1 AS n"
        F Sync
        B ParseComplete
        B ReadyForQuery I
        F Query "EXECUTE plan(1)"
        B RowDescription n
        B DataRow 2
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "PREPARE plan AS SELECT 1"
        B ErrorResponse ERROR 42P05 - "prepared statement \"plan\" already exists"
        B ReadyForQuery I
        F Close S plan
        F Sync
        B CloseComplete
        B ReadyForQuery I
        F Query "EXECUTE plan(1)"
        B ErrorResponse ERROR 26000
        B ReadyForQuery I
        F Query "PREPARE plan (int) AS SELECT $1 + 2 AS n"
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Parse plan "SELECT 1"
        F Sync
        B ErrorResponse ERROR 42P05
        B ReadyForQuery I
        F Describe S plan
        F Bind "" plan 40
        F Describe P ""
        F Execute "" 0
        F Sync
        B ParameterDescription 23
        B RowDescription n
        B BindComplete
        B RowDescription n
        B DataRow 42
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Close S plan
        F Sync
        B CloseComplete
        B ReadyForQuery I
        F Query "EXECUTE plan(1)"
        B ErrorResponse ERROR 26000
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn by_the_extended_protocol() {
    same_as_postgres(
        "prepare-extended",
        r#"
        F Parse "" "PREPARE plan (int) AS SELECT generate_series(1, $1) AS n"
        F Bind "" ""
        F Describe P ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B NoData
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Parse run "EXECUTE plan(3)"
        F Describe S run
        F Sync
        B ParseComplete
        B ParameterDescription
        B RowDescription n
        B ReadyForQuery I
        F Bind "" run
        F Describe P ""
        F Execute "" 2
        F Execute "" 0
        F Sync
        B BindComplete
        B RowDescription n
        B DataRow 1
        B DataRow 2
        B PortalSuspended
        B DataRow 3
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "DEALLOCATE plan; PREPARE plan (int) AS SELECT $1::text AS t"
        B CommandComplete "DEALLOCATE"
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Bind "" run
        F Describe P ""
        F Execute "" 0
        F Sync
        B BindComplete
        B RowDescription t
        B DataRow 3
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "DEALLOCATE plan"
        B CommandComplete "DEALLOCATE"
        B ReadyForQuery I
        F Bind "" run
        F Execute "" 0
        F Sync
        B BindComplete
        B ErrorResponse ERROR 26000 - "prepared statement \"plan\" does not exist"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn what_is_wrong_is_wrong_where_the_client_wrote_it() {
    same_as_postgres(
        "prepare-errors",
        r#"
        F Query "PREPARE   a_long_name_for_a_plan AS SELECT nowhere"
        B ErrorResponse ERROR 42703 44
        B ReadyForQuery I
        F Query "SELECT 'ä'; PREPARE p AS SELECT nowhere"
        B RowDescription _
        B DataRow "ä"
        B CommandComplete "SELECT 1"
        B ErrorResponse ERROR 42703 33
        B ReadyForQuery I
        F Query "PREPARE p (int) AS SELECT $1 AS n"
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Query "EXECUTE p"
        B ErrorResponse ERROR 42601 - "wrong number of parameters for prepared statement \"p\""
        B ReadyForQuery I
        F Query "EXECUTE p(1, 2)"
        B ErrorResponse ERROR 42601 - "wrong number of parameters for prepared statement \"p\""
        B ReadyForQuery I
        F Query "EXECUTE p(nowhere)"
        B ErrorResponse ERROR 42703 11
        B ReadyForQuery I
        F Query "EXECUTE p($1)"
        B ErrorResponse ERROR 42P02 11
        B ReadyForQuery I
        F Query "EXECUTE p('x')"
        B ErrorResponse ERROR 22P02 11
        B ReadyForQuery I
        F Query "EXECUTE p(DEFAULT)"
        B ErrorResponse ERROR 42601 11
        B ReadyForQuery I
        F Query "PREPARE q (nowhere) AS SELECT 1"
        B ErrorResponse ERROR 42704 12
        B ReadyForQuery I
        F Query "PREPARE q AS SELECT $1"
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Query "PREPARE p AS SELECT 1"
        B ErrorResponse ERROR 42P05
        B ReadyForQuery I
        F Parse "" "EXECUTE p 1"
        F Sync
        B ErrorResponse ERROR 42601 11
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn transactions_leave_names_alone() {
    same_as_postgres(
        "prepare-transactions",
        r#"
        F Query "BEGIN; PREPARE p AS SELECT 1 AS n; ROLLBACK"
        B CommandComplete "BEGIN"
        B CommandComplete "PREPARE"
        B CommandComplete "ROLLBACK"
        B ReadyForQuery I
        F Query "EXECUTE p"
        B RowDescription n
        B DataRow 1
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "BEGIN; DEALLOCATE p; ROLLBACK"
        B CommandComplete "BEGIN"
        B CommandComplete "DEALLOCATE"
        B CommandComplete "ROLLBACK"
        B ReadyForQuery I
        F Query "EXECUTE p"
        B ErrorResponse ERROR 26000
        B ReadyForQuery I
        F Query "PREPARE p AS SELECT 2 AS n; SELECT 1/0"
        B CommandComplete "PREPARE"
        B ErrorResponse ERROR 22012
        B ReadyForQuery I
        F Query "EXECUTE p"
        B RowDescription n
        B DataRow 2
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn a_failed_transaction_takes_no_commands() {
    same_as_postgres(
        "prepare-failed-block",
        r#"
        F Query "PREPARE p AS SELECT 1 AS n"
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Query "BEGIN; SELECT 1/0"
        B CommandComplete "BEGIN"
        B ErrorResponse ERROR 22012
        B ReadyForQuery E
        F Query "EXECUTE p"
        B ErrorResponse ERROR 25P02
        B ReadyForQuery E
        F Query "PREPARE q AS SELECT 1"
        B ErrorResponse ERROR 25P02
        B ReadyForQuery E
        F Query "DEALLOCATE p"
        B ErrorResponse ERROR 25P02
        B ReadyForQuery E
        F Query "DEALLOCATE ALL"
        B ErrorResponse ERROR 25P02
        B ReadyForQuery E
        F Query "CLOSE ALL"
        B ErrorResponse ERROR 25P02
        B ReadyForQuery E
        F Parse "" "DEALLOCATE p"
        F Sync
        B ErrorResponse ERROR 25P02
        B ReadyForQuery E
        F Query "ROLLBACK; EXECUTE p; DEALLOCATE p"
        B CommandComplete "ROLLBACK"
        B RowDescription n
        B DataRow 1
        B CommandComplete "SELECT 1"
        B CommandComplete "DEALLOCATE"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn only_queries_are_executed() {
    // Postgres would run them; here a transaction's end inside EXECUTE would take the identity away.
    proxied(
        "prepare-commands",
        r#"
        F Parse c "COMMIT"
        F Parse s "SET timezone = 'UTC'"
        F Parse e "EXECUTE c"
        F Sync
        B ParseComplete
        B ParseComplete
        B ParseComplete
        B ReadyForQuery I
        F Query "EXECUTE c"
        B ErrorResponse ERROR 0A000
        B ReadyForQuery I
        F Query "BEGIN; EXECUTE s"
        B CommandComplete "BEGIN"
        B ErrorResponse ERROR 0A000
        B ReadyForQuery E
        F Query "ROLLBACK; EXECUTE e"
        B CommandComplete "ROLLBACK"
        B ErrorResponse ERROR 0A000
        B ReadyForQuery I
        F Bind "" e
        F Sync
        B ErrorResponse ERROR 0A000
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn the_guard_judges_what_is_prepared() {
    proxied(
        "prepare-guard",
        r#"
        F Query "PREPARE p AS SELECT set_config('role', 'service_role', false)"
        B ErrorResponse ERROR 42501 21
        B ReadyForQuery I
        F Query "PREPARE p (int) AS CREATE TABLE t (a int)"
        B ErrorResponse ERROR 42601
        B ReadyForQuery I
        F Query "PREPARE p AS SELECT 1; EXECUTE p(set_config('role', 'service_role', false))"
        B ErrorResponse ERROR 42501
        B ReadyForQuery I
        F Query "EXPLAIN ANALYZE EXECUTE p"
        B ErrorResponse ERROR 42501
        B ReadyForQuery I
        F Query "CREATE TABLE mine AS EXECUTE p"
        B ErrorResponse ERROR 42501
        B ReadyForQuery I
        F Query "EXECUTE p"
        B ErrorResponse ERROR 26000
        B ReadyForQuery I
        "#,
    );
}

/// With a pool of one the next client meets the connection that the statements were prepared on.
#[test]
fn nothing_is_left_for_the_next_client() {
    let stack = Stack::start(&StackOptions::pool(1));
    let (mut a, mut b) = (stack.login(&alice()), stack.login(&bob()));
    a.values("PREPARE mine (text) AS SELECT $1 || who()");
    assert_eq!(a.value("EXECUTE mine('a:')"), format!("a:{}", crate::ALICE));
    let refused = "ErrorResponse ERROR 26000 - \"prepared statement \\\"mine\\\" does not exist\"";
    play(
        &mut b,
        &format!(
            r#"
            F Query "EXECUTE mine('x')"
            B {refused}
            B ReadyForQuery I
            F Query "DEALLOCATE mine"
            B {refused}
            B ReadyForQuery I
            F Query "PREPARE mine AS SELECT who() AS who"
            B CommandComplete "PREPARE"
            B ReadyForQuery I
            "#
        ),
    );
    assert_eq!(b.value("EXECUTE mine"), crate::BOB);
    assert_eq!(a.value("EXECUTE mine('b:')"), format!("b:{}", crate::ALICE));
    a.values("PREPARE of_a_named_type (mood) AS SELECT $1");
    assert_eq!(a.value("EXECUTE of_a_named_type('ok')"), "ok");
    a.values("BEGIN");
    assert_eq!(a.value("EXECUTE of_a_named_type('happy')"), "happy");
    assert_eq!(a.sqlstate("EXECUTE of_a_named_type('none')"), "22P02");
    a.values("ROLLBACK");
    assert_eq!(b.value("SELECT residue()"), "");
    a.values("BEGIN");
    assert_eq!(a.value("EXECUTE of_a_named_type('sad')"), "sad");
    a.vanish();
    let mut a = stack.login(&alice());
    assert_eq!(a.value("SELECT residue()"), "");
    a.values("PREPARE mine (text) AS SELECT $1 || who()");
    b.values("DEALLOCATE ALL");
    assert_eq!(a.value("EXECUTE mine('c:')"), format!("c:{}", crate::ALICE));
}

#[test]
fn statements_come_back_after_they_were_evicted() {
    let options = StackOptions::pool(1).with("pool.server_prepared_statements = 2");
    let stack = Stack::start(&options);
    let mut client = stack.login(&alice());
    for n in 0..6 {
        client.values(&format!("PREPARE p{n} (int) AS SELECT {n} + $1"));
    }
    for round in 0..2 {
        for n in 0..6 {
            assert_eq!(
                client.value(&format!("EXECUTE p{n}({round})")),
                (n + round).to_string()
            );
        }
    }
}

#[test]
fn settings_of_a_transaction_are_heeded() {
    same_as_postgres(
        "prepare-settings",
        r#"
        F Query "BEGIN; SET LOCAL datestyle = 'ISO, DMY'; PREPARE d AS SELECT date '01/02/2003' AS d; EXECUTE d; COMMIT"
        B CommandComplete "BEGIN"
        B CommandComplete "SET"
        B CommandComplete "PREPARE"
        B RowDescription d
        B DataRow "2003-02-01"
        B CommandComplete "SELECT 1"
        B CommandComplete "COMMIT"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn a_trusted_role_makes_tables_of_them() {
    let stack = Stack::start(&StackOptions::pool(1));
    let token = alice().token_with(&[("role", json!("service_role"))]);
    let mut client = stack.try_login(&token, "acme").unwrap();
    play(
        &mut client,
        r#"
        F Query "PREPARE rows (int) AS SELECT generate_series(1, $1) AS n"
        B CommandComplete "PREPARE"
        B ReadyForQuery I
        F Query "CREATE TABLE IF NOT EXISTS made_of_rows (n) WITH (fillfactor = 90) AS EXECUTE rows(3) WITH DATA"
        B CommandComplete "SELECT 3"
        B ReadyForQuery I
        F Query "SELECT count(*) FROM made_of_rows"
        B RowDescription count
        B DataRow 3
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) EXECUTE nothing"
        B ErrorResponse ERROR 26000 - "prepared statement \"nothing\" does not exist"
        B ReadyForQuery I
        F Query "DROP TABLE made_of_rows"
        B CommandComplete "DROP TABLE"
        B ReadyForQuery I
        "#,
    );
}
