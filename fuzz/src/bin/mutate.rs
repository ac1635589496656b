//! Drives a fuzz target without nightly and without libFuzzer: random changes to the corpus, no coverage to steer by.
//!
//! `mutate TARGET SECONDS [SERVER]`, from the folder `fuzz`. SERVER is a superuser's connection string to the tests'
//! schema, for the target `guard`. Inputs that break something are written to `findings/`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use portcullis_fuzz::{Server, config, frames, guard, startup, token};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Pieces that matter to one target or another.
const PIECES: &[&str] = &[
    "'",
    "\"",
    "\\",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "\n",
    "\r",
    ";",
    "E'",
    "U&'",
    "U&\"",
    "UESCAPE '!'",
    "x'",
    "(",
    ")",
    "SELECT",
    " FROM ",
    " INTO ",
    " WHERE ",
    "set_config('role','member',true)",
    "set_config",
    "pg_catalog.",
    "todos",
    " UNION ",
    "WITH x AS (",
    "COPY ",
    " TO STDOUT",
    "EXPLAIN ",
    "role",
    "SET ",
    "RESET ",
    "COMMIT",
    "BEGIN",
    "::text",
    "1_000",
    "0x1F",
    "1e",
    "$1",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "\"role\":",
    "\"exp\":",
    "\"tenant\":",
    "eyJ",
    ".",
    "=",
    "[[",
    "]]",
    "\0",
    "\u{feff}",
    "\u{a0}",
    "é",
    "\u{10ffff}",
    "user\0",
    "database\0",
    "options\0-c ",
];

/// Longest input. What is longer is bounded by configuration, not by what is tried here.
const BYTES: usize = 4_096;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, seconds, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: mutate TARGET SECONDS [SERVER]");
        return ExitCode::FAILURE;
    };
    let mut server = rest.first().map(|url| Server::connect(url).expect("a server"));
    let limit = Duration::from_secs(seconds.parse().expect("seconds"));
    let corpus = corpus(target);
    let mut random = SmallRng::seed_from_u64(std::process::id().into());
    let (start, mut runs, mut findings, mut slowest) = (Instant::now(), 0_u64, 0, Duration::ZERO);
    std::panic::set_hook(Box::new(|_| {}));
    while start.elapsed() < limit {
        let input = mutated(&corpus, &mut random);
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(target, &input, server.as_mut())));
        slowest = slowest.max(began.elapsed());
        runs += 1;
        if let Err(panic) = outcome {
            findings += 1;
            report(target, findings, &input, panic.as_ref());
            if findings >= 20 {
                break;
            }
        }
    }
    let completed = server.map_or(0, |server| server.completed);
    println!(
        "{target}: {runs} runs in {} s, {findings} findings, slowest {slowest:?}, {completed} statements completed on a server",
        start.elapsed().as_secs()
    );
    if findings == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(target: &str, input: &[u8], server: Option<&mut Server>) {
    match target {
        "frames" => frames(input),
        "startup" => startup(input),
        "guard" => {
            guard(input);
            if let Some(server) = server {
                server.try_out(input);
            }
        }
        "token" => token(input),
        "config" => config(input),
        other => panic!("no target {other}"),
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new("corpus").join(target);
    let mut all: Vec<Vec<u8>> = Vec::new();
    for entry in fs::read_dir(&folder)
        .expect("run it in the folder fuzz")
        .flatten()
    {
        let bytes = fs::read(entry.path()).expect("a corpus file");
        // One file may hold many inputs, a line `;;` between them.
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("\n;;\n") {
            all.extend(text.split("\n;;\n").map(|input| input.as_bytes().to_vec()));
        } else {
            all.push(bytes);
        }
    }
    all.retain(|input| input.len() <= BYTES);
    assert!(!all.is_empty(), "an empty corpus");
    all
}

fn mutated(corpus: &[Vec<u8>], random: &mut SmallRng) -> Vec<u8> {
    let pick = |random: &mut SmallRng| corpus[random.random_range(0..corpus.len())].clone();
    let mut input = pick(random);
    for _ in 0..random.random_range(0..6) {
        let at = random.random_range(0..=input.len());
        match random.random_range(0..8) {
            0 if !input.is_empty() => {
                let at = at.min(input.len() - 1);
                input[at] ^= 1 << random.random_range(0..8);
            }
            1 => input.insert(at, random.random()),
            2 => input.truncate(at),
            3 => {
                let end = random.random_range(at..=input.len());
                input.drain(at..end.min(at + 20));
            }
            4 => {
                let other = pick(random);
                let from = random.random_range(0..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            5 => {
                let end = random.random_range(at..=input.len()).min(at + 40);
                let piece: Vec<u8> = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            _ => {
                let piece = PIECES[random.random_range(0..PIECES.len())].bytes();
                input.splice(at..at, piece);
            }
        }
        input.truncate(BYTES);
    }
    input
}

fn report(target: &str, number: u32, input: &[u8], panic: &(dyn std::any::Any + Send)) {
    let why = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic");
    println!("{target}: {why}");
    let _ = fs::create_dir_all("findings");
    let _ = fs::write(format!("findings/{target}-{number}"), input);
}
