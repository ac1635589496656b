//! What policies, limits and the cache change.

use super::*;

#[test]
fn trusted_roles_may_do_what_can_work() {
    for text in lines(
        r#"
        CREATE TABLE t (a int)
        DO $$BEGIN END$$
        GRANT EXECUTE ON FUNCTION set_config(text, text, bool) TO x
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
        UPDATE pg_settings SET setting = ''
        SET SESSION AUTHORIZATION x
        SET app.user_id = 1
        SET standard_conforming_strings = off
        SELECT set_config('role', 'x', true)
        "#,
    ) {
        assert_eq!(state_as("admin", text), "42501", "{text}");
    }
    assert_eq!(state_as("admin", "SELECT set_config($1, 'x', true)"), "0A000");
    assert_eq!(
        state_as("admin", "SELECT set_config('search_path', 'x', false)"),
        "ok"
    );
    assert_eq!(
        state_as("admin", "SELECT set_config('transaction_isolation', 'x', false)"),
        "0A000"
    );
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
        COMMIT PREPARED 'x'
        rollback prepared U&'d!0061' UESCAPE '!'
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
        SELECT * FROM ONLY secrets
        SELECT * FROM ONLY (secrets)
        SELECT * FROM a, ONLY (x.secrets) s
        SELECT * FROM a JOIN ONLY/* */(app.keys) USING (b)
        TABLE ONLY (secrets)
        SELECT 1 UNION TABLE ONLY (secrets)
        INSERT INTO t TABLE ONLY (secrets)
        SELECT * FROM ONLY (private.t)
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
        SELECT secrets FROM ONLY (t) FETCH FIRST ROW ONLY
        SELECT t.secrets AS only FROM ONLY t
        SELECT other.danger()
        "#,
    ) {
        assert!(passes(text), "{text}");
    }
}

#[test]
fn large_and_deep_texts_are_bounded() {
    let began = std::time::Instant::now();
    let parens = format!("SELECT {}1{}", "(".repeat(90_000), ")".repeat(90_000));
    assert_eq!(state(&parens), "54001");
    assert_eq!(state(&("/*".repeat(50_000) + &"*/".repeat(50_000))), "54001");
    assert_eq!(state(&format!("SELECT '{}'", "x".repeat(5 << 20))), "ok");
    assert_eq!(state(&";".repeat(190_000)), "ok");
    assert_eq!(state(&";".repeat(210_000)), "54000");
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
    // Anything quadratic in these would take hours; all of them take a second without optimisation.
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
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

#[test]
fn psql_is_told_why_it_cannot_change_a_password() {
    let hint = |text: &str| {
        judge_as("web", text)
            .unwrap_err()
            .hint
            .clone()
            .unwrap_or_default()
    };
    assert!(hint("ALTER USER \"me\" PASSWORD 'SCRAM-SHA-256$4096:x'").contains("token"));
    assert!(hint("alter role me with encrypted password 'x'").contains("token"));
    assert!(hint("ALTER TABLE password ADD password text").contains("Schema changes"));
}
