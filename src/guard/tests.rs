//! Verdicts: attacks that must be refused, statements of real applications that must pass.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::base::SqlState;

/// One guard for all tests: making a cache takes longer than a verdict.
fn guard() -> &'static Guard {
    static GUARD: LazyLock<Guard> = LazyLock::new(|| Guard::new(settings()));
    &GUARD
}

fn settings() -> Settings {
    Settings {
        by_role: HashMap::from([
            ("admin".into(), "trusted".to_owned()),
            ("reader".into(), "read_only".to_owned()),
            ("lost".into(), "no such policy".to_owned()),
        ]),
        identity_settings: vec![
            "app.user_id".to_owned(),
            "App.Tenant_Id".to_owned(),
            "claims.*".to_owned(),
        ],
        ..Settings::default()
    }
}

fn judge_as(role: &str, text: &str) -> Result<Arc<Script>, Arc<Refusal>> {
    let guard = guard();
    guard.judge(&guard.policy_for(&role.into()), text.as_bytes())
}

/// The SQLSTATE an end user is refused with, or `ok`.
fn state(text: &str) -> String {
    state_as("web", text)
}

fn state_as(role: &str, text: &str) -> String {
    judge_as(role, text).map_or_else(|refusal| refusal.sqlstate.to_string(), |_| "ok".to_owned())
}

/// One statement a line; `⏎` and `␍` stand for the two line breaks inside one.
fn lines(texts: &str) -> Vec<&'static str> {
    let texts = texts.lines().map(str::trim).filter(|text| !text.is_empty());
    texts
        .map(|text| &*text.replace('⏎', "\n").replace('␍', "\r").leak())
        .collect()
}

fn all(wanted: &str, texts: &str) {
    for text in lines(texts) {
        assert_eq!(state(text), wanted, "{text}");
    }
}

fn actions(text: &str) -> Vec<Action> {
    let script = judge_as("web", text).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
    script
        .statements()
        .iter()
        .map(|cleared| cleared.action().clone())
        .collect()
}

#[test]
fn changing_who_one_is() {
    all(
        "42501",
        r#"
        SET ROLE service_role
        set local role x
        SET SESSION ROLE x
        SET role TO x
        SET "ROLE" = x
        SET U&"rol\0065" = x
        SET U&"rol!0065" UESCAPE '!' = x
        RESET ROLE
        SET ROLE NONE
        SET role TO DEFAULT
        SET/**/ROLE/**/x
        SET SESSION AUTHORIZATION x
        RESET SESSION AUTHORIZATION
        SET LOCAL SESSION AUTHORIZATION DEFAULT
        SET session_authorization = x
        SET app.user_id = '1'
        SET LOCAL APP."Tenant_ID" TO 'b'
        SET "app".tenant_id TO b
        RESET app.user_id
        SET app.tenant_id TO DEFAULT
        SET claims.sub = 'x'
        SET app.is_admin = on
        SET request.jwt.claims = '{}'
        SET a.b.c = 1
        SELECT 1; COMMIT; SET ROLE service_role; SELECT * FROM secrets
        SELECT E'a'⏎'\''; COMMIT; SET ROLE service_role; SELECT secret FROM app.secrets -- '
        "#,
    );
}

#[test]
fn a_continued_escape_string_hides_nothing() {
    // The server reads one string up to the quote after the dashes' comment starts: here it is two literals.
    let text = "SELECT E'a'\n'\\''; COMMIT; SET ROLE service_role; SELECT secret FROM app.secrets -- '";
    assert_eq!(state(text), "42501");
    let text = "SELECT E'a'\r-- c\n'\\'; SET ROLE x; -- ' FROM t";
    assert_eq!(judge_as("web", text).unwrap().statements().len(), 1);
}

#[test]
fn set_config_in_every_spelling_and_position() {
    all(
        "42501",
        r#"
        SELECT set_config('role', 'x', true)
        SELECT SET_CONFIG ('role','x',true)
        SELECT set_config/* */('role','x',true)
        SELECT set_config -- x⏎ ('role','x',true)
        SELECT "set_config"('role','x',true)
        SELECT pg_catalog.set_config('role','x',true)
        SELECT "pg_catalog"."set_config"('role','x',true)
        SELECT db.pg_catalog.set_config('role','x',true)
        SELECT U&"set\005fconfig"('role','service_role',true)
        SELECT U&"set!005fconfig" UESCAPE '!' ('role','x',true)
        SELECT set_config('ro'||'le','x',true)
        SELECT set_config(E'\x72ole','x',true)
        SELECT set_config(U&'\0072ole','x',true)
        SELECT set_config($1,$2,true)
        SELECT set_config('ROLE','x',true)
        SELECT set_config('app.user_id','x',true)
        SELECT * FROM set_config('role','x',true)
        SELECT * FROM ROWS FROM (set_config('role','x',true))
        SELECT * FROM t, LATERAL set_config('role','x',true)
        SELECT 1 ORDER BY set_config('role','x',true)
        SELECT 1 LIMIT set_config('a','1',true)::int
        INSERT INTO t VALUES (1) RETURNING set_config('role','x',true)
        SELECT count(*) FILTER (WHERE set_config('role','x',true) = '') FROM t
        INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = set_config('role','x',true)
        MERGE INTO t USING s ON true WHEN MATCHED AND set_config('role','x',true) = '' THEN DELETE
        COPY (SELECT set_config('role','x',true)) TO STDOUT
        COPY t FROM STDIN WHERE set_config('role','x',true) = ''
        DECLARE c CURSOR FOR SELECT set_config('role','x',true)
        CALL p(set_config('role','x',true))
        WITH x AS (SELECT set_config('role','x',true)) SELECT * FROM x
        SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS b text DEFAULT set_config('role','x',true))
        SELECT set_config(name => 'role')
        SELECT set_config('jit', 'off', true, set_config('role','x',true))
        SELECT set_config('standard_conforming_strings', 'off', true)
        SELECT set_config('client_encoding','SJIS',true)
        SELECT set_config('search_path', 'x', true)
        SELECT set_config('jit'⏎'role', 'x', true)
        "#,
    );
    all(
        "0A000",
        r#"
        SELECT set_config('TimeZone', 'UTC', false)
        SELECT set_config('jit', 'off', "true")
        "#,
    );
    let nested = "SELECT set_config('jit', set_config('role','x',true), true)";
    assert_eq!(state(nested), "42501");
}

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
}

#[test]
fn functions_are_called_in_more_ways_than_one() {
    all(
        "0A000",
        r#"
        SELECT pg_advisory_lock(1)
        SELECT 1 FROM t WHERE pg_try_advisory_lock(id)
        SELECT (1::bigint).pg_advisory_lock
        SELECT ('{1}'::int8[])[1].pg_advisory_lock
        SELECT $1.pg_advisory_lock
        SELECT TREAT(1::bigint AS pg_advisory_lock)
        SELECT treat (1 AS "pg_advisory_lock")
        SELECT U&"pg\005fadvisory_lock"(1)
        SELECT pg_advisory_unlock_all() FROM t
        SELECT pg_advisory_unlock(1)
        "#,
    );
    all(
        "42501",
        r#"
        SELECT query_to_xml('select 1', true, true, '')
        SELECT * FROM ts_stat('SELECT 1')
        SELECT ('SELECT 1'::text).ts_stat
        SELECT ts_rewrite(a, 'SELECT 1')
        SELECT dblink('x', 'y')
        SELECT * FROM crosstab('x') AS t(a int)
        SELECT lo_import('/etc/passwd')
        SELECT lo_get(1)
        SELECT setval('s', 1)
        SELECT pg_notify('c', 'x')
        SELECT pg_read_file('/etc/passwd')
        SELECT pg_ls_dir('.')
        SELECT pg_terminate_backend(1)
        SELECT pg_logical_emit_message(true, 'a', 'b')
        SELECT pg_export_snapshot()
        SELECT setseed(0.1)
        SELECT cursor_to_xml('c', 1, true, true, '')
        SELECT * FROM pg_prepared_statements
        SELECT * FROM pg_catalog.pg_cursors
        SELECT * FROM "pg_prepared_statements"
        TABLE pg_cursors
        "#,
    );
    all(
        "ok",
        r#"
        SELECT pg_advisory_xact_lock(1)
        SELECT ts_rewrite(a, b, c) FROM t
        SELECT pg_sleep(1)
        SELECT pg_advisory_unlock_all()
        SELECT pg_catalog.pg_advisory_unlock_all();
        SELECT currval('s'), nextval('s')
        "#,
    );
}

#[test]
fn ddl_in_any_disguise() {
    all(
        "42501",
        r#"
        DROP TABLE t
        ALTER ROLE authenticated SET x = 1
        CREATE TABLE t (a int)
        CREATE TABLE t AS SELECT 1
        SELECT * INTO t FROM u
        SELECT insert INTO t FROM u
        WITH x AS (SELECT 1) SELECT * INTO t FROM x
        INSERT INTO t SELECT 1 INTO u
        EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1
        TRUNCATE t
        GRANT ALL ON t TO x
        COMMENT ON TABLE t IS 'x'
        DO $$BEGIN COMMIT; END$$
        LOAD 'x'
        LOCK TABLE t
        NOTIFY c
        VACUUM
        ANALYZE t
        REINDEX TABLE t
        CLUSTER t
        CHECKPOINT
        REFRESH MATERIALIZED VIEW v
        REASSIGN OWNED BY a TO b
        SECURITY LABEL ON TABLE t IS 'x'
        IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y
        DISCARD PLANS
        DISCARD TEMP
        COPY t FROM '/etc/passwd'
        COPY t TO PROGRAM 'sh'
        COPY (SELECT 1) TO '/tmp/x'
        REVOKE ALL ON t FROM x
        EXPLAIN SELECT 1
        EXPLAIN (ANALYZE) SELECT 1
        SET TRANSACTION SNAPSHOT 'x'
        /* SELECT */ DROP TABLE t
        -- SELECT⏎DROP TABLE t
        SELECT 1; DROP TABLE t
        UPDATE pg_settings SET setting = 'x' WHERE name = 'search_path'
        UPDATE pg_catalog.pg_settings SET setting = ''
        UPDATE ONLY "pg_catalog".pg_settings SET setting = ''
        DELETE FROM pg_class
        INSERT INTO pg_catalog.pg_class VALUES (1)
        MERGE INTO pg_settings USING t ON true WHEN MATCHED THEN DELETE
        COPY pg_settings FROM STDIN
        WITH x AS (UPDATE pg_settings SET setting = '' RETURNING *) SELECT * FROM x
        UPDATE U&"pg\005fsettings" SET setting = ''
        UPDATE ONLY (pg_settings) SET setting = ''
        "#,
    );
}

#[test]
fn what_transaction_pooling_cannot_keep() {
    let texts = lines(
        r#"
        LISTEN c
        UNLISTEN c
        PREPARE p AS SELECT 1
        EXECUTE p
        CREATE TEMP TABLE t (a int)
        CREATE LOCAL TEMPORARY VIEW v AS SELECT 1
        SELECT 1 INTO TEMP t
        SELECT 1 INTO TEMPORARY TABLE t
        CREATE TABLE pg_temp.t (a int)
        CREATE OR REPLACE TEMP VIEW v AS SELECT 1
        DECLARE c CURSOR WITH HOLD FOR SELECT 1
        DECLARE c SCROLL CURSOR WITH /* */ HOLD FOR SELECT 1
        PREPARE TRANSACTION 'x'
        COMMIT PREPARED 'x'
        ROLLBACK PREPARED 'x'
        SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
        SET default_transaction_read_only = on
        SET default_transaction_isolation TO serializable
        SELECT pg_advisory_lock(1)
        "#,
    );
    for text in texts {
        for role in ["web", "admin"] {
            let refusal = judge_as(role, text).expect_err(text);
            assert_eq!(
                refusal.sqlstate,
                SqlState::FEATURE_NOT_SUPPORTED,
                "{role}: {text}"
            );
            assert!(refusal.hint.is_some(), "{text}");
        }
    }
    assert_eq!(
        state_as("admin", "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1"),
        "0A000"
    );
}

#[test]
fn text_that_cannot_be_read() {
    let guard = guard();
    let policy = guard.policy_for(&"web".into());
    for (text, state) in [
        (&b"SELECT '\xff'"[..], SqlState::CHARACTER_NOT_IN_REPERTOIRE),
        (b"SELECT '\xc0\xaf'", SqlState::CHARACTER_NOT_IN_REPERTOIRE),
        (b"SELECT '\xed\xa0\x80'", SqlState::CHARACTER_NOT_IN_REPERTOIRE),
        (b"SELECT 1\0; DROP TABLE t", SqlState::CHARACTER_NOT_IN_REPERTOIRE),
        (b"SELECT 'x", SqlState::SYNTAX_ERROR),
        (b"SELECT $$x", SqlState::SYNTAX_ERROR),
        (b"SELEKT 1", SqlState::SYNTAX_ERROR),
        (b"SELECT (1; DROP TABLE t)", SqlState::SYNTAX_ERROR),
        (b"COMMIT AND", SqlState::SYNTAX_ERROR),
        (b"BEGIN FOO", SqlState::SYNTAX_ERROR),
        (b"WITH x AS (SELECT 1)", SqlState::SYNTAX_ERROR),
    ] {
        let refusal = guard
            .judge(&policy, text)
            .expect_err(&String::from_utf8_lossy(text));
        assert_eq!(refusal.sqlstate, state, "{}", String::from_utf8_lossy(text));
    }
    let refusal = judge_as("web", "SELECT 'é'; DROP TABLE t").unwrap_err();
    assert_eq!(
        (refusal.position, refusal.class, refusal.rule),
        (Some(13), StatementClass::Drop, "statement.trusted")
    );
    assert_eq!(refusal.sqlstate, SqlState::INSUFFICIENT_PRIVILEGE);
    assert!(refusal.hint.is_some());
}

#[test]
fn the_legitimate_passes() {
    all(
        "ok",
        r#"
        -- empty
        ;
         ; -- x⏎
        SELECT 1;
        TABLE t
        VALUES (1), (2)
        (SELECT 1) UNION (SELECT 2)
        SELECT role, set_config, session, "drop" FROM set_config AS role WHERE role.set_config = 'DROP TABLE'
        SELECT t.set_config FROM t
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
        "#,
    );
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
            "SAVEPOINT s; RELEASE SAVEPOINT s; ROLLBACK TO s",
            vec![Savepoint, Release, RollbackTo],
        ),
        ("ROLLBACK TRANSACTION TO SAVEPOINT s", vec![RollbackTo]),
        ("SET LOCAL transaction_read_only = on", vec![SetTransaction]),
        (
            "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
            vec![Query, CloseAll, UnlistenAll, ResetAll],
        ),
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
fn settings_that_are_not_the_sessions_to_change() {
    all(
        "42501",
        r#"
        SET search_path TO x
        SET SCHEMA 'x'
        SET row_security = off
        SET session_replication_role = replica
        SET standard_conforming_strings = off
        SET client_encoding = 'SJIS'
        SET NAMES 'latin1'
        SET work_mem = '4GB'
        SET transform_null_equals = on
        SET backslash_quote = on
        SET default_tablespace = x
        SET local = 1
        "#,
    );
    all(
        "42601",
        r#"
        SET a TO (SELECT 1)
        SET a
        SET timezone TO 'UTC' FROM CURRENT
        RESET
        "#,
    );
}

#[test]
fn trusted_roles_may_do_what_can_work() {
    for text in lines(
        r#"
        CREATE TABLE t (a int)
        DO $$BEGIN END$$
        GRANT EXECUTE ON FUNCTION set_config(text, text, bool) TO x
        UPDATE pg_settings SET setting = ''
        SELECT lo_get(1)
        EXPLAIN ANALYZE SELECT 1
        NOTIFY c
        VACUUM
        LOCK t
        SET search_path TO x
        SET work_mem = '1GB'
        SET my.own = 1
        CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)
        COPY t FROM '/x'
        EXPLAIN CREATE TABLE t AS SELECT 1
        TRUNCATE t
        CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 1
        "#,
    ) {
        assert_eq!(state_as("admin", text), "ok", "{text}");
    }
    for text in lines(
        r#"
        SET ROLE x
        RESET ROLE
        SET SESSION AUTHORIZATION x
        SET app.user_id = 1
        SET standard_conforming_strings = off
        SELECT set_config('role', 'x', true)
        SELECT set_config($1, 'x', true)
        "#,
    ) {
        assert_eq!(state_as("admin", text), "42501", "{text}");
    }
    let utility = |text: &str| judge_as("admin", text).unwrap().statements()[0].action() == &Action::Utility;
    for text in lines(
        r#"
        VACUUM FULL t
        CREATE DATABASE x
        DROP DATABASE x
        CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)
        REINDEX (VERBOSE) DATABASE x
        ALTER SYSTEM SET a = 1
        CLUSTER
        DROP INDEX CONCURRENTLY i
        "#,
    ) {
        assert!(utility(text), "{text}");
    }
    for text in lines(
        r#"
        CREATE INDEX i ON t (a)
        REINDEX TABLE t
        CLUSTER t
        ALTER DATABASE x SET a = 1
        "#,
    ) {
        assert!(!utility(text), "{text}");
    }
    assert_eq!(state_as("admin", "SELECT 1; VACUUM"), "0A000");
}

#[test]
fn policies_narrow_what_passes() {
    for text in lines(
        r#"
        INSERT INTO t VALUES (1)
        WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x
        CALL p()
        SELECT nextval('s')
        COPY t FROM STDIN
        EXPLAIN DELETE FROM t
        COPY (INSERT INTO t VALUES (1) RETURNING *) TO STDOUT
        EXPLAIN (ANALYZE false) SELECT 1
        DECLARE c CURSOR FOR UPDATE t SET a = 1 RETURNING *
        "#,
    ) {
        assert_eq!(state_as("reader", text), "42501", "{text}");
    }
    for text in lines(
        r#"
        SELECT update, delete FROM t
        EXPLAIN (VERBOSE, COSTS off) SELECT 1
        EXPLAIN VERBOSE TABLE t
        EXPLAIN (SELECT 1)
        "#,
    ) {
        assert_eq!(state_as("reader", text), "ok", "{text}");
    }
    assert_eq!(state_as("lost", "SELECT 1"), "42501");
    assert_eq!(state_as("lost", "ROLLBACK"), "ok");
}

#[test]
fn denied_relations_are_told_from_columns_where_the_grammar_helps() {
    let policy = Policy::parse(
        "name = 'p'\nstatements = ['SELECT', 'INSERT', 'COPY TO']\ndenied_relations = ['secrets', 'app.keys']\n\
         denied_schemas = ['private']\ndenied_functions = ['pg_sleep*', 'app.danger']",
    )
    .unwrap();
    let guard = Guard::new(Settings {
        policies: vec![policy],
        default_policy: "p".into(),
        ..Settings::default()
    });
    let passes = |text: &str| {
        guard
            .judge(&guard.policy_for(&"x".into()), text.as_bytes())
            .is_ok()
    };
    for text in lines(
        r#"
        SELECT * FROM secrets
        TABLE secrets
        SELECT * FROM a, secrets
        SELECT * FROM "secrets"
        SELECT * FROM x.secrets
        SELECT * FROM app.keys
        SELECT * FROM keys
        SELECT * FROM private.t
        SELECT private.f()
        SELECT pg_sleep_for('1s')
        SELECT app.danger()
        SELECT danger()
        INSERT INTO t SELECT * FROM u JOIN secrets USING (a)
        COPY secrets TO STDOUT
        SELECT (SELECT 1 FROM a NATURAL JOIN secrets)
        SELECT a[1:2], secrets FROM t FOR UPDATE OF t, u !!
        "#,
    ) {
        assert!(!passes(text), "{text}");
    }
    for text in lines(
        r#"
        SELECT secrets FROM t
        SELECT t.secrets AS keys FROM t
        SELECT * FROM other.keys
        SELECT other.danger()
        "#,
    ) {
        assert!(passes(text), "{text}");
    }
}

#[test]
fn large_and_deep_texts_are_bounded() {
    let parens = format!("SELECT {}1{}", "(".repeat(200_000), ")".repeat(200_000));
    assert_eq!(state(&parens), "54001");
    assert_eq!(state(&("/*".repeat(50_000) + &"*/".repeat(50_000))), "54001");
    assert_eq!(state(&format!("SELECT '{}'", "x".repeat(5 << 20))), "ok");
    assert_eq!(state(&";".repeat(500_000)), "ok");
    assert_eq!(state(&"SELECT 1;".repeat(20_000)), "54000");
    assert_eq!(state(&format!("SELECT {}1", "NOT ".repeat(100_000))), "ok");
    assert_eq!(state(&format!("SELECT {}1", "- ".repeat(100_000))), "ok");
    assert_eq!(
        state(&format!("SELECT a FROM t WHERE a IN ({}1)", "1, ".repeat(1_000))),
        "ok"
    );
    assert_eq!(state(&format!("SELECT 1{}", " || 'x'".repeat(150))), "ok");
    assert_eq!(
        state(&format!("SELECT {}1{}", "(SELECT ".repeat(20), ")".repeat(20))),
        "ok"
    );
    assert_eq!(
        state(&format!("SELECT {}1{}", "(".repeat(50), ")".repeat(50))),
        "ok"
    );
    let guard = Guard::new(Settings {
        limits: Limits {
            text_bytes: 10,
            ..Limits::default()
        },
        ..Settings::default()
    });
    let refusal = guard
        .judge(&guard.policy_for(&"x".into()), b"SELECT 12345")
        .unwrap_err();
    assert_eq!(refusal.sqlstate, SqlState::PROGRAM_LIMIT_EXCEEDED);
}

#[test]
fn verdicts_are_cached_by_policy_and_text() {
    let guard = guard();
    let (web, admin) = (guard.policy_for(&"web".into()), guard.policy_for(&"admin".into()));
    let first = guard.judge(&web, b"SELECT 1").unwrap();
    assert!(Arc::ptr_eq(&first, &guard.judge(&web, b"SELECT 1").unwrap()));
    assert!(!Arc::ptr_eq(&first, &guard.judge(&admin, b"SELECT 1").unwrap()));
    let refused = guard.judge(&web, b"VACUUM").unwrap_err();
    assert!(Arc::ptr_eq(&refused, &guard.judge(&web, b"VACUUM").unwrap_err()));
    assert!(guard.judge(&admin, b"VACUUM").is_ok());
    let uncached = Guard::new(Settings {
        cache_bytes: 0,
        ..Settings::default()
    });
    let policy = uncached.policy_for(&"x".into());
    assert!(!Arc::ptr_eq(
        &uncached.judge(&policy, b"SELECT 1").unwrap(),
        &uncached.judge(&policy, b"SELECT 1").unwrap()
    ));
}

/// Statements made of the words the rules look for.
fn word_salad() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "SELECT",
        "INTO",
        "INSERT",
        "UPDATE",
        "DELETE",
        "MERGE",
        "WITH",
        "AS",
        "(",
        ")",
        "FROM",
        "SET",
        "ROLE",
        "TO",
        "=",
        "DEFAULT",
        "RESET",
        "COPY",
        "STDIN",
        "EXPLAIN",
        "ANALYZE",
        "DECLARE",
        "CURSOR",
        "FOR",
        "HOLD",
        "CREATE",
        "TEMP",
        "TABLE",
        "VALUES",
        ",",
        ".",
        ";",
        "set_config",
        "'jit'",
        "true",
        "t",
        "$1",
        "1",
        "TREAT",
        "pg_advisory_lock",
        "BEGIN",
        "COMMIT",
        "AND",
        "CHAIN",
        "SESSION",
        "LOCAL",
        "TIME",
        "ZONE",
        "TRANSACTION",
        "ISOLATION",
        "LEVEL",
        "ONLY",
        "*",
        "DEALLOCATE",
        "ALL",
        "U&\"a\"",
        "'x'",
    ];
    proptest::collection::vec(proptest::sample::select(WORDS), 0..16).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Nothing panics, and what is allowed is made of the text's own statements in order.
    #[test]
    fn any_text_gets_a_verdict(text in prop_oneof![any::<String>(), word_salad()]) {
        for role in ["web", "admin", "reader"] {
            match judge_as(role, &text) {
                Ok(script) => {
                    prop_assert_eq!(script.text().len(), text.len());
                    let mut rest = script.text();
                    for cleared in script.statements() {
                        let at = rest.find(cleared.sql());
                        prop_assert!(at.is_some() && !cleared.sql().is_empty());
                        rest = &rest[at.unwrap_or(0) + cleared.sql().len()..];
                    }
                }
                Err(refusal) => prop_assert!(!refusal.message.is_empty()),
            }
        }
    }

    /// An end user never gets a word that makes it someone else, whatever stands around it.
    #[test]
    fn no_allowed_statement_calls_a_reserved_function(before in word_salad(), after in word_salad()) {
        let text = format!("{before} set_config ( 'role' , 'x' , true ) {after}");
        prop_assert!(judge_as("web", &text).is_err());
    }

    #[test]
    fn any_bytes_get_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let guard = guard();
        let _ = guard.judge(&guard.policy_for(&"web".into()), &bytes);
    }
}
