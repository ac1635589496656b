//! `portcullis token`: signs a token for development and tests.

mod arguments;
#[cfg(test)]
mod tests;

pub use arguments::{TokenArguments, run};

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, crypto};
use thiserror::Error;

use crate::auth::json::{Json, Object, one_or_several};
use crate::auth::{Algorithm, ClaimPath, ClaimPathError};
use crate::base::{Secret, limits};

/// What to sign, and with what.
#[derive(Clone, Debug)]
pub struct TokenOptions {
    /// The key.
    pub key: SigningKey,
    /// The algorithm; `None` takes the usual one for the key: HS256, RS256, ES256 or ES384 by its curve, EdDSA.
    pub algorithm: Option<Algorithm>,
    /// `kid` in the header.
    pub key_id: Option<String>,
    /// `iss`.
    pub issuer: Option<String>,
    /// `aud`: one is a string, several are an array, none leaves the claim out.
    pub audience: Vec<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// Where roles go, as the configuration's `role_claim` says.
    pub role_claim: ClaimPath,
    /// Roles: one is a string, several are an array, none leaves the claim out.
    pub roles: Vec<String>,
    /// Where tenants go, as the configuration's `tenant_claim` says.
    pub tenant_claim: ClaimPath,
    /// Tenants, as for roles.
    pub tenants: Vec<String>,
    /// More claims as `path=value`; see [`parse_claim`]. They come last and replace the others.
    pub claims: Vec<String>,
    /// How long from now the token is good; `None` leaves `exp` out.
    pub expires_in: Option<Duration>,
}

/// The key that signs.
#[derive(Clone, Debug)]
pub enum SigningKey {
    /// An HMAC secret.
    Secret(Secret),
    /// A file with an HMAC secret. One line break at its end is not part of it.
    SecretFile(PathBuf),
    /// A private key in PEM: RSA, or EC or Ed25519 in PKCS #8.
    Pem(Secret),
    /// A file with such a key.
    PemFile(PathBuf),
}

/// Why there is no token. Shows neither the key nor a claim's value.
#[derive(Debug, Error)]
pub enum TokenError {
    /// A key file cannot be read.
    #[error("{}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The HMAC secret has no bytes.
    #[error("the secret is empty")]
    EmptySecret,
    /// The PEM text holds no private key that can sign here.
    #[error(
        "not a private key in PEM that can sign; EC keys must be in PKCS #8 \
         (openssl pkcs8 -topk8 -nocrypt) and of the curve P-256 or P-384"
    )]
    BadPem,
    /// The algorithm is made for another kind of key.
    #[error("{0:?} cannot be used with this key")]
    AlgorithmDoesNotFit(Algorithm),
    /// A claim is not `path=value`.
    #[error("{0:?} is not PATH=VALUE")]
    NotAClaim(String),
    /// A claim's path leads nowhere.
    #[error("{path:?}: {source}")]
    Claim {
        /// The path.
        path: String,
        /// Why.
        source: ClaimPathError,
    },
    /// `exp` is out of range.
    #[error("the token would expire after the end of time")]
    TooLate,
    /// Larger than any token that is accepted.
    #[error("the token has {0} bytes; {limit} are the most that is accepted", limit = limits::TOKEN_BYTES)]
    TooLong(usize),
    /// The cryptography library failed.
    #[error("signing failed")]
    Signing,
}

/// Signs a token. `iat` is now.
///
/// # Errors
/// See [`TokenError`].
pub fn sign(options: &TokenOptions) -> Result<String, TokenError> {
    let (key, usual) = options.key.load()?;
    let algorithm = options.algorithm.unwrap_or(usual);
    if algorithm.family() != usual.family() {
        return Err(TokenError::AlgorithmDoesNotFit(algorithm));
    }
    let mut header = Header::new(algorithm);
    header.kid.clone_from(&options.key_id);
    let claims = options.claims(SystemTime::now())?;
    let header = serde_json::to_vec(&header).map_err(|_| TokenError::Signing)?;
    // By hand: numbers are signed as they were written.
    let claims = Json::Object(claims).to_string();
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    // ES256 with a key of another curve is found out only here.
    let signature = crypto::sign(message.as_bytes(), &key, algorithm).map_err(|_| match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => TokenError::AlgorithmDoesNotFit(algorithm),
        _ => TokenError::Signing,
    })?;
    let token = format!("{message}.{signature}");
    if token.len() > limits::TOKEN_BYTES {
        return Err(TokenError::TooLong(token.len()));
    }
    Ok(token)
}

/// Splits `path=value`. The value is JSON if it parses as such, else a string; write `sub="42"` for a string of
/// digits. A `=` inside a quoted name belongs to the path: `$['a=b']=1`.
///
/// # Errors
/// [`TokenError::NotAClaim`] without a `=`, [`TokenError::Claim`] if what is left of it is no path.
pub fn parse_claim(text: &str) -> Result<(ClaimPath, Json), TokenError> {
    let mut first_error = None;
    for (at, _) in text.match_indices('=') {
        let (path, value) = text.split_at(at);
        match ClaimPath::parse(path) {
            Ok(path) => {
                let value = value.strip_prefix('=').unwrap_or_default();
                let value = Json::parse(value).unwrap_or_else(|| Json::from(value));
                return Ok((path, value));
            }
            Err(source) => {
                first_error.get_or_insert(TokenError::Claim {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
    Err(first_error.unwrap_or_else(|| TokenError::NotAClaim(text.to_owned())))
}

impl TokenOptions {
    /// Signs with this key, and says nothing yet: no claim but `iat`, no expiry.
    pub fn new(key: SigningKey) -> Self {
        Self {
            key,
            algorithm: None,
            key_id: None,
            issuer: None,
            audience: Vec::new(),
            subject: None,
            role_claim: ClaimPath::named("role"),
            roles: Vec::new(),
            tenant_claim: ClaimPath::named("tenant"),
            tenants: Vec::new(),
            claims: Vec::new(),
            expires_in: None,
        }
    }

    fn claims(&self, now: SystemTime) -> Result<Object, TokenError> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut claims = Object::new();
        claims.insert("iat".to_owned(), Json::from(since.as_secs()));
        if let Some(lifetime) = self.expires_in {
            let exp = since.checked_add(lifetime).ok_or(TokenError::TooLate)?;
            claims.insert("exp".to_owned(), Json::from(exp.as_secs()));
        }
        for (name, value) in [("iss", &self.issuer), ("sub", &self.subject)] {
            if let Some(value) = value {
                claims.insert(name.to_owned(), Json::from(value.as_str()));
            }
        }
        if let Some(audience) = one_or_several(&self.audience) {
            claims.insert("aud".to_owned(), audience);
        }
        for (path, values) in [
            (&self.role_claim, &self.roles),
            (&self.tenant_claim, &self.tenants),
        ] {
            if let Some(value) = one_or_several(values) {
                assign(path, &mut claims, value)?;
            }
        }
        for claim in &self.claims {
            let (path, value) = parse_claim(claim)?;
            assign(&path, &mut claims, value)?;
        }
        Ok(claims)
    }
}

impl SigningKey {
    /// The key and the algorithm that is usual for it.
    fn load(&self) -> Result<(EncodingKey, Algorithm), TokenError> {
        match self {
            Self::Secret(secret) => hmac(secret.expose()),
            Self::SecretFile(path) => {
                let text = read(path)?;
                let text = text.strip_suffix(b"\n").unwrap_or(&text);
                hmac(text.strip_suffix(b"\r").unwrap_or(text))
            }
            Self::Pem(pem) => private_key(pem.expose()),
            Self::PemFile(path) => private_key(&read(path)?),
        }
    }
}

fn hmac(secret: &[u8]) -> Result<(EncodingKey, Algorithm), TokenError> {
    let key = EncodingKey::from_secret(secret).map_err(|_| TokenError::EmptySecret)?;
    Ok((key, Algorithm::HS256))
}

fn private_key(pem: &[u8]) -> Result<(EncodingKey, Algorithm), TokenError> {
    if let Ok(key) = EncodingKey::from_rsa_pem(pem) {
        return Ok((key, Algorithm::RS256));
    }
    if let Ok(key) = EncodingKey::from_ed_pem(pem) {
        return Ok((key, Algorithm::EdDSA));
    }
    let key = EncodingKey::from_ec_pem(pem).map_err(|_| TokenError::BadPem)?;
    // The key does not tell its curve, but it signs for its own alone.
    for algorithm in [Algorithm::ES256, Algorithm::ES384] {
        if jsonwebtoken::crypto::sign(b"", &key, algorithm).is_ok() {
            return Ok((key, algorithm));
        }
    }
    Err(TokenError::BadPem)
}

fn read(path: &PathBuf) -> Result<Vec<u8>, TokenError> {
    std::fs::read(path).map_err(|source| TokenError::KeyFile {
        path: path.clone(),
        source,
    })
}

fn assign(path: &ClaimPath, claims: &mut Object, value: Json) -> Result<(), TokenError> {
    path.assign(claims, value).map_err(|source| TokenError::Claim {
        path: path.to_string(),
        source,
    })
}
