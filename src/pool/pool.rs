//! One pool: the books under a lock, and the tasks that open connections.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot};
use tokio::time::timeout;

use crate::base::limits::POOL_UNUSED;
use crate::base::{DatabaseName, DiscardReason, Event, Events, LoginName, PoolMode, RoleName, ServerName};
use crate::server::{Parameters, ServerConn, ServerError, Target};

use super::accounting::{Accounting, Decision, Follow, Limits, Ticket};
use super::attempt::Attempt;
use super::lease::Pooled;
use super::waiting::{Waiter, Waiting};
use super::{Lease, PoolError};

/// What a pool's connections have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// The server.
    pub server: ServerName,
    /// The database.
    pub database: DatabaseName,
    /// The login.
    pub login: LoginName,
    /// How long its clients keep a connection. Each mode has a pool of its own: sessions that keep theirs
    /// cannot starve those that share, and what they leave never meets them.
    pub mode: PoolMode,
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.server, self.database, self.login)?;
        match self.mode {
            PoolMode::Transaction => Ok(()),
            PoolMode::Session => f.write_str("/session"),
        }
    }
}

/// How many connections and waiters a pool has, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSnapshot {
    /// Which pool.
    pub key: PoolKey,
    /// Connections that nobody uses.
    pub idle: usize,
    /// Connections in use.
    pub leased: usize,
    /// Logins under way.
    pub connecting: usize,
    /// Clients that wait for a connection.
    pub waiting: usize,
    /// The most connections it may have.
    pub max: usize,
}

/// What a pool is made of.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) limits: Limits,
    pub(super) query_wait_timeout: Option<Duration>,
    pub(super) server_lifetime: Duration,
}

/// The connections of one login to one database, and who waits for them.
#[derive(Debug)]
pub struct Pool {
    key: PoolKey,
    plan: Plan,
    events: Events,
    state: Mutex<State>,
    /// Lets one client at a time fetch the first greeting.
    greeting: OnceCell<Arc<Parameters>>,
}

#[derive(Debug)]
struct State {
    books: Accounting<Pooled, Waiter, Arc<ServerError>>,
    /// Of the latest login.
    parameters: Option<Arc<Parameters>>,
    last_used: Instant,
}

/// Whether anybody outside the pool holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
}

#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made")]
enum Taken {
    Lease(Lease),
    Waiting(Waiting),
}

impl Pool {
    pub(super) fn new(key: PoolKey, plan: Plan, events: Events) -> Arc<Self> {
        let state = State {
            books: Accounting::new(plan.limits),
            parameters: None,
            last_used: Instant::now(),
        };
        Arc::new(Self {
            key,
            plan,
            events,
            state: Mutex::new(state),
            greeting: OnceCell::new(),
        })
    }

    /// What its connections have in common.
    pub fn key(&self) -> &PoolKey {
        &self.key
    }

    /// Gets a server connection for a transaction under `role`: an idle one, preferably one that served this
    /// role last; else a new one within `default_pool_size`; else the first that becomes free, in order of
    /// arrival, within `query_wait_timeout`.
    ///
    /// # Errors
    /// [`PoolError::WaitTimeout`]; [`PoolError::Server`] if there is no connection and none can be opened;
    /// [`PoolError::Closed`] at shutdown.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped checkout leaves the queue, and a connection meant for it goes to the next.
    pub async fn checkout(self: &Arc<Self>, role: &RoleName) -> Result<Lease, PoolError> {
        let (mut lease, waited) = match self.take_or_enqueue(Some(role))? {
            Taken::Lease(lease) => (lease, Duration::ZERO),
            Taken::Waiting(waiting) => {
                let began = Instant::now();
                (waiting.wait(self.plan.query_wait_timeout).await?, began.elapsed())
            }
        };
        lease.set_last_role(role);
        self.events.emit(&Event::CheckedOut { waited });
        Ok(lease)
    }

    /// The ParameterStatus values of the latest login, for greeting a client. Connects if there has been no
    /// login yet; one connect answers all who ask meanwhile.
    ///
    /// # Errors
    /// As [`Self::checkout`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn parameters(self: &Arc<Self>) -> Result<Arc<Parameters>, PoolError> {
        if let Some(parameters) = self.latest_parameters() {
            return Ok(parameters);
        }
        let first = self.greeting.get_or_try_init(|| self.first_parameters());
        match self.plan.query_wait_timeout {
            None => first.await.cloned(),
            Some(limit) => timeout(limit, first)
                .await
                .map_err(|_| PoolError::WaitTimeout(limit))?
                .cloned(),
        }
    }

    /// Its counts now.
    pub fn snapshot(&self) -> PoolSnapshot {
        let counts = self.state.lock().books.counts();
        PoolSnapshot {
            key: self.key.clone(),
            idle: counts.idle,
            leased: counts.leased,
            connecting: counts.connecting,
            waiting: counts.waiting,
            max: self.plan.limits.max,
        }
    }

    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    pub(super) fn target(&self) -> &Target {
        &self.plan.target
    }

    /// Hands a connection that is counted as leased to the first waiter, or makes it idle.
    pub(super) fn give(self: &Arc<Self>, mut pooled: Pooled) {
        loop {
            let now = Instant::now();
            let mut state = self.state.lock();
            if state.books.is_closed() {
                drop(state);
                pooled.server.close();
                return self.forget(DiscardReason::Shutdown);
            }
            let given = state.books.give_back(pooled, now);
            let follow = state.books.settle(now);
            drop(state);
            self.follow(follow);
            let Some((waiter, returned)) = given else { return };
            match waiter.send(Ok(Lease::new(self, returned))) {
                // The waiter has just gone: the next one, then.
                Err(Ok(lease)) => pooled = lease.into_pooled(),
                Ok(()) | Err(Err(_)) => return,
            }
        }
    }

    /// Takes note that a leased connection was closed.
    pub(super) fn forget(self: &Arc<Self>, reason: DiscardReason) {
        let mut state = self.state.lock();
        state.books.discarded();
        let follow = state.books.settle(Instant::now());
        drop(state);
        self.events.emit(&Event::ServerClosed { reason });
        self.follow(follow);
    }

    /// Takes note that somebody no longer waits.
    pub(super) fn leave(&self, ticket: Ticket) {
        self.state.lock().books.leave(ticket);
    }

    /// The reaper's round: closes idle connections that are dead, old or superfluous, and refills.
    pub(super) fn tick(self: &Arc<Self>, now: Instant, held: Held) {
        let mut state = self.state.lock();
        let unused = held == Held::No && now.saturating_duration_since(state.last_used) >= POOL_UNUSED;
        state.books.set_min(if unused { 0 } else { self.plan.limits.min });
        let reaped = state.books.reap(now, |pooled| pooled.fault(now));
        let follow = state.books.settle(now);
        drop(state);
        for (pooled, reason) in reaped {
            pooled.server.close();
            self.events.emit(&Event::ServerClosed { reason });
        }
        self.follow(follow);
    }

    /// Closes what is idle. Nothing is opened in its place before it is needed, or the reaper's next round.
    pub(super) fn close_idle(&self, reason: DiscardReason) {
        let idle = self.state.lock().books.reap(Instant::now(), |_| Some(reason));
        for (pooled, reason) in idle {
            pooled.server.close();
            self.events.emit(&Event::ServerClosed { reason });
        }
    }

    /// Whether nothing would be lost without this pool.
    pub(super) fn is_disposable(&self, now: Instant) -> bool {
        let state = self.state.lock();
        let counts = state.books.counts();
        counts.idle + counts.leased + counts.connecting + counts.waiting == 0
            && now.saturating_duration_since(state.last_used) >= POOL_UNUSED
    }

    /// Closes what is idle and turns away who waits; leased connections are closed at check-in.
    pub(super) fn close(&self) {
        let (idle, waiters) = self.state.lock().books.close();
        for pooled in idle {
            pooled.server.close();
            self.events.emit(&Event::ServerClosed {
                reason: DiscardReason::Shutdown,
            });
        }
        turn_away(waiters, &PoolError::Closed);
    }

    fn latest_parameters(&self) -> Option<Arc<Parameters>> {
        self.state.lock().parameters.clone()
    }

    async fn first_parameters(self: &Arc<Self>) -> Result<Arc<Parameters>, PoolError> {
        let lease = match self.take_or_enqueue(None)? {
            Taken::Lease(lease) => lease,
            Taken::Waiting(waiting) => waiting.wait(self.plan.query_wait_timeout).await?,
        };
        let parameters = Arc::clone(lease.parameters());
        lease.put_back();
        Ok(parameters)
    }

    fn take_or_enqueue(self: &Arc<Self>, role: Option<&RoleName>) -> Result<Taken, PoolError> {
        loop {
            let now = Instant::now();
            let mut state = self.state.lock();
            if state.books.is_closed() {
                return Err(PoolError::Closed);
            }
            state.last_used = now;
            match state
                .books
                .checkout(now, |pooled| role.is_some() && pooled.server.last_role() == role)
            {
                Decision::Lease(mut pooled) => {
                    drop(state);
                    match pooled.fault(now) {
                        None => return Ok(Taken::Lease(Lease::new(self, pooled))),
                        Some(reason) => {
                            pooled.server.close();
                            self.forget(reason);
                        }
                    }
                }
                Decision::Fail(error) => return Err(PoolError::Server(error)),
                Decision::Wait => {
                    let (waiter, answer) = oneshot::channel();
                    let ticket = state.books.enqueue(waiter);
                    let follow = state.books.settle(now);
                    drop(state);
                    // First the guard, then anything that could answer it.
                    let waiting = Waiting::new(Arc::clone(self), ticket, answer);
                    self.follow(follow);
                    return Ok(Taken::Waiting(waiting));
                }
            }
        }
    }

    /// Does what the books ask for. Never called under the lock.
    fn follow(self: &Arc<Self>, follow: Follow<Waiter, Arc<ServerError>>) {
        if let Some((waiters, error)) = follow.stranded {
            turn_away(waiters, &PoolError::Server(error));
        }
        for _ in 0..follow.connects {
            Attempt::start(Arc::clone(self));
        }
    }

    /// A login worked.
    pub(super) fn connected(self: &Arc<Self>, server: ServerConn) {
        let PoolKey {
            server: name,
            database,
            login,
            mode: _,
        } = &self.key;
        self.events.emit(&Event::ServerOpened {
            server: name,
            database,
            login,
        });
        let lifetime = self.plan.server_lifetime;
        let early = lifetime.mul_f64(rand::random::<f64>() / 10.0);
        let retire_at = server.opened_at().checked_add(lifetime.saturating_sub(early));
        {
            let mut state = self.state.lock();
            state.books.connected();
            state.parameters = Some(Arc::clone(server.parameters()));
        }
        self.give(Pooled { server, retire_at });
    }

    /// A login failed.
    pub(super) fn connect_failed(self: &Arc<Self>, error: ServerError) {
        let reason = error.to_string();
        self.events.emit(&Event::ServerConnectFailed {
            server: &self.key.server,
            reason: &reason,
        });
        let now = Instant::now();
        let jitter = rand::random::<f64>();
        let mut state = self.state.lock();
        state.books.connect_failed(now, jitter, Arc::new(error));
        let follow = state.books.settle(now);
        drop(state);
        self.follow(follow);
    }
}

fn turn_away(waiters: Vec<Waiter>, error: &PoolError) {
    for waiter in waiters {
        // One that has gone needs no answer.
        let _ = waiter.send(Err(error.clone()));
    }
}
