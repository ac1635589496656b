//! What can be wrong with a SASL message.

use thiserror::Error;

use crate::base::SqlState;

/// Why a SASL exchange ends before anything is proved. Never repeats what the client sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaslError {
    /// Another mechanism than those offered.
    #[error("client selected an invalid SASL authentication mechanism")]
    Mechanism,
    /// The message has not its form.
    #[error("malformed SASL message: {0}")]
    Malformed(&'static str),
    /// `a=` in the GS2 header.
    #[error("client uses authorization identity, but it is not supported")]
    AuthorizationIdentity,
    /// `m=`: an extension that must be understood.
    #[error("client requires an unsupported SCRAM extension")]
    Extension,
    /// The client can bind to the channel and thinks that we cannot, yet it was offered.
    #[error("SCRAM channel binding negotiation error")]
    Downgrade,
    /// Another kind of channel binding than tls-server-end-point.
    #[error("unsupported SCRAM channel-binding type")]
    BindingType,
    /// The client sees another channel than we do.
    #[error("SCRAM channel binding check failed")]
    WrongChannel,
    /// The nonce is not the one agreed upon.
    #[error("invalid SCRAM response: the nonce does not match")]
    Nonce,
}

impl SaslError {
    /// The SQLSTATE, as Postgres has it (`auth-scram.c`, `auth-oauth.c`).
    pub fn sqlstate(self) -> SqlState {
        match self {
            Self::Mechanism | Self::Malformed(_) | Self::BindingType | Self::Nonce => {
                SqlState::PROTOCOL_VIOLATION
            }
            Self::AuthorizationIdentity | Self::Extension => SqlState::FEATURE_NOT_SUPPORTED,
            Self::Downgrade | Self::WrongChannel => SqlState::INVALID_AUTHORIZATION,
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Mechanism => "Use one of the mechanisms that were offered.",
            Self::Malformed(_) | Self::Nonce => "This is a mistake of the client's software.",
            Self::AuthorizationIdentity => "Name the user in the startup packet alone.",
            Self::Extension => "Use a client that speaks plain SCRAM-SHA-256 (RFC 7677).",
            Self::BindingType => "Bind to tls-server-end-point (RFC 5929).",
            Self::Downgrade | Self::WrongChannel => {
                "Somebody between the client and here speaks TLS with both. Connect without them, or with \
                 channel_binding=disable where you trust them."
            }
        }
    }
}
