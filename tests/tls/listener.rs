//! How clients get in.

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use crate::ALICE;
use crate::certificates::{Authority, Files};
use crate::client::{TlsClient, Way};
use crate::support::people::alice;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{
    GSSENC_REQUEST, RawClient, SSL_REQUEST, Unready, VERSION_3_0, cancel, query, startup, untagged,
};
use crate::support::wait_until;

/// A stack with `[listen.tls]` for `localhost` and more keys in that section.
pub(crate) fn stack(shown: &Files, more: &str) -> Stack {
    let (certificate, key) = (shown.certificate.display(), shown.key.display());
    let tls = format!("[listen.tls]\ncertificate = '{certificate}'\nkey = '{key}'\n{more}");
    Stack::start(&StackOptions::pool(1).with(&tls))
}

/// A client that names the protocol, as direct TLS must.
fn naming(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Arc::new(config)
}

fn psql(stack: &Stack, options: &str, sql: &str) -> Output {
    let port = stack.port();
    Command::new("psql")
        .args(["-XAtq", "-c", sql])
        .arg(format!(
            "host=localhost hostaddr=127.0.0.1 port={port} user=alice dbname=acme {options}"
        ))
        .env("PGPASSWORD", alice().token())
        .output()
        .unwrap()
}

fn logged(stack: &Stack, text: &str) {
    wait_until(text, Duration::from_secs(5), || stack.log().contains(text));
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn psql_gets_in_with_every_sslmode() {
    let authority = Authority::new("one");
    let stack = stack(&authority.issue("server", "localhost"), "");
    let ca = authority.ca();
    for mode in [
        "disable",
        "allow",
        "prefer",
        "require",
        "verify-ca",
        "verify-full",
    ] {
        let options = format!("sslmode={mode} sslrootcert={}", ca.display());
        let output = psql(&stack, &options, "SELECT who()");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            ALICE,
            "{mode}: {}",
            said(&output)
        );
    }
    // Without a proxy's certificate that it trusts, a client that verifies stays out.
    let two = Authority::new("two");
    let stranger = two.ca();
    let output = psql(
        &stack,
        &format!("sslmode=verify-ca sslrootcert={}", stranger.display()),
        "SELECT 1",
    );
    assert!(
        said(&output).contains("certificate verify failed"),
        "{}",
        said(&output)
    );
}

#[test]
fn much_data_crosses_in_both_directions() {
    let authority = Authority::new("one");
    let stack = stack(&authority.issue("server", "localhost"), "mode = 'require'");
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let config = Arc::new(authority.client(versions, None));
        let mut client = TlsClient::connect(stack.port(), Way::Request, &config).unwrap();
        client.login(&alice()).unwrap().unwrap();
        let long = "x".repeat(3_000_000);
        assert_eq!(client.value(&format!("SELECT length('{long}')")), "3000000");
        assert_eq!(client.value("SELECT repeat('y', 20000000)").len(), 20_000_000);
        // A client that is slow to read: the rest of each message must follow by itself.
        client
            .send(&query("SELECT repeat('z', 5000000) FROM generate_series(1, 4)"))
            .unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let mut rows = 0;
        loop {
            match client.read().unwrap().tag {
                b'D' => rows += 1,
                b'Z' => break,
                _ => {}
            }
        }
        assert_eq!(rows, 4);
        assert_eq!(client.value("SELECT who()"), ALICE);
    }
}

#[test]
fn clear_text_is_refused_where_tls_is_required() {
    let authority = Authority::new("one");
    let stack = stack(&authority.issue("server", "localhost"), "mode = 'require'");
    let (sqlstate, message, hint) = stack.refusal(&alice().token(), "acme");
    assert_eq!(sqlstate, "28000");
    assert!(
        message.contains("TLS") && hint.contains("sslmode=require"),
        "{message} {hint}"
    );
    // Cancel requests carry no token, and most drivers send them in clear text.
    let config = Arc::new(authority.client(&[&TLS13], None));
    let mut client = TlsClient::connect(stack.port(), Way::Request, &config).unwrap();
    let parameters = [("user", "alice"), ("database", "acme")];
    client.send(&startup(VERSION_3_0, &parameters)).unwrap();
    client
        .send(&crate::support::raw::password_message(&alice().token()))
        .unwrap();
    let mut key = Vec::new();
    loop {
        let frame = client.read().unwrap();
        match frame.tag {
            b'K' => key = frame.body,
            b'Z' => break,
            _ => {}
        }
    }
    client.send(&query("SELECT pg_sleep(30)")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    cancel(stack.port(), &key);
    let frame = client.read().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    let sqlstate = if frame.tag == b'E' {
        frame
    } else {
        client.read().unwrap()
    }
    .sqlstate();
    assert_eq!(sqlstate, "57014");
}

/// CVE-2021-23222: what is sent behind an SSLRequest in clear text is not taken for the client's own.
#[test]
fn bytes_ahead_of_the_handshake_are_refused() {
    let authority = Authority::new("one");
    let stack = stack(&authority.issue("server", "localhost"), "");
    let mut client = RawClient::connect(stack.port());
    let mut packets = untagged(SSL_REQUEST, b"");
    packets.extend(startup(VERSION_3_0, &[("user", "mallory"), ("database", "acme")]));
    client.send(&packets);
    let frame = client.read();
    assert_eq!(
        (frame.tag, frame.sqlstate().as_str()),
        (b'E', "08P01"),
        "{frame:?}"
    );
    assert!(client.is_closed());
    logged(&stack, "received unencrypted data after SSL request");
}

#[test]
fn encryption_is_asked_for_in_any_order() {
    let authority = Authority::new("one");
    let stack = stack(&authority.issue("server", "localhost"), "");
    let mut client = RawClient::connect(stack.port());
    client.send(&untagged(GSSENC_REQUEST, b""));
    assert_eq!(client.read_byte(), b'N');
    client.send(&untagged(SSL_REQUEST, b""));
    assert_eq!(client.read_byte(), b'S');
    // No TLS in TLS.
    let config = Arc::new(authority.client(&[&TLS13], None));
    let mut client = TlsClient::connect(stack.port(), Way::Request, &config).unwrap();
    client.send(&untagged(SSL_REQUEST, b"")).unwrap();
    client.send(&untagged(SSL_REQUEST, b"")).unwrap();
    let mut answers = Vec::new();
    while let Ok(frame) = client.read() {
        answers.push(frame);
    }
    assert!(answers.iter().all(|frame| frame.tag != b'R'), "{answers:?}");
}

#[test]
fn direct_tls_needs_the_protocols_name() {
    let authority = Authority::new("one");
    let stack = stack(&authority.issue("server", "localhost"), "mode = 'require'");
    let named = naming(authority.client(&[&TLS13], None));
    let mut client = TlsClient::connect(stack.port(), Way::Direct, &named).unwrap();
    client.login(&alice()).unwrap().unwrap();
    assert_eq!(client.value("SELECT who()"), ALICE);
    let mut client = TlsClient::connect(stack.port(), Way::Request, &named).unwrap();
    client.login(&alice()).unwrap().unwrap();

    let unnamed = Arc::new(authority.client(&[&TLS13], None));
    let mut client = TlsClient::connect(stack.port(), Way::Direct, &unnamed).unwrap();
    assert_eq!(client.read().unwrap().sqlstate(), "08P01");
    let mut other = authority.client(&[&TLS13], None);
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(TlsClient::connect(stack.port(), Way::Direct, &Arc::new(other)).is_err());
}

#[test]
fn where_there_is_no_tls_clients_are_told() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = RawClient::connect(stack.port());
    client.send(&untagged(SSL_REQUEST, b""));
    assert_eq!(client.read_byte(), b'N');
    let authority = Authority::new("one");
    let named = naming(authority.client(&[&TLS13], None));
    let start = Instant::now();
    assert!(TlsClient::connect(stack.port(), Way::Direct, &named).is_err());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_client_certificate_is_a_second_factor() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let client_ca = format!("client_ca = '{}'", clients.ca().display());
    let stack = stack(&servers.issue("server", "localhost"), &client_ca);
    let known = clients.issue("app", "app");
    let others = Authority::new("others");
    let stranger = others.issue("app", "app");
    let outcome = |shown: Option<&Files>| {
        let config = Arc::new(servers.client(&[&TLS13], shown));
        let mut client = TlsClient::connect(stack.port(), Way::Request, &config)?;
        client.login(&alice())
    };
    outcome(Some(&known)).unwrap().unwrap();
    for shown in [None, Some(&stranger)] {
        assert!(outcome(shown).is_err(), "{shown:?}");
    }
    // The certificate is no way around the token …
    let config = Arc::new(servers.client(&[&TLS13], Some(&known)));
    let mut client = TlsClient::connect(stack.port(), Way::Request, &config).unwrap();
    client
        .send(&startup(VERSION_3_0, &[("user", "alice"), ("database", "acme")]))
        .unwrap();
    client
        .send(&crate::support::raw::password_message("no token"))
        .unwrap();
    let refused = std::iter::repeat_with(|| client.read().unwrap())
        .find(|frame| frame.tag == b'E')
        .unwrap();
    assert_eq!(refused.sqlstate(), "28P01");
    // … nor is clear text one around the certificate.
    assert_eq!(stack.refusal(&alice().token(), "acme").0, "28000");
    logged(&stack, "could not accept SSL connection");
}

#[test]
fn versions_below_the_oldest_are_refused() {
    let authority = Authority::new("one");
    let stack = stack(&authority.issue("server", "localhost"), "min_version = '1.3'");
    let new = Arc::new(authority.client(&[&TLS13], None));
    assert!(TlsClient::connect(stack.port(), Way::Request, &new).is_ok());
    let old = Arc::new(authority.client(&[&TLS12], None));
    assert!(TlsClient::connect(stack.port(), Way::Request, &old).is_err());
}

#[test]
fn sessions_are_resumed() {
    let authority = Authority::new("one");
    let stack = stack(&authority.issue("server", "localhost"), "");
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let config = Arc::new(authority.client(versions, None));
        let resumed = [(); 2].map(|()| {
            let mut client = TlsClient::connect(stack.port(), Way::Request, &config).unwrap();
            // Tickets come with the first bytes.
            client.login(&alice()).unwrap().unwrap();
            client.is_resumed()
        });
        assert_eq!(resumed, [false, true], "{versions:?}");
    }
}

#[test]
fn a_handshake_that_stalls_ends_in_time() {
    let authority = Authority::new("one");
    let files = authority.issue("server", "localhost");
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let config = format!(
        "[listen]\nclient_login_timeout = 1\n[listen.tls]\ncertificate = '{certificate}'\nkey = '{key}'"
    );
    let stack = Stack::start(&StackOptions::pool(1).with(&config));
    let hello: &[u8] = b"\x16\x03\x01\x00\xff\x01";
    for bytes in [&[][..], &untagged(SSL_REQUEST, b""), hello] {
        let mut client = RawClient::connect(stack.port());
        if !bytes.is_empty() {
            client.send(bytes);
        }
        let start = Instant::now();
        while client.try_read().is_ok() {}
        let took = start.elapsed();
        assert!(
            (Duration::from_millis(700)..Duration::from_secs(4)).contains(&took),
            "{bytes:?}: {took:?}"
        );
    }
    logged(&stack, "login timed out");
    assert!(matches!(
        stack.try_login(&alice().token(), "acme"),
        Ok(_) | Err(Unready::Closed(_))
    ));
    assert_eq!(stack.login(&alice()).value("SELECT who()"), ALICE);
}

/// What has been encrypted and not taken is as good as unread; a reader at its own pace gets all of it.
#[test]
fn a_client_that_does_not_read_does_not_keep_a_connection() {
    let authority = Authority::new("one");
    let shown = authority.issue("server", "localhost");
    let (certificate, key) = (shown.certificate.display(), shown.key.display());
    let config = format!(
        "listen.client_progress_timeout = 1\nlisten.tls.certificate = '{certificate}'\nlisten.tls.key = '{key}'\n"
    );
    let stack = Stack::start(&StackOptions::pool(1).with(&config));
    let login = || {
        let mut client = TlsClient::connect(
            stack.port(),
            Way::Request,
            &Arc::new(authority.client(&[&TLS13], None)),
        )
        .unwrap();
        client.login(&alice()).unwrap().unwrap();
        client
    };
    let (mut unread, mut next) = (login(), login());
    let answer = |rows: usize| {
        query(&format!(
            "SELECT repeat('x', 1000) FROM generate_series(1, {rows})"
        ))
    };
    unread.send(&answer(100_000)).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    assert_eq!(next.value("SELECT who()"), ALICE);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // Slower than the kernel says that there is room, for some windows.
    let rows = 8_000;
    next.send(&answer(rows)).unwrap();
    let (start, mut come) = (Instant::now(), 0);
    while come < rows {
        let frame = next.read().unwrap();
        come += usize::from(frame.tag == b'D');
        if come % 100 == 0 && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
