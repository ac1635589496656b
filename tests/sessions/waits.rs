//! No client holds a server connection for ever by making it wait: a pool of one goes to the next client within the
//! limit, whatever the first one leaves undone. Who is slow and honest, or waits for the server, is left in peace.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::VERSIONS;
use crate::support::people::{alice, bob};
use crate::support::postgres::Version;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, execute, flush, message, parse, query, sync};

/// `client_progress_timeout` here.
const LIMIT: Duration = Duration::from_secs(1);

/// What a connection may be held beyond it by somebody who has done something in the middle of the first window, and
/// by a machine that is busy.
const MARGIN: Duration = Duration::from_secs(3);

/// Far more than the kernel's buffers on the way take.
const ENDLESS: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 200000)";

fn options(postgres: Version) -> StackOptions {
    StackOptions {
        postgres,
        ..StackOptions::pool(1)
    }
    .with("listen.client_progress_timeout = 1\nlisten.idle_transaction_timeout = 2")
}

/// What a client says and then goes on to do, time and again.
struct Way {
    #[allow(dead_code, reason = "tells the ways apart for people")]
    name: &'static str,
    /// Statements that end before the rest is sent.
    first: &'static [&'static str],
    says: Vec<u8>,
    /// Sent a byte at a time.
    drips: Vec<u8>,
    /// Whether it reads a byte now and then.
    sips: bool,
}

fn way(name: &'static str, says: Vec<u8>) -> Way {
    Way {
        name,
        first: &[],
        says,
        drips: Vec::new(),
        sips: false,
    }
}

impl Way {
    fn after(self, first: &'static [&'static str]) -> Self {
        Self { first, ..self }
    }

    fn dripping(self, drips: Vec<u8>) -> Self {
        Self { drips, ..self }
    }

    fn sipping(self) -> Self {
        Self { sips: true, ..self }
    }
}

/// The head of a message whose body is so long, and what has come of that.
fn cut(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    [&[tag], &(length + 4).to_be_bytes()[..], body].concat()
}

fn cut_bind(length: usize, sent: usize) -> Vec<u8> {
    let value = vec![b'x'; length];
    let whole = bind("", "", &[Some(&value)]);
    [parse("", "SELECT length($1)", &[25]), whole[..sent].to_vec()].concat()
}

/// Rows for `scratch_in`, a message each.
fn rows(count: usize, body: &str) -> Vec<Vec<u8>> {
    let row = |n| message(b'd', format!("waits\t{n}\t{body}\n").as_bytes());
    (0..count).map(row).collect()
}

fn ways() -> Vec<Way> {
    let copy_in = query("COPY scratch_in (run, n, body) FROM STDIN");
    let run = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
    let begin: &[&str] = &["BEGIN"];
    let mut ways = vec![
        way("an answer unread", query(ENDLESS)),
        way("an answer unread in a block", query(ENDLESS)).after(begin),
        way("an answer sipped", query(ENDLESS)).sipping(),
        way("a portal unread", [run(ENDLESS), sync()].concat()),
        way("COPY TO unread", query(&format!("COPY ({ENDLESS}) TO STDOUT"))),
        way("COPY TO sipped", query(&format!("COPY ({ENDLESS}) TO STDOUT"))).sipping(),
        way("COPY FROM without data", copy_in.clone()),
        way("COPY FROM without data in a block", copy_in.clone()).after(begin),
        way("COPY FROM dripped", copy_in.clone()).dripping(rows(10, "waits").concat()),
        way("COPY FROM with empty messages", copy_in.clone()).dripping(message(b'd', b"").repeat(100)),
        way("COPY FROM with Syncs", copy_in.clone()).dripping(sync().repeat(200)),
        way("a cut CopyData", [copy_in.clone(), cut(b'd', 1000, b"")].concat()),
        way(
            "a cut CopyData later",
            [copy_in.clone(), cut(b'd', 100_000, &[b'x'; 70_000])].concat(),
        ),
        way("a cut CopyFail", [copy_in, cut(b'f', 100, b"never")].concat()),
        way(
            "an extended COPY without data",
            [run("COPY scratch_in (run, n, body) FROM STDIN"), flush()].concat(),
        ),
        way(
            "an extended COPY without Sync",
            [
                run("COPY scratch_in (run, n, body) FROM STDIN"),
                message(b'c', b""),
            ]
            .concat(),
        ),
        way("a cut Bind of 60 kB", cut_bind(60_000, 30_000)),
        way("a cut Bind of 1 MB", cut_bind(1_000_000, 500_000)),
        way("a cut Bind of 1 MB in a block", cut_bind(1_000_000, 20_000)).after(begin),
        way("a dripped Bind", cut_bind(60_000, 30_000)).dripping(vec![b'x'; 1000]),
        way("Execute alone", run("SELECT 1")),
        way("Execute and Flush", [run("SELECT 1"), flush()].concat()),
        way("Execute alone in a block", run("SELECT 1")).after(begin),
        way("Execute and Flushes", [run("SELECT 1"), flush()].concat()).dripping(flush().repeat(200)),
        way(
            "Execute and a cut Query",
            [run("SELECT 1"), cut(b'Q', 100, b"SEL")].concat(),
        ),
        way("a refused Parse without Sync", parse("", "DROP TABLE todos", &[])),
        way("an error without Sync", [run("SELECT 1/0"), flush()].concat()),
        way(
            "an error and skipped messages",
            [run("SELECT 1/0"), flush()].concat(),
        )
        .dripping(parse("", "SELECT 1", &[]).repeat(20)),
    ];
    for (name, says) in [
        ("a cut head in a block", vec![b'Q', 0]),
        ("a cut Query in a block", cut(b'Q', 100, b"SELECT")),
        ("a cut long Query in a block", cut(b'Q', 100_000, &[b' '; 50_000])),
        ("a cut Parse in a block", cut(b'P', 100, b"s\0SELECT")),
        ("a Query too long in a block", cut(b'Q', 10_000_000, b"SELECT")),
    ] {
        ways.push(way(name, says.clone()).after(begin));
        ways.push(way(name, says).after(begin).dripping(vec![b' '; 1000]));
    }
    ways.push(
        way("Flushes in a block", Vec::new())
            .after(begin)
            .dripping(flush().repeat(200)),
    );
    ways
}

/// Goes a way until all is over.
fn go(mut client: RawClient, way: &Way, over: &AtomicBool) {
    let mut other = client.second_half();
    let says = way.says.clone();
    // What the proxy does not take must not keep this test.
    let talker = thread::spawn(move || other.send(&says));
    let mut drips = way.drips.iter();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(60));
        if let Some(drip) = drips.next() {
            client.send(&[*drip]);
        }
        if way.sips {
            client.sip();
        }
    }
    client.vanish();
    talker.join().unwrap();
}

/// Each way on a server connection of its own, all of a pool: then as many others want one each.
#[test]
fn whatever_clients_leave_undone_the_next_ones_are_served() {
    for version in VERSIONS {
        let ways = ways();
        let options = StackOptions {
            pool_size: ways.len(),
            ..options(version)
        };
        let Some(mut stack) = Stack::try_start(&options.with("pool.max_tenant_server_conn = 0")) else {
            continue;
        };
        let login = |way: &Way| {
            let mut holder = stack.login(&alice());
            way.first.iter().for_each(|sql| drop(holder.values(sql)));
            holder
        };
        let holders: Vec<RawClient> = ways.iter().map(login).collect();
        let mut next: Vec<RawClient> = ways.iter().map(|_| stack.login(&bob())).collect();
        let over = AtomicBool::new(false);
        let slow: Vec<Duration> = thread::scope(|scope| {
            for (holder, way) in holders.into_iter().zip(&ways) {
                let over = &over;
                scope.spawn(move || go(holder, way, over));
            }
            // They are at work first.
            thread::sleep(Duration::from_millis(500));
            let start = Instant::now();
            let served = move |client: &mut RawClient| {
                client.set_patience(LIMIT * 2 + MARGIN);
                client.send(&query("BEGIN; SELECT who()"));
                client
                    .until_ready()
                    .iter()
                    .any(|frame| frame.tag == b'D')
                    .then(|| start.elapsed())
            };
            let waits = next.iter_mut().map(|client| scope.spawn(move || served(client)));
            let waits: Vec<_> = waits.collect();
            let served: Vec<_> = waits.into_iter().map(|wait| wait.join().unwrap()).collect();
            let held = stack.postgres().ask(
                "SELECT coalesce(wait_event, state) || ' ' || left(query, 60) FROM pg_stat_activity \
                 WHERE usename = 'portcullis_app' AND query NOT LIKE '%who()%'",
            );
            over.store(true, Ordering::Relaxed);
            assert!(served.iter().all(Option::is_some), "{version:?}: {held:#?}");
            served.into_iter().flatten().collect()
        });
        let longest = slow.iter().max().unwrap();
        eprintln!(
            "{version:?}: {} ways, the last served after {longest:?}",
            ways.len()
        );
        assert!(*longest > LIMIT / 2, "nothing was held up: {longest:?}");
        stack.assert_well();
    }
}

/// What a client gets to know, where it can be told.
#[test]
fn a_client_is_told_what_it_has_left_undone() {
    let stack = Stack::start(&options(Version::Installed));
    let mut client = stack.login(&alice());
    client.send(&query("COPY scratch_in (run, n, body) FROM STDIN"));
    assert_eq!(client.read().tag, b'G');
    let error = client.read();
    assert_eq!(error.sqlstate(), "25P03", "{error:?}");
    let said = error.field('M').unwrap();
    assert!(said.contains("client_progress_timeout"), "{said}");
    assert!(error.field('H').is_some() && error.field('V').as_deref() == Some("FATAL"));
    assert!(client.is_closed());
    // An answer that is cut off is not followed by anything that could be taken for a part of it.
    let mut client = stack.login(&alice());
    client.send(&query(ENDLESS));
    thread::sleep(LIMIT * 3);
    let mut rows = 0;
    while let Ok(frame) = client.try_read() {
        match frame.tag {
            b'T' => {}
            b'D' => {
                assert_eq!(frame.row()[0].as_deref().map(str::len), Some(1000));
                rows += 1;
            }
            b'E' => assert_eq!(frame.sqlstate(), "25P03"),
            _ => panic!("{frame:?}"),
        }
    }
    assert!(rows > 0);
}

/// A server that works, or waits for somebody else, is not held against its client.
#[test]
fn the_servers_time_is_its_own() {
    for version in VERSIONS {
        let options = StackOptions {
            pool_size: 8,
            ..options(version)
        };
        let Some(stack) = Stack::try_start(&options.with("pool.max_tenant_server_conn = 0")) else {
            continue;
        };
        let run = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
        let patient = |first: &str, says: Vec<u8>, then: Vec<u8>| {
            let mut client = stack.login(&alice());
            if !first.is_empty() {
                client.values(first);
            }
            client.send(&says);
            thread::sleep(LIMIT * 7 / 2);
            client.send(&then);
            let frames = client.until_ready();
            let error = frames.iter().find(|frame| frame.tag == b'E');
            assert!(error.is_none(), "{version:?}: {error:?}");
            assert!(frames.iter().any(|frame| frame.tag == b'C'), "{frames:?}");
        };
        let sleep = "SELECT pg_sleep(4)";
        let nothing = Vec::new;
        thread::scope(|scope| {
            let patient = &patient;
            scope.spawn(move || patient("", query(sleep), nothing()));
            scope.spawn(move || patient("BEGIN", query(sleep), nothing()));
            scope.spawn(move || patient("", [run(sleep), sync()].concat(), nothing()));
            // Whether the server works or waits for the Sync is found out.
            scope.spawn(move || patient("", run(sleep), sync()));
            scope.spawn(move || patient("", [run(sleep), flush()].concat(), sync()));
            // Behind a long statement others wait, also half of one.
            let half = query("SELECT 1");
            let (a, b) = (half[..7].to_vec(), half[7..].to_vec());
            scope.spawn(move || patient("", [query(sleep), a].concat(), b));
            scope.spawn(move || {
                patient(
                    "",
                    query("COPY (SELECT pg_sleep(1) FROM generate_series(1, 4)) TO STDOUT"),
                    nothing(),
                )
            });
        });
    }
}

/// Slow is not stuck.
#[test]
fn a_thin_line_is_thick_enough() {
    for version in VERSIONS {
        let options = StackOptions {
            pool_size: 4,
            ..options(version)
        };
        let Some(stack) = Stack::try_start(&options.with("pool.max_tenant_server_conn = 0")) else {
            continue;
        };
        thread::scope(|scope| {
            let stack = &stack;
            scope.spawn(move || {
                // The kernel says that there is room again when a megabyte or so is; at this rate that takes seconds.
                let mut reader = stack.login(&alice());
                reader.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 12000)"));
                let start = Instant::now();
                let mut rows = 0;
                loop {
                    let frame = reader.read();
                    match frame.tag {
                        b'D' => rows += 1,
                        b'Z' => break,
                        b'T' | b'C' => {}
                        _ => panic!("{frame:?}"),
                    }
                    // The rest may come at once.
                    if rows % 100 == 0 && start.elapsed() < LIMIT * 8 {
                        thread::sleep(Duration::from_millis(150));
                    }
                }
                assert_eq!(rows, 12_000);
            });
            scope.spawn(move || {
                let mut writer = stack.login(&alice());
                writer.send(&query("COPY scratch_in (run, n, body) FROM STDIN"));
                assert_eq!(writer.read().tag, b'G');
                for row in rows(50, &"x".repeat(200)) {
                    writer.send(&row);
                    thread::sleep(LIMIT / 16);
                }
                writer.send(&message(b'c', b""));
                assert_eq!(writer.until_ready()[0].tag, b'C');
                writer.values("DELETE FROM scratch WHERE run = 'waits'");
            });
            scope.spawn(move || {
                let mut writer = stack.login(&alice());
                writer.values("BEGIN");
                let long = "x".repeat(20_000);
                let value = [
                    parse("", "SELECT length($1)", &[25]),
                    bind("", "", &[Some(long.as_bytes())]),
                ];
                let text = query(&format!("SELECT length('{long}')"));
                for says in [value.concat(), [execute("", 0), sync(), text].concat()] {
                    for piece in says.chunks(400) {
                        writer.send(piece);
                        thread::sleep(LIMIT / 16);
                    }
                }
                let frames = writer.until_ready();
                assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
            });
            scope.spawn(move || {
                let mut thinker = stack.login(&alice());
                thinker.values("BEGIN");
                for _ in 0..4 {
                    thread::sleep(LIMIT * 3 / 2);
                    thinker.values("SELECT 1");
                }
            });
        });
    }
}
