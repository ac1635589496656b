//! Where one session's transactions go.

use super::Schemas;
use crate::base::{DatabaseName, LoginName, PlanName, PoolMode, RoleName, ServerName, Tenancy, TenantName};

/// Where a session's transactions go, and as whom. Shared by all sessions of one role and tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The server.
    pub server: ServerName,
    /// The database on that server.
    pub database: DatabaseName,
    /// The credentials of the server connections.
    pub login: LoginName,
    /// The tenant whose own login it is, where each tenant has one.
    pub login_tenant: Option<TenantName>,
    /// The role that transactions run as: the token's, or the one that the tenant's placement names for it.
    pub role: RoleName,
    /// The tenant, where there is one.
    pub tenant: Option<TenantName>,
    /// The name that leads here: the tenant's, or that of a shared database.
    pub entrance: DatabaseName,
    /// Whether others go to the same database.
    pub tenancy: Tenancy,
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

impl Route {
    /// Whether transactions on the other route run in the same place and as the same role. What they may name there, and
    /// how much they may take of the server, is another matter.
    pub(super) fn is_where(&self, other: &Self) -> bool {
        fn place(route: &Route) -> impl PartialEq {
            let own_schema = route.schemas.as_ref().and_then(Schemas::own);
            let server = (&route.server, &route.database, own_schema);
            (
                server,
                &route.login,
                &route.login_tenant,
                &route.role,
                &route.tenant,
            )
        }
        place(self) == place(other)
    }
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
    /// The tenant whose own login it is, where each tenant has one.
    pub login_tenant: Option<TenantName>,
    /// How long sessions keep a server connection.
    pub mode: PoolMode,
}
