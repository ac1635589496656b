//! Ways in besides a token as the password: users with a password, client certificates, OAUTHBEARER, tokens in
//! startup options; and what is said, counted and held of those who do it wrongly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../tls/certificates.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod certificates;
#[path = "../tls/client.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod client;
#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod client_certificates;
mod crowds;
mod oauth;
mod options;
mod sasl;
mod users;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use certificates::Files;
use support::metric;
use support::proxy::{Stack, StackOptions};

/// Who a session of alice is, as the schema's `who()` tells it.
const ALICE: &str = "authenticated|alice|acme";

/// A proxy with a pool of one, and the files it was given.
struct Bed {
    stack: Stack,
    folder: TempDir,
    metrics_port: u16,
}

impl Bed {
    /// With a users file, TLS if there is a certificate for it, and more TOML.
    fn new(users: &str, tls: Option<(&Files, &str)>, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users.toml");
        fs::write(&file, users).unwrap();
        let metrics_port = support::postgres::free_port();
        let mut config = format!(
            "auth.users_file = '{}'\nadmin.address = '127.0.0.1:{metrics_port}'\n",
            file.display()
        );
        if let Some((files, keys)) = tls {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            config.push_str(&format!(
                "listen.tls.certificate = '{certificate}'\nlisten.tls.key = '{key}'\n{keys}\n"
            ));
        }
        config.push_str(more);
        Self {
            stack: Stack::start(&StackOptions::pool(1).with(&config)),
            folder,
            metrics_port,
        }
    }

    fn port(&self) -> u16 {
        self.stack.port()
    }

    fn users_file(&self) -> PathBuf {
        self.folder.path().join("users.toml")
    }

    /// The value of one series.
    fn metric(&self, series: &str) -> f64 {
        metric(self.metrics_port, series)
    }

    /// Logins refused with this SQLSTATE so far.
    fn refused(&self, sqlstate: &str) -> f64 {
        self.metric(&format!(
            "portcullis_logins_total{{result=\"refused\",sqlstate=\"{sqlstate}\"}}"
        ))
    }

    /// psql with a password, asking `who()`.
    fn psql(&self, password: &str, options: &str) -> Output {
        let port = self.port();
        Command::new("psql")
            .args(["-XAtqw", "-c", "SELECT who()"])
            .arg(format!(
                "host=localhost hostaddr=127.0.0.1 port={port} dbname=acme {options}"
            ))
            .env("PGPASSWORD", password)
            .output()
            .unwrap()
    }
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[track_caller]
fn fails(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains(reason),
        "{reason}: {said}"
    );
}
