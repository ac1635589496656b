//! What is kept of a password: enough to check a proof, not enough to make one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::KEY_BYTES;

/// The start of a verifier as `pg_authid.rolpassword` holds it (PostgreSQL manual, 53.8).
const SCHEME: &str = "SCRAM-SHA-256$";

/// A SCRAM-SHA-256 verifier (RFC 5803, in the form of `parse_scram_secret`, scram-common.c): salt, rounds, and
/// the two keys that are derived from the password. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: [u8; KEY_BYTES],
    pub(super) server_key: [u8; KEY_BYTES],
}

/// Why a text is no verifier. Never repeats it: it may be a password.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadVerifier {
    /// An MD5 hash, which is as good as the password itself to whoever reads it.
    #[error("is an MD5 hash; make a SCRAM verifier with `portcullis scram-secret`")]
    Md5,
    /// Anything else that does not begin like a verifier.
    #[error("is no SCRAM verifier (SCRAM-SHA-256$…); make one of a password with `portcullis scram-secret`")]
    Scheme,
    /// It begins like one.
    #[error("is a broken SCRAM verifier: SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>")]
    Form,
}

impl ScramVerifier {
    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, BadVerifier> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            let digits = text.strip_prefix("md5").unwrap_or_default();
            let is_md5 = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            return Err(if is_md5 {
                BadVerifier::Md5
            } else {
                BadVerifier::Scheme
            });
        };
        Self::parts(rest).ok_or(BadVerifier::Form)
    }

    /// A verifier that no proof fits, for names that have none.
    pub(in crate::auth) fn mock(iterations: u32, salt: Vec<u8>) -> Self {
        Self {
            iterations,
            salt,
            stored_key: [0; KEY_BYTES],
            server_key: [0; KEY_BYTES],
        }
    }

    /// Rounds, and bytes of salt: what somebody who only asks is shown.
    pub(in crate::auth) fn shape(&self) -> (u32, usize) {
        (self.iterations, self.salt.len())
    }

    /// A secret that only whoever has the verifier knows.
    pub(in crate::auth) fn server_key(&self) -> &[u8] {
        &self.server_key
    }

    fn parts(rest: &str) -> Option<Self> {
        let (work, keys) = rest.split_once('$')?;
        let (iterations, salt) = work.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        let iterations = iterations
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| iterations.parse().ok())??;
        let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
        Some(Self {
            iterations: (iterations > 0).then_some(iterations)?,
            salt,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<verifier>")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_what_postgres_keeps() {
        let made = postgres_protocol::password::scram_sha_256(b"hunter2");
        let verifier = ScramVerifier::parse(&made).unwrap();
        assert_eq!(verifier.shape(), (4096, 16));
        assert!(!format!("{verifier:?}").contains("4096"));
    }

    #[test]
    fn says_what_is_wrong_without_repeating_it() {
        let good = postgres_protocol::password::scram_sha_256(b"hunter2");
        for (text, expected) in [
            ("hunter2".to_owned(), BadVerifier::Scheme),
            (String::new(), BadVerifier::Scheme),
            ("md5".to_owned() + &"0a".repeat(16), BadVerifier::Md5),
            (good.replace('$', ":"), BadVerifier::Scheme),
            (good.replace("4096", "0"), BadVerifier::Form),
            (good.replace("4096", "+4096"), BadVerifier::Form),
            (good.replace("4096", "99999999999"), BadVerifier::Form),
            (good[..good.len() - 4].to_owned(), BadVerifier::Form),
            ("SCRAM-SHA-256$4096:".to_owned(), BadVerifier::Form),
            ("SCRAM-SHA-256$4096:$a:b".to_owned(), BadVerifier::Form),
        ] {
            assert_eq!(ScramVerifier::parse(&text).unwrap_err(), expected, "{text}");
            assert!(text.is_empty() || !expected.to_string().contains(&text));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(SCRAM-SHA-256\\$)?[0-9a-zA-Z$:=+/ ]{0,60}") {
            let _ = ScramVerifier::parse(&text);
        }
    }
}
