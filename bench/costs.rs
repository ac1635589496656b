//! What the parts of a login and of a statement cost: `cargo bench`. The goals are in microseconds on one core:
//! a verdict 0.3 from the cache and 15 without for a statement of 300 bytes, a token 2 from the cache.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark stops at the first surprise, and criterion's macros make public functions"
)]

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use criterion::{Criterion, criterion_group, criterion_main};
use jsonwebtoken::{EncodingKey, Header, encode};
use portcullis::auth::{
    Algorithm, Authenticator, ClaimPath, IssuerSettings, KeySource, Required, Settings, Wanted, Ways,
};
use portcullis::base::{Events, RoleName, Secret};
use portcullis::guard::{self, Guard};
use serde_json::json;

/// A statement as an application sends it, of 300 bytes.
const STATEMENT: &str = "SELECT t.id, t.title, t.done, u.name AS owner, count(c.id) AS comments FROM todos AS t \
    JOIN users u ON u.id = t.owner_id LEFT JOIN comments c ON c.todo_id = t.id WHERE t.project_id = $1 AND \
    t.done = false AND lower(t.title) LIKE 'order %' GROUP BY t.id, u.name ORDER BY t.created_at DESC LIMIT 50 OFFSET 0";

fn guard(cache_bytes: u64) -> Guard {
    Guard::new(guard::Settings {
        cache_bytes,
        ..guard::Settings::default()
    })
}

fn verdicts(c: &mut Criterion) {
    let role = RoleName::new("authenticated");
    for (name, cache_bytes) in [("guard/cached", 32 << 20), ("guard/cold", 0)] {
        let guard = guard(cache_bytes);
        let policy = guard.policy_for(&role);
        guard.judge(&policy, STATEMENT.as_bytes()).unwrap();
        c.bench_function(name, |b| {
            b.iter(|| guard.judge(&policy, black_box(STATEMENT.as_bytes())))
        });
    }
    let guard = guard(0);
    let policy = guard.policy_for(&role);
    let attack = STATEMENT.replace("lower(t.title)", "set_config('role', 'x', true)");
    c.bench_function("guard/refused", |b| {
        b.iter(|| guard.judge(&policy, black_box(attack.as_bytes())))
    });
}

/// An algorithm with a key to sign with and one to verify with.
struct Signer {
    algorithm: Algorithm,
    signs: EncodingKey,
    verifies: KeySource,
}

fn signers() -> Vec<Signer> {
    const SECRET: &[u8] = b"a secret of the benchmark, 32 bytes and more";
    let rsa = include_bytes!("../src/auth/testdata/rsa.key.pem");
    let p256 = include_bytes!("../src/auth/testdata/p256.key.pem");
    let p384 = include_bytes!("../src/auth/testdata/p384.key.pem");
    let ed25519 = include_bytes!("../src/auth/testdata/ed25519.key.pem");
    let pem = |bytes: &[u8]| KeySource::Pem(bytes.to_vec());
    let signer = |algorithm, signs, verifies| Signer {
        algorithm,
        signs,
        verifies,
    };
    let rsa_public = include_bytes!("../src/auth/testdata/rsa.pub.pem");
    vec![
        signer(
            Algorithm::HS256,
            EncodingKey::from_secret(SECRET).unwrap(),
            KeySource::Secret(Secret::new(SECRET)),
        ),
        signer(
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(rsa).unwrap(),
            pem(rsa_public),
        ),
        signer(
            Algorithm::PS256,
            EncodingKey::from_rsa_pem(rsa).unwrap(),
            pem(rsa_public),
        ),
        signer(
            Algorithm::ES256,
            EncodingKey::from_ec_pem(p256).unwrap(),
            pem(include_bytes!("../src/auth/testdata/p256.pub.pem")),
        ),
        signer(
            Algorithm::ES384,
            EncodingKey::from_ec_pem(p384).unwrap(),
            pem(include_bytes!("../src/auth/testdata/p384.pub.pem")),
        ),
        signer(
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(ed25519).unwrap(),
            pem(include_bytes!("../src/auth/testdata/ed25519.pub.pem")),
        ),
    ]
}

fn authenticator(signer: &Signer, token_cache_bytes: u64) -> Arc<Authenticator> {
    let settings = Settings {
        issuers: vec![IssuerSettings {
            issuer: "https://issuer.test".to_owned(),
            audience: vec!["portcullis".to_owned()],
            algorithms: vec![signer.algorithm],
            keys: signer.verifies.clone(),
            leeway: Duration::from_secs(5),
            require_exp: Required::Yes,
        }],
        role_claim: ClaimPath::parse("role").unwrap(),
        default_role: None,
        roles: [RoleName::new("member")].into_iter().collect(),
        tenant_claim: Some(ClaimPath::parse("tenant").unwrap()),
        anonymous_role: None,
        token_cache_bytes,
        ways: Ways::default(),
    };
    Authenticator::new(settings, Events::none()).unwrap()
}

fn token(signer: &Signer) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": "https://issuer.test", "aud": "portcullis", "sub": "0c8bd8f4-5b5c-4d0b-9c1e-3f7f4e9d1a55",
        "role": "member", "tenant": "acme", "email": "ann@example.com", "iat": now, "exp": now + 36_000,
    });
    encode(&Header::new(signer.algorithm), &claims, &signer.signs).unwrap()
}

fn tokens(c: &mut Criterion) {
    for signer in signers() {
        let token = token(&signer);
        let wanted = Wanted {
            user: "somebody",
            database: "acme",
        };
        for (kind, cache_bytes) in [("cached", 1 << 20), ("cold", 0)] {
            let authenticator = authenticator(&signer, cache_bytes);
            c.bench_function(&format!("token/{kind}/{:?}", signer.algorithm), |b| {
                b.iter(|| {
                    // Keys that are here need no waiting.
                    let login = pin!(authenticator.authenticate(Some(black_box(token.as_bytes())), &wanted));
                    match login.poll(&mut Context::from_waker(Waker::noop())) {
                        Poll::Ready(principal) => principal.unwrap(),
                        Poll::Pending => unreachable!("no key set has to be fetched"),
                    }
                });
            });
        }
    }
}

criterion_group! {
    name = costs;
    config = Criterion::default().without_plots().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = verdicts, tokens
}
criterion_main!(costs);
