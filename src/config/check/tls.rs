//! `[listen.tls]` and the TLS keys of `[servers.…]`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::client::{Tls, TlsDemand};
use crate::net::Endpoint;
use crate::net::tls::{
    Acceptor, AcceptorSettings, CertificateDemand, ClientCertificates, Connector, ConnectorSettings,
    MinVersion, SslMode, TlsError,
};

use super::super::raw::{Item, Section};

/// What clients are shown; `None` where there is no TLS or the section has a mistake.
pub(super) fn listener(listen: &Section<'_>) -> Option<Tls> {
    let tls = listen.get("tls")?.section()?;
    let client_ca = tls.maybe("client_ca", Item::path);
    let modes = [
        ("disable", None),
        ("allow", Some(TlsDemand::Allow)),
        ("require", Some(TlsDemand::Require)),
    ];
    let asked = certificate_demand(&tls);
    // A certificate that a client could do without in clear text would prove nothing.
    let needs_tls = client_ca.is_some() && asked == CertificateDemand::Require;
    let default = if needs_tls { "require" } else { "allow" };
    let demand = word(&tls, "mode", default, &modes);
    let versions = [("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)];
    let min_version = word(&tls, "min_version", "1.2", &versions).unwrap_or(MinVersion::Tls12);
    let demand = demand?;
    // Switched off, it need not be complete.
    let file = |key| match demand {
        None => tls.maybe(key, Item::path),
        Some(_) => tls.required(key, Item::path),
    };
    let (certificate, key) = (file("certificate"), file("key"));
    let demand = demand?;
    if needs_tls && demand != TlsDemand::Require {
        tls.mistake(
            "mode",
            "must be \"require\" with client_ca, or clients could do without a certificate; if they may, set \
             client_certificate = \"optional\"",
        );
        return None;
    }
    let settings = AcceptorSettings {
        certificate: certificate?,
        key: key?,
        clients: client_ca.map(|ca| ClientCertificates { ca, demand: asked }),
        min_version,
    };
    let files = [
        ("certificate", Some(settings.certificate.clone())),
        ("key", Some(settings.key.clone())),
        (
            "client_ca",
            settings.clients.as_ref().map(|clients| clients.ca.clone()),
        ),
    ];
    match Acceptor::new(settings) {
        Ok(acceptor) => Some(Tls {
            acceptor: Arc::new(acceptor),
            demand,
        }),
        Err(error) => {
            tls.mistake(
                culprit(&error, &files).unwrap_or("certificate"),
                error.to_string(),
            );
            None
        }
    }
}

/// Whether clients have to show a certificate, where there is a `client_ca` to check it against.
fn certificate_demand(tls: &Section<'_>) -> CertificateDemand {
    const KEY: &str = "client_certificate";
    let demands = [
        ("require", CertificateDemand::Require),
        ("optional", CertificateDemand::Optional),
    ];
    if tls.has("client_ca") {
        return word(tls, KEY, "require", &demands).unwrap_or(CertificateDemand::Require);
    }
    if tls.get(KEY).is_some() {
        tls.mistake(KEY, "needs client_ca");
    }
    CertificateDemand::Optional
}

/// Whether clients are asked for certificates, going by what is there.
pub(super) fn asks_for_certificates(top: &Section<'_>) -> bool {
    // The keys have been asked for, and their mistakes noted, by [`listener`].
    let tls = top.get("listen").and_then(|listen| listen.child("tls"));
    tls.is_some_and(|tls| {
        let mode = tls.child("mode").and_then(|mode| mode.text());
        tls.child("client_ca").is_some() && mode.as_deref() != Some("disable")
    })
}

/// How a server is encrypted and trusted; `None` for clear text or after a mistake.
pub(super) fn server(section: &Section<'_>, endpoint: &Endpoint) -> Option<Arc<Connector>> {
    let modes = [
        ("disable", SslMode::Disable),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];
    let default = if is_on_this_machine(endpoint) {
        "disable"
    } else {
        "prefer"
    };
    let mode = word(section, "sslmode", default, &modes)?;
    let ca_file = section.maybe("ca_file", Item::path);
    let certificate = section.maybe("client_certificate", Item::path);
    let key = section.maybe("client_key", Item::path);
    let verifies = matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull);
    if verifies && !section.has("ca_file") {
        section.mistake(
            "ca_file",
            "is missing: sslmode verifies the server's certificate against it",
        );
    }
    if !verifies && section.has("ca_file") {
        section.mistake(
            "ca_file",
            "is read only with sslmode = \"verify-ca\" or \"verify-full\"",
        );
    }
    for (one, other) in [
        ("client_certificate", "client_key"),
        ("client_key", "client_certificate"),
    ] {
        if section.has(one) && !section.has(other) {
            section.mistake(other, format!("is missing: {one} is given"));
        }
    }
    if matches!(endpoint, Endpoint::Unix(_)) {
        if !matches!(mode, SslMode::Disable | SslMode::Prefer) {
            section.mistake("sslmode", "is for TCP: a Unix socket has no TLS and needs none");
        }
        return None;
    }
    if verifies && ca_file.is_none() {
        return None;
    }
    let files = [
        ("ca_file", ca_file.clone()),
        ("client_certificate", certificate.clone()),
        ("client_key", key.clone()),
    ];
    let settings = ConnectorSettings {
        mode,
        ca_file,
        identity: certificate.zip(key),
    };
    Connector::new(settings).unwrap_or_else(|error| {
        section.mistake(
            culprit(&error, &files).unwrap_or("client_certificate"),
            error.to_string(),
        );
        None
    })
}

/// A key whose value is one of a few words.
fn word<T: Copy>(section: &Section<'_>, key: &'static str, default: &str, words: &[(&str, T)]) -> Option<T> {
    let word = section.or(key, default.to_owned(), |item| {
        item.choice(words).and(item.text())
    });
    words
        .iter()
        .find(|(known, _)| *known == word)
        .map(|(_, value)| *value)
}

/// The key that names the file that is to blame.
fn culprit(error: &TlsError, files: &[(&'static str, Option<PathBuf>)]) -> Option<&'static str> {
    let path: &Path = error.path()?;
    let named = files.iter().find(|(_, file)| file.as_deref() == Some(path));
    named.map(|(key, _)| *key)
}

/// Whether what is said to a server never leaves this machine, going by how it is named.
fn is_on_this_machine(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Unix(_) => true,
        Endpoint::Tcp { host, .. } => {
            host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
    }
}
