-- What applications and other drivers send, from their documentation and experience: each ended by a line `;;`.
SELECT role, session, set_config, "drop" FROM words WHERE role = 'admin' AND set_config <> 'x'
;;
SELECT w.role, w.session AS set_config, w.set_config AS role FROM words AS w ORDER BY w.role
;;
INSERT INTO words (role, session, set_config) VALUES ('DROP TABLE students', 'SET ROLE postgres', 'COMMIT; --')
;;
UPDATE words SET role = 'truncate', session = 'reset all' WHERE set_config IS NULL
;;
DELETE FROM words WHERE role IN ('grant', 'revoke', 'create')
;;
SELECT 'DROP TABLE x; COMMIT; SET ROLE y' AS text, $$CREATE TABLE t (); -- $$ AS more, E'it''s \'; RESET ROLE; \'' AS escaped
;;
SELECT /* DROP TABLE x; /* nested */ SET ROLE y */ 1 -- ; COMMIT
;;
SELECT U&'d\0061t\+000061' AS data, U&"set_config" FROM words
;;
SELECT $function$ BEGIN COMMIT; END $function$, $a$ $b$ $a$
;;
SELECT "order", "user", "table", "select" FROM quoted
;;
SELECT current_user, current_role, session_user, user, current_schema, current_database(), version()
;;
SELECT current_setting('server_version'), current_setting('TimeZone'), current_setting('app.missing', true)
;;
SELECT set_config FROM words AS t WHERE t.set_config = 'set_config(''role'', ''x'', true)'
;;
SELECT count(*) AS count, max(id) AS max, now() AS now FROM words
;;
TABLE words
;;
VALUES (1, 'one'), (2, 'two')
;;
(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 LIMIT 1
;;
WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t
;;
WITH moved AS (DELETE FROM words WHERE id < 0 RETURNING *) INSERT INTO words SELECT * FROM moved
;;
WITH a AS MATERIALIZED (SELECT 1 AS x), b AS NOT MATERIALIZED (SELECT 2 AS y) SELECT * FROM a, b
;;
INSERT INTO words (id, role) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET role = excluded.role WHERE words.role <> excluded.role RETURNING id, role
;;
INSERT INTO words DEFAULT VALUES RETURNING *
;;
INSERT INTO numbered OVERRIDING SYSTEM VALUE VALUES (7, 'x')
;;
MERGE INTO words w USING (VALUES (1, 'x')) AS v (id, role) ON w.id = v.id WHEN MATCHED THEN UPDATE SET role = v.role WHEN NOT MATCHED THEN INSERT (id, role) VALUES (v.id, v.role)
;;
UPDATE words SET tags[1] = 'x', tags = tags || 'y'::text WHERE id = 1
;;
UPDATE words AS w SET (role, session) = (SELECT 'a', 'b') FROM quoted q WHERE w.id = q."order"
;;
DELETE FROM words USING quoted WHERE words.id = quoted."order" RETURNING words.*
;;
SELECT * FROM words FOR NO KEY UPDATE OF words SKIP LOCKED
;;
SELECT * FROM words w JOIN LATERAL (SELECT * FROM quoted q WHERE q."order" = w.id LIMIT 1) AS l ON true
;;
SELECT * FROM ROWS FROM (generate_series(1, 3), generate_series(1, 2)) WITH ORDINALITY AS t (a, b, n)
;;
SELECT DISTINCT ON (role) role, id FROM words ORDER BY role, id DESC
;;
SELECT role, count(*) FILTER (WHERE id > 1) FROM words GROUP BY GROUPING SETS ((role), ())
;;
SELECT role, rank() OVER w, lag(id) OVER w FROM words WINDOW w AS (PARTITION BY role ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE TIES)
;;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY id), string_agg(role, ', ' ORDER BY role) FROM words
;;
SELECT id BETWEEN SYMMETRIC 5 AND 1, id = ANY (ARRAY[1, 2]), id NOT IN (1, 2), role ILIKE '%a_', role SIMILAR TO 'a|b', role ~* '^a' FROM words
;;
SELECT id OPERATOR(pg_catalog.+) 1, -id, @ -5, 5 !~~ 6::text FROM words
;;
SELECT (w).role, (w).*, ROW(1, 'x') = ROW(1, 'x') FROM words w
;;
SELECT '{"a": [1, 2]}'::jsonb -> 'a' ->> 0, '{"a": 1}'::jsonb @> '{"a": 1}', '{"a": 1}'::jsonb ? 'a', '{"a":1}'::jsonb #>> '{a}', jsonb_path_query('[1,2]', '$[*] ? (@ > 1)')
;;
SELECT * FROM json_to_recordset('[{"a": 1}]') AS x (a int)
;;
SELECT ARRAY[[1, 2], [3, 4]][1:2][1], (ARRAY[1, 2])[1], '{1,2}'::int[] && ARRAY[1]
;;
SELECT DATE '2026-01-01' + INTERVAL '1 day', TIMESTAMP WITH TIME ZONE '2026-01-01 00:00Z' AT TIME ZONE 'UTC', EXTRACT(epoch FROM now()) > 0
;;
SELECT CASE WHEN id = 1 THEN 'a' WHEN id IS DISTINCT FROM 2 THEN 'b' ELSE NULL END, COALESCE(role, ''), NULLIF(role, ''), GREATEST(1, 2) FROM words
;;
SELECT 1.5e3, 0.1, .5, 1::bigint, B'101', X'1F', 'a' 'b' AS wrong
;;
SELECT 'a'
'b' AS joined
;;
SELECT overlay('abc' PLACING 'x' FROM 2 FOR 1), substring('abc' FROM 2), trim(BOTH 'x' FROM 'xax'), position('b' IN 'abc')
;;
SELECT to_tsvector('english', 'a fat cat') @@ to_tsquery('english', 'cat & fat'), ts_rank(to_tsvector('cat'), to_tsquery('cat')), ts_headline('a cat', to_tsquery('cat'))
;;
SELECT gen_random_uuid() IS NOT NULL, md5('x'), encode(sha256('x'), 'hex')
;;
SELECT pg_advisory_xact_lock(42)
;;
SELECT pg_try_advisory_xact_lock_shared(1, 2)
;;
SELECT nextval('words_id_seq') > 0, currval('words_id_seq') > 0
;;
SELECT pg_sleep(0)
;;
SELECT txid_current() > 0, pg_current_xact_id() IS NOT NULL, pg_is_in_recovery(), pg_backend_pid() > 0
;;
SELECT pg_relation_size('words') >= 0, pg_size_pretty(1024::bigint), pg_get_viewdef('short'::regclass), 'words'::regclass::text, to_regclass('missing')
;;
SELECT format('%I %L %s', 'a b', 'c''d', 1), quote_ident('a b'), quote_literal('x')
;;
COPY words TO STDOUT WITH (FORMAT csv, HEADER true, DELIMITER ';', FORCE_QUOTE (role))
;;
COPY (SELECT id, role FROM words WHERE role = 'into outfile') TO STDOUT
;;
COPY words (id, role) TO STDOUT (FORMAT binary)
;;
CALL nothing(1)
;;
CALL nothing(a => 1)
;;
SET CONSTRAINTS ALL DEFERRED
;;
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE
;;
START TRANSACTION READ WRITE, ISOLATION LEVEL REPEATABLE READ
;;
begin transaction isolation level read committed read write
;;
COMMIT AND NO CHAIN
;;
ROLLBACK WORK
;;
ABORT
;;
END TRANSACTION
;;
SHOW ALL
;;
SHOW server_version
;;
SHOW TRANSACTION ISOLATION LEVEL
;;
SHOW standard_conforming_strings
;;
SHOW max_identifier_length
;;
SHOW integer_datetimes
;;
SET client_min_messages TO warning
;;
SET client_encoding TO 'UTF8'
;;
SET standard_conforming_strings = on
;;
SET extra_float_digits = 3
;;
SET application_name = 'PostgreSQL JDBC Driver'
;;
SET datestyle TO ISO
;;
SET intervalstyle = iso_8601
;;
SET SESSION timezone TO 'UTC'
;;
SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE
;;
SET NAMES 'utf8'
;;
SET statement_timeout TO 30000
;;
SET LOCAL lock_timeout = '2s'
;;
RESET statement_timeout
;;
RESET ALL
;;
DISCARD ALL
;;
DEALLOCATE ALL
;;
CLOSE ALL
;;
UNLISTEN *
;;
SELECT pg_advisory_unlock_all()
;;
SELECT oid, typname FROM pg_type WHERE typtype IN ('b', 'p', 'r', 'e') OR typname IN ('int2', 'bool')
;;
SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type as t LEFT JOIN pg_range as r ON oid = rngtypid WHERE t.typname IN ('int2', 'int4', 'int8', 'oid', 'float4', 'float8', 'numeric', 'bool')
;;
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.atttypid, a.atttypmod, c.collname, col_description(a.attrelid, a.attnum) AS comment, attidentity AS identity, attgenerated AS attgenerated FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum LEFT JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation WHERE a.attrelid = '"words"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
;;
SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (current_schemas(false)) AND c.relname = 'words' AND c.relkind IN ('r','v','m','p','f')
;;
SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid FROM (SELECT typ.oid, typ.typnamespace, typ.typname, typ.typtype, typ.typrelid, typ.typnotnull, typ.relkind, elemtyp.oid AS elemtypoid, CASE WHEN proc.proname = 'array_recv' THEN 'a' ELSE typ.typtype END AS kind FROM (SELECT typ.oid, typnamespace, typname, typrelid, typnotnull, relkind, typelem AS elemoid, typtype, typreceive FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid)) AS typ JOIN pg_proc AS proc ON proc.oid = typ.typreceive LEFT JOIN pg_type AS elemtyp ON elemtyp.oid = typ.elemoid) AS t JOIN pg_namespace AS ns ON (ns.oid = typnamespace)
;;
SELECT NULL AS table_cat, n.nspname AS table_schem, c.relname AS table_name, CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN 'SYSTEM TABLE' ELSE 'TABLE' END AS table_type, d.description AS remarks FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass) WHERE c.relnamespace = n.oid AND c.relname LIKE 'words' ORDER BY table_type, table_schem, table_name
;;
SELECT t.typname, t.typtype, t.typelem, r.rngsubtype, t.typbasetype, n.nspname, t.typrelid FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid INNER JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = $1
;;
SELECT enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = $1 ORDER BY enumsortorder
;;
SELECT attname, atttypid FROM pg_catalog.pg_attribute WHERE attrelid = $1 AND NOT attisdropped AND attnum > 0 ORDER BY attnum
;;
SELECT e.typdelim FROM pg_catalog.pg_type t, pg_catalog.pg_type e WHERE t.oid = $1 AND t.typelem = e.oid
;;
SELECT tc.table_schema, tc.constraint_name, kcu.column_name, ccu.table_name AS foreign_table_name FROM information_schema.table_constraints AS tc JOIN information_schema.key_column_usage AS kcu ON tc.constraint_name = kcu.constraint_name JOIN information_schema.constraint_column_usage AS ccu ON ccu.constraint_name = tc.constraint_name WHERE tc.constraint_type = 'FOREIGN KEY'
;;
SELECT table_name, column_name, data_type, is_nullable, column_default, is_generated FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
;;
SELECT COUNT(*) AS "count" FROM "words" WHERE ("words"."role" = $1 AND "words"."id" > $2) LIMIT $3
;;
SELECT "public"."words"."id", "public"."words"."role" FROM "public"."words" WHERE ("public"."words"."id" = $1 AND 1=1) LIMIT $2 OFFSET $3
;;
select w1_0.id,w1_0.role from words w1_0 where w1_0.id=$1 for no key update
;;
insert into words (role,session,set_config,id) values ($1,$2,$3,nextval('words_id_seq')) returning id
;;
SELECT "words".* FROM "words" WHERE "words"."role" = $1 ORDER BY "words"."id" ASC LIMIT $2
;;
