//! Nobody sees who else is there: not what they are called, not what they do, not what they wait for.

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{bind, execute, parse, sync};
use crate::{MODES, VERSIONS};

/// Each in the place of a relation.
const VIEWS: [&str; 14] = [
    "pg_stat_activity",
    "pg_catalog.pg_stat_activity",
    "\"pg_stat_activity\"",
    "U&\"pg_stat\\005factivity\"",
    "PG_STAT_ACTIVITY",
    "pg_stat_get_activity(NULL)",
    "pg_stat_get_activity(pg_backend_pid() + 0)",
    "pg_stat_get_activity((SELECT pg_backend_pid()))",
    "pg_stat_ssl",
    "pg_stat_gssapi",
    "pg_stat_replication",
    "pg_stat_progress_vacuum",
    "pg_locks",
    "pg_lock_status()",
];

/// By the statistics of one server process, and by what waits for whom.
const CALLS: [&str; 7] = [
    "SELECT pg_stat_get_backend_activity(id) FROM pg_stat_get_backend_idset() id",
    "SELECT g.pg_stat_get_backend_pid FROM generate_series(1, 20) g",
    "SELECT (1).pg_stat_get_backend_userid",
    "SELECT pg_blocking_pids(pg_backend_pid())",
    "SELECT * FROM pg_stat_get_progress_info('VACUUM')",
    "SELECT * FROM pg_stat_get_wal_senders()",
    "SELECT pg_catalog.\"pg_stat_get_backend_client_addr\"(1)",
];

#[test]
fn nobody_sees_who_else_is_there() {
    for (postgres, mode) in VERSIONS
        .into_iter()
        .flat_map(|version| MODES.map(|mode| (version, mode)))
    {
        let options = StackOptions {
            postgres,
            ..StackOptions::pool(2).with(&format!(
                "[pool]\npool_mode = '{mode}'\napplication_name_add_principal = true"
            ))
        };
        let Some(stack) = Stack::try_start(&options) else {
            continue;
        };
        let mut other = stack.login(&bob());
        other.values("BEGIN");
        other.values("SELECT 'of bob'");
        let mut client = stack.login(&alice());
        for view in VIEWS {
            for sql in [
                format!("SELECT * FROM {view}"),
                format!("SELECT count(*) FROM todos, LATERAL (SELECT * FROM {view}) x"),
                format!("WITH x AS (SELECT * FROM {view}) SELECT * FROM x"),
                format!("COPY (SELECT * FROM {view}) TO STDOUT"),
                format!("PREPARE p AS SELECT * FROM {view}"),
                format!("BEGIN; DECLARE c CURSOR FOR SELECT * FROM {view}; FETCH ALL c; COMMIT"),
            ] {
                assert_eq!(client.sqlstate(&sql), "42501", "{sql}");
                client.values("ROLLBACK");
            }
            let batch = [
                parse("", &format!("SELECT * FROM {view} WHERE $1::int = 1"), &[]),
                bind("", "", &[Some(b"1")]),
                execute("", 0),
                sync(),
            ];
            client.send(&batch.concat());
            let frames = client.until_ready();
            assert!(frames.iter().all(|frame| frame.tag != b'D'), "{view}");
        }
        for sql in ["TABLE pg_locks", "TABLE pg_catalog.pg_stat_activity"]
            .into_iter()
            .chain(CALLS)
        {
            assert_eq!(client.sqlstate(sql), "42501", "{sql}");
        }
        // Of one's own session there is a way, unless the database keeps that to itself as well.
        let own = "SELECT concat_ws('|', count(*), max(application_name), max(pid) = pg_backend_pid()) \
                   FROM pg_stat_get_activity(pg_backend_pid())";
        if std::env::var_os("PORTCULLIS_TEST_HARDENED").is_some() {
            assert_eq!(client.sqlstate(own), "42501");
        } else {
            assert_eq!(client.value(own), "1|alice|t");
        }
        // Who administers sees everybody.
        let token = alice().token_with(&[("role", "service_role".into()), ("tenant", ().into())]);
        let mut service = stack
            .try_login(&token, "acme")
            .unwrap_or_else(|why| panic!("{}", why.describe()));
        let seen = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bob'";
        assert_eq!(service.value(seen), "1");
        other.values("COMMIT");
    }
}
