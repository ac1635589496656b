//! Bytes no driver sends. Each gets an error or a closed connection; the proxy and its other clients go on.

use std::time::{Duration, Instant};

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, SSL_REQUEST, VERSION_3_0, message, query, startup, sync, untagged};
use crate::{ALICE, BOB, proxied};

/// Sends bytes on a fresh session. The session must then end in an error, or answer a Sync as itself.
fn survives(stack: &mut Stack, what: &str, bytes: &[u8]) {
    let mut bystander = stack.login(&bob());
    let mut client = stack.login(&alice());
    client.set_patience(Duration::from_secs(10));
    client.send(bytes);
    client.send(&sync());
    client.send(&query("SELECT who()"));
    let start = Instant::now();
    let mut said = Vec::new();
    loop {
        let Ok(frame) = client.try_read() else {
            assert!(start.elapsed() < Duration::from_secs(9), "{what}: silence");
            assert!(!said.is_empty(), "{what}: closed without a word");
            break;
        };
        if frame.tag == b'D' {
            assert_eq!(frame.row(), [Some(ALICE.to_owned())], "{what}");
            break;
        }
        if frame.tag == b'E' {
            let code = frame.sqlstate();
            assert_ne!(code, "XX000", "{what}: {:?}", frame.field('M'));
            said.push(code);
        }
    }
    assert_eq!(bystander.value("SELECT who()"), BOB, "{what}: the other client");
    stack.assert_well();
}

#[test]
fn lengths_that_lie() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    for tag in *b"QPBEDCSHXdcfpF" {
        for length in [0_u32, 1, 3, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x4000_0000] {
            let bytes = [&[tag][..], &length.to_be_bytes(), b"xxxx"].concat();
            survives(
                &mut stack,
                &format!("{} with length {length:#x}", tag as char),
                &bytes,
            );
        }
    }
}

#[test]
fn kinds_that_do_not_exist() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    for tag in [0_u8, b'!', b'A', b'R', b'Z', b'z', 0x7f, 0x80, 0xff] {
        survives(&mut stack, &format!("kind {tag:#x}"), &message(tag, b"xyz\0"));
    }
}

#[test]
fn bodies_that_are_garbage() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let bodies: [&[u8]; 14] = [
        b"",
        b"\0",
        b"no end",
        b"x\0",
        b"x\0y",
        b"x\0y\0",
        b"x\0y\0\0",
        b"\0\0\xff\xff",
        b"\0\0\0\x01",
        b"\0\0\0\0\xff\xff\0\0",
        b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0",
        b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0",
        b"\0\0\0\x01\0\x07\0\0\0\0",
        b"S\0trailing",
    ];
    for tag in *b"QPBEDCSH" {
        for body in bodies {
            survives(
                &mut stack,
                &format!("{} {body:?}", tag as char),
                &message(tag, body),
            );
        }
    }
}

#[test]
fn text_that_is_no_text() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    for sql in [
        &b"SELECT '\xff\xfe'\0"[..],
        b"SELECT '\xc0\x80'\0",
        b"SELECT '\xed\xa0\x80'\0",
        b"SELECT 1\0; DROP TABLE todos\0",
    ] {
        survives(&mut stack, &format!("{sql:?}"), &message(b'Q', sql));
        let parse = message(b'P', &[b"\0", sql, b"\0\0"].concat());
        survives(&mut stack, &format!("Parse {sql:?}"), &parse);
    }
    let mut client = stack.login(&alice());
    client.send(&message(b'Q', b"SELECT '\xff'\0"));
    assert_eq!(client.until_ready()[0].sqlstate(), "22021");
    assert_eq!(client.value("SELECT who()"), ALICE);
}

#[test]
fn messages_out_of_place() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let out_of_place = [
        (
            "a second startup",
            startup(VERSION_3_0, &[("user", "bob"), ("database", "globex")]),
        ),
        ("an SSLRequest", untagged(SSL_REQUEST, &[])),
        ("a password", message(b'p', b"password\0")),
        (
            "rows of a COPY that does not run",
            [message(b'd', b"1\t2\n"), message(b'c', b"")].concat(),
        ),
        ("the failure of a COPY that does not run", message(b'f', b"why\0")),
    ];
    for (what, bytes) in out_of_place {
        survives(&mut stack, what, &bytes);
    }
}

#[test]
fn function_calls_are_refused() {
    // 2078 is set_config: there is no text to judge.
    proxied("function-call", include_str!("../traces/function-call.trace"));
}

#[test]
fn messages_inside_a_copy() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.send(&query("COPY scratch_in (run, n) FROM STDIN"));
    assert_eq!(client.read().tag, b'G');
    client.send(&query("SELECT who()"));
    // Postgres fails the COPY; whether it then goes on or ends, nothing runs as somebody else.
    assert_eq!(client.read().tag, b'E');
    for frame in client.until_ready().iter().filter(|frame| frame.tag == b'D') {
        assert_eq!(frame.row(), [Some(ALICE.to_owned())]);
    }
    assert_eq!(stack.login(&bob()).value("SELECT who()"), BOB);
    stack.assert_well();
}

#[test]
fn statements_made_to_hurt() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let hurtful = [
        (
            "nested comments",
            format!("{}{}SELECT 1", "/*".repeat(50_000), "*/".repeat(50_000)),
        ),
        ("open comments", "/*".repeat(100_000)),
        (
            "parentheses",
            format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        ),
        ("minus signs", format!("SELECT {}1", "- ".repeat(100_000))),
        ("NOTs", format!("SELECT {}true", "NOT ".repeat(100_000))),
        ("semicolons", ";".repeat(500_000)),
        ("statements", "SELECT 1;".repeat(20_000)),
        (
            "a long literal",
            format!("SELECT length('{}')", "x".repeat(5_000_000)),
        ),
        ("a long name", format!("SELECT \"{}\"", "x".repeat(1_000_000))),
        ("an open literal", "SELECT '".to_owned()),
        ("an open dollar quote", "SELECT $a$ x".to_owned()),
        ("brackets", format!("SELECT {}", "ARRAY[".repeat(50_000))),
        ("CASEs", "CASE WHEN ".repeat(50_000)),
    ];
    for (what, sql) in hurtful {
        let start = Instant::now();
        survives(&mut stack, what, &query(&sql));
        // A debug build on a slow machine; quadratic work would take minutes.
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{what}: {:?}",
            start.elapsed()
        );
    }
}

/// Random bytes after login, with a seed that is printed, against a proxy that must outlive them.
#[test]
fn random_bytes() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut state = seed;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200 {
        let mut client = if round % 4 == 0 {
            RawClient::connect(stack.port())
        } else {
            stack.login(&alice())
        };
        let tags = *b"QPBEDCSHXdcfpF";
        let mut bytes = Vec::new();
        for _ in 0..next() % 8 {
            let body: Vec<u8> = (0..next() % 24).map(|_| (next() & 0x3f) as u8).collect();
            bytes.extend(message(tags[(next() % 14) as usize], &body));
        }
        let cut = bytes.len() - (next() as usize % 4).min(bytes.len());
        client.send(&bytes[..cut]);
        if next() % 2 == 0 {
            client.vanish();
        } else {
            client.half_close();
            client.set_patience(Duration::from_secs(10));
            assert!(client.is_closed(), "seed {seed}, round {round}");
        }
    }
    stack.assert_well();
    assert_eq!(stack.login(&bob()).value("SELECT who()"), BOB);
}
