//! TLS on both sides: how clients get in, and how servers are trusted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod client;
mod listener;
mod renewal;
mod servers;

/// Who a session of alice is, as the schema's `who()` tells it.
const ALICE: &str = "authenticated|alice|acme";
