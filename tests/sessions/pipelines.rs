//! Many messages before an answer is awaited: batches, several Syncs, errors and transaction ends inside.

use crate::support::people::alice;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{bind, execute, parse, query, sync};
use crate::{ALICE, proxied, same_as_postgres};

#[test]
fn several_syncs_in_one_packet() {
    same_as_postgres(
        "syncs",
        r#"
        F Parse "" "SELECT 1"
        F Bind "" ""
        F Execute "" 0
        F Sync
        F Parse "" "SELECT 1/0"
        F Bind "" ""
        F Execute "" 0
        F Sync
        F Parse "" "SELECT who()"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B DataRow 1
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        B ParseComplete
        B ErrorResponse ERROR 22012
        B ReadyForQuery I
        B ParseComplete
        B BindComplete
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn an_error_skips_to_the_sync_and_undoes_the_batch() {
    same_as_postgres(
        "skip",
        r#"
        F Parse i "INSERT INTO scratch (run, n) VALUES ('$RUN', $1)"
        F Bind "" i 1
        F Execute "" 0
        F Parse "" "SELECT 1/0"
        F Bind "" ""
        F Execute "" 0
        F Bind "" i 2
        F Execute "" 0
        F Parse "" "SELECT 'skipped'"
        F Close S i
        F Sync
        F Parse "" "SELECT count(*) FROM scratch WHERE run = '$RUN'"
        F Bind "" ""
        F Execute "" 0
        F Bind "" i 3
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B CommandComplete "INSERT 0 1"
        B ParseComplete
        B ErrorResponse ERROR 22012
        B ReadyForQuery I
        B ParseComplete
        B BindComplete
        B DataRow 0
        B CommandComplete "SELECT 1"
        B BindComplete
        B CommandComplete "INSERT 0 1"
        B ReadyForQuery I
        "#,
    );
}

/// A refusal of our own must look the same: it skips, it undoes, it counts once.
#[test]
fn an_error_comes_without_a_sync() {
    same_as_postgres(
        "unasked",
        r#"
        F Query "BEGIN"
        B CommandComplete "BEGIN"
        B ReadyForQuery T
        F Parse "" "SELECT 1/0"
        F Bind "" ""
        F Execute "" 0
        B ParseComplete
        B ErrorResponse ERROR 22012
        F Parse "" "SELECT 'skipped'"
        F Sync
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete "ROLLBACK"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn a_refused_statement_in_a_batch() {
    proxied(
        "refused",
        r#"
        F Parse i "INSERT INTO scratch (run, n) VALUES ('$RUN', $1)"
        F Bind "" i 1
        F Execute "" 0
        F Parse "" "DROP TABLE todos"
        F Bind "" ""
        F Execute "" 0
        F Bind "" i 2
        F Execute "" 0
        F Sync
        F Parse "" "SELECT count(*) FROM scratch WHERE run = '$RUN'"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B CommandComplete "INSERT 0 1"
        B ErrorResponse ERROR 42501
        B ReadyForQuery I
        B ParseComplete
        B BindComplete
        B DataRow 0
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn a_transaction_that_ends_inside_a_batch() {
    same_as_postgres(
        "ends",
        r#"
        F Parse b "BEGIN"
        F Parse c "COMMIT"
        F Parse r "ROLLBACK"
        F Parse w "SELECT who(), current_setting('app.user_id')"
        F Parse i "INSERT INTO scratch (run, n) VALUES ('$RUN', $1)"
        F Sync
        B ParseComplete
        B ParseComplete
        B ParseComplete
        B ParseComplete
        B ParseComplete
        B ReadyForQuery I
        F Bind "" b
        F Execute "" 0
        F Bind "" i 1
        F Execute "" 0
        F Bind "" c
        F Execute "" 0
        F Bind "" w
        F Execute "" 0
        F Bind "" b
        F Execute "" 0
        F Bind "" i 2
        F Execute "" 0
        F Bind "" r
        F Execute "" 0
        F Bind "" w
        F Execute "" 0
        F Bind "" i 3
        F Execute "" 0
        F Sync
        B BindComplete
        B CommandComplete BEGIN
        B BindComplete
        B CommandComplete "INSERT 0 1"
        B BindComplete
        B CommandComplete COMMIT
        B BindComplete
        B DataRow authenticated|alice|acme alice
        B CommandComplete "SELECT 1"
        B BindComplete
        B CommandComplete BEGIN
        B BindComplete
        B CommandComplete "INSERT 0 1"
        B BindComplete
        B CommandComplete ROLLBACK
        B BindComplete
        B DataRow authenticated|alice|acme alice
        B CommandComplete "SELECT 1"
        B BindComplete
        B CommandComplete "INSERT 0 1"
        B ReadyForQuery I
        F Query "SELECT string_agg(n::text, ',' ORDER BY n) FROM scratch WHERE run = '$RUN'"
        B RowDescription string_agg
        B DataRow 1,3
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn a_transaction_left_open_by_a_batch() {
    same_as_postgres(
        "open",
        r#"
        F Parse "" "COMMIT"
        F Bind "" ""
        F Execute "" 0
        F Parse "" "BEGIN"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B NoticeResponse WARNING 25P01
        B CommandComplete COMMIT
        B ParseComplete
        B BindComplete
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Parse "" "SELECT who()"
        F Bind "" ""
        F Execute "" 0
        F Sync
        F Parse "" "COMMIT AND CHAIN"
        F Bind "" ""
        F Execute "" 0
        F Parse "" "SELECT who()"
        F Bind "" ""
        F Execute "" 0
        F Sync
        F Query "ROLLBACK AND CHAIN"
        F Query "SELECT who()"
        F Query "COMMIT"
        B ParseComplete
        B BindComplete
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        B ParseComplete
        B BindComplete
        B CommandComplete COMMIT
        B ParseComplete
        B BindComplete
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        B CommandComplete ROLLBACK
        B ReadyForQuery T
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        B CommandComplete COMMIT
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn several_queries_in_one_packet() {
    same_as_postgres(
        "queries",
        r#"
        F Query "SELECT 1"
        F Query "SELECT 1/0"
        F Query "SELECT who()"
        F Parse "" "SELECT 2"
        F Bind "" ""
        F Execute "" 0
        F Sync
        F Query "SELECT 3"
        B RowDescription ?column?
        B DataRow 1
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        B ErrorResponse ERROR 22012
        B ReadyForQuery I
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        B ParseComplete
        B BindComplete
        B DataRow 2
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        B RowDescription ?column?
        B DataRow 3
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

/// After an error the server ignores everything up to Sync, a Query too: nothing may run unbound there.
#[test]
fn a_query_inside_a_failed_batch_is_skipped() {
    same_as_postgres(
        "skipped-query",
        r#"
        F Parse "" "SELEC 1"
        F Query "INSERT INTO scratch (run, n) VALUES ('$RUN', 1)"
        F Sync
        B ErrorResponse ERROR 42601
        B ReadyForQuery I
        F Query "SELECT count(*) FROM scratch WHERE run = '$RUN'"
        B RowDescription count
        B DataRow 0
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn strings_of_several_statements() {
    same_as_postgres(
        "strings",
        r#"
        F Query "SELECT 1; BEGIN; INSERT INTO scratch (run, n) VALUES ('$RUN', 1); COMMIT; SELECT who()"
        B RowDescription ?column?
        B DataRow 1
        B CommandComplete "SELECT 1"
        B CommandComplete BEGIN
        B CommandComplete "INSERT 0 1"
        B CommandComplete COMMIT
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "INSERT INTO scratch (run, n) VALUES ('$RUN', 2); SELECT 1/0; SELECT 'never'"
        B CommandComplete "INSERT 0 1"
        B ErrorResponse ERROR 22012
        B ReadyForQuery I
        F Query "BEGIN; INSERT INTO scratch (run, n) VALUES ('$RUN', 3); ROLLBACK; SELECT who(); BEGIN"
        B CommandComplete BEGIN
        B CommandComplete "INSERT 0 1"
        B CommandComplete ROLLBACK
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Query "SELECT who(); COMMIT AND CHAIN; SELECT who(); ROLLBACK"
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B CommandComplete COMMIT
        B RowDescription who
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Query "SELECT string_agg(n::text, ',' ORDER BY n) FROM scratch WHERE run = '$RUN'"
        B RowDescription string_agg
        B DataRow 1
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

/// Nothing of a string runs if a part of it is refused.
#[test]
fn a_string_with_a_refused_part_runs_not_at_all() {
    proxied(
        "refused-part",
        r#"
        F Query "INSERT INTO scratch (run, n) VALUES ('$RUN', 1); COMMIT; SET ROLE service_role; SELECT * FROM todos"
        B ErrorResponse ERROR 42501
        B ReadyForQuery I
        F Query "SELECT E'a'\n'\\''; COMMIT; SET ROLE service_role; SELECT * FROM todos -- '"
        B ErrorResponse ERROR 42501
        B ReadyForQuery I
        F Query "SELECT count(*) FROM scratch WHERE run = '$RUN'"
        B RowDescription count
        B DataRow 0
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn one_big_batch() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    let count = 20_000_usize;
    let mut packet = parse("s", "SELECT $1::int, who()", &[]);
    for n in 0..count {
        packet.extend(bind("", "s", &[Some(n.to_string().as_bytes())]));
        packet.extend(execute("", 0));
    }
    packet.extend(sync());
    // Nothing is read while it is sent: the proxy must take it all, or push back without a deadlock; a
    // second thread reads so that pushing back is allowed.
    let rows = std::thread::scope(|scope| {
        let mut writer = client.second_half();
        scope.spawn(move || writer.send(&packet));
        client
            .until_ready()
            .into_iter()
            .filter(|frame| frame.tag == b'D')
            .map(|frame| frame.row())
            .collect::<Vec<_>>()
    });
    assert_eq!(rows.len(), count);
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row, &[Some(n.to_string()), Some(ALICE.to_owned())]);
    }
}

#[test]
fn many_syncs_in_one_packet() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    let packet: Vec<u8> = (0..500).flat_map(|n| query(&format!("SELECT {n}"))).collect();
    client.send(&packet);
    for n in 0..500 {
        let row = client
            .until_ready()
            .into_iter()
            .find(|frame| frame.tag == b'D')
            .unwrap()
            .row();
        assert_eq!(row, [Some(n.to_string())]);
    }
}

/// More messages in one batch than replies may be outstanding, most of them without rows, so that the server has
/// little to say; the client reads nothing before it has sent it all.
#[test]
fn a_batch_of_many_thousand_messages() {
    const ROUNDS: usize = 20_000;
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    let mut batch = parse("s", "SELECT who() WHERE $1::int % 1000 = 0", &[]);
    for n in 0..ROUNDS {
        batch.extend(bind("", "s", &[Some(n.to_string().as_bytes())]));
        batch.extend(execute("", 0));
    }
    batch.extend(sync());
    let mut sender = client.second_half();
    let sending = std::thread::spawn(move || sender.send(&batch));
    let frames = client.until_ready();
    sending.join().unwrap();
    let count = |tag| frames.iter().filter(|frame| frame.tag == tag).count();
    assert_eq!(
        (count(b'1'), count(b'2'), count(b'C'), count(b'D')),
        (1, ROUNDS, ROUNDS, ROUNDS / 1000)
    );
    assert_eq!(client.value("SELECT who()"), ALICE);
}
