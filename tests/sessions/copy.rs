//! COPY in and out, message by message.

use crate::support::people::alice;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{message, query};
use crate::{ALICE, same_as_postgres};

#[test]
fn copy_in() {
    same_as_postgres(
        "copy-in",
        r#"
        F Query "COPY scratch_in (run, n, body) FROM STDIN"
        B CopyInResponse
        F CopyData "$RUN\t1\tone\n$RUN\t2\tt"
        F CopyData "wo\n"
        F CopyDone
        B CommandComplete "COPY 2"
        B ReadyForQuery I
        F Query "SELECT string_agg(body || owner || tenant, ',' ORDER BY n) FROM scratch WHERE run = '$RUN'"
        B RowDescription string_agg
        B DataRow onealiceacme,twoaliceacme
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn copy_in_by_the_extended_protocol() {
    // The Sync of the batch arrives while the server is in copy mode, where it is ignored.
    same_as_postgres(
        "copy-extended",
        r#"
        F Parse "" "COPY scratch_in (run, n, body) FROM STDIN"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B CopyInResponse
        F CopyData "$RUN\t1\tone\n"
        F CopyDone
        F Sync
        B CommandComplete "COPY 1"
        B ReadyForQuery I
        F Parse "" "COPY scratch_in (run, n, body) FROM STDIN"
        F Bind "" ""
        F Execute "" 0
        F Flush
        B ParseComplete
        B BindComplete
        B CopyInResponse
        F CopyData "$RUN\t2\ttwo\n"
        F Flush
        F Sync
        F CopyDone
        F Sync
        B CommandComplete "COPY 1"
        B ReadyForQuery I
        F Query "SELECT count(*) FROM scratch WHERE run = '$RUN'"
        B RowDescription count
        B DataRow 2
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn copy_in_that_fails() {
    same_as_postgres(
        "copy-fails",
        r#"
        F Query "COPY scratch_in (run, n) FROM STDIN"
        B CopyInResponse
        F CopyData "$RUN\t1\n"
        F CopyFail "the application changed its mind"
        B ErrorResponse ERROR 57014
        B ReadyForQuery I
        F Query "COPY scratch_in (run, n) FROM STDIN"
        B CopyInResponse
        F CopyData "$RUN\tno number\n"
        F CopyData "$RUN\t1\n"
        F CopyData "$RUN\t2\n"
        F CopyDone
        B ErrorResponse ERROR 22P02
        B ReadyForQuery I
        F Parse "" "COPY scratch_in (run, n) FROM STDIN"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B CopyInResponse
        F CopyData "$RUN\tno number\n"
        F CopyDone
        F Sync
        B ErrorResponse ERROR 22P02
        B ReadyForQuery I
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Query "COPY scratch_in (run, n) FROM STDIN"
        B CopyInResponse
        F CopyFail "no"
        B ErrorResponse ERROR 57014
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Query "COPY nothing FROM STDIN"
        B ErrorResponse ERROR 42P01
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
fn copy_out() {
    same_as_postgres(
        "copy-out",
        r#"
        F Query "COPY (SELECT title FROM todos ORDER BY title) TO STDOUT"
        B CopyOutResponse
        B CopyData "alice one\n"
        B CopyData "alice two\n"
        B CopyDone
        B CommandComplete "COPY 2"
        B ReadyForQuery I
        F Parse "" "COPY (VALUES (who())) TO STDOUT"
        F Bind "" ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B CopyOutResponse
        B CopyData "authenticated|alice|acme\n"
        B CopyDone
        B CommandComplete "COPY 1"
        B ReadyForQuery I
        F Query "COPY (SELECT 1/(2-n) FROM generate_series(1, 3) AS n) TO STDOUT"
        B CopyOutResponse
        B CopyData "1\n"
        B ErrorResponse ERROR 22012
        B ReadyForQuery I
        "#,
    );
}

/// COPY in the middle of a string: it must not carry the rest out of the identity.
#[test]
fn copy_among_other_statements() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    let run = "copy-among";
    client.send(&query(
        "SELECT 1; COPY scratch_in (run, n) FROM STDIN; COMMIT; SELECT who()",
    ));
    let frames = loop {
        let frame = client.read();
        match frame.tag {
            // Allowed: then the rest still runs as alice.
            b'G' => {
                client.send(&message(b'd', format!("{run}\t1\n").as_bytes()));
                client.send(&message(b'c', &[]));
                break client.until_ready();
            }
            // Refused: as good.
            b'Z' => break Vec::new(),
            _ => {}
        }
    };
    for frame in frames.iter().filter(|frame| frame.tag == b'D') {
        assert_eq!(frame.row(), [Some(ALICE.to_owned())]);
    }
    assert_eq!(client.value("SELECT who()"), ALICE);
    stack.assert_well();
}

/// Far more than any buffer holds, both ways at once, with memory that stays bounded.
#[test]
fn bulk_copies_take_little_memory() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    assert_eq!(client.value("SELECT who()"), ALICE);
    let before = resident_kib(stack.pid());
    client.send(&query(
        "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 200000)) TO STDOUT",
    ));
    let mut bytes = 0;
    let mut slow = 0;
    loop {
        let frame = client.read();
        bytes += frame.body.len();
        if frame.tag == b'Z' {
            break;
        }
        // A reader that falls behind now and then.
        slow += 1;
        if slow % 20_000 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
    assert!(bytes > 200_000_000, "{bytes}");
    client.send(&query("SELECT repeat('y', 100000000)"));
    assert!(
        client
            .until_ready()
            .iter()
            .any(|frame| frame.body.len() > 100_000_000)
    );
    let grown = resident_kib(stack.pid()).saturating_sub(before);
    assert!(
        grown < 32 * 1024,
        "the proxy grew by {grown} KiB while 300 MB passed"
    );
    stack.assert_well();
}

/// The most memory the process ever held.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}
