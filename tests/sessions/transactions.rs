//! Transaction blocks: what a client may do with them, and that the identity holds through all of it.

use crate::{proxied, same_as_postgres};

#[test]
fn blocks_and_savepoints() {
    same_as_postgres("savepoints", include_str!("../traces/savepoints.trace"));
}

#[test]
fn a_failed_block_commits_as_rollback() {
    same_as_postgres("failed", include_str!("../traces/failed.trace"));
}

/// The identity is set by a statement that takes a snapshot, so these must go ahead of it.
#[test]
fn isolation_levels() {
    for begin in [
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
    ] {
        let tag = if begin.starts_with("BEGIN") {
            "BEGIN"
        } else {
            "START TRANSACTION"
        };
        let trace = r#"
            F Query "$BEGIN"
            B CommandComplete "$TAG"
            B ReadyForQuery T
            F Query "SHOW transaction_isolation"
            B RowDescription transaction_isolation
            B DataRow serializable
            B CommandComplete SHOW
            B ReadyForQuery T
            F Query "SELECT who()"
            B RowDescription who
            B DataRow authenticated|alice|acme
            B CommandComplete "SELECT 1"
            B ReadyForQuery T
            F Query "ROLLBACK"
            B CommandComplete ROLLBACK
            B ReadyForQuery I
            "#;
        same_as_postgres("isolation", &trace.replace("$BEGIN", begin).replace("$TAG", tag));
    }
    same_as_postgres(
        "set-transaction",
        r#"
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Query "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
        B CommandComplete SET
        B ReadyForQuery T
        F Query "SET TRANSACTION READ ONLY"
        B CommandComplete SET
        B ReadyForQuery T
        F Query "SELECT who(), current_setting('transaction_isolation'), current_setting('transaction_read_only')"
        B RowDescription who current_setting current_setting
        B DataRow authenticated|alice|acme "repeatable read" on
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        F Query "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
        B ErrorResponse ERROR 25001
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Query "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT current_setting('transaction_isolation'); COMMIT"
        B CommandComplete BEGIN
        B CommandComplete SET
        B RowDescription current_setting
        B DataRow serializable
        B CommandComplete "SELECT 1"
        B CommandComplete COMMIT
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn chains_keep_the_identity_and_the_level() {
    same_as_postgres(
        "chains",
        r#"
        F Query "BEGIN ISOLATION LEVEL REPEATABLE READ"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Query "SELECT who()"
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        F Query "COMMIT AND CHAIN"
        B CommandComplete COMMIT
        B ReadyForQuery T
        F Query "SELECT who(), current_setting('transaction_isolation')"
        B RowDescription who current_setting
        B DataRow authenticated|alice|acme "repeatable read"
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        F Query "ROLLBACK AND CHAIN"
        B CommandComplete ROLLBACK
        B ReadyForQuery T
        F Query "SELECT who(), current_setting('transaction_isolation')"
        B RowDescription who current_setting
        B DataRow authenticated|alice|acme "repeatable read"
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        F Query "COMMIT"
        B CommandComplete COMMIT
        B ReadyForQuery I
        F Query "COMMIT AND CHAIN"
        B ErrorResponse ERROR 25P01
        B ReadyForQuery I
        "#,
    );
}

/// Three times each: that a server knows a text is made use of from the third time on.
#[test]
fn a_failed_block_is_ended_by_a_prepared_statement() {
    let mut trace = String::new();
    for (sql, state) in [
        ("ROLLBACK", 'I'),
        ("COMMIT", 'I'),
        ("ROLLBACK TO a", 'T'),
        ("SELECT 1 AS one", 'E'),
    ] {
        let answer = match state {
            'E' => "B ErrorResponse ERROR 25P02",
            _ => {
                "B ParseComplete
                 B ParameterDescription
                 B NoData
                 B BindComplete
                 B CommandComplete ROLLBACK"
            }
        };
        for turn in 0..3 {
            // One that may run as well, so that the server knows it.
            trace += &format!(
                r#"
                F Parse "{turn} before {sql}" "SELECT 1 AS one"
                F Sync
                B ParseComplete
                B ReadyForQuery I
                F Query "BEGIN; SAVEPOINT a; SELECT 1/0"
                B CommandComplete BEGIN
                B CommandComplete SAVEPOINT
                B ErrorResponse ERROR 22012
                B ReadyForQuery E
                F Parse "{turn} {sql}" "{sql}"
                F Describe S "{turn} {sql}"
                F Bind "" "{turn} {sql}"
                F Execute "" 0
                F Sync
                {answer}
                B ReadyForQuery {state}
                F Query "BEGIN; ROLLBACK"
                "#
            );
            trace += match state {
                'I' => "B CommandComplete BEGIN\nB CommandComplete ROLLBACK\nB ReadyForQuery I",
                'T' => {
                    "B NoticeResponse WARNING 25001\nB CommandComplete BEGIN\nB CommandComplete ROLLBACK\nB ReadyForQuery I"
                }
                _ => {
                    "B ErrorResponse ERROR 25P02\nB ReadyForQuery E\nF Query \"ROLLBACK\"\nB CommandComplete ROLLBACK\nB ReadyForQuery I"
                }
            };
        }
    }
    same_as_postgres("prepared-end", &trace);
}

#[test]
fn a_refused_statement_fails_its_block() {
    proxied("refused-block", include_str!("../traces/refused-block.trace"));
}

/// A refusal as the first thing in a block, before any server connection was needed.
#[test]
fn a_refused_statement_right_after_begin() {
    proxied("refused-first", include_str!("../traces/refused-first.trace"));
}

#[test]
fn procedures() {
    proxied(
        "procedures",
        r#"
        F Query "CALL keep('$RUN', 'kept')"
        B CommandComplete CALL
        B ReadyForQuery I
        F Parse "" "CALL commits('$RUN')"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B ErrorResponse ERROR 2D000
        B ReadyForQuery I
        F Query "CALL commits('$RUN')"
        B ErrorResponse ERROR 2D000
        B ReadyForQuery I
        F Query "SELECT string_agg(n::text, ',') FROM scratch WHERE run = '$RUN'"
        B RowDescription string_agg
        B DataRow 0
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Query "CALL commits('$RUN')"
        B ErrorResponse ERROR 2D000
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Query "SELECT 1; CALL keep('$RUN-2', 'x'); SELECT who()"
        B RowDescription ?column?
        B DataRow 1
        B CommandComplete "SELECT 1"
        B CommandComplete CALL
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn sql_cursors() {
    same_as_postgres(
        "cursors",
        r#"
        F Query "BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1, 5) AS n"
        B CommandComplete BEGIN
        B CommandComplete "DECLARE CURSOR"
        B ReadyForQuery T
        F Query "FETCH 2 FROM c"
        B RowDescription n
        B DataRow 1
        B DataRow 2
        B CommandComplete "FETCH 2"
        B ReadyForQuery T
        F Query "MOVE 1 IN c"
        B CommandComplete "MOVE 1"
        B ReadyForQuery T
        F Query "FETCH c; CLOSE c; COMMIT"
        B RowDescription n
        B DataRow 4
        B CommandComplete "FETCH 1"
        B CommandComplete "CLOSE CURSOR"
        B CommandComplete COMMIT
        B ReadyForQuery I
        "#,
    );
}
