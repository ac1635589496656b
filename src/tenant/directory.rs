//! Looks up tenants and makes routes.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::auth::Principal;
use crate::base::{DatabaseName, PlanName, PoolMode, RoleName, Tenancy, TenantName};

use super::schemas::Occupied;
use super::{
    Placement, RoleSettings, Route, RouteError, RunsAs, Schemas, Separation, Settings, SharedDatabase, Spot,
    TenantChoice, TenantNeed,
};

/// Routes kept at one time. Tenants in use at once stay well below it; a route costs some 300 bytes.
const ROUTES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8_191);

/// The directory of tenants: who may go where. Immutable but for its cache of routes; shared by all sessions.
pub struct Directory {
    settings: Settings,
    occupied: Occupied,
    routes: Mutex<LruCache<RouteKey, Arc<Route>>>,
}

/// What a route depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct RouteKey {
    role: RoleName,
    destination: Destination,
}

/// What a session may enter, decided but not looked up.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Destination {
    Tenant(TenantName),
    /// A shared database, without a tenant.
    Shared(DatabaseName),
}

impl Directory {
    /// A directory of these settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            occupied: Occupied::new(&settings),
            settings,
            routes: Mutex::new(LruCache::new(ROUTES)),
        }
    }

    /// The settings it was made of: for checks that visit every tenant.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The route of a session that names `database` in its startup packet.
    ///
    /// # Errors
    /// The token, the role or the directory does not permit it, see [`RouteError`].
    pub fn route(&self, principal: &Principal, database: &str) -> Result<Arc<Route>, RouteError> {
        self.route_for(principal.role(), principal.tenants(), database)
    }

    /// The rule behind [`Directory::route`], over the facts it needs of a principal.
    ///
    /// 1. A token that names tenants is held to them: `database` is one of them, or a shared database
    ///    when there is exactly one.
    /// 2. Otherwise a role with [`TenantChoice::Any`] may name any tenant or shared database,
    /// 3. and any other role a shared database whose tenant is [`TenantNeed::Optional`].
    ///
    /// # Errors
    /// See [`RouteError`].
    pub fn route_for(
        &self,
        role: &RoleName,
        tenants: &[TenantName],
        database: &str,
    ) -> Result<Arc<Route>, RouteError> {
        let Some(role_settings) = self.settings.roles.get(role) else {
            return Err(RouteError::UnknownRole(role.clone()));
        };
        let key = RouteKey {
            role: role.clone(),
            destination: self.destination(role, role_settings.choice, tenants, database)?,
        };
        if let Some(route) = self.routes.lock().get(&key) {
            return Ok(Arc::clone(route));
        }
        let route = Arc::new(self.build(&key, role_settings, database)?);
        self.routes.lock().put(key, Arc::clone(&route));
        Ok(route)
    }

    /// Whether a session may stay on a route that an earlier directory made for its role and tenants: it would be sent to
    /// the same place today, and nothing that its statements may name there has become another tenant's.
    pub(super) fn keeps(&self, role: &RoleName, tenants: &[TenantName], route: &Route) -> bool {
        let is_held = |role: &RoleSettings| role.runs_as == RunsAs::TenantsRole;
        let Ok(now) = self.route_for(role, tenants, route.entrance.as_str()) else {
            return false;
        };
        now.is_where(route)
            && (!self.settings.roles.get(role).is_some_and(is_held)
                || Schemas::allow_as_much(now.schemas.as_ref(), route.schemas.as_ref()))
    }

    /// Where a tenant's data lives; `None` if no entry and no pattern places it.
    pub fn placement(&self, tenant: &TenantName) -> Option<Placement> {
        self.entry(tenant).map(|(placement, _)| placement)
    }

    /// Where sessions of the tenants with a rank go, by the logins and modes of all roles: the most important
    /// tenant's first, each once.
    pub fn ranked(&self) -> Vec<Spot> {
        let mut spots = Vec::new();
        let mut seen = HashSet::new();
        for tenant in &self.settings.ranked {
            let Some(placement) = self.placement(tenant) else {
                continue;
            };
            let mut doors: Vec<Spot> = self
                .settings
                .roles
                .values()
                .map(|role| Spot {
                    server: placement.server.clone(),
                    database: placement.database.clone(),
                    login: role.login.clone(),
                    login_tenant: role.user.names_tenant().then(|| tenant.clone()),
                    mode: self.mode(role, placement.pool_mode),
                })
                .filter(|spot| seen.insert(spot.clone()))
                .collect();
            doors.sort_by(|a, b| a.login.cmp(&b.login));
            spots.extend(doors);
        }
        spots
    }

    /// A tenant's placement and plan.
    fn entry(&self, tenant: &TenantName) -> Option<(Placement, Option<PlanName>)> {
        if let Some(placement) = self.settings.tenants.get(tenant) {
            return Some((placement.clone(), self.settings.plans.get(tenant).cloned()));
        }
        let mut patterns = self.settings.patterns.iter();
        patterns.find_map(|pattern| Some((pattern.place(tenant.as_str())?, pattern.plan.clone())))
    }

    fn destination(
        &self,
        role: &RoleName,
        choice: TenantChoice,
        tenants: &[TenantName],
        database: &str,
    ) -> Result<Destination, RouteError> {
        let shared = self.settings.databases.get_key_value(database);
        if let Some(named) = tenants.iter().find(|tenant| tenant.as_str() == database) {
            return Ok(Destination::Tenant(named.clone()));
        }
        match (tenants, choice, shared) {
            ([only], _, Some(_)) => Ok(Destination::Tenant(only.clone())),
            ([_, _, ..], _, Some(_)) => Err(RouteError::Ambiguous(tenants.len())),
            ([_, ..], _, None) => Err(RouteError::NotYours(database.to_owned())),
            ([], TenantChoice::Any, Some((name, _))) => Ok(Destination::Shared(name.clone())),
            ([], TenantChoice::Any, None) => Ok(Destination::Tenant(TenantName::new(database))),
            (
                [],
                TenantChoice::FromToken,
                Some((
                    name,
                    SharedDatabase {
                        tenant: TenantNeed::Optional,
                        ..
                    },
                )),
            ) => Ok(Destination::Shared(name.clone())),
            ([], TenantChoice::FromToken, None) if self.has_no_tenants() => {
                Err(RouteError::UnknownDatabase(database.to_owned()))
            }
            ([], TenantChoice::FromToken, _) => Err(RouteError::NoTenant(role.clone())),
        }
    }

    /// Where nothing is told apart by tenant there is nothing to hide behind a vaguer error.
    fn has_no_tenants(&self) -> bool {
        self.settings.tenants.is_empty() && self.settings.patterns.is_empty()
    }

    /// As with PgBouncer, what is said of the role wins over what is said of the place, and both win over what
    /// is said for all.
    fn mode(&self, role: &RoleSettings, place: Option<PoolMode>) -> PoolMode {
        role.pool_mode.or(place).unwrap_or(self.settings.pool_mode)
    }

    fn build(&self, key: &RouteKey, role: &RoleSettings, database: &str) -> Result<Route, RouteError> {
        match &key.destination {
            Destination::Tenant(tenant) => {
                let (placement, plan) = self.entry(tenant).ok_or_else(|| {
                    if tenant.as_str() == database {
                        RouteError::UnknownDatabase(database.to_owned())
                    } else {
                        RouteError::UnknownTenant(tenant.clone())
                    }
                })?;
                let placed = placement.role.as_ref();
                let own = self.settings.own_names(&key.role, role, tenant, placed);
                let (own_role, _) = own.map_err(|trap| RouteError::Name {
                    tenant: tenant.clone(),
                    trap,
                })?;
                Ok(Route {
                    search_path: placement.separation.search_path(),
                    tenancy: match placement.separation {
                        Separation::Database => Tenancy::Sole,
                        Separation::Schema { .. } | Separation::Shared => Tenancy::Shared,
                    },
                    schemas: self.occupied.schemas_at(&placement, &self.settings.patterns),
                    server: placement.server,
                    database: placement.database,
                    login: role.login.clone(),
                    login_tenant: role.user.names_tenant().then(|| tenant.clone()),
                    role: own_role,
                    tenant: Some(tenant.clone()),
                    entrance: DatabaseName::new(tenant.as_str()),
                    plan,
                    mode: self.mode(role, placement.pool_mode),
                })
            }
            Destination::Shared(name) => {
                let shared = self
                    .settings
                    .databases
                    .get(name)
                    .ok_or_else(|| RouteError::UnknownDatabase(database.to_owned()))?;
                if role.user.names_tenant() {
                    return Err(RouteError::NoTenant(key.role.clone()));
                }
                Ok(Route {
                    server: shared.server.clone(),
                    database: shared.database.clone(),
                    login: role.login.clone(),
                    login_tenant: None,
                    role: key.role.clone(),
                    tenant: None,
                    entrance: name.clone(),
                    tenancy: match self.has_no_tenants() {
                        true => Tenancy::Sole,
                        false => Tenancy::Shared,
                    },
                    plan: None,
                    search_path: None,
                    schemas: self.occupied.schemas_beside(
                        &shared.server,
                        &shared.database,
                        &self.settings.patterns,
                    ),
                    mode: self.mode(role, shared.pool_mode),
                })
            }
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("tenants", &self.settings.tenants.len())
            .field("patterns", &self.settings.patterns.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
