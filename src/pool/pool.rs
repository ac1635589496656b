//! One pool: its connections as the rest of the proxy sees them. The books are its server's.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot};
use tokio::time::timeout;

use crate::base::clock;
use crate::base::limits::POOL_UNUSED;
use crate::base::{
    DatabaseName, DiscardReason, Event, Events, LoginName, PoolMode, RoleName, ServerName, TenantName,
    WaitReason,
};
use crate::server::{Parameters, ServerConn, ServerError, Target};

use super::accounting::{Blame, Counts, Decision, FlowId, Permit, PoolId, PoolLimits, Share, Ticket};
use super::host::{Books, Host};
use super::lease::Pooled;
use super::waiting::Waiting;
use super::{Customer, Lease, PoolError};

/// What a pool's connections have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// The server.
    pub server: ServerName,
    /// The database.
    pub database: DatabaseName,
    /// The login.
    pub login: LoginName,
    /// The tenant whose own user it logs in as, where the login has one for each.
    pub login_tenant: Option<TenantName>,
    /// How long its clients keep a connection. Each mode has a pool of its own: sessions that keep theirs
    /// cannot starve those that share, and what they leave never meets them.
    pub mode: PoolMode,
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.server, self.database, self.login)?;
        if let Some(tenant) = &self.login_tenant {
            write!(f, " of {tenant}")?;
        }
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
    pub(super) limits: PoolLimits,
    pub(super) query_wait_timeout: Option<Duration>,
    pub(super) server_lifetime: Duration,
}

/// When a pool keeps its minimum of connections open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// While somebody uses it.
    InUse,
    /// Always, and one at least.
    Always,
}

/// The connections of one login to one database, and who waits for them.
#[derive(Debug)]
pub struct Pool {
    key: PoolKey,
    plan: Plan,
    events: Events,
    host: Arc<Host>,
    id: PoolId,
    keep: Mutex<Keep>,
    /// Of those who have no tenant.
    flow: FlowId,
    /// Of the latest login.
    parameters: Mutex<Option<Arc<Parameters>>>,
    /// Lets one client at a time fetch the first greeting.
    greeting: OnceCell<Arc<Parameters>>,
}

/// Whether anybody outside the pool holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
}

/// What asking for a server connection has come to.
#[derive(Debug)]
pub enum Checkout {
    /// One was idle.
    Lease(Lease),
    /// A place in the queue.
    Waiting(Waiting),
}

impl Pool {
    pub(super) fn new(key: PoolKey, plan: Plan, host: Arc<Host>, events: Events) -> Arc<Self> {
        Arc::new_cyclic(|link| {
            let mut books = host.books();
            let id = books.add_pool(Weak::clone(link), plan.limits, clock::now());
            let flow = books.enter(id, None, Share::default());
            drop(books);
            Self {
                key,
                plan,
                events,
                host,
                id,
                keep: Mutex::new(Keep::InUse),
                flow,
                parameters: Mutex::new(None),
                greeting: OnceCell::new(),
            }
        })
    }

    /// What its connections have in common.
    pub fn key(&self) -> &PoolKey {
        &self.key
    }

    /// A session's hold on this pool, on the account of its tenant.
    pub(super) fn customer(self: &Arc<Self>, tenant: Option<&TenantName>, share: Share) -> Customer {
        let mut books = self.host.books();
        let flow = books.enter(self.id, tenant, share);
        let follow = books.settle(self.id, clock::now());
        drop(books);
        let customer = Customer::new(Arc::clone(self), flow);
        self.host.follow(follow);
        customer
    }

    /// Gets a server connection for a transaction under `role`: an idle one, preferably one that served this
    /// role last; else a new one within the limits of pool and server; else one that becomes free when it is its
    /// turn, within `query_wait_timeout`.
    ///
    /// # Errors
    /// [`PoolError::WaitTimeout`]; [`PoolError::Overloaded`] if too many wait already; [`PoolError::Server`] if
    /// there is no connection and none can be opened; [`PoolError::Closed`] at shutdown.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped checkout leaves the queue, and a connection meant for it goes to the next.
    pub async fn checkout(self: &Arc<Self>, role: &RoleName) -> Result<Lease, PoolError> {
        self.checkout_for(self.flow, role).await
    }

    /// [`Self::checkout`] in the turn of one flow.
    pub(super) async fn checkout_for(
        self: &Arc<Self>,
        flow: FlowId,
        role: &RoleName,
    ) -> Result<Lease, PoolError> {
        match self.begin_checkout(flow, role, clock::now())? {
            Checkout::Lease(lease) => Ok(lease),
            Checkout::Waiting(waiting) => waiting.turn(role).await,
        }
    }

    /// The part of a checkout that needs no waiting.
    pub(super) fn begin_checkout(
        self: &Arc<Self>,
        flow: FlowId,
        role: &RoleName,
        now: Instant,
    ) -> Result<Checkout, PoolError> {
        let mut checkout = self.take_or_enqueue(flow, Some(role), now)?;
        if let Checkout::Lease(lease) = &mut checkout {
            self.checked_out(lease, role, Duration::ZERO);
        }
        Ok(checkout)
    }

    /// A client has got its connection.
    pub(super) fn checked_out(&self, lease: &mut Lease, role: &RoleName, waited: Duration) {
        lease.set_last_role(role);
        self.events.emit(&Event::CheckedOut { waited });
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
                .map_err(|_| PoolError::WaitTimeout {
                    limit,
                    reason: self.host.books().reason(self.flow),
                })?
                .cloned(),
        }
    }

    /// Its counts now.
    pub fn snapshot(&self) -> PoolSnapshot {
        let counts = self.host.books().counts(self.id);
        PoolSnapshot {
            key: self.key.clone(),
            idle: counts.idle,
            leased: counts.leased,
            connecting: counts.connecting,
            waiting: counts.waiting,
            max: self.plan.limits.max,
        }
    }

    /// How long a client may wait for a connection.
    pub(super) fn query_wait_timeout(&self) -> Option<Duration> {
        self.plan.query_wait_timeout
    }

    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    pub(super) fn target(&self) -> &Target {
        &self.plan.target
    }

    /// Ends a lease: its connection goes to whose turn it is, or becomes idle.
    pub(super) fn give(&self, pooled: Pooled, permit: Permit, now: Instant) {
        let mut books = self.host.books();
        let left = books.give_back(permit, pooled, now);
        let follow = books.settle(self.id, now);
        drop(books);
        if let Some(pooled) = left {
            self.host.close(pooled, DiscardReason::Shutdown);
        }
        self.host.follow(follow);
    }

    /// Takes note that a leased connection was closed.
    pub(super) fn forget(&self, permit: Permit, reason: DiscardReason) {
        let now = clock::now();
        let mut books = self.host.books();
        books.discarded(permit, now);
        let follow = books.settle(self.id, now);
        drop(books);
        self.events.emit(&Event::ServerClosed { reason });
        self.host.follow(follow);
    }

    /// Takes note that somebody no longer waits; what for, unless it was answered.
    pub(super) fn leave(&self, ticket: Ticket) -> Option<WaitReason> {
        let mut books = self.host.books();
        let (_waiter, reason) = books.leave(ticket)?;
        // What was kept from others for it may serve them now.
        let follow = books.settle(self.id, clock::now());
        drop(books);
        self.host.follow(follow);
        Some(reason)
    }

    /// Takes note that a session ended.
    pub(super) fn exit(&self, flow: FlowId) {
        let mut books = self.host.books();
        books.exit(flow);
        // What was kept for its floor may serve others.
        let follow = books.settle(self.id, clock::now());
        drop(books);
        self.host.follow(follow);
    }

    /// Says when it keeps its minimum open, from the next [`Self::tick`] on.
    pub(super) fn keep(&self, keep: Keep) {
        *self.keep.lock() = keep;
    }

    /// The reaper's round: closes idle connections that are dead, old or superfluous, and refills.
    pub(super) fn tick(&self, now: Instant, held: Held) {
        let mut books = self.host.books();
        let unused = held == Held::No && self.is_unused(&books, now);
        let min = match (*self.keep.lock(), unused) {
            (Keep::Always, _) => self.plan.limits.min.max(1),
            (Keep::InUse, true) => 0,
            (Keep::InUse, false) => self.plan.limits.min,
        };
        books.set_min(self.id, min);
        let reaped = books.reap(self.id, now, |pooled| pooled.fault(now));
        let follow = books.settle(self.id, now);
        drop(books);
        for (pooled, reason) in reaped {
            self.host.close(pooled, reason);
        }
        self.host.follow(follow);
    }

    /// Closes what is idle. Nothing is opened in its place before it is needed, or the reaper's next round.
    pub(super) fn close_idle(&self, reason: DiscardReason) {
        let now = clock::now();
        let idle = self.host.books().reap(self.id, now, |_| Some(reason));
        for (pooled, reason) in idle {
            self.host.close(pooled, reason);
        }
        // Another pool may have waited for the room.
        let follow = self.host.books().settle_others(now);
        self.host.follow(follow);
    }

    /// Whether nothing would be lost without this pool.
    pub(super) fn is_disposable(&self, now: Instant) -> bool {
        let books = self.host.books();
        *self.keep.lock() == Keep::InUse
            && books.counts(self.id) == Counts::default()
            && self.is_unused(&books, now)
    }

    fn is_unused(&self, books: &Books, now: Instant) -> bool {
        let last_used = books.last_used(self.id);
        last_used.is_none_or(|last_used| now.saturating_duration_since(last_used) >= POOL_UNUSED)
    }

    fn latest_parameters(&self) -> Option<Arc<Parameters>> {
        self.parameters.lock().clone()
    }

    async fn first_parameters(self: &Arc<Self>) -> Result<Arc<Parameters>, PoolError> {
        let lease = match self.take_or_enqueue(self.flow, None, clock::now())? {
            Checkout::Lease(lease) => lease,
            Checkout::Waiting(mut waiting) => waiting.wait().await?,
        };
        let parameters = Arc::clone(lease.parameters());
        lease.put_back(clock::now());
        Ok(parameters)
    }

    fn take_or_enqueue(
        self: &Arc<Self>,
        flow: FlowId,
        role: Option<&RoleName>,
        now: Instant,
    ) -> Result<Checkout, PoolError> {
        loop {
            let mut books = self.host.books();
            match books.checkout(flow, now, |pooled| {
                role.is_some() && pooled.server.last_role() == role
            }) {
                Decision::Lease(mut pooled, permit) => {
                    let follow = books.settle(self.id, now);
                    drop(books);
                    self.host.follow(follow);
                    match pooled.fault(now) {
                        None => return Ok(Checkout::Lease(Lease::new(Arc::clone(self), pooled, permit))),
                        Some(reason) => {
                            pooled.server.close();
                            self.forget(permit, reason);
                        }
                    }
                }
                Decision::Fail(error) => return Err(PoolError::Server(error)),
                Decision::Closed => return Err(PoolError::Closed),
                Decision::Shed => {
                    drop(books);
                    self.events.emit(&Event::WaitShed);
                    return Err(PoolError::Overloaded);
                }
                Decision::Wait => {
                    let (waiter, answer) = oneshot::channel();
                    let position = books.enqueue(flow, waiter);
                    let follow = books.settle(self.id, now);
                    drop(books);
                    // First the guard, then anything that could answer it.
                    let waiting = Waiting::new(Arc::clone(self), position, answer, now);
                    self.host.follow(follow);
                    return Ok(Checkout::Waiting(waiting));
                }
            }
        }
    }

    /// A login worked.
    pub(super) fn connected(&self, server: ServerConn) {
        let PoolKey {
            server: name,
            database,
            login,
            login_tenant: _,
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
        *self.parameters.lock() = Some(Arc::clone(server.parameters()));
        let now = clock::now();
        let mut books = self.host.books();
        let server = Box::new(server);
        let left = books.connected(self.id, Pooled { server, retire_at }, now);
        let follow = books.settle(self.id, now);
        drop(books);
        if let Some(pooled) = left {
            self.host.close(pooled, DiscardReason::Shutdown);
        }
        self.host.follow(follow);
    }

    /// A login failed.
    pub(super) fn connect_failed(&self, error: ServerError) {
        let reason = error.to_string();
        self.events.emit(&Event::ServerConnectFailed {
            server: &self.key.server,
            reason: &reason,
        });
        let blame = blame(&error);
        let now = clock::now();
        let jitter = rand::random::<f64>();
        let mut books = self.host.books();
        books.connect_failed(self.id, now, jitter, blame, Arc::new(error));
        let follow = books.settle(self.id, now);
        drop(books);
        self.host.follow(follow);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut books = self.host.books();
        books.exit(self.flow);
        let idle = books.retire(self.id);
        drop(books);
        for pooled in idle {
            self.host.close(pooled, DiscardReason::Shutdown);
        }
    }
}

/// Whether other pools of the server would fare alike.
fn blame(error: &ServerError) -> Blame {
    match error {
        ServerError::Connect(_) | ServerError::Timeout(_) => Blame::Server,
        // admin_shutdown, crash_shutdown, cannot_connect_now.
        ServerError::Refused { sqlstate, .. } if matches!(sqlstate.as_str(), "57P01" | "57P02" | "57P03") => {
            Blame::Server
        }
        ServerError::Refused { .. }
        | ServerError::Lost(_)
        | ServerError::Tls(_)
        | ServerError::NoTls
        | ServerError::Auth(_)
        | ServerError::PasswordFile { .. }
        | ServerError::Setting { .. }
        | ServerError::Protocol(_) => Blame::Pool,
    }
}
