//! Reading a JWK set (RFC 7517, 5).

use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::keys::{Key, KeySet};

/// Why a document is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum JwksError {
    #[error("it is not a JWK set, an object with an array \"keys\"")]
    NotASet,
    #[error("none of its {0} keys can verify signatures here")]
    NothingUsable(usize),
}

/// Whether symmetric keys in a set may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SymmetricKeys {
    /// In a file, which can be kept secret.
    Use,
    /// Behind a URL, where everybody can read them.
    Ignore,
}

/// Reads a set. Keys that are not for signatures, or of a type, curve or size that is not supported, are left
/// out, as RFC 7517 asks: a set may hold keys for other readers.
pub(super) fn parse(document: &[u8], symmetric: SymmetricKeys) -> Result<KeySet, JwksError> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    let document: Document = serde_json::from_slice(document).map_err(|_| JwksError::NotASet)?;
    let count = document.keys.len();
    let keys: Vec<Key> = document
        .keys
        .into_iter()
        .filter_map(|key| serde_json::from_value::<Jwk>(key).ok())
        .filter(is_for_signatures)
        .filter_map(|jwk| Key::from_jwk(&jwk))
        .filter(|key| symmetric == SymmetricKeys::Use || !key.is_secret())
        .collect();
    if keys.is_empty() {
        return Err(JwksError::NothingUsable(count));
    }
    Ok(KeySet::Published(keys))
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let by_use = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let operations = jwk.common.key_operations.as_deref();
    by_use && operations.is_none_or(|list| list.contains(&KeyOperations::Verify))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey};
    use serde_json::json;

    use super::*;
    use crate::auth::AuthError;

    fn jwk(material: &DecodingKey, changes: Value) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_decoding_key(material, None).unwrap()).unwrap();
        for (name, value) in changes.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }

    fn rsa(changes: Value) -> Value {
        jwk(
            &DecodingKey::from_rsa_pem(include_bytes!("testdata/rsa.pub.pem")).unwrap(),
            changes,
        )
    }

    fn p256(changes: Value) -> Value {
        jwk(
            &DecodingKey::from_ec_pem(include_bytes!("testdata/p256.pub.pem")).unwrap(),
            changes,
        )
    }

    fn read(keys: Value, symmetric: SymmetricKeys) -> Result<KeySet, JwksError> {
        parse(json!({ "keys": keys }).to_string().as_bytes(), symmetric)
    }

    #[test]
    fn keys_that_are_not_for_signatures_are_left_out() {
        let good = p256(json!({"kid": "good", "use": "sig", "alg": "ES256", "key_ops": ["verify"]}));
        let secret = json!({"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "kid": "s"});
        for other in [
            rsa(json!({"use": "enc"})),
            rsa(json!({"use": "tls"})),
            rsa(json!({"key_ops": ["encrypt"]})),
            rsa(json!({"alg": "RSA-OAEP"})),
            rsa(json!({"alg": "HS256"})),
            rsa(json!({"alg": "ES256"})),
            rsa(json!({"n": "AQAB"})),
            rsa(json!({"n": "*"})),
            rsa(json!({"kty": "oct"})),
            p256(json!({"crv": "P-384"})),
            p256(json!({"crv": "P-521"})),
            p256(json!({"crv": "Ed25519"})),
            p256(json!({"kty": "OKP"})),
            p256(json!({"kty": "OKP", "crv": "X25519"})),
            secret.clone(),
            json!({"kty": "new"}),
            json!("nothing"),
            json!(null),
        ] {
            let set = read(json!([other.clone(), good.clone()]), SymmetricKeys::Ignore).unwrap();
            assert_eq!(set.len(), 1, "{other}");
            let alone = read(json!([other]), SymmetricKeys::Ignore);
            assert_eq!(alone.unwrap_err(), JwksError::NothingUsable(1));
        }
        assert_eq!(read(json!([secret]), SymmetricKeys::Use).unwrap().len(), 1);
        let short = json!({"kty": "oct", "k": "c2hvcnQ"});
        assert!(read(json!([short]), SymmetricKeys::Use).is_err());
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "[]", "{}", "{\"keys\":{}}", "<html>", "\u{1}"] {
            assert_eq!(
                parse(text.as_bytes(), SymmetricKeys::Use).unwrap_err(),
                JwksError::NotASet
            );
        }
        assert_eq!(
            read(json!([]), SymmetricKeys::Use).unwrap_err(),
            JwksError::NothingUsable(0)
        );
    }

    #[test]
    fn the_key_id_chooses_and_only_a_lone_key_needs_none() {
        let two = read(
            json!([
                rsa(json!({"kid": "a"})),
                rsa(json!({"kid": "b"})),
                p256(json!({"kid": "c"}))
            ]),
            SymmetricKeys::Ignore,
        )
        .unwrap();
        let choose = |algorithm, id| two.candidates(algorithm, id).map(|keys| keys.len());
        assert_eq!(choose(Algorithm::RS256, Some("a")), Ok(1));
        assert_eq!(choose(Algorithm::RS256, Some("z")), Err(AuthError::UnknownKey));
        assert_eq!(choose(Algorithm::RS256, None), Err(AuthError::AmbiguousKey));
        assert_eq!(choose(Algorithm::ES256, None), Ok(1));
        let wrong = Err(AuthError::AlgorithmNotAllowed(Algorithm::ES256));
        assert_eq!(choose(Algorithm::ES256, Some("a")), wrong);
        let wrong = Err(AuthError::AlgorithmNotAllowed(Algorithm::HS256));
        assert_eq!(choose(Algorithm::HS256, Some("a")), wrong);
    }
}
