//! All servers and pools, made when first asked for, and the reaper.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use tokio::time::{MissedTickBehavior, interval};

use crate::base::clock;
use crate::base::limits::{POOLS, WARM_POOLS};
use crate::base::{
    DatabaseName, DiscardReason, Drain, Events, Phase, PlanName, ServerName, Tenancy, TenantName,
};
use crate::server::{Password, Target};

use super::accounting::{PoolLimits, ServerLimits};
use super::host::Host;
use super::pool::{Held, Keep, Plan};
use super::{
    Customer, LoginSettings, Pool, PoolError, PoolKey, PoolPart, PoolSnapshot, ServerSettings, Settings,
    Share,
};

/// Every pool by its key. Pools are made when first asked for and dropped when empty and forgotten.
#[derive(Debug)]
pub struct Pools {
    settings: Settings,
    events: Events,
    hosts: HashMap<ServerName, Arc<Host>>,
    pools: RwLock<Table>,
}

/// How many connections and waiters a server has in all its pools, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSnapshot {
    /// Which server.
    pub server: ServerName,
    /// Connections that nobody uses.
    pub idle: usize,
    /// Connections in use.
    pub leased: usize,
    /// Logins under way.
    pub connecting: usize,
    /// Clients that wait for a connection.
    pub waiting: usize,
    /// The most connections it may have; `None` without limit.
    pub max: Option<usize>,
}

#[derive(Debug)]
enum Table {
    Open(HashMap<PoolKey, Arc<Pool>, RandomState>),
    Closed,
}

/// How often the reaper looks at every pool.
const REAPER_INTERVAL: Duration = Duration::from_secs(1);

impl Pools {
    /// No pool yet.
    pub fn new(settings: Settings, events: Events) -> Arc<Self> {
        let host = |(name, server): (&ServerName, &ServerSettings)| {
            let limits = server_limits(&settings, server);
            (name.clone(), Host::new(name.clone(), limits, events.clone()))
        };
        let hosts = settings.servers.iter().map(host).collect();
        Arc::new(Self {
            settings,
            events,
            hosts,
            pools: RwLock::new(Table::Open(HashMap::default())),
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
        let unknown = || PoolError::UnknownServer(key.server.clone());
        let server = self.settings.servers.get(&key.server).ok_or_else(unknown)?;
        let host = self.hosts.get(&key.server).ok_or_else(unknown)?;
        let login = self.settings.logins.get(&key.login);
        let login = login.ok_or_else(|| PoolError::UnknownLogin(key.login.clone()))?;
        let own = login.of(key.login_tenant.as_ref());
        let own = own.ok_or_else(|| PoolError::UnknownLogin(key.login.clone()))?;
        let Table::Open(pools) = &mut *self.pools.write() else {
            return Err(PoolError::Closed);
        };
        // Between the two locks somebody else may have made it.
        if !pools.contains_key(key) && pools.len() >= POOLS {
            return Err(PoolError::TooManyPools);
        }
        let make = || {
            let plan = self.plan(server, login, own, key);
            Pool::new(key.clone(), plan, Arc::clone(host), self.events.clone())
        };
        Ok(Arc::clone(pools.entry(key.clone()).or_insert_with(make)))
    }

    /// A session's hold on the pool for a key, on the account of its tenant, which has such a plan and lives there
    /// like that.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn enter(
        &self,
        key: &PoolKey,
        tenant: Option<&TenantName>,
        plan: Option<&PlanName>,
        tenancy: Tenancy,
    ) -> Result<Customer, PoolError> {
        let mut share = match tenant {
            Some(_) => self.settings.share(plan),
            None => Share {
                of_pool: self.settings.default_share.of_pool,
                ..Share::default()
            },
        };
        if tenancy == Tenancy::Sole {
            share.of_pool = PoolPart::All;
        }
        Ok(self.get(key)?.customer(tenant, share))
    }

    /// Opens the smallest number of connections of these pools, at least one of each, in this order as far as
    /// servers have room, and keeps them open. At most [`WARM_POOLS`] pools; those whose server or login is not
    /// configured are left out. Pools that were kept so before go the way of all others from now on.
    ///
    /// Must be called within a runtime.
    pub fn keep_warm(&self, keys: impl IntoIterator<Item = PoolKey>) {
        let keys: Vec<PoolKey> = keys.into_iter().take(WARM_POOLS).collect();
        let warm: HashSet<&PoolKey> = keys.iter().collect();
        for (pool, _) in self.held() {
            if !warm.contains(pool.key()) {
                pool.keep(Keep::InUse);
            }
        }
        for pool in keys.iter().filter_map(|key| self.get(key).ok()) {
            pool.keep(Keep::Always);
            pool.tick(clock::now(), Held::Yes);
        }
    }

    /// The counts of every pool, in no order.
    pub fn snapshot(&self) -> Vec<PoolSnapshot> {
        self.held().iter().map(|(pool, _)| pool.snapshot()).collect()
    }

    /// The counts of every server, in no order.
    pub fn servers(&self) -> Vec<ServerSnapshot> {
        self.hosts.values().map(|host| host.snapshot()).collect()
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
                _ = rounds.tick() => self.tick(clock::now()),
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
        drop(closing);
        for host in self.hosts.values() {
            host.shut();
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

    fn plan(
        &self,
        server: &ServerSettings,
        login: &LoginSettings,
        (user, password): (String, Password),
        key: &PoolKey,
    ) -> Plan {
        let settings = &self.settings;
        Plan {
            target: Target {
                endpoint: server.endpoint.clone(),
                tls: server.tls.clone(),
                user,
                password,
                database: key.database.clone(),
                connect_timeout: settings.server_connect_timeout,
                prepared_statements: settings.server_prepared_statements,
            },
            limits: PoolLimits {
                max: settings.max_size(login),
                min: settings.min_size(login),
                idle_timeout: limited(settings.server_idle_timeout),
                login_retry: settings.server_login_retry,
                access: login.access,
            },
            query_wait_timeout: limited(settings.query_wait_timeout),
            server_lifetime: settings.server_lifetime,
        }
    }
}

/// A time limit where zero stands for none.
fn limited(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

fn server_limits(settings: &Settings, server: &ServerSettings) -> ServerLimits {
    let budget = server.budget;
    let max = budget.max_connections.unwrap_or(usize::MAX).max(1);
    ServerLimits {
        max,
        // Of a budget something is left for end users.
        reserved: budget.reserved_connections.min(max - 1),
        logins: budget.max_concurrent_logins.max(1),
        waiting: budget.max_waiting.unwrap_or(usize::MAX),
        login_retry: settings.server_login_retry,
    }
}

#[cfg(test)]
mod tests {
    use crate::base::PoolMode;
    use crate::base::limits::POOL_UNUSED;
    use crate::net::Endpoint;

    use super::super::{Access, Budget, Share};
    use super::*;

    fn pools(min_pool_size: usize) -> Arc<Pools> {
        let endpoint = Endpoint::Unix("/nonexistent/.s.PGSQL.1".into());
        let login = LoginSettings {
            user: "app".into(),
            password: Password::Absent,
            default_pool_size: Some(3),
            min_pool_size: None,
            access: Access::EndUser,
        };
        let settings = Settings {
            servers: HashMap::from([(
                "main".into(),
                ServerSettings {
                    endpoint,
                    tls: None,
                    budget: Budget::default(),
                },
            )]),
            logins: HashMap::from([("app".into(), login)]),
            plans: HashMap::new(),
            default_share: Share::default(),
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
            login_tenant: None,
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

    /// Without a runtime a warm pool cannot connect, but it is there.
    #[test]
    fn a_pool_that_is_kept_warm_no_longer_goes_the_way_of_others() {
        let pools = pools(0);
        let unused = Instant::now() + POOL_UNUSED + Duration::from_secs(1);
        let made = |name: &str| pools.get(&key(name)).unwrap();
        made("ranked").keep(Keep::Always);
        made("forgotten");
        pools.tick(unused);
        assert_eq!(pools.snapshot().len(), 1);
        pools.keep_warm([]);
        pools.tick(unused);
        assert_eq!(pools.snapshot().len(), 0);
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
