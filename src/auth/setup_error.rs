//! What can be wrong with the settings: all mistakes are told at once.

use std::fmt;

use thiserror::Error;

/// The settings cannot work.
#[derive(Debug, Error)]
pub struct AuthSetupError {
    /// Every mistake that was found, in the order of the settings; never empty.
    pub mistakes: Vec<SetupMistake>,
}

impl fmt::Display for AuthSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

/// One mistake.
#[derive(Debug)]
pub struct SetupMistake {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub reason: SetupReason,
}

impl fmt::Display for SetupMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// Where a mistake is, so that a config file's key can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The list of issuers as a whole.
    Issuers,
    /// An issuer's name; its index counts from 0.
    Issuer(usize),
    /// An issuer's algorithms.
    Algorithms(usize),
    /// An issuer's keys.
    Keys(usize),
    /// The list of roles.
    Roles,
    /// The default role.
    DefaultRole,
    /// The role of sessions without a password.
    AnonymousRole,
    /// The users file.
    Users,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuers => f.write_str("issuers"),
            Self::Issuer(index) => write!(f, "issuers[{index}].issuer"),
            Self::Algorithms(index) => write!(f, "issuers[{index}].algorithms"),
            Self::Keys(index) => write!(f, "issuers[{index}].keys"),
            Self::Roles => f.write_str("roles"),
            Self::DefaultRole => f.write_str("default_role"),
            Self::AnonymousRole => f.write_str("anonymous_role"),
            Self::Users => f.write_str("users_file"),
        }
    }
}

/// What is wrong.
#[derive(Debug, Error)]
pub enum SetupReason {
    /// Neither issuers nor an anonymous role nor users.
    #[error("nobody could log in: there is neither an issuer nor an anonymous role nor a users file")]
    NobodyCanLogIn,
    /// Issuers, but no role for their tokens.
    #[error("no role is listed, so every token would be refused")]
    NoRoles,
    /// `iss` must name something.
    #[error("the issuer's name is empty")]
    EmptyIssuer,
    /// Two issuers of one name.
    #[error("the issuer {0:?} is there twice")]
    DuplicateIssuer(String),
    /// An empty list of algorithms.
    #[error("no algorithm is listed")]
    NoAlgorithms,
    /// None of the algorithms fits the key.
    #[error("none of the algorithms fits the key, which can verify {0}")]
    AlgorithmsDoNotFit(String),
    /// Symmetric algorithms only, with keys from a URL.
    #[error("HMAC algorithms cannot be used with keys from a URL, which are public")]
    HmacFromUrl,
    /// `SET ROLE none` is a keyword, even in quotes; see `check_role` in variable.c of Postgres.
    #[error("{0:?} cannot be a role: Postgres reads it as \"no role\", which is the login role")]
    RoleIsKeyword(String),
    /// A name Postgres would cut off or cannot hold.
    #[error("{0:?} cannot be a role: names have 1 to 63 bytes and no NUL")]
    RoleNameLength(String),
    /// The default role must be on the list.
    #[error("the role {0:?} is not one of the listed roles")]
    RoleNotListed(String),
    /// An HMAC secret that can be guessed (RFC 7518, 3.2).
    #[error("the secret has {bytes} bytes; at least {least} are needed")]
    SecretTooShort {
        /// What it has.
        bytes: usize,
        /// What it needs.
        least: usize,
    },
    /// A PEM file where a secret belongs: public text would become the secret.
    #[error("the secret is a PEM file; give it as a PEM key instead")]
    SecretIsPem,
    /// The PEM file is no key this program can use.
    #[error("not a usable public key: {0}")]
    BadPem(&'static str),
    /// The key set file cannot be used.
    #[error("{path}: {reason}")]
    KeyFile {
        /// The file.
        path: String,
        /// What went wrong.
        reason: String,
    },
    /// The users file cannot be used.
    #[error("{0}")]
    Users(String),
    /// The URL cannot be used.
    #[error("{0}")]
    BadUrl(&'static str),
    /// A time or size of zero, or an interval shorter than the least one.
    #[error("{0}")]
    BadInterval(&'static str),
    /// The HTTP client could not be made, e.g. because the system has no root certificates.
    #[error("no HTTPS client: {0}")]
    HttpClient(String),
}
