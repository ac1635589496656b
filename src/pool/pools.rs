//! All pools, made when first asked for, and the reaper.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::time::{MissedTickBehavior, interval};

use crate::base::limits::POOLS;
use crate::base::{Drain, Events, Phase};
use crate::server::Target;

use super::accounting::Limits;
use super::pool::{Held, Plan};
use super::{LoginSettings, Pool, PoolError, PoolKey, PoolSnapshot, ServerSettings, Settings};

/// Every pool by its key. Pools are made when first asked for and dropped when empty and forgotten.
#[derive(Debug)]
pub struct Pools {
    settings: Settings,
    events: Events,
    pools: RwLock<Table>,
}

#[derive(Debug)]
enum Table {
    Open(HashMap<PoolKey, Arc<Pool>>),
    Closed,
}

/// How often the reaper looks at every pool.
const REAPER_INTERVAL: Duration = Duration::from_secs(1);

impl Pools {
    /// No pool yet.
    pub fn new(settings: Settings, events: Events) -> Arc<Self> {
        Arc::new(Self {
            settings,
            events,
            pools: RwLock::new(Table::Open(HashMap::new())),
        })
    }

    /// The pool for a key; opens no connection.
    ///
    /// # Errors
    /// [`PoolError::UnknownServer`], [`PoolError::UnknownLogin`], [`PoolError::TooManyPools`], and
    /// [`PoolError::Closed`] at shutdown.
    pub fn get(&self, key: &PoolKey) -> Result<Arc<Pool>, PoolError> {
        match &*self.pools.read() {
            Table::Closed => return Err(PoolError::Closed),
            Table::Open(pools) => {
                if let Some(pool) = pools.get(key) {
                    return Ok(Arc::clone(pool));
                }
            }
        }
        let server = self.settings.servers.get(&key.server);
        let server = server.ok_or_else(|| PoolError::UnknownServer(key.server.clone()))?;
        let login = self.settings.logins.get(&key.login);
        let login = login.ok_or_else(|| PoolError::UnknownLogin(key.login.clone()))?;
        let Table::Open(pools) = &mut *self.pools.write() else {
            return Err(PoolError::Closed);
        };
        // Between the two locks somebody else may have made it.
        if !pools.contains_key(key) && pools.len() >= POOLS {
            return Err(PoolError::TooManyPools);
        }
        let make = || Pool::new(key.clone(), self.plan(server, login, key), self.events.clone());
        Ok(Arc::clone(pools.entry(key.clone()).or_insert_with(make)))
    }

    /// The counts of every pool, in no order.
    pub fn snapshot(&self) -> Vec<PoolSnapshot> {
        self.held().iter().map(|(pool, _)| pool.snapshot()).collect()
    }

    /// The reaper: every second it closes idle connections that are dead, past `server_lifetime` or
    /// `server_idle_timeout`, refills to `min_pool_size` the pools in use, and drops empty pools that nobody
    /// holds. When the drain is at [`Phase::Stopping`] it closes every pool and returns.
    ///
    /// # Cancel safety
    /// Cancel safe: no round is left half done.
    pub async fn run(self: Arc<Self>, mut drain: Drain) {
        let mut rounds = interval(REAPER_INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => self.tick(Instant::now()),
                () = drain.reached(Phase::Stopping) => break,
            }
        }
        self.close();
    }

    fn tick(&self, now: Instant) {
        for (pool, held) in self.held() {
            pool.tick(now, held);
        }
        if let Table::Open(pools) = &mut *self.pools.write() {
            // Under the write lock nobody can get a pool that only the table holds.
            pools.retain(|_, pool| Arc::strong_count(pool) > 1 || !pool.is_disposable(now));
        }
    }

    fn close(&self) {
        let closing = std::mem::replace(&mut *self.pools.write(), Table::Closed);
        if let Table::Open(pools) = closing {
            for pool in pools.values() {
                pool.close();
            }
        }
    }

    fn held(&self) -> Vec<(Arc<Pool>, Held)> {
        let Table::Open(pools) = &*self.pools.read() else {
            return Vec::new();
        };
        let held = |pool: &Arc<Pool>| {
            if Arc::strong_count(pool) > 1 {
                Held::Yes
            } else {
                Held::No
            }
        };
        pools
            .values()
            .map(|pool| (held(pool), pool))
            .map(|(held, pool)| (Arc::clone(pool), held))
            .collect()
    }

    fn plan(&self, server: &ServerSettings, login: &LoginSettings, key: &PoolKey) -> Plan {
        let settings = &self.settings;
        let limited = |duration: Duration| Some(duration).filter(|duration| !duration.is_zero());
        Plan {
            target: Target {
                endpoint: server.endpoint.clone(),
                user: login.user.clone(),
                password: login.password.clone(),
                database: key.database.clone(),
                connect_timeout: settings.server_connect_timeout,
                prepared_statements: settings.server_prepared_statements,
            },
            limits: Limits {
                max: settings.max_size(login),
                min: settings.min_size(login),
                idle_timeout: limited(settings.server_idle_timeout),
                login_retry: settings.server_login_retry,
            },
            query_wait_timeout: limited(settings.query_wait_timeout),
            server_lifetime: settings.server_lifetime,
        }
    }
}
