//! What the guard believes of PostgreSQL, compared with real servers: how text is read, which words are keywords,
//! which functions there are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod functions;
mod lexer;
mod pieces;
mod subqueries;

use std::sync::Arc;

use portcullis::guard::{Guard, Policy, Refusal, Script, Settings};
use support::postgres::{Postgres, Version, cluster};

/// Every server there is.
fn servers() -> impl Iterator<Item = &'static Postgres> {
    [Version::Installed, Version::Eighteen]
        .into_iter()
        .filter_map(cluster)
}

fn guard() -> Guard {
    Guard::new(Settings {
        cache_bytes: 0,
        ..Settings::default()
    })
}

/// What an end user, or else a trusted role, is answered.
fn judge(guard: &Guard, policy: &str, text: &str) -> Result<Arc<Script>, Arc<Refusal>> {
    let policy: Arc<Policy> = guard.policy(policy).expect("a built-in policy");
    guard.judge(&policy, text.as_bytes())
}
