//! The first messages of a connection: encryption requests, versions, parameters, and what is no startup.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::people::alice;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{
    GSSENC_REQUEST, RawClient, SSL_REQUEST, VERSION_3_0, VERSION_3_2, password_message, query, startup,
    untagged,
};
use crate::support::trace::{play, render};
use crate::{ALICE, VERSIONS};

const OPTIONS: [(&str, &str); 2] = [("user", "alice"), ("database", "acme")];

/// Logs in on a connection on which something has been said already.
fn finish(client: &mut RawClient, version: u32) {
    client.send(&startup(version, &OPTIONS));
    client
        .finish_login(Some(&alice().token()))
        .unwrap_or_else(|why| panic!("{}", why.describe()));
    assert_eq!(client.value("SELECT who()"), ALICE);
}

#[test]
fn encryption_requests_are_declined() {
    let stack = Stack::start(&StackOptions::pool(1));
    let requests: [&[u32]; 3] = [&[SSL_REQUEST], &[GSSENC_REQUEST], &[GSSENC_REQUEST, SSL_REQUEST]];
    for request in requests {
        let mut client = RawClient::connect(stack.port());
        for code in request {
            client.send(&untagged(*code, &[]));
            assert_eq!(client.read_byte(), b'N');
        }
        finish(&mut client, VERSION_3_0);
    }
}

#[test]
fn encryption_requests_come_to_an_end() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = RawClient::connect(stack.port());
    for _ in 0..1000 {
        client.send(&untagged(SSL_REQUEST, &[]));
    }
    client.set_patience(Duration::from_secs(5));
    assert!(
        client.is_closed(),
        "a client that asks for ever is served for ever"
    );
}

#[test]
fn both_versions_are_spoken() {
    let stack = Stack::start(&StackOptions::pool(1));
    for (version, long_key) in [(VERSION_3_0, false), (VERSION_3_2, true)] {
        let mut client = RawClient::connect(stack.port());
        finish(&mut client, version);
        // Four bytes of process id, then the key.
        assert_eq!(
            client.cancel_key.len() > 8,
            long_key,
            "{version:#x}: {:?}",
            client.cancel_key
        );
    }
}

/// The frames up to the password request, and the NegotiateProtocolVersion among them.
fn negotiated(stack: &Stack, version: u32, options: &[(&str, &str)]) -> Option<(u32, Vec<String>)> {
    let mut client = RawClient::connect(stack.port());
    client.send(&startup(version, options));
    let first = client.read();
    if first.tag != b'v' {
        assert_eq!(first.tag, b'R', "{first:?}");
        return None;
    }
    client
        .finish_login(Some(&alice().token()))
        .unwrap_or_else(|why| panic!("{}", why.describe()));
    assert_eq!(client.value("SELECT who()"), ALICE);
    let number = |at: usize| u32::from_be_bytes(first.body[at..at + 4].try_into().unwrap());
    let names = first.body[8..]
        .split(|byte| *byte == 0)
        .map(|name| String::from_utf8_lossy(name).into_owned());
    let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    assert_eq!(number(4) as usize, names.len());
    Some((number(0), names))
}

#[test]
fn newer_versions_and_options_are_negotiated() {
    let stack = Stack::start(&StackOptions::pool(1));
    assert_eq!(negotiated(&stack, VERSION_3_0, &OPTIONS), None);
    assert_eq!(negotiated(&stack, VERSION_3_2, &OPTIONS), None);
    // 3.9999 is what libpq sends to find out whether servers negotiate.
    let grease = 0x0003_0000 + 9999;
    assert_eq!(negotiated(&stack, grease, &OPTIONS), Some((VERSION_3_2, vec![])));
    let with_option = [OPTIONS[0], OPTIONS[1], ("_pq_.foo", "1"), ("_pq_.bar", "2")];
    let names = vec!["_pq_.foo".to_owned(), "_pq_.bar".to_owned()];
    assert_eq!(
        negotiated(&stack, VERSION_3_2, &with_option),
        Some((VERSION_3_2, names.clone()))
    );
    assert_eq!(
        negotiated(&stack, VERSION_3_0, &with_option),
        Some((VERSION_3_0, names.clone()))
    );
    assert_eq!(
        negotiated(&stack, grease, &with_option),
        Some((VERSION_3_2, names))
    );
}

#[test]
fn other_major_versions_are_refused() {
    let stack = Stack::start(&StackOptions::pool(1));
    for version in [0x0001_0000, 0x0002_0000, 0x0004_0000] {
        let mut client = RawClient::connect(stack.port());
        client.send(&startup(version, &OPTIONS));
        let answer = client.read();
        assert_eq!(
            (answer.tag, answer.sqlstate().as_str()),
            (b'E', "0A000"),
            "{version:#x}"
        );
        assert!(client.is_closed());
    }
}

/// What is no startup packet is answered or closed at once, and harms nobody.
#[test]
fn nonsense_is_turned_away() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let nonsense: [&[u8]; 11] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0, 0, 0, 0],
        &[0, 0, 0, 3],
        &[0, 0, 0, 7, 0, 3, 0],
        &[0, 0, 0, 8, 0, 3, 0, 0],
        &[0xff; 64],
        &[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        &[0, 0, 0x27, 0x11, 0, 3, 0, 0],
        // A name without a value; a name without its end; bytes after the end.
        b"\0\0\0\x0e\0\x03\0\0user\0\0",
        b"\0\0\0\x0c\0\x03\0\0user",
        b"\0\0\0\x17\0\x03\0\0user\0alice\0\0xxx",
    ];
    for bytes in nonsense {
        let mut client = RawClient::connect(stack.port());
        client.send(bytes);
        client.half_close();
        client.set_patience(Duration::from_secs(5));
        let start = Instant::now();
        assert!(client.is_closed(), "{bytes:?} keeps the connection open");
        assert!(start.elapsed() < Duration::from_secs(4), "{bytes:?}");
    }
    stack.assert_well();
    assert_eq!(stack.login(&alice()).value("SELECT who()"), ALICE);
}

#[test]
fn a_query_before_the_password_is_refused() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = RawClient::connect(stack.port());
    client.send(&startup(VERSION_3_0, &OPTIONS));
    assert_eq!(client.read().tag, b'R');
    client.send(&query("SELECT who()"));
    let answer = client.read();
    assert_eq!(
        (answer.tag, answer.field('V').as_deref()),
        (b'E', Some("FATAL")),
        "{answer:?}"
    );
    assert!(client.is_closed());
}

#[test]
fn a_silent_client_is_told_and_closed() {
    let stack = Stack::start(&StackOptions::pool(1).with("listen.client_login_timeout = 1"));
    for says_hello in [false, true] {
        let start = Instant::now();
        let mut client = RawClient::connect(stack.port());
        if says_hello {
            client.send(&startup(VERSION_3_0, &OPTIONS));
            assert_eq!(client.read().tag, b'R');
        }
        let answer = client.read();
        assert_eq!(
            (answer.tag, answer.field('V').as_deref()),
            (b'E', Some("FATAL")),
            "{answer:?}"
        );
        assert!(client.is_closed());
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(900) && took < Duration::from_secs(4),
            "{took:?}"
        );
    }
}

#[test]
fn the_greeting_is_the_servers_own() {
    let stack = Stack::start(&StackOptions::pool(1));
    let server = stack.postgres().direct(&alice());
    let client = stack.login(&alice());
    for name in [
        "server_version",
        "server_encoding",
        "client_encoding",
        "integer_datetimes",
        "standard_conforming_strings",
        "TimeZone",
        "DateStyle",
        "IntervalStyle",
        "is_superuser",
        "default_transaction_read_only",
        "in_hot_standby",
    ] {
        assert_eq!(client.parameters.get(name), server.parameters.get(name), "{name}");
    }
}

/// What operators see of a session in `pg_stat_activity` while its transaction runs.
#[test]
fn the_name_of_a_transaction() {
    for postgres in VERSIONS {
        for (key, subject) in [("false", None), ("true", Some("alice"))] {
            let options = StackOptions {
                postgres,
                ..StackOptions::pool(1).with(&format!("pool.application_name_add_principal = {key}"))
            };
            let Some(stack) = Stack::try_start(&options) else {
                continue;
            };
            let seen = |client: &mut RawClient| {
                client.values("BEGIN");
                let pid = client.value("SELECT pg_backend_pid()");
                let name = format!("SELECT application_name FROM pg_stat_activity WHERE pid = {pid}");
                let seen = stack.postgres().ask(&name).remove(0);
                assert_eq!(client.value("SHOW application_name"), seen);
                client.values("ROLLBACK");
                seen
            };
            let named = |name: &str| match subject {
                Some(subject) => format!("{name} - {subject}"),
                None => name.to_owned(),
            };
            let login = |name: &str, token: &str| {
                let options = [OPTIONS[0], OPTIONS[1], ("application_name", name)];
                RawClient::try_login(stack.port(), &options, Some(token))
                    .unwrap_or_else(|why| panic!("{}", why.describe()))
            };
            let mut client = login("app", &alice().token());
            assert_eq!(client.parameters["application_name"], named("app"));
            assert_eq!(seen(&mut client), named("app"));
            // The client is told of its own changes, once, and of nothing else.
            play(
                &mut client,
                &format!(
                    "F Query BEGIN\nF Query \"SELECT 1/0\"\nF Query ROLLBACK\n\
                     F Query \"SET application_name = 'mine'\"\n\
                     B CommandComplete BEGIN\nB ReadyForQuery T\nB ErrorResponse ERROR 22012\nB ReadyForQuery E\n\
                     B CommandComplete ROLLBACK\nB ReadyForQuery I\n\
                     B CommandComplete SET\nB ParameterStatus application_name \"{}\"\nB ReadyForQuery I",
                    named("mine")
                ),
            );
            assert_eq!(seen(&mut client), named("mine"));
            client.values("RESET ALL");
            assert_eq!(seen(&mut client), named("app"));
            client.values(&format!("SET application_name = '{}'", "n".repeat(60)));
            let own = if subject.is_some() {
                63 - " - alice".len()
            } else {
                60
            };
            assert_eq!(seen(&mut client), named(&"n".repeat(own)));
            // Nothing of it is there for the next one, and no token writes into the server's log as it likes.
            let odd = alice().token_with(&[("sub", json!("al\ni\u{e9}ce"))]);
            let odd_name = if subject.is_some() { "app - al?i?ce" } else { "app" };
            assert_eq!(seen(&mut login("app", &odd)), odd_name);
            let unnamed = if subject.is_some() { "alice" } else { "" };
            assert_eq!(seen(&mut stack.login(&alice())), unnamed);
        }
    }
}

/// A client that gives no name has none, and one whose name is too long is told so.
#[test]
fn names_are_cut_and_empty_as_on_the_server() {
    for stack in crate::stacks_of_one() {
        let mut client = stack.login(&alice());
        assert_eq!(client.parameters["application_name"], "");
        play(
            &mut client,
            r#"
            F Query "SHOW application_name"
            B RowDescription application_name
            B DataRow ""
            B CommandComplete SHOW
            B ReadyForQuery I
            F Query "SET application_name = x"
            B CommandComplete SET
            B ParameterStatus application_name x
            B ReadyForQuery I
            F Query "RESET application_name"
            B CommandComplete RESET
            B ParameterStatus application_name ""
            B ReadyForQuery I
            "#,
        );
        let token = alice().token();
        for name in [
            "n".repeat(63),
            "n".repeat(70),
            format!("{}\u{e9}", "n".repeat(62)),
        ] {
            let greet = |mut client: RawClient, user: &str, database: &str| {
                let options = [
                    ("user", user),
                    ("database", database),
                    ("application_name", &*name),
                ];
                client.send(&startup(VERSION_3_0, &options));
                let mut seen = Vec::new();
                loop {
                    let frame = client.read();
                    match frame.tag {
                        b'R' if frame.body == [0, 0, 0, 3] => client.send(&password_message(&token)),
                        b'N' => seen.push(render(&frame)),
                        b'S' if frame.body.starts_with(b"application_name\0") => seen.push(render(&frame)),
                        b'Z' => return seen,
                        _ => {}
                    }
                }
            };
            let through = greet(RawClient::connect(stack.port()), "alice", "acme");
            let direct = greet(
                RawClient::to_unix(stack.postgres().socket_folder(), stack.postgres().port()),
                "direct_alice",
                "shop",
            );
            assert_eq!(through, direct, "{name}");
        }
    }
}

#[test]
fn startup_parameters_are_the_sessions() {
    let stack = Stack::start(&StackOptions::pool(1));
    let options = [
        OPTIONS[0],
        OPTIONS[1],
        ("application_name", "mine"),
        ("TimeZone", "Asia/Tokyo"),
        ("DateStyle", "German, DMY"),
        ("extra_float_digits", "2"),
        ("client_encoding", "'utf-8'"),
        (
            "options",
            "-c statement_timeout=54s -cintervalstyle=iso_8601 --lock-timeout=5s",
        ),
    ];
    let token = alice().token();
    let mut client = RawClient::try_login(stack.port(), &options, Some(&token))
        .unwrap_or_else(|why| panic!("{}", why.describe()));
    assert_eq!(client.parameters["TimeZone"], "Asia/Tokyo");
    assert_eq!(client.parameters["application_name"], "mine");
    assert_eq!(client.parameters["DateStyle"], "German, DMY");
    let shown = [
        ("application_name", "mine"),
        ("TimeZone", "Asia/Tokyo"),
        ("DateStyle", "German, DMY"),
        ("extra_float_digits", "2"),
        ("statement_timeout", "54s"),
        ("IntervalStyle", "iso_8601"),
        ("lock_timeout", "5s"),
        ("client_encoding", "UTF8"),
    ];
    let mut other = stack.login(&alice());
    for (name, value) in shown {
        assert_eq!(client.value(&format!("SHOW {name}")), value, "{name}");
        if !matches!(name, "client_encoding") {
            assert_ne!(other.value(&format!("SHOW {name}")), value, "{name} crossed");
        }
    }
}

/// Whatever a startup packet says, it does not make its client somebody else.
#[test]
fn startup_parameters_change_no_identity() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let attempts = [
        ("options", "-c role=service_role"),
        ("options", "-c session_authorization=postgres"),
        ("options", "-c app.user_id=bob"),
        ("options", "-capp.tenant=globex"),
        ("options", "--search-path=pg_temp"),
        ("options", "-c standard_conforming_strings=off"),
        ("options", "-c row_security=off"),
        ("options", "-c request.jwt.claims={}"),
        ("options", "-c"),
        ("options", "-c\\ x"),
        ("role", "service_role"),
        ("session_authorization", "postgres"),
        ("app.user_id", "bob"),
        ("app.tenant", "globex"),
        ("search_path", "pg_temp"),
        ("client_encoding", "SJIS"),
        ("client_encoding", "LATIN1"),
        ("replication", "true"),
        ("replication", "database"),
        ("no_such_setting", "1"),
    ];
    let token = alice().token();
    let probe = "SELECT who() || ' ' || concat_ws(',', current_setting('search_path'), current_setting('row_security'), \
                 current_setting('standard_conforming_strings'), current_setting('client_encoding'), session_user)";
    let ordinary = stack.login(&alice()).value(probe);
    for (name, value) in attempts {
        let options = [OPTIONS[0], OPTIONS[1], (name, value)];
        // Refused at login, or without effect: both are right.
        if let Ok(mut client) = RawClient::try_login(stack.port(), &options, Some(&token)) {
            assert_eq!(client.value(probe), ordinary, "{name}={value}");
        }
        assert_eq!(
            stack.login(&alice()).value(probe),
            ordinary,
            "the next client after {name}={value}"
        );
    }
    stack.assert_well();
}

#[test]
fn a_client_that_leaves_before_its_startup_is_told_nothing() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = RawClient::connect(stack.port());
    client.send(b"X\0\0\0\x04");
    client.set_patience(Duration::from_secs(5));
    let answer = client.try_read().map(|frame| frame.tag);
    assert!(answer.is_err(), "{answer:?}");
    assert!(client.is_closed());
    stack.assert_well();
}
