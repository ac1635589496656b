//! Whole configurations: what loads, what does not, and what is said about it.

mod access;
mod entries;
mod examples;
mod hostile;
mod mistakes;
mod own_names;
mod pieces;
mod reload;
mod tls;
mod ways;

use std::ffi::OsString;
use std::path::Path;

use super::{Config, ConfigError};

/// The smallest configuration that can serve anybody.
const SMALL: &str = r#"
[servers.main]
host = "db.example.com"

[logins.app]
user = "portcullis_app"

[roles.authenticated]
login = "app"

[auth]
tenant_claim = "tenant_id"

[[auth.issuers]]
issuer = "https://auth.example.com/"
audience = ["portcullis"]
secret = { env = "SECRET" }

[[tenants.tenant]]
name = "acme"
"#;

const SECRET: &str = "correct-horse-battery-staple-correct-horse-battery-staple-correct";

fn environment(name: &str) -> Option<OsString> {
    match name {
        "SECRET" | "PORTCULLIS_APP_PASSWORD" | "PORTCULLIS_SERVICE_PASSWORD" | "PORTCULLIS_JWT_SECRET" => {
            Some(SECRET.into())
        }
        "SHORT" => Some("hunter2".into()),
        "EMPTY" => Some(OsString::new()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text.to_owned(), Path::new("portcullis.toml"), environment)
}

/// Mistakes as `key: message`.
fn complaints(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(error) => error
            .mistakes
            .iter()
            .map(|mistake| format!("{}: {}", mistake.key, mistake.message))
            .collect(),
    }
}

/// Replaces a part of the smallest configuration, adds to it, and expects exactly these complaints.
fn expect(replace: (&str, &str), add: &str, expected: &[&str]) {
    let (from, to) = replace;
    assert!(SMALL.contains(from), "{from}");
    let text = format!("{}{add}\n", SMALL.replace(from, to));
    let found = complaints(&text);
    let matches = found.len() == expected.len()
        && found
            .iter()
            .all(|complaint| expected.iter().any(|start| complaint.starts_with(start)));
    assert!(matches, "expected {expected:#?}\nfound {found:#?}\nin {text}");
}

fn added(add: &str, expected: &[&str]) {
    expect(("", ""), add, expected);
}
