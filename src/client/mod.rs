//! One client connection from accept to close.
//!
//! `accept` takes sockets and keeps count, `login` finds out who is there and where it goes, `startup` reads
//! the startup packet's parameters, `greeting` answers them. Then the [`session`](crate::session) takes over.

mod accept;
mod census;
mod error;
mod greeting;
mod login;
mod packets;
mod startup;

use std::net::SocketAddr;
use std::time::Duration;

pub use accept::{Gateway, GatewayParts};
pub use error::LoginError;

/// Where clients connect, and how many.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address to listen on.
    pub address: SocketAddr,
    /// Who may send a token in clear text.
    pub plaintext: Plaintext,
    /// Most sessions at one time; more are refused with 53300.
    pub max_client_conn: usize,
    /// Most sessions of one tenant at one time; `None` for no limit of its own.
    pub max_tenant_client_conn: Option<usize>,
    /// How long a login may take, from the first byte to the greeting.
    pub client_login_timeout: Duration,
}

/// Who may send a token in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plaintext {
    /// Clients on this machine.
    LoopbackOnly,
    /// Everybody: the network is trusted, or encrypted below us.
    Anywhere,
}
