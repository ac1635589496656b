//! What `auth` needs to know; `config` fills it in.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::{ClaimPath, NamePattern, OAuthSettings, UsersFile};
use crate::base::{RoleName, Secret};

/// Who may log in, and as what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose tokens are trusted. May be empty only where `anonymous_role` or a users file is set.
    pub issuers: Vec<IssuerSettings>,
    /// The claim that names the role: a string or an array of strings.
    pub role_claim: ClaimPath,
    /// The role of a token that names none. One of `roles`.
    pub default_role: Option<RoleName>,
    /// Every role a token may ask for.
    pub roles: BTreeSet<RoleName>,
    /// The claim that names the tenants: a string, an integer or an array of these.
    pub tenant_claim: Option<ClaimPath>,
    /// The role of a session without a password; `None` refuses such sessions. Need not be one of `roles`:
    /// if it is not, no token can ask for it.
    pub anonymous_role: Option<RoleName>,
    /// Memory for verified tokens, in bytes (roughly). 0 verifies every login afresh.
    pub token_cache_bytes: u64,
    /// Other ways in than a token as the password.
    pub ways: Ways,
}

/// Ways in besides a token as the password. By default there are none.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// Services and tools with a name of their own.
    pub users: Option<UsersFile>,
    /// Names that are asked for a user's password (SCRAM) whether or not they are in the users file, so that
    /// nobody can tell which ones are. All names are, where a token or an anonymous session is of no use.
    pub scram_names: Vec<NamePattern>,
    /// Tokens by SASL OAUTHBEARER.
    pub oauth: Option<OAuthSettings>,
    /// Roles that nobody has without a client certificate, whatever else they can show.
    pub certificate_roles: BTreeSet<RoleName>,
}

/// One issuer of tokens.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
    /// The `iss` of its tokens, character for character.
    pub issuer: String,
    /// A token's `aud` must name one of these. Empty: a token that names an audience is refused, for it is
    /// meant for somebody else (RFC 7519, 4.1.3).
    pub audience: Vec<String>,
    /// The algorithms its tokens may be signed with. Those that its keys are not made for never apply.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// By how much clocks may differ: tokens are good this much before `nbf` and after `exp`.
    pub leeway: Duration,
    /// Whether a token without `exp` is refused.
    pub require_exp: Required,
}

/// Whether something must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// It must.
    Yes,
    /// It may be missing.
    No,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// One HMAC secret of at least 32 bytes. Nothing is trimmed or decoded.
    Secret(Secret),
    /// One public key (RSA of 2048 to 8192 bits, P-256, P-384, Ed25519) or certificate, in PEM.
    /// A certificate's dates are not looked at.
    Pem(Vec<u8>),
    /// A JWK set in a file, read again when its modification time or size changes.
    JwksFile(PathBuf),
    /// A JWK set behind a URL.
    JwksUrl {
        /// `https`, or `http` to a loopback address. Redirects are not followed.
        url: String,
        /// How often it is fetched in the background.
        refresh_interval: Duration,
        /// The least time between two fetches, whatever asks for them.
        min_interval: Duration,
        /// How long one fetch may take, body included.
        timeout: Duration,
        /// The largest body that is read.
        max_bytes: usize,
    },
}
