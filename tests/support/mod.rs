//! What the integration tests share: a private Postgres, the proxy as a child process, tokens, a raw
//! protocol client and the tools the driver suites need. Everything is blocking; tests that want a
//! runtime build their own. Nothing outlives the test process: each child is on a [`leash::Leash`].
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test binary uses its part, and a test stops at the first surprise"
)]

pub(crate) mod leash;
pub(crate) mod matrix;
pub(crate) mod messages;
pub(crate) mod owned;
pub(crate) mod people;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod tools;
pub(crate) mod trace;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Asks again and again until the answer is yes; says how long it asked otherwise.
pub(crate) fn wait_until(what: &str, limit: Duration, mut answer: impl FnMut() -> bool) {
    let start = Instant::now();
    while !answer() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The value of one series of `/metrics` on this port, labels included; 0 where it is not there.
pub(crate) fn metric(port: u16, series: &str) -> f64 {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

/// Runs a command; false if it fails. One that takes longer than `limit` is killed and panics.
pub(crate) fn run_within(mut command: std::process::Command, limit: Duration) -> bool {
    let mut child = command.spawn().expect("the command starts");
    let _leash = leash::Leash::new(child.id(), "KILL", None);
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        if start.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
