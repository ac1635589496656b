//! Logins that go wrong: an error in time, counted, with nobody's place taken; and clients that just leave.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use rustls::version::TLS13;

use crate::certificates::Authority;
use crate::client::{TlsClient, Way};
use crate::sasl::{Wire, initial, offered, request, response};
use crate::support::people::alice;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{
    Frame, RawClient, SSL_REQUEST, VERSION_3_0, message, password_message, query, startup, untagged,
};
use crate::support::wait_until;
use crate::users::user;
use crate::{ALICE, Bed};

/// A client that has been asked for bi's password.
fn asked(bed: &Bed) -> RawClient {
    let mut client = RawClient::connect(bed.port());
    client.begin("bi", &[]);
    assert_eq!(offered(&client.answer()), ["SCRAM-SHA-256"]);
    client
}

/// The challenge's nonce, after a first message.
fn challenged(client: &mut RawClient) -> String {
    client.send(&initial("SCRAM-SHA-256", Some(b"n,,n=,r=abc")));
    let frame = client.answer();
    let (code, challenge) = request(&frame);
    assert_eq!(code, 11);
    let text = std::str::from_utf8(challenge).unwrap();
    let nonce = text.strip_prefix("r=").unwrap().split(',').next().unwrap();
    assert!(nonce.starts_with("abc") && nonce.len() == 3 + 24);
    nonce.to_owned()
}

/// What is said to a proof that is good but for this change.
fn proof(bed: &Bed, change: &dyn Fn(String) -> String) -> Frame {
    let mut client = asked(bed);
    let mut scram = ScramSha256::new(b"secret", ChannelBinding::unsupported());
    client.send(&initial("SCRAM-SHA-256", Some(scram.message())));
    let frame = client.answer();
    scram.update(request(&frame).1).unwrap();
    let proof = String::from_utf8(scram.message().to_vec()).unwrap();
    client.send(&response(change(proof).as_bytes()));
    client.answer()
}

/// The login must end in this error, be counted, and leave the one place there is to alice.
#[track_caller]
fn refused(bed: &Bed, what: &str, sqlstate: &str, attempt: impl FnOnce() -> Frame) {
    let before = bed.refused(sqlstate);
    let start = Instant::now();
    let error = attempt();
    assert_eq!(error.tag, b'E', "{what}: {error:?}");
    assert_eq!(
        (error.sqlstate().as_str(), error.field('S').as_deref()),
        (sqlstate, Some("FATAL")),
        "{what}: {error:?}"
    );
    // Well before client_login_timeout, even on a busy machine.
    assert!(start.elapsed() < Duration::from_secs(10), "{what}");
    wait_until(what, Duration::from_secs(10), || {
        (bed.refused(sqlstate) - before - 1.0).abs() < 0.1
    });
    place_is_free(bed, what);
}

/// The one place there is is free, at the latest when whoever was there before has been seen to go.
#[track_caller]
fn place_is_free(bed: &Bed, what: &str) {
    wait_until(what, Duration::from_secs(10), || {
        let client = bed.stack.try_login(&alice().token(), "acme");
        client.is_ok_and(|mut client| client.value("SELECT who()") == ALICE)
    });
}

#[test]
fn bad_sasl_messages() {
    let bed = Bed::new(&user("bi", "secret"), None, "listen.max_client_conn = 1");
    let first = |bytes: Vec<u8>| {
        let mut client = asked(&bed);
        client.send(&bytes);
        client.answer()
    };
    let named = |name: &str, text: &str| initial(name, Some(text.as_bytes()));
    let scram = |text: &str| named("SCRAM-SHA-256", text);
    for (what, bytes, sqlstate) in [
        ("unknown mechanism", named("PLAIN", "\0bi\0secret"), "08P01"),
        (
            "not offered",
            named("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=a"),
            "08P01",
        ),
        (
            "not offered",
            named("OAUTHBEARER", "n,,\x01auth=\x01\x01"),
            "08P01",
        ),
        ("no mechanism", named("", "n,,n=,r=a"), "08P01"),
        ("a password", password_message("secret"), "08P01"),
        ("nothing", message(b'p', b""), "08P01"),
        ("no end of the name", message(b'p', b"SCRAM-SHA-256"), "08P01"),
        (
            "too short",
            message(b'p', b"SCRAM-SHA-256\0\0\0\0\x09n,,"),
            "08P01",
        ),
        (
            "too long",
            message(b'p', b"SCRAM-SHA-256\0\0\0\0\x01n,,"),
            "08P01",
        ),
        (
            "negative",
            message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xfe"),
            "08P01",
        ),
        ("empty", scram(""), "08P01"),
        ("no nonce", scram("n,,n="), "08P01"),
        ("authorization identity", scram("n,a=root,n=,r=a"), "0A000"),
        ("extension", scram("n,,m=x,n=,r=a"), "0A000"),
        (
            "binding without a channel",
            scram("p=tls-server-end-point,,n=,r=a"),
            "08P01",
        ),
        (
            "oversize",
            scram(&format!("n,,n=,r={}", "a".repeat(1_024))),
            "08P01",
        ),
        (
            "far oversize",
            scram(&format!("n,,n=,r={}", "a".repeat(50_000))),
            "08P01",
        ),
        ("a query", query("SELECT 1"), "08P01"),
        ("an impossible length", vec![b'p', 0, 0, 0, 3], "08P01"),
    ] {
        refused(&bed, what, sqlstate, || first(bytes));
    }
}

#[test]
fn bad_proofs() {
    let bed = Bed::new(&user("bi", "secret"), None, "listen.max_client_conn = 1");
    let good = proof(&bed, &|proof| proof);
    assert_eq!(request(&good).0, 12, "unchanged it is let in");
    type Change = fn(String) -> String;
    let wrong: Change = |proof| {
        let (start, _) = proof.rsplit_once(",p=").unwrap();
        format!("{start},p={}", STANDARD.encode([7; 32]))
    };
    for (what, change, sqlstate) in [
        ("wrong proof", wrong, "28P01"),
        (
            "extension not signed",
            |proof| proof.replace(",p=", ",x=1,p="),
            "28P01",
        ),
        ("bad base64", |proof| proof.replace(",p=", ",p=!"), "08P01"),
        (
            "no proof",
            |proof| proof.split(",p=").next().unwrap().to_owned(),
            "08P01",
        ),
        (
            "short proof",
            |proof| format!("{},p=AAAA", proof.split(",p=").next().unwrap()),
            "08P01",
        ),
        ("wrong nonce", |proof| proof.replace(",r=", ",r=x"), "08P01"),
        ("no nonce", |proof| proof.replace(",r=", ",q="), "08P01"),
        (
            "wrong channel binding",
            |proof| proof.replace("c=biws", "c=eSws"),
            "08P01",
        ),
        (
            "no channel binding",
            |proof| proof.replace("c=biws,", ""),
            "08P01",
        ),
        ("empty", |_| String::new(), "08P01"),
        ("oversize", |proof| proof + &"A".repeat(2_000), "08P01"),
    ] as [(&str, Change, &str); 11]
    {
        refused(&bed, what, sqlstate, || proof(&bed, &change));
    }
    // The server's nonce is another each time, so a proof that was seen is worth nothing.
    let nonces = [(); 2].map(|()| challenged(&mut asked(&bed)));
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn passwords_that_are_none() {
    let bed = Bed::new("", None, "listen.max_client_conn = 1");
    let send = |bytes: Vec<u8>| {
        let mut client = RawClient::connect(bed.port());
        client.begin("x", &[]);
        assert_eq!(client.answer().body, [0, 0, 0, 3]);
        client.send(&bytes);
        client.answer()
    };
    for (what, bytes, sqlstate) in [
        ("over-long", password_message(&"x".repeat(16_500)), "28P01"),
        // More than a socket's buffers hold: the error must come through all the same.
        ("far over-long", password_message(&"x".repeat(50_000)), "28P01"),
        ("not terminated", message(b'p', b"x"), "08P01"),
        ("NUL inside", message(b'p', b"x\0y\0"), "08P01"),
        (
            "a SASL answer",
            initial("SCRAM-SHA-256", Some(b"n,,n=,r=a")),
            "08P01",
        ),
        ("a query", query("SELECT 1"), "08P01"),
    ] {
        refused(&bed, what, sqlstate, || send(bytes));
    }
}

#[test]
fn clear_text_where_tls_is_required() {
    let authority = Authority::new("one");
    let files = authority.issue("server", "localhost");
    let bed = Bed::new(
        &user("bi", "secret"),
        Some((&files, "listen.tls.mode = 'require'")),
        "",
    );
    for (user, options) in [
        ("x", vec![]),
        ("bi", vec![]),
        ("anon", vec![]),
        ("x", vec![("portcullis.token", "x")]),
    ] {
        let before = bed.refused("28000");
        let mut client = RawClient::connect(bed.port());
        client.begin(user, &options);
        assert_eq!(client.answer().sqlstate(), "28000", "{user}");
        assert_eq!(bed.refused("28000") - before, 1.0);
    }
}

/// Clients that stop, at every place there is. Each is told so after client_login_timeout, and none keeps
/// anybody out while it is silent.
#[test]
fn clients_that_stop() {
    let authority = Authority::new("one");
    let files = authority.issue("server", "localhost");
    let bed = Bed::new(
        &user("bi", "secret"),
        Some((&files, "")),
        "listen.client_login_timeout = 4\nlisten.max_client_conn = 1\n\
         auth.oauth = { issuer = 'https://issuer.test', users = ['*@oauth'] }",
    );
    let hello: &[u8] = b"\x16\x03\x01\x00\xff\x01";
    let half = &initial("SCRAM-SHA-256", Some(b"n,,n=,r=abc"))[..20];
    let mut silent = Vec::new();
    for bytes in [&untagged(SSL_REQUEST, b""), hello] {
        let mut client = RawClient::connect(bed.port());
        client.send(bytes);
        silent.push(("a handshake", client));
    }
    silent.push(("an offer", asked(&bed)));
    let mut client = asked(&bed);
    client.send(half);
    silent.push(("half a message", client));
    let mut client = asked(&bed);
    challenged(&mut client);
    silent.push(("a challenge", client));
    let mut client = RawClient::connect(bed.port());
    client.begin("x@oauth", &[]);
    offered(&client.answer());
    client.send(&initial("OAUTHBEARER", Some(b"n,,\x01auth=\x01\x01")));
    request(&client.answer());
    silent.push(("a refusal", client));
    let config = Arc::new(authority.client(&[&TLS13], None));
    let mut tls = TlsClient::connect(bed.port(), Way::Request, &config).unwrap();
    tls.begin("bi", &[]);
    offered(&tls.answer());

    let start = Instant::now();
    assert_eq!(bed.stack.login(&alice()).value("SELECT who()"), ALICE);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    for (place, client) in &mut silent {
        let end = client.try_read();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(9), "after {place}: {took:?}");
        match end {
            Ok(frame) => assert_eq!(
                (frame.sqlstate().as_str(), frame.field('M').as_deref()),
                ("28000", Some("login timed out")),
                "after {place}"
            ),
            Err(why) => assert_eq!(*place, "a handshake", "{why}"),
        }
    }
    assert_eq!(tls.answer().sqlstate(), "28000");
    wait_until("every one is counted", Duration::from_secs(5), || {
        bed.refused("28000") == 7.0
    });
    place_is_free(&bed, "afterwards");
}

/// Leaving is no failure: psql does so when it has no password to send, and so does whoever probes the port.
#[test]
fn clients_that_leave() {
    let authority = Authority::new("one");
    let files = authority.issue("server", "localhost");
    let bed = Bed::new(&user("bi", "secret"), Some((&files, "")), "");
    let terminate = message(b'X', b"");
    let mut left = 0;
    let mut leave = |client: RawClient| {
        left += 1;
        client.vanish();
    };
    leave(RawClient::connect(bed.port()));
    let start = startup(VERSION_3_0, &[("user", "x"), ("database", "acme")]);
    for bytes in [
        &start[..6],
        &untagged(SSL_REQUEST, b""),
        b"\x16\x03\x01\x00\xff\x01",
        &start,
    ] {
        let mut client = RawClient::connect(bed.port());
        client.send(bytes);
        std::thread::sleep(Duration::from_millis(100));
        leave(client);
    }
    for name in ["x", "bi"] {
        for bytes in [&b""[..], &terminate, b"p\0\0\0"] {
            let mut client = RawClient::connect(bed.port());
            client.begin(name, &[]);
            client.answer();
            client.send(bytes);
            if bytes == terminate.as_slice() {
                assert!(client.is_closed());
            }
            leave(client);
        }
    }
    let mut client = asked(&bed);
    challenged(&mut client);
    client.send(&terminate);
    leave(client);
    let config = Arc::new(authority.client(&[&TLS13], None));
    for bytes in [&b""[..], &terminate] {
        let mut tls = TlsClient::connect(bed.port(), Way::Request, &config).unwrap();
        tls.begin("bi", &[]);
        offered(&tls.answer());
        tls.put(bytes);
        left += 1;
    }
    let ended = "portcullis_client_connections_closed_total{end=\"terminated\"}";
    wait_until("all have left", Duration::from_secs(10), || {
        // The harness has probed the port as well.
        bed.metric(ended) >= f64::from(left)
    });
    for sqlstate in ["08P01", "28000", "28P01", "08006"] {
        assert_eq!(bed.refused(sqlstate), 0.0, "{sqlstate}");
    }
    for end in ["vanished", "refused", "protocol_violation"] {
        let series = format!("portcullis_client_connections_closed_total{{end=\"{end}\"}}");
        assert_eq!(bed.metric(&series), 0.0, "{end}");
    }
    let log = bed.stack.log();
    assert!(!log.contains("refused") && !log.contains("ended badly"), "{log}");
}

/// A crowd that connects and says nothing is bounded, told so as far as it listens, and gone after
/// client_login_timeout.
#[test]
fn more_logins_than_are_served_at_a_time() {
    // On top of the crowd's sockets there are those of the tests beside this one.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().next()?.parse().ok());
    if files.is_none_or(|files: usize| files < 3_000) {
        eprintln!("too few open files are allowed: nothing to test");
        return;
    }
    let bed = Bed::new(
        "",
        None,
        "listen.client_login_timeout = 10\nlisten.max_pending_logins = 1000\n\
         listen.max_address_pending_logins = 1000",
    );
    let mut crowd: Vec<RawClient> = (0..1_010).map(|_| RawClient::connect(bed.port())).collect();
    wait_until("some are too many", Duration::from_secs(9), || {
        bed.refused("53300") == 10.0
    });
    let told = crowd.iter_mut().map(|client| client.get().unwrap().sqlstate());
    let mut told: Vec<String> = told.collect();
    told.sort();
    assert!(told[..1_000].iter().all(|sqlstate| sqlstate == "28000"));
    assert!(told[1_000..].iter().all(|sqlstate| sqlstate == "53300"));
    place_is_free(&bed, "the crowd is gone");
}

/// A server that takes the connection and says nothing more.
#[test]
fn a_server_that_stops_mid_login() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let limits = "pool.server_connect_timeout = 1\npool.query_wait_timeout = 3";
    let stack = Stack::in_front_of(port, &StackOptions::pool(1).with(limits));
    let start = Instant::now();
    let (sqlstate, message, hint) = stack.refusal(&alice().token(), "acme");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert!(
        ["08006", "53300", "57P03"].contains(&sqlstate.as_str()),
        "{sqlstate} {message} {hint}"
    );
}
