//! Which schemas the statements of a session may name, where tenants are told apart by schema.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Pattern, Placement, Separation, Settings, TENANT_MARK};
use crate::base::{DatabaseName, ServerName};

/// The schemas that statements on one route may name. Several tenants' schemas are served under one role, so the
/// server itself does not keep them apart.
#[derive(Clone, Debug)]
pub struct Schemas {
    id: u64,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// Only the tenant's own and those that its placement lists.
    Only { own: Box<str>, extra: Arc<[Box<str>]> },
    /// All but those of tenants: for sessions without a schema of their own in a database where tenants have some.
    AllBut(TenantSchemas),
}

impl Schemas {
    /// The first [`Schemas::id`]; smaller numbers are free for other use.
    pub const FIRST_ID: u64 = 16;

    /// The tenant's own schema, and those that are searched after it.
    pub fn only(own: &str, extra: &Arc<[Box<str>]>) -> Self {
        Self::new(Rule::Only {
            own: own.into(),
            extra: Arc::clone(extra),
        })
    }

    fn new(rule: Rule) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(Schemas::FIRST_ID);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            rule,
        }
    }

    /// Tells these apart from all others in the process: a clone alone has the same.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether a statement may name this schema, as the server spells it.
    pub fn has(&self, schema: &str) -> bool {
        match &self.rule {
            Rule::Only { own, extra } => schema == &**own || extra.iter().any(|extra| schema == &**extra),
            Rule::AllBut(tenants) => !tenants.has(schema),
        }
    }

    /// Whether everything that may be named by `before` may be named by `now`; `None` stands for all schemas.
    pub(super) fn allow_as_much(now: Option<&Self>, before: Option<&Self>) -> bool {
        match (now.map(|now| &now.rule), before.map(|before| &before.rule)) {
            (None, _) => true,
            (Some(Rule::AllBut(now)), Some(Rule::AllBut(before))) => {
                let mut fleets = now.fleets.iter();
                now.listed.is_subset(&before.listed) && fleets.all(|names| before.fleets.contains(names))
            }
            (Some(_), Some(Rule::Only { own, extra })) => {
                let may = |schema: &str| now.is_some_and(|now| now.has(schema));
                may(own) && extra.iter().all(|schema| may(schema))
            }
            (Some(_), None) | (Some(Rule::Only { .. }), Some(Rule::AllBut(_))) => false,
        }
    }

    /// The tenant's own schema, if it has one.
    pub fn own(&self) -> Option<&str> {
        match &self.rule {
            Rule::Only { own, .. } => Some(own),
            Rule::AllBut(_) => None,
        }
    }
}

/// By what they allow, whatever their ids.
impl PartialEq for Schemas {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule
    }
}

impl Eq for Schemas {}

/// The schemas that tenants have in one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TenantSchemas {
    listed: Arc<HashSet<Box<str>>>,
    /// Those of patterns.
    fleets: Box<[Names]>,
}

impl TenantSchemas {
    fn has(&self, schema: &str) -> bool {
        self.listed.contains(schema) || self.fleets.iter().any(|names| names.has(schema))
    }
}

/// The schemas of all tenants, by database.
#[derive(Debug, Default)]
pub(super) struct Occupied {
    listed: HashMap<(ServerName, DatabaseName), Arc<HashSet<Box<str>>>>,
}

impl Occupied {
    /// Those of the listed tenants.
    pub(super) fn new(settings: &Settings) -> Self {
        let mut by_database: HashMap<_, HashSet<Box<str>>> = HashMap::new();
        for place in settings.tenants.values() {
            if let Separation::Schema { schema, .. } = &place.separation {
                let database = (place.server.clone(), place.database.clone());
                by_database.entry(database).or_default().insert(schema.clone());
            }
        }
        let listed = by_database.into_iter();
        Self {
            listed: listed.map(|(at, schemas)| (at, Arc::new(schemas))).collect(),
        }
    }

    /// What sessions with this placement may name; `None` for every schema.
    pub(super) fn schemas_at(&self, place: &Placement, patterns: &[Pattern]) -> Option<Schemas> {
        match &place.separation {
            Separation::Schema { schema, extra } => Some(Schemas::only(schema, extra)),
            Separation::Database | Separation::Shared => {
                self.schemas_beside(&place.server, &place.database, patterns)
            }
        }
    }

    /// What sessions without a schema of their own may name in a database.
    pub(super) fn schemas_beside(
        &self,
        server: &ServerName,
        database: &DatabaseName,
        patterns: &[Pattern],
    ) -> Option<Schemas> {
        let listed = self.listed.get(&(server.clone(), database.clone()));
        let fleets: Box<[_]> = patterns
            .iter()
            .map(|pattern| &pattern.template)
            .filter(|template| template.server == *server)
            .filter(|template| Names::of(template.database.as_str()).has(database.as_str()))
            .filter_map(|template| match &template.separation {
                Separation::Schema { schema, .. } => Some(Names::of(schema)),
                Separation::Database | Separation::Shared => None,
            })
            .collect();
        if listed.is_none() && fleets.is_empty() {
            return None;
        }
        Some(Schemas::new(Rule::AllBut(TenantSchemas {
            listed: listed.cloned().unwrap_or_default(),
            fleets,
        })))
    }
}

/// The names that come of a template: those between what stands ahead of its first mark and behind its last one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    /// There is no mark.
    One(Box<str>),
    Around {
        ahead: Box<str>,
        behind: Box<str>,
    },
}

impl Names {
    fn of(template: &str) -> Self {
        match (
            template.split_once(TENANT_MARK),
            template.rsplit_once(TENANT_MARK),
        ) {
            (Some((ahead, _)), Some((_, behind))) => Self::Around {
                ahead: ahead.into(),
                behind: behind.into(),
            },
            _ => Self::One(template.into()),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::One(one) => &**one == name,
            Self::Around { ahead, behind } => name
                .strip_prefix(&**ahead)
                .is_some_and(|rest| rest.ends_with(&**behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TenantName;

    fn place(database: &str, separation: Separation) -> Placement {
        Placement {
            server: "main".into(),
            database: database.into(),
            separation,
            pool_mode: None,
            role: None,
        }
    }

    fn in_schema(schema: &str) -> Separation {
        Separation::Schema {
            schema: schema.into(),
            extra: Arc::from(["public".into()]),
        }
    }

    #[test]
    fn a_tenant_names_its_own_schema_and_those_that_are_listed() {
        let occupied = Occupied::default();
        let schemas = occupied.schemas_at(&place("app", in_schema("s_a")), &[]).unwrap();
        assert!(schemas.has("s_a") && schemas.has("public"));
        assert!(!schemas.has("s_b") && !schemas.has("S_A") && !schemas.has(""));
        assert_eq!(schemas.own(), Some("s_a"));
        let again = occupied.schemas_at(&place("app", in_schema("s_a")), &[]).unwrap();
        assert!(schemas == again && schemas.id() != again.id());
    }

    #[test]
    fn whoever_has_no_schema_keeps_out_of_those_of_tenants() {
        let settings = Settings {
            tenants: [("b".into(), place("app", in_schema("s_b")))].into(),
            ..Settings::default()
        };
        let occupied = Occupied::new(&settings);
        let fleet = Pattern {
            prefix: "".into(),
            template: place("fleet", in_schema("p_{tenant}_x")),
            plan: None,
        };
        let shared = |database: &str| {
            occupied.schemas_at(&place(database, Separation::Shared), std::slice::from_ref(&fleet))
        };
        let beside = shared("app").unwrap();
        assert!(!beside.has("s_b") && beside.has("public") && beside.own().is_none());
        let beside = shared("fleet").unwrap();
        assert!(!beside.has("p_7_x") && beside.has("p_7") && beside.has("s_b"));
        assert!(shared("elsewhere").is_none());
    }

    #[test]
    fn what_may_be_named_is_compared() {
        let only = |own: &str, extra: &[&str]| {
            let extra = extra.iter().map(|name| Box::from(*name)).collect();
            Some(Schemas::only(own, &extra))
        };
        let all_but = |listed: &[&str], fleets: &[&str]| {
            let settings = Settings {
                tenants: listed
                    .iter()
                    .map(|schema| (TenantName::new(*schema), place("app", in_schema(schema))))
                    .collect(),
                ..Settings::default()
            };
            let fleet = |schema: &&str| Pattern {
                prefix: "".into(),
                template: place("app", in_schema(schema)),
                plan: None,
            };
            let fleets: Vec<_> = fleets.iter().map(fleet).collect();
            Occupied::new(&settings).schemas_at(&place("app", Separation::Shared), &fleets)
        };
        for (now, before, expected) in [
            (None, None, true),
            (None, only("a", &[]), true),
            (only("a", &[]), None, false),
            (only("a", &["x", "y"]), only("a", &["y"]), true),
            (only("a", &[]), only("a", &["y"]), false),
            (only("b", &[]), only("a", &[]), false),
            (all_but(&["a"], &[]), None, false),
            (all_but(&["a"], &[]), all_but(&["a"], &[]), true),
            (all_but(&["a", "b"], &[]), all_but(&["a"], &[]), false),
            (all_but(&["a"], &[]), all_but(&["a", "b"], &[]), true),
            (all_but(&[], &["p_{tenant}"]), all_but(&["a"], &[]), false),
            (
                all_but(&["a"], &["p_{tenant}"]),
                all_but(&["a"], &["p_{tenant}"]),
                true,
            ),
            (all_but(&["a"], &[]), only("a", &[]), false),
            (all_but(&["a"], &[]), only("b", &["x"]), true),
            (only("a", &[]), all_but(&["b"], &[]), false),
        ] {
            assert_eq!(
                Schemas::allow_as_much(now.as_ref(), before.as_ref()),
                expected,
                "{now:?} {before:?}"
            );
        }
    }
}
