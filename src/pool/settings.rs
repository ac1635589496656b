//! What the pools need to know, in plain Rust.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{LoginName, PlanName, ServerName, TenantName};
use crate::net::Endpoint;
use crate::net::tls::Connector;
use crate::server::Password;
use crate::tenant::{OwnName, TENANT_MARK, is_plain_name};

use super::{Access, Share};

/// Servers, logins, and how connections are shared. The names are PgBouncer's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The servers by name.
    pub servers: HashMap<ServerName, ServerSettings>,
    /// The logins by name.
    pub logins: HashMap<LoginName, LoginSettings>,
    /// What the tenants of each plan may have.
    pub plans: HashMap<PlanName, Share>,
    /// What tenants without a plan may have.
    pub default_share: Share,
    /// Most server connections of one pool (server, database, login), unless its login says otherwise.
    /// Zero counts as one.
    pub default_pool_size: usize,
    /// Server connections a pool keeps open, unless its login says otherwise; at most the pool's size.
    pub min_pool_size: usize,
    /// How long a client may wait for a server connection. Zero: without limit.
    pub query_wait_timeout: Duration,
    /// Age beyond which an unused server connection is closed; each connection is closed up to a tenth
    /// earlier, so that not all go at once. Zero: after one use.
    pub server_lifetime: Duration,
    /// How long a server connection may be idle before it is closed. Zero: for ever.
    pub server_idle_timeout: Duration,
    /// The time for connecting and logging in together.
    pub server_connect_timeout: Duration,
    /// Wait after a failed login before the next one; doubles with each failure.
    pub server_login_retry: Duration,
    /// Named statements one server connection may hold. Zero counts as one.
    pub server_prepared_statements: usize,
}

/// One server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Its socket.
    pub endpoint: Endpoint,
    /// TLS to it; `None` for clear text.
    pub tls: Option<Arc<Connector>>,
    /// How much of it may be used.
    pub budget: Budget,
}

/// How much of a server all its pools together may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most connections; `None` is without limit but the pools' own.
    pub max_connections: Option<usize>,
    /// How many of them are for trusted logins alone.
    pub reserved_connections: usize,
    /// Logins under way at one time. Zero counts as one.
    pub max_concurrent_logins: usize,
    /// Clients that may wait for its connections at one time; `None` is without limit.
    pub max_waiting: Option<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            max_connections: None,
            reserved_connections: 0,
            max_concurrent_logins: 16,
            max_waiting: None,
        }
    }
}

/// One login.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// The Postgres role that logs in. With [`TENANT_MARK`] in it each tenant has one of its own.
    pub user: String,
    /// Its password. The path of a file may have [`TENANT_MARK`] in it, if the user has.
    pub password: Password,
    /// `default_pool_size` for pools of this login.
    pub default_pool_size: Option<usize>,
    /// `min_pool_size` for pools of this login.
    pub min_pool_size: Option<usize>,
    /// Whom it serves.
    pub access: Access,
}

impl LoginSettings {
    /// The user and password of a session's tenant; `None` where they cannot be had, which the tenant directory
    /// finds out first.
    pub fn of(&self, tenant: Option<&TenantName>) -> Option<(String, Password)> {
        let own = OwnName::new(self.user.as_str());
        let Some(tenant) = tenant.filter(|_| own.names_tenant()) else {
            return (!own.names_tenant()).then(|| (self.user.clone(), self.password.clone()));
        };
        let user = own.fill("", tenant.as_str()).ok()?;
        let password = match &self.password {
            Password::InFile(path) => {
                // A name of slashes and dots would lead anywhere.
                let path = path.to_str().filter(|_| is_plain_name(tenant.as_str()))?;
                Password::InFile(path.replace(TENANT_MARK, tenant.as_str()).into())
            }
            other => other.clone(),
        };
        Some((user, password))
    }
}

impl Settings {
    /// What a tenant with such a plan may have.
    pub(super) fn share(&self, plan: Option<&PlanName>) -> Share {
        let own = plan.and_then(|plan| self.plans.get(plan));
        own.copied().unwrap_or(self.default_share)
    }

    /// The largest size of a login's pools.
    pub fn max_size(&self, login: &LoginSettings) -> usize {
        login.default_pool_size.unwrap_or(self.default_pool_size).max(1)
    }

    /// The size below which a login's pools are refilled.
    pub(super) fn min_size(&self, login: &LoginSettings) -> usize {
        login
            .min_pool_size
            .unwrap_or(self.min_pool_size)
            .min(self.max_size(login))
    }
}
