//! A neighbour that works while somebody else attacks: how long its statements take by the proxy, and by turns with them
//! the same ones by a plain relay that nobody else uses. What slows down the relay is the machine, which the attack has
//! to share with the neighbour's server and with the test itself.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::people::person;
use crate::support::proxy::Stack;
use crate::support::raw::RawClient;

/// As much slower as a neighbour may become, beyond what the machine makes everybody.
const SLOWER: f64 = 1.5;

/// How many response times are enough, and how long an attack lasts at least and at most.
struct Length {
    samples: usize,
    least: Duration,
    most: Duration,
    /// By how much the neighbour may be slower than that, since few samples are worth little.
    allowance: Duration,
}

const SHORT: Length = Length {
    samples: 100,
    least: Duration::ZERO,
    most: Duration::from_secs(5),
    allowance: Duration::from_millis(10),
};

/// A proxy that is not optimized takes ten times as long for everything: there this finds who is forgotten.
const UNOPTIMIZED: Length = Length {
    allowance: Duration::from_millis(250),
    ..SHORT
};

const LONG: Length = Length {
    samples: 2_000,
    least: Duration::from_secs(30),
    most: Duration::from_secs(90),
    allowance: Duration::ZERO,
};

fn length() -> &'static Length {
    let is_set = |name| std::env::var_os(name).is_some();
    match (is_set("PORTCULLIS_TEST_LONG"), is_set("PORTCULLIS_TEST_BINARY")) {
        (true, _) => &LONG,
        (false, true) => &SHORT,
        (false, false) => &UNOPTIMIZED,
    }
}

/// Response times by the proxy and by the relay.
#[derive(Default)]
struct Times {
    proxy: Vec<Duration>,
    relay: Vec<Duration>,
}

/// Of another tenant than the attacker, and of another database, so that what it waits for are no server connections.
pub(crate) struct Neighbour {
    before: Times,
    begun: Instant,
    samples: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    work: Option<JoinHandle<Times>>,
}

impl Neighbour {
    /// One that works from now on, and did so before.
    pub(crate) fn of(stack: &Stack) -> Self {
        let mut proxy = stack.login(&person("wesker", "umbrella"));
        let mut relay = relay(stack);
        let mut before = Times::default();
        for _ in 0..length().samples.max(200) {
            before.add(&mut proxy, &mut relay);
        }
        let (samples, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let work = thread::spawn({
            let (samples, over) = (Arc::clone(&samples), Arc::clone(&over));
            move || {
                let mut times = Times::default();
                while !over.load(Ordering::Relaxed) {
                    times.add(&mut proxy, &mut relay);
                    samples.store(times.proxy.len(), Ordering::Relaxed);
                }
                times
            }
        });
        Self {
            before,
            begun: Instant::now(),
            samples,
            over,
            work: Some(work),
        }
    }

    /// Whether the attack has lasted long enough.
    pub(crate) fn has_seen_enough(&self) -> bool {
        let (length, so_far) = (length(), self.begun.elapsed());
        let enough = self.samples.load(Ordering::Relaxed) >= length.samples && so_far >= length.least;
        enough || so_far >= length.most
    }

    /// The attack is over: it has not suffered from it.
    pub(crate) fn check_served(mut self) {
        self.over.store(true, Ordering::Relaxed);
        let work = self.work.take().unwrap();
        let during = work.join().expect("the neighbour was served");
        // One of very few is none in a hundred.
        let samples = during.proxy.len();
        let percentile = if samples >= 500 { 99 } else { 90 };
        let of = |times: &[Duration]| quantile(times, percentile);
        let (before, now) = (of(&self.before.proxy), of(&during.proxy));
        let (relay_before, relay_now) = (of(&self.before.relay), of(&during.relay));
        // What slows down the relay slows down everybody.
        let by_machine = (relay_now.as_secs_f64() / relay_before.as_secs_f64()).max(1.0);
        let slower = now.as_secs_f64() / before.as_secs_f64() / by_machine;
        println!(
            "p{percentile} of {samples}: {before:.1?} to {now:.1?}, the relay {relay_before:.1?} to {relay_now:.1?}: {slower:.2}"
        );
        let allowed = before.mul_f64(by_machine * SLOWER) + length().allowance;
        assert!(
            now <= allowed,
            "p{percentile} is {now:?}, allowed are {allowed:?}"
        );
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Times {
    fn add(&mut self, proxy: &mut RawClient, relay: &mut RawClient) {
        self.proxy.push(timed(proxy));
        self.relay.push(timed(relay));
        thread::sleep(Duration::from_millis(2));
    }
}

/// One statement, which must be answered.
fn timed(client: &mut RawClient) -> Duration {
    let start = Instant::now();
    assert_eq!(client.value("SELECT title FROM notes"), "of umbrella");
    start.elapsed()
}

fn quantile(times: &[Duration], percentile: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() * percentile / 100]
}

/// A client by a plain relay: a thread for each direction.
fn relay(stack: &Stack) -> RawClient {
    let postgres = stack.postgres();
    let name = format!(".s.PGSQL.{}", postgres.port());
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join(&name)).unwrap();
    let server = UnixStream::connect(postgres.socket_folder().join(&name)).unwrap();
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || pass(from, to));
        pass(server, client)
    });
    RawClient::superuser(folder.path(), postgres.port(), "umbrella")
}

fn pass(mut from: UnixStream, mut to: UnixStream) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    loop {
        match from.read(&mut bytes)? {
            0 => return Ok(()),
            count => to.write_all(&bytes[..count])?,
        }
    }
}
