//! Servers that are down, silent, dying or full: an error within the configured time, for those concerned.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::people::{alice, bob};
use crate::support::postgres::{Postgres, free_port};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{Frame, RawClient, Unready, query};
use crate::support::wait_until;
use crate::{ALICE, BOB};

/// The SQLSTATE of a login that fails because of the server, and how long it took.
fn failing_login(stack: &Stack) -> (String, Duration) {
    let start = Instant::now();
    match stack.try_login(&alice().token(), "acme") {
        Err(Unready::Refused(frame)) => (frame.sqlstate(), start.elapsed()),
        Err(Unready::Closed(why)) => panic!("closed without an error: {why}"),
        // The greeting may come from a cache; then the first query tells.
        Ok(mut client) => (client.query("SELECT 1").unwrap_err().sqlstate(), start.elapsed()),
    }
}

/// The error of a query whose RowDescription may have come already.
fn error_of(client: &mut RawClient) -> Frame {
    loop {
        let frame = client.read();
        match frame.tag {
            b'T' | b'N' => {}
            b'E' => return frame,
            _ => panic!("expected an error: {frame:?}"),
        }
    }
}

#[test]
fn nobody_listens() {
    let stack = Stack::in_front_of(free_port(), &StackOptions::pool(1));
    let (code, took) = failing_login(&stack);
    assert_eq!(code, "08006");
    assert!(took < Duration::from_secs(3), "{took:?}");
    // Again and again: back-off makes it fail fast, not hang.
    for _ in 0..5 {
        let (code, took) = failing_login(&stack);
        assert_eq!(code, "08006");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[test]
fn a_server_that_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let stack = Stack::in_front_of(
        port,
        &StackOptions::pool(1).with("pool.server_connect_timeout = 1"),
    );
    let (code, took) = failing_login(&stack);
    assert_eq!(code, "08006");
    assert!(
        took > Duration::from_millis(800) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[test]
fn a_server_that_talks_nonsense() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write as _;
        for socket in listener.incoming().flatten() {
            let mut socket = socket;
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let mut stack = Stack::in_front_of(
        port,
        &StackOptions::pool(1).with("pool.server_connect_timeout = 2"),
    );
    let (code, took) = failing_login(&stack);
    assert_eq!(code, "08006");
    assert!(took < Duration::from_secs(6), "{took:?}");
    stack.assert_well();
}

#[test]
fn the_wrong_password_for_the_server_is_not_the_clients_business() {
    let stack = Stack::start(&StackOptions::pool(1).with("logins.app.password = \"wrong-login-password\""));
    let (code, message, _) = stack.refusal(&alice().token(), "acme");
    assert_eq!(code, "08006", "{message}");
    assert!(!message.contains("portcullis_app"), "{message}");
}

#[test]
fn a_backend_that_is_terminated() {
    let mut stack = Stack::start(&StackOptions::pool(2));
    let mut hers = stack.login(&alice());
    let mut his = stack.login(&bob());
    // Two transactions on two server connections, each its own.
    hers.values("BEGIN");
    his.values("BEGIN");
    let her_pid = hers.value("SELECT pg_backend_pid()");
    let his_pid = his.value("SELECT pg_backend_pid()");
    assert_ne!(her_pid, his_pid);
    hers.send(&query("SELECT pg_sleep(30)"));
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    stack
        .postgres()
        .ask(&format!("SELECT pg_terminate_backend({her_pid})"));
    let frame = error_of(&mut hers);
    assert!(
        ["57P01", "08006"].contains(&frame.sqlstate().as_str()),
        "{frame:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_eq!(his.value("SELECT who()"), BOB, "the other client");
    his.values("COMMIT");
    assert_eq!(
        stack.login(&alice()).value("SELECT who()"),
        ALICE,
        "the next session"
    );
    stack.assert_well();
}

/// An idle server connection that the server closed is noticed before it is given out.
#[test]
fn an_idle_backend_that_is_terminated() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    for _ in 0..3 {
        let pid = client.value("SELECT pg_backend_pid()");
        stack
            .postgres()
            .ask(&format!("SELECT pg_terminate_backend({pid})"));
        wait_until("the backend is gone", Duration::from_secs(5), || {
            stack.postgres().ask(&format!(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"
            )) == ["0"]
        });
        assert_eq!(client.value("SELECT who()"), ALICE);
        assert_ne!(client.value("SELECT pg_backend_pid()"), pid);
    }
}

#[test]
fn a_server_that_crashes() {
    let postgres = Postgres::own();
    let mut stack = Stack::in_front_of(
        postgres.port(),
        &StackOptions::pool(2).with("pool.server_connect_timeout = 2"),
    );
    let mut idle = stack.login(&bob());
    let mut busy = stack.login(&alice());
    assert_eq!(busy.value("SELECT who()"), ALICE);
    busy.send(&query("SELECT pg_sleep(30)"));
    std::thread::sleep(Duration::from_millis(300));
    postgres.crash();
    let start = Instant::now();
    let frame = error_of(&mut busy);
    assert!(
        ["57P01", "57P02", "57P03", "08006"].contains(&frame.sqlstate().as_str()),
        "{frame:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(3));
    let error = idle.query("SELECT 1").unwrap_err();
    assert_eq!(error.sqlstate(), "08006", "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(8));
    stack.assert_well();
}

#[test]
fn a_server_that_is_full() {
    let postgres = Postgres::own();
    postgres.ask("ALTER ROLE portcullis_app CONNECTION LIMIT 1");
    let mut stack = Stack::in_front_of(
        postgres.port(),
        &StackOptions::pool(4).with("pool.query_wait_timeout = 3"),
    );
    let mut first = stack.login(&alice());
    first.values("BEGIN; SELECT 1");
    let mut second = stack.login(&bob());
    let start = Instant::now();
    let error = second.query("SELECT 1").unwrap_err();
    assert_eq!(error.sqlstate(), "53300", "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(6));
    assert_eq!(first.value("SELECT who()"), ALICE);
    first.values("COMMIT");
    wait_until("the second client is served", Duration::from_secs(10), || {
        second.query("SELECT who()").is_ok()
    });
    stack.assert_well();
}
