//! Cancel keys of our own, and requests that reach exactly the query their session runs now.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::base::{Event, Events};
use crate::server::CancelKey;
use crate::session::teller::tell_of_nobody;
use crate::wire::startup::CancelRequest;

/// Bytes of a secret in protocol 3.2 (PostgreSQL 18 uses 32 as well; `MAX_CANCEL_KEY_LENGTH` is 256).
const LONG_SECRET_BYTES: usize = 32;

/// What a session runs, as far as a cancel request is concerned.
#[derive(Debug, Default)]
pub(crate) struct CancelSlot {
    running: Mutex<Running>,
    /// Requests that have come since the one that is on its way to the server was sent, that one included.
    asked: AtomicUsize,
}

#[derive(Debug, Default)]
enum Running {
    /// No server connection: a cancel has nothing to do.
    #[default]
    Nothing,
    /// Waiting for a server connection: a cancel ends the wait, and wakes this task for it.
    Waiting(Option<Waker>),
    /// A cancel has ended the wait.
    WaitCancelled,
    /// A server connection that a cancel may be sent for.
    On(Arc<CancelKey>),
    /// A cancel is on its way or has landed: the connection must not serve anybody else.
    Cancelled(Arc<CancelKey>),
}

impl CancelSlot {
    /// The session is about to wait for a server connection.
    pub(crate) fn wait(&self) {
        *self.running.lock() = Running::Waiting(None);
    }

    /// Ready when a cancel has arrived since [`CancelSlot::wait`]. Otherwise one wakes the task, until
    /// [`CancelSlot::begin`] or [`CancelSlot::end`].
    pub(crate) fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.running.lock() {
            Running::WaitCancelled => return Poll::Ready(()),
            Running::Waiting(Some(waker)) => waker.clone_from(cx.waker()),
            Running::Waiting(none) => *none = Some(cx.waker().clone()),
            Running::Nothing | Running::On(_) | Running::Cancelled(_) => {}
        }
        Poll::Pending
    }

    /// The session has a server connection now.
    pub(crate) fn begin(&self, key: Arc<CancelKey>) {
        *self.running.lock() = Running::On(key);
    }

    /// The session gives its server connection back. Returns whether a cancel was sent for it, so that a
    /// late signal could still hit it.
    pub(crate) fn end(&self) -> bool {
        matches!(std::mem::take(&mut *self.running.lock()), Running::Cancelled(_))
    }

    /// Cancels what the session does. Returns the server's key if a server takes part.
    fn cancel(self: &Arc<Self>) -> Cancelled {
        let mut running = self.running.lock();
        match std::mem::take(&mut *running) {
            // One transaction may have several statements to cancel.
            Running::On(key) | Running::Cancelled(key) => {
                *running = Running::Cancelled(Arc::clone(&key));
                Cancelled::OnServer(key, Arc::clone(self))
            }
            Running::Waiting(waker) => {
                *running = Running::WaitCancelled;
                drop(running);
                if let Some(waker) = waker {
                    waker.wake();
                }
                Cancelled::Wait
            }
            Running::WaitCancelled => {
                *running = Running::WaitCancelled;
                Cancelled::Wait
            }
            Running::Nothing => Cancelled::Nothing,
        }
    }
}

/// What a cancel request has met.
#[derive(Debug)]
enum Cancelled {
    /// Nothing that could be cancelled.
    Nothing,
    /// The wait for a server connection.
    Wait,
    /// Whatever the server does under this key for this session.
    OnServer(Arc<CancelKey>, Arc<CancelSlot>),
}

/// The key a client was given at login. Forgotten when dropped.
#[derive(Debug)]
pub struct CancelTicket {
    registry: Arc<CancelRegistry>,
    pid: i32,
    secret: Vec<u8>,
    slot: Arc<CancelSlot>,
}

impl CancelTicket {
    /// The process id part.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The secret part.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    pub(crate) fn slot(&self) -> &Arc<CancelSlot> {
        &self.slot
    }
}

impl Drop for CancelTicket {
    fn drop(&mut self) {
        self.registry.sessions.lock().remove(&self.pid);
    }
}

/// The secret half of a key, and what it cancels.
type Registered = (Vec<u8>, Arc<CancelSlot>);

/// All sessions by the keys they were given.
#[derive(Debug)]
pub struct CancelRegistry {
    sessions: Mutex<HashMap<i32, Registered, RandomState>>,
    events: Events,
}

impl CancelRegistry {
    /// An empty registry.
    pub fn new(events: Events) -> Arc<Self> {
        Arc::new(Self {
            sessions: Mutex::default(),
            events,
        })
    }

    /// Draws a key for a new session: 4 bytes of secret for protocol 3.0, 32 for 3.2.
    pub fn register(self: &Arc<Self>, minor: u16) -> CancelTicket {
        let mut rng = rand::rng();
        let mut secret = vec![0; if minor >= 2 { LONG_SECRET_BYTES } else { 4 }];
        rng.fill(&mut secret[..]);
        let slot = Arc::new(CancelSlot::default());
        let mut sessions = self.sessions.lock();
        // Clients are far fewer than process ids, so a free one is found at once.
        let pid = loop {
            let pid = rng.random_range(1..=i32::MAX);
            if let std::collections::hash_map::Entry::Vacant(free) = sessions.entry(pid) {
                free.insert((secret.clone(), Arc::clone(&slot)));
                break pid;
            }
        };
        CancelTicket {
            registry: Arc::clone(self),
            pid,
            secret,
            slot,
        }
    }

    /// Passes a request on to the server, if its key is known and its session runs something.
    ///
    /// Not cancel safe: a dropped call may leave the request half sent. The caller learns nothing, as
    /// with Postgres.
    pub async fn cancel(&self, request: &CancelRequest) {
        let cancelled = self.find(request);
        let matched = !matches!(cancelled, Cancelled::Nothing);
        tell_of_nobody(&self.events, &Event::CancelRequested { matched });
        if let Cancelled::OnServer(key, slot) = cancelled {
            slot.send(key).await;
        }
    }

    fn find(&self, request: &CancelRequest) -> Cancelled {
        let slot = match self.sessions.lock().get(&request.pid) {
            Some((secret, slot)) if same(secret, &request.secret) => Arc::clone(slot),
            Some(_) | None => return Cancelled::Nothing,
        };
        slot.cancel()
    }
}

impl CancelSlot {
    /// Sends a request to the server, and another one if more have come meanwhile. Each costs the server a process: one
    /// session has no more than one of them at a time, however often it asks.
    async fn send(self: Arc<Self>, mut key: Arc<CancelKey>) {
        if self.asked.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        loop {
            let asked = self.asked.load(Ordering::Relaxed);
            if let Err(error) = key.send().await {
                tracing::warn!(%error, "cancel request did not reach the server");
            }
            let done = self
                .asked
                .compare_exchange(asked, 0, Ordering::Relaxed, Ordering::Relaxed);
            if done.is_ok() {
                return;
            }
            match self.cancel() {
                Cancelled::OnServer(next, _) => key = next,
                Cancelled::Nothing | Cancelled::Wait => return self.asked.store(0, Ordering::Relaxed),
            }
        }
    }
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::net::Endpoint;

    fn key() -> Arc<CancelKey> {
        let endpoint = Endpoint::Tcp {
            host: "127.0.0.1".into(),
            port: 1,
        };
        Arc::new(CancelKey::new(endpoint, 1, bytes::Bytes::from_static(b"abcd")))
    }

    #[test]
    fn a_key_reaches_only_what_its_session_runs_now() {
        let registry = CancelRegistry::new(Events::none());
        let ticket = registry.register(0);
        let mut request = CancelRequest {
            pid: ticket.pid(),
            secret: ticket.secret().to_vec(),
        };
        let nothing = |found| matches!(found, Cancelled::Nothing);
        assert!(nothing(registry.find(&request)), "nothing runs yet");
        ticket.slot().begin(key());
        assert!(matches!(registry.find(&request), Cancelled::OnServer(..)));
        let again = registry.find(&request);
        assert!(
            matches!(again, Cancelled::OnServer(..)),
            "a transaction has several queries"
        );
        assert!(ticket.slot().end(), "the connection is tainted");
        assert!(nothing(registry.find(&request)), "the query is over");
        ticket.slot().begin(key());
        request.secret[0] ^= 1;
        assert!(nothing(registry.find(&request)), "wrong secret");
        assert!(!ticket.slot().end());
    }

    #[tokio::test]
    async fn a_wait_is_cancelled_and_taints_nothing() {
        let registry = CancelRegistry::new(Events::none());
        let ticket = registry.register(0);
        let request = CancelRequest {
            pid: ticket.pid(),
            secret: ticket.secret().to_vec(),
        };
        ticket.slot().wait();
        let cancelled = poll_fn(|cx| ticket.slot().poll_cancelled(cx));
        let ((), found) = tokio::join!(cancelled, async { registry.find(&request) });
        assert!(matches!(found, Cancelled::Wait));
        assert!(!ticket.slot().end());
    }

    #[tokio::test]
    async fn one_request_of_a_session_is_on_its_way_at_a_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::Tcp {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
        };
        let registry = CancelRegistry::new(Events::none());
        let ticket = registry.register(0);
        let request = CancelRequest {
            pid: ticket.pid(),
            secret: ticket.secret().to_vec(),
        };
        let secret = bytes::Bytes::from_static(b"abcd");
        ticket.slot().begin(Arc::new(CancelKey::new(endpoint, 1, secret)));
        let first = async {
            // Nine more come while it is on its way, and are one more.
            let (held, _) = listener.accept().await.unwrap();
            for _ in 0..9 {
                registry.cancel(&request).await;
            }
            drop(held);
            drop(listener.accept().await.unwrap());
        };
        tokio::join!(registry.cancel(&request), first);
        assert_eq!(ticket.slot().asked.load(Ordering::Relaxed), 0);
        assert!(
            poll_fn(|cx| Poll::Ready(listener.poll_accept(cx)))
                .await
                .is_pending()
        );
    }

    #[test]
    fn keys_are_long_where_the_protocol_allows_and_forgotten_with_the_session() {
        let registry = CancelRegistry::new(Events::none());
        let (short, long) = (registry.register(0), registry.register(2));
        assert_eq!((short.secret().len(), long.secret().len()), (4, 32));
        drop((short, long));
        assert!(registry.sessions.lock().is_empty());
    }
}
