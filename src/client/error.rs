//! Why a login fails, and what the client is told.

use std::io;

use thiserror::Error;

use crate::auth::AuthError;
use crate::base::memory::Full;
use crate::base::{Fault, Severity, SqlState, TenantName};
use crate::pool::PoolError;
use crate::session::{ProbeError, WalsenderError};
use crate::tenant::RouteError;
use crate::wire::frame::BadLength;
use crate::wire::startup::{BadFirstPacket, BadSaslInitial};

/// Why a client did not get a session.
#[derive(Debug, Error)]
pub enum LoginError {
    /// The client went away without a word, as a probe of the port does.
    #[error("client closed the connection before it said anything")]
    NothingSaid,
    /// The client went away.
    #[error("client closed the connection during login")]
    Gone,
    /// The socket failed.
    #[error("client connection failed during login: {0}")]
    Io(#[from] io::Error),
    /// The login took too long.
    #[error("login timed out")]
    Timeout,
    /// The first packet cannot be understood.
    #[error(transparent)]
    FirstPacket(#[from] BadFirstPacket),
    /// A message that does not belong into a login.
    #[error("expected password response, got message type {0}")]
    NotAPassword(u8),
    /// A message with a length that cannot be.
    #[error(transparent)]
    Length(#[from] BadLength),
    /// A password longer than any token.
    #[error("password of {0} bytes is too long for a token")]
    PasswordTooLong(usize),
    /// A SASL message longer than any that is expected.
    #[error("SASL message of {0} bytes is too long")]
    SaslTooLong(usize),
    /// A SASLInitialResponse that has not its form.
    #[error(transparent)]
    SaslInitial(#[from] BadSaslInitial),
    /// `portcullis.auth` asks for something that there is not.
    #[error("invalid value for parameter \"portcullis.auth\"")]
    NoSuchWay,
    /// `portcullis.auth=oauth` where OAUTHBEARER is not configured.
    #[error("OAuth is not configured here")]
    NoOAuth,
    /// A password message without a terminator, or with bytes behind it.
    #[error("invalid password packet")]
    BadPassword,
    /// Encryption was asked for again and again.
    #[error("too many encryption requests")]
    EncryptionLoop,
    /// Bytes came between the request for TLS and the handshake.
    #[error("received unencrypted data after SSL request")]
    BytesBeforeHandshake,
    /// A TLS handshake that came unasked names no protocol.
    #[error("received direct SSL connection request without ALPN protocol negotiation extension")]
    DirectWithoutAlpn,
    /// The TLS handshake failed.
    #[error("could not accept SSL connection: {0}")]
    Handshake(#[source] io::Error),
    /// The certificate of a resumed TLS session is no longer good.
    #[error("client certificate cannot be used: {0}")]
    Certificate(String),
    /// The client came in clear text where that is not allowed.
    #[error("this address takes only connections with TLS")]
    TlsRequired,
    /// No user was named.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// A replication connection was asked for.
    #[error("replication connections are not supported here")]
    Replication(Unfit),
    /// A replication connection could not be opened.
    #[error(transparent)]
    Walsender(#[from] WalsenderError),
    /// A startup parameter that cannot be.
    #[error("{0}")]
    Parameter(Box<Fault>),
    /// The token would travel in clear text.
    #[error("a token must not travel in clear text")]
    Plaintext,
    /// More clients are logging in than are served at one time.
    #[error("too many logins are under way")]
    TooManyLogins,
    /// Others needed its place more than one that has not logged in.
    #[error("too many logins are under way, and this one was the slowest of its address")]
    Displaced,
    /// There is no memory for what the client sends, or for its session.
    #[error("out of memory for another session")]
    OutOfMemory(#[from] Full),
    /// All places are taken.
    #[error("no more connections allowed (max_client_conn = {0})")]
    TooManyClients(usize),
    /// All places of the tenant are taken.
    #[error("no more connections allowed for tenant \"{tenant}\" (max_tenant_client_conn = {max})")]
    TooManyOfTenant {
        /// The tenant.
        tenant: TenantName,
        /// Its limit.
        max: usize,
    },
    /// The token does not permit it.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// There is no way to the database asked for.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// No server connection can be had.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The server does not take a startup setting.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// Why a role has no replication connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is an end user's.
    EndUser,
    /// Its sessions share server connections.
    TransactionMode,
    /// Nobody has said that it may.
    NotConfigured,
}

impl Unfit {
    fn hint(self) -> &'static str {
        match self {
            Self::EndUser => {
                "Row Level Security does not apply to what is streamed: only a trusted role can be given replication. \
                 Or connect to the server itself."
            }
            Self::TransactionMode => {
                "The role's pool_mode is transaction: replication needs pool_mode = \"session\" and replication = true \
                 in the role's entry. Or connect to the server itself."
            }
            Self::NotConfigured => {
                "It needs replication = true in the role's entry. Or connect to the server itself."
            }
        }
    }
}

impl LoginError {
    /// What the client is told; `None` if there is nobody to tell.
    pub(super) fn to_fault(&self) -> Option<Fault> {
        // Whatever it was to the layer that raised it: a login that fails ends the connection.
        self.as_raised().map(|fault| Fault {
            severity: Severity::Fatal,
            ..fault
        })
    }

    /// Whether the client has simply gone, as it may at any time: psql goes once it is asked for a password and
    /// has none, and who only probes the port goes at once.
    pub(super) fn is_departure(&self) -> bool {
        match self {
            Self::NothingSaid | Self::Gone => true,
            Self::Io(error) | Self::Handshake(error) => matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            ),
            _ => false,
        }
    }

    fn as_raised(&self) -> Option<Fault> {
        let sqlstate = match self {
            Self::NothingSaid
            | Self::Gone
            | Self::Io(_)
            | Self::FirstPacket(BadFirstPacket::CancelLength | BadFirstPacket::Terminate) => return None,
            Self::FirstPacket(BadFirstPacket::Version(..)) | Self::Replication(_) => {
                SqlState::FEATURE_NOT_SUPPORTED
            }
            Self::Auth(error) => return Some(Fault::from(error)),
            Self::Route(error) => return Some(Fault::from(error)),
            Self::Pool(error) => return Some(Fault::from(error)),
            Self::Parameter(fault) => return Some((**fault).clone()),
            Self::Probe(error) => return Some(Fault::from(error)),
            Self::Walsender(error) => return Some(Fault::from(error)),
            Self::Timeout => SqlState::INVALID_AUTHORIZATION,
            Self::FirstPacket(_)
            | Self::NotAPassword(_)
            | Self::Length(_)
            | Self::BadPassword
            | Self::SaslTooLong(_)
            | Self::SaslInitial(_)
            | Self::EncryptionLoop
            | Self::BytesBeforeHandshake
            | Self::DirectWithoutAlpn
            | Self::Handshake(_) => SqlState::PROTOCOL_VIOLATION,
            Self::PasswordTooLong(_) => SqlState::INVALID_PASSWORD,
            Self::NoSuchWay => SqlState::INVALID_PARAMETER_VALUE,
            Self::NoOAuth => SqlState::FEATURE_NOT_SUPPORTED,
            Self::NoUser | Self::Certificate(_) | Self::Plaintext | Self::TlsRequired => {
                SqlState::INVALID_AUTHORIZATION
            }
            Self::TooManyLogins
            | Self::Displaced
            | Self::TooManyClients(_)
            | Self::TooManyOfTenant { .. } => SqlState::TOO_MANY_CONNECTIONS,
            Self::OutOfMemory(_) => SqlState::OUT_OF_MEMORY,
        };
        let fault = Fault::fatal(sqlstate, self.to_string());
        Some(match self.hint() {
            Some(hint) => fault.with_hint(hint),
            None => fault,
        })
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Timeout => "Send the token within client_login_timeout.",
            Self::Certificate(_) => "Connect with a certificate that is in force, and in a new TLS session.",
            Self::NoSuchWay => "It is oauth or password.",
            Self::NoOAuth => "Send the token as the password, or configure [auth.oauth].",
            Self::PasswordTooLong(_) => "The password is a JSON Web Token of at most 16 KiB.",
            Self::Plaintext => {
                "Connect with TLS (sslmode=require) or over loopback, or set allow_plaintext = true where the \
                 network is trusted."
            }
            Self::TlsRequired => "Set sslmode=require, or better verify-full.",
            Self::BytesBeforeHandshake => {
                "This can be a client's software bug or an attack by somebody on the network."
            }
            Self::Replication(unfit) => unfit.hint(),
            Self::TooManyLogins | Self::Displaced => {
                "Try again in a moment. The limits are max_pending_logins and max_address_pending_logins."
            }
            Self::OutOfMemory(_) => {
                "Close connections that are not needed, or try again in a moment. The operator can raise memory_budget."
            }
            Self::TooManyClients(_) => "Close connections that are not needed, or raise max_client_conn.",
            Self::TooManyOfTenant { .. } => {
                "Close connections that are not needed, or raise max_tenant_client_conn."
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_fails_for_want_of_a_server_connection_is_fatal() {
        let fault = LoginError::from(PoolError::Closed).to_fault().unwrap();
        assert_eq!(
            (fault.severity, fault.sqlstate),
            (Severity::Fatal, SqlState::ADMIN_SHUTDOWN)
        );
        assert!(LoginError::Gone.to_fault().is_none());
    }
}
