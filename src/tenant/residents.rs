//! Which tenants live in one database, and as whom their sessions run: for what visits a database rather than a tenant.

use std::collections::{BTreeMap, HashSet};

use super::{Directory, NameTrap, Placement, RunsAs, Separation, Shape, TENANT_MARK};
use crate::base::{RoleName, ServerName, TenantName};

/// A tenant in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Its name.
    pub tenant: TenantName,
    /// The schema it has to itself, if that is how it is kept apart.
    pub schema: Option<Box<str>>,
    /// As whom its sessions run, a line for each configured role.
    pub roles: Vec<ResidentRole>,
    /// Roles it cannot have, and why.
    pub refused: Vec<(RoleName, NameTrap)>,
}

/// As whom the sessions of one token's role run at a tenant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResidentRole {
    /// The role that the token names.
    pub token_role: RoleName,
    /// The role that transactions run as.
    pub role: RoleName,
    /// The user that logs in to the server.
    pub user: String,
    /// Whether that user is the tenant's own.
    pub has_own_login: bool,
    /// Whether it is an end user's or a trusted role.
    pub runs_as: RunsAs,
}

impl ResidentRole {
    /// Whether transactions run as a role that was made for the tenant.
    pub fn is_own(&self) -> bool {
        self.role != self.token_role
    }
}

impl Directory {
    /// The tenants in a database on a server, by name. Those of a pattern are those whose schema is among `schemas`,
    /// the schemas that the database has; of a pattern that gives whole databases, the one whose name fits.
    pub fn residents(&self, server: &ServerName, database: &str, schemas: &[String]) -> Vec<Resident> {
        let is_here = |place: &Placement| place.server == *server && place.database.as_str() == database;
        let listed = self.settings().tenants.iter();
        let mut found: BTreeMap<TenantName, Placement> = listed
            .filter(|(_, place)| is_here(place))
            .map(|(tenant, place)| (tenant.clone(), place.clone()))
            .collect();
        for pattern in &self.settings().patterns {
            let guests: Vec<TenantName> = match &pattern.template.separation {
                Separation::Schema { schema, .. } => {
                    let of = |name: &String| solve(schema, name);
                    schemas.iter().filter_map(of).collect()
                }
                Separation::Database | Separation::Shared => {
                    solve(pattern.template.database.as_str(), database)
                        .into_iter()
                        .collect()
                }
            };
            for tenant in guests {
                // An entry of its own, or a pattern before this one, may place it elsewhere.
                if let Some(place) = self.placement(&tenant).filter(is_here) {
                    found.insert(tenant, place);
                }
            }
        }
        let found = found.into_iter();
        found
            .filter(|(_, place)| match &place.separation {
                Separation::Schema { schema, .. } => schemas.iter().any(|have| **have == **schema),
                Separation::Database | Separation::Shared => true,
            })
            .map(|(tenant, place)| self.resident(tenant, &place))
            .collect()
    }

    /// A tenant wherever it lives, whether its schema is there or not; `None` if nothing places it.
    pub fn resident_named(&self, tenant: &TenantName) -> Option<Resident> {
        let place = self.placement(tenant)?;
        Some(self.resident(tenant.clone(), &place))
    }

    /// Of these pairs of a login's user and a role that it may become, those that some tenant's sessions need, in
    /// whatever database it lives.
    pub fn asked_of_logins(&self, pairs: Vec<(String, String)>) -> Vec<(String, String)> {
        let mut needed: HashSet<(String, String)> = HashSet::new();
        let mut need = |tenant: &TenantName, place: &Placement| {
            let roles = self.resident(tenant.clone(), place).roles;
            needed.extend(
                roles
                    .into_iter()
                    .map(|role| (role.user, role.role.as_str().to_owned())),
            );
        };
        for (tenant, place) in &self.settings().tenants {
            need(tenant, place);
        }
        let names = self
            .settings()
            .patterns
            .iter()
            .filter_map(|pattern| pattern.template.role.as_ref());
        let shapes: Vec<Shape> = names
            .flat_map(|name| self.settings().roles.keys().filter_map(|role| name.shape(role)))
            .collect();
        for (_, role) in &pairs {
            for tenant in shapes.iter().filter_map(|shape| shape.tenant_of(role)) {
                if let Some(place) = self.placement(&tenant) {
                    need(&tenant, &place);
                }
            }
        }
        pairs.into_iter().filter(|pair| needed.contains(pair)).collect()
    }

    fn resident(&self, tenant: TenantName, place: &Placement) -> Resident {
        let (mut roles, mut refused) = (Vec::new(), Vec::new());
        let mut configured: Vec<_> = self.settings().roles.iter().collect();
        configured.sort_by_key(|(name, _)| *name);
        for (token_role, settings) in configured {
            match self
                .settings()
                .own_names(token_role, settings, &tenant, place.role.as_ref())
            {
                Ok((role, user)) => roles.push(ResidentRole {
                    token_role: token_role.clone(),
                    role,
                    user,
                    has_own_login: settings.user.names_tenant(),
                    runs_as: settings.runs_as,
                }),
                Err(trap) => refused.push((token_role.clone(), trap)),
            }
        }
        let schema = match &place.separation {
            Separation::Schema { schema, .. } => Some(schema.clone()),
            Separation::Database | Separation::Shared => None,
        };
        Resident {
            tenant,
            schema,
            roles,
            refused,
        }
    }
}

/// The tenant's name that makes `name` of a template.
fn solve(template: &str, name: &str) -> Option<TenantName> {
    let (before, after) = template.split_once(TENANT_MARK)?;
    if !after.contains(TENANT_MARK) {
        let shape = Shape {
            before: before.to_owned(),
            after: after.to_owned(),
        };
        return shape.tenant_of(name);
    }
    // With more marks only the lengths can be solved for.
    let marks = template.matches(TENANT_MARK).count();
    let length = (name.len() + marks * TENANT_MARK.len()).checked_sub(template.len())? / marks;
    let tenant = name.get(before.len()..before.len() + length)?;
    (template.replace(TENANT_MARK, tenant) == name).then(|| TenantName::from(tenant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_solved_for_the_tenant() {
        let cases = [
            ("s_{tenant}", "s_acme", Some("acme")),
            ("s_{tenant}", "acme", None),
            ("s_{tenant}", "s_", None),
            ("{tenant}.{tenant}", "ab.ab", Some("ab")),
            ("{tenant}.{tenant}", "ab.ac", None),
            ("{tenant}.{tenant}", "é", None),
            ("shared", "shared", None),
        ];
        for (template, name, tenant) in cases {
            assert_eq!(
                solve(template, name).as_ref().map(TenantName::as_str),
                tenant,
                "{template} {name}"
            );
        }
    }
}
