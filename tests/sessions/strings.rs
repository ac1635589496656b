//! Strings of several statements: what Postgres reads before it runs any, and what belongs to one transaction.

use crate::same_as_postgres;

#[test]
fn a_string_that_is_no_sql_runs_nothing_of_it() {
    same_as_postgres(
        "strings-unread",
        r#"
        F Query "INSERT INTO scratch (run, n) VALUES ('$RUN', 1); COMMIT; SELEC 1"
        B ErrorResponse ERROR 42601 _ "syntax error at or near \"SELEC\""
        B ReadyForQuery I
        F Query "BEGIN; SELECT 1 FORM x"
        B ErrorResponse ERROR 42601 22 "syntax error at or near \"x\""
        B ReadyForQuery I
        F Query "SELECT 1; SELECT nextval('tickets'; SELECT 2"
        B ErrorResponse ERROR 42601 35
        B ReadyForQuery I
        F Query "BEGIN; INSERT INTO scratch (run, n) VALUES ('$RUN', 2)"
        B CommandComplete BEGIN
        B CommandComplete "INSERT 0 1"
        B ReadyForQuery T
        F Query "INSERT INTO scratch (run, n) VALUES ('$RUN', 3); COMMIT; SELEC 1"
        B ErrorResponse ERROR 42601
        B ReadyForQuery E
        F Query "ROLLBACK; SELEC 1"
        B ErrorResponse ERROR 42601 11
        B ReadyForQuery E
        F Query "SELECT 1; SELECT 1 UNION SELECT 2 OFFSET 1 ROW FETCH FIRST ROW ONLY FOR UPDATE OF x"
        B ErrorResponse ERROR 25P02
        B ReadyForQuery E
        F Query "ROLLBACK; SELECT count(*) FROM scratch WHERE run = '$RUN'"
        B CommandComplete ROLLBACK
        B RowDescription count
        B DataRow 0
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

/// What the proxy's own grammar does not know the server does.
#[test]
fn a_string_of_rare_sql_runs_as_ever() {
    same_as_postgres(
        "strings-rare",
        r#"
        F Query "DECLARE c CURSOR FOR VALUES (1); MOVE c; CLOSE c"
        B CommandComplete "DECLARE CURSOR"
        B CommandComplete "MOVE 1"
        B CommandComplete "CLOSE CURSOR"
        B ReadyForQuery I
        F Query "BEGIN; SET LOCAL lock_timeout = '7s'"
        B CommandComplete BEGIN
        B CommandComplete SET
        B ReadyForQuery T
        F Query "SAVEPOINT a; DECLARE c CURSOR FOR VALUES (1), (2); FETCH FORWARD 1 FROM c"
        B CommandComplete SAVEPOINT
        B CommandComplete "DECLARE CURSOR"
        B RowDescription column1
        B DataRow 1
        B CommandComplete "FETCH 1"
        B ReadyForQuery T
        F Query "FETCH FORWARD 1 FROM c; SELECT who() LIKE '%|acme'; SHOW lock_timeout; MOVE FORWARD ALL IN c"
        B RowDescription column1
        B DataRow 2
        B CommandComplete "FETCH 1"
        B RowDescription ?column?
        B DataRow t
        B CommandComplete "SELECT 1"
        B RowDescription lock_timeout
        B DataRow 7s
        B CommandComplete SHOW
        B CommandComplete "MOVE 0"
        B ReadyForQuery T
        F Query "MOVE c; SELECT 1/0; SELECT 1"
        B CommandComplete "MOVE 0"
        B ErrorResponse ERROR 22012
        B ReadyForQuery E
        F Query "ROLLBACK TO a; FETCH c"
        B CommandComplete ROLLBACK
        B ErrorResponse ERROR 34000 _ "cursor \"c\" does not exist"
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Query "BEGIN ISOLATION LEVEL READ COMMITTED"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Query "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1; MOVE x"
        B CommandComplete SET
        B RowDescription ?column?
        B DataRow 1
        B CommandComplete "SELECT 1"
        B ErrorResponse ERROR 34000
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn a_begin_takes_in_what_came_before_it() {
    same_as_postgres(
        "strings-begin",
        r#"
        F Query "SET lock_timeout = '3s'; BEGIN; SET statement_timeout = '4s'; ROLLBACK; SHOW lock_timeout"
        B CommandComplete SET
        B CommandComplete BEGIN
        B CommandComplete SET
        B CommandComplete ROLLBACK
        B RowDescription lock_timeout
        B DataRow 0
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "SET lock_timeout = '3s'; START  TRANSACTION; SET statement_timeout = '4s'"
        B CommandComplete SET
        B CommandComplete "START TRANSACTION"
        B CommandComplete SET
        B ReadyForQuery T
        F Query "SHOW lock_timeout"
        B RowDescription lock_timeout
        B DataRow 3s
        B CommandComplete SHOW
        B ReadyForQuery T
        F Query "COMMIT; SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
        B CommandComplete COMMIT
        B RowDescription current_setting current_setting
        B DataRow 3s 4s
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "RESET lock_timeout; BEGIN; SELECT 1/0"
        B CommandComplete RESET
        B CommandComplete BEGIN
        B ErrorResponse ERROR 22012
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Query "SHOW lock_timeout"
        B RowDescription lock_timeout
        B DataRow 3s
        B CommandComplete SHOW
        B ReadyForQuery I
        F Query "CALL keep('$RUN', 'kept'); BEGIN WORK; ROLLBACK; SELECT count(*) FROM scratch WHERE run = '$RUN'"
        B CommandComplete CALL
        B CommandComplete BEGIN
        B CommandComplete ROLLBACK
        B RowDescription count
        B DataRow 0
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "SET lock_timeout = '9s'; BEGIN ISOLATION LEVEL SERIALIZABLE; SHOW transaction_isolation; COMMIT"
        B CommandComplete SET
        B CommandComplete BEGIN
        B RowDescription transaction_isolation
        B DataRow serializable
        B CommandComplete SHOW
        B CommandComplete COMMIT
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn a_begin_in_a_pipeline_does_too() {
    same_as_postgres(
        "strings-pipeline",
        include_str!("../traces/strings-pipeline.trace"),
    );
}

/// The server knows statements by names of ours, or none.
#[test]
fn a_bind_with_the_wrong_parameters_names_the_clients_statement() {
    same_as_postgres(
        "strings-bind",
        r#"
        F Parse mine "SELECT $1::text, $2::text"
        F Sync
        B ParseComplete
        B ReadyForQuery I
        F Bind "" mine a
        F Sync
        B ErrorResponse ERROR 08P01 - "bind message supplies 1 parameters, but prepared statement \"mine\" requires 2"
        B ReadyForQuery I
        F Query "BEGIN; SET LOCAL DateStyle = German"
        B CommandComplete BEGIN
        B CommandComplete SET
        B ParameterStatus DateStyle "German, DMY"
        B ReadyForQuery T
        F Bind "" mine a b c
        F Sync
        B ErrorResponse ERROR 08P01 - "bind message supplies 3 parameters, but prepared statement \"mine\" requires 2"
        B ParameterStatus DateStyle "ISO, MDY"
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Parse "" "SELECT $1::text"
        F Bind "" ""
        F Sync
        B ParseComplete
        B ErrorResponse ERROR 08P01 - "bind message supplies 0 parameters, but prepared statement \"\" requires 1"
        B ReadyForQuery I
        F Parse mine "SELECT 1"
        F Sync
        B ErrorResponse ERROR 42P05 - "prepared statement \"mine\" already exists"
        B ReadyForQuery I
        "#,
    );
}

/// To newer servers the prelude ahead of a statement begins a block by itself.
#[test]
fn what_insists_on_a_block_finds_none_in_ours() {
    same_as_postgres(
        "blocks",
        r#"
        F Query "DECLARE c CURSOR FOR SELECT 1"
        B ErrorResponse ERROR 25P01 _ "DECLARE CURSOR can only be used in transaction blocks"
        B ReadyForQuery I
        F Parse "" "DECLARE c CURSOR FOR SELECT 1"
        F Bind "" ""
        F Describe P ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B NoData
        B ErrorResponse ERROR 25P01 _ "DECLARE CURSOR can only be used in transaction blocks"
        B ReadyForQuery I
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Parse "" "DECLARE c CURSOR FOR SELECT 1"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B CommandComplete "DECLARE CURSOR"
        B ReadyForQuery T
        F Query "FETCH c; ROLLBACK"
        B RowDescription ?column?
        B DataRow 1
        B CommandComplete "FETCH 1"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        "#,
    );
}

/// The first message in a failed block goes without a prelude, since nothing runs there. What follows the block's end
/// in the same batch does not.
#[test]
fn who_one_is_behind_the_end_of_a_failed_block() {
    same_as_postgres(
        "behind-failure",
        r#"
        F Query "BEGIN; SELECT 1/0"
        B CommandComplete BEGIN
        B ErrorResponse ERROR 22012
        B ReadyForQuery E
        F Query "SELECT who()"
        B ErrorResponse ERROR 25P02
        B ReadyForQuery E
        F Query "ROLLBACK; SELECT who() LIKE 'authenticated|%', current_user"
        B CommandComplete ROLLBACK
        B RowDescription ?column? current_user
        B DataRow t authenticated
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "BEGIN; SELECT 1/0"
        B CommandComplete BEGIN
        B ErrorResponse ERROR 22012
        B ReadyForQuery E
        F Parse "" "ROLLBACK"
        F Bind "" ""
        F Execute "" 0
        F Parse "" "SELECT who() LIKE 'authenticated|%'"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B CommandComplete ROLLBACK
        B ParseComplete
        B BindComplete
        B DataRow t
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}
