//! Every algorithm with its own kind of key, and with no other.

use super::*;

const PUBLIC_KEYS: [(&str, &[u8]); 4] = [
    ("rsa", include_bytes!("../testdata/rsa.pub.pem")),
    ("p256", include_bytes!("../testdata/p256.pub.pem")),
    ("p384", include_bytes!("../testdata/p384.pub.pem")),
    ("ed25519", include_bytes!("../testdata/ed25519.pub.pem")),
];

const ALL: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The key pair's name and its private half.
fn signing_key(algorithm: Algorithm) -> (&'static str, EncodingKey) {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            ("secret", EncodingKey::from_secret(SECRET).unwrap())
        }
        Algorithm::ES256 => {
            let pem = include_bytes!("../testdata/p256.key.pem");
            ("p256", EncodingKey::from_ec_pem(pem).unwrap())
        }
        Algorithm::ES384 => {
            let pem = include_bytes!("../testdata/p384.key.pem");
            ("p384", EncodingKey::from_ec_pem(pem).unwrap())
        }
        Algorithm::EdDSA => {
            let pem = include_bytes!("../testdata/ed25519.key.pem");
            ("ed25519", EncodingKey::from_ed_pem(pem).unwrap())
        }
        _ => {
            let pem = include_bytes!("../testdata/rsa.key.pem");
            ("rsa", EncodingKey::from_rsa_pem(pem).unwrap())
        }
    }
}

fn key_sources() -> Vec<(&'static str, KeySource)> {
    let mut sources = vec![("secret", KeySource::Secret(Secret::new(SECRET)))];
    sources.extend(PUBLIC_KEYS.map(|(name, pem)| (name, KeySource::Pem(pem.to_vec()))));
    sources
}

#[tokio::test]
async fn a_token_is_accepted_by_its_own_kind_of_key_alone() {
    for (source_name, source) in key_sources() {
        // All algorithms are listed, so that the key's type alone is what refuses.
        let auth = authenticator(settings(&ALL, source));
        for algorithm in ALL {
            let (key_name, key) = signing_key(algorithm);
            let token = sign(&Header::new(algorithm), &claims(json!({})), &key);
            let outcome = log_in(&auth, &token).await;
            if key_name == source_name {
                assert_eq!(outcome.unwrap().role().as_str(), "member", "{algorithm:?}");
            } else {
                let refused = outcome.unwrap_err();
                let expected = AuthError::AlgorithmNotAllowed(algorithm);
                assert_eq!(refused, expected, "{algorithm:?} with {source_name}");
            }
        }
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_listed_is_refused_though_the_key_fits() {
    for algorithm in ALL {
        let (key_name, key) = signing_key(algorithm);
        let Some((_, source)) = key_sources().into_iter().find(|(name, _)| *name == key_name) else {
            panic!("no key for {algorithm:?}");
        };
        let fitting: Vec<Algorithm> = algorithm.family().algorithms().to_vec();
        let others: Vec<Algorithm> = fitting.into_iter().filter(|other| *other != algorithm).collect();
        let Ok(auth) = Authenticator::new(settings(&others, source), Events::none()) else {
            // ES256, ES384 and EdDSA are alone with their keys: such settings are refused.
            assert!(matches!(
                algorithm,
                Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA
            ));
            continue;
        };
        let token = sign(&Header::new(algorithm), &claims(json!({})), &key);
        let refused = log_in(&auth, &token).await.unwrap_err();
        assert_eq!(refused, AuthError::AlgorithmNotAllowed(algorithm));
    }
}

#[tokio::test]
async fn another_key_of_the_same_kind_is_refused() {
    let pem = include_bytes!("../testdata/rsa_other.pub.pem").to_vec();
    let auth = authenticator(settings(&ALL, KeySource::Pem(pem)));
    for algorithm in [Algorithm::RS256, Algorithm::PS512] {
        let (_, key) = signing_key(algorithm);
        let token = sign(&Header::new(algorithm), &claims(json!({})), &key);
        assert_eq!(log_in(&auth, &token).await.unwrap_err(), AuthError::BadSignature);
    }
}

#[tokio::test]
async fn a_public_key_is_never_an_hmac_secret() {
    let pem = include_bytes!("../testdata/rsa.pub.pem");
    let auth = authenticator(settings(&ALL, KeySource::Pem(pem.to_vec())));
    let der = pem::parse_der(pem);
    for secret in [pem.as_slice(), pem.trim_ascii_end(), &der] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let forged = sign(
                &Header::new(algorithm),
                &claims(json!({"role": "admin"})),
                &EncodingKey::from_secret(secret).unwrap(),
            );
            let refused = log_in(&auth, &forged).await.unwrap_err();
            assert_eq!(refused, AuthError::AlgorithmNotAllowed(algorithm));
        }
    }
}

/// PEM to DER, for a key that needs no further checks.
mod pem {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    pub(super) fn parse_der(pem: &[u8]) -> Vec<u8> {
        let text = std::str::from_utf8(pem).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(body).unwrap()
    }
}
