//! Users by name: who is told apart from whom, and who is let in.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::password::scram_sha_256;
use rcgen::{CertificateParams, DnType, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::auth::json::{Json, object};

fn user(name: &str, password: Option<&str>, certificates: &[&str]) -> UserSettings {
    UserSettings {
        name: name.to_owned(),
        role: "reader".into(),
        tenants: vec!["acme".into()],
        claims: Claims::default(),
        verifier: password.map(|it| ScramVerifier::parse(&scram_sha_256(it.as_bytes())).unwrap()),
        certificates: certificates
            .iter()
            .map(|name| CertificateName::parse(name).unwrap())
            .collect(),
    }
}

/// A file whose content does not matter, and the users that are read instead.
fn file(folder: &TempDir, users: Vec<UserSettings>) -> UsersFile {
    let path = folder.path().join("users.toml");
    fs::write(&path, "").unwrap();
    UsersFile {
        path,
        read: Arc::new(move |_| Ok(users.clone())),
    }
}

fn with_users(users: Vec<UserSettings>, scram_names: &[&str]) -> Arc<Authenticator> {
    let folder = tempfile::tempdir().unwrap();
    let names = scram_names.iter().filter_map(|name| NamePattern::parse(name));
    authenticator(Settings {
        ways: Ways {
            users: Some(file(&folder, users)),
            scram_names: names.collect(),
            ..Ways::default()
        },
        ..hs256()
    })
}

fn certificate(common_name: &str) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .der()
        .to_vec()
}

/// What a client that knows this password comes to, and what it was shown on the way.
fn log_in(login: UserLogin, password: &str) -> (Result<Arc<Principal>, AuthError>, String) {
    let login = match login {
        UserLogin::Certified(principal) => return (Ok(principal), "certified".to_owned()),
        UserLogin::Password(login) => login,
    };
    let mut client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let mechanism = login.mechanisms()[0];
    let (proof, challenge) = login.challenge(mechanism.as_bytes(), client.message()).unwrap();
    client.update(challenge.as_bytes()).unwrap();
    let outcome = proof.check(client.message()).map(|(principal, answer)| {
        client.finish(answer.as_bytes()).unwrap();
        principal
    });
    let shown = challenge.split_once(",s=").unwrap().1.to_owned();
    (outcome, shown)
}

fn doom(outcome: Result<Arc<Principal>, AuthError>) -> Doom {
    match outcome {
        Err(AuthError::UserRefused { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_user_gets_what_the_file_says() {
    let mut bi = user("bi", Some("secret"), &[]);
    bi.claims = Claims::new(object(json!({"team": "numbers"}))).unwrap();
    let mut other = user("other", Some("secret"), &[]);
    other.claims = Claims::new(object(json!({"sub": "svc:other", "role": "boss"}))).unwrap();
    other.tenants.push("globex".into());
    let auth = with_users(vec![bi, other], &[]);
    assert_eq!(auth.users(), Some(2));
    let principal = log_in(auth.user("bi", None, None).unwrap(), "secret").0.unwrap();
    assert_eq!(principal.role().as_str(), "reader");
    assert_eq!(principal.tenants(), ["acme".into()]);
    assert_eq!(
        Json::Object(principal.claims().object().clone()),
        json!({"sub": "bi", "role": "reader", "tenant": "acme", "team": "numbers"}),
        "as a token would say it"
    );
    assert_eq!(principal.expires_at(), None);
    assert!(!principal.is_anonymous());
    let principal = log_in(auth.user("other", None, None).unwrap(), "secret")
        .0
        .unwrap();
    // What the file says stands, and is no way to another role.
    assert_eq!(
        Json::Object(principal.claims().object().clone()),
        json!({"sub": "svc:other", "role": "boss", "tenant": ["acme", "globex"]})
    );
    assert_eq!(principal.role().as_str(), "reader");
    assert_eq!(
        doom(log_in(auth.user("bi", None, None).unwrap(), "Secret").0),
        Doom::WrongPassword
    );
    for nobody in ["", "BI", "bi ", "alice"] {
        assert!(auth.user(nobody, None, None).is_none(), "{nobody}");
    }
    assert!(authenticator(hs256()).user("bi", None, None).is_none());
}

#[test]
fn who_has_no_password_is_not_told_apart() {
    let users = vec![
        user("svc_a", Some("secret"), &[]),
        user("svc_b", Some("secret"), &["cn:b"]),
        user("svc_c", None, &["cn:c"]),
    ];
    let auth = with_users(users.clone(), &["svc_*"]);
    let attempt = |auth: &Authenticator, name| log_in(auth.user(name, None, None).unwrap(), "guess");
    let mut faults = Vec::new();
    let mut salts = Vec::new();
    for (name, expected) in [
        ("svc_a", Doom::WrongPassword),
        ("svc_b", Doom::Certificate),
        ("svc_c", Doom::CertificateOnly),
        ("svc_nobody", Doom::Unknown),
    ] {
        let (outcome, shown) = attempt(&auth, name);
        assert_eq!(
            shown,
            attempt(&auth, name).1,
            "a salt that changes tells that it is none"
        );
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains(&expected.to_string()), "{error}");
        let fault = crate::base::Fault::from(&error);
        faults.push(format!("{fault:?}").replace(name, "NAME"));
        salts.push(shown);
    }
    faults.dedup();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(!faults[0].contains("no such user"));
    // 16 bytes and 4096 rounds, all different.
    assert!(
        salts
            .iter()
            .all(|salt| salt.len() == 24 + ",i=4096".len() && salt.ends_with(",i=4096"))
    );
    salts.dedup();
    assert_eq!(salts.len(), 4);
    // Another process with the same file, as a replica or after a restart, shows the same.
    let again = with_users(users, &["svc_*"]);
    for name in ["svc_a", "svc_c", "svc_nobody"] {
        assert_eq!(attempt(&auth, name).1, attempt(&again, name).1, "{name}");
    }
    // The right password without the certificate is worth no more than a wrong one.
    let (outcome, _) = log_in(auth.user("svc_b", None, None).unwrap(), "secret");
    assert_eq!(doom(outcome), Doom::Certificate);
}

#[test]
fn mocks_look_like_the_others() {
    let strong = |name: &str| {
        let salt = base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, name.as_bytes()));
        let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        UserSettings {
            verifier: Some(ScramVerifier::parse(&format!("SCRAM-SHA-256$9:{salt}${key}:{key}")).unwrap()),
            ..user(name, None, &[])
        }
    };
    let auth = with_users(vec![strong("a"), strong("b"), user("c", Some("x"), &[])], &["*"]);
    let shown = |name| log_in(auth.user(name, None, None).unwrap(), "guess").1;
    assert_eq!(shown("nobody").len(), shown("a").len());
    assert!(shown("nobody").ends_with(",i=9"));
}

#[test]
fn without_tokens_every_name_is_asked_for_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let users = Settings {
        issuers: Vec::new(),
        ways: Ways {
            users: Some(file(&folder, vec![user("bi", Some("secret"), &[])])),
            ..Ways::default()
        },
        ..hs256()
    };
    let auth = authenticator(users.clone());
    let (outcome, _) = log_in(auth.user("nobody", None, None).unwrap(), "secret");
    assert_eq!(doom(outcome), Doom::Unknown);
    // An anonymous session has an empty password in clear text.
    let open = authenticator(Settings {
        anonymous_role: Some("anon".into()),
        ..users
    });
    assert!(open.user("nobody", None, None).is_none());
}

#[test]
fn certificates_are_the_way_in_or_half_of_it() {
    let auth = with_users(
        vec![
            user("alone", None, &["cn:other", "cn:alone"]),
            user("both", Some("secret"), &["cn:both"]),
            user("plain", Some("secret"), &[]),
        ],
        &[],
    );
    let login = |name, shown: &[u8]| auth.user(name, Some(shown), None).unwrap();
    let certified = log_in(login("alone", &certificate("alone")), "");
    assert_eq!(certified.1, "certified");
    let principal = certified.0.unwrap();
    assert_eq!(principal.subject(), Some("alone"));
    assert!(principal.expires_at().is_some(), "as long as the certificate");
    for stranger in [
        certificate("both"),
        certificate("Alone"),
        b"no certificate".to_vec(),
    ] {
        assert_eq!(
            doom(log_in(login("alone", &stranger), "").0),
            Doom::CertificateOnly
        );
    }
    let mine = certificate("both");
    let principal = log_in(login("both", &mine), "secret").0.unwrap();
    assert!(principal.expires_at().is_some());
    assert_eq!(doom(log_in(login("both", &mine), "wrong").0), Doom::WrongPassword);
    assert_eq!(
        doom(log_in(login("both", &certificate("alone")), "secret").0),
        Doom::Certificate
    );
    // A certificate that is asked of nobody neither helps nor hurts.
    let principal = log_in(login("plain", &mine), "secret").0.unwrap();
    assert_eq!(principal.expires_at(), None);
    assert_eq!(doom(log_in(login("plain", &mine), "").0), Doom::WrongPassword);
}

#[test]
fn roles_that_need_a_certificate() {
    let auth = authenticator(Settings {
        ways: Ways {
            certificate_roles: ["admin".into()].into(),
            ..Ways::default()
        },
        ..hs256()
    });
    let principal = |role: &str| Principal::anonymous(role.into());
    assert_eq!(
        auth.check_certificate(&principal("admin"), None),
        Err(AuthError::CertificateNeeded("admin".into()))
    );
    assert_eq!(
        auth.check_certificate(&principal("admin"), Some(b"shown")),
        Ok(())
    );
    assert_eq!(auth.check_certificate(&principal("member"), None), Ok(()));
}

#[test]
fn a_file_that_cannot_be_used_is_a_mistake() {
    let settings = Settings {
        ways: Ways {
            users: Some(UsersFile {
                path: "users.toml".into(),
                read: Arc::new(|_| Err("is not valid TOML".to_owned())),
            }),
            ..Ways::default()
        },
        ..hs256()
    };
    let error = Authenticator::new(settings, Events::none()).unwrap_err();
    assert_eq!(error.to_string(), "users_file: is not valid TOML");
}

/// The fastest of many batches, taken in turns, so that a busy machine slows down all alike.
#[test]
fn unknown_names_take_as_long_as_known_ones() {
    let users = (0..50).map(|n| user(&format!("svc_{n}"), Some("secret"), &[]));
    let auth = with_users(users.collect(), &["svc_*"]);
    let attempt = |name: &str| {
        let Some(UserLogin::Password(login)) = auth.user(name, None, None) else {
            panic!("{name} is not asked");
        };
        let (proof, challenge) = login.challenge(b"SCRAM-SHA-256", b"n,,n=,r=abc").unwrap();
        let nonce = challenge.split(',').next().unwrap();
        let guess = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        let outcome = proof.check(format!("c=biws,{nonce},p={guess}").as_bytes());
        assert!(matches!(outcome, Err(AuthError::UserRefused { .. })));
    };
    let names = ["svc_7", "svc_nobody"];
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..60 {
        for (name, fastest) in names.iter().zip(&mut fastest) {
            let start = std::time::Instant::now();
            (0..50).for_each(|_| attempt(name));
            *fastest = start.elapsed().min(*fastest);
        }
    }
    let ratio = fastest[1].as_secs_f64() / fastest[0].as_secs_f64();
    println!("{fastest:?} for 50 attempts each, {ratio}");
    assert!((0.7..1.4).contains(&ratio), "{fastest:?}");
}
