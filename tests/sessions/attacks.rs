//! A client with a valid token that tries to run a statement without its identity, or to wedge the proxy.

use std::time::Duration;

use crate::support::people::alice;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{close, execute, message, parse, query, sync};
use crate::support::trace::play;
use crate::{ALICE, proxied, same_as_postgres};

/// A Bind that fails leaves the portal of that name as it was: here one that commits.
#[test]
fn a_portal_that_is_not_what_was_bound_last() {
    same_as_postgres(
        "portal-kept",
        r#"
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Parse end COMMIT
        F Bind p end
        F Parse harmless "SELECT 1"
        F Sync
        B ParseComplete
        B BindComplete
        B ParseComplete
        B ReadyForQuery T
        F Query "SAVEPOINT s"
        B CommandComplete SAVEPOINT
        B ReadyForQuery T
        F Bind p harmless
        F Sync
        B ErrorResponse ERROR 42P03
        B ReadyForQuery E
        F Query "ROLLBACK TO s"
        B CommandComplete ROLLBACK
        B ReadyForQuery T
        F Execute p 0
        F Parse "" "SELECT who()"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B CommandComplete COMMIT
        B ParseComplete
        B BindComplete
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#
        .replace("authenticated|alice|acme", ALICE)
        .as_str(),
    );
}

/// A Close that the server skips leaves the portal as it was, too.
#[test]
fn a_portal_whose_closing_was_skipped() {
    same_as_postgres(
        "portal-not-closed",
        r#"
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Parse end COMMIT
        F Bind p end
        F Sync
        B ParseComplete
        B BindComplete
        B ReadyForQuery T
        F Query "SAVEPOINT s"
        B CommandComplete SAVEPOINT
        B ReadyForQuery T
        F Bind "" missing
        F Close P p
        F Sync
        B ErrorResponse ERROR 26000
        B ReadyForQuery E
        F Query "ROLLBACK TO s"
        B CommandComplete ROLLBACK
        B ReadyForQuery T
        F Execute p 0
        F Parse "" "SELECT who()"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B CommandComplete COMMIT
        B ParseComplete
        B BindComplete
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

/// Closed and bound anew in one batch, a portal is what it was bound to last.
#[test]
fn a_portal_closed_and_bound_in_one_batch() {
    same_as_postgres("portal-rebound", include_str!("../traces/portal-rebound.trace"));
}

/// More portals than may be open at a time, each closed after use.
#[test]
fn portals_opened_and_closed_without_end() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.values("BEGIN");
    client.send(&[parse("s", "SELECT 1", &[]), sync()].concat());
    client.until_ready();
    for batch in 0..60 {
        let mut bytes = Vec::new();
        for n in 0..100 {
            let portal = format!("p{batch}-{n}");
            bytes.extend(crate::support::raw::bind(&portal, "s", &[]));
            bytes.extend(execute(&portal, 0));
            bytes.extend(close('P', &portal));
        }
        bytes.extend(sync());
        client.send(&bytes);
        let frames = client.until_ready();
        assert_eq!(
            frames.iter().filter(|frame| frame.tag == b'3').count(),
            100,
            "batch {batch}"
        );
    }
    client.values("COMMIT");
    assert_eq!(client.value("SELECT who()"), ALICE);
    stack.assert_well();
}

/// The block around a CALL is rolled back even when the client holds the portal that this would use.
#[test]
fn the_proxys_own_portal_name() {
    for portal in ["portcullis internal", ""] {
        proxied(
            "own-portal",
            &r#"
            F Parse "" "CALL keep('$RUN', 'x')"
            F Bind "" ""
            F Execute "" 0
            F Parse "" "SELECT 1"
            F Bind "PORTAL" ""
            F Parse "" "SELECT 1/0"
            F Bind "x" ""
            F Execute "x" 0
            F Sync
            B ParseComplete
            B BindComplete
            B CommandComplete CALL
            B ParseComplete
            B BindComplete
            B ParseComplete
            B ErrorResponse ERROR 22012
            B ReadyForQuery I
            F Query "SELECT count(*) FROM scratch WHERE run = '$RUN'"
            B RowDescription count
            B DataRow 0
            B CommandComplete "SELECT 1"
            B ReadyForQuery I
            "#
            .replace("PORTAL", portal),
        );
    }
}

/// An SQL cursor of that name.
#[test]
fn a_cursor_with_the_proxys_own_portal_name() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.set_patience(Duration::from_secs(10));
    let name = "\"portcullis internal\"";
    let text = format!("CALL keep('cursor-name', 'x'); DECLARE {name} CURSOR FOR SELECT 1; SELECT 1/0");
    assert!(["22012", "42P03"].contains(&client.sqlstate(&text).as_str()));
    assert_eq!(client.value("SELECT who()"), ALICE);
    stack.assert_well();
}

/// A client that asks and never reads costs no memory without bound, whatever it asks.
#[test]
fn replies_that_are_never_read() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.values("BEGIN");
    let before = crate::copy::resident_kib(stack.pid());
    let mut sender = client.second_half();
    let writer = std::thread::spawn(move || {
        let many = close('S', "x").repeat(10_000);
        for _ in 0..600 {
            sender.send(&many);
        }
        sender.send(&sync());
    });
    std::thread::sleep(Duration::from_secs(4));
    let after = crate::copy::resident_kib(stack.pid());
    assert!(
        after < before + 16 * 1024,
        "{before} KiB before, {after} KiB after"
    );
    client.until_ready();
    writer.join().unwrap();
    client.values("ROLLBACK");
    assert_eq!(client.value("SELECT who()"), ALICE);
    stack.assert_well();
}

/// More replies than are awaited at a time, and nothing that makes the server give them.
#[test]
fn a_batch_of_many_small_messages() {
    for tail in [close('S', "x"), close('P', "x")] {
        let mut stack = Stack::start(&StackOptions::pool(1));
        let mut client = stack.login(&alice());
        client.set_patience(Duration::from_secs(10));
        let run = [
            parse("", "SELECT who()", &[]),
            crate::support::raw::bind("", "", &[]),
            execute("", 0),
        ];
        client.send(&[run.concat(), tail.repeat(9_000), sync()].concat());
        let frames = client.until_ready();
        assert_eq!(frames.iter().filter(|frame| frame.tag == b'3').count(), 9_000);
        assert_eq!(client.value("SELECT who()"), ALICE);
        stack.assert_well();
    }
}

/// A COPY fails while the next piece of its data is half sent.
#[test]
fn a_copy_that_fails_inside_a_message() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.set_patience(Duration::from_secs(10));
    client.send(&query("COPY scratch_in FROM STDIN"));
    assert_eq!(client.read().tag, b'G');
    let next = message(b'd', &vec![b'x'; 100_000]);
    let (half, rest) = next.split_at(50_000);
    client.send(&[message(b'd', b"no number of columns fits\n").as_slice(), half].concat());
    assert_eq!(client.read().sqlstate(), "22P04");
    std::thread::sleep(Duration::from_millis(200));
    client.send(&[rest, &message(b'c', b"")].concat());
    assert_eq!(client.until_ready().last().map(|frame| frame.tag), Some(b'Z'));
    assert_eq!(client.value("SELECT who()"), ALICE);
    stack.assert_well();
}

/// Copy data may be sent without waiting for the server to ask for it.
#[test]
fn a_copy_in_one_go() {
    same_as_postgres("copy-at-once", include_str!("../traces/copy-at-once.trace"));
}

/// A Query that is too long is not answered twice because it comes during a COPY.
#[test]
fn a_long_query_during_a_copy() {
    let mut stack = Stack::start(&StackOptions::pool(1).with("[listen]\nmax_statement_bytes = 30000"));
    let mut client = stack.login(&alice());
    client.set_patience(Duration::from_secs(10));
    client.send(&query("COPY scratch_in FROM STDIN"));
    assert_eq!(client.read().tag, b'G');
    client.send(&query(&" ".repeat(100_000)));
    let frames = client.until_ready();
    assert_eq!(frames[0].sqlstate(), "57014");
    assert_eq!(client.value("SELECT who()"), ALICE, "one ReadyForQuery each");
    stack.assert_well();
}

/// Settings of the transaction outlive an error that a savepoint undoes.
#[test]
fn local_settings_outlive_an_error() {
    same_as_postgres(
        "local-error",
        r#"
        F Query "SET TimeZone TO 'Asia/Tokyo'"
        B CommandComplete SET
        B ParameterStatus TimeZone Asia/Tokyo
        B ReadyForQuery I
        F Query "BEGIN; SET LOCAL TimeZone TO 'Europe/Oslo'; SAVEPOINT s"
        B CommandComplete BEGIN
        B CommandComplete SET
        B CommandComplete SAVEPOINT
        B ParameterStatus TimeZone Europe/Oslo
        B ReadyForQuery T
        F Query "SELECT 1/0"
        B ErrorResponse ERROR 22012
        B ReadyForQuery E
        F Query "ROLLBACK TO s"
        B CommandComplete ROLLBACK
        B ReadyForQuery T
        F Query "SHOW TimeZone"
        B RowDescription TimeZone
        B DataRow Europe/Oslo
        B CommandComplete SHOW
        B ReadyForQuery T
        F Query "COMMIT"
        B CommandComplete COMMIT
        B ParameterStatus TimeZone Asia/Tokyo
        B ReadyForQuery I
        "#,
    );
}

/// SET within a savepoint that is rolled back does not reach the session.
#[test]
fn a_setting_taken_back_does_not_reach_the_session() {
    same_as_postgres("taken-back", include_str!("../traces/taken-back.trace"));
}

/// SET and BEGIN in one batch of the extended protocol.
#[test]
fn a_block_after_a_setting_in_one_batch() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    play(
        &mut client,
        r#"
        F Parse "" "SET statement_timeout = '7s'"
        F Bind "" ""
        F Execute "" 0
        F Parse "" "BEGIN"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B CommandComplete SET
        B ParseComplete
        B BindComplete
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Query "SHOW statement_timeout"
        B RowDescription statement_timeout
        B DataRow 7s
        B CommandComplete SHOW
        B ReadyForQuery T
        F Query "COMMIT"
        B CommandComplete COMMIT
        B ReadyForQuery I
        "#,
    );
    stack.assert_well();
}

/// A name deallocated in the batch that made it.
#[test]
fn a_statement_deallocated_in_its_batch() {
    same_as_postgres(
        "deallocate-batch",
        include_str!("../traces/deallocate-batch.trace"),
    );
}
