//! Published key sets: rotation, outages, bounds, files.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::Jwk;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::base::{DrainHandle, Event, Observe, Phase, Who};

const RSA: &[u8] = include_bytes!("../testdata/rsa.pub.pem");
const RSA_OTHER: &[u8] = include_bytes!("../testdata/rsa_other.pub.pem");

/// What the endpoint does with a request.
#[derive(Clone)]
enum Answer {
    Keys(String),
    Status(&'static str),
    /// A body of this many bytes without a Content-Length.
    Endless(usize),
    /// Nothing, ever.
    Silence,
    /// A body after a pause.
    Late(Duration, String),
}

/// A small HTTP server on loopback that counts its requests.
struct Endpoint {
    url: String,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
}

impl Endpoint {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(answer));
        let requests = Arc::new(AtomicUsize::new(0));
        let (served, counted) = (Arc::clone(&answer), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = served.lock().clone();
                tokio::spawn(serve(socket, answer));
            }
        });
        Self {
            url,
            answer,
            requests,
        }
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Fetches are allowed every `min_interval`; the background does not fetch unless it runs.
    fn source(&self, min_interval: Duration) -> KeySource {
        KeySource::JwksUrl {
            url: self.url.clone(),
            refresh_interval: min_interval * 2,
            min_interval,
            timeout: Duration::from_secs(1),
            max_bytes: 10_000,
        }
    }
}

async fn serve(mut socket: TcpStream, answer: Answer) {
    let mut request = [0; 4096];
    let _ = socket.read(&mut request).await;
    let ok = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let reply = match answer {
        Answer::Keys(body) => ok(body.len()) + &body,
        Answer::Status(line) => format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n"),
        Answer::Endless(bytes) => format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(bytes)),
        Answer::Silence => return std::future::pending().await,
        Answer::Late(pause, body) => {
            tokio::time::sleep(pause).await;
            ok(body.len()) + &body
        }
    };
    let _ = socket.write_all(reply.as_bytes()).await;
}

fn jwks(keys: &[(&str, &[u8])]) -> String {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(id, pem)| {
            let key = DecodingKey::from_rsa_pem(pem).unwrap();
            let mut jwk = serde_json::to_value(Jwk::from_decoding_key(&key, None).unwrap()).unwrap();
            jwk["kid"] = json!(id);
            jwk
        })
        .collect();
    json!({ "keys": keys }).to_string()
}

fn signed(kid: Option<&str>, private_pem: &[u8]) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = kid.map(str::to_owned);
    sign(
        &header,
        &claims(json!({})),
        &EncodingKey::from_rsa_pem(private_pem).unwrap(),
    )
}

fn by_a(kid: Option<&str>) -> String {
    signed(kid, include_bytes!("../testdata/rsa.key.pem"))
}

fn by_b(kid: Option<&str>) -> String {
    signed(kid, include_bytes!("../testdata/rsa_other.key.pem"))
}

fn over(source: KeySource) -> Arc<Authenticator> {
    authenticator(settings(&[Algorithm::RS256], source))
}

const HOUR: Duration = Duration::from_secs(3_600);
const TICK: Duration = Duration::from_millis(50);

fn unavailable() -> AuthError {
    AuthError::KeysUnavailable {
        issuer: ISSUER.to_owned(),
    }
}

#[tokio::test]
async fn the_first_login_fetches_and_later_ones_do_not() {
    let endpoint = Endpoint::start(Answer::Keys(jwks(&[("a", RSA)]))).await;
    let auth = over(endpoint.source(HOUR));
    assert_eq!(endpoint.requests(), 0);
    for token in [by_a(Some("a")), by_a(None), by_a(Some("a"))] {
        log_in(&auth, &token).await.unwrap();
    }
    assert_eq!(
        log_in(&auth, &by_b(Some("a"))).await.unwrap_err(),
        AuthError::BadSignature
    );
    assert_eq!(endpoint.requests(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_by_its_unknown_id() {
    let endpoint = Endpoint::start(Answer::Keys(jwks(&[("a", RSA)]))).await;
    let auth = over(endpoint.source(TICK));
    log_in(&auth, &by_a(Some("a"))).await.unwrap();
    endpoint.set(Answer::Keys(jwks(&[("a", RSA), ("b", RSA_OTHER)])));
    tokio::time::sleep(2 * TICK).await;
    log_in(&auth, &by_b(Some("b"))).await.unwrap();
    assert_eq!(endpoint.requests(), 2);
    // Two keys now: a token must say which.
    assert_eq!(
        log_in(&auth, &by_b(None)).await.unwrap_err(),
        AuthError::AmbiguousKey
    );
}

#[tokio::test]
async fn a_withdrawn_key_no_longer_serves_cached_tokens() {
    let endpoint = Endpoint::start(Answer::Keys(jwks(&[("a", RSA)]))).await;
    let auth = over(endpoint.source(TICK));
    let token = by_a(Some("a"));
    let first = log_in(&auth, &token).await.unwrap();
    tokio::time::sleep(2 * TICK).await;
    auth.refresh().await;
    let same_keys = log_in(&auth, &token).await.unwrap();
    assert!(
        Arc::ptr_eq(&first, &same_keys),
        "an unchanged set must not empty the cache"
    );
    endpoint.set(Answer::Keys(jwks(&[("b", RSA_OTHER)])));
    tokio::time::sleep(2 * TICK).await;
    auth.refresh().await;
    assert_eq!(log_in(&auth, &token).await.unwrap_err(), AuthError::UnknownKey);
}

#[tokio::test]
async fn invented_key_ids_cause_one_fetch_per_interval() {
    let endpoint = Endpoint::start(Answer::Keys(jwks(&[("a", RSA)]))).await;
    let auth = over(endpoint.source(HOUR));
    for invented in 0..20 {
        let refused = log_in(&auth, &by_b(Some(&invented.to_string())))
            .await
            .unwrap_err();
        assert_eq!(refused, AuthError::UnknownKey);
    }
    assert_eq!(endpoint.requests(), 1);
}

#[tokio::test]
async fn an_algorithm_that_is_not_allowed_causes_no_fetch() {
    let endpoint = Endpoint::start(Answer::Keys(jwks(&[("a", RSA)]))).await;
    let auth = over(endpoint.source(HOUR));
    let refused = log_in(&auth, &token(json!({}))).await.unwrap_err();
    assert_eq!(refused, AuthError::AlgorithmNotAllowed(Algorithm::HS256));
    assert_eq!(endpoint.requests(), 0);
}

#[tokio::test]
async fn simultaneous_logins_share_one_fetch() {
    let keys = jwks(&[("a", RSA)]);
    let endpoint = Endpoint::start(Answer::Late(2 * TICK, keys)).await;
    // An interval this short allows further fetches at once: only sharing keeps them at one.
    let auth = over(endpoint.source(Duration::from_nanos(1)));
    let token = Arc::new(by_a(Some("a")));
    let logins: Vec<_> = (0..50)
        .map(|_| {
            let (auth, token) = (Arc::clone(&auth), Arc::clone(&token));
            tokio::spawn(async move { log_in(&auth, &token).await })
        })
        .collect();
    for login in logins {
        login.await.unwrap().unwrap();
    }
    assert_eq!(endpoint.requests(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_the_fetch() {
    let keys = jwks(&[("a", RSA)]);
    let endpoint = Endpoint::start(Answer::Late(10 * TICK, keys)).await;
    let auth = over(endpoint.source(HOUR));
    let token = by_a(Some("a"));
    assert!(tokio::time::timeout(TICK, log_in(&auth, &token)).await.is_err());
    log_in(&auth, &token).await.unwrap();
    assert_eq!(endpoint.requests(), 1);
}

#[tokio::test]
async fn the_last_good_set_stays_when_the_endpoint_fails() {
    let endpoint = Endpoint::start(Answer::Keys(jwks(&[("a", RSA)]))).await;
    let auth = over(endpoint.source(TICK));
    log_in(&auth, &by_a(Some("a"))).await.unwrap();
    for answer in [
        Answer::Status("500 Internal Server Error"),
        Answer::Status("204 No Content"),
        Answer::Endless(20_000),
        Answer::Keys("<html>".to_owned()),
        Answer::Keys(json!({"keys": []}).to_string()),
        Answer::Silence,
    ] {
        endpoint.set(answer);
        tokio::time::sleep(2 * TICK).await;
        let before = endpoint.requests();
        let report = auth.refresh().await;
        assert_eq!(endpoint.requests(), before + 1);
        assert_eq!(report[0].keys, 1);
        assert!(report[0].error.is_some());
        log_in(&auth, &by_a(Some("a"))).await.unwrap();
    }
    endpoint.set(Answer::Keys(jwks(&[("a", RSA)])));
    tokio::time::sleep(2 * TICK).await;
    assert_eq!(auth.refresh().await[0].error, None);
}

#[tokio::test]
async fn without_any_keys_the_refusal_is_temporary() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let mut endpoint = Endpoint::start(Answer::Silence).await;
    endpoint.url = url;
    let auth = over(endpoint.source(HOUR));
    assert_eq!(log_in(&auth, &by_a(Some("a"))).await.unwrap_err(), unavailable());
    for (answer, told) in [
        (Answer::Endless(20_000), "it is larger than 10000 bytes"),
        (Answer::Keys(" ".repeat(20_000)), "it is larger than 10000 bytes"),
        (Answer::Silence, "no answer within 1s"),
        (Answer::Status("404 Not Found"), "the answer was 404 Not Found"),
    ] {
        let endpoint = Endpoint::start(answer).await;
        let auth = over(endpoint.source(HOUR));
        assert_eq!(log_in(&auth, &by_a(Some("a"))).await.unwrap_err(), unavailable());
        assert_eq!(auth.key_sets()[0].error.as_deref(), Some(told));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Endpoint::start(Answer::Keys(jwks(&[("a", RSA)]))).await;
    let line = format!("302 Found\r\nLocation: {}", target.url);
    let endpoint = Endpoint::start(Answer::Status(Box::leak(line.into_boxed_str()))).await;
    let auth = over(endpoint.source(HOUR));
    assert_eq!(log_in(&auth, &by_a(Some("a"))).await.unwrap_err(), unavailable());
    assert_eq!(target.requests(), 0);
}

async fn eventually(reached: impl Fn() -> bool) {
    for _ in 0..200 {
        if reached() {
            return;
        }
        tokio::time::sleep(TICK).await;
    }
    panic!("it was never reached");
}

#[derive(Default)]
struct Refreshes(Mutex<VecDeque<bool>>);

impl Observe for Refreshes {
    fn observe(&self, event: &Event<'_>, _: Option<&dyn Who>) {
        if let Event::KeysRefreshed { issuer, error } = event {
            assert_eq!(*issuer, ISSUER);
            self.0.lock().push_back(error.is_none());
        }
    }
}

#[tokio::test]
async fn the_background_refreshes_until_the_drain() {
    let endpoint = Endpoint::start(Answer::Status("503 Service Unavailable")).await;
    let seen = Arc::new(Refreshes::default());
    let settings = settings(&[Algorithm::RS256], endpoint.source(TICK));
    let auth = Authenticator::new(settings, Events::new(Arc::clone(&seen) as _)).unwrap();
    let (handle, drain) = DrainHandle::new();
    let running = tokio::spawn(Arc::clone(&auth).run(drain));
    eventually(|| auth.key_sets()[0].error.is_some()).await;
    assert_eq!(log_in(&auth, &by_a(Some("a"))).await.unwrap_err(), unavailable());
    endpoint.set(Answer::Keys(jwks(&[("a", RSA)])));
    eventually(|| auth.key_sets()[0].keys == 1).await;
    log_in(&auth, &by_a(Some("a"))).await.unwrap();
    endpoint.set(Answer::Keys(jwks(&[("b", RSA_OTHER), ("c", RSA_OTHER)])));
    eventually(|| auth.key_sets()[0].keys == 2).await;
    assert_eq!(
        log_in(&auth, &by_a(Some("a"))).await.unwrap_err(),
        AuthError::UnknownKey
    );
    handle.advance(Phase::Draining);
    tokio::time::timeout(HOUR, running).await.unwrap().unwrap();
    let seen = seen.0.lock();
    assert_eq!(seen.front(), Some(&false));
    assert_eq!(seen.back(), Some(&true));
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    write(&path, &jwks(&[("a", RSA)]));
    let auth = over(KeySource::JwksFile(path.clone()));
    let token = by_a(Some("a"));
    log_in(&auth, &token).await.unwrap();
    let interval = Duration::from_millis(2_100);
    tokio::time::sleep(interval).await;
    write(&path, "{ half a file");
    log_in(&auth, &token).await.unwrap();
    assert!(auth.key_sets()[0].error.is_some());
    tokio::time::sleep(interval).await;
    write(&path, &jwks(&[("b", RSA_OTHER), ("c", RSA_OTHER)]));
    assert_eq!(log_in(&auth, &token).await.unwrap_err(), AuthError::UnknownKey);
    log_in(&auth, &by_b(Some("b"))).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    tokio::time::sleep(interval).await;
    log_in(&auth, &by_b(Some("b"))).await.unwrap();
}

#[tokio::test]
async fn a_key_file_may_hold_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let key = json!({"kty": "oct", "kid": "s", "k": URL_SAFE_NO_PAD.encode(SECRET), "alg": "HS256"});
    write(&path, &json!({ "keys": [key] }).to_string());
    let auth = authenticator(settings(&[Algorithm::HS256], KeySource::JwksFile(path)));
    log_in(&auth, &token(json!({}))).await.unwrap();
}
