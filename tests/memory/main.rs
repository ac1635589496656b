//! One client, or one tenant, makes the proxy hold as much as it can. The process stays within a small container, a
//! neighbour of another tenant is served all the time, and afterwards nothing is held any more.
//!
//! `PORTCULLIS_TEST_LONG=1` also holds the neighbour's response times against those before the attack, and those of the same
//! statements past the proxy meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod copies;
mod logins;
mod statements;
mod texts;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use support::people::{alice, person};
use support::postgres::free_port;
use support::proxy::{Stack, StackOptions};
use support::raw::RawClient;
use support::{metric, wait_until};

const MIB: usize = 1 << 20;

/// What the proxy may use, and what the process may have at any time: a container of this size lives.
const BUDGET: usize = 64 * MIB;
const CONTAINER: usize = 256 * MIB;

/// A proxy with a small budget, and a neighbour that works while it is attacked.
struct Siege {
    stack: Stack,
    metrics_port: u16,
    over: Arc<AtomicBool>,
    neighbour: Option<JoinHandle<Times>>,
    before: Duration,
}

/// How long a neighbour's statements take, and by turns with them the same ones past the proxy: what the attack and its
/// machine leave for anybody.
#[derive(Default)]
struct Times {
    through: Vec<Duration>,
    past: Vec<Duration>,
}

impl Siege {
    fn begin(options: StackOptions) -> Self {
        let metrics_port = free_port();
        let options = options.with(&format!(
            "listen.memory_budget = {BUDGET}\nadmin.address = \"127.0.0.1:{metrics_port}\""
        ));
        let stack = Stack::start(&options);
        // Of another tenant, and of another database, so that what it waits for are no server connections.
        let mut client = stack.login(&person("wesker", "umbrella"));
        let calm: Vec<Duration> = (0..200).map(|_| timed(&mut client)).collect();
        let mut direct = stack.postgres().superuser("umbrella");
        let over = Arc::new(AtomicBool::new(false));
        let neighbour = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                let mut times = Times::default();
                while !over.load(Ordering::Relaxed) {
                    times.through.push(timed(&mut client));
                    times.past.push(timed(&mut direct));
                    std::thread::sleep(Duration::from_millis(2));
                }
                times
            }
        });
        Self {
            stack,
            metrics_port,
            over,
            neighbour: Some(neighbour),
            before: p99(calm),
        }
    }

    fn attacker(&self) -> RawClient {
        self.stack.login(&alice())
    }

    /// The value of one series.
    fn metric(&self, series: &str) -> usize {
        metric(self.metrics_port, series) as usize
    }

    fn state(&self, state: &str) -> usize {
        self.metric(&format!("portcullis_memory_budget_bytes{{state=\"{state}\"}}"))
    }

    fn refusals(&self) -> usize {
        self.metric("portcullis_memory_refusals_total")
    }

    /// The most that the process has had in memory so far.
    fn peak(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.stack.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: usize = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    /// The attackers have left: what was held has come back, and nobody has suffered.
    fn end(mut self) {
        let peak = self.peak();
        assert!(peak < CONTAINER, "{} MiB", peak / MIB);
        wait_until("all is given back", Duration::from_secs(20), || {
            self.state("used") == 0 && self.state("sessions") <= 2 * 24 * 1024
        });
        self.over.store(true, Ordering::Relaxed);
        let times = self
            .neighbour
            .take()
            .unwrap()
            .join()
            .expect("the neighbour was served");
        assert!(times.through.len() > 1);
        let (during, past) = (p99(times.through), p99(times.past));
        println!(
            "peak {} MiB; the neighbour's p99 {during:?}, past the proxy {past:?}, before {:?}",
            peak / MIB,
            self.before
        );
        if std::env::var_os("PORTCULLIS_TEST_LONG").is_some() {
            let allowed = self.before.max(past).mul_f64(1.5) + Duration::from_millis(5);
            assert!(
                during <= allowed,
                "{during:?}, past the proxy {past:?}, before {:?}",
                self.before
            );
        }
        self.stack.assert_well();
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// One statement of the neighbour's, which must be answered.
fn timed(client: &mut RawClient) -> Duration {
    let start = Instant::now();
    assert_eq!(client.value("SELECT title FROM notes"), "of umbrella");
    start.elapsed()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// The tag and SQLSTATE of the answer to what was sent, up to its ReadyForQuery.
fn outcome(client: &mut RawClient) -> String {
    let frames = client.until_ready();
    assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'), "{frames:?}");
    let error = frames.iter().find(|frame| frame.tag == b'E');
    error.map_or_else(|| "ok".to_owned(), |error| error.sqlstate())
}

/// The head of a message with a body of so many bytes.
fn head(tag: u8, bytes: usize) -> Vec<u8> {
    let mut head = vec![tag];
    head.extend_from_slice(&u32::try_from(bytes + 4).unwrap().to_be_bytes());
    head
}

/// A text of about so many bytes that is like no other.
fn text(number: usize, bytes: usize) -> String {
    format!("SELECT 'n{number}'{}", " ".repeat(bytes))
}
