//! Every function of the servers that could reach around a policy has been looked at: it is reserved, or it is on
//! the list of those that were found harmless.

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use crate::support::raw::RawClient;
use crate::{guard, judge, servers};

/// Functions of pg_catalog that SQL can call and that are volatile, not for everybody by default, or take something
/// that looks like SQL text. (`EXECUTE` is granted to PUBLIC unless initdb says otherwise: system_functions.sql.)
const SUSPECTS: &str = "
    SELECT DISTINCT proname::text FROM pg_proc p
    WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'p')
      AND NOT prorettype::regtype::text = ANY ('{trigger,event_trigger,internal,language_handler,index_am_handler,
            table_am_handler,tsm_handler,fdw_handler}')
      AND NOT 'internal'::regtype = ANY (proargtypes::oid[])
      AND (provolatile = 'v' OR NOT has_function_privilege('public', p.oid, 'EXECUTE')
           OR EXISTS (SELECT FROM unnest(proargnames) AS name WHERE name ~ '(query|sql|command|statement)'))
    ORDER BY 1";

fn is_reserved(guard: &portcullis::guard::Guard, name: &str) -> bool {
    // With an argument: pg_advisory_unlock_all() alone is answered, as drivers send it.
    let call = format!("SELECT pg_catalog.\"{name}\"(1)");
    judge(guard, "end_user", &call).is_err_and(|refusal| refusal.rule.starts_with("reserved."))
}

fn reviewed() -> BTreeMap<String, String> {
    let text = include_str!("../../policies/reviewed_functions.toml");
    let file: Table = text.parse().unwrap();
    let mut reviewed = BTreeMap::new();
    for group in file["group"].as_array().unwrap() {
        let reason = group["reason"].as_str().unwrap();
        assert!(!reason.is_empty());
        for name in group["functions"].as_array().unwrap() {
            let name = name.as_str().unwrap().to_owned();
            let twice = reviewed.insert(name.clone(), reason.to_owned());
            assert_eq!(twice, None, "{name} is listed twice");
        }
    }
    reviewed
}

#[test]
fn every_function_that_could_do_harm_is_on_a_list() {
    let (guard, reviewed) = (guard(), reviewed());
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for postgres in servers() {
        count += 1;
        let suspects = postgres.superuser("postgres").values(SUSPECTS);
        assert!(suspects.len() > 150, "{}", suspects.len());
        let unseen: Vec<&String> = suspects
            .iter()
            .filter(|name| !is_reserved(&guard, name) && !reviewed.contains_key(*name))
            .collect();
        assert!(
            unseen.is_empty(),
            "review these, then add each to reserved_functions.toml or reviewed_functions.toml: {unseen:?}"
        );
        seen.extend(suspects);
    }
    for (name, reason) in &reviewed {
        // It is judged by rules of its own, which refuse the call without arguments.
        let is_special = name == "set_config";
        assert!(
            is_special || !is_reserved(&guard, name),
            "{name} is on both lists ({reason})"
        );
        assert!(
            count < 2 || seen.contains(name),
            "{name} is listed and on no server"
        );
    }
}

/// What runs text, leaves something behind or reaches out, by name: the list must not lose any of them.
#[test]
fn what_is_known_to_do_harm_is_reserved() {
    let guard = guard();
    for name in [
        "query_to_xml",
        "query_to_xml_and_xmlschema",
        "cursor_to_xml",
        "cursor_to_xmlschema",
        "table_to_xml",
        "schema_to_xml",
        "database_to_xml",
        "ts_stat",
        "ts_rewrite",
        "dblink",
        "dblink_exec",
        "crosstab",
        "connectby",
        "xpath_table",
        "pg_advisory_lock",
        "pg_try_advisory_lock",
        "pg_advisory_unlock",
        "lo_import",
        "lo_export",
        "lo_get",
        "lo_put",
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
        "pg_prepared_statement",
        "set_config",
    ] {
        assert!(is_reserved(&guard, name), "{name}");
    }
}

/// The guard's own list of keywords is the servers': one that is missing would be taken for an ordinary name.
#[test]
fn keywords_are_those_of_the_servers() {
    let normal = |word: &str| {
        let text = format!("SELECT {word}, \"{word}\"");
        let found =
            portcullis::guard::registrations(text.as_bytes(), &portcullis::guard::Limits::default()).unwrap();
        found[0].example.clone()
    };
    for postgres in servers() {
        let mut superuser: RawClient = postgres.superuser("postgres");
        for word in superuser.values("SELECT word FROM pg_get_keywords()") {
            // An unquoted keyword is told from the quoted name.
            assert_eq!(normal(&word), format!("select {word}, \"{word}\""));
        }
    }
    assert_eq!(normal("ordinary"), "select ordinary, ordinary");
}
