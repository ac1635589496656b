//! Why a login was refused, and how the client is told.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use thiserror::Error;

use super::{Doom, SaslError, Unstorable};
use crate::base::{Fault, RoleName, SqlState, limits};

/// Why somebody is not let in. No variant carries the token, its signature or the text of a claim other
/// than `iss`, role names and the names of claims.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No password, and anonymous sessions are not allowed.
    #[error("no token was given")]
    NoToken,
    /// Longer than [`limits::TOKEN_BYTES`].
    #[error(
        "token of {bytes} bytes is longer than the {} bytes allowed",
        limits::TOKEN_BYTES
    )]
    TokenTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The password has not the form of a JWT.
    #[error("token is not a JWT: {0}")]
    NotAToken(&'static str),
    /// An object in the token's header or claims holds a key twice.
    #[error("token is ambiguous: its {0} hold a key twice")]
    DuplicateKey(&'static str),
    /// The header marks extensions as critical; none is understood (RFC 7515, 4.1.11).
    #[error("token demands extensions (\"crit\") that are not supported")]
    CriticalExtension,
    /// The algorithm is `none`, or one that is not known.
    #[error("token is unsigned or signed with an unknown algorithm")]
    UnknownAlgorithm,
    /// The algorithm is not on the issuer's list, or its key is made for another one.
    #[error("token is signed with {0:?}, which is not allowed for its issuer")]
    AlgorithmNotAllowed(Algorithm),
    /// `iss` is not one of the configured issuers.
    #[error("token's issuer {0:?} is not trusted here")]
    UnknownIssuer(String),
    /// `kid` names no key of the issuer.
    #[error("token is signed with a key that its issuer does not publish")]
    UnknownKey,
    /// No `kid`, and the issuer has several keys that could be meant.
    #[error("token does not say which of its issuer's keys signed it")]
    AmbiguousKey,
    /// The signature does not match.
    #[error("token's signature is wrong")]
    BadSignature,
    /// `exp` is past.
    #[error("token expired {} ago", spoken(*ago))]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// `nbf` is to come.
    #[error("token is not valid yet; it will be in {}", spoken(*wait))]
    NotYetValid {
        /// How long from now.
        wait: Duration,
    },
    /// A claim that must be there is missing.
    #[error("token has no {0:?} claim")]
    MissingClaim(&'static str),
    /// A claim has the wrong type.
    #[error("token's {claim:?} claim is not {expected}")]
    WrongType {
        /// The claim.
        claim: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// `aud` names somebody else.
    #[error("token is meant for another audience")]
    WrongAudience {
        /// The audiences accepted for the issuer.
        accepted: Vec<String>,
    },
    /// The issuer's keys have never been read, so nothing can be verified.
    #[error("the keys of issuer {issuer:?} are not available")]
    KeysUnavailable {
        /// The issuer.
        issuer: String,
    },
    /// The token names no role and there is no default.
    #[error("token names no role: it has no claim at {0}")]
    NoRole(String),
    /// The role claim is neither a string nor an array of strings.
    #[error("token's role claim at {0} is neither a string nor an array of strings")]
    RoleType(String),
    /// The role is not on the list.
    #[error("none of the token's roles may be used here")]
    RoleNotAllowed {
        /// What the token names.
        named: Vec<String>,
    },
    /// The startup `user` names a role that the token does not carry.
    #[error("token does not permit role {wanted:?}")]
    RoleNotPermitted {
        /// The role that was asked for.
        wanted: RoleName,
        /// The roles it may have.
        permitted: Vec<RoleName>,
    },
    /// The token carries several roles and `user` names none of them.
    #[error("token carries several roles and none was chosen")]
    RoleNotChosen {
        /// The roles to choose from.
        permitted: Vec<RoleName>,
    },
    /// A session without a token asked for a role that needs one.
    #[error("role {0:?} needs a token")]
    RoleNeedsToken(RoleName),
    /// The tenant claim is no string, integer or array of these, or names an impossible tenant.
    #[error("token's tenant claim at {0} is not a tenant's name or a list of them")]
    TenantType(String),
    /// A claim that the database cannot hold: every statement that reads the claims would fail.
    #[error("token's claims hold {0}, which the database cannot store")]
    Unstorable(Unstorable),
    /// Somebody who comes by a user's name is not let in. The text is for the log: the client is told no more
    /// than the name.
    #[error("{} ({why})", refused(user))]
    UserRefused {
        /// The name, cut to what fits a message.
        user: String,
        /// Why.
        why: Doom,
    },
    /// A client by OAUTHBEARER wants to know where to get a token.
    #[error("OAuth bearer authentication failed: no token was sent")]
    NoBearer,
    /// A role that must not be had without a client certificate.
    #[error("role {0:?} needs a client certificate")]
    CertificateNeeded(RoleName),
    /// A SASL exchange that broke off.
    #[error(transparent)]
    Sasl(SaslError),
}

impl AuthError {
    /// The SQLSTATE: 28P01 for a token that is no good, 28000 for one that is good for something else,
    /// 57P03 where trying again later can help.
    pub fn sqlstate(&self) -> SqlState {
        match self {
            Self::NoToken
            | Self::TokenTooLong { .. }
            | Self::NotAToken(_)
            | Self::DuplicateKey(_)
            | Self::CriticalExtension
            | Self::UnknownAlgorithm
            | Self::AlgorithmNotAllowed(_)
            | Self::UnknownIssuer(_)
            | Self::UnknownKey
            | Self::AmbiguousKey
            | Self::BadSignature
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::MissingClaim(_)
            | Self::WrongType { .. }
            | Self::WrongAudience { .. }
            | Self::UserRefused { .. } => SqlState::INVALID_PASSWORD,
            Self::Sasl(error) => error.sqlstate(),
            Self::KeysUnavailable { .. } => SqlState::CANNOT_CONNECT_NOW,
            Self::NoRole(_)
            | Self::RoleType(_)
            | Self::RoleNotAllowed { .. }
            | Self::RoleNotPermitted { .. }
            | Self::RoleNotChosen { .. }
            | Self::RoleNeedsToken(_)
            | Self::TenantType(_)
            | Self::Unstorable(_)
            | Self::NoBearer
            | Self::CertificateNeeded(_) => SqlState::INVALID_AUTHORIZATION,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoToken | Self::RoleNeedsToken(_) => "Send a token (JWT) as the password.".into(),
            Self::TokenTooLong { .. } => "Ask the issuer for a token with fewer claims.".into(),
            Self::NotAToken(_) => NOT_A_TOKEN.into(),
            Self::DuplicateKey(_) | Self::CriticalExtension => {
                "The issuer has to sign a plain JWT (RFC 7519).".into()
            }
            Self::UnknownAlgorithm => UNKNOWN_ALGORITHM.into(),
            Self::AlgorithmNotAllowed(_) => {
                "Sign with one of the algorithms configured for the issuer and its keys.".into()
            }
            Self::UnknownIssuer(_) => {
                "The \"iss\" claim must equal a configured issuer, character for character.".into()
            }
            Self::UnknownKey => {
                "Get a fresh token. If keys were rotated just now, try again in a few seconds.".into()
            }
            Self::AmbiguousKey => "The issuer has to put the key's id (\"kid\") into the header.".into(),
            Self::BadSignature => {
                "The token was changed, or signed with another key. Get a fresh one.".into()
            }
            Self::Expired { .. } => "Get a fresh token and connect again.".into(),
            Self::NotYetValid { .. } => "Wait, or set the clocks of both machines.".into(),
            Self::MissingClaim(claim) => format!("The issuer has to add the \"{claim}\" claim."),
            Self::WrongType { .. } => "The issuer has to follow RFC 7519, section 4.1.".into(),
            Self::WrongAudience { accepted } if accepted.is_empty() => {
                "No audience is configured for this issuer, so its tokens may not name one.".into()
            }
            Self::WrongAudience { accepted } => {
                format!("The \"aud\" claim must name one of: {}.", accepted.join(", "))
            }
            Self::KeysUnavailable { .. } => "This is temporary. Try again in a few seconds.".into(),
            Self::NoRole(path) => {
                format!("The issuer has to put the role at {path}, or a default role has to be configured.")
            }
            Self::RoleType(path) => format!("The claim at {path} must be a string or an array of strings."),
            Self::RoleNotAllowed { named } => {
                format!(
                    "The token names {}. Its role must be configured first.",
                    named.join(", ")
                )
            }
            Self::RoleNotPermitted { permitted, .. } if permitted.is_empty() => {
                "Connect as a user whose name is no role.".into()
            }
            Self::RoleNotPermitted { permitted, .. } => {
                format!("Connect with one of these as the user: {}.", listed(permitted))
            }
            Self::RoleNotChosen { permitted } => {
                format!("Connect with one of these as the user: {}.", listed(permitted))
            }
            Self::TenantType(path) => {
                format!("The claim at {path} must be a string, an integer or an array of these.")
            }
            Self::Unstorable(_) => "The issuer has to leave it out, wherever in the claims it is.".into(),
            Self::UserRefused { .. } => {
                "Check the name and the password, and send the client certificate if the user has one.".into()
            }
            Self::NoBearer => "Get a token from the issuer that was named, and connect again.".into(),
            Self::CertificateNeeded(_) => {
                "Connect with TLS and a client certificate (sslmode=require sslcert=… sslkey=…).".into()
            }
            Self::Sasl(error) => error.hint().into(),
        }
    }
}

const NOT_A_TOKEN: &str = "The password is a signed JWT: three base64url parts joined by dots. Passwords of \
                           database users are not accepted.";

const UNKNOWN_ALGORITHM: &str = "Sign with one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
                                 ES256, ES384, EdDSA, as configured for the issuer.";

impl From<&AuthError> for Fault {
    fn from(error: &AuthError) -> Self {
        let message = match error {
            AuthError::UserRefused { user, .. } => refused(user),
            other => other.to_string(),
        };
        Self::fatal(error.sqlstate(), message).with_hint(error.hint())
    }
}

/// What the server says (`auth_failed`, auth.c).
fn refused(user: &str) -> String {
    format!("password authentication failed for user {user:?}")
}

fn listed(roles: &[RoleName]) -> String {
    let names: Vec<&str> = roles.iter().map(RoleName::as_str).collect();
    names.join(", ")
}

/// A duration in its largest whole unit.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (300, "5 minutes"),
            (7_199, "1 hour"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(spoken(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_fault_says_why_and_what_to_do() {
        let expired = AuthError::Expired {
            ago: Duration::from_secs(301),
        };
        let fault = Fault::from(&expired);
        assert_eq!(fault.to_string(), "FATAL 28P01: token expired 5 minutes ago");
        assert_eq!(
            fault.hint.as_deref(),
            Some("Get a fresh token and connect again.")
        );
        let roles = AuthError::RoleNotChosen {
            permitted: vec!["a".into(), "b".into()],
        };
        let fault = Fault::from(&roles);
        assert_eq!(fault.sqlstate, SqlState::INVALID_AUTHORIZATION);
        assert_eq!(
            fault.hint.as_deref(),
            Some("Connect with one of these as the user: a, b.")
        );
        let down = AuthError::KeysUnavailable { issuer: "x".into() };
        assert_eq!(Fault::from(&down).sqlstate, SqlState::CANNOT_CONNECT_NOW);
    }
}
