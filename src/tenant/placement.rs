//! Where a tenant's data lives, and patterns that place a whole fleet.

use std::sync::Arc;

use crate::base::{DatabaseName, PlanName, PoolMode, ServerName};

use super::OwnName;

/// Longest name Postgres keeps, in bytes (`NAMEDATALEN - 1`, pg_config_manual.h). It cuts longer ones
/// silently, and two tenants whose names share the first 63 bytes would then share a database.
pub const NAME_BYTES: usize = 63;

/// Longest tenant name a [`Pattern`] accepts, in bytes: leaves room for the text around it.
pub const PATTERN_NAME_BYTES: usize = 48;

/// What a [`Pattern`] replaces by the tenant's name.
pub const TENANT_MARK: &str = "{tenant}";

/// Where a tenant's data lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The server.
    pub server: ServerName,
    /// The database on that server.
    pub database: DatabaseName,
    /// What keeps the tenant apart from others in that database.
    pub separation: Separation,
    /// The mode of sessions there, where their role states none.
    pub pool_mode: Option<PoolMode>,
    /// The Postgres role that end users' transactions run as there, in the place of their token's role.
    pub role: Option<OwnName>,
}

/// What keeps a tenant's rows apart from other tenants'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Separation {
    /// It has the database to itself.
    Database,
    /// It has a schema to itself; `search_path` is pinned.
    Schema {
        /// The tenant's schema, unquoted.
        schema: Box<str>,
        /// Schemas searched after it, unquoted.
        extra: Arc<[Box<str>]>,
    },
    /// It shares tables with others: Row Level Security tells them apart by a tenant column.
    Shared,
}

impl Separation {
    /// The value of `search_path` that pins the tenant's schema, each name quoted; `None` where nothing is pinned.
    pub fn search_path(&self) -> Option<String> {
        let Self::Schema { schema, extra } = self else {
            return None;
        };
        let mut path = String::new();
        push_quoted(&mut path, schema);
        for name in extra.iter() {
            path.push_str(", ");
            push_quoted(&mut path, name);
        }
        Some(path)
    }
}

/// Places every tenant whose name starts with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What the tenant's name starts with; empty for all.
    pub prefix: Box<str>,
    /// The placement, with [`TENANT_MARK`] in the names of database and schema where the tenant's name goes.
    pub template: Placement,
    /// The plan of its tenants.
    pub plan: Option<PlanName>,
}

impl Pattern {
    /// The placement of a tenant; `None` if the pattern does not match, if the name is not plain
    /// ([`is_plain_name`]), or if Postgres would cut a name that comes of it.
    pub fn place(&self, tenant: &str) -> Option<Placement> {
        if !tenant.starts_with(&*self.prefix) || !is_plain_name(tenant) {
            return None;
        }
        let database = fill(self.template.database.as_str(), tenant)?;
        let separation = match &self.template.separation {
            Separation::Schema { schema, extra } => Separation::Schema {
                schema: fill(schema, tenant)?.into(),
                extra: Arc::clone(extra),
            },
            Separation::Database => Separation::Database,
            Separation::Shared => Separation::Shared,
        };
        Some(Placement {
            server: self.template.server.clone(),
            database: DatabaseName::new(database),
            separation,
            pool_mode: self.template.pool_mode,
            role: self.template.role.clone(),
        })
    }
}

impl Pattern {
    /// The tenant that this pattern places in a database of that name; for a pattern that names one database for all,
    /// whether it is that one, with an empty name. `None` if it places nobody there.
    pub fn tenant_of(&self, database: &str) -> Option<String> {
        let template = self.template.database.as_str();
        let marks = template.matches(TENANT_MARK).count();
        if marks == 0 {
            return (template == database).then(String::new);
        }
        let text = template.len() - marks * TENANT_MARK.len();
        let length = database.len().checked_sub(text)? / marks;
        let start = template.find(TENANT_MARK)?;
        let tenant = database.get(start..start + length)?;
        let placed = self.place(tenant)?;
        (placed.database.as_str() == database).then(|| tenant.to_owned())
    }
}

/// Whether a name consists of 1 to [`PATTERN_NAME_BYTES`] of `A-Z a-z 0-9 _ -`. Only such names are put
/// into a pattern, so a token cannot steer a session to a database the pattern does not mean.
pub fn is_plain_name(name: &str) -> bool {
    (1..=PATTERN_NAME_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn fill(template: &str, tenant: &str) -> Option<String> {
    let name = template.replace(TENANT_MARK, tenant);
    (1..=NAME_BYTES).contains(&name.len()).then_some(name)
}

fn push_quoted(path: &mut String, name: &str) {
    path.push('"');
    for character in name.chars() {
        if character == '"' {
            path.push('"');
        }
        path.push(character);
    }
    path.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fleet(database: &str, separation: Separation) -> Pattern {
        Pattern {
            prefix: "p".into(),
            template: Placement {
                server: "main".into(),
                database: database.into(),
                separation,
                pool_mode: None,
                role: None,
            },
            plan: None,
        }
    }

    #[test]
    fn a_pattern_fills_database_and_schema() {
        let pattern = fleet("db_{tenant}", Separation::Database);
        assert_eq!(pattern.place("p7").unwrap().database.as_str(), "db_p7");
        let schema = Separation::Schema {
            schema: "s_{tenant}".into(),
            extra: Arc::from(["public".into()]),
        };
        let placed = fleet("app", schema).place("p7").unwrap();
        assert_eq!(placed.database.as_str(), "app");
        assert_eq!(placed.separation.search_path().unwrap(), r#""s_p7", "public""#);
    }

    #[test]
    fn a_database_tells_its_tenant() {
        let pattern = fleet("db_{tenant}_x", Separation::Database);
        assert_eq!(pattern.tenant_of("db_p7_x").as_deref(), Some("p7"));
        for other in [
            "db_p7",
            "db_7_x",
            "db__x",
            "postgres",
            "",
            "db_p\u{e9}_x",
            "xdb_p7_x",
        ] {
            assert_eq!(pattern.tenant_of(other), None, "{other}");
        }
        let twice = fleet("{tenant}_{tenant}", Separation::Database);
        assert_eq!(twice.tenant_of("pa_pa").as_deref(), Some("pa"));
        assert_eq!(twice.tenant_of("pa_pb"), None);
        let one = fleet("app", Separation::Shared);
        assert_eq!(
            (one.tenant_of("app"), one.tenant_of("apq")),
            (Some(String::new()), None)
        );
    }

    #[test]
    fn a_pattern_refuses_foreign_and_odd_names() {
        let pattern = fleet("db_{tenant}", Separation::Database);
        for name in [
            "x7",
            "",
            "p 7",
            "p;",
            "p\"",
            "p{tenant}",
            "pé",
            "p\0",
            &"p".repeat(49),
        ] {
            assert_eq!(pattern.place(name), None, "{name:?}");
        }
        assert!(pattern.place(&"p".repeat(48)).is_some());
    }

    #[test]
    fn a_pattern_never_makes_a_name_that_postgres_would_cut() {
        let long = fleet(&format!("{}{{tenant}}", "d".repeat(40)), Separation::Database);
        assert!(long.place(&"p".repeat(23)).is_some());
        assert_eq!(long.place(&"p".repeat(24)), None);
    }

    #[test]
    fn quotes_in_schema_names_are_doubled() {
        let odd = Separation::Schema {
            schema: r#"a", public, "b"#.into(),
            extra: Arc::from([]),
        };
        assert_eq!(odd.search_path().unwrap(), r#""a"", public, ""b""#);
    }

    proptest! {
        #[test]
        fn two_tenants_never_share_a_database(a in "p.{0,60}", b in "p.{0,60}") {
            let pattern = fleet("db_{tenant}", Separation::Database);
            if let (Some(first), Some(second)) = (pattern.place(&a), pattern.place(&b)) {
                prop_assert_eq!(a == b, first.database == second.database);
            }
        }
    }
}
