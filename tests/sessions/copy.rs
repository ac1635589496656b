//! COPY in and out, message by message.

use crate::support::people::alice;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{message, query};
use crate::{ALICE, same_as_postgres};

#[test]
fn copy_in() {
    same_as_postgres("copy-in", include_str!("../traces/copy-in.trace"));
}

#[test]
fn copy_in_by_the_extended_protocol() {
    // The Sync of the batch arrives while the server is in copy mode, where it is ignored.
    same_as_postgres("copy-extended", include_str!("../traces/copy-extended.trace"));
}

#[test]
fn copy_in_that_fails() {
    same_as_postgres("copy-fails", include_str!("../traces/copy-fails.trace"));
}

#[test]
fn copy_out() {
    same_as_postgres("copy-out", include_str!("../traces/copy-out.trace"));
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
