//! Where may they go: directory of tenants, placement, route.
//!
//! [`Settings`] say where tenants live and which login serves which role. A [`Directory`] is built from
//! them and answers, for each session, with a [`Route`] or a [`RouteError`]. The [`DirectoryInForce`] may be replaced;
//! a session's [`Tenure`] says whether its route still holds then.

mod directory;
mod error;
mod in_force;
mod own_name;
mod placement;
mod residents;
mod route;
mod schemas;

pub use directory::Directory;
pub use error::RouteError;
pub use in_force::{DirectoryInForce, Tenure};
pub use own_name::{NameTrap, OwnName, ROLE_MARK, Shape};
pub use placement::{
    NAME_BYTES, PATTERN_NAME_BYTES, Pattern, Placement, Separation, TENANT_MARK, is_plain_name,
};
pub use residents::{Resident, ResidentRole};
pub use route::{Route, Spot};
pub use schemas::Schemas;

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::base::{DatabaseName, LoginName, PlanName, PoolMode, RoleName, ServerName, TenantName};

/// Everything the directory knows. Checked by `config`; the directory fails closed on what slips through.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Tenants with an entry of their own.
    pub tenants: HashMap<TenantName, Placement>,
    /// Placements for fleets of tenants; the first that matches wins, after [`Settings::tenants`].
    pub patterns: Vec<Pattern>,
    /// Databases that a client names without naming a tenant: the tenant then comes from the token.
    /// By the name that clients use.
    pub databases: HashMap<DatabaseName, SharedDatabase>,
    /// What each role may do here. A role that is not listed gets no route.
    pub roles: HashMap<RoleName, RoleSettings>,
    /// The plans of listed tenants that have one; those of a pattern have the pattern's.
    pub plans: HashMap<TenantName, PlanName>,
    /// Listed tenants whose server connections are opened at start-up, the most important first.
    pub ranked: Vec<TenantName>,
    /// The mode of sessions for which neither role nor place states one.
    pub pool_mode: PoolMode,
    /// Names of configured roles and of logins' users: no name that is made for a tenant may be one of them.
    pub taken: HashSet<Box<str>>,
}

impl Settings {
    /// The databases of a server that sessions may go to: those that are named outright, whether they exist or not, and
    /// of those that exist all that a pattern means.
    pub fn databases_on(&self, server: &ServerName, existing: &[DatabaseName]) -> BTreeSet<DatabaseName> {
        let placed = self
            .tenants
            .values()
            .map(|place| (&place.server, &place.database));
        let shared = self
            .databases
            .values()
            .map(|shared| (&shared.server, &shared.database));
        let named = placed.chain(shared).filter(|(on, _)| *on == server);
        let meant = existing.iter().filter(|database| {
            let mut patterns = self.patterns.iter();
            patterns.any(|p| p.template.server == *server && p.tenant_of(database.as_str()).is_some())
        });
        named
            .map(|(_, database)| database)
            .chain(meant)
            .cloned()
            .collect()
    }

    /// Every server that a session may be sent to.
    pub fn servers(&self) -> BTreeSet<ServerName> {
        let placed = self.tenants.values().map(|place| &place.server);
        let shared = self.databases.values().map(|shared| &shared.server);
        let patterns = self.patterns.iter().map(|pattern| &pattern.template.server);
        placed.chain(shared).chain(patterns).cloned().collect()
    }

    /// Whether some session may keep its server connection: a role, a place or all of them have session mode.
    pub fn uses_session_mode(&self) -> bool {
        let roles = self.roles.values().map(|role| role.pool_mode);
        let tenants = self.tenants.values().map(|place| place.pool_mode);
        let patterns = self.patterns.iter().map(|pattern| pattern.template.pool_mode);
        let databases = self.databases.values().map(|database| database.pool_mode);
        let mut stated = roles.chain(tenants).chain(patterns).chain(databases);
        self.pool_mode == PoolMode::Session || stated.any(|mode| mode == Some(PoolMode::Session))
    }
}

/// A database that is named by itself rather than by a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedDatabase {
    /// The server it is on.
    pub server: ServerName,
    /// Its name there.
    pub database: DatabaseName,
    /// Whether a session without a tenant may enter it.
    pub tenant: TenantNeed,
    /// The mode of sessions there, where their role states none.
    pub pool_mode: Option<PoolMode>,
}

/// Whether a session needs a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantNeed {
    /// The token must name one, unless the role may choose any tenant.
    Required,
    /// Sessions without a tenant are let in; their tenant setting is empty.
    Optional,
}

/// How one role is routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSettings {
    /// The credentials its server connections log in with.
    pub login: LoginName,
    /// The user of that login; where it names the tenant, each tenant has a login of its own.
    pub user: OwnName,
    /// What its transactions run as where a placement names a role.
    pub runs_as: RunsAs,
    /// Which tenants it may enter when its token names none.
    pub choice: TenantChoice,
    /// The mode of its sessions, wherever they go.
    pub pool_mode: Option<PoolMode>,
}

/// What the transactions of a role run as in the place of a tenant that has roles of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsAs {
    /// The role itself: trusted roles, which are meant to reach every tenant.
    Itself,
    /// The role that the placement names: end users.
    TenantsRole,
}

/// Which tenants a session may enter when its token names none. A token that does name tenants is held to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantChoice {
    /// None: the token has to say.
    FromToken,
    /// Any tenant (`any_tenant = true`).
    Any,
}
