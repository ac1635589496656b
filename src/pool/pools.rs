//! All pools, made when first asked for, and the reaper.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::time::{MissedTickBehavior, interval};

use crate::base::limits::POOLS;
use crate::base::{DatabaseName, DiscardReason, Drain, Events, Phase, ServerName};
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

    /// Closes the idle connections to a database, under whatever login: a statement is about to be sent that
    /// fails while others are connected to it. Connections in use stay, and ones opened later may get in its way.
    pub fn leave_database(&self, server: &ServerName, database: &DatabaseName) {
        for (pool, _) in self.held() {
            let key = pool.key();
            if key.server == *server && key.database == *database {
                pool.close_idle(DiscardReason::DatabaseChanges);
            }
        }
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
                tls: server.tls.clone(),
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

#[cfg(test)]
mod tests {
    use crate::base::PoolMode;
    use crate::base::limits::POOL_UNUSED;
    use crate::net::Endpoint;

    use super::*;

    fn pools(min_pool_size: usize) -> Arc<Pools> {
        let endpoint = Endpoint::Unix("/nonexistent/.s.PGSQL.1".into());
        let login = LoginSettings {
            user: "app".into(),
            password: None,
            default_pool_size: Some(3),
            min_pool_size: None,
        };
        let settings = Settings {
            servers: HashMap::from([("main".into(), ServerSettings { endpoint, tls: None })]),
            logins: HashMap::from([("app".into(), login)]),
            default_pool_size: 20,
            min_pool_size,
            query_wait_timeout: Duration::from_secs(1),
            server_lifetime: Duration::from_secs(60),
            server_idle_timeout: Duration::ZERO,
            server_connect_timeout: Duration::from_secs(1),
            server_login_retry: Duration::MAX,
            server_prepared_statements: 1,
        };
        Pools::new(settings, Events::none())
    }

    fn key(database: &str) -> PoolKey {
        PoolKey {
            server: "main".into(),
            database: database.into(),
            login: "app".into(),
            mode: PoolMode::Transaction,
        }
    }

    #[test]
    fn one_pool_per_key() {
        let pools = pools(0);
        let (one, same) = (pools.get(&key("a")).unwrap(), pools.get(&key("a")).unwrap());
        assert!(Arc::ptr_eq(&one, &same));
        assert!(!Arc::ptr_eq(&one, &pools.get(&key("b")).unwrap()));
        assert_eq!(pools.snapshot().len(), 2);
        assert!(pools.snapshot().iter().all(|pool| pool.max == 3));
    }

    #[test]
    fn an_empty_pool_is_dropped_unless_it_is_held() {
        // Outside a runtime no login can be started, so the minimum cannot keep a pool alive by itself.
        for min_pool_size in [0, 2] {
            let pools = pools(min_pool_size);
            let held = pools.get(&key("held")).unwrap();
            pools.get(&key("forgotten")).unwrap();
            let now = Instant::now();
            pools.tick(now);
            assert_eq!(pools.snapshot().len(), 2);
            pools.tick(now + POOL_UNUSED + Duration::from_secs(1));
            assert_eq!(pools.snapshot().len(), 1);
            assert!(Arc::ptr_eq(&held, &pools.get(&key("held")).unwrap()));
        }
    }

    #[test]
    fn the_number_of_pools_is_bounded() {
        let pools = pools(0);
        for number in 0..POOLS {
            pools.get(&key(&number.to_string())).unwrap();
        }
        assert!(matches!(
            pools.get(&key("one more")),
            Err(PoolError::TooManyPools)
        ));
        assert!(pools.get(&key("0")).is_ok());
        assert!(size_of::<Pool>() <= 1024, "{}", size_of::<Pool>());
    }
}
