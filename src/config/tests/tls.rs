//! TLS on both sides: what its keys say, and what is wrong with them.

use std::fs;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::client::TlsDemand;

/// A folder with two certificates and their keys: `a.crt`, `a.key`, `b.crt`, `b.key`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        fs::write(folder.path().join(format!("{name}.crt")), certificate.pem()).unwrap();
        fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    folder
}

/// The line of the smallest configuration that says where its server is.
const HOST: &str = "host = \"db.example.com\"";

/// TOML with `F/` for the folder.
fn keys(folder: &TempDir, toml: &str) -> String {
    toml.replace("F/", &format!("{}/", folder.path().display()))
}

#[test]
fn listeners() {
    let folder = folder();
    let demand = |more: &str| {
        let files = "[listen.tls]\ncertificate = 'F/a.crt'\nkey = 'F/a.key'\n";
        let config = parse(&format!("{SMALL}\n{}", keys(&folder, &format!("{files}{more}")))).unwrap();
        config.client.tls.map(|tls| tls.demand)
    };
    assert_eq!(demand(""), Some(TlsDemand::Allow));
    assert_eq!(
        demand("mode = 'require'\nmin_version = '1.3'"),
        Some(TlsDemand::Require)
    );
    assert_eq!(demand("client_ca = 'F/b.crt'"), Some(TlsDemand::Require));
    assert_eq!(demand("mode = 'disable'"), None);
    assert!(parse(SMALL).unwrap().client.tls.is_none());
}

#[test]
fn mistakes_of_listeners() {
    let folder = folder();
    for (toml, mistake) in [
        ("key = 'F/a.key'", "listen.tls.certificate: is missing"),
        ("certificate = 'F/a.crt'", "listen.tls.key: is missing"),
        (
            "certificate = 'F/a.crt'\nkey = 'F/b.key'",
            "listen.tls.certificate: F/a.crt and F/b.key cannot be used together",
        ),
        (
            "certificate = 'F/none.crt'\nkey = 'F/b.key'",
            "listen.tls.certificate: cannot read F/none.crt",
        ),
        (
            "certificate = 'F/a.crt'\nkey = 'F/b.crt'",
            "listen.tls.key: F/b.crt holds no private key in PEM form",
        ),
        (
            "certificate = 'F/a.key'\nkey = 'F/a.key'",
            "listen.tls.certificate: F/a.key holds no certificate in PEM form",
        ),
        (
            "certificate = 'F/a.crt'\nkey = 'F/a.key'\nclient_ca = 'F/b.key'",
            "listen.tls.client_ca: F/b.key holds no certificate",
        ),
        (
            "certificate = 'F/a.crt'\nkey = 'F/a.key'\nclient_ca = 'F/b.crt'\nmode = 'allow'",
            "listen.tls.mode: must be \"require\" with client_ca",
        ),
        (
            "certificate = 'F/a.crt'\nkey = 'F/a.key'\nmin_version = '1.1'",
            "listen.tls.min_version: must be \"1.2\" or \"1.3\"",
        ),
    ] {
        added(
            &keys(&folder, &format!("[listen.tls]\n{toml}")),
            &[&keys(&folder, mistake)],
        );
    }
}

#[test]
fn servers_of_every_kind() {
    let folder = folder();
    let encrypts = |toml: &str| {
        let config = parse(&SMALL.replace(HOST, &keys(&folder, toml))).unwrap();
        config.pool.servers["main"].tls.is_some()
    };
    assert!(encrypts("host = 'db.example'"), "prefer");
    assert!(!encrypts("host = 'db.example'\nsslmode = 'disable'"));
    for here in ["localhost", "127.0.0.1", "::1", "/run/postgresql"] {
        assert!(!encrypts(&format!("host = '{here}'")), "{here}");
    }
    assert!(encrypts("host = 'localhost'\nsslmode = 'require'"));
    assert!(encrypts(
        "host = 'db'\nsslmode = 'verify-full'\nca_file = 'F/a.crt'"
    ));
    assert!(encrypts(
        "host = 'db'\nclient_certificate = 'F/a.crt'\nclient_key = 'F/a.key'"
    ));
}

#[test]
fn mistakes_of_servers() {
    let folder = folder();
    for (toml, mistake) in [
        (
            "sslmode = 'verify_full'",
            "servers.main.sslmode: must be \"disable\" or",
        ),
        ("sslmode = 'verify-ca'", "servers.main.ca_file: is missing"),
        (
            "ca_file = 'F/a.crt'",
            "servers.main.ca_file: is read only with sslmode",
        ),
        (
            "sslmode = 'verify-ca'\nca_file = 'F/none.crt'",
            "servers.main.ca_file: cannot read F/none.crt",
        ),
        (
            "client_certificate = 'F/a.crt'",
            "servers.main.client_key: is missing",
        ),
        (
            "client_key = 'F/a.key'",
            "servers.main.client_certificate: is missing",
        ),
        (
            "client_certificate = 'F/a.crt'\nclient_key = 'F/b.key'",
            "servers.main.client_certificate: F/a.crt and F/b.key cannot be used together",
        ),
    ] {
        expect(
            (HOST, &keys(&folder, &format!("host = 'db'\n{toml}"))),
            "",
            &[&keys(&folder, mistake)],
        );
    }
    expect(
        (HOST, "host = '/run/postgresql'\nsslmode = 'require'"),
        "",
        &["servers.main.sslmode: is for TCP"],
    );
}
