//! Functions and relations reserved for nobody, or for trusted roles: the reviewed list in `policies/`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::base::PoolMode;

/// The reviewed list, with the reason beside each group.
const SOURCE: &str = include_str!("../../../policies/reserved_functions.toml");

/// How an entry for all functions of a schema ends.
const WHOLE_SCHEMA: &str = ".*";

/// Some functions that are reserved for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file")]
pub(in crate::guard) struct Group {
    /// The rule's name, as refusals carry it.
    pub(in crate::guard) rule: String,
    /// What is wrong with them, to follow "because it".
    pub(in crate::guard) reason: String,
    /// What to do instead.
    pub(in crate::guard) hint: Option<String>,
    /// The SQLSTATE of the refusal where it is not 42501.
    code: Option<String>,
    /// Whether trusted roles are bound as well.
    #[serde(default)]
    pub(in crate::guard) everyone: bool,
    /// Whether it binds nobody in session mode.
    #[serde(default)]
    pub(in crate::guard) transaction_mode_only: bool,
    /// Whether a connection on which a trusted role has called one of them serves nobody else.
    #[serde(default)]
    pub(in crate::guard) leaves_state: bool,
    /// Whether it binds nobody but where other tenants' schemas are in the same database.
    #[serde(default)]
    pub(in crate::guard) beside_tenants_only: bool,
    functions: Vec<String>,
    /// `schema.name`s that applications have, too: without their schema they are theirs.
    #[serde(default)]
    common: Vec<String>,
    #[serde(default)]
    relations: Vec<String>,
}

impl Group {
    /// Whether the refusal says "not supported" rather than "not allowed".
    pub(in crate::guard) fn is_unsupported(&self) -> bool {
        self.code.as_deref() == Some("0A000")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    group: Vec<Group>,
}

/// The list, ready to be asked.
#[derive(Debug)]
pub(in crate::guard) struct Reserved {
    groups: Vec<Group>,
    functions: HashMap<Box<str>, usize>,
    prefixes: Vec<(Box<str>, usize)>,
    schemas: HashMap<Box<str>, usize>,
    schema_prefixes: Vec<(Box<str>, usize)>,
    placed: HashMap<Box<str>, Vec<Placed>>,
    relations: HashMap<Box<str>, usize>,
    relation_prefixes: Vec<(Box<str>, usize)>,
}

/// A function that is reserved in one schema.
#[derive(Debug)]
struct Placed {
    schema: Box<str>,
    group: usize,
    is_common: bool,
}

/// How a function is called.
#[derive(Clone, Copy, Debug)]
pub(in crate::guard) struct Called<'n> {
    /// The schema, where the call names one.
    pub(in crate::guard) schema: Option<&'n str>,
    pub(in crate::guard) name: &'n str,
    pub(in crate::guard) notation: Notation,
    pub(in crate::guard) search_path: SearchPath,
}

/// What a call looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guard) enum Notation {
    /// `f(x)`, also by TREAT.
    Call,
    /// `x.f`, which may be a column.
    Attribute,
}

/// Who decides which schemas a name without schema is looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guard) enum SearchPath {
    /// The operator.
    OfOperator,
    /// Each session.
    OfSession,
}

/// How the names of reserved relations begin: nearly every other name is told apart by that.
const RELATIONS_BEGIN: [&str; 2] = ["pg_", "citus_"];

/// The names of the functions that no end user needs in this mode, `*` at the end for all that begin so, with a schema
/// for those that are reserved there alone: what a database should keep from them by itself as well.
pub fn reserved_functions(mode: PoolMode) -> Vec<String> {
    let groups = Reserved::list().groups.iter();
    groups
        .filter(|group| !(group.transaction_mode_only && mode == PoolMode::Session))
        .filter(|group| !group.beside_tenants_only)
        .flat_map(|group| group.functions.iter().chain(&group.common))
        // Gives up what nobody has: drivers call it when they reset a session.
        .filter(|name| *name != "pg_advisory_unlock_all")
        .cloned()
        .collect()
}

impl Reserved {
    /// The list built into the program.
    pub(in crate::guard) fn list() -> &'static Self {
        static LIST: LazyLock<Reserved> = LazyLock::new(|| {
            // A list that does not parse reserves everything; a test sees to it that it does parse.
            Reserved::parse(SOURCE).unwrap_or_else(|_| Reserved::everything())
        });
        &LIST
    }

    fn parse(source: &str) -> Result<Self, toml::de::Error> {
        let File { group } = toml::from_str(source)?;
        Ok(Self::new(group))
    }

    fn new(groups: Vec<Group>) -> Self {
        let mut list = Self {
            groups: Vec::new(),
            functions: HashMap::new(),
            prefixes: Vec::new(),
            schemas: HashMap::new(),
            schema_prefixes: Vec::new(),
            placed: HashMap::new(),
            relations: HashMap::new(),
            relation_prefixes: Vec::new(),
        };
        for (index, group) in groups.iter().enumerate() {
            let (placed, anywhere): (Vec<_>, Vec<_>) =
                group.functions.iter().partition(|text| text.contains('.'));
            let (schemas, placed): (Vec<_>, Vec<_>) =
                placed.into_iter().partition(|text| text.ends_with(WHOLE_SCHEMA));
            let schemas = schemas.iter().filter_map(|text| text.strip_suffix(WHOLE_SCHEMA));
            let anywhere = anywhere.into_iter().map(String::as_str);
            enter(anywhere, index, &mut list.functions, &mut list.prefixes);
            enter(schemas, index, &mut list.schemas, &mut list.schema_prefixes);
            list.place(placed, index, false);
            list.place(group.common.iter().collect(), index, true);
            enter(
                group.relations.iter().map(String::as_str),
                index,
                &mut list.relations,
                &mut list.relation_prefixes,
            );
        }
        list.groups = groups;
        list
    }

    fn everything() -> Self {
        Self::new(vec![Group {
            rule: "reserved.everything".to_owned(),
            reason: "is not on any list".to_owned(),
            hint: None,
            code: None,
            everyone: true,
            transaction_mode_only: false,
            leaves_state: false,
            beside_tenants_only: false,
            functions: vec!["*".to_owned()],
            common: Vec::new(),
            relations: Vec::new(),
        }])
    }

    fn place(&mut self, texts: Vec<&String>, group: usize, is_common: bool) {
        for (schema, name) in texts.iter().filter_map(|text| text.split_once('.')) {
            self.placed.entry(name.into()).or_default().push(Placed {
                schema: schema.into(),
                group,
                is_common,
            });
        }
    }

    /// The group that reserves a function by this call. A name that is reserved in some schema counts without one as
    /// well, since the search path may lead there; one that applications have, too, only if sessions set their path.
    pub(in crate::guard) fn function(&self, called: Called<'_>) -> Option<&Group> {
        let index = self
            .anywhere(called.name)
            .or_else(|| match called.schema {
                Some(schema) => find(schema, &self.schemas, &self.schema_prefixes),
                None => None,
            })
            .or_else(|| {
                let placed = self.placed.get(called.name)?;
                let is_meant = |placed: &&Placed| match called.schema {
                    Some(schema) => schema == &*placed.schema,
                    None if called.search_path == SearchPath::OfSession => true,
                    // An attribute is mostly a column, and few functions take a single argument.
                    None => called.notation == Notation::Call && !placed.is_common,
                };
                placed.iter().find(is_meant).map(|placed| placed.group)
            })?;
        self.groups.get(index)
    }

    /// Whether a function of that name is reserved in every schema.
    pub(in crate::guard) fn is_anywhere(&self, name: &str) -> bool {
        self.anywhere(name).is_some()
    }

    /// Whether all functions of that schema are reserved.
    pub(in crate::guard) fn is_schema(&self, schema: &str) -> bool {
        find(schema, &self.schemas, &self.schema_prefixes).is_some()
    }

    fn anywhere(&self, name: &str) -> Option<usize> {
        find(name, &self.functions, &self.prefixes)
    }

    /// Whether a connection serves nobody else once a function of that name was called: it leaves what no reset takes
    /// away.
    pub(in crate::guard) fn leaves_state(&self, called: Called<'_>) -> bool {
        self.function(called).is_some_and(|group| group.leaves_state)
    }

    /// Whether a program's text names such a function.
    pub(in crate::guard) fn names_state(&self, text: &str) -> bool {
        let leaves = |group: &usize| self.groups.get(*group).is_some_and(|group| group.leaves_state);
        let mut names = self.functions.iter().chain(&self.schemas);
        let mut prefixes = self.prefixes.iter().chain(&self.schema_prefixes);
        names.any(|(name, group)| leaves(group) && text.contains(&**name))
            || prefixes.any(|(prefix, group)| leaves(group) && text.contains(&**prefix))
    }

    /// The group that reserves a relation of that name, whatever its schema.
    pub(in crate::guard) fn relation(&self, name: &str) -> Option<&Group> {
        // Nearly every name fails here, so most never reach the hash.
        if !RELATIONS_BEGIN.iter().any(|begin| name.starts_with(begin)) {
            return None;
        }
        self.groups
            .get(find(name, &self.relations, &self.relation_prefixes)?)
    }
}

/// Puts the names of a group where they are looked up.
fn enter<'t>(
    texts: impl Iterator<Item = &'t str>,
    group: usize,
    names: &mut HashMap<Box<str>, usize>,
    prefixes: &mut Vec<(Box<str>, usize)>,
) {
    for text in texts {
        match text.strip_suffix('*') {
            Some(prefix) => prefixes.push((prefix.into(), group)),
            None => {
                names.insert(text.into(), group);
            }
        }
    }
    // First match wins: the longer prefix is the more exact one.
    prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
}

fn find(name: &str, names: &HashMap<Box<str>, usize>, prefixes: &[(Box<str>, usize)]) -> Option<usize> {
    let by_prefix = || prefixes.iter().find(|(prefix, _)| name.starts_with(&**prefix));
    names.get(name).copied().or_else(|| Some(by_prefix()?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_parses_and_is_well_formed() {
        let list = Reserved::parse(SOURCE).unwrap();
        assert!(list.groups.len() > 8);
        for group in &list.groups {
            assert!(
                group.rule.starts_with("reserved.") && !group.reason.is_empty(),
                "{}",
                group.rule
            );
            assert!(
                matches!(group.code.as_deref(), None | Some("0A000")),
                "{}",
                group.rule
            );
            for name in group
                .functions
                .iter()
                .chain(&group.common)
                .chain(&group.relations)
            {
                assert!(name.len() > 2 && *name == name.to_ascii_lowercase(), "{name}");
                // The hardening reads no other forms.
                let (schema, last) = name.split_once('.').unwrap_or(("", name));
                assert!(
                    !last.contains('.') && (!schema.contains('*') || last == "*"),
                    "{name}"
                );
                assert!(schema.is_empty() || last == "*" || !last.contains('*'), "{name}");
            }
            assert!(
                group.common.iter().all(|name| name.contains('.')),
                "{}",
                group.rule
            );
        }
        let prefixes = list.relation_prefixes.iter().map(|(prefix, _)| prefix);
        for name in list.relations.keys().chain(prefixes) {
            assert!(
                RELATIONS_BEGIN.iter().any(|begin| name.starts_with(begin)),
                "{name} would never be looked up"
            );
        }
    }

    #[test]
    fn locks_of_sessions_are_left_to_those_that_keep_their_connection() {
        let lock = "pg_advisory_lock".to_owned();
        assert!(reserved_functions(PoolMode::Transaction).contains(&lock));
        let in_session_mode = reserved_functions(PoolMode::Session);
        assert!(!in_session_mode.contains(&lock) && in_session_mode.contains(&"set_limit".to_owned()));
    }

    #[test]
    fn names_and_prefixes_match_and_ordinary_ones_do_not() {
        let list = Reserved::list();
        for name in [
            "query_to_xml",
            "query_to_xml_and_xmlschema",
            "cursor_to_xmlschema",
            "ts_stat",
            "dblink",
            "dblink_exec",
            "crosstab4",
            "connectby",
            "xpath_table",
            "lo_import",
            "lo_get",
            "loread",
            "lowrite",
            "setval",
            "setseed",
            "pg_notify",
            "pg_export_snapshot",
            "pg_logical_emit_message",
            "pg_read_file",
            "pg_read_binary_file",
            "pg_ls_dir",
            "pg_stat_file",
            "pg_terminate_backend",
            "pg_cancel_backend",
            "pg_reload_conf",
            "pg_rotate_logfile",
            "pg_switch_wal",
            "pg_create_restore_point",
            "pg_drop_replication_slot",
            "pg_replication_slot_advance",
            "pg_promote",
            "pg_backup_start",
            "binary_upgrade_set_next_pg_type_oid",
            "pg_import_system_collations",
            "pg_stat_reset_shared",
            "brin_summarize_range",
            "gin_clean_pending_list",
            "pg_advisory_lock",
            "pg_prepared_statement",
            "pg_stat_get_activity",
            "pg_stat_get_backend_client_addr",
            "pg_lock_status",
        ] {
            assert!(list.is_anywhere(name), "{name}");
        }
        for name in [
            "pg_stat_activity",
            "pg_stat_progress_anything",
            "pg_locks",
            "pg_cursors",
        ] {
            let group = list.relation(name).filter(|group| !group.beside_tenants_only);
            assert!(group.is_some(), "{name}");
        }
        for name in [
            "pg_class",
            "pg_stat_user_tables",
            "pg_stat_database",
            "todos",
            "my_pg_locks",
        ] {
            let group = list.relation(name).filter(|group| !group.beside_tenants_only);
            assert!(group.is_none(), "{name}");
        }
        for name in [
            "count",
            "lower",
            "log",
            "pg_advisory_xact_lock",
            "pg_try_advisory_xact_lock_shared",
            "pg_sleep",
            "pg_get_viewdef",
            "current_setting",
            "pg_stat_get_numscans",
            "pg_backend_pid",
            "nextval",
            "currval",
            "ts_rank",
            "pg_relation_size",
            "pg_table_is_visible",
            "logout",
            "create_table",
        ] {
            let group = list.anywhere(name).and_then(|index| list.groups.get(index));
            let group = group.filter(|group| !group.beside_tenants_only);
            assert!(group.is_none(), "{name}");
        }
        assert!(list.relation("pg_stats").is_some() && list.relation("pg_stat_user_tables").is_some());
        assert!(list.relation("pg_statistic_ext").is_none() && list.relation("pg_class").is_none());
        let asked_of_all = reserved_functions(PoolMode::Transaction);
        assert!(!asked_of_all.contains(&"pg_stat_get_*".to_owned()));
    }

    /// One of them would hide the other, and what it binds whom to.
    #[test]
    fn no_name_is_in_two_groups() {
        let list = Reserved::parse(SOURCE).unwrap();
        let mut functions = std::collections::HashSet::new();
        let mut relations = std::collections::HashSet::new();
        for group in &list.groups {
            for name in group.functions.iter().chain(&group.common) {
                assert!(functions.insert(name.as_str()), "{name}");
            }
            for name in &group.relations {
                assert!(relations.insert(name.as_str()), "{name}");
            }
        }
    }

    #[test]
    fn functions_are_reserved_by_their_schema() {
        let is = |schema, name, notation, search_path| {
            let called = Called {
                schema,
                name,
                notation,
                search_path,
            };
            Reserved::list().function(called).is_some()
        };
        for (schema, name, call, attribute, free_call, free_attribute) in [
            (Some("cron"), "schedule", true, true, true, true),
            (Some("cron"), "anything", true, true, true, true),
            (Some("app"), "schedule", false, false, false, false),
            (None, "schedule", true, false, true, true),
            (None, "unschedule", true, true, true, true),
            (Some("dbms_output"), "put", true, true, true, true),
            (Some("dbms_whatever"), "f", true, true, true, true),
            (None, "put_line", true, false, true, true),
            (None, "register", false, false, true, true),
            (Some("app"), "isn_weak", true, true, true, true),
            (None, "anything", false, false, false, false),
        ] {
            let (of_operator, of_session) = (SearchPath::OfOperator, SearchPath::OfSession);
            let found = [
                is(schema, name, Notation::Call, of_operator),
                is(schema, name, Notation::Attribute, of_operator),
                is(schema, name, Notation::Call, of_session),
                is(schema, name, Notation::Attribute, of_session),
            ];
            assert_eq!(
                found,
                [call, attribute, free_call, free_attribute],
                "{schema:?} {name}"
            );
        }
        assert!(Reserved::list().names_state("BEGIN PERFORM isn_weak(true); END"));
        assert!(!Reserved::list().names_state("BEGIN PERFORM lower('x'); END"));
    }

    #[test]
    fn a_broken_list_reserves_everything() {
        assert!(Reserved::parse("group = 3").is_err());
        assert!(Reserved::everything().is_anywhere("count"));
    }
}
