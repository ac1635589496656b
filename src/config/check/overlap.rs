//! Two tenants in one place, with nothing to keep them apart, are a leak.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::base::{DatabaseName, ServerName, TenantName};
use crate::tenant::{Pattern, Placement, Separation, Settings, TENANT_MARK};

use super::super::raw::Section;

/// Who lives in which database, as far as entries have been read.
#[derive(Clone, Debug, Default)]
pub(super) struct Occupants(HashMap<(ServerName, DatabaseName), Occupant>);

#[derive(Clone, Debug)]
struct Occupant {
    tenant: TenantName,
    separation: Separation,
    schemas: HashMap<Box<str>, TenantName>,
}

impl Occupants {
    /// Notes a mistake if somebody lives there already who must not share the place.
    pub(super) fn move_in(&mut self, entry: &Section<'_>, tenant: &TenantName, place: &Placement) {
        let occupant = match self.0.entry((place.server.clone(), place.database.clone())) {
            Entry::Vacant(free) => free.insert(Occupant {
                tenant: tenant.clone(),
                separation: place.separation.clone(),
                schemas: HashMap::new(),
            }),
            Entry::Occupied(taken) => {
                let occupant = taken.into_mut();
                if [&occupant.separation, &place.separation].contains(&&Separation::Database) {
                    entry.mistake(
                        "database",
                        format!(
                            "{} on {} belongs to tenant {} already: give each a schema, or say shared = true",
                            place.database, place.server, occupant.tenant
                        ),
                    );
                }
                occupant
            }
        };
        if let Separation::Schema { schema, .. } = &place.separation
            && let Some(other) = occupant.schemas.insert(schema.clone(), tenant.clone())
        {
            entry.mistake("schema", format!("{schema} belongs to tenant {other} already"));
        }
    }
}

/// Notes a mistake if a pattern would put some tenant where a listed tenant lives by itself.
pub(super) fn patterns_keep_out(top: &Section<'_>, settings: &Settings) {
    for (tenant, place) in &settings.tenants {
        for pattern in &settings.patterns {
            if let Some(guest) = intruder(pattern, tenant, place, settings) {
                top.mistake_path(
                    "tenants.pattern",
                    format!(
                        "\"{}*\" would put {guest} where tenant {tenant} is by itself: {} on {}",
                        pattern.prefix, place.database, place.server
                    ),
                );
            }
        }
    }
}

fn intruder(
    pattern: &Pattern,
    tenant: &TenantName,
    place: &Placement,
    settings: &Settings,
) -> Option<String> {
    let template = &pattern.template;
    if template.server != place.server {
        return None;
    }
    let database = template.database.as_str();
    let guest = if database.contains(TENANT_MARK) {
        filled_with(database, place.database.as_str())?
    } else if database != place.database.as_str() {
        return None;
    } else {
        match (&template.separation, &place.separation) {
            (Separation::Schema { schema: template, .. }, Separation::Schema { schema, .. }) => {
                filled_with(template, schema)?
            }
            (Separation::Database, _) | (_, Separation::Database) => return Some("other tenants".to_owned()),
            (Separation::Shared, _) | (_, Separation::Shared) => return None,
        }
    };
    let same = guest == tenant.as_str() || settings.tenants.contains_key(guest);
    let apart = match (pattern.place(guest)?.separation, &place.separation) {
        (Separation::Database, _) | (_, Separation::Database) => false,
        (Separation::Schema { schema: theirs, .. }, Separation::Schema { schema, .. }) => theirs != *schema,
        (Separation::Shared, _) | (_, Separation::Shared) => true,
    };
    (!same && !apart).then(|| format!("tenant {guest}"))
}

/// The tenant's name that makes `name` of `template`, which holds [`TENANT_MARK`].
fn filled_with<'a>(template: &str, name: &'a str) -> Option<&'a str> {
    let (before, after) = template.split_once(TENANT_MARK)?;
    if after.contains(TENANT_MARK) {
        // With the mark twice only the lengths can be solved for: the name takes half of what is left.
        let length = (name.len() + 2 * TENANT_MARK.len()).checked_sub(template.len())? / 2;
        let guest = name.get(before.len()..before.len() + length)?;
        return (template.replace(TENANT_MARK, guest) == name).then_some(guest);
    }
    name.strip_prefix(before)?.strip_suffix(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_solved_for_the_tenant() {
        let cases = [
            ("t_{tenant}", "t_acme", Some("acme")),
            ("{tenant}_db", "acme_db", Some("acme")),
            ("{tenant}", "acme", Some("acme")),
            ("t_{tenant}", "acme", None),
            ("{tenant}.{tenant}", "ab.ab", Some("ab")),
            ("{tenant}.{tenant}", "ab.ac", None),
            ("{tenant}.{tenant}", "é", None),
            ("t_", "t_", None),
        ];
        for (template, name, guest) in cases {
            assert_eq!(filled_with(template, name), guest, "{template} {name}");
        }
    }
}
