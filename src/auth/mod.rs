//! Who is this: tokens, keys, claims, principal.
//!
//! A client's password is a JWT (RFC 7519). [`Authenticator`] checks it against the configured issuers and
//! turns it into a [`Principal`], the proof that everything above builds on. The token never chooses how
//! it is checked: the issuer's list of algorithms and the type of its key do (RFC 8725, 3.1 and 3.2).
//!
//! Who has no token may be one of the `users` by name, with a password (`scram`) or a `certificate`. `bearer` is
//! the token with another frame around it.

mod authenticator;
mod bearer;
mod certificate;
mod claim_path;
mod claims;
mod error;
mod fetch;
mod grant;
pub mod json;
mod jwks;
mod key_store;
mod keys;
mod name_pattern;
mod principal;
mod sasl_error;
mod scram;
mod settings;
mod setup_error;
#[cfg(test)]
mod tests;
mod token;
mod users;

pub use jsonwebtoken::Algorithm;

pub use authenticator::{Authenticator, KeySetReport, Wanted};
pub use bearer::{Bearer, OAuthSettings};
pub use certificate::{BadCertificateName, CertificateName};
pub use claim_path::{ClaimPath, ClaimPathError};
pub use claims::{Claims, Unstorable};
pub use error::AuthError;
pub use name_pattern::NamePattern;
pub use principal::{Credential, Principal};
pub use sasl_error::SaslError;
pub use scram::{BadVerifier, ScramVerifier};
pub use settings::{IssuerSettings, KeySource, Required, Settings, Ways};
pub use setup_error::{AuthSetupError, Place, SetupMistake, SetupReason};
pub use users::{Doom, PasswordLogin, PasswordProof, ReadUsers, UserLogin, UserSettings, UsersFile};
