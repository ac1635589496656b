//! Attacks, each by the text that carries it.

use super::*;

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
        SELECT 1 FROM t WHERE set_config('TimeZone', 'UTC', false) = ''
        SELECT 1 FROM t, set_config('TimeZone', 'UTC', false)
        SELECT 1 WHERE false UNION SELECT set_config('TimeZone', 'UTC', false)
        SELECT 1 FROM t ORDER BY 1, set_config('TimeZone', 'UTC', false)
        SELECT DISTINCT set_config('TimeZone', 'UTC', false)
        SELECT CASE WHEN true THEN 1 ELSE 2 END, set_config('TimeZone', 'UTC', false)
        SELECT coalesce(a, set_config('TimeZone', 'UTC', false))
        SELECT (SELECT set_config('TimeZone', 'UTC', false))
        SELECT ARRAY[1, set_config('TimeZone', 'UTC', false)]
        (SELECT set_config('TimeZone', 'UTC', false))
        VALUES (set_config('TimeZone', 'UTC', false))
        WITH a AS (SELECT 1) SELECT set_config('TimeZone', 'UTC', false)
        WITH a AS (SELECT set_config('TimeZone', 'UTC', false)) SELECT 1
        INSERT INTO t SELECT set_config('TimeZone', 'UTC', false)
        INSERT INTO t VALUES (1) RETURNING set_config('TimeZone', 'UTC', false)
        COPY (SELECT set_config('TimeZone', 'UTC', false)) TO STDOUT
        DECLARE c CURSOR FOR SELECT set_config('TimeZone', 'UTC', false)
        CALL p(set_config('TimeZone', 'UTC', false))
        SELECT set_config('TimeZone', 'UTC', $1)
        SELECT set_config('TimeZone', 'UTC', 'false')
        SELECT set_config('TimeZone', 'UTC', "false")
        SELECT set_config('jit', 'off', "true")
        "#,
    );
    all(
        "42501",
        r#"
        SELECT set_config('role', 'x', false)
        SELECT set_config('RoLe', 'x', FALSE)
        SELECT set_config('session_authorization', 'x', false)
        SELECT set_config('app.user_id', 'x', false)
        SELECT set_config('APP.tenant_id', 'x', false)
        SELECT set_config('claims.x', 'x', false)
        SELECT set_config('request.jwt.claims', 'x', false)
        SELECT set_config(E'\x72ole', 'x', false)
        SELECT set_config(U&'\0072ole', 'x', false)
        SELECT set_config($1, 'x', false)
        SELECT set_config('TimeZone'::text, 'x', false)
        SELECT set_config('TimeZone', 'UTC', false), set_config('role', 'x', false)
        SELECT set_config('TimeZone', set_config('role', 'x', false), false)
        SELECT set_config('transaction_isolation', 'serializable', false)
        SELECT set_config('client_encoding', 'SJIS', false)
        SELECT set_config('standard_conforming_strings', 'off', false)
        SELECT set_config('search_path', 'x', false)
        SELECT set_config('TimeZone', 'UTC')
        SELECT set_config('TimeZone', 'UTC', false, 1)
        "#,
    );
    let nested = "SELECT set_config('jit', set_config('role','x',true), true)";
    assert_eq!(state(nested), "42501");
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
        SELECT g.pg_advisory_lock FROM generate_series(1, 9) g
        SELECT g.pg_advisory_lock FROM generate_series(1, 9) AS g (n)
        SELECT generate_series.pg_advisory_lock FROM generate_series(1, 9)
        SELECT 1 FROM generate_series(1, 9) g WHERE "g" . /**/ U&"pg\005fadvisory_lock" IS NULL
        SELECT (SELECT g.pg_advisory_lock FROM generate_series(1, 9) g) FROM t g
        SELECT "coalesce".pg_advisory_lock FROM coalesce(1::bigint)
        SELECT int8.pg_advisory_lock FROM CAST('1' AS int8)
        SELECT pg_advisory_lock.pg_advisory_lock FROM unnest(ARRAY[1]) pg_advisory_lock, pg_advisory_lock.t
        SELECT g.pg_advisory_lock FROM ROWS FROM (generate_series(1, 2)) AS g
        SELECT g.pg_advisory_lock FROM t, LATERAL abs(t.id) g
        SELECT g.pg_advisory_lock FROM t JOIN generate_series(1, 2) g ON true
        SELECT x.g.pg_advisory_lock FROM generate_series(1, 9) g
        SELECT 1 IS DISTINCT FROM g.pg_advisory_lock FROM generate_series(1, 9) g
        SELECT substring('x' FROM g.pg_advisory_lock) FROM generate_series(1, 9) g
        SELECT 1 FROM generate_series(1, 9) g JOIN t ON t.a = 1 AND g.pg_advisory_lock IS NULL FOR NO KEY UPDATE
        SELECT pg_advisory_unlock(1)
        "#,
    );
    all(
        "42501",
        r#"
        SELECT query_to_xml('select 1', true, true, '')
        SELECT * FROM ts_stat('SELECT 1')
        SELECT ('SELECT 1'::text).ts_stat
        SELECT g.ts_stat FROM unnest(ARRAY['SELECT 1']) g
        SELECT g.ts_stat FROM unnest(ARRAY['SELECT 1']) WITH ORDINALITY AS g
        SELECT current_user.ts_stat FROM current_user
        SELECT u.ts_stat FROM current_user u
        UPDATE t SET a = g.ts_stat FROM unnest(ARRAY['SELECT 1']) g
        INSERT INTO t SELECT 1 FROM unnest(ARRAY['x']) excluded WHERE excluded.ts_stat IS NULL
        MERGE INTO t USING unnest(ARRAY['x']) g ON g.ts_stat = 1 WHEN MATCHED THEN DELETE
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
fn two_phase_commit_is_for_trusted_roles() {
    for text in lines(
        r#"
        PREPARE TRANSACTION 'x'
        COMMIT PREPARED 'x'
        ROLLBACK PREPARED $$x$$
        "#,
    ) {
        assert_eq!(
            (state(text), state_as("admin", text)),
            ("42501".into(), "ok".into()),
            "{text}"
        );
    }
    for text in lines(
        r#"
        COMMIT PREPARED
        COMMIT PREPARED x
        COMMIT PREPARED 'x' AND CHAIN
        ROLLBACK PREPARED 'x' 'y'
        "#,
    ) {
        assert_eq!(state_as("admin", text), "42601", "{text}");
    }
    // Finishing one is a transaction of its own.
    assert_eq!(state_as("admin", "COMMIT PREPARED 'x'; SELECT 1"), "0A000");
}

#[test]
fn what_transaction_pooling_cannot_keep() {
    let texts = lines(
        r#"
        LISTEN c
        CREATE TEMP TABLE t (a int)
        CREATE LOCAL TEMPORARY VIEW v AS SELECT 1
        SELECT 1 INTO TEMP t
        SELECT 1 INTO TEMPORARY TABLE t
        CREATE TABLE pg_temp.t (a int)
        CREATE OR REPLACE TEMP VIEW v AS SELECT 1
        DECLARE c CURSOR WITH HOLD FOR SELECT 1
        DECLARE c SCROLL CURSOR WITH /* */ HOLD FOR SELECT 1
        SELECT pg_advisory_lock(1)
        SET client_encoding TO 'LATIN1'
        SET NAMES 'SJIS'
        SET LOCAL client_encoding = sql_ascii
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
fn settings_that_are_not_the_sessions_to_change() {
    all(
        "42501",
        r#"
        SET search_path TO x
        SET SCHEMA 'x'
        SET row_security = off
        SET session_replication_role = replica
        SET standard_conforming_strings = off
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
