//! Where one tenant, or each tenant of a pattern, lives.

use crate::base::{DatabaseName, ServerName};
use crate::tenant::{NAME_BYTES, OwnName, PATTERN_NAME_BYTES, Placement, ROLE_MARK, Separation, TENANT_MARK};

use super::super::raw::{Item, Section};
use super::{pool_mode, postgres_name};

/// Whose placement it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// One tenant's, whose name is the database's unless that is given.
    Tenant(Option<&'a str>),
    /// A pattern's.
    Pattern,
}

/// Reads `database`, `schema`, `extra_search_path`, `shared`, `role` and `pool_mode` of an entry.
pub(super) fn placement(
    entry: &Section<'_>,
    server: Option<ServerName>,
    kind: Kind<'_>,
) -> Option<Placement> {
    let read = |item: Item<'_>| match kind {
        Kind::Tenant(_) => fixed_name(&item),
        Kind::Pattern => template(&item),
    };
    let given = entry.get("database");
    let has_database = given.is_some();
    let database = given.and_then(read);
    let schema_item = entry.get("schema");
    let shared = entry.get("shared").and_then(|item| item.flag()).unwrap_or(false);
    let extra = entry.get("extra_search_path");
    let mode = entry.get("pool_mode").and_then(|item| pool_mode(&item));
    let role = entry.get("role").and_then(|item| own_role(&item, kind));
    if let (Some(extra), None) = (&extra, &schema_item) {
        extra.mistake("needs a schema to come after");
    }
    let extra = extra.map(|item| item.elements().iter().filter_map(postgres_name).collect());
    let separation = match (schema_item, shared) {
        (Some(item), false) => Separation::Schema {
            schema: read(item)?.into(),
            extra: super::tenants::shared_list(extra.unwrap_or_default()),
        },
        (None, true) => Separation::Shared,
        (None, false) => Separation::Database,
        (Some(item), true) => {
            item.mistake("a tenant has a schema to itself or shares one: leave out schema or shared");
            return None;
        }
    };
    let database = match (database, kind, &separation) {
        (Some(database), ..) => database,
        (None, ..) if has_database => return None,
        (None, Kind::Tenant(name), Separation::Database) => own_database(entry, name?)?,
        (None, Kind::Pattern, Separation::Database) => TENANT_MARK.to_owned(),
        (None, _, Separation::Schema { .. } | Separation::Shared) => {
            entry.mistake("database", "is missing: it is the database that tenants share");
            return None;
        }
    };
    let placement = Placement {
        server: server?,
        database: DatabaseName::new(database),
        separation,
        pool_mode: mode,
        // The token's role is what it would be anyway.
        role: role.filter(|role| role.as_str() != ROLE_MARK),
    };
    if kind == Kind::Pattern {
        told_apart(entry, &placement);
    }
    Some(placement)
}

/// The role of an entry: a name with marks in it. What comes of it is looked at once the roles are known.
fn own_role(item: &Item<'_>, kind: Kind<'_>) -> Option<OwnName> {
    let role = marked_name(item, &[TENANT_MARK, ROLE_MARK])?;
    if kind == Kind::Pattern && !role.names_tenant() && role.as_str() != ROLE_MARK {
        item.mistake(format!(
            "every tenant would get the same role: put {TENANT_MARK} into it, as in \"{ROLE_MARK}_{TENANT_MARK}\""
        ));
        return None;
    }
    Some(role)
}

/// A name in which each of these marks may stand once.
pub(super) fn marked_name(item: &Item<'_>, marks: &[&str]) -> Option<OwnName> {
    let text = item.text()?;
    let rest = marks
        .iter()
        .fold(text.clone(), |rest, mark| rest.replacen(mark, "", 1));
    if rest.contains(['{', '}']) {
        item.mistake(format!(
            "only {}, each once, may stand between braces",
            marks.join(" and ")
        ));
        return None;
    }
    if rest.len() >= NAME_BYTES {
        item.mistake(format!(
            "is longer than {NAME_BYTES} bytes: Postgres would cut it"
        ));
        return None;
    }
    Some(OwnName::new(text))
}

/// A tenant without a database of another name has one of its own.
fn own_database(entry: &Section<'_>, name: &str) -> Option<String> {
    if name.len() > NAME_BYTES {
        entry.mistake(
            "name",
            format!(
                "is longer than {NAME_BYTES} bytes, so it cannot be the name of a database: give the database"
            ),
        );
        return None;
    }
    Some(name.to_owned())
}

fn fixed_name(item: &Item<'_>) -> Option<String> {
    let name = postgres_name(item)?;
    if name.contains(TENANT_MARK) {
        item.mistake(format!("{TENANT_MARK} is for a [[pattern]]"));
        return None;
    }
    Some(name)
}

/// A name with [`TENANT_MARK`] in it, which Postgres keeps whole for the longest tenant's name.
fn template(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let rest = text.replace(TENANT_MARK, "");
    let marks = (text.len() - rest.len()) / TENANT_MARK.len();
    if rest.contains(['{', '}']) {
        item.mistake(format!("only {TENANT_MARK} may stand between braces"));
        return None;
    }
    if rest.len() + marks * PATTERN_NAME_BYTES > NAME_BYTES {
        item.mistake(format!(
            "is too long: with a tenant's name of {PATTERN_NAME_BYTES} bytes it is more than {NAME_BYTES}, and \
             Postgres would cut it"
        ));
        return None;
    }
    Some(text)
}

/// The tenants of a pattern must not all be put in one place unless it says that they share it.
fn told_apart(entry: &Section<'_>, template: &Placement) {
    let marked = |name: &str| name.contains(TENANT_MARK);
    let own_place = marked(template.database.as_str())
        || matches!(&template.separation, Separation::Schema { schema, .. } if marked(schema));
    if !own_place && template.separation != Separation::Shared {
        entry.mistake(
            "database",
            format!("every tenant would get the same place: put {TENANT_MARK} into database or schema, or say shared = true"),
        );
    }
}
