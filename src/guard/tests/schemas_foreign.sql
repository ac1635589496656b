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
SELECT n.as FROM odd n, s_b.notes
SELECT (n).as FROM odd n, s_b.notes
SELECT 1 AS as FROM notes n, s_b.notes
SELECT n.as OPERATOR(s_b.*) 1 FROM odd n
SELECT 1 FROM odd n WHERE n.as IN (SELECT 1 AS as FROM notes, s_b.notes)
INSERT INTO trim (SELECT body FROM s_b.notes)
INSERT INTO overlay (WITH x AS (SELECT 1) SELECT n.body FROM x, s_b.notes n)
SELECT 1 AS from, (SELECT max(id) FROM s_b.notes)
SELECT 1 select, (SELECT 1 FROM s_b.notes)
WITH s_b AS (SELECT 1) SELECT * FROM s_b.notes
WITH x AS MATERIALIZED (DELETE FROM s_b.notes RETURNING id) SELECT * FROM x
WITH x AS (UPDATE notes SET body = '' FROM s_b.notes RETURNING 1) SELECT * FROM x
SELECT * FROM notes UNION TABLE s_b.notes
TABLE s_b.notes
TABLE ONLY s_b.notes
(TABLE s_b.notes)
SELECT ARRAY(SELECT x.body FROM (TABLE s_b.notes) x)
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
SELECT json_value(update, '$' RETURNING s_b.t) FROM notes
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
