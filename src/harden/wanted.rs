//! What the configuration says that a database has to keep apart.

use tokio_postgres::Client;

use super::HardenError;
use crate::base::{PoolMode, RoleName};
use crate::config::Config;
use crate::guard::{self, Policy};

/// The roles and functions that hardening is about.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Login roles, each with a role that its transactions run as.
    pub(super) memberships: Vec<(String, String)>,
    /// Roles of end users.
    pub(super) end_users: Vec<String>,
    /// Roles that keep the functions that PUBLIC loses.
    pub(super) keepers: Vec<String>,
    /// Those of them that were asked for by name.
    pub(super) asked: Vec<String>,
    /// Reserved functions by name, and by how their names begin.
    pub(super) functions: Vec<String>,
    pub(super) prefixes: Vec<String>,
}

impl Wanted {
    /// What a configuration asks for.
    pub fn of(config: &Config) -> Self {
        let mut wanted = Self::default();
        let policies = &config.guard;
        for (role, settings) in &config.tenants.roles {
            if let Some(login) = config.pool.logins.get(&settings.login) {
                wanted
                    .memberships
                    .push((login.user.clone(), role.as_str().to_owned()));
            }
            let policy = policies.by_role.get(role).unwrap_or(&policies.default_policy);
            let mut named = policies.policies.iter().filter(|known| known.name() == policy);
            if named.any(Policy::is_trusted) {
                wanted.keepers.push(role.as_str().to_owned());
            } else {
                wanted.end_users.push(role.as_str().to_owned());
            }
        }
        // A database does not know which session asks: what some may have is not taken from any.
        let mode = if config.tenants.uses_session_mode() {
            PoolMode::Session
        } else {
            PoolMode::Transaction
        };
        for name in guard::reserved_functions(mode) {
            match name.strip_suffix('*') {
                Some(prefix) => wanted.prefixes.push(prefix.to_owned()),
                None => wanted.functions.push(name),
            }
        }
        wanted
    }

    /// Another role that keeps what PUBLIC loses: migrations, monitoring, backups.
    #[must_use]
    pub fn keeping(mut self, role: RoleName) -> Self {
        self.keepers.push(role.as_str().to_owned());
        self.asked.push(role.as_str().to_owned());
        self
    }

    /// The login roles, one for each role that they may become.
    pub(super) fn logins(&self) -> impl Iterator<Item = &str> {
        self.memberships.iter().map(|(login, _)| login.as_str())
    }

    /// Whether the roles that keep something are there: what PUBLIC has lost could not be given to them afterwards.
    ///
    /// # Errors
    /// Names those that are missing.
    ///
    /// Cancel safe: it changes nothing.
    pub(super) async fn exists(&self, client: &Client) -> Result<(), HardenError> {
        let mut names: Vec<&str> = self
            .logins()
            .chain(self.asked.iter().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        let missing = "SELECT pg_catalog.string_agg(n, ', ') FROM unnest($1::text[]) AS n \
                       WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = n)";
        let missing: Option<String> = client.query_one(missing, &[&names]).await?.try_get(0)?;
        missing.map_or(Ok(()), |missing| {
            Err(HardenError::Refused(format!(
                "there is no role {missing}: create it first"
            )))
        })
    }
}
