//! Names in the server that are made for each tenant: the role its transactions run as, the user its connections log
//! in as.

use std::sync::Arc;

use thiserror::Error;

use super::{NAME_BYTES, RoleSettings, RunsAs, Settings, TENANT_MARK};
use crate::base::{RoleName, TenantName};

/// What an [`OwnName`] replaces by the role of the session's token.
pub const ROLE_MARK: &str = "{role}";

/// A name with [`TENANT_MARK`] and [`ROLE_MARK`] in it, each at most once, or none.
///
/// The marks are filled in one pass: what a tenant's name holds is never read as a mark.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnName(Arc<str>);

/// What a name is around the place of the tenant's, for one role: `before`, tenant, `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What stands before the tenant's name.
    pub before: String,
    /// What stands behind it.
    pub after: String,
}

/// Why Postgres, or this proxy, cannot have a role of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameTrap {
    /// It has no length, or a character that no tool shows.
    #[error("it is empty or contains control characters")]
    Unreadable,
    /// Postgres would cut it, and so perhaps mean another.
    #[error("it is longer than {NAME_BYTES} bytes")]
    TooLong,
    /// `SET ROLE none` means the login role itself, whatever the quotes; PUBLIC is everybody.
    #[error("it is a keyword to Postgres and cannot be a role")]
    Keyword,
    /// Predefined roles.
    #[error("roles that start with pg_ are Postgres's own")]
    Predefined,
    /// The configuration has a role or a login's user of that name.
    #[error("the configuration has a role or login of that name")]
    Taken,
    /// A session may always become its own login role again.
    #[error("the session would run as its login role itself")]
    OwnLogin,
}

impl NameTrap {
    /// Why no role must have this name, wherever it comes from.
    pub fn of(name: &str) -> Option<Self> {
        let begins = |start: &str| {
            name.get(..start.len())
                .is_some_and(|have| have.eq_ignore_ascii_case(start))
        };
        if name.is_empty() || name.chars().any(char::is_control) {
            Some(Self::Unreadable)
        } else if name.len() > NAME_BYTES {
            Some(Self::TooLong)
        } else if name.eq_ignore_ascii_case("none") || name.eq_ignore_ascii_case("public") {
            Some(Self::Keyword)
        } else if begins("pg_") {
            Some(Self::Predefined)
        } else {
            None
        }
    }
}

impl OwnName {
    /// Wraps a text. That each mark is there at most once and no other brace is, is checked by `config`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text with its marks.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether each tenant gets a name of its own.
    pub fn names_tenant(&self) -> bool {
        self.0.contains(TENANT_MARK)
    }

    /// Whether each role of a tenant gets a name of its own.
    pub fn names_role(&self) -> bool {
        self.0.contains(ROLE_MARK)
    }

    /// The name for a role of a tenant.
    ///
    /// # Errors
    /// See [`NameTrap`]. That the name is free is for the caller to see.
    pub fn fill(&self, role: &str, tenant: &str) -> Result<String, NameTrap> {
        let mut name = String::with_capacity(NAME_BYTES);
        let mut rest: &str = &self.0;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            name.push_str(before);
            let filled = [(TENANT_MARK, tenant), (ROLE_MARK, role)]
                .into_iter()
                .find_map(|(mark, value)| Some((value, from.strip_prefix(mark)?)));
            let (value, behind) = filled.unwrap_or_else(|| from.split_at(1));
            name.push_str(value);
            rest = behind;
        }
        name.push_str(rest);
        match NameTrap::of(&name) {
            None => Ok(name),
            Some(trap) => Err(trap),
        }
    }

    /// What the name of a role is around the tenant's; `None` where it does not name the tenant.
    pub fn shape(&self, role: &RoleName) -> Option<Shape> {
        let (before, after) = self.0.split_once(TENANT_MARK)?;
        // What a role's name holds is no mark, so one replacement is one pass.
        let with_role = |text: &str| text.replacen(ROLE_MARK, role.as_str(), 1);
        Some(Shape {
            before: with_role(before),
            after: with_role(after),
        })
    }
}

impl Settings {
    /// The role that transactions of `token_role` run as at a tenant's, where the placement says `placed`, and the user
    /// they log in as.
    ///
    /// # Errors
    /// See [`NameTrap`]: a name that comes of the tenant's must not be.
    pub fn own_names(
        &self,
        token_role: &RoleName,
        role: &RoleSettings,
        tenant: &TenantName,
        placed: Option<&OwnName>,
    ) -> Result<(RoleName, String), NameTrap> {
        let made = |name: &OwnName| {
            let name = name.fill(token_role.as_str(), tenant.as_str())?;
            match self.taken.contains(&*name) {
                false => Ok(name),
                true => Err(NameTrap::Taken),
            }
        };
        let user = match role.user.names_tenant() {
            true => made(&role.user)?,
            false => role.user.as_str().to_owned(),
        };
        let own = match (role.runs_as, placed) {
            (RunsAs::TenantsRole, Some(name)) => RoleName::new(made(name)?),
            (RunsAs::TenantsRole, None) | (RunsAs::Itself, _) => token_role.clone(),
        };
        if own.as_str() == user {
            return Err(NameTrap::OwnLogin);
        }
        Ok((own, user))
    }
}

impl Shape {
    /// The tenant whose name makes `name` of this, whether there is one or not.
    pub fn tenant_of(&self, name: &str) -> Option<TenantName> {
        let tenant = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        (!tenant.is_empty()).then(|| TenantName::from(tenant))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_are_filled_once() {
        let both = OwnName::new("{role}_{tenant}");
        assert_eq!(both.fill("member", "acme").unwrap(), "member_acme");
        assert_eq!(both.fill("{tenant}", "{role}").unwrap(), "{tenant}_{role}");
        assert_eq!(OwnName::new("{tenant}").fill("member", "acme").unwrap(), "acme");
        assert_eq!(OwnName::new("{role}").fill("member", "acme").unwrap(), "member");
        assert_eq!(OwnName::new("x{y").fill("member", "acme").unwrap(), "x{y");
    }

    #[test]
    fn traps_are_seen() {
        let tenant = OwnName::new("{tenant}");
        for (name, trap) in [
            ("none", NameTrap::Keyword),
            ("NONE", NameTrap::Keyword),
            ("public", NameTrap::Keyword),
            ("pg_read_all_data", NameTrap::Predefined),
            ("PG_x", NameTrap::Predefined),
            ("", NameTrap::Unreadable),
            ("a\nb", NameTrap::Unreadable),
            ("a\0b", NameTrap::Unreadable),
            (&"é".repeat(32), NameTrap::TooLong),
        ] {
            assert_eq!(tenant.fill("member", name), Err(trap), "{name:?}");
        }
        assert!(tenant.fill("member", &"é".repeat(31)).is_ok());
        assert_eq!(
            OwnName::new("pg{tenant}").fill("r", "_x"),
            Err(NameTrap::Predefined)
        );
        // Case and quotes are the name's own.
        assert_eq!(tenant.fill("member", "A\"b'").unwrap(), "A\"b'");
    }

    proptest! {
        #[test]
        fn a_shape_finds_its_tenant(role in "[a-z_.]{1,8}", tenant in "[A-Za-z0-9_-]{1,12}") {
            for text in ["{role}_{tenant}", "{tenant}.{role}", "t{tenant}", "{tenant}"] {
                let name = OwnName::new(text);
                let shape = name.shape(&RoleName::from(role.as_str())).unwrap();
                if let Ok(filled) = name.fill(&role, &tenant) {
                    let found = shape.tenant_of(&filled).unwrap();
                    prop_assert_eq!(found.as_str(), &tenant);
                }
            }
        }
    }
}
