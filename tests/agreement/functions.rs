//! Every function of the servers that could reach around a policy has been looked at: it is reserved, or it is on
//! the list of those that were found harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use toml::Table;

use crate::support::postgres::Postgres;
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

/// The same of every extension that is there, and besides whatever is code of its own that SQL calls by name alone: an
/// operator, cast, type or aggregate has no more to it than its arguments.
const SUSPECTS_OF_EXTENSIONS: &str = "
    SELECT DISTINCT proname::text FROM pg_proc p
    JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_language l ON l.oid = p.prolang
    WHERE prokind IN ('f', 'p') AND NOT prorettype::regtype::text = ANY ('{trigger,event_trigger,internal}')
      AND NOT 'internal'::regtype = ANY (proargtypes::oid[])
      AND (provolatile = 'v' OR NOT has_function_privilege('public', p.oid, 'EXECUTE') OR prosecdef
           OR EXISTS (SELECT FROM unnest(proargnames) AS name WHERE name ~ '(query|sql|command|statement)')
           OR (l.lanname = 'c'
               AND NOT EXISTS (SELECT FROM pg_operator WHERE p.oid IN (oprcode, oprrest, oprjoin))
               AND NOT EXISTS (SELECT FROM pg_amproc WHERE amproc = p.oid)
               AND NOT EXISTS (SELECT FROM pg_cast WHERE castfunc = p.oid)
               AND NOT EXISTS (SELECT FROM pg_type WHERE p.oid IN (typinput, typoutput, typreceive, typsend, typmodin,
                    typmodout, typanalyze))
               AND NOT EXISTS (SELECT FROM pg_aggregate WHERE p.oid IN (aggtransfn, aggfinalfn, aggcombinefn))))
    ORDER BY 1";

/// A database with every extension that can be installed on this server; how many those are.
fn with_extensions(postgres: &Postgres) -> (RawClient, usize) {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock();
    let mut postgres_database = postgres.superuser("postgres");
    if postgres_database
        .values("SELECT datname FROM pg_database WHERE datname = 'extensions'")
        .is_empty()
    {
        postgres_database.values("CREATE DATABASE extensions");
    }
    let mut client = postgres.superuser("extensions");
    let names = client.values("SELECT name FROM pg_available_extensions ORDER BY 1");
    for name in &names {
        // Some languages are packaged without what they need: those nobody can use, either.
        let _ = client.query(&format!("CREATE EXTENSION IF NOT EXISTS \"{name}\" CASCADE"));
    }
    let count = client.value("SELECT count(*) FROM pg_extension").parse().unwrap();
    (client, count)
}

fn is_reserved(guard: &portcullis::guard::Guard, name: &str) -> bool {
    // With an argument: pg_advisory_unlock_all() alone is answered, as drivers send it.
    let call = format!("SELECT \"{name}\"(1)");
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
    let (mut count, mut few_extensions) = (0, false);
    for postgres in servers() {
        count += 1;
        let mut suspects = postgres.superuser("postgres").values(SUSPECTS);
        assert!(suspects.len() > 150, "{}", suspects.len());
        let (mut client, extensions) = with_extensions(postgres);
        let more = client.values(SUSPECTS_OF_EXTENSIONS);
        // A bare server brings next to none.
        assert!(
            extensions < 40 || more.len() > 200,
            "{extensions}: {}",
            more.len()
        );
        few_extensions |= extensions < 40;
        suspects.extend(more);
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
            count < 2 || few_extensions || seen.contains(name),
            "{name} is listed and on no server"
        );
    }
}

/// What a view or a function of a server's own, or of an extension's, gives to everybody is no way around the list.
#[test]
fn nothing_that_all_may_use_wraps_what_is_reserved() {
    let guard = guard();
    for postgres in servers() {
        let (mut client, _) = with_extensions(postgres);
        let views = client.values(VIEWS);
        assert!(views.len() > 100, "{}", views.len());
        let mut through = BTreeMap::new();
        for line in &views {
            let (view, names) = line.split_once('|').unwrap();
            let reached = names.split(',').filter(|name| !name.is_empty());
            let reserved: Vec<&str> = reached.filter(|name| is_reserved(&guard, name)).collect();
            let read = judge(&guard, "end_user", &format!("SELECT * FROM {view}"));
            if !reserved.is_empty() && read.is_ok() {
                through.insert(view, reserved);
            }
        }
        assert!(
            through.is_empty(),
            "reserve these relations as well: {through:#?}"
        );
        let functions = client.values(WRITTEN_FUNCTIONS);
        for line in &functions {
            let (name, text) = line.split_once('|').unwrap();
            let called = text.split('(').filter_map(|before| {
                before
                    .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .next()
            });
            for callee in called.filter(|callee| !callee.is_empty() && *callee != name) {
                assert!(
                    !is_reserved(&guard, callee) || is_reserved(&guard, name) || WRAPPERS.contains(&name),
                    "{name} calls {callee}"
                );
            }
        }
    }
}

/// Functions in SQL that call what is reserved, and may.
const WRAPPERS: &[&str] = &[];

/// Views that everybody may read, each with the functions that it calls, also through other views: their numbers are
/// in the rule's tree (`_outFuncExpr` and its kin, outfuncs.funcs.c). The dependencies do not have the server's own.
const VIEWS: &str = "
    WITH RECURSIVE tree AS (SELECT w.ev_class, w.ev_action::text AS text FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class
        WHERE c.relkind = 'v' AND w.ev_type = '1'),
    calls AS (SELECT ev_class, (regexp_matches(text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g'))[1]::oid AS func FROM tree),
    reads AS (SELECT ev_class, (regexp_matches(text, ':relid (\\d+)', 'g'))[1]::oid AS rel FROM tree),
    reach AS (SELECT ev_class, ev_class AS rel FROM tree
        UNION SELECT reach.ev_class, reads.rel FROM reach JOIN reads ON reads.ev_class = reach.rel)
    SELECT r.ev_class::regclass || '|' || coalesce(string_agg(DISTINCT p.proname, ','), '')
    FROM reach r LEFT JOIN calls c ON c.ev_class = r.rel LEFT JOIN pg_proc p ON p.oid = c.func
    WHERE has_table_privilege('public', r.ev_class, 'SELECT') OR has_any_column_privilege('public', r.ev_class, 'SELECT')
    GROUP BY r.ev_class";

/// Functions in SQL or PL/pgSQL that everybody may call, with their text.
const WRITTEN_FUNCTIONS: &str = "
    SELECT p.proname || '|' || translate(coalesce(pg_get_function_sqlbody(p.oid), prosrc), chr(10) || '|', '  ')
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE l.lanname IN ('sql', 'plpgsql') AND has_function_privilege('public', p.oid, 'EXECUTE')";

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
        "isn_weak",
        "set_limit",
        "unschedule",
        "put_line",
        "pgv_set",
        "hypopg_create_index",
        "set_system_time",
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
