//! Where one session's transactions go.

use super::Schemas;
use crate::base::{DatabaseName, LoginName, PlanName, PoolMode, RoleName, ServerName, TenantName};

/// Where a session's transactions go, and as whom. Shared by all sessions of one role and tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The server.
    pub server: ServerName,
    /// The database on that server.
    pub database: DatabaseName,
    /// The credentials of the server connections.
    pub login: LoginName,
    /// The role that transactions run as.
    pub role: RoleName,
    /// The tenant, where there is one.
    pub tenant: Option<TenantName>,
    /// The tenant's plan, where it has one.
    pub plan: Option<PlanName>,
    /// The value that `search_path` is pinned to, names already quoted; `None` leaves it to the session.
    pub search_path: Option<String>,
    /// The schemas that its statements may name, where tenants are told apart by schema in that database; `None`
    /// for all.
    pub schemas: Option<Schemas>,
    /// How long its sessions keep a server connection.
    pub mode: PoolMode,
}

/// Where sessions may go, whoever's they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spot {
    /// The server.
    pub server: ServerName,
    /// The database on that server.
    pub database: DatabaseName,
    /// The credentials of the server connections.
    pub login: LoginName,
    /// How long sessions keep a server connection.
    pub mode: PoolMode,
}
