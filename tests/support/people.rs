//! The people of the demo schema and their tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto, encode};
use serde_json::{Map, Value, json};

/// The issuer that the proxy under test trusts.
pub(crate) const ISSUER: &str = "https://issuer.test";

/// The audience it expects.
pub(crate) const AUDIENCE: &str = "portcullis";

/// The key it verifies with.
pub(crate) const SECRET: &str = "the-test-issuer-signs-with-this-secret-0123456789";

/// Somebody with rows in `schema.sql`.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// `sub` in the token and `owner` in the tables.
    pub(crate) name: String,
    /// `tenant` in both.
    pub(crate) tenant: String,
}

/// A user of acme.
pub(crate) fn alice() -> Person {
    person("alice", "acme")
}

/// Another user of acme.
pub(crate) fn carol() -> Person {
    person("carol", "acme")
}

/// A user of globex.
pub(crate) fn bob() -> Person {
    person("bob", "globex")
}

/// Anybody.
pub(crate) fn person(name: &str, tenant: &str) -> Person {
    Person {
        name: name.to_owned(),
        tenant: tenant.to_owned(),
    }
}

impl Person {
    /// The claims of an ordinary token, valid for an hour.
    pub(crate) fn claims(&self) -> Map<String, Value> {
        let claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": self.name,
            "tenant": self.tenant,
            "role": "authenticated",
            "exp": in_seconds(3600),
        });
        claims.as_object().unwrap().clone()
    }

    /// An ordinary token.
    pub(crate) fn token(&self) -> String {
        sign(&self.claims(), SECRET)
    }

    /// A token with some claims replaced (`Value::Null` removes one).
    pub(crate) fn token_with(&self, changes: &[(&str, Value)]) -> String {
        let mut claims = self.claims();
        for (name, value) in changes {
            if value.is_null() {
                claims.remove(*name);
            } else {
                claims.insert((*name).to_owned(), value.clone());
            }
        }
        sign(&claims, SECRET)
    }
}

/// Seconds since the epoch, `seconds` from now.
pub(crate) fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

/// A token with exactly this text for its claims.
pub(crate) fn sign_text(claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes()).unwrap();
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// Signs claims with HS256.
pub(crate) fn sign(claims: &Map<String, Value>, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes()).unwrap();
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}
