//! One client, or one tenant, makes the proxy hold and do as much as it can. The process stays within a small container, a
//! neighbour of another tenant is served as before ([`neighbour`]), and afterwards nothing is held any more.
//!
//! `PORTCULLIS_TEST_LONG=1` goes on with each attack until the neighbour has thousands of response times: about twenty
//! minutes. Measure an optimized build, on a machine that does nothing else:
//! `PORTCULLIS_TEST_LONG=1 PORTCULLIS_TEST_BINARY=target/release/portcullis cargo test --test memory -- --nocapture`.
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
mod neighbour;
mod statements;
mod texts;
mod transactions;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use neighbour::Neighbour;
use support::people::alice;
use support::postgres::free_port;
use support::proxy::{Stack, StackOptions};
use support::raw::RawClient;
use support::{metric, wait_until};

const MIB: usize = 1 << 20;

/// What the proxy may use, and what the process may have at any time: a container of this size lives.
const BUDGET: usize = 64 * MIB;
const CONTAINER: usize = 256 * MIB;

/// A proxy with a small budget.
struct Siege {
    stack: Stack,
    metrics_port: u16,
}

/// Rounds of attacks so far, so that no text is like one of a round before.
static ROUNDS: AtomicUsize = AtomicUsize::new(0);

/// Attacks a proxy while a neighbour works, again and again until its response times say something. Each time, what was
/// held has come back; in the end, nobody has suffered. One siege at a time: it measures.
fn besiege(options: StackOptions, attack: impl Fn(&Siege)) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut siege = Siege::begin(options);
    let neighbour = Neighbour::of(&siege.stack);
    let mut rounds = 0;
    while !neighbour.has_seen_enough() {
        ROUNDS.fetch_add(1, Ordering::Relaxed);
        rounds += 1;
        attack(&siege);
        siege.check_given_back();
    }
    let peak = siege.peak();
    println!("{rounds} rounds, peak {} MiB", peak / MIB);
    assert!(peak < CONTAINER, "{} MiB", peak / MIB);
    siege.stack.assert_well();
    neighbour.check_served();
}

impl Siege {
    fn begin(options: StackOptions) -> Self {
        let metrics_port = free_port();
        let options = options.with(&format!(
            "listen.memory_budget = {BUDGET}\nadmin.address = \"127.0.0.1:{metrics_port}\""
        ));
        Self {
            stack: Stack::start(&options),
            metrics_port,
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

    /// The attackers have left, and nothing is held for them any more.
    fn check_given_back(&self) {
        wait_until("all is given back", Duration::from_secs(20), || {
            self.state("used") == 0 && self.state("sessions") <= 2 * 24 * 1024
        });
    }
}

/// The number of the round.
fn round() -> usize {
    ROUNDS.load(Ordering::Relaxed)
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
    let round = round();
    format!("SELECT 'n{round}.{number}'{}", " ".repeat(bytes))
}
