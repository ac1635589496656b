//! Logins that succeed, and what is remembered of them.

use super::*;

#[tokio::test]
async fn a_principal_has_what_the_token_says() {
    let exp = now_seconds() + 600;
    let token = token(json!({"exp": exp, "tenant": ["acme", "globex"], "email": "u@acme.test"}));
    let principal = log_in(&authenticator(hs256()), &token).await.unwrap();
    assert_eq!(principal.role().as_str(), "member");
    assert_eq!(principal.subject(), Some("u1"));
    let tenants: Vec<&str> = principal.tenants().iter().map(|tenant| tenant.as_str()).collect();
    assert_eq!(tenants, ["acme", "globex"]);
    assert_eq!(principal.claims().object()["email"], json!("u@acme.test"));
    let expires_at = UNIX_EPOCH + Duration::from_secs(exp + 5);
    assert_eq!(principal.expires_at(), Some(expires_at));
    assert!(!principal.is_anonymous());
    assert!(!format!("{principal:?}").contains("u@acme.test"));
}

#[tokio::test]
async fn issuers_do_not_stand_in_for_each_other() {
    let mut settings = hs256();
    let secret = b"the secret of the second issuer, long enough";
    let mut second = issuer(
        &[Algorithm::HS256],
        KeySource::Secret(Secret::new(secret.as_slice())),
    );
    second.issuer = "second".to_owned();
    second.require_exp = Required::No;
    second.audience = vec![];
    settings.issuers.push(second);
    let auth = authenticator(settings);
    assert!(log_in(&auth, &token(json!({}))).await.is_ok());
    let posing = token(json!({"iss": "second", "aud": null}));
    assert_eq!(log_in(&auth, &posing).await.unwrap_err(), AuthError::BadSignature);
    let claims = claims(json!({"iss": "second", "aud": null, "exp": null}));
    let own = sign(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(secret).unwrap(),
    );
    assert_eq!(log_in(&auth, &own).await.unwrap().expires_at(), None);
}

#[tokio::test]
async fn the_user_chooses_among_the_tokens_roles() {
    let auth = authenticator(hs256());
    let both = token(json!({"role": ["member", "reader"]}));
    // Twice over, so that the second round comes from the cache.
    for _ in 0..2 {
        for user in ["member", "reader"] {
            assert_eq!(log_in_as(&auth, &both, user).await.unwrap().role().as_str(), user);
        }
        let admin = log_in_as(&auth, &both, "admin").await.unwrap_err();
        assert_eq!(admin.to_string(), "token does not permit role \"admin\"");
        let nobody = log_in_as(&auth, &both, "x").await.unwrap_err();
        assert_eq!(
            nobody.hint(),
            "Connect with one of these as the user: member, reader."
        );
    }
}

#[tokio::test]
async fn verified_tokens_are_remembered_but_their_times_are_not_trusted() {
    let auth = authenticator(hs256());
    let now = now_seconds();
    let token = token(json!({"exp": now + 100, "nbf": now}));
    let wanted = Wanted {
        user: "u",
        database: "d",
    };
    let at = |seconds: u64| {
        let when = UNIX_EPOCH + Duration::from_secs(seconds);
        auth.authenticate_at(Some(token.as_bytes()), &wanted, when)
    };
    let first = at(now).await.unwrap();
    let again = at(now + 104).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "it was verified twice");
    assert!(matches!(at(now + 105).await, Err(AuthError::Expired { .. })));
    assert!(matches!(at(now - 6).await, Err(AuthError::NotYetValid { .. })));
    assert!(Arc::ptr_eq(&first, &at(now).await.unwrap()));
}

#[tokio::test]
async fn users_of_free_text_share_one_cached_login() {
    let auth = authenticator(hs256());
    let token = token(json!({}));
    let first = log_in_as(&auth, &token, "a").await.unwrap();
    assert!(Arc::ptr_eq(&first, &log_in_as(&auth, &token, "b").await.unwrap()));
}

#[tokio::test]
async fn a_cache_of_no_bytes_remembers_nothing() {
    let auth = authenticator(Settings {
        token_cache_bytes: 0,
        ..hs256()
    });
    let token = token(json!({}));
    let first = log_in(&auth, &token).await.unwrap();
    let again = log_in(&auth, &token).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &again));
}

#[tokio::test]
async fn no_password_is_the_anonymous_role_where_there_is_one() {
    let wanted = |user| Wanted {
        user,
        database: "acme",
    };
    let closed = authenticator(hs256());
    assert!(!closed.allows_anonymous());
    for password in [None, Some(b"".as_slice())] {
        let error = closed.authenticate(password, &wanted("u")).await.unwrap_err();
        assert_eq!(error, AuthError::NoToken);
    }
    let open = authenticator(Settings {
        anonymous_role: Some("anon".into()),
        ..hs256()
    });
    assert!(open.allows_anonymous());
    for password in [None, Some(b"".as_slice())] {
        let principal = open.authenticate(password, &wanted("anon")).await.unwrap();
        assert_eq!(principal.role().as_str(), "anon");
        assert!(principal.is_anonymous());
        assert!(principal.claims().object().is_empty() && principal.tenants().is_empty());
        assert_eq!(principal.expires_at(), None);
    }
    let error = open.authenticate(None, &wanted("admin")).await.unwrap_err();
    assert_eq!(error, AuthError::RoleNeedsToken("admin".into()));
    // A bad token does not fall back to the anonymous role, nor can a good one ask for it.
    assert!(log_in(&open, "not a token").await.is_err());
    assert!(
        log_in_as(&open, &token(json!({"role": "anon"})), "anon")
            .await
            .is_err()
    );
}

/// Two that differ in their last digit are two, in the cache of tokens as well.
#[tokio::test]
async fn numbers_are_never_taken_for_one_another() {
    let auth = authenticator(hs256());
    let login = |sub: &str| {
        let claims = claims(json!({})).to_string().replace("\"u1\"", sub);
        let token = raw_token(r#"{"alg":"HS256"}"#, &claims);
        let auth = Arc::clone(&auth);
        async move { log_in(&auth, &token).await.unwrap() }
    };
    for _ in 0..2 {
        for sub in [
            "110169484474386276334",
            "110169484474386276335",
            "1e2",
            "100.0",
            "1.50",
            "-0",
            "1E400",
        ] {
            let principal = login(sub).await;
            assert_eq!(principal.subject(), Some(sub));
            let document = principal.claims().document("r");
            assert!(document.contains(&format!("\"sub\":{sub},")), "{document}");
        }
    }
}

/// What a policy could not read ends the login, not every statement behind it.
#[tokio::test]
async fn claims_that_the_database_cannot_hold_are_refused() {
    let auth = authenticator(hs256());
    for (claim, what) in [
        (r#""x":"a\u0000b""#, Unstorable::Nul),
        (r#""x\u0000":1"#, Unstorable::Nul),
        (r#""x":[{"y":{"\u0000":1}}]"#, Unstorable::Nul),
        (r#""x":1e200000"#, Unstorable::Number),
        (r#""x":[-1e-99999]"#, Unstorable::Number),
    ] {
        let claims = claims(json!({}))
            .to_string()
            .replacen('{', &format!("{{{claim},"), 1);
        let error = log_in(&auth, &raw_token(r#"{"alg":"HS256"}"#, &claims))
            .await
            .unwrap_err();
        assert_eq!(error, AuthError::Unstorable(what), "{claim}");
        assert_eq!(error.sqlstate(), crate::base::SqlState::INVALID_AUTHORIZATION);
        // Whoever cannot sign does not learn that.
        let forged = raw_token(r#"{"alg":"HS256"}"#, &claims) + "AA";
        assert_eq!(log_in(&auth, &forged).await.unwrap_err(), AuthError::BadSignature);
    }
}
