//! The three endpoints and the server around them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::listener::{BoundedListener, Limits};
use crate::base::{Drain, Exposition, Phase};

/// Connections at one time. Every answer closes its connection, so this bounds requests as well.
const CONNECTIONS: usize = 64;

/// How long a connection may last: one request and its answer.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(15);

/// How long a scrape may wait for its turn and take.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);

/// Scrapes at one time: each walks every series, on a thread of its own.
const SCRAPES: usize = 2;

/// How long answers under way may take once the proxy stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// Where the endpoints are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address to listen on; loopback, or a network of the operators' own.
    pub address: SocketAddr,
}

/// Whether new clients should be sent here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// They should.
    Ready,
    /// They should not, for this reason: one line, without secrets.
    NotReady(String),
}

/// Asked on every `/ready`; must not block.
pub type ReadyCheck = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// Listens on the address and serves until [`Phase::Stopping`]: see [`serve_on`]. Fails if the address
/// cannot be bound. Dropped, it cuts off the answers under way.
pub async fn serve(
    settings: Settings,
    metrics: Arc<dyn Exposition>,
    ready: ReadyCheck,
    drain: Drain,
) -> io::Result<()> {
    let listener = TcpListener::bind(settings.address).await?;
    serve_on(listener, metrics, ready, drain).await
}

/// Serves on a listener until [`Phase::Stopping`], so that the last transactions can be watched.
///
/// From [`Phase::Draining`] on `/ready` says no, whatever `ready` says. `drain` is held to the end: who
/// waits for [`DrainHandle::drained`](crate::base::DrainHandle::drained) before it stops gives the
/// endpoints a handle of their own. Dropped, it cuts off the answers under way.
pub async fn serve_on(
    listener: TcpListener,
    metrics: Arc<dyn Exposition>,
    ready: ReadyCheck,
    drain: Drain,
) -> io::Result<()> {
    let limits = Limits {
        connections: CONNECTIONS,
        lifetime: CONNECTION_LIFETIME,
    };
    serve_within(
        limits,
        listener,
        Endpoints {
            metrics,
            ready,
            drain,
            scrapes: Semaphore::new(SCRAPES),
        },
    )
    .await
}

/// What the endpoints answer from.
struct Endpoints {
    metrics: Arc<dyn Exposition>,
    ready: ReadyCheck,
    drain: Drain,
    scrapes: Semaphore,
}

async fn serve_within(limits: Limits, listener: TcpListener, endpoints: Endpoints) -> io::Result<()> {
    let mut drain = endpoints.drain.clone();
    let mut stopped = drain.clone();
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .fallback(async || answer(StatusCode::NOT_FOUND, "try /metrics, /live or /ready\n"))
        .method_not_allowed_fallback(async || answer(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"))
        .with_state(Arc::new(endpoints));
    let server = axum::serve(BoundedListener::new(listener, limits), routes)
        .with_graceful_shutdown(async move { drain.reached(Phase::Stopping).await });
    let overdue = async {
        stopped.reached(Phase::Stopping).await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = server => served,
        () = overdue => Ok(()),
    }
}

async fn metrics(State(endpoints): State<Arc<Endpoints>>) -> Response {
    let scrape = async {
        let _turn = endpoints.scrapes.acquire().await.ok()?;
        let metrics = Arc::clone(&endpoints.metrics);
        tokio::task::spawn_blocking(move || metrics.render()).await.ok()
    };
    match timeout(SCRAPE_TIMEOUT, scrape).await {
        Ok(Some(Ok(text))) => typed_answer(StatusCode::OK, endpoints.metrics.content_type(), text),
        Ok(Some(Err(error))) => {
            tracing::error!(%error, "admin: cannot render metrics");
            answer(StatusCode::INTERNAL_SERVER_ERROR, "cannot render metrics\n")
        }
        Ok(None) | Err(_) => answer(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes\n"),
    }
}

async fn live() -> Response {
    answer(StatusCode::OK, "live\n")
}

async fn ready(State(endpoints): State<Arc<Endpoints>>) -> Response {
    if endpoints.drain.phase() >= Phase::Draining {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
    }
    match (endpoints.ready)() {
        Readiness::Ready => answer(StatusCode::OK, "ready\n"),
        Readiness::NotReady(reason) => answer(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn answer(status: StatusCode, text: impl Into<Body>) -> Response {
    typed_answer(status, PLAIN_TEXT, text)
}

/// An answer that is not cached and closes its connection: a connection kept open between scrapes would
/// only hold a place.
fn typed_answer(status: StatusCode, content_type: &'static str, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DrainHandle;
    use parking_lot::Mutex;
    use std::error::Error;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    /// Figures that can be made to fail.
    #[derive(Default)]
    struct Figures {
        broken: AtomicBool,
    }

    impl Exposition for Figures {
        fn content_type(&self) -> &'static str {
            "text/plain; version=0.0.4"
        }

        fn render(&self) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
            match self.broken.load(Ordering::Relaxed) {
                true => Err("secret inner workings".into()),
                false => Ok(b"clients 1\n".to_vec()),
            }
        }
    }

    struct Served {
        address: SocketAddr,
        figures: Arc<Figures>,
        readiness: Arc<Mutex<Readiness>>,
        handle: DrainHandle,
        task: JoinHandle<io::Result<()>>,
    }

    async fn served(limits: Limits) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let figures = Arc::new(Figures::default());
        let metrics = Arc::clone(&figures) as Arc<dyn Exposition>;
        let readiness = Arc::new(Mutex::new(Readiness::Ready));
        let answer = Arc::clone(&readiness);
        let ready: ReadyCheck = Arc::new(move || answer.lock().clone());
        let (handle, drain) = DrainHandle::new();
        let scrapes = Semaphore::new(SCRAPES);
        let endpoints = Endpoints {
            metrics,
            ready,
            drain,
            scrapes,
        };
        let task = tokio::spawn(serve_within(limits, listener, endpoints));
        Served {
            address,
            figures,
            readiness,
            handle,
            task,
        }
    }

    const LIMITS: Limits = Limits {
        connections: 4,
        lifetime: Duration::from_secs(30),
    };

    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        // Ends because every answer closes its connection.
        timeout(Duration::from_secs(20), stream.read_to_string(&mut text))
            .await
            .unwrap()
            .unwrap();
        text
    }

    async fn fetch(address: SocketAddr, path: &str) -> String {
        exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
    }

    fn status(answer: &str) -> &str {
        answer.split(' ').nth(1).unwrap()
    }

    #[tokio::test]
    async fn metrics_are_what_was_counted_and_a_failure_tells_no_details() {
        let served = served(LIMITS).await;
        let answer = fetch(served.address, "/metrics").await;
        assert_eq!(status(&answer), "200");
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\nclients 1\n"), "{answer}");
        served.figures.broken.store(true, Ordering::Relaxed);
        let answer = fetch(served.address, "/metrics").await;
        assert_eq!(status(&answer), "500");
        assert!(!answer.contains("secret"), "{answer}");
    }

    #[tokio::test]
    async fn ready_says_why_not_and_draining_overrules_it() {
        let served = served(LIMITS).await;
        assert_eq!(status(&fetch(served.address, "/ready").await), "200");
        *served.readiness.lock() = Readiness::NotReady("no server answers".into());
        let answer = fetch(served.address, "/ready").await;
        assert_eq!(status(&answer), "503");
        assert!(answer.ends_with("no server answers\n"), "{answer}");
        *served.readiness.lock() = Readiness::Ready;
        served.handle.advance(Phase::Draining);
        assert_eq!(status(&fetch(served.address, "/ready").await), "503");
        assert_eq!(status(&fetch(served.address, "/live").await), "200");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let served = served(LIMITS).await;
        assert_eq!(status(&fetch(served.address, "/").await), "404");
        for method in ["POST", "DELETE", "OPTIONS"] {
            let request = format!("{method} /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(
                status(&exchange(served.address, &request).await),
                "405",
                "{method}"
            );
        }
    }

    #[tokio::test]
    async fn silent_connections_are_ended_and_make_room() {
        let limits = Limits {
            connections: 2,
            lifetime: Duration::from_millis(300),
        };
        let served = served(limits).await;
        let mut silent = Vec::new();
        for _ in 0..6 {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            stream.write_all(b"GET /live HT").await.unwrap();
            silent.push(stream);
        }
        // Six in front, two at one time: the answer comes after three lifetimes.
        let began = std::time::Instant::now();
        assert_eq!(status(&fetch(served.address, "/live").await), "200");
        assert!(
            began.elapsed() >= Duration::from_millis(500),
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test]
    async fn stopping_ends_it_even_with_connections_open() {
        let served = served(LIMITS).await;
        let _silent = TcpStream::connect(served.address).await.unwrap();
        assert_eq!(status(&fetch(served.address, "/live").await), "200");
        served.handle.advance(Phase::Stopping);
        timeout(Duration::from_secs(10), served.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(TcpStream::connect(served.address).await.is_err());
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error() {
        let served = served(LIMITS).await;
        let (_handle, drain) = DrainHandle::new();
        let settings = Settings {
            address: served.address,
        };
        let ready: ReadyCheck = Arc::new(|| Readiness::Ready);
        let error = serve(settings, Arc::clone(&served.figures) as _, ready, drain)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
