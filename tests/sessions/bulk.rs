//! Bulk gathers in the kernel while the proxy does not listen: everything that can happen meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, cancel, message, query};

/// Rows of 1,000 bytes, far more than what makes a stream bulk.
const ROWS: usize = 40_000;

/// Far longer than anything here takes, and far shorter than the proxy's own limits.
const SOON: Duration = Duration::from_secs(20);

fn line(run: &str, number: usize) -> Vec<u8> {
    format!("{run}\t{number}\t{number:0>1000}\n").into_bytes()
}

/// Goes on sending from another thread, whatever the server says meanwhile.
fn send_lines(client: &RawClient, run: &'static str, bad: Option<usize>) -> thread::JoinHandle<()> {
    let mut half = client.second_half();
    thread::spawn(move || {
        for first in (0..ROWS).step_by(100) {
            let lines = (first..first + 100).map(|number| match bad {
                Some(bad) if bad == number => b"no\tnumber\tat all\n".to_vec(),
                _ => line(run, number),
            });
            half.send(&lines.flat_map(|line| message(b'd', &line)).collect::<Vec<_>>());
        }
        half.send(&message(b'c', b""));
    })
}

#[test]
fn arrives_in_order_and_the_trickle_behind_it_without_delay() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    for _ in 0..2 {
        client.send(&query(&format!(
            "SELECT lpad(n::text, 1000, '0'), CASE WHEN n > {ROWS} THEN pg_sleep(0.05) END \
             FROM generate_series(1, {ROWS} + 20) n"
        )));
        let rows = client.until_ready().into_iter().filter(|frame| frame.tag == b'D');
        let numbers = rows.map(|frame| {
            frame.row()[0]
                .as_ref()
                .unwrap()
                .trim_start_matches('0')
                .parse::<usize>()
                .unwrap()
        });
        assert!(numbers.eq(1..=ROWS + 20));
        // Questions and answers by turns are not slower than before.
        let began = Instant::now();
        for n in 0..500 {
            assert_eq!(client.value(&format!("SELECT {n}")), n.to_string());
        }
        assert!(began.elapsed() < SOON);
    }
    stack.assert_well();
}

#[test]
fn goes_in_whole() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.send(&query("COPY scratch_in (run, n, body) FROM STDIN"));
    assert_eq!(client.read().tag, b'G');
    send_lines(&client, "bulk", None).join().unwrap();
    assert_eq!(client.read().body, format!("COPY {ROWS}\0").into_bytes());
    client.until_ready();
    let sum = "SELECT count(*) || ' ' || sum(n) || ' ' || sum(body::numeric) FROM scratch WHERE run = 'bulk'";
    let total = ROWS * (ROWS - 1) / 2;
    assert_eq!(client.value(sum), format!("{ROWS} {total} {total}"));
    stack.assert_well();
}

#[test]
fn that_fails_on_the_server_is_told_to_a_client_that_goes_on_sending() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.send(&query("COPY scratch_in (run, n, body) FROM STDIN"));
    assert_eq!(client.read().tag, b'G');
    let sending = send_lines(&client, "bulk-bad", Some(ROWS / 2));
    let error = client.read();
    assert_eq!((error.tag, error.sqlstate().as_str()), (b'E', "22P02"));
    sending.join().unwrap();
    client.until_ready();
    assert_eq!(
        client.value("SELECT count(*) FROM scratch WHERE run = 'bulk-bad'"),
        "0"
    );
    stack.assert_well();
}

#[test]
fn is_cancelled_at_once() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.send(&query(
        "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000000)) TO STDOUT",
    ));
    for _ in 0..ROWS {
        client.read();
    }
    cancel(stack.port(), &client.cancel_key);
    let began = Instant::now();
    let error = loop {
        let frame = client.read();
        if frame.tag == b'E' {
            break frame;
        }
    };
    assert_eq!(error.sqlstate(), "57014");
    assert!(began.elapsed() < SOON);
    client.until_ready();
    stack.assert_well();
}

#[test]
fn whose_reader_or_sender_vanishes_holds_nobody_up() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    for copy in [
        "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000000)) TO STDOUT",
        "COPY scratch_in (run, n, body) FROM STDIN",
    ] {
        let mut client = stack.login(&alice());
        client.send(&query(copy));
        if copy.contains("STDIN") {
            client.read();
            for number in 0..ROWS / 4 {
                client.send(&message(b'd', &line("bulk-gone", number)));
            }
        } else {
            for _ in 0..ROWS / 4 {
                client.read();
            }
        }
        client.vanish();
        let began = Instant::now();
        let mut next = stack.login(&bob());
        assert_eq!(
            next.value("SELECT count(*) FROM scratch WHERE run = 'bulk-gone'"),
            "0"
        );
        assert!(began.elapsed() < SOON);
    }
    stack.assert_well();
}
