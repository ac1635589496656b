//! HTTP endpoints for operators: `/metrics`, `/live`, `/ready`.
//!
//! Plain HTTP/1 without authentication: the address belongs on loopback or on a network of the
//! operators' own. Whoever reaches it can read the names of servers, databases, logins and roles, but
//! can change nothing.

mod listener;
mod server;

pub use server::{Readiness, ReadyCheck, Settings, serve, serve_on};
