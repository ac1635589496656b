//! Whether one token, one address or one tenant can use up what all share. Short of it in continuous integration; with
//! `PORTCULLIS_TEST_LONG=1` for twenty minutes. Run this suite by itself: it measures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod waits;

use std::time::Duration;

/// How long an attack goes on: minutes in the long form.
fn siege(seconds: u64, minutes: u64) -> Duration {
    match std::env::var_os("PORTCULLIS_TEST_LONG") {
        Some(_) => Duration::from_secs(60 * minutes),
        None => Duration::from_secs(seconds),
    }
}

/// Whether the long form runs: then times are measured rather than looked at.
fn is_long() -> bool {
    std::env::var_os("PORTCULLIS_TEST_LONG").is_some()
}
