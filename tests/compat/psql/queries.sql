-- Commands that run queries in ways of their own.
SELECT 1 AS n, 'a'::varchar(9) AS v, now() AS t, NULL::numeric(8, 2) AS m \gdesc
SELECT nothing FROM nowhere \gdesc
CREATE TABLE none () \gdesc
SELECT format('SELECT %s AS made', n) FROM generate_series(1, 3) AS n \gexec
SELECT 'SELECT 1/0' UNION ALL SELECT 'SELECT 2' \gexec
SELECT 5 AS five, 'six' AS six \gset given_
\echo :given_five :'given_six' :"given_six"
SELECT 1 WHERE false \gset
SELECT :given_five + 1 AS more, :'given_six' AS quoted;
SELECT 1 AS x, 2 AS y \gx
SELECT * FROM (VALUES ('a', 'x', 1), ('a', 'y', 2), ('b', 'x', 3)) AS v (r, c, n) \crosstabview
SELECT * FROM (VALUES ('a', 'x', 1), ('a', 'x', 2)) AS v (r, c, n) \crosstabview
SELECT 1 \; SELECT 2 \; SELECT 3;
SELECT 1 \; SELECT 1/0 \; SELECT 3;
SELECT 'again';
\g
\p
\r
\timing on
SELECT 'timed';
\timing off
\x on
SELECT 1 AS a, 'two' AS b;
\x off
\pset null ∅
SELECT NULL AS nothing;
\pset format csv
SELECT 1 AS a, 'b,c' AS d;
\pset format aligned
\if :given_five
SELECT 'five is true';
\else
SELECT 'it is not';
\endif
SELECT 1/0;
\errverbose
\echo :ERROR :SQLSTATE :LAST_ERROR_SQLSTATE :ROW_COUNT
SELECT
  one
FROM
  two;
SELECT 'é' || nocolumn;
SELEC 1;
\set VERBOSITY verbose
SELECT nofunction(1);
\set VERBOSITY sqlstate
SELECT nofunction(1);
\set VERBOSITY default
\set SHOW_CONTEXT always
DO $$ BEGIN RAISE NOTICE 'noticed'; RAISE WARNING 'warned' USING HINT = 'a hint', DETAIL = 'details'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = 'P0099'; END $$;
\set FETCH_COUNT 3
SELECT generate_series(1, 8) AS n;
SELECT 10 / (3 - n) FROM generate_series(1, 8) AS n;
\unset FETCH_COUNT
;
\set ECHO_HIDDEN on
\dn
\set ECHO_HIDDEN off
SELECT $$a;b$$ AS dollar, E'\x41' AS escape, U&'\0041' AS unicode, 'two'
' lines' AS joined;
/* a /* nested */ comment; */ SELECT 1 -- and; another
;
VALUES (1), (2);
TABLE pg_database LIMIT 0;
SHOW server_encoding;
EXPLAIN (COSTS off) SELECT 1;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT 1;
CREATE TABLE counted AS SELECT generate_series(1, 5) AS n;
UPDATE counted SET n = n + 1;
DELETE FROM counted WHERE n > 4 RETURNING n;
INSERT INTO counted VALUES (1), (2) RETURNING *;
SELECT n INTO selected FROM counted;
DROP TABLE counted, selected;
DROP TABLE IF EXISTS counted;
\warn to stderr
\o out.txt
SELECT 'to a file';
\o
\! cat out.txt
\gibberish
