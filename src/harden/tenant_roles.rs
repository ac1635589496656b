//! A role for each tenant: what a database lacks for it, and how a tenant's roles go again.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Error};

use super::{Finding, Wanted};
use crate::base::RoleName;
use crate::config::Config;
use crate::guard::Policy;
use crate::tenant::{Directory, Resident, RunsAs};

/// The query that finds what is missing.
const FINDINGS: &str = include_str!("../../policies/sql/tenant_roles.sql");

/// The schemas that tenants may live in.
const SCHEMAS: &str = "SELECT nspname::text FROM pg_catalog.pg_namespace \
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' ORDER BY 1";

/// What logins may become.
const MEMBERSHIPS: &str = "SELECT l.rolname::text, r.rolname::text FROM pg_catalog.pg_auth_members m \
    JOIN pg_catalog.pg_roles l ON l.oid = m.member JOIN pg_catalog.pg_roles r ON r.oid = m.roleid \
    WHERE l.rolname = ANY ($1::text[])";

/// Which of these roles the database's server has, and which of them the one who asks may act for.
const PRESENT: &str = "SELECT rolname::text, NOT pg_catalog.pg_has_role(oid, 'USAGE'), \
        pg_catalog.current_setting('server_version_num')::int >= 160000 \
    FROM pg_catalog.pg_roles WHERE rolname = ANY ($1::text[]) ORDER BY 1";

/// What tenants with roles or logins of their own need of a database: a line for each role of each tenant.
#[derive(Clone, Debug, Default)]
pub struct TenantRoles {
    schemas: Vec<Option<String>>,
    parents: Vec<String>,
    roles: Vec<String>,
    logins: Vec<String>,
    privileges: Vec<String>,
    /// End users' roles of tokens.
    shared: Vec<String>,
    keepers: Vec<String>,
}

/// The schemas of the session's database, by name.
///
/// # Errors
/// The server's. Cancel safe: it changes nothing.
pub async fn schemas(client: &Client) -> Result<Vec<String>, Error> {
    let rows = client.query(SCHEMAS, &[]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

impl TenantRoles {
    /// What the residents of one database need.
    pub fn of(config: &Config, wanted: &Wanted, residents: &[Resident]) -> Self {
        let mut needed = Self {
            shared: wanted.end_users.clone(),
            keepers: wanted.keepers.clone(),
            ..Self::default()
        };
        for resident in residents {
            let own = |role: &&crate::tenant::ResidentRole| role.is_own() || role.has_own_login;
            for role in resident.roles.iter().filter(own) {
                needed.schemas.push(resident.schema.as_deref().map(str::to_owned));
                needed.parents.push(role.token_role.as_str().to_owned());
                needed.roles.push(role.role.as_str().to_owned());
                needed.logins.push(role.user.clone());
                needed.privileges.push(privileges(config, &role.token_role));
            }
        }
        needed
    }

    /// Whether no tenant has a role or login of its own.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }

    /// Whether a finding is about what others than the tenant's own roles have: they lose it last.
    pub fn takes_away(finding: &Finding) -> bool {
        matches!(
            finding.rule.as_str(),
            "tenant.tables" | "tenant.defaults" | "tenant.strangers"
        )
    }

    /// What is missing, in the order in which it has to be mended. Any role may look.
    ///
    /// # Errors
    /// The server's. Cancel safe: it changes nothing.
    pub async fn findings(&self, client: &Client) -> Result<Vec<Finding>, Error> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let rows = client
            .query(
                FINDINGS,
                &[
                    &self.schemas,
                    &self.parents,
                    &self.roles,
                    &self.logins,
                    &self.privileges,
                    &self.shared,
                    &self.keepers,
                ],
            )
            .await?;
        rows.iter().map(Finding::of).collect()
    }
}

impl Wanted {
    /// With the memberships of tenants that live elsewhere: a login is the whole cluster's.
    ///
    /// # Errors
    /// The server's. Cancel safe: it changes nothing.
    pub async fn with_tenants_elsewhere(
        mut self,
        client: &Client,
        directory: &Directory,
    ) -> Result<Self, Error> {
        let logins: Vec<&str> = self.memberships.iter().map(|(login, _)| login.as_str()).collect();
        let rows = client.query(MEMBERSHIPS, &[&logins]).await?;
        let pairs: Result<Vec<(String, String)>, Error> = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect();
        self.memberships.extend(directory.asked_of_logins(pairs?));
        Ok(self)
    }

    /// With the roles and logins that these tenants have of their own.
    #[must_use]
    pub fn with_residents(mut self, residents: &[Resident]) -> Self {
        for role in residents.iter().flat_map(|resident| &resident.roles) {
            if !role.is_own() && !role.has_own_login {
                continue;
            }
            self.memberships
                .push((role.user.clone(), role.role.as_str().to_owned()));
            if role.is_own() && role.runs_as == RunsAs::TenantsRole {
                self.end_users.push(role.role.as_str().to_owned());
            }
        }
        self
    }
}

/// The statements that take a tenant's own roles and logins away, with what they were granted in this database. What
/// they own goes to the one who runs them. Its schema stays. To be run as one transaction.
///
/// # Errors
/// The server's. Cancel safe: it changes nothing.
pub async fn farewell(client: &Client, resident: &Resident) -> Result<Vec<String>, Error> {
    let own = resident.roles.iter().flat_map(|role| {
        let made = role.is_own().then(|| role.role.as_str().to_owned());
        made.into_iter()
            .chain(role.has_own_login.then(|| role.user.clone()))
    });
    let own: Vec<String> = own.collect::<BTreeSet<_>>().into_iter().collect();
    let mut script = Vec::new();
    for row in client.query(PRESENT, &[&own]).await? {
        let role = quoted(row.try_get(0)?);
        // To speak for it one has to be a member: from 16 on who made it may only grant it.
        match (row.try_get(1)?, row.try_get(2)?) {
            (false, _) => {}
            (true, false) => script.push(format!("GRANT {role} TO CURRENT_USER")),
            (true, true) => script.push(format!(
                "GRANT {role} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"
            )),
        }
        script.push(format!("REASSIGN OWNED BY {role} TO CURRENT_USER"));
        script.push(format!("DROP OWNED BY {role}"));
        script.push(format!("DROP ROLE {role}"));
    }
    Ok(script)
}

/// What the statements of a role's policy need of a table.
fn privileges(config: &Config, role: &RoleName) -> String {
    let policies = &config.guard;
    let name = policies.by_role.get(role).unwrap_or(&policies.default_policy);
    let mut policies = policies.policies.iter();
    let policy = policies.find(|policy| policy.name() == name);
    policy
        .map(Policy::table_privileges)
        .unwrap_or_default()
        .join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
