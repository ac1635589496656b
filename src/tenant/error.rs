//! Why a session gets no route, and what its client is told.

use crate::base::{Fault, RoleName, SqlState, TenantName};

use super::{NAME_BYTES, NameTrap};

/// Why a session gets no route.
///
/// What a token does not permit gives the same error whether it exists or not: otherwise anybody with a
/// token could list the tenants by trying names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The session may name any database, and this one leads nowhere.
    #[error("database {0:?} does not exist")]
    UnknownDatabase(String),
    /// The token names a tenant that has no placement.
    #[error("tenant {0:?} has no database")]
    UnknownTenant(TenantName),
    /// The token names tenants, and this is none of them.
    #[error("the token does not permit database {0:?}")]
    NotYours(String),
    /// The token names no tenant, and the role may not choose one.
    #[error("the token names no tenant, and role {0:?} may not choose one")]
    NoTenant(RoleName),
    /// The token names several tenants, and the startup packet none of them.
    #[error("the token names {0} tenants, and database does not say which")]
    Ambiguous(usize),
    /// The role has no login.
    #[error("role {0:?} is not configured")]
    UnknownRole(RoleName),
    /// A role or login that is named after the tenant must not have that name.
    #[error("tenant {tenant:?} cannot have a role or login of its own: {trap}")]
    Name {
        /// The tenant.
        tenant: TenantName,
        /// What is wrong with the name.
        trap: NameTrap,
    },
}

impl From<&RouteError> for Fault {
    fn from(error: &RouteError) -> Self {
        match error {
            RouteError::UnknownDatabase(database) => Fault::fatal(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{}\" does not exist", shown(database)),
            )
            .with_hint("Name your tenant as the database."),
            RouteError::UnknownTenant(tenant) => Fault::fatal(
                SqlState::INVALID_CATALOG_NAME,
                format!("tenant \"{}\" does not exist", shown(tenant.as_str())),
            )
            .with_hint(
                "The token names this tenant, but no entry or pattern of the tenant directory places it.",
            ),
            RouteError::NotYours(database) => Fault::fatal(
                SqlState::INVALID_AUTHORIZATION,
                format!("the token does not permit database \"{}\"", shown(database)),
            )
            .with_hint("Name a tenant that the token carries as the database."),
            RouteError::NoTenant(role) => Fault::fatal(
                SqlState::INVALID_AUTHORIZATION,
                format!(
                    "role \"{}\" needs a token that names its tenant",
                    shown(role.as_str())
                ),
            )
            .with_hint("Ask for a token that carries the tenant claim."),
            RouteError::Ambiguous(_) => Fault::fatal(
                SqlState::INVALID_AUTHORIZATION,
                "the token names several tenants, and the database does not say which one is meant",
            )
            .with_hint("Name one of the token's tenants as the database."),
            RouteError::UnknownRole(role) => Fault::fatal(
                SqlState::INVALID_AUTHORIZATION,
                format!("role \"{}\" is not configured", shown(role.as_str())),
            )
            .with_hint("Ask the operator to list the role under [roles]."),
            RouteError::Name { tenant, trap } => Fault::fatal(
                SqlState::INVALID_AUTHORIZATION,
                format!(
                    "tenant \"{}\" cannot have a role or login of its own: {trap}",
                    shown(tenant.as_str())
                ),
            )
            .with_hint("Ask the operator to list the tenant with a role of another name."),
        }
    }
}

/// A name as far as a name goes: a startup packet may carry 10,000 bytes of it.
fn shown(name: &str) -> String {
    let mut shown: String = name
        .chars()
        .take(NAME_BYTES)
        .map(|character| if character.is_control() { '?' } else { character })
        .collect();
    if name.chars().nth(NAME_BYTES).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_carry_the_sqlstate_a_driver_expects() {
        let cases = [
            (RouteError::UnknownDatabase("x".into()), "3D000"),
            (RouteError::UnknownTenant("x".into()), "3D000"),
            (RouteError::NotYours("x".into()), "28000"),
            (RouteError::NoTenant("x".into()), "28000"),
            (RouteError::Ambiguous(2), "28000"),
            (RouteError::UnknownRole("x".into()), "28000"),
            (
                RouteError::Name {
                    tenant: "x".into(),
                    trap: NameTrap::TooLong,
                },
                "28000",
            ),
        ];
        for (error, sqlstate) in cases {
            let fault = Fault::from(&error);
            assert_eq!(fault.sqlstate.as_str(), sqlstate, "{error}");
            assert!(fault.hint.is_some(), "{error}");
        }
    }

    #[test]
    fn a_long_or_odd_name_is_cut_and_cleaned() {
        let fault = Fault::from(&RouteError::NotYours(format!("a\nb{}", "é".repeat(9_000))));
        assert!(fault.message.chars().count() < 120);
        assert!(fault.message.contains("a?b"));
    }
}
