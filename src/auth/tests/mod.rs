//! Tokens of every kind against an authenticator as a whole.

mod algorithms;
mod forgeries;
mod key_sets;
mod logins;
mod setup;
mod users;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::base::{Events, RoleName, Secret};

const ISSUER: &str = "https://issuer.test";
const SECRET: &[u8] = b"a secret of the tests, 32 bytes and more";

fn settings(algorithms: &[Algorithm], keys: KeySource) -> Settings {
    Settings {
        issuers: vec![issuer(algorithms, keys)],
        role_claim: ClaimPath::parse("role").unwrap(),
        default_role: None,
        roles: ["member", "admin", "reader"]
            .into_iter()
            .map(RoleName::from)
            .collect(),
        tenant_claim: Some(ClaimPath::parse("$.tenant").unwrap()),
        anonymous_role: None,
        token_cache_bytes: 1_000_000,
        ways: Ways::default(),
    }
}

fn issuer(algorithms: &[Algorithm], keys: KeySource) -> IssuerSettings {
    IssuerSettings {
        issuer: ISSUER.to_owned(),
        audience: vec!["portcullis".to_owned()],
        algorithms: algorithms.to_vec(),
        keys,
        leeway: Duration::from_secs(5),
        require_exp: Required::Yes,
    }
}

fn hs256() -> Settings {
    settings(&[Algorithm::HS256], KeySource::Secret(Secret::new(SECRET)))
}

fn authenticator(settings: Settings) -> Arc<Authenticator> {
    Authenticator::new(settings, Events::none()).unwrap()
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Good claims, changed: `null` removes one.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "portcullis", "sub": "u1", "role": "member", "tenant": "acme",
        "exp": now_seconds() + 600,
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

/// A token that [`hs256`] trusts, but for the changes.
fn token(changes: Value) -> String {
    sign(
        &Header::new(Algorithm::HS256),
        &claims(changes),
        &EncodingKey::from_secret(SECRET).unwrap(),
    )
}

/// A token with exactly these bytes as header and claims, properly signed with [`SECRET`].
fn raw_token(header: &str, claims: &str) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = EncodingKey::from_secret(SECRET).unwrap();
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

async fn log_in(auth: &Authenticator, token: &str) -> Result<Arc<Principal>, AuthError> {
    log_in_as(auth, token, "somebody").await
}

async fn log_in_as(auth: &Authenticator, token: &str, user: &str) -> Result<Arc<Principal>, AuthError> {
    let wanted = Wanted {
        user,
        database: "acme",
    };
    auth.authenticate(Some(token.as_bytes()), &wanted).await
}
