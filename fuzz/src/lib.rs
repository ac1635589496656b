//! What is fuzzed: everything that reads bytes of somebody who may mean harm. Each target panics when what must
//! hold does not; `fuzz_targets/` hands them to libFuzzer.

mod server;
#[expect(dead_code, reason = "the tests of the crate use more of it")]
#[path = "../../src/session/tests/stage/mod.rs"]
mod stage;
mod statements;

pub use server::{SOCKET, Server};
pub use statements::mutated;

use std::io::Write as _;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Waker};
use std::time::Duration;

use portcullis::auth::{
    Algorithm, Authenticator, ClaimPath, IssuerSettings, KeySource, Required, Settings, Wanted, Ways,
};
use portcullis::base::{Events, RoleName, Secret};
use portcullis::config::Config;
use portcullis::guard::{self, Guard, Policy, Script};
use portcullis::wire::{body, frame, notice, startup as first};

/// Messages of both sides: lengths are believed only as far as they may be, bodies never read past their end.
pub fn frames(bytes: &[u8]) {
    for tags in [[b'D', b'd'], [b'D', b'D']] {
        assert!(
            frame::run_of(bytes, tags) <= bytes.len(),
            "a run ends within what there is"
        );
    }
    if let Ok(Some(head)) = frame::head(bytes) {
        assert!(
            u32::try_from(head.body_len).is_ok(),
            "a body is as long as a length can say"
        );
    }
    let _ = body::query(bytes);
    let _ = body::parse(bytes);
    let _ = body::named(bytes);
    let _ = body::execute(bytes);
    let _ = first::sasl_initial(bytes);
    if let Ok(Some(names)) = body::bind_names(bytes) {
        assert!(names.consumed <= bytes.len(), "names lie within the body");
    }
    let _ = notice::prefix(bytes);
    let mut out = Vec::new();
    notice::error(&mut out, &notice::fault(bytes));
    match frame::head(&out) {
        Ok(Some(head)) => assert_eq!(head.body_len + frame::HEAD_BYTES, out.len(), "one whole message"),
        other => panic!("an error that is no message: {other:?}"),
    }
}

/// The first packet of a connection.
pub fn startup(bytes: &[u8]) {
    let Ok(Some(length)) = first::packet_len(bytes) else {
        return;
    };
    if let Some(packet) = bytes.get(..length)
        && let Ok(first::FirstPacket::Startup(startup)) = first::decode(packet)
    {
        let _ = (startup.get("user"), startup.unknown_options());
        assert!(startup.negotiated_minor() <= first::NEWEST_MINOR);
        let bytes: usize = startup.parameters.iter().map(|(k, v)| k.len() + v.len()).sum();
        assert!(bytes <= packet.len(), "parameters come from the packet");
    }
}

static GUARD: LazyLock<Guard> = LazyLock::new(|| {
    // That of the attacks: the database that they are run against has a function that it must deny.
    let policy = Policy::parse(include_str!("../../tests/attacks/policy.toml")).expect("a policy");
    Guard::new(guard::Settings {
        policies: vec![policy],
        cache_bytes: 0,
        identity_settings: ["app.*", "request.*"].map(String::from).to_vec(),
        ..guard::Settings::default()
    })
});

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| GUARD.policy_for(&RoleName::new("authenticated")));

/// What an end user may send, if the guard says so.
pub fn judged(bytes: &[u8]) -> Option<Arc<Script>> {
    GUARD.judge(&POLICY, bytes).ok()
}

/// Statements: the verdict on a whole is that on its parts, and a text that may run is sent as it was read.
pub fn guard(bytes: &[u8]) {
    let _ = GUARD.facts(bytes);
    let Some(script) = judged(bytes) else { return };
    assert_eq!(script.text().len(), bytes.len(), "an edit changes no length");
    for cleared in script.statements() {
        assert!(
            script.text().contains(cleared.sql()),
            "a statement is part of its text"
        );
        let alone = judged(cleared.sql().as_bytes());
        let alone =
            alone.unwrap_or_else(|| panic!("allowed in a script, refused alone: {:?}", cleared.sql()));
        let classes: Vec<_> = alone.statements().iter().map(|one| one.class()).collect();
        assert_eq!(
            classes,
            [cleared.class()],
            "one statement, read alike: {:?}",
            cleared.sql()
        );
    }
}

/// Sessions, whatever clients and the server do: nobody hangs, nothing runs as nobody, every message has its replies.
pub fn session(bytes: &[u8]) {
    stage::fuzzed::run(bytes);
}

const SECRET: &[u8] = b"a secret of the fuzz targets, 32 bytes and more";

static AUTHENTICATOR: LazyLock<Arc<Authenticator>> = LazyLock::new(|| {
    let settings = Settings {
        issuers: vec![IssuerSettings {
            issuer: "https://issuer.test".to_owned(),
            audience: vec!["portcullis".to_owned()],
            algorithms: vec![Algorithm::HS256],
            keys: KeySource::Secret(Secret::new(SECRET)),
            leeway: Duration::from_secs(5),
            require_exp: Required::No,
        }],
        role_claim: ClaimPath::parse("role").expect("a path"),
        default_role: None,
        roles: [RoleName::new("member")].into_iter().collect(),
        tenant_claim: Some(ClaimPath::parse("tenant").expect("a path")),
        anonymous_role: None,
        token_cache_bytes: 0,
        ways: Ways::default(),
    };
    Authenticator::new(settings, Events::none()).expect("settings without mistakes")
});

/// Tokens: the bytes as a token, and as the claims of one that is properly signed. Whoever is let in has a role
/// that is on the list.
pub fn token(bytes: &[u8]) {
    assert!(log_in(bytes).is_none_or(|role| role == "member"));
    let claims = String::from_utf8_lossy(bytes);
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    let message = format!(
        "{}.{}",
        base64url(header.as_bytes()),
        base64url(claims.as_bytes())
    );
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET).unwrap();
    if let Ok(signature) = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256) {
        let role = log_in(format!("{message}.{signature}").as_bytes());
        assert!(
            role.is_none_or(|role| role == "member"),
            "let in as somebody else"
        );
    }
}

fn log_in(token: &[u8]) -> Option<String> {
    let wanted = Wanted {
        user: "somebody",
        database: "acme",
    };
    // Keys that are here need no waiting.
    let login = pin!(AUTHENTICATOR.authenticate(Some(token), &wanted));
    match login.poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(Ok(principal)) => Some(principal.role().as_str().to_owned()),
        std::task::Poll::Ready(Err(_)) => None,
        std::task::Poll::Pending => panic!("waits for the network"),
    }
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            out.push(char::from(DIGITS[(group >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    out
}

/// Configurations: a file with mistakes has them listed.
pub fn config(bytes: &[u8]) {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
    let path = FOLDER.path().join("portcullis.toml");
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(bytes).expect("a file that can be written");
    match Config::load(&path) {
        Ok(config) => assert!(!config.describe().is_empty()),
        Err(error) => assert!(!error.mistakes.is_empty(), "a mistake is named"),
    }
}
