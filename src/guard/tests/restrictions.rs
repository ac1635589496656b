//! What a policy restricts beyond the classes of statements: lists, WHERE, time limits, registered statements.

use super::*;

/// A guard whose every role has the policy of these keys.
fn restricted(keys: &str) -> Guard {
    let policy = Policy::parse(&format!("name = 'p'\n{keys}")).unwrap();
    Guard::new(Settings {
        policies: vec![policy],
        default_policy: "p".into(),
        ..Settings::default()
    })
}

/// The rule that refuses the text, or `ok`.
fn rule(guard: &Guard, text: &str) -> &'static str {
    match guard.judge(&guard.policy_for(&"x".into()), text.as_bytes()) {
        Ok(_) => "ok",
        Err(refusal) => {
            assert!(!refusal.message.is_empty());
            refusal.rule
        }
    }
}

fn each(guard: &Guard, wanted: &str, texts: &str) {
    for text in lines(texts) {
        assert_eq!(rule(guard, text), wanted, "{text}");
    }
}

const READ_WRITE: &str = "statements = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE', 'COPY TO', 'COPY FROM', \
                          'EXPLAIN', 'DECLARE CURSOR', 'CALL', 'LOCK', 'TRUNCATE', 'SET', 'RESET', 'FETCH']";

#[test]
fn functions_of_reserved_names_can_be_the_applications_own() {
    let guard = restricted(&format!(
        "{READ_WRITE}\nown_functions = ['app.crosstab', 'app.lo_get', 'schedule', 'net.*', 'app.register']"
    ));
    each(
        &guard,
        "ok",
        r#"
        SELECT app.crosstab('x')
        SELECT "app" . "crosstab" ('x')
        SELECT shop.app.lo_get(1)
        SELECT schedule('* * * * *', 'x')
        SELECT net.anything(1), register(2), app.register(3)
        SELECT t.schedule, (t).schedule FROM t
        "#,
    );
    each(
        &guard,
        "reserved.sql_text",
        "SELECT crosstab('x')\nSELECT public.crosstab('x')\nSELECT app.crosstab2('x')\nSELECT ('x'::text).crosstab",
    );
    each(
        &guard,
        "reserved.large_object",
        "SELECT lo_get(1)\nSELECT pg_catalog.lo_get(1)\nSELECT (1).lo_get",
    );
    each(
        &guard,
        "reserved.jobs",
        "SELECT cron.schedule('a', 'b')\nCALL cron.schedule('a', 'b')",
    );
    let mistakes = Policy::parse(
        "name = 'p'\nown_functions = ['lo_get', 'app.*', 'a*', 'pg_catalog.lo_get', 'set_config', 'app.lo_*', 'app.fine', 'cron.*']",
    )
    .unwrap_err();
    assert!(mistakes.iter().all(|mistake| mistake.key == "own_functions"));
    assert_eq!(mistakes.len(), 6, "{mistakes:?}");
}

#[test]
fn update_and_delete_can_need_a_where() {
    let guard = restricted(&format!("{READ_WRITE}\nrequire_where = true"));
    each(
        &guard,
        "policy.require_where",
        r#"
        DELETE FROM t
        UPDATE t SET a = 1
        UPDATE ONLY (t) SET a[1] = 1
        UPDATE t SET a = (SELECT 1 FROM u WHERE true)
        DELETE FROM t RETURNING a AS where
        DELETE FROM t RETURNING t.where
        DELETE FROM t /* WHERE true */
        DELETE FROM t USING u
        WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x WHERE true
        WITH x AS (SELECT 1 WHERE true) DELETE FROM t
        WITH x AS (SELECT 1 WHERE true) UPDATE t SET a = 1
        EXPLAIN DELETE FROM t
        SELECT 1; DELETE FROM t
        COPY (DELETE FROM t RETURNING a) TO STDOUT
        UPDATE t SET "where" = 1
        UPDATE t SET a = 1 FROM (SELECT 1 WHERE true) where_
        DELETE FROM t WHERE true
        DELETE FROM t WHERE 1 = 1
        DELETE FROM t WHERE (((NOT false)))
        DELETE FROM t WHERE 1 = 0
        DELETE FROM t WHERE 1 = 2
        DELETE FROM t WHERE false IS NOT NULL
        DELETE FROM t WHERE 0 = 1 - 1
        DELETE FROM t WHERE false OR true
        DELETE FROM t WHERE a = 1 OR true
        DELETE FROM t WHERE true OR a = 1
        DELETE FROM t WHERE b = 1 AND (a = 1) OR (1 < 2)
        DELETE FROM t WHERE (a = 1 OR 'x' = 'x') AND now() > '2000-01-01'
        DELETE FROM t WHERE $1
        DELETE FROM t WHERE $1 = 1 RETURNING a
        DELETE FROM t WHERE coalesce(NULL, true)
        DELETE FROM t WHERE date '2000-01-01' < current_date
        DELETE FROM t WHERE now()::date IS NOT NULL
        DELETE FROM t WHERE now() AT TIME ZONE 'UTC' IS NOT NULL
        DELETE FROM t WHERE true IS NOT UNKNOWN
        DELETE FROM t WHERE 2 BETWEEN 1 AND 3
        DELETE FROM t WHERE CASE WHEN true OR false THEN true END
        DELETE FROM t WHERE EXISTS (SELECT 1)
        DELETE FROM t WHERE EXISTS (SELECT FROM u)
        DELETE FROM t WHERE EXISTS (SELECT x FROM u, v WHERE 1 = 1)
        DELETE FROM t WHERE (SELECT true)
        DELETE FROM t USING u WHERE u.a = 1
        DELETE FROM t AS x USING t WHERE t.a = 1
        DELETE FROM ONLY (s.t) x USING u WHERE u.a = 1
        DELETE FROM t USING u WHERE true RETURNING a AS where
        UPDATE t SET a = 1 WHERE true
        UPDATE t * SET a = 1 WHERE 1 IN (1, 2)
        UPDATE t x SET a = 1 FROM u WHERE u.* IS NOT NULL
        WITH x AS (DELETE FROM t WHERE true RETURNING *) SELECT * FROM x WHERE x.a = 1
        MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE
        MERGE INTO t USING u ON true WHEN MATCHED AND true THEN UPDATE SET a = 1
        MERGE INTO t USING u ON 1 = 1 WHEN NOT MATCHED THEN INSERT VALUES (1) WHEN MATCHED THEN DELETE
        MERGE INTO t USING u ON u.a = 1 WHEN MATCHED THEN DELETE
        MERGE INTO t USING u ON t.a = u.a OR true WHEN MATCHED THEN DELETE
        MERGE INTO t AS x USING u JOIN v ON u.a = v.a ON true WHEN MATCHED THEN DELETE
        MERGE INTO t x USING (SELECT 1 AS a) AS u ON (true) WHEN MATCHED AND u.a = 1 THEN DELETE
        MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED BY SOURCE THEN DELETE
        MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED BY SOURCE AND true THEN UPDATE SET a = 1
        MERGE INTO t USING u ON CASE WHEN true THEN true END WHEN MATCHED THEN DELETE
        WITH x AS (MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE RETURNING 1) SELECT 1 FROM x
        "#,
    );
    each(
        &guard,
        "ok",
        r#"
        DELETE FROM t WHERE a = 1
        DELETE FROM t WHERE a
        DELETE FROM t WHERE a AND true
        DELETE FROM t WHERE false
        DELETE FROM t WHERE (false) OR a = 2 RETURNING *
        DELETE FROM t WHERE (a = 1 OR b = 2) AND 1 = 1
        DELETE FROM t WHERE NOT (a OR "true")
        DELETE FROM t WHERE id BETWEEN 1 AND 5 OR lower(name) LIKE 'x%' ESCAPE '!'
        DELETE FROM t WHERE ((a)::int + 1) * 2 > 3 OR ((a)) = ANY ($1)
        DELETE FROM t WHERE $1 = a RETURNING a
        DELETE FROM t WHERE EXISTS (SELECT FROM u WHERE u.a = t.a)
        DELETE FROM t WHERE EXISTS (SELECT FROM u WHERE u.a = a)
        DELETE FROM t WHERE (a, b) IN (SELECT a, b FROM u)
        DELETE FROM s.t USING u WHERE u.a = t.a
        DELETE FROM s.t WHERE s.t.a = 1
        DELETE FROM t x WHERE x.* IS NOT NULL
        DELETE FROM t WHERE date < now() AND time IS NOT NULL
        DELETE FROM t WHERE CASE WHEN a THEN b ELSE false END
        DELETE FROM t USING u WHERE t.a = 1 OR u.a = t.b RETURNING a AS where
        UPDATE t SET a[1] = 1 WHERE CURRENT OF c
        UPDATE t SET a = 1 FROM u WHERE u.a = t.a
        WITH x AS (DELETE FROM t WHERE b RETURNING *) SELECT * FROM x
        INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 2
        MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE
        MERGE INTO t USING u ON a = b WHEN MATCHED AND u.c THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)
        MERGE INTO t USING u ON true WHEN NOT MATCHED THEN INSERT VALUES (1)
        MERGE INTO t USING u ON true WHEN MATCHED AND t.a = 1 THEN DELETE WHEN MATCHED THEN DO NOTHING
        MERGE INTO s.t USING u JOIN v ON true ON t.a = u.a WHEN MATCHED THEN DELETE
        MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED BY TARGET THEN INSERT VALUES (1) WHEN NOT MATCHED BY SOURCE AND t.a > 1 THEN DELETE
        MERGE INTO t USING u ON CASE WHEN t.a = u.a THEN true END WHEN MATCHED THEN DELETE
        SELECT a FROM t
        SELECT delete, update FROM t
        "#,
    );
    let guard = restricted(&format!("{READ_WRITE}\nrequire_where = ['todos', 'app.keys']"));
    each(
        &guard,
        "policy.require_where",
        r#"
        DELETE FROM todos
        DELETE FROM app.todos
        DELETE FROM "todos"
        UPDATE app.keys SET a = 1
        UPDATE keys SET a = 1
        "#,
    );
    each(
        &guard,
        "ok",
        "DELETE FROM other\nDELETE FROM x.keys\nDELETE FROM todos WHERE a",
    );
}

#[test]
fn only_listed_functions_can_be_called() {
    let guard = restricted(&format!(
        "{READ_WRITE}\nallowed_functions = ['lower', 'count', 'unnest', 'app.*', 'json_*', 'pg_column_size']"
    ));
    each(
        &guard,
        "policy.allowed_functions",
        r#"
        SELECT upper(a) FROM t
        SELECT pg_catalog.upper(a) FROM t
        SELECT evil.lower(a) FROM t
        SELECT "app.f"(1)
        SELECT * FROM generate_series(1, 2)
        SELECT * FROM ROWS FROM (generate_series(1, 2))
        SELECT (a).upper FROM t
        SELECT $1.upper
        SELECT g.upper FROM unnest(ARRAY['x']) g
        SELECT unnest.upper FROM unnest(ARRAY['x'])
        SELECT TREAT('x' AS upper)
        INSERT INTO t (a) SELECT upper('x')
        CALL f()
        SELECT "coalesce"(1)
        SELECT over(1)
        SELECT ceil(1.5)
        SELECT left('a', 1)
        EXPLAIN SELECT floor(1.5)
        SELECT a FROM t WHERE upper (a) = b FOR NO KEY UPDATE
        "#,
    );
    each(
        &guard,
        "ok",
        r#"
        SELECT lower(a), LOWER('X'), pg_catalog.lower('x'), count(*), json_agg(a) FROM t
        SELECT app.f(1), coalesce(a, 1), greatest(1, 2), a IN (1, 2), EXISTS (SELECT 1), a::numeric(10, 2) FROM t
        SELECT count(*) FILTER (WHERE a) OVER (PARTITION BY (b)) FROM t
        INSERT INTO t (a, b) VALUES (1, 2) ON CONFLICT (a) DO NOTHING
        WITH x (a) AS (SELECT 1) SELECT * FROM x AS y (b) JOIN t USING (a)
        SELECT CAST(a AS varchar(10)), a::geometry(Point, 4326), CAST(a AS geometry(Point)), extract(year FROM b), t.a FROM t
        CALL app.p()
        "#,
    );
}

#[test]
fn a_denied_function_may_take_a_row() {
    let guard = restricted(&format!(
        "{READ_WRITE}\ndenied_functions = ['danger', 'app.harm']"
    ));
    each(
        &guard,
        "policy.denied_functions",
        r#"
        SELECT danger(t) FROM t
        SELECT t.danger FROM t
        SELECT t.harm FROM t
        SELECT (t).danger FROM t
        SELECT app.harm(1)
        "#,
    );
    each(
        &guard,
        "ok",
        "SELECT danger FROM t\nSELECT * FROM app.danger\nSELECT other.harm(1)",
    );
}

#[test]
fn only_listed_relations_can_be_used() {
    let guard = restricted(&format!(
        "{READ_WRITE}\nallowed_relations = ['todos', 'app.*', 'pg_class']"
    ));
    each(
        &guard,
        "policy.allowed_relations",
        r#"
        SELECT * FROM secrets
        SELECT * FROM todos, secrets
        SELECT * FROM ONLY secrets
        SELECT * FROM ONLY (secrets)
        SELECT * FROM todos, ONLY (secrets)
        SELECT * FROM todos JOIN ONLY (evil.todos) AS x ON true
        TABLE ONLY (secrets)
        UPDATE ONLY (secrets) SET a = 1
        DELETE FROM ONLY (secrets)
        DELETE FROM todos USING ONLY (secrets)
        SELECT * FROM evil.todos
        SELECT * FROM public.todos
        SELECT (SELECT 1 FROM secrets)
        WITH x AS (SELECT * FROM secrets) SELECT * FROM x
        WITH x AS (SELECT * FROM secrets), secrets AS (SELECT 1) SELECT * FROM x
        WITH secrets AS (SELECT 1) DELETE FROM secrets
        WITH secrets AS (SELECT 1) UPDATE secrets SET a = 1
        TABLE secrets
        SELECT 1 UNION TABLE secrets
        INSERT INTO secrets VALUES (1)
        INSERT INTO todos SELECT * FROM secrets
        UPDATE todos SET a = 1 FROM secrets
        DELETE FROM todos USING secrets
        MERGE INTO todos USING secrets ON true WHEN MATCHED THEN DELETE
        MERGE INTO secrets USING todos ON true WHEN MATCHED THEN DELETE
        COPY secrets TO STDOUT
        COPY secrets FROM STDIN
        COPY (SELECT * FROM secrets) TO STDOUT
        EXPLAIN SELECT * FROM secrets
        DECLARE c CURSOR FOR SELECT * FROM secrets
        LOCK TABLE ONLY secrets IN SHARE MODE
        LOCK todos, evil.lock
        TRUNCATE todos, secrets
        SELECT * FROM pg_authid
        SELECT a FROM todos ORDER BY a USING operator(pg_catalog.<) FOR NO KEY UPDATE OF todos
        "#,
    );
    each(
        &guard,
        "ok",
        r#"
        SELECT * FROM todos t JOIN app.items i ON i.id = t.id WHERE t.a IN (SELECT 1 FROM app.x)
        WITH x AS (SELECT * FROM todos) SELECT * FROM x
        INSERT INTO todos (a) VALUES (1) RETURNING a
        UPDATE todos SET a = 1
        DELETE FROM todos WHERE a = 1
        COPY todos TO STDOUT
        EXPLAIN SELECT * FROM todos
        DECLARE c CURSOR FOR SELECT * FROM todos
        FETCH ALL FROM c
        LOCK TABLE ONLY todos IN SHARE MODE
        SELECT * FROM ONLY todos AS t JOIN ONLY (app.items) i ON true FETCH FIRST 2 ROWS ONLY
        UPDATE ONLY (todos) SET a = 1
        DELETE FROM ONLY (todos) USING ONLY todos AS t
        SELECT a AS only, b only FROM todos
        TRUNCATE todos
        SELECT 1
        SELECT * FROM pg_class, pg_catalog.pg_class
        SELECT * FROM generate_series(1, 2) AS g
        "#,
    );
    let guard = restricted(&format!("{READ_WRITE}\nallowed_schemas = ['app']"));
    each(
        &guard,
        "policy.allowed_relations",
        "SELECT * FROM evil.t\nSELECT * FROM pg_class\nSELECT * FROM pg_catalog.pg_class\nSELECT * FROM x.app.t, y.z",
    );
    each(&guard, "policy.allowed_schemas", "SELECT evil.f()\nCALL evil.f()");
    each(
        &guard,
        "ok",
        "SELECT * FROM app.t, u\nSELECT app.f(), pg_catalog.lower('x'), lower('x')",
    );
}

#[test]
fn time_limits_can_only_be_tightened() {
    let guard = restricted(&format!(
        "{READ_WRITE}\nsettable = ['statement_timeout', 'lock_timeout']\nstatement_timeout = '30s'"
    ));
    each(
        &guard,
        "policy.timeout",
        r#"
        SET statement_timeout = 0
        SET LOCAL statement_timeout TO '31s'
        SET "Statement_Timeout" = '1d'
        SET statement_timeout = 1, 2
        SET statement_timeout = '0x7fff'
        SET statement_timeout = -1
        SELECT set_config('statement_timeout', '0', true)
        SELECT set_config('STATEMENT_TIMEOUT', $1, true)
        SELECT set_config('statement_timeout', '1' || '000000', true)
        "#,
    );
    each(
        &guard,
        "ok",
        r#"
        SET statement_timeout = '5s'
        SET LOCAL statement_timeout TO 30000
        RESET statement_timeout
        SET lock_timeout = 0
        SELECT set_config('statement_timeout', '1s', true)
        "#,
    );
    let script = guard
        .judge(
            &guard.policy_for(&"x".into()),
            b"SET LOCAL statement_timeout TO DEFAULT",
        )
        .unwrap();
    let Action::Set(setting) = script.statements()[0].action() else {
        panic!("{script:?}");
    };
    assert_eq!(
        setting.value,
        SetValue::Assign("statement_timeout TO 30000".into())
    );
}

#[test]
fn only_registered_statements_run() {
    let found = registrations(
        b"SELECT a FROM t WHERE b = 1; DECLARE c CURSOR FOR SELECT 1",
        &Limits::default(),
    )
    .unwrap();
    let registry: String = found
        .iter()
        .map(|found| format!("[[statement]]\nfingerprint = \"{}\"\n", found.fingerprint))
        .collect();
    let keys = format!(
        "name = 'p'\nmode = 'registered'\nregistered_statements = ['r.toml']\n\
         registered_functions = ['create_todo', 'app.*', 'lo_get']\n{READ_WRITE}"
    );
    let policy = Policy::parse_with(&keys, &mut |path| {
        assert_eq!(path, "r.toml");
        Ok(registry.clone())
    })
    .unwrap();
    let guard = Guard::new(Settings {
        policies: vec![policy],
        default_policy: "p".into(),
        ..Settings::default()
    });
    each(
        &guard,
        "policy.registered",
        r#"
        SELECT 1
        SELECT a FROM t
        SELECT a FROM t WHERE b = 1 OR true
        SELECT a FROM t WHERE b = c
        SELECT a FROM t WHERE b = 1 --⏎OR true
        SELECT a FROM t WHERE b = ''''; SELECT 2
        DECLARE c CURSOR FOR SELECT a FROM t
        SELECT create_todo(a) FROM t
        SELECT evil.create_todo('x')
        SELECT create_todo((SELECT 1))
        DELETE FROM t
        COPY t TO STDOUT
        "#,
    );
    each(
        &guard,
        "ok",
        r#"
        SELECT a FROM t WHERE b = 'x; OR true'
        select "a" from T where b=$1
        DECLARE c CURSOR FOR SELECT 2
        FETCH 10 FROM c
        BEGIN; SELECT a FROM t WHERE b = -5; COMMIT
        SELECT create_todo('x', $2, due => NULL)
        SELECT * FROM app.anything()
        CALL app.p(1)
        SELECT pg_advisory_unlock_all()
        "#,
    );
    // Reserved stays reserved, and a class that is not allowed stays so.
    each(&guard, "reserved.large_object", "SELECT lo_get(1)");
    each(&guard, "statement.policy", "NOTIFY c");
    let refusal = guard
        .judge(&guard.policy_for(&"x".into()), b"SELECT 1")
        .unwrap_err();
    let fingerprint = registrations(b"SELECT 2", &Limits::default()).unwrap()[0].fingerprint;
    assert!(refusal.hint.as_ref().unwrap().contains(&fingerprint.to_string()));
}

#[test]
fn the_example_of_a_registry_is_one() {
    let policy = Policy::parse_with(include_str!("../../../policies/registered.toml"), &mut |path| {
        assert_eq!(path, "registered_statements.toml");
        Ok(include_str!("../../../policies/registered_statements.toml").to_owned())
    })
    .unwrap();
    assert_eq!(policy.ceilings().rows, Some(10_000));
    let guard = Guard::new(Settings {
        policies: vec![policy],
        default_policy: "registered".into(),
        ..Settings::default()
    });
    each(
        &guard,
        "ok",
        r#"
        UPDATE todos SET done = true WHERE id = $1
        INSERT INTO todos (title) VALUES ('one') RETURNING id
        SELECT api.anything(1)
        "#,
    );
    each(
        &guard,
        "policy.registered",
        "UPDATE todos SET done = false WHERE id = 1\nSELECT other.f()",
    );
}

/// What is looked at again and again must not be parsed again and again: each of these is large and legitimate.
#[test]
fn restrictions_take_time_in_proportion_to_the_text() {
    let guard = restricted(&format!(
        "{READ_WRITE}\nallowed_functions = ['f']\nallowed_relations = ['t']\ndenied_functions = ['h*']\n\
         denied_relations = ['secrets']\nrequire_where = true"
    ));
    let began = std::time::Instant::now();
    for piece in [
        "t.lo_get, ",
        "t.a, ",
        "f(1), ",
        "g(1), ",
        "(x).a, ",
        "h.a, ",
        "over (1), ",
    ] {
        for times in [500, 100_000] {
            let _ = rule(&guard, &format!("SELECT {}1 FROM t", piece.repeat(times)));
        }
    }
    let _ = rule(
        &guard,
        &format!("{}SELECT 1", "WITH a AS (DELETE FROM t) ".repeat(10_000)),
    );
    let _ = registrations(
        format!("SELECT 1 IN ({}1)", "1, ".repeat(200_000)).as_bytes(),
        &Limits::default(),
    );
    let rows = "(1, 2), ".repeat(100_000);
    let _ = registrations(
        format!("INSERT INTO t VALUES {rows}(1, 2)").as_bytes(),
        &Limits::default(),
    );
    let _ = registrations(
        "SELECT in (1, values ".repeat(50_000).as_bytes(),
        &Limits::default(),
    );
    assert!(began.elapsed().as_secs() < 120, "{:?}", began.elapsed());
}

#[test]
fn mistakes_in_restrictions_are_listed_with_their_keys() {
    let keys = |source: &str| -> Vec<String> {
        let mistakes = Policy::parse(&format!("name = 'p'\n{source}")).unwrap_err();
        mistakes.into_iter().map(|mistake| mistake.key).collect()
    };
    assert_eq!(
        keys(
            "allowed_functions = ['a*b']\nallowed_relations = ['']\nallowed_schemas = ['*']\nrequire_where = 'x'\n\
             max_rows = 0\nmax_row_bytes = -1\nstatement_timeout = '30'\nlock_timeout = 'soon'\n\
             idle_in_transaction_session_timeout = '0s'\nregistered_functions = ['f']"
        ),
        [
            "allowed_functions",
            "allowed_relations",
            "allowed_schemas",
            "require_where",
            "max_rows",
            "max_row_bytes",
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
            "registered_functions",
        ]
    );
    assert_eq!(keys("mode = 'registered'"), ["mode"]);
    assert_eq!(
        keys("mode = 'registered'\nregistered_statements = ['x']"),
        ["registered_statements"]
    );
    assert_eq!(keys("require_where = ['a*b']"), ["require_where"]);
    assert_eq!(keys("mode = 'closed'"), [""]);
}
