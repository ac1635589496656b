//! One budget of bytes for all that clients make the process hold (`memory_budget`).
//!
//! A quarter is for what sessions share (caches), up to a quarter for what each session may hold without being asked, the
//! rest is shared by tenant. A tenant may grow as long as it holds no more than what is still free: alone it gets half, two
//! that take all they can get a third each, and whoever comes anew finds room (the dynamic threshold of Choudhury and
//! Hahne, IEEE/ACM Transactions on Networking 6(2), 1998, with α = 1).
//!
//! | what | where it is counted |
//! |---|---|
//! | a session: its task, its socket, one buffer each way, a little of everything below | [`Stay`], [`limits::SESSION_BYTES`] each; with TLS [`limits::TLS_BYTES`] more |
//! | claims, identity and startup settings of a session beyond that | [`Stay`] |
//! | SET values, savepoints | `session::memory::settings`, from [`limits::SETTINGS_UNASKED_BYTES`] on |
//! | Query, Parse, FunctionCall longer than a buffer, as far as they have come | `session::request::inbound` |
//! | the guard's tokens and grammar of a text longer than a buffer | `guard::text::working_memory` |
//! | texts that are waited with, prepared (named or not), or the rest of a script | [`Held`], once for each tenant |
//! | names of prepared statements | [`Held`] |
//! | open portals, their names and texts | `session::link::portals`, from [`limits::PORTALS_UNASKED_BYTES`] on |
//! | bytes for a server | `session::link`, from a buffer for bulk on |
//! | bytes for a client that does not read them | `session::io::pump`, from a buffer on |
//! | messages of a login longer than [`limits::LOGIN_UNASKED_BYTES`] | `client::packets`, by address |
//! | verdicts, shared statements, preludes, canonical settings | [`Budget::cache`]: caches of that size |
//!
//! Bounded otherwise: names that replies under way are waited for ([`limits::NAMES_IN_FLIGHT_BYTES`], and
//! [`limits::REPLIES_IN_FLIGHT`], by server connection); descriptions that are held back (a server's, by server connection);
//! a batch to be sent again ([`limits::REPLAYED_BATCH_BYTES`]); the grammar's work on texts shorter than a buffer (by
//! thread); buffers kept for reuse (by thread); log lines (`observe::log_queue`); tenants and pools (by session).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use thiserror::Error;

use super::{Credit, Fault, RoleName, SqlState, TenantName, limits};

mod charge;
mod held;
#[cfg(test)]
mod tests;

pub use charge::{Charge, Stay};
pub use held::{Asked, Held};

/// Who memory is held for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A tenant.
    Tenant(TenantName),
    /// All sessions of a role that have no tenant.
    Role(RoleName),
    /// Clients that have not logged in, by address; of IPv6 the first half.
    Address(IpAddr),
}

impl Holder {
    /// Clients that have not logged in and come from an address.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }

    fn has_sessions(&self) -> bool {
        !matches!(self, Self::Address(_))
    }
}

/// There is no room for what was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("out of memory")]
pub struct Full;

impl From<Full> for Fault {
    fn from(_: Full) -> Self {
        Self::error(
            SqlState::OUT_OF_MEMORY,
            "out of memory: the sessions of this tenant hold as much as they may at this time",
        )
        .with_hint(
            "Send less at a time, close prepared statements that are not needed, or try again in a moment. The operator \
             can raise memory_budget.",
        )
    }
}

/// The books of the whole process. Adding and taking away is a few atomic operations.
#[derive(Debug)]
pub struct Budget {
    max: usize,
    /// What is left to share beside caches and what sessions have unasked.
    shared: usize,
    used: AtomicUsize,
    /// For sessions, and what of it they have.
    reserve: usize,
    reserved: AtomicUsize,
    refused: AtomicU64,
    /// Tenants, and roles without one, that have sessions.
    holders: AtomicUsize,
    accounts: Mutex<HashMap<Holder, Weak<Account>, RandomState>>,
}

/// The books at one moment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The whole budget.
    pub max: usize,
    /// Set apart for caches.
    pub caches: usize,
    /// Had by sessions of what is set apart for them.
    pub sessions: usize,
    /// Charged to tenants.
    pub used: usize,
    /// The most that can be charged to all tenants together.
    pub shared: usize,
    /// How often something was refused.
    pub refused: u64,
}

impl Budget {
    /// A budget of so many bytes for as many sessions as there may be.
    pub fn new(bytes: usize, sessions: usize) -> Arc<Self> {
        let reserve = Self::wanted_for(sessions).min(bytes / 4);
        Arc::new(Self {
            max: bytes,
            shared: bytes - bytes / 4 - reserve,
            used: AtomicUsize::new(0),
            reserve,
            reserved: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            holders: AtomicUsize::new(0),
            accounts: Mutex::default(),
        })
    }

    /// A budget that nothing exceeds: for commands and tests that serve nobody.
    pub fn unlimited() -> Arc<Self> {
        Self::new(1 << 46, 0)
    }

    /// What so many sessions may have unasked.
    pub fn wanted_for(sessions: usize) -> usize {
        sessions.saturating_mul(limits::SESSION_BYTES)
    }

    /// The size of a cache that would have `wanted` bytes and may have one part in `parts` of the budget. All caches
    /// together have at most a quarter.
    pub fn cache(&self, wanted: u64, parts: u64) -> u64 {
        wanted.min(self.max as u64 / parts)
    }

    /// The account of somebody: the same for all of its sessions.
    pub fn account(self: &Arc<Self>, holder: Holder) -> Arc<Account> {
        let mut accounts = self.accounts.lock();
        if let Some(account) = accounts.get(&holder).and_then(Weak::upgrade) {
            return account;
        }
        let account = Arc::new(Account {
            budget: Arc::clone(self),
            holder: holder.clone(),
            used: AtomicUsize::new(0),
            credit: Credit::new(),
            texts: Mutex::default(),
        });
        if account.holder.has_sessions() {
            self.holders.fetch_add(1, Ordering::Relaxed);
        }
        accounts.insert(holder, Arc::downgrade(&account));
        account
    }

    /// How it stands.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            max: self.max,
            caches: self.max / 4,
            sessions: self.reserved.load(Ordering::Relaxed),
            used: self.used.load(Ordering::Relaxed),
            shared: self.shared,
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Takes from what is set apart for sessions, if so much is left.
    fn reserve(&self, bytes: usize) -> bool {
        let take = |reserved: usize| reserved.checked_add(bytes).filter(|sum| *sum <= self.reserve);
        self.reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// What one tenant holds, and how much its sessions work.
#[derive(Debug)]
pub struct Account {
    budget: Arc<Budget>,
    holder: Holder,
    used: AtomicUsize,
    credit: Credit,
    /// Texts that sessions of the tenant hold, each counted once.
    texts: Mutex<HashMap<usize, held::Text, RandomState>>,
}

impl Account {
    /// Takes bytes, if the tenant then holds no more than is still free.
    fn take(&self, bytes: usize) -> Result<(), Full> {
        if bytes == 0 {
            return Ok(());
        }
        let mine = self
            .used
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        let grow = |used: usize| {
            let used = used.checked_add(bytes)?;
            (mine <= self.budget.shared.saturating_sub(used)).then_some(used)
        };
        let taken = self
            .budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow);
        if taken.is_ok() {
            return Ok(());
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.refused.fetch_add(1, Ordering::Relaxed);
        Err(Full)
    }

    /// Takes bytes that are there already, or that nobody may be refused. What others may have becomes less.
    fn take_unasked(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether the tenant's sessions may work on at once, having done so many units: there is nobody else, or they have
    /// not done much lately.
    pub fn may_work_on(&self, units: u32) -> bool {
        self.budget.holders.load(Ordering::Relaxed) <= 1 || self.credit.take(units)
    }

    /// Bytes that the tenant holds.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Tells accounts apart, while they last.
    pub fn id(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.holder.has_sessions() {
            self.budget.holders.fetch_sub(1, Ordering::Relaxed);
        }
        let mut accounts = self.budget.accounts.lock();
        // A new one may have taken its place meanwhile.
        if accounts
            .get(&self.holder)
            .is_some_and(|account| account.strong_count() == 0)
        {
            accounts.remove(&self.holder);
        }
    }
}
