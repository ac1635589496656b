//! The demonstration's signing key, and the tokens it signs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::DevError;
use super::error::while_doing;
use super::folder::write_private;

/// Who signs the demonstration's tokens, and whom they are for.
pub(super) const ISSUER: &str = "portcullis-dev";

/// How long a demonstration token is valid: a working day and then some.
const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// A key for HS256 should be as long as the hash (RFC 7518, 3.2).
const KEY_BYTES: usize = 32;

/// A secret of printable characters that no two runs share.
pub(super) fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; KEY_BYTES]>())
}

/// An HS256 key in a file of its own. Kept beside kept data, so that yesterday's tokens still fit.
pub(super) struct SigningKey {
    path: PathBuf,
    key: EncodingKey,
}

impl SigningKey {
    /// Reads the key at `path`, or makes one there.
    pub(super) fn load_or_make(path: &Path) -> Result<Self, DevError> {
        let text = match fs::read_to_string(path) {
            Ok(text) if bytes_of(&text).len() >= KEY_BYTES => text,
            Ok(_) => {
                let short = io::Error::other(format!("it holds fewer than {KEY_BYTES} bytes: remove it"));
                return Err(while_doing(|| format!("use the signing key {}", path.display()))(
                    short,
                ));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let text = random_text();
                write_private(path, &text)?;
                text
            }
            Err(e) => return Err(while_doing(|| format!("read {}", path.display()))(e)),
        };
        Ok(Self {
            path: path.to_owned(),
            key: EncodingKey::from_secret(bytes_of(&text))?,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A token for one user of one tenant, valid from now on.
    pub(super) fn token(&self, user: &str, tenant: &str) -> Result<String, DevError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = json!({
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": user,
            "role": "authenticated",
            "tenant": tenant,
            "iat": now.as_secs(),
            "exp": (now + TOKEN_LIFETIME).as_secs(),
        });
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &claims,
            &self.key,
        )?)
    }
}

/// The key in a file's text: one line break at its end is not part of it, as for every secret in a file.
fn bytes_of(text: &str) -> &[u8] {
    match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line).as_bytes(),
        None => text.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};

    use super::*;

    #[test]
    fn a_kept_key_still_verifies_yesterdays_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let token = SigningKey::load_or_make(&path)
            .unwrap()
            .token("alice", "acme")
            .unwrap();
        let again = SigningKey::load_or_make(&path).unwrap();
        let secret = fs::read_to_string(again.path()).unwrap();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&[ISSUER]);
        let key = DecodingKey::from_secret(secret.as_bytes()).unwrap();
        let claims = decode::<serde_json::Value>(&token, &key, &validation)
            .unwrap()
            .claims;
        assert_eq!(
            (&claims["sub"], &claims["tenant"]),
            (&json!("alice"), &json!("acme"))
        );
        assert_eq!(
            claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
            12 * 3600
        );
    }

    #[test]
    fn a_token_needs_no_escaping_in_a_url_or_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_make(&folder.path().join("key")).unwrap();
        let token = key.token("alice", "acme").unwrap();
        assert!(
            token
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
            "{token}"
        );
    }

    #[test]
    fn a_short_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "short\n").unwrap();
        let error = SigningKey::load_or_make(&path)
            .err()
            .expect("refused")
            .to_string();
        assert!(error.contains("32 bytes"), "{error}");
    }

    #[test]
    fn an_editors_line_break_is_not_part_of_the_key() {
        assert_eq!(bytes_of("key\n"), b"key");
        assert_eq!(bytes_of("key\r\n"), b"key");
        assert_eq!(bytes_of("key \n\n"), b"key \n");
        assert_eq!(bytes_of("key\r"), b"key\r");
    }

    #[test]
    fn no_two_secrets_are_the_same() {
        assert_ne!(random_text(), random_text());
    }
}
