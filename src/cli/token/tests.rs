//! Signed tokens log in, and what cannot be signed is refused.

use std::io::Write;

use serde_json::{Value, json};

use super::*;
use crate::auth::{Authenticator, IssuerSettings, KeySource, Required, Settings, Wanted};
use crate::base::Events;

const SECRET: &[u8] = b"a secret of the tests, 32 bytes and more";

fn options(key: SigningKey) -> TokenOptions {
    TokenOptions {
        issuer: Some("dev".to_owned()),
        audience: vec!["portcullis".to_owned()],
        subject: Some("42".to_owned()),
        role_claim: ClaimPath::parse("$.app.role").unwrap(),
        roles: vec!["member".to_owned()],
        tenants: vec!["acme".to_owned(), "globex".to_owned()],
        expires_in: Some(Duration::from_secs(60)),
        ..TokenOptions::new(key)
    }
}

async fn log_in(keys: KeySource, algorithm: Algorithm, token: &str) -> Result<Object, String> {
    let settings = Settings {
        issuers: vec![IssuerSettings {
            issuer: "dev".to_owned(),
            audience: vec!["portcullis".to_owned()],
            algorithms: vec![algorithm],
            keys,
            leeway: Duration::ZERO,
            require_exp: Required::Yes,
        }],
        role_claim: ClaimPath::parse("$.app.role").unwrap(),
        default_role: None,
        roles: ["member".into()].into(),
        tenant_claim: Some(ClaimPath::parse("tenant").unwrap()),
        anonymous_role: None,
        token_cache_bytes: 0,
        ways: crate::auth::Ways::default(),
    };
    let auth = Authenticator::new(settings, Events::none()).unwrap();
    let wanted = Wanted {
        user: "member",
        database: "acme",
    };
    let principal = auth.authenticate(Some(token.as_bytes()), &wanted).await;
    principal
        .map(|principal| principal.claims().object().clone())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_is_signed_with_a_secret_logs_in() {
    let mut options = options(SigningKey::Secret(Secret::new(SECRET)));
    options.claims = vec![
        "email_verified=true".to_owned(),
        "app.plan=gold".to_owned(),
        "sub=43".to_owned(),
    ];
    let keys = KeySource::Secret(Secret::new(SECRET));
    let claims = log_in(keys, Algorithm::HS256, &sign(&options).unwrap())
        .await
        .unwrap();
    assert_eq!(claims["app"], json!({"role": "member", "plan": "gold"}));
    assert_eq!(claims["tenant"], json!(["acme", "globex"]));
    assert_eq!(claims["aud"], json!("portcullis"));
    assert_eq!(claims["email_verified"], json!(true));
    assert_eq!(claims["sub"], json!(43));
    let seconds = |claim: &str| claims[claim].to_string().parse::<u64>().unwrap();
    assert_eq!(seconds("exp") - seconds("iat"), 60);
}

#[tokio::test]
async fn each_kind_of_private_key_signs_with_its_usual_algorithm() {
    for (private, public, algorithm) in [
        (
            include_bytes!("../../auth/testdata/rsa.key.pem").as_slice(),
            include_bytes!("../../auth/testdata/rsa.pub.pem").as_slice(),
            Algorithm::RS256,
        ),
        (
            include_bytes!("../../auth/testdata/p256.key.pem"),
            include_bytes!("../../auth/testdata/p256.pub.pem"),
            Algorithm::ES256,
        ),
        (
            include_bytes!("../../auth/testdata/p384.key.pem"),
            include_bytes!("../../auth/testdata/p384.pub.pem"),
            Algorithm::ES384,
        ),
        (
            include_bytes!("../../auth/testdata/ed25519.key.pem"),
            include_bytes!("../../auth/testdata/ed25519.pub.pem"),
            Algorithm::EdDSA,
        ),
    ] {
        let token = sign(&options(SigningKey::Pem(Secret::new(private)))).unwrap();
        let outcome = log_in(KeySource::Pem(public.to_vec()), algorithm, &token).await;
        assert!(outcome.is_ok(), "{algorithm:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_secret_file_may_end_in_a_line_break() {
    for ending in ["", "\n", "\r\n"] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(SECRET).unwrap();
        file.write_all(ending.as_bytes()).unwrap();
        let token = sign(&options(SigningKey::SecretFile(file.path().to_owned()))).unwrap();
        let keys = KeySource::Secret(Secret::new(SECRET));
        assert!(log_in(keys, Algorithm::HS256, &token).await.is_ok(), "{ending:?}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let secret = || SigningKey::Secret(Secret::new(SECRET));
    let mut wrong = options(secret());
    wrong.algorithm = Some(Algorithm::RS256);
    assert!(matches!(
        sign(&wrong),
        Err(TokenError::AlgorithmDoesNotFit(Algorithm::RS256))
    ));
    let p256 = include_bytes!("../../auth/testdata/p256.key.pem").as_slice();
    let mut wrong = options(SigningKey::Pem(Secret::new(p256)));
    wrong.algorithm = Some(Algorithm::ES384);
    assert!(matches!(
        sign(&wrong),
        Err(TokenError::AlgorithmDoesNotFit(Algorithm::ES384))
    ));
    let public = include_bytes!("../../auth/testdata/p256.pub.pem").as_slice();
    for pem in [public, b"", b"no pem"] {
        assert!(matches!(
            sign(&options(SigningKey::Pem(Secret::new(pem)))),
            Err(TokenError::BadPem)
        ));
    }
    for empty in [b"".as_slice(), b"\n", b"\r\n"] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(empty).unwrap();
        let key = SigningKey::SecretFile(file.path().to_owned());
        assert!(matches!(sign(&options(key)), Err(TokenError::EmptySecret)));
    }
    let missing = options(SigningKey::PemFile("/nonexistent/key.pem".into()));
    assert!(
        sign(&missing)
            .unwrap_err()
            .to_string()
            .starts_with("/nonexistent/key.pem: ")
    );
    let mut long = options(secret());
    long.claims = vec![format!("x={}", "x".repeat(limits::TOKEN_BYTES))];
    assert!(matches!(sign(&long), Err(TokenError::TooLong(_))));
    let mut late = options(secret());
    late.expires_in = Some(Duration::MAX);
    assert!(matches!(sign(&late), Err(TokenError::TooLate)));
    let mut blocked = options(secret());
    blocked.claims = vec!["sub.x=1".to_owned()];
    assert!(matches!(sign(&blocked), Err(TokenError::Claim { .. })));
}

#[test]
fn claims_are_json_or_text() {
    for (text, path, value) in [
        ("a=1", "$.a", json!(1)),
        ("a=\"1\"", "$.a", json!("1")),
        ("a=text", "$.a", json!("text")),
        ("a=", "$.a", json!("")),
        ("a.b=[1,\"x\"]", "$.a.b", json!([1, "x"])),
        ("a=b=c", "$.a", json!("b=c")),
        ("$['a=b']=null", "$['a=b']", Value::Null),
    ] {
        let parsed = parse_claim(text).unwrap();
        assert_eq!(
            (parsed.0.to_string().as_str(), parsed.1),
            (path, value.into()),
            "{text}"
        );
    }
    for number in ["110169484474386276334", "1.50", "1e2"] {
        assert_eq!(
            parse_claim(&format!("sub={number}")).unwrap().1.to_string(),
            number
        );
    }
    assert!(matches!(parse_claim("a"), Err(TokenError::NotAClaim(_))));
    assert!(matches!(parse_claim("=1"), Err(TokenError::Claim { .. })));
    assert!(matches!(parse_claim("a b=1"), Err(TokenError::Claim { .. })));
}
