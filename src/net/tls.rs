//! TLS on both sides: what a listener shows to clients, and how a server is trusted.
//!
//! Certificates and keys come from files that are watched: a change takes effect for the connections that
//! follow, and files that cannot be used leave the last good ones in force.

mod accept;
mod connect;
mod end_point;
mod material;
mod verify;
mod watch;

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};

pub use accept::{Accepted, Acceptor, AcceptorSettings, CertificateDemand, ClientCertificates};
pub use connect::{Connector, ConnectorSettings, SslMode};
pub use end_point::server_end_point;
pub use material::TlsError;
pub use watch::{Certificates, watch};

/// The protocol's name in ALPN (PostgreSQL manual, 55.2.10; `PG_ALPN_PROTOCOL`, pqcomm.h).
pub const ALPN: &[u8] = b"postgresql";

/// The oldest version of TLS that is spoken. Older ones than these are broken (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static FROM_13: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            Self::Tls12 => &FROM_12,
            Self::Tls13 => &FROM_13,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
