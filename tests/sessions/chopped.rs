//! Any sequence of messages, cut anywhere in both directions, is answered as the whole is; and the whole is
//! answered as Postgres itself answers it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::support::people::alice;
use crate::support::postgres::{Version, cluster};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, query, sync};
use crate::support::trace::{encode_line, render};

/// The run that the rows of all these texts are of, to be replaced.
const RUN: &[u8; 7] = b"chopped";

/// Texts that a Query may have: their order is what is random.
const QUERIES: &[&str] = &[
    "",
    " ; ;",
    "SELECT 1 AS a",
    "SELECT 1 AS a; SELECT 2 AS b",
    "SELECT 1 AS a; SELECT 1/0; SELECT 2 AS b",
    "SELECT 'ä' AS a;  SELECT nowhere",
    "SELEC 1",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "BEGIN; SELECT 1 AS a; COMMIT; SELECT 2 AS b",
    "SELECT 1 AS a; BEGIN; SELECT 2 AS b",
    "SAVEPOINT s",
    "ROLLBACK TO s; SELECT 3 AS c",
    "RELEASE s",
    "INSERT INTO scratch (run, n) VALUES ('chopped', 1) RETURNING n",
    "INSERT INTO scratch (run, n) VALUES ('chopped', 2); INSERT INTO scratch (run, n) VALUES ('chopped', 2)",
    "SELECT n FROM scratch WHERE run = 'chopped' ORDER BY n",
    "DELETE FROM scratch WHERE run = 'chopped'",
    "PREPARE a AS SELECT 4 AS d",
    "PREPARE b (int) AS SELECT $1 + 1 AS e",
    "EXECUTE a",
    "EXECUTE b(5)",
    "EXECUTE b",
    "DEALLOCATE a",
    "DEALLOCATE ALL",
    "SET timezone = 'Asia/Tokyo'",
    "SET LOCAL datestyle = German; SELECT date '2003-02-01' AS f",
    "SHOW timezone",
    "RESET timezone",
    "SELECT repeat('x', 20000) AS long",
    "SELECT g FROM generate_series(1, 50) AS g",
    "DECLARE c CURSOR FOR SELECT generate_series(1, 5) AS g",
    "FETCH 2 FROM c",
    "CLOSE c",
    "COPY (SELECT 1, 2) TO STDOUT",
];

/// Messages of the extended protocol, as traces write them.
const MESSAGES: &[&str] = &[
    "Sync",
    "Flush",
    "Parse \"\" \"SELECT 1 AS a\"",
    "Parse \"\" \"SELECT $1::int AS a\"",
    "Parse \"\" \"BEGIN\"",
    "Parse \"\" \"COMMIT\"",
    "Parse \"\" \"SELECT nowhere\"",
    "Parse a \"SELECT generate_series(1, 3) AS g\"",
    "Parse b \"SELECT $1::int / 2 AS h\"",
    "Parse a \"INSERT INTO scratch (run, n) VALUES ('chopped', 3) RETURNING n\"",
    "Bind x a",
    "Bind x b 8",
    "Describe S \"\"",
    "Describe S a",
    "Close S a",
    "Close S b",
    "Close P x",
];

/// Portals. The unnamed one is only the client's right behind its Bind: Postgres keeps that of a simple query that
/// has failed. And a failed block says so here even of a portal that does not exist.
const PORTALS: &[&[&str]] = &[
    &["Bind \"\" \"\"", "Describe P \"\"", "Execute \"\" 0"],
    &["Bind \"\" \"\" 7", "Execute \"\" 1", "Execute \"\" 1"],
    &["Bind \"\" a", "Execute \"\" 1", "Flush", "Execute \"\" 0"],
    &[
        "Bind \"\" a",
        "Describe P \"\"",
        "Close P \"\"",
        "Describe P \"\"",
    ],
    &["Bind \"\" b y", "Execute \"\" 0"],
    &["Parse \"\" \"EXECUTE a\"", "Bind \"\" \"\"", "Execute \"\" 0"],
    &["Bind x a", "Describe P x", "Execute x 1", "Execute x 0"],
    &[
        "Parse \"\" \"\"",
        "Bind \"\" \"\"",
        "Execute \"\" 0",
        "Parse \"\" \"SELECT 6 AS f\"",
    ],
];

/// COPY as a whole, since what follows it depends on how it ends.
const COPIES: &[&[&str]] = &[
    &[
        "Query \"COPY scratch_in (run, n) FROM STDIN\"",
        "CopyData \"chopped\\t10\\n\"",
        "CopyData \"chopped\\t11\\n\"",
        "CopyDone",
    ],
    &[
        "Query \"COPY scratch_in (run, n) FROM STDIN; SELECT 5 AS e; DEALLOCATE ALL\"",
        "CopyData \"chopped\\t12\\n\"",
        "CopyDone",
    ],
    &[
        "Query \"COPY scratch_in (run, n) FROM STDIN\"",
        "CopyData \"chopped\\tno number\\n\"",
        "CopyData \"chopped\\t13\\n\"",
        "CopyDone",
    ],
    &["Query \"COPY scratch_in (run, n) FROM STDIN\"", "CopyFail why"],
];

/// Bytes that the client sends, one element a message.
struct Script(Vec<Vec<u8>>);

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |message: &Vec<u8>| String::from_utf8_lossy(message).replace('\0', "·");
        f.debug_list().entries(self.0.iter().map(text)).finish()
    }
}

/// A query comes behind a Sync: without it PostgreSQL 18 fails with XX000 later.
fn step() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let queries = prop::sample::select(QUERIES).prop_map(|sql| vec![sync(), query(sql)]);
    let messages = prop::sample::select(MESSAGES).prop_map(|line| vec![encode_line(line)]);
    let portals =
        prop::sample::select(PORTALS).prop_map(|lines| lines.iter().map(|line| encode_line(line)).collect());
    // A whole exchange, so that not every script fails at once.
    let prepared = Just(
        [
            "Parse \"\" \"SELECT $1::text AS t\"",
            "Bind \"\" \"\" seven",
            "Describe P \"\"",
            "Execute \"\" 0",
            "Sync",
        ]
        .map(encode_line)
        .to_vec(),
    );
    let copies = prop::sample::select(COPIES).prop_map(|lines| {
        std::iter::once(sync())
            .chain(lines.iter().map(|line| encode_line(line)))
            .collect()
    });
    prop_oneof![4 => queries, 4 => messages, 3 => portals, 1 => prepared, 1 => copies]
}

fn script() -> impl Strategy<Value = Script> {
    prop::collection::vec(step(), 1..14).prop_map(|steps| Script(steps.concat()))
}

/// Sizes of the pieces that a stream is cut into, over and over.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..8_usize, 1..200_usize, 1..5_000_usize], 1..12)
}

/// What is said in answer to a script, up to an end that always comes.
fn answers(client: &mut RawClient, run: &[u8; 7], script: &Script, cuts: &[usize]) -> Vec<String> {
    let mut bytes = script.0.concat();
    bytes.extend(sync());
    bytes.extend(query("ROLLBACK"));
    bytes.extend(query("DEALLOCATE ALL"));
    bytes.extend(query("RESET timezone"));
    bytes.extend(query("DELETE FROM scratch WHERE run = 'chopped'"));
    bytes.extend(query("SELECT 'the end'"));
    // Rows of their own for tests that run at the same time.
    while let Some(at) = bytes.windows(7).position(|window| window == RUN) {
        bytes[at..at + 7].copy_from_slice(run);
    }
    write_cut(cuts, &bytes, |piece| client.send(piece));
    let mut said = Vec::new();
    loop {
        let frame = client.read();
        let is_end = frame.tag == b'D' && frame.row() == [Some("the end".to_owned())];
        let mut line = render(&frame);
        if matches!(frame.tag, b'E' | b'N') {
            // Of what is refused, the words are ours.
            line.truncate(3);
        }
        said.push(line.join(" "));
        if is_end {
            client.until_ready();
            return said;
        }
    }
}

fn write_cut(cuts: &[usize], bytes: &[u8], mut write: impl FnMut(&[u8])) {
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            return;
        }
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        write(piece);
        rest = after;
        // So that the other side sees this piece alone.
        if *cut < 5_000 {
            std::thread::sleep(Duration::from_micros(60));
        }
    }
}

/// A way to a server that cuts what passes. Ends with the process.
fn chopper(server_port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", server_port)).unwrap();
            for (from, to) in [(&client, &server), (&server, &client)] {
                to.set_nodelay(true).unwrap();
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || {
                    let mut buffer = vec![0; 16 * 1024];
                    let cuts = [1, 3, 4, 5, 6, 40, 7, 300, 2, 1_000, 13, 9_000];
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        write_cut(&cuts, &buffer[..count], |piece| drop(to.write_all(piece)));
                    }
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    port
}

fn differs(what: &str, script: &Script, one: &[String], other: &[String]) -> Result<(), TestCaseError> {
    if one == other {
        return Ok(());
    }
    let first = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    Err(TestCaseError::fail(format!(
        "{what}: they part at {first}: {:#?}\nagainst {:#?}\nscript {script:?}",
        one.get(first.saturating_sub(2)..).unwrap_or_default(),
        other.get(first.saturating_sub(2)..).unwrap_or_default(),
    )))
}

/// The same scripts each time, so that a run says what has changed; `PORTCULLIS_TEST_RANDOM=1` takes others, and
/// `PROPTEST_CASES` says how many.
fn runner() -> TestRunner {
    let config = Config {
        cases: std::env::var("PROPTEST_CASES").map_or(60, |cases| cases.parse().unwrap()),
        max_shrink_iters: 60,
        failure_persistence: None,
        ..Config::default()
    };
    match std::env::var_os("PORTCULLIS_TEST_RANDOM") {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    }
}

#[test]
fn however_the_streams_are_cut() {
    let postgres = cluster(Version::Installed).unwrap();
    let whole = Stack::start(&StackOptions::pool(1));
    let cut = Stack::in_front_of(chopper(postgres.port()), &StackOptions::pool(1));
    let mut runner = runner();
    runner
        .run(&(script(), cuts()), |(script, cuts)| {
            let mut client = whole.login(&alice());
            let expected = answers(&mut client, b"in-cuts", &script, &[usize::MAX]);
            drop(client);
            let mut client = cut.login(&alice());
            let got = answers(&mut client, b"in-cuts", &script, &cuts);
            differs("cut against whole", &script, &got, &expected)
        })
        .unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn random_scripts_are_answered_as_by_postgres() {
    for version in crate::VERSIONS {
        let Some(postgres) = cluster(version) else {
            continue;
        };
        let options = StackOptions {
            postgres: version,
            ..StackOptions::pool(1)
        };
        let stack = Stack::start(&options);
        let mut runner = runner();
        runner
            .run(&script(), |script| {
                let mut direct = postgres.direct(&alice());
                let expected = answers(&mut direct, b"randoms", &script, &[usize::MAX]);
                drop(direct);
                let mut client = stack.login(&alice());
                let got = answers(&mut client, b"randoms", &script, &[usize::MAX]);
                differs("proxied against direct", &script, &got, &expected)
            })
            .unwrap_or_else(|why| panic!("{version:?}: {why}"));
    }
}
