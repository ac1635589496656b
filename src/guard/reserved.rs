//! Functions and relations reserved for nobody, or for trusted roles: the reviewed list in `policies/`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::base::PoolMode;

/// The reviewed list, with the reason beside each group.
const SOURCE: &str = include_str!("../../policies/reserved_functions.toml");

/// Some functions that are reserved for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// The rule's name, as refusals carry it.
    pub(super) rule: String,
    /// What is wrong with them, to follow "because it".
    pub(super) reason: String,
    /// What to do instead.
    pub(super) hint: Option<String>,
    /// The SQLSTATE of the refusal where it is not 42501.
    code: Option<String>,
    /// Whether trusted roles are bound as well.
    #[serde(default)]
    pub(super) everyone: bool,
    /// Whether it binds nobody in session mode.
    #[serde(default)]
    pub(super) transaction_mode_only: bool,
    /// Whether it binds nobody but where other tenants' schemas are in the same database.
    #[serde(default)]
    pub(super) beside_tenants_only: bool,
    functions: Vec<String>,
    #[serde(default)]
    relations: Vec<String>,
}

impl Group {
    /// Whether the refusal says "not supported" rather than "not allowed".
    pub(super) fn is_unsupported(&self) -> bool {
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
pub(super) struct Reserved {
    groups: Vec<Group>,
    functions: HashMap<Box<str>, usize>,
    prefixes: Vec<(Box<str>, usize)>,
    relations: HashMap<Box<str>, usize>,
    relation_prefixes: Vec<(Box<str>, usize)>,
}

/// The names of the functions that no end user needs in this mode, `*` at the end for all that begin so: what a
/// database should keep from them by itself as well.
pub fn reserved_functions(mode: PoolMode) -> Vec<String> {
    let groups = Reserved::list().groups.iter();
    groups
        .filter(|group| !(group.transaction_mode_only && mode == PoolMode::Session))
        .filter(|group| !group.beside_tenants_only)
        .flat_map(|group| &group.functions)
        // Gives up what nobody has: drivers call it when they reset a session.
        .filter(|name| *name != "pg_advisory_unlock_all")
        .cloned()
        .collect()
}

impl Reserved {
    /// The list built into the program.
    pub(super) fn list() -> &'static Self {
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
            relations: HashMap::new(),
            relation_prefixes: Vec::new(),
        };
        for (index, group) in groups.iter().enumerate() {
            for name in &group.functions {
                match name.strip_suffix('*') {
                    Some(prefix) => list.prefixes.push((prefix.into(), index)),
                    None => {
                        list.functions.insert(name.as_str().into(), index);
                    }
                }
            }
            for name in &group.relations {
                match name.strip_suffix('*') {
                    Some(prefix) => list.relation_prefixes.push((prefix.into(), index)),
                    None => {
                        list.relations.insert(name.as_str().into(), index);
                    }
                }
            }
        }
        // First match wins: the longer prefix is the more exact one.
        list.prefixes
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
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
            beside_tenants_only: false,
            functions: vec!["*".to_owned()],
            relations: Vec::new(),
        }])
    }

    /// The group that reserves a function of that name, whatever its schema.
    pub(super) fn function(&self, name: &str) -> Option<&Group> {
        let by_prefix = || {
            let prefix = self
                .prefixes
                .iter()
                .find(|(prefix, _)| name.starts_with(&**prefix));
            prefix.map(|(_, index)| index)
        };
        let index = self.functions.get(name).or_else(by_prefix)?;
        self.groups.get(*index)
    }

    /// The group that reserves a relation of that name.
    pub(super) fn relation(&self, name: &str) -> Option<&Group> {
        // Nearly every name fails here, so most never reach the hash.
        if !name.starts_with("pg_") {
            return None;
        }
        let by_prefix = || {
            let mut prefixes = self.relation_prefixes.iter();
            let prefix = prefixes.find(|(prefix, _)| name.starts_with(&**prefix));
            prefix.map(|(_, index)| index)
        };
        self.groups.get(*self.relations.get(name).or_else(by_prefix)?)
    }
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
            for name in group.functions.iter().chain(&group.relations) {
                assert!(name.len() > 2 && *name == name.to_ascii_lowercase(), "{name}");
            }
        }
        assert!(list.relations.keys().all(|name| name.starts_with("pg_")));
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
        ] {
            assert!(list.function(name).is_some(), "{name}");
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
            "pg_stat_get_activity",
            "nextval",
            "currval",
            "ts_rank",
            "pg_relation_size",
            "pg_table_is_visible",
            "logout",
            "create_table",
        ] {
            let group = list.function(name).filter(|group| !group.beside_tenants_only);
            assert!(group.is_none(), "{name}");
        }
        assert!(list.relation("pg_stats").is_some() && list.relation("pg_stat_user_tables").is_some());
        assert!(list.relation("pg_statistic_ext").is_none() && list.relation("pg_class").is_none());
        let asked_of_all = reserved_functions(PoolMode::Transaction);
        assert!(!asked_of_all.contains(&"pg_stat_get_*".to_owned()));
    }

    #[test]
    fn a_broken_list_reserves_everything() {
        assert!(Reserved::parse("group = 3").is_err());
        assert!(Reserved::everything().function("count").is_some());
    }
}
