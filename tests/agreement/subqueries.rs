//! A query within any place of the grammar that takes an expression is judged by a policy's lists of relations.

use std::sync::Arc;

use portcullis::guard::{Guard, Policy, Settings};

use crate::servers;
use crate::support::raw::{RawClient, parse, sync};

/// Queries for one value that read the relation in a way that can be overlooked.
const QUERIES: &[&str] = &[
    "(SELECT id FROM secret)",
    "(SELECT 1 FROM t, secret LIMIT 1)",
    "(TABLE secret)",
    "((SELECT 1) UNION ALL (SELECT id FROM secret) LIMIT 1)",
    "(SELECT 1 FROM t WHERE a IN (TABLE secret))",
    "(WITH x AS (SELECT id FROM secret) SELECT id FROM x)",
    "(VALUES ((SELECT id FROM secret)))",
    "(SELECT s.id FROM t CROSS JOIN LATERAL (SELECT id FROM secret) s)",
    "(SELECT 1 + (SELECT max(id) FROM ONLY secret))",
    "(SELECT id FROM hidden.secret)",
];

/// Where `$Q` is an integer.
const PLACES: &[&str] = &[
    "SELECT $Q",
    "SELECT DISTINCT ON ($Q) a FROM t",
    "SELECT a FROM t WHERE a = $Q",
    "SELECT a FROM t GROUP BY a, $Q",
    "SELECT a FROM t GROUP BY GROUPING SETS ((a), ($Q))",
    "SELECT a FROM t GROUP BY ROLLUP (a, $Q)",
    "SELECT a FROM t GROUP BY a HAVING count(*) > $Q",
    "SELECT a FROM t ORDER BY $Q",
    "SELECT a FROM t ORDER BY a USING <, $Q DESC NULLS LAST",
    "SELECT a FROM t LIMIT $Q",
    "SELECT a FROM t OFFSET $Q",
    "SELECT a FROM t OFFSET $Q ROWS FETCH FIRST $Q ROWS ONLY",
    "SELECT a FROM t ORDER BY a FETCH FIRST ($Q) ROWS WITH TIES",
    "SELECT a FROM t TABLESAMPLE system ($Q)",
    "SELECT a FROM t TABLESAMPLE system (1) REPEATABLE ($Q)",
    "SELECT a FROM t JOIN u ON $Q = 1",
    "SELECT a FROM t LEFT JOIN LATERAL (SELECT $Q) x ON true",
    "SELECT 1 FROM generate_series(1, $Q) g",
    "SELECT 1 FROM ROWS FROM (generate_series(1, $Q), generate_series(1, 2)) g",
    "SELECT 1 FROM LATERAL generate_series($Q, 2) WITH ORDINALITY g",
    "SELECT sum(a) FILTER (WHERE a > $Q) FROM t",
    "SELECT array_agg(a ORDER BY $Q) FROM t",
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY $Q)",
    "SELECT sum(a) OVER (PARTITION BY $Q ORDER BY $Q) FROM t",
    "SELECT sum(a) OVER (ROWS BETWEEN $Q PRECEDING AND $Q FOLLOWING) FROM t",
    "SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY $Q)",
    "SELECT CASE $Q WHEN $Q THEN $Q ELSE $Q END",
    "SELECT coalesce($Q, $Q), nullif($Q, 1), greatest(1, $Q)",
    "SELECT CAST($Q AS text), $Q::text, ($Q)::text COLLATE \"C\"",
    "SELECT b[$Q], b[$Q:$Q] FROM t",
    "SELECT ARRAY[$Q], ARRAY$Q",
    "SELECT ROW($Q), ($Q, 1)",
    "SELECT (ROW(1, $Q)).f1 FROM t",
    "SELECT 1 IN ($Q), 1 IN $Q, 1 = ANY $Q, 1 < ALL $Q, 1 BETWEEN $Q AND 2",
    "SELECT 'a' LIKE $Q::text ESCAPE 'x', 'a' SIMILAR TO $Q::text",
    "SELECT $Q IS NULL, $Q IS DISTINCT FROM 1, NOT EXISTS $Q",
    "SELECT now() AT TIME ZONE make_interval($Q)",
    "SELECT extract(year FROM now() + $Q * interval '1 day')",
    "SELECT substring('abc' FROM $Q FOR $Q), overlay('abc' PLACING 'x' FROM $Q), position($Q::text IN 'x')",
    "SELECT trim(BOTH $Q::text FROM 'x')",
    "SELECT OPERATOR(pg_catalog.-) $Q, 1 OPERATOR(pg_catalog.+) $Q",
    "SELECT format('%s', VARIADIC ARRAY[$Q]), make_interval(years => $Q)",
    "SELECT xmlelement(name a, xmlattributes($Q AS b), $Q), xmlforest($Q AS a)",
    "SELECT json_build_object('a', $Q), JSON_OBJECT('a' : $Q), JSON_ARRAY($Q)",
    "SELECT * FROM JSON_TABLE('[1]'::jsonb, '$[*]' PASSING $Q AS x COLUMNS (y int PATH '$')) j",
    "SELECT * FROM XMLTABLE('/a' PASSING xmlelement(name a, $Q) COLUMNS b text PATH 'c' DEFAULT $Q::text) x",
    "SELECT a FROM t UNION SELECT $Q",
    "SELECT a FROM t INTERSECT ALL (SELECT $Q) EXCEPT SELECT $Q",
    "SELECT a FROM t WHERE a = $Q FOR UPDATE",
    "WITH x AS (SELECT $Q) SELECT 1 FROM x",
    "WITH RECURSIVE x AS (SELECT 1 AS a UNION ALL SELECT a + $Q FROM x) SELECT 1 FROM x",
    "WITH RECURSIVE x AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM x) CYCLE a SET c USING p SELECT $Q FROM x",
    "WITH x AS MATERIALIZED (INSERT INTO t (a) VALUES ($Q) RETURNING a) SELECT 1 FROM x",
    "VALUES (1), ($Q)",
    "VALUES (1) ORDER BY $Q LIMIT $Q",
    "TABLE t ORDER BY $Q LIMIT $Q",
    "(SELECT $Q)",
    "INSERT INTO t (a) VALUES ($Q)",
    "INSERT INTO t (a) VALUES (DEFAULT), ($Q)",
    "INSERT INTO t (a) SELECT $Q",
    "INSERT INTO t (b[$Q]) VALUES (1)",
    "INSERT INTO t (a) OVERRIDING USER VALUE SELECT a FROM u WHERE a = $Q",
    "INSERT INTO t (a) VALUES (1) RETURNING $Q",
    "INSERT INTO t AS x (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = $Q",
    "INSERT INTO t AS x (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1 WHERE x.a = $Q",
    "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) WHERE a > $Q DO NOTHING",
    "INSERT INTO t (a) VALUES (1) ON CONFLICT ((a + $Q)) DO NOTHING",
    "WITH x AS (SELECT $Q AS q) INSERT INTO t (a) SELECT q FROM x",
    "UPDATE t SET a = $Q WHERE a = 1",
    "UPDATE t SET (a, c) = (SELECT $Q, 'x') WHERE a = 1",
    "UPDATE t SET (a, c) = ROW ($Q, 'x') WHERE a = 1",
    "UPDATE t SET b[$Q] = 1 WHERE a = 1",
    "UPDATE t SET a = 1 FROM (SELECT $Q AS q) x WHERE t.a = x.q",
    "UPDATE t SET a = 1 WHERE a = $Q",
    "UPDATE t SET a = 1 WHERE a = 1 RETURNING $Q",
    "DELETE FROM t WHERE a = $Q",
    "DELETE FROM t USING u, (SELECT $Q AS q) x WHERE t.a = x.q",
    "DELETE FROM t WHERE a = 1 RETURNING $Q",
    "MERGE INTO t USING (SELECT $Q AS q) x ON t.a = x.q WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING u ON t.a = u.a AND u.a = $Q WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED AND t.a = $Q THEN DELETE",
    "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET a = $Q",
    "MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED AND u.a = $Q THEN INSERT (a) VALUES ($Q)",
    "MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED BY SOURCE AND t.a = $Q THEN DELETE",
    "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE RETURNING $Q",
    "COPY (SELECT $Q) TO STDOUT",
    "COPY (INSERT INTO t (a) VALUES ($Q) RETURNING a) TO STDOUT",
    "COPY t (a) FROM STDIN WHERE a = $Q",
    "COPY t (a) FROM STDIN WITH (FORMAT csv) WHERE a = $Q",
    "COPY t FROM STDIN CSV WHERE a = $Q",
    "CALL f($Q)",
    "CALL pg_temp.f($Q + 1)",
    "CALL f(x => $Q)",
    "CALL f(CASE WHEN $Q = 1 THEN 1 END)",
    "PREPARE q AS SELECT $Q",
    "PREPARE q (int) AS UPDATE t SET a = $1 WHERE a = $Q",
    "EXECUTE p($Q)",
    "EXECUTE p(1 + $Q)",
    "EXPLAIN EXECUTE p($Q)",
    "EXPLAIN SELECT $Q",
    "EXPLAIN (COSTS off) DELETE FROM t WHERE a = $Q",
    "DECLARE c CURSOR FOR SELECT $Q",
    "DECLARE c SCROLL CURSOR WITHOUT HOLD FOR SELECT a FROM t WHERE a = $Q",
    "EXPLAIN DECLARE c CURSOR FOR SELECT $Q",
];

const CLASSES: &str = "name = 'p'\nstatements = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE', 'COPY TO', \
                       'COPY FROM', 'EXPLAIN', 'DECLARE CURSOR', 'CALL']\n";

/// A guard whose policy keeps `secret` away.
fn guard(keys: &str) -> (Guard, Arc<Policy>) {
    let policy = Policy::parse(&format!("{CLASSES}{keys}")).unwrap();
    let guard = Guard::new(Settings {
        policies: vec![policy],
        default_policy: "p".to_owned(),
        cache_bytes: 0,
        ..Settings::default()
    });
    let policy = guard.policy("p").unwrap();
    (guard, policy)
}

fn texts() -> impl Iterator<Item = (&'static str, String)> {
    let text = |place: &'static str| move |query: &&str| (place, place.replace("$Q", query));
    PLACES
        .iter()
        .flat_map(move |place| QUERIES.iter().map(text(place)))
}

#[test]
fn a_denied_relation_is_refused_in_every_place() {
    for keys in [
        "denied_relations = ['secret']",
        "denied_relations = ['hidden.secret']",
        "allowed_relations = ['t', 'u', 'x']",
        "allowed_relations = ['t', 'u', 'x', 'hidden.t', 'hidden.secre']\nallowed_schemas = ['hidden', 'pg_temp']",
        "denied_relations = ['secret']\ndenied_schemas = ['hidden']",
    ] {
        let (guard, policy) = guard(keys);
        for (_, text) in texts() {
            let verdict = guard.judge(&policy, text.as_bytes());
            assert!(
                verdict.is_err_and(|refusal| refusal.sqlstate.as_str() == "42501"),
                "{keys}: {text}"
            );
        }
    }
}

/// The same places with a relation that is allowed, where the second layer's grammar knows them.
#[test]
fn an_allowed_relation_passes_where_the_grammar_is_known() {
    let (guard, policy) = guard("allowed_relations = ['t', 'u', 'x']");
    let refused: Vec<_> = PLACES
        .iter()
        .map(|place| place.replace("$Q", "(SELECT a FROM t LIMIT 1)"))
        .filter(|text| guard.judge(&policy, text.as_bytes()).is_err())
        .collect();
    for known in [
        "CALL f(",
        "EXECUTE p(",
        "COPY t (a) FROM",
        "UPDATE t SET a =",
        "MERGE",
        "DELETE",
    ] {
        assert!(!refused.iter().any(|text| text.starts_with(known)), "{refused:?}");
    }
    assert!(refused.len() < PLACES.len() / 4, "{refused:#?}");
}

/// The places are none of our own making: some server reads each of them.
#[test]
fn every_place_is_one_of_the_servers() {
    let mut clients: Vec<RawClient> = servers().map(|postgres| postgres.superuser("postgres")).collect();
    for client in &mut clients {
        client.values(
            "CREATE TEMP TABLE t (a int UNIQUE, b int[], c text); CREATE TEMP TABLE u (a int); \
             CREATE TEMP TABLE secret (id int); CREATE PROCEDURE pg_temp.f(x int) LANGUAGE sql AS ''; \
             PREPARE p (int) AS SELECT $1",
        );
    }
    for place in PLACES {
        let text = place.replace("$Q", QUERIES[0]);
        let reads = |client: &mut RawClient| {
            client.send(&[parse("", &text, &[]), sync()].concat());
            let frames = client.until_ready();
            !frames
                .iter()
                .any(|frame| frame.tag == b'E' && frame.sqlstate() == "42601")
        };
        let read = clients.iter_mut().map(reads).filter(|read| *read).count();
        // With one server alone, what is newer than it cannot be asked.
        assert!(read > 0 || clients.len() < 2, "{text}");
    }
}
