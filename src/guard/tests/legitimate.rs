//! What real applications and drivers send, and what the session is told about it.

use super::*;

#[test]
fn set_config_of_a_harmless_setting_ends_with_the_transaction() {
    let text = "SELECT current_setting('jit') AS cur, set_config('jit', 'off', FALSE) AS new";
    let script = judge_as("web", text).unwrap();
    assert_eq!(
        script.text(),
        "SELECT current_setting('jit') AS cur, set_config('jit', 'off', true ) AS new"
    );
    assert_eq!(script.statements()[0].sql(), script.text());
    assert_eq!(state("SELECT set_config('TimeZone', $1, true)"), "ok");
    assert_eq!(
        actions("SELECT 1 FROM t WHERE set_config('jit', 'off', false) = 'off'"),
        [Action::Query]
    );
}

#[test]
fn set_config_by_itself_is_kept() {
    for (text, kept) in [
        (
            "SELECT current_setting('jit') AS cur, set_config('jit', 'off', FALSE) AS new",
            vec!["jit"],
        ),
        ("SELECT set_config('TimeZone', $1, false)", vec!["timezone"]),
        (
            "select pg_catalog.set_config('lock_timeout', coalesce($1, '1s'), false) as a, \
             set_config('DateStyle', 'ISO', false), set_config('datestyle', 'ISO', false)",
            vec!["datestyle", "lock_timeout"],
        ),
        (
            "SELECT set_config('bytea_output','hex',false) FROM pg_show_all_settings() WHERE name = 'bytea_output'",
            vec!["bytea_output"],
        ),
        (
            "SELECT set_config('TimeZone', 'UTC', true), set_config('lock_timeout', '1s', false)",
            vec!["lock_timeout"],
        ),
    ] {
        let kept: Box<[Box<str>]> = kept.into_iter().map(Into::into).collect();
        assert_eq!(actions(text), [Action::SetConfig(kept)], "{text}");
    }
    assert_eq!(
        actions("SELECT set_config('TimeZone', 'UTC', true)"),
        [Action::Query]
    );
}

const LEGITIMATE: &str = r#"
        -- empty
        ;
         ; -- x⏎
        SELECT 1;
        TABLE t
        VALUES (1), (2)
        (SELECT 1) UNION (SELECT 2)
        SELECT role, set_config, session, "drop" FROM set_config AS role WHERE role.set_config = 'DROP TABLE'
        SELECT t.set_config FROM t
        SELECT l.lo_orderkey, l.http_status, app.log.http_method FROM lineorder l, app.log ORDER BY l.lo_tax
        SELECT x.http_status FROM (SELECT 200 AS http_status) x JOIN app.http_log h ON h.http_status = x.http_status
        SELECT * FROM a, app.http_log
        WITH r AS (SELECT 1 AS lo_tax) SELECT r.lo_tax FROM r
        UPDATE app.log SET http_status = 1 WHERE log.http_method = 'GET' RETURNING log.http_status
        INSERT INTO log (http_status) VALUES (1) ON CONFLICT (id) DO UPDATE SET http_status = excluded.http_status
        INSERT INTO log AS l (http_status) VALUES (1) RETURNING l.http_status
        DELETE FROM log USING app.hits h WHERE h.http_status = log.http_status
        SELECT o.http_status FROM log o, generate_series(1, 2) n
        INSERT INTO set_config (role, session) VALUES ('a', 'b')
        INSERT INTO public.lo_import (a) VALUES (1)
        COPY set_config (a) FROM STDIN
        SELECT 'SET ROLE x; DROP TABLE t' -- DROP⏎ /* CREATE /* x */ */
        SELECT $$DROP TABLE t; COMMIT$$
        SELECT U&'\0053ET', E'\'; DROP TABLE t; --'
        SELECT 1 AS into, x.into FROM x
        INSERT INTO t DEFAULT VALUES RETURNING *
        UPDATE t SET a[1] = 2 WHERE id = $1
        UPDATE ONLY t SET a = 1
        DELETE FROM t USING u WHERE t.a = u.a
        SELECT * FROM t FOR UPDATE OF t SKIP LOCKED
        SELECT * FROM t FOR NO KEY UPDATE
        INSERT INTO t VALUES (1) ON CONFLICT (a) WHERE b DO UPDATE SET a = 2
        INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (1)
        WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x
        MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)
        UPDATE t SET a = 1 WHERE CURRENT OF c
        SELECT a OPERATOR(pg_catalog.+) b FROM t
        SELECT 'a'⏎'b'
        SELECT (t).*, ROW(1).* FROM t
        SELECT create_table('x', cols => 'y')
        CALL p(1)
        SHOW search_path
        SHOW ALL
        SHOW TRANSACTION ISOLATION LEVEL
        SHOW TIME ZONE
        FETCH 10 FROM c
        MOVE ALL IN c
        CLOSE c
        DECLARE c NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 1
        SET CONSTRAINTS ALL DEFERRED
        COPY t TO STDOUT (FORMAT csv)
        COPY (VALUES (1)) TO STDOUT
        BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY
        START TRANSACTION READ WRITE DEFERRABLE
        SET TRANSACTION READ WRITE
        SET transaction_isolation = 'serializable'
        SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
        SET default_transaction_read_only = on
        SET default_transaction_isolation TO serializable
        SET LOCAL default_transaction_deferrable TO on
        SAVEPOINT a; RELEASE a; ROLLBACK TO SAVEPOINT a; COMMIT WORK; ROLLBACK AND NO CHAIN; END; ABORT
        SELECT pg_advisory_unlock_all();⏎CLOSE ALL;⏎UNLISTEN *;⏎RESET ALL;
        DISCARD ALL
        DEALLOCATE ALL
        SET client_encoding TO 'utf-8'
        SET NAMES 'UTF8'
        SET standard_conforming_strings = on
        RESET client_encoding
        SET extra_float_digits = 3
        SET DateStyle TO 'ISO, MDY'
        SET datestyle = iso, mdy
        SET SESSION timezone TO 'UTC'
        SET statement_timeout = '5s'
        SET LOCAL enable_seqscan TO off
        SET application_name = 'x'
        RESET statement_timeout
        SELECT * FROM pg_settings WHERE name = 'role'
        SELECT c.relname FROM pg_catalog.pg_class c
        SELECT current_setting('role'), current_user, set_masklen('1.2.3.4', 8)
        SELECT TREAT FROM t
        SELECT a.pg_notify FROM a
        SELECT 1 WHERE x IN (SELECT (1))
        "#;

#[test]
fn the_legitimate_passes() {
    all("ok", LEGITIMATE);
    for empty in ["", ";", " ; -- x\n", "/* */"] {
        let script = judge_as("web", empty).unwrap();
        assert!(script.statements().is_empty(), "{empty}");
    }
}

#[test]
fn each_statement_has_its_action() {
    use Action::*;
    for (text, wanted) in [
        ("SELECT 1", vec![Query]),
        ("COPY t FROM STDIN", vec![CopyIn]),
        ("CALL p()", vec![Call]),
        (
            "BEGIN; SET TRANSACTION READ ONLY; COMMIT AND CHAIN",
            vec![Begin, SetTransaction, Commit { chain: true }],
        ),
        ("ROLLBACK WORK AND CHAIN", vec![Rollback { chain: true }]),
        (
            "END TRANSACTION; ABORT",
            vec![Commit { chain: false }, Rollback { chain: false }],
        ),
        (
            "SAVEPOINT S; RELEASE SAVEPOINT \"S\"; ROLLBACK TO s",
            vec![Savepoint("s".into()), Release("S".into()), RollbackTo("s".into())],
        ),
        (
            "ROLLBACK TRANSACTION TO SAVEPOINT savepoint",
            vec![RollbackTo("savepoint".into())],
        ),
        ("SET LOCAL transaction_read_only = on", vec![SetTransaction]),
        (
            "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
            vec![Query, CloseAll, UnlistenAll, ResetAll],
        ),
        ("UNLISTEN c; UNLISTEN \"C\"", vec![UnlistenAll, UnlistenAll]),
        ("DISCARD ALL", vec![DiscardAll]),
        (
            "DEALLOCATE ALL; DEALLOCATE PREPARE ALL",
            vec![Deallocate(None), Deallocate(None)],
        ),
        (
            "DEALLOCATE \"All\"; DEALLOCATE prepare",
            vec![Deallocate(Some("All".into())), Deallocate(Some("prepare".into()))],
        ),
        (
            "SET SESSION TimeZone = 'UTC'",
            vec![Set(SetSetting {
                name: "timezone".into(),
                scope: SetScope::Session,
                value: SetValue::Assign("\"timezone\" TO 'UTC'".into()),
            })],
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            vec![SetDefaults(
                [SetSetting {
                    name: "default_transaction_read_only".into(),
                    scope: SetScope::Session,
                    value: SetValue::Assign("\"default_transaction_read_only\" TO 'on'".into()),
                }]
                .into(),
            )],
        ),
        (
            "RESET standard_conforming_strings",
            vec![Set(SetSetting {
                name: "standard_conforming_strings".into(),
                scope: SetScope::Session,
                value: SetValue::Assign("standard_conforming_strings TO on".into()),
            })],
        ),
    ] {
        assert_eq!(actions(text), wanted, "{text}");
    }
    let script = judge_as("web", " SELECT 1 -- a\n ; /* b */ TABLE t ").unwrap();
    let sql: Vec<&str> = script.statements().iter().map(Cleared::sql).collect();
    assert_eq!(sql, ["SELECT 1", "TABLE t"]);
}

#[test]
fn queries_that_only_set_settings_are_told_from_those_that_do_more() {
    let only = |text: &str| {
        let script = judge_as("web", text).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        script.statements()[0].only_sets().is_some()
    };
    for text in [
        "SELECT set_config('jit', 'off', false)",
        "SELECT current_setting('jit') AS cur, set_config('jit', 'off', FALSE) AS new",
        "select pg_catalog.set_config('TimeZone', $1, true);",
        "SELECT \"set_config\"('TimeZone', E'UTC', true) AS \"zone\"",
        "SELECT set_config('bytea_output','hex',false) FROM pg_show_all_settings() WHERE name = 'bytea_output'",
    ] {
        assert!(only(text), "{text}");
    }
    for text in [
        "SELECT current_setting('jit')",
        "SELECT set_config('jit', 'off', true) FROM todos",
        "SELECT set_config('jit', 'off', true) FROM pg_show_all_settings() WHERE name = title",
        "SELECT set_config('jit', 'off', true) FROM pg_show_all_settings() WHERE name = 'a' OR f()",
        "SELECT set_config('jit', (SELECT title FROM todos), true)",
        "SELECT set_config('jit', current_setting('x'), true)",
        "SELECT set_config('jit', lower('OFF'), true)",
        "SELECT set_config('jit', 'off', true), f()",
        "SELECT set_config('jit', 'off', true) || 'x'",
        "SELECT set_config('jit', 'off', true) WHERE f()",
        "SELECT set_config('jit', 'off'::text, true)",
        "SELECT (set_config('jit', 'off', true))",
        "WITH x AS (SELECT f()) SELECT set_config('jit', 'off', true)",
        "SELECT set_config('jit', 'off', true) UNION SELECT title FROM todos",
        "SELECT 1",
        "SELECT",
    ] {
        assert!(!only(text), "{text}");
    }
}
