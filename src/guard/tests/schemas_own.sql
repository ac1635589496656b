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
SELECT n.as, 1 AS as, n.from, 1 AS from, n.id FROM notes n
