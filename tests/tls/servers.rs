//! How servers are trusted.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::ALICE;
use crate::certificates::{Authority, Files};
use crate::support::people::alice;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{cancel, query};
use crate::support::tools::server_user;
use crate::support::wait_until;

/// Lets nobody in over TCP without TLS, as `pg_hba.conf` of a careful operator.
const TLS_ONLY: &str = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";

/// The same, and everybody shows a certificate.
const TWO_FACTORS: &str =
    "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n";

/// A server that speaks TLS.
fn server(shown: &Files, client_ca: &Path, hba: &str) -> Postgres {
    let postgres = Postgres::own();
    let data = postgres.socket_folder().join("data");
    for (from, to) in [
        (shown.certificate.as_path(), "server.crt"),
        (&shown.key, "server.key"),
        (client_ca, "clients.crt"),
    ] {
        let to = data.join(to);
        fs::copy(from, &to).unwrap();
        if let Some((uid, gid)) = server_user() {
            std::os::unix::fs::chown(&to, Some(uid), Some(gid)).unwrap();
        }
    }
    fs::write(data.join("pg_hba.conf"), hba).unwrap();
    postgres.ask("ALTER SYSTEM SET ssl_ca_file = 'clients.crt'");
    postgres.ask("ALTER SYSTEM SET ssl = on");
    postgres.ask("SELECT pg_reload_conf()");
    wait_until("ssl is on", Duration::from_secs(10), || {
        postgres.ask("SHOW ssl") == ["on"]
    });
    postgres
}

fn options(keys: &str) -> StackOptions {
    let limits = "[pool]\nquery_wait_timeout = 2\n";
    StackOptions::pool(1).with(&format!("{limits}[servers.main]\n{keys}"))
}

fn stack(postgres: &Postgres, keys: &str) -> Stack {
    Stack::in_front_of(postgres.port(), &options(keys))
}

/// Whether the proxy's connections are encrypted, and whose certificate they have shown.
fn connections(postgres: &Postgres) -> Vec<String> {
    postgres.ask(
        "SELECT concat(ssl, ' ', client_dn) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE usename = 'portcullis_app'",
    )
}

#[track_caller]
fn works(postgres: &Postgres, keys: &str, encrypted: &str) {
    let stack = stack(postgres, keys);
    let mut client = stack.login(&alice());
    for _ in 0..3 {
        assert_eq!(client.value("SELECT who()"), ALICE, "{keys}");
    }
    assert_eq!(client.value("SELECT length(repeat('x', 5000000))"), "5000000");
    assert_eq!(client.value("SELECT repeat('x', 5000000)").len(), 5_000_000);
    let long = "x".repeat(2_000_000);
    assert_eq!(client.value(&format!("SELECT length('{long}')")), "2000000");
    assert_eq!(connections(postgres), [encrypted], "{keys}");
}

#[track_caller]
fn fails(postgres: &Postgres, keys: &str, reason: &str) {
    let stack = stack(postgres, keys);
    let (sqlstate, message, _) = stack.refusal(&alice().token(), "acme");
    assert!(
        sqlstate.starts_with("08") || sqlstate.starts_with("53"),
        "{sqlstate} {message}"
    );
    wait_until(
        &format!("{keys}: {reason:?} in the log"),
        Duration::from_secs(5),
        || stack.log().contains(reason),
    );
}

#[test]
fn every_sslmode_is_as_strict_as_it_says() {
    let authority = Authority::new("servers");
    let postgres = server(&authority.issue("server", "localhost"), &authority.ca(), TLS_ONLY);
    let ca = format!("ca_file = '{}'", authority.ca().display());
    let others = Authority::new("others");
    let stranger = format!("ca_file = '{}'", others.ca().display());
    let pinned = format!("ca_file = '{}'", authority.folder().join("server.crt").display());

    fails(&postgres, "sslmode = 'disable'", "no encryption");
    for mode in ["prefer", "require"] {
        works(&postgres, &format!("sslmode = '{mode}'"), "t ");
    }
    // The host is 127.0.0.1, the certificate's name localhost.
    works(&postgres, &format!("sslmode = 'verify-ca'\n{ca}"), "t ");
    works(&postgres, &format!("sslmode = 'verify-ca'\n{pinned}"), "t ");
    fails(
        &postgres,
        &format!("sslmode = 'verify-ca'\n{stranger}"),
        "UnknownIssuer",
    );
    fails(
        &postgres,
        &format!("sslmode = 'verify-full'\n{ca}"),
        "not valid for name",
    );
    fails(
        &postgres,
        &format!("sslmode = 'verify-full'\n{pinned}"),
        "not valid for name",
    );
    works(
        &postgres,
        &format!("host = 'localhost'\nsslmode = 'verify-full'\n{ca}"),
        "t ",
    );
    works(
        &postgres,
        &format!("host = 'localhost'\nsslmode = 'verify-full'\n{pinned}"),
        "t ",
    );
}

#[test]
fn a_server_without_tls() {
    let postgres = Postgres::own();
    works(&postgres, "sslmode = 'prefer'", "f ");
    fails(&postgres, "sslmode = 'require'", "does not support TLS");
}

#[test]
fn a_server_that_asks_for_a_certificate() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let postgres = server(&servers.issue("server", "localhost"), &clients.ca(), TWO_FACTORS);
    let shown = clients.issue("portcullis", "portcullis");
    let (certificate, key) = (shown.certificate.display(), shown.key.display());
    let identity = format!("client_certificate = '{certificate}'\nclient_key = '{key}'");
    fails(&postgres, "sslmode = 'require'", "valid client certificate");
    works(
        &postgres,
        &format!("sslmode = 'require'\n{identity}"),
        "t /CN=portcullis",
    );
}

#[test]
fn cancel_requests_are_encrypted_too() {
    let authority = Authority::new("servers");
    let postgres = server(&authority.issue("server", "localhost"), &authority.ca(), TLS_ONLY);
    let ca = authority.ca();
    let keys = format!(
        "host = 'localhost'\nsslmode = 'verify-full'\nca_file = '{}'",
        ca.display()
    );
    let stack = stack(&postgres, &keys);
    let mut client = stack.login(&alice());
    client.send(&query("SELECT pg_sleep(30)"));
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    cancel(stack.port(), &client.cancel_key);
    let frames = client.until_ready();
    assert!(
        frames
            .iter()
            .any(|frame| frame.tag == b'E' && frame.sqlstate() == "57014"),
        "{frames:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!stack.log().contains("did not reach"));
}

#[test]
fn an_idle_connection_that_the_server_ends_is_noticed() {
    let authority = Authority::new("servers");
    let postgres = server(&authority.issue("server", "localhost"), &authority.ca(), TLS_ONLY);
    let stack = stack(&postgres, "sslmode = 'require'");
    let mut client = stack.login(&alice());
    for _ in 0..3 {
        assert_eq!(client.value("SELECT who()"), ALICE);
        postgres
            .ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'portcullis_app'");
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(client.value("SELECT who()"), ALICE);
}

#[test]
fn check_asks_servers_as_the_proxy_does() {
    let authority = Authority::new("servers");
    let postgres = server(&authority.issue("server", "localhost"), &authority.ca(), TLS_ONLY);
    let ca = authority.ca();
    for (keys, good) in [
        (
            format!(
                "host = 'localhost'\nsslmode = 'verify-full'\nca_file = '{}'",
                ca.display()
            ),
            true,
        ),
        (
            format!("sslmode = 'verify-full'\nca_file = '{}'", ca.display()),
            false,
        ),
        ("sslmode = 'disable'".to_owned(), false),
    ] {
        let stack = stack(&postgres, &keys);
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["check", "--config"])
            .arg(stack.config_path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            text.contains("login app on main/shop: connects"),
            good,
            "{keys}:\n{text}"
        );
    }
}
