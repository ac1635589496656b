//! Tokens that are not what they should be.

use super::*;
use crate::base::{Fault, SqlState, limits};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

async fn refused(token: &str) -> AuthError {
    let error = log_in(&authenticator(hs256()), token).await.unwrap_err();
    let fault = Fault::from(&error);
    for part in token.split('.').filter(|part| part.len() > 8) {
        assert!(
            !format!("{fault:?}").contains(part),
            "the token is repeated: {fault:?}"
        );
    }
    assert!(fault.hint.is_some());
    error
}

#[tokio::test]
async fn what_is_no_jwt_is_refused() {
    let good = token(json!({}));
    for password in [
        "hunter2",
        "a.b",
        "..",
        "...",
        "a.b.c.d",
        "a.b.c.d.e.f",
        " ",
        "\0",
        "\u{1F511}.\u{1F511}.\u{1F511}",
        &good.replace('.', " "),
        &format!("{good}."),
        &format!(" {good}"),
        &format!("Bearer {good}"),
        &raw_token("[]", "{}"),
        &raw_token("{}", "{}"),
        &raw_token(HEADER, "[]"),
        &raw_token(HEADER, "null"),
        &raw_token(HEADER, ""),
        &raw_token(r#"{"alg":1}"#, "{}"),
        &raw_token(r#"{"alg":"HS256","kid":1}"#, "{}"),
    ] {
        let error = refused(password).await;
        assert!(
            matches!(error, AuthError::NotAToken(_)),
            "{password:?}: {error:?}"
        );
        assert_eq!(error.sqlstate(), SqlState::INVALID_PASSWORD);
    }
    let encrypted = refused("a.b.c.d.e").await;
    assert_eq!(encrypted, AuthError::NotAToken("it is encrypted, not signed"));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let auth = authenticator(hs256());
    let wanted = Wanted {
        user: "u",
        database: "d",
    };
    let error = auth
        .authenticate(Some(b"\xff\xfe.a.b"), &wanted)
        .await
        .unwrap_err();
    assert_eq!(error, AuthError::NotAToken("it is not text"));
}

#[tokio::test]
async fn unsigned_tokens_are_refused() {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = part(&claims(json!({"role": "admin"})).to_string());
    for algorithm in [
        "none", "None", "NONE", "nOnE", "", "HS1", "hs256", "ES512", "ES256K",
    ] {
        for signature in ["", "AAAA"] {
            let header = part(&json!({"alg": algorithm}).to_string());
            let error = refused(&format!("{header}.{claims}.{signature}")).await;
            assert_eq!(error, AuthError::UnknownAlgorithm, "{algorithm}");
        }
    }
    let error = refused(&format!("{}.{claims}.", part(HEADER))).await;
    assert_eq!(error, AuthError::BadSignature);
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let good = token(json!({}));
    let admin = token(json!({"role": "admin"}));
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (admin_head, _) = admin.rsplit_once('.').unwrap();
    assert_eq!(
        refused(&format!("{admin_head}.{signature}")).await,
        AuthError::BadSignature
    );
    assert_eq!(
        refused(&format!("{head}.{}", &signature[1..])).await,
        AuthError::BadSignature
    );
    assert_eq!(
        refused(&format!("{head}.{signature}AA")).await,
        AuthError::BadSignature
    );
    assert_eq!(
        refused(&format!("{head}.{signature}=")).await,
        AuthError::BadSignature
    );
    let foreign = EncodingKey::from_secret(b"another secret, which nobody trusts here").unwrap();
    let foreign = sign(&Header::new(Algorithm::HS256), &claims(json!({})), &foreign);
    assert_eq!(refused(&foreign).await, AuthError::BadSignature);
}

#[tokio::test]
async fn critical_extensions_are_refused_signed_or_not() {
    for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null"] {
        let header = format!(r#"{{"alg":"HS256","crit":{crit},"b64":false}}"#);
        let error = refused(&raw_token(&header, &claims(json!({})).to_string())).await;
        assert_eq!(error, AuthError::CriticalExtension);
    }
}

#[tokio::test]
async fn doubled_keys_are_refused() {
    let good = claims(json!({})).to_string();
    let doubled = good.replacen('{', r#"{"role":"admin","#, 1);
    assert_eq!(
        refused(&raw_token(HEADER, &doubled)).await,
        AuthError::DuplicateKey("claims")
    );
    let nested = good.replacen('{', r#"{"x":[{"y":1,"\u0079":2}],"#, 1);
    assert_eq!(
        refused(&raw_token(HEADER, &nested)).await,
        AuthError::DuplicateKey("claims")
    );
    let header = r#"{"alg":"HS256","alg":"HS256"}"#;
    assert_eq!(
        refused(&raw_token(header, &good)).await,
        AuthError::DuplicateKey("header")
    );
}

#[tokio::test]
async fn a_token_does_not_bring_its_own_key() {
    let own = b"the attacker's own secret, long enough to use";
    let key = URL_SAFE_NO_PAD.encode(own);
    let header = json!({
        "alg": "HS256", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/",
        "jwk": {"kty": "oct", "k": key},
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims(json!({}))));
    let key = EncodingKey::from_secret(own).unwrap();
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    assert_eq!(
        refused(&format!("{message}.{signature}")).await,
        AuthError::BadSignature
    );
}

#[tokio::test]
async fn times_are_checked() {
    let now = now_seconds();
    let expired = refused(&token(json!({"exp": now - 301}))).await;
    let AuthError::Expired { ago } = expired else {
        panic!("{expired:?}");
    };
    assert!((301..310).contains(&ago.as_secs()), "{ago:?}");
    assert_eq!(
        Fault::from(&AuthError::Expired { ago }).message,
        "token expired 5 minutes ago"
    );
    let early = refused(&token(json!({"nbf": now + 60}))).await;
    assert!(matches!(early, AuthError::NotYetValid { .. }), "{early:?}");
    assert_eq!(
        refused(&token(json!({"exp": null}))).await,
        AuthError::MissingClaim("exp")
    );
    for claim in ["exp", "nbf"] {
        let text = refused(&token(json!({claim: (now + 100).to_string()}))).await;
        assert_eq!(
            text,
            AuthError::WrongType {
                claim,
                expected: "a number"
            }
        );
    }
    let auth = authenticator(hs256());
    assert!(
        log_in(&auth, &token(json!({"exp": now - 1, "nbf": now + 3})))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn issuer_and_audience_are_checked() {
    let foreign = refused(&token(json!({"iss": "https://evil.test"}))).await;
    assert_eq!(foreign, AuthError::UnknownIssuer("https://evil.test".to_owned()));
    let almost = refused(&token(json!({"iss": format!("{ISSUER}/")}))).await;
    assert!(matches!(almost, AuthError::UnknownIssuer(_)));
    let long = refused(&token(json!({"iss": "x".repeat(9_000)}))).await;
    assert!(long.to_string().len() < 300);
    assert_eq!(
        refused(&token(json!({"iss": null}))).await,
        AuthError::MissingClaim("iss")
    );
    let list = refused(&token(json!({"iss": [ISSUER]}))).await;
    assert!(matches!(list, AuthError::WrongType { claim: "iss", .. }));
    assert_eq!(
        refused(&token(json!({"aud": null}))).await,
        AuthError::MissingClaim("aud")
    );
    let audience = refused(&token(json!({"aud": "somebody else"}))).await;
    assert_eq!(audience.hint(), "The \"aud\" claim must name one of: portcullis.");
}

#[tokio::test]
async fn tokens_have_a_largest_size() {
    // Base64 makes 4 bytes of 3, so the padding is found by trying.
    let padded = |bytes: usize| token(json!({"pad": "x".repeat(bytes)}));
    let mut bytes = 12_000;
    while padded(bytes + 1).len() <= limits::TOKEN_BYTES {
        bytes += 1;
    }
    let largest = padded(bytes);
    assert!(largest.len() > limits::TOKEN_BYTES - 4);
    assert!(log_in(&authenticator(hs256()), &largest).await.is_ok());
    let larger = padded(bytes + 1);
    assert_eq!(
        refused(&larger).await,
        AuthError::TokenTooLong { bytes: larger.len() }
    );
    let huge = "x".repeat(1_000_000);
    assert_eq!(refused(&huge).await, AuthError::TokenTooLong { bytes: 1_000_000 });
}

#[tokio::test]
async fn roles_and_tenants_of_the_wrong_kind_are_refused() {
    for role in [
        json!("none"),
        json!("authenticator"),
        json!(""),
        json!(["none"]),
        json!({"a": 1}),
        json!(7),
    ] {
        let error = refused(&token(json!({ "role": role }))).await;
        assert_eq!(error.sqlstate(), SqlState::INVALID_AUTHORIZATION, "{error:?}");
    }
    assert_eq!(
        refused(&token(json!({"role": null}))).await,
        AuthError::NoRole("$.role".to_owned())
    );
    for tenant in [
        json!({"id": "acme"}),
        json!(true),
        json!(["acme", false]),
        json!(""),
    ] {
        let error = refused(&token(json!({ "tenant": tenant }))).await;
        assert_eq!(error, AuthError::TenantType("$.tenant".to_owned()));
    }
}
