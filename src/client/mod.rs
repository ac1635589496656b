//! One client connection from accept to close.
//!
//! `accept` takes sockets and keeps count, `login` finds out who is there (`credentials`) and where it goes,
//! `own_options` and `startup` read the startup packet's parameters, `greeting` answers them. Then the [`session`](crate::session) takes over.

mod accept;
mod canonical;
mod census;
mod credentials;
mod error;
mod greeting;
mod login;
mod own_options;
mod packets;
mod replication;
mod startup;
mod waiting_room;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use accept::{Gateway, GatewayParts};
pub use error::{LoginError, Unfit};
pub use waiting_room::RoomLimits;

use crate::auth::ClaimPath;
use crate::base::RoleName;
use crate::net::tls::Acceptor;

/// Where clients connect, and how many.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address to listen on.
    pub address: SocketAddr,
    /// TLS to clients; `None` if there is none.
    pub tls: Option<Tls>,
    /// Who may send a token in clear text.
    pub plaintext: Plaintext,
    /// Most sessions at one time; more are refused with 53300.
    pub max_client_conn: usize,
    /// Most sessions of one tenant at one time; `None` for no limit of its own.
    pub max_tenant_client_conn: Option<usize>,
    /// Most clients that have not logged in yet, on top of them.
    pub pending: RoomLimits,
    /// How long a login may take, from the first byte to the greeting.
    pub client_login_timeout: Duration,
    /// The claim that names the plan of the token's tenant, where the directory names none.
    pub plan_claim: Option<ClaimPath>,
    /// The roles that may have replication connections: trusted ones in session mode.
    pub replication_roles: BTreeSet<RoleName>,
}

/// TLS to clients.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Takes their handshakes.
    pub acceptor: Arc<Acceptor>,
    /// Whether there is a way in without.
    pub demand: TlsDemand,
}

/// Whether clients may do without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsDemand {
    /// They may, where [`Plaintext`] says so.
    Allow,
    /// They may not. Cancel requests are taken in any case: they carry no token, and most drivers send them
    /// in clear text.
    Require,
}

/// Who may send a token in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plaintext {
    /// Clients on this machine.
    LoopbackOnly,
    /// Everybody: the network is trusted, or encrypted below us.
    Anywhere,
}
