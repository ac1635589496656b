//! Who is this: tokens, keys, claims, principal.
//!
//! A client's password is a JWT (RFC 7519). [`Authenticator`] checks it against the configured issuers and
//! turns it into a [`Principal`], the proof that everything above builds on. The token never chooses how
//! it is checked: the issuer's list of algorithms and the type of its key do (RFC 8725, 3.1 and 3.2).

mod authenticator;
mod claim_path;
mod error;
mod fetch;
mod grant;
mod jwks;
mod key_store;
mod keys;
mod principal;
mod settings;
mod setup_error;
mod strict_json;
#[cfg(test)]
mod tests;
mod token;

pub use jsonwebtoken::Algorithm;

pub use authenticator::{Authenticator, KeySetReport, Wanted};
pub use claim_path::{ClaimPath, ClaimPathError};
pub use error::AuthError;
pub use principal::Principal;
pub use settings::{IssuerSettings, KeySource, Required, Settings};
pub use setup_error::{AuthSetupError, Place, SetupMistake, SetupReason};
