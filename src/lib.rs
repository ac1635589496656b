//! Portcullis: a connection-pooling SQL proxy for PostgreSQL that runs every transaction as the end user.
//!
//! `ARCHITECTURE.md` has the bird's-eye view. Modules import downward only, in the order listed here
//! from top to bottom; `tests/tidy.rs` fails on an arrow that goes up.

pub mod cli;
pub mod dev;

pub mod app;
pub mod harden;

pub mod config;

pub mod admin;
pub mod observe;

pub mod client;
pub mod session;

pub mod guard;
pub mod identity;
pub mod pool;

pub mod tenant;

pub mod auth;
pub mod server;

pub mod net;
pub mod wire;

pub mod base;

// What the fuzz targets compile as well calls the crate by its name.
#[cfg(test)]
extern crate self as portcullis;
