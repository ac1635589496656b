//! Texts that name schemas, where tenants are told apart by schema: a tenant's is `s_a`, another one's is `s_b`.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use crate::guard::{Guard, Policy, RepeatedTexts, Settings};
use crate::tenant::Schemas;

/// EXPLAIN, LOCK and TRUNCATE as well.
fn policy() -> Arc<Policy> {
    let text = include_str!("../../../policies/end_user.toml");
    let more = "statements = [\n  \"EXPLAIN\", \"LOCK\", \"TRUNCATE\", ";
    Arc::new(Policy::parse(&text.replace("statements = [\n", more)).unwrap())
}

/// A guard that remembers nothing.
fn fresh() -> &'static Guard {
    static GUARD: LazyLock<Guard> = LazyLock::new(|| {
        Guard::new(Settings {
            cache_bytes: 0,
            ..Settings::default()
        })
    });
    &GUARD
}

fn of_a() -> Schemas {
    Schemas::only("s_a", &["public".into()].into())
}

fn of_b() -> Schemas {
    Schemas::only("s_b", &["public".into()].into())
}

fn rule_for(schemas: &Schemas, text: &str) -> &'static str {
    match fresh().judge_within(&policy(), Some(schemas), text.as_bytes()) {
        Ok(_) => "",
        Err(refusal) => refusal.rule,
    }
}

/// Texts in which `s_b` is another tenant's schema, one a line.
const FOREIGN: &str = r#"
SELECT * FROM s_b.notes
SELECT * FROM "s_b".notes
SELECT * FROM S_B . /* */ "notes"
SELECT * FROM U&"s\005fb".notes
SELECT * FROM U&"s!005fb" UESCAPE '!' . notes
SELECT * FROM shop.s_b.notes
SELECT * FROM ONLY s_b.notes
SELECT * FROM ONLY (s_b.notes)
SELECT * FROM s_b.notes *
SELECT * FROM notes, s_b.notes x
SELECT * FROM notes AS n (a, b), s_b.notes x
SELECT * FROM notes n JOIN s_b.notes x ON true
SELECT * FROM notes n JOIN notes m ON CASE WHEN n.id = 1 THEN true ELSE false END, s_b.notes
SELECT * FROM notes n JOIN notes m ON collation for (n.body) = 'x', s_b.notes
SELECT * FROM notes n JOIN notes m ON n.id IS DISTINCT FROM m.id, s_b.notes
SELECT * FROM notes n JOIN notes m USING (id), s_b.notes
SELECT (SELECT 1 FROM notes n JOIN notes m ON percentile_cont(0.5) WITHIN GROUP (ORDER BY o.id) > 1, s_b.notes) FROM notes o
SELECT * FROM notes set, s_b.notes
SELECT * FROM notes values (a, b), s_b.notes
SELECT * FROM notes update, s_b.notes
SELECT * FROM notes by, s_b.notes
SELECT * FROM s_a.order by, s_b.notes
SELECT * FROM s_a.select, s_b.notes
SELECT * FROM s_a.where, s_b.notes
SELECT * FROM s_a.returning, s_b.notes
SELECT * FROM s_a.group by, s_b.notes
SELECT * FROM (s_b.notes n JOIN notes m ON true)
SELECT * FROM ((s_b.notes n CROSS JOIN notes m) CROSS JOIN notes o)
SELECT * FROM (notes n CROSS JOIN notes m), (s_b.notes o CROSS JOIN notes p)
SELECT * FROM LATERAL s_b.f(1)
SELECT * FROM ROWS FROM (s_b.f(1), generate_series(1, 2))
SELECT * FROM notes TABLESAMPLE s_b.m (10)
SELECT s_b.id FROM notes s_b, s_b.notes
SELECT s_b.notes FROM notes s_b CROSS JOIN s_b.notes
SELECT 1 AS from, (SELECT max(id) FROM s_b.notes)
SELECT 1 select, (SELECT 1 FROM s_b.notes)
WITH s_b AS (SELECT 1) SELECT * FROM s_b.notes
WITH x AS MATERIALIZED (DELETE FROM s_b.notes RETURNING id) SELECT * FROM x
WITH x AS (UPDATE notes SET body = '' FROM s_b.notes RETURNING 1) SELECT * FROM x
SELECT * FROM notes UNION TABLE s_b.notes
TABLE s_b.notes
TABLE ONLY s_b.notes
(TABLE s_b.notes)
SELECT ARRAY(TABLE s_b.notes)
SELECT EXISTS (SELECT FROM s_b.notes)
SELECT extract(year FROM (SELECT at FROM s_b.notes))
SELECT id FROM notes WHERE id IN (SELECT id FROM s_b.notes)
SELECT id FROM notes WHERE id = ANY (SELECT id FROM s_b.notes)
SELECT s_b.notes.id FROM notes
SELECT s_b.notes.* FROM notes
SELECT shop.s_b.notes.id FROM notes
SELECT shop.s_b.notes.* FROM notes
SELECT s_b.f(1)
SELECT s_b.f (VARIADIC ARRAY[1])
SELECT shop.s_b.f(1)
SELECT "s_b"."f"(1)
SELECT NULL::s_b.t
SELECT NULL::s_b.t[]
SELECT CAST(NULL AS s_b.t)
SELECT CAST(NULL AS shop.s_b.t)
SELECT s_b.t '(1)'
SELECT s_b.t E'(1)'
SELECT s_b.t $$(1)$$
SELECT s_b.t(3) '(1)'
SELECT ROW(1, 2)::s_b.notes
SELECT TREAT(1 AS s_b.f)
SELECT 1 OPERATOR(s_b.=) 1
SELECT 1 OPERATOR(s_b.*) 1
SELECT 1 OPERATOR(shop.s_b.+) 1
SELECT 1 OPERATOR("s_b".<>) 1
SELECT OPERATOR(s_b.-) 1
SELECT id FROM notes ORDER BY id USING OPERATOR(s_b.<)
SELECT body COLLATE s_b.c FROM notes
SELECT body FROM notes ORDER BY body COLLATE "s_b"."c"
SELECT * FROM json_to_record('{}') AS t (a s_b.t)
SELECT * FROM json_to_record('{}') AS t (set s_b.t)
SELECT * FROM json_to_record('{}') AS t (a int, value s_b.t)
SELECT * FROM json_to_record('{}') AS t (a int, between s_b.t)
SELECT * FROM json_to_record('{}') xmlparse (document s_b.t)
SELECT * FROM ROWS FROM (json_to_record('{}') AS (passing s_b.t)) x
SELECT * FROM xmltable('/r' PASSING '<r/>' COLUMNS set s_b.t)
SELECT * FROM xmltable('/r' PASSING '<r/>' COLUMNS a int, escape s_b.t)
SELECT * FROM json_table('{}', '$' COLUMNS (a s_b.t PATH '$'))
SELECT json_value('{}', '$' RETURNING s_b.t)
SELECT json_value(update RETURNING s_b.t) FROM notes
SELECT json_object('a' VALUE 1 RETURNING s_b.t)
INSERT INTO s_b.notes VALUES (1)
INSERT INTO s_b.notes (id) VALUES (1)
INSERT INTO shop.s_b.notes (id) VALUES (1)
INSERT INTO notes SELECT * FROM s_b.notes
INSERT INTO notes TABLE s_b.notes
INSERT INTO notes VALUES ((SELECT max(id) FROM s_b.notes))
INSERT INTO notes VALUES (1) ON CONFLICT (body COLLATE s_b.c) DO NOTHING
INSERT INTO notes VALUES (1) ON CONFLICT (body s_b.ops) DO NOTHING
INSERT INTO notes VALUES (1) ON CONFLICT (lower(body) s_b.ops) DO NOTHING
INSERT INTO notes VALUES (1) ON CONFLICT (body COLLATE between s_b.ops) DO NOTHING
INSERT INTO notes VALUES (1) RETURNING (SELECT max(id) FROM s_b.notes)
UPDATE s_b.notes SET body = ''
UPDATE ONLY (s_b.notes) SET body = ''
UPDATE notes SET body = x.body FROM s_b.notes x
UPDATE notes SET body = x.body FROM notes y, s_b.notes x
UPDATE notes SET (body) = (SELECT body FROM s_b.notes)
DELETE FROM s_b.notes
DELETE FROM ONLY s_b.notes
DELETE FROM notes USING s_b.notes x
DELETE FROM notes USING notes y, s_b.notes x
MERGE INTO s_b.notes n USING notes m ON n.id = m.id WHEN MATCHED THEN DELETE
MERGE INTO notes n USING s_b.notes m ON n.id = m.id WHEN MATCHED THEN DELETE
MERGE INTO notes n USING (s_b.notes m CROSS JOIN notes o) ON n.id = m.id WHEN MATCHED THEN DELETE
COPY s_b.notes TO STDOUT
COPY s_b.notes (body) FROM STDIN
COPY shop.s_b.notes FROM STDIN
COPY (SELECT * FROM s_b.notes) TO STDOUT
COPY (TABLE s_b.notes) TO STDOUT
COPY notes FROM STDIN WHERE s_b.f(1)
CALL s_b.p()
CALL p((SELECT max(id) FROM s_b.notes))
DECLARE c CURSOR FOR SELECT * FROM s_b.notes
DECLARE c CURSOR FOR TABLE s_b.notes
PREPARE p AS SELECT * FROM s_b.notes
PREPARE p AS SELECT * FROM notes, s_b.notes
PREPARE p AS DELETE FROM s_b.notes
PREPARE p (s_b.t) AS SELECT $1
PREPARE p (int, s_b.t) AS SELECT $2
EXECUTE p (s_b.f(1))
EXECUTE p (NULL::s_b.t)
EXPLAIN SELECT * FROM s_b.notes
EXPLAIN (COSTS) SELECT * FROM s_b.notes
EXPLAIN DECLARE c CURSOR FOR SELECT * FROM s_b.notes
EXPLAIN EXECUTE p (s_b.f(1))
LOCK s_b.notes
LOCK TABLE notes, s_b.notes
LOCK TABLE ONLY (s_b.notes) IN SHARE MODE
TRUNCATE s_b.notes
TRUNCATE notes, s_b.notes
SET CONSTRAINTS s_b.c DEFERRED
SELECT 1; SELECT * FROM s_b.notes
SELECT nextval('s_b.notes_id_seq')
SELECT pg_catalog.nextval('"s_b"."notes_id_seq"')
SELECT nextval('s_b.notes_id_seq'::regclass)
SELECT nextval('s_b.notes_id_seq'::text::regclass)
SELECT nextval(' S_B . notes_id_seq ')
SELECT nextval(E's\x5fb.notes_id_seq')
SELECT nextval('s_b' '.notes_id_seq')
SELECT nextval(CAST('s_b.notes_id_seq' AS regclass))
SELECT nextval(pg_get_serial_sequence('s_b.notes', 'id'))
SELECT nextval('shop.s_b.notes_id_seq')
SELECT nextval('16400')
SELECT nextval(16400)
SELECT nextval($1)
SELECT nextval('s_b.' || 'notes_id_seq')
SELECT nextval(seqrelid::regclass) FROM pg_sequence
SELECT nextval((SELECT 's_b.notes_id_seq'))
SELECT nextval(pg_get_serial_sequence($1, 'id'))
SELECT nextval(min('s_b.notes_id_seq'))
SELECT ('s_b.notes_id_seq'::regclass).nextval
SELECT (16400::regclass).nextval
SELECT g.nextval FROM unnest(ARRAY[16400::regclass]) g
SELECT TREAT(16400::regclass AS nextval)
SELECT currval('s_b.notes_id_seq')
SELECT setval('s_b.notes_id_seq', 1)
INSERT INTO notes VALUES (nextval('s_b.notes_id_seq'))
SELECT 's_b.notes'::regclass
SELECT regclass 's_b.notes'
SELECT CAST('s_b.notes' AS regclass)
SELECT regclass('s_b.notes')
SELECT 's_b.f(int)'::regprocedure
SELECT 's_b.t[]'::regtype
SELECT to_tsvector('s_b.config', body) FROM notes
SELECT to_tsvector('s_b.config'::regconfig, body) FROM notes
SELECT ts_lexize('s_b.dictionary', 'word')
SELECT * FROM pg_stats
SELECT most_common_vals FROM pg_catalog.pg_stats
SELECT * FROM pg_stats_ext
SELECT * FROM pg_sequences
SELECT * FROM pg_stat_user_tables
SELECT query FROM pg_stat_activity
SELECT pg_sequence_last_value(16400)
SELECT (16400::regclass).pg_sequence_last_value
SELECT pg_stat_get_live_tuples(16400)
SET search_path = s_b
SET LOCAL search_path TO 's_b'
SET SCHEMA 's_b'
RESET search_path
SELECT set_config('search_path', 's_b', true)
SELECT set_config('search_path', 's_b', false)
SELECT * FROM pg_temp.notes
SELECT * FROM pg_toast.pg_toast_16400
SELECT * FROM table_to_xml('s_b.notes', true, true, '')
SELECT query_to_xml('SELECT * FROM notes', true, true, '')
"#;

/// Texts that name nothing but what is open to `s_a`.
const OWN: &str = r#"
SELECT * FROM notes
SELECT * FROM s_a.notes, public.shared, pg_catalog.pg_class, information_schema.tables
SELECT n.id, n.body, m.* FROM notes n JOIN s_a.notes AS m ON n.id = m.id AND m.body = n.body WHERE n.id = 1
SELECT DISTINCT ON (n.id, n.body) n.id, n.body FROM notes n ORDER BY n.id, n.body, n.at DESC NULLS LAST
SELECT notes.id FROM notes WHERE notes.body LIKE notes.title ESCAPE '!' GROUP BY notes.id, notes.body HAVING notes.id > 1
SELECT n.a FROM notes n WHERE n.a BETWEEN n.b AND n.c OR NOT n.d AND n.e IN (n.f, n.g) OR n.h NOT BETWEEN n.i AND n.j
SELECT CASE n.a WHEN n.b THEN n.c WHEN n.d THEN n.e ELSE n.f END FROM notes n
SELECT extract(year FROM n.at), substring(n.a FROM n.b FOR n.c), trim(BOTH n.a FROM n.b), trim(FROM n.a) FROM notes n
SELECT overlay(n.a PLACING n.b FROM n.c FOR n.d), position(n.a IN n.b) FROM notes n
SELECT n.at AT TIME ZONE n.zone, n.a[n.b:n.c], ARRAY[n.a, n.b], (n.a).b, n.a::text, n.b::pg_catalog.int4 FROM notes n
SELECT n.a IS DISTINCT FROM n.b, n.a IS NOT DISTINCT FROM (n.b), count(DISTINCT n.a), count(n.*) FROM notes n
SELECT * FROM notes n JOIN notes m ON (n.id = m.id OR n.a IS DISTINCT FROM m.a) AND m.b = ANY (ARRAY[n.b, n.c])
SELECT * FROM notes n CROSS JOIN LATERAL (VALUES (n.a, 1), (n.b, 2)) v (x, y) CROSS JOIN LATERAL unnest(n.c, n.d) u
SELECT * FROM notes n, LATERAL (SELECT m.id, n.id FROM notes m WHERE m.id = n.id ORDER BY m.id, m.body LIMIT 1) x
SELECT * FROM (SELECT n.id, n.body FROM notes n) x, (notes n JOIN notes m ON n.id = m.id)
SELECT sum(n.a) OVER (PARTITION BY n.b, n.c ORDER BY n.d, n.e ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM notes n
SELECT sum(n.a) OVER w, sum(n.b) FILTER (WHERE n.c) FROM notes n WINDOW w AS (PARTITION BY n.b, n.c)
SELECT json_object('a' VALUE n.a, 'b': n.b), json_build_object('a', n.a), json_value(n.doc, '$' RETURNING int) FROM notes n
SELECT xmlserialize(CONTENT n.doc AS text), xpath_exists('/r', n.doc), xmlexists('/r' PASSING BY VALUE n.doc) FROM notes n
SELECT * FROM xmltable('/r' PASSING '<r/>' COLUMNS a int PATH 'a', b text DEFAULT 'x')
SELECT * FROM notes n, xmltable('/r' PASSING n.doc COLUMNS a int) x, json_to_record(n.doc) AS t (a int, b public.mood)
SELECT 1 OPERATOR(pg_catalog.=) n.id, n.a OPERATOR(pg_catalog.+) n.b, n.a COLLATE pg_catalog."C" FROM notes n
SELECT n.a FROM notes n ORDER BY n.a USING <, n.b
SELECT s_a.notes.id, s_a.notes.*, s_a.f(1), NULL::s_a.t, s_a.t '(1)' FROM s_a.notes
WITH x AS (SELECT n.id FROM notes n), y AS NOT MATERIALIZED (DELETE FROM notes d USING x WHERE d.id = x.id RETURNING d.id, d.body) SELECT x.id, y.id FROM x, y
INSERT INTO notes AS n (id, body) SELECT m.id, m.body FROM notes m, notes o WHERE m.id = o.id ON CONFLICT (id) DO UPDATE SET body = excluded.body, address.zip = excluded.zip WHERE n.id > excluded.id RETURNING n.id, n.body
INSERT INTO s_a.notes VALUES (1), ((SELECT n.id FROM notes n)) RETURNING notes.id, s_a.notes.body
UPDATE notes n SET body = m.body, address.geo.lat = m.lat FROM notes m, notes o WHERE n.id = m.id RETURNING n.id, m.body
UPDATE notes SET address.geo.lat = 1
DELETE FROM notes n USING notes m, notes o WHERE n.id = m.id AND m.id = o.id RETURNING n.id, m.id
MERGE INTO notes n USING notes m ON n.id = m.id WHEN MATCHED AND n.a = m.a THEN UPDATE SET a = m.a, b = m.b WHEN NOT MATCHED THEN INSERT (a, b) VALUES (m.a, m.b) RETURNING merge_action(), n.a, m.a
UPDATE notes SET body = '' RETURNING WITH (OLD AS o, NEW AS n) o.body, n.body
SELECT 1 FROM notes n FOR UPDATE OF n
COPY notes (id, body) FROM STDIN (FORMAT csv, HEADER) WHERE notes.id > 1
COPY (SELECT n.id, n.body FROM notes n) TO STDOUT
CALL s_a.p((SELECT n.id FROM notes n))
DECLARE c CURSOR FOR SELECT n.id, n.body FROM notes n
PREPARE p (int, public.mood) AS SELECT n.id, n.body FROM notes n WHERE n.id = $1
EXECUTE p (1, 'ok'::public.mood)
EXPLAIN (COSTS) SELECT n.id, n.body FROM notes n
LOCK TABLE s_a.notes, public.shared IN SHARE MODE
TRUNCATE notes, s_a.notes
SET TimeZone = 'UTC'
SHOW app.user_id
SET CONSTRAINTS ALL DEFERRED
SELECT nextval('notes_id_seq'), nextval('s_a.notes_id_seq'::regclass), pg_catalog.currval('"s_a"."notes_id_seq"')
SELECT currval(pg_get_serial_sequence('s_a.notes', 'id')), nextval(CAST('notes_id_seq' AS pg_catalog.regclass)), lastval()
SELECT n.nextval FROM notes n
SELECT a.attname FROM pg_attribute a WHERE a.attrelid = '"s_a"."notes"'::regclass OR a.attrelid = 'notes'::regclass
SELECT to_tsvector('english', n.body), to_tsvector('pg_catalog.english', n.body), to_tsquery('a.b') FROM notes n
SELECT 's_b.notes', 'a.b' || 'c.d', E'x.y' AS "s_b.notes"
SELECT c.relname, pg_relation_size(c.oid), pg_get_viewdef(c.oid), obj_description(c.oid) FROM pg_class c
"#;

fn lines(texts: &str) -> impl Iterator<Item = &str> {
    texts.lines().filter(|line| !line.is_empty())
}

#[test]
fn other_tenants_schemas_are_refused_wherever_they_are_named() {
    let allowed: Vec<&str> = lines(FOREIGN)
        .filter(|text| rule_for(&of_a(), text).is_empty())
        .collect();
    assert!(allowed.is_empty(), "allowed:\n{}", allowed.join("\n"));
}

#[test]
fn a_tenants_own_names_pass() {
    let refused = lines(OWN).map(|text| (rule_for(&of_a(), text), text));
    let refused: Vec<String> = refused
        .filter(|(rule, _)| !rule.is_empty())
        .map(|(rule, text)| format!("{rule}: {text}"))
        .collect();
    assert!(refused.is_empty(), "refused:\n{}", refused.join("\n"));
}

#[test]
fn a_refusal_names_the_tenants_schema() {
    let guard = Guard::new(Settings::default());
    let refusal = guard
        .judge_within(&policy(), Some(&of_a()), b"SELECT 1 FROM s_b.notes")
        .unwrap_err();
    assert_eq!(
        (refusal.sqlstate.as_str(), refusal.rule),
        ("42501", "schema.other")
    );
    assert!(refusal.hint.as_ref().unwrap().contains("\"s_a\""), "{refusal:?}");
    assert_eq!(refusal.position, Some(15));
}

/// Where its schema is named, a verdict is one tenant's; all others are kept once for all.
#[test]
fn a_verdict_for_one_tenant_is_none_for_another() {
    let guard = Guard::new(Settings {
        repeated_texts: RepeatedTexts::Prepared,
        ..Settings::default()
    });
    let policy = policy();
    let (a, b) = (of_a(), of_b());
    let judge = |schemas: &Schemas, text: &str| guard.judge_within(&policy, Some(schemas), text.as_bytes());
    for text in [
        "SELECT body FROM s_b.notes",
        "SELECT body FROM s_b.notes WHERE id = 1",
        "SELECT nextval('s_b.seq')",
    ] {
        for _ in 0..4 {
            assert!(judge(&b, text).is_ok(), "{text}");
            assert!(judge(&a, text).is_err(), "{text}");
            assert!(guard.judge(&policy, text.as_bytes()).is_ok(), "{text}");
        }
    }
    for n in 0..8 {
        let text = format!("SELECT body FROM s_b.notes WHERE id = {n}");
        assert!(judge(&b, &text).is_ok() && judge(&a, &text).is_err());
    }
    let common = |schemas| {
        let text = "SELECT n.body FROM notes n";
        (0..3).map(|_| judge(schemas, text).unwrap()).last().unwrap()
    };
    assert!(Arc::ptr_eq(&common(&a), &common(&b)));
}

#[test]
fn trusted_roles_may_name_every_schema() {
    let guard = Guard::new(Settings::default());
    let trusted = Arc::new(Policy::trusted());
    for text in [
        "SELECT * FROM s_b.notes",
        "SET search_path = s_b",
        "SELECT nextval($1)",
    ] {
        assert!(
            guard
                .judge_within(&trusted, Some(&of_a()), text.as_bytes())
                .is_ok(),
            "{text}"
        );
    }
}

#[test]
fn a_policy_that_lets_search_path_be_set_does_not_here() {
    let policy = Arc::new(
        Policy::parse("name = 'p'\nstatements = ['SET', 'SELECT']\nsettable = ['search_path']").unwrap(),
    );
    let guard = Guard::new(Settings::default());
    for text in [
        "SET search_path = s_b",
        "SELECT set_config('search_path', 's_b', true)",
    ] {
        assert!(guard.judge(&policy, text.as_bytes()).is_ok());
        let refusal = guard
            .judge_within(&policy, Some(&of_a()), text.as_bytes())
            .unwrap_err();
        assert_eq!(refusal.rule, "setting.path", "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever the second grammar takes for a relation or a function of another schema is refused, in whatever words
    /// and however nested.
    #[test]
    fn what_another_grammar_finds_is_refused(pieces in prop::collection::vec(piece(), 1..14)) {
        let text = format!("SELECT {}", pieces.join(" "));
        let guard = fresh();
        if guard.judge_within(&POLICY, Some(&A), text.as_bytes()).is_ok() {
            for facts in guard.facts(text.as_bytes()).into_iter().flatten() {
                let names = facts.relations.iter().chain(&facts.functions).chain(&facts.written);
                for name in names {
                    prop_assert!(!name.starts_with("s_b."), "{text}: {name}");
                }
            }
        }
    }
}

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(policy);
static A: LazyLock<Schemas> = LazyLock::new(of_a);

fn piece() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "s_b.notes",
        "s_b.f(1)",
        "n.id",
        "notes",
        "s_a.notes n",
        "1",
        "'x'",
        "n.*",
        "*",
        "FROM",
        "FROM",
        "FROM notes n,",
        "JOIN",
        "ON true",
        "ON n.id = 1",
        "USING (id)",
        ",",
        ",",
        "(",
        ")",
        "(SELECT",
        "FROM (",
        "WHERE",
        "GROUP BY",
        "ORDER BY",
        "UNION SELECT",
        "AS x",
        "CASE WHEN true THEN",
        "END",
        "AND",
        "=",
        "IS DISTINCT FROM",
        "extract(year FROM",
        "LATERAL",
        "ONLY",
        "values",
        "set",
        "by",
        "order",
        "returning",
        "VALUES (1),",
        "EXISTS (",
        "IN (",
        "LIMIT 1",
        "FOR UPDATE",
        "WITHIN GROUP (ORDER BY 1)",
        "OVER (PARTITION BY",
        "ARRAY[",
        "]",
        "::",
        "int",
        "TABLE",
        "DISTINCT",
    ])
}
