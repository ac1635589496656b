//! SIGTERM and SIGINT: running transactions may end, everybody is told, nothing hangs.

use std::net::TcpStream;
use std::time::Duration;

use crate::ALICE;
use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::query;
use crate::support::wait_until;

#[test]
fn a_polite_end() {
    let mut stack = Stack::start(&StackOptions::pool(2));
    let mut idle = stack.login(&bob());
    let mut busy = stack.login(&alice());
    busy.values("BEGIN");
    busy.values("INSERT INTO scratch (run, n) VALUES ('shutdown', 1)");
    busy.send(&query("SELECT who() FROM pg_sleep(1)"));
    std::thread::sleep(Duration::from_millis(200));
    stack.signal("TERM");
    let frame = idle.read();
    assert_eq!(
        (frame.tag, frame.sqlstate().as_str()),
        (b'E', "57P01"),
        "{frame:?}"
    );
    assert!(idle.is_closed());
    let port = stack.port();
    wait_until("nobody new is let in", Duration::from_secs(3), || {
        TcpStream::connect(("127.0.0.1", port)).is_err()
    });
    let row = busy
        .until_ready()
        .into_iter()
        .find(|frame| frame.tag == b'D')
        .map(|frame| frame.row());
    assert_eq!(
        row,
        Some(vec![Some(ALICE.to_owned())]),
        "a running transaction goes on"
    );
    busy.send(&query("COMMIT"));
    assert_eq!(busy.read().tag, b'C');
    let last = busy
        .until_ready()
        .into_iter()
        .chain(busy.until_ready())
        .find(|frame| frame.tag == b'E');
    assert_eq!(last.map(|frame| frame.sqlstate()).as_deref(), Some("57P01"));
    assert!(stack.wait_exit(Duration::from_secs(10)).success());
    let kept = stack
        .postgres()
        .ask("DELETE FROM scratch WHERE run = 'shutdown' RETURNING n::text");
    assert_eq!(kept, ["1"]);
}

#[test]
fn an_end_with_nobody_there() {
    for signal in ["TERM", "INT"] {
        let mut stack = Stack::start(&StackOptions::pool(1));
        drop(stack.login(&alice()));
        stack.signal(signal);
        assert!(stack.wait_exit(Duration::from_secs(5)).success(), "{signal}");
    }
}

/// A second signal does not wait for transactions.
#[test]
fn an_impatient_end() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.values("BEGIN");
    client.values("SELECT 1");
    stack.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    stack.signal("TERM");
    let frame = client.read();
    assert_eq!(
        (frame.tag, frame.sqlstate().as_str()),
        (b'E', "57P01"),
        "{frame:?}"
    );
    stack.wait_exit(Duration::from_secs(5));
}
