-- What node-postgres, postgres.js, pg-promise, Knex, Sequelize, TypeORM, Drizzle and Kysely sent to a server, from its log: one after the other, each ended by a line `;;`.
select * from "author" where "id" > $1 or "name" in ($2, $3) order by "name" asc limit $4
;;
select "title" from "author" inner join "book" on "author"."id" = "book"."author_id" group by "title" having count(*) > $1
;;
insert into "tag" ("label") values ($1) returning "id"
;;
insert into "author" ("email", "name") values ($1, $2) on conflict ("email") do update set "email" = excluded."email", "name" = excluded."name"
;;
update "tag" set "label" = $1 where "id" = $2
;;
delete from "tag" where "id" = $1
;;
select * from information_schema.tables where table_name = $1 and table_schema = current_schema()
;;
select * from information_schema.columns where table_name = $1 and column_name = $2 and table_schema = current_schema()
;;
select * from information_schema.columns where table_name = $1 and table_catalog = current_database() and table_schema = current_schema()
;;
select * from "author" for update skip locked
;;
SAVEPOINT trx3
;;
select * from "tag"
;;
RELEASE SAVEPOINT trx3
;;
with "c" as (select "id" from "book") select * from "c"
;;
select rank() over (order by "id") as "r" from "book"
;;
select * from "author" where jsonb_path_query_first("meta", $1)::int > $2
;;
select * from "author" where exists (select * from "book" where book.author_id = author.id) limit $1
;;
select count(*) as "n" from "book" limit $1
;;
select * from "book" union select * from "book"
;;
select $1::int
;;
SET client_min_messages TO warning;SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE
;;
WITH ranges AS (  SELECT pg_range.rngtypid, pg_type.typname AS rngtypname,         pg_type.typarray AS rngtyparray, pg_range.rngsubtype    FROM pg_range LEFT OUTER JOIN pg_type ON pg_type.oid = pg_range.rngtypid)SELECT pg_type.typname, pg_type.typtype, pg_type.oid, pg_type.typarray,       ranges.rngtypname, ranges.rngtypid, ranges.rngtyparray  FROM pg_type LEFT OUTER JOIN ranges ON pg_type.oid = ranges.rngsubtype WHERE (pg_type.typtype IN('b', 'e'))
;;
SELECT 1+1 AS result
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type LIKE '%TABLE' AND table_name != 'spatial_ref_sys'
;;
SELECT pk.constraint_type as "Constraint",c.column_name as "Field", c.column_default as "Default",c.is_nullable as "Null", (CASE WHEN c.udt_name = 'hstore' THEN c.udt_name ELSE c.data_type END) || (CASE WHEN c.character_maximum_length IS NOT NULL THEN '(' || c.character_maximum_length || ')' ELSE '' END) as "Type", (SELECT array_agg(e.enumlabel) FROM pg_catalog.pg_type t JOIN pg_catalog.pg_enum e ON t.oid=e.enumtypid WHERE t.typname=c.udt_name) AS "special", (SELECT pgd.description FROM pg_catalog.pg_statio_all_tables AS st INNER JOIN pg_catalog.pg_description pgd on (pgd.objoid=st.relid) WHERE c.ordinal_position=pgd.objsubid AND c.table_name=st.relname) AS "Comment" FROM information_schema.columns c LEFT JOIN (SELECT tc.table_schema, tc.table_name, cu.column_name, tc.constraint_type FROM information_schema.TABLE_CONSTRAINTS tc JOIN information_schema.KEY_COLUMN_USAGE  cu ON tc.table_schema=cu.table_schema and tc.table_name=cu.table_name and tc.constraint_name=cu.constraint_name and tc.constraint_type='PRIMARY KEY') pk ON pk.table_schema=c.table_schema AND pk.table_name=c.table_name AND pk.column_name=c.column_name WHERE c.table_name = 'book' AND c.table_schema = 'public'
;;
SELECT i.relname AS name, ix.indisprimary AS primary, ix.indisunique AS unique, ix.indkey AS indkey, array_agg(a.attnum) as column_indexes, array_agg(a.attname) AS column_names, pg_get_indexdef(ix.indexrelid) AS definition FROM pg_class t, pg_class i, pg_index ix, pg_attribute a WHERE t.oid = ix.indrelid AND i.oid = ix.indexrelid AND a.attrelid = t.oid AND t.relkind = 'r' and t.relname = 'book' GROUP BY i.relname, ix.indexrelid, ix.indisprimary, ix.indisunique, ix.indkey ORDER BY i.relname
;;
SELECT DISTINCT tc.constraint_name as constraint_name, tc.constraint_schema as constraint_schema, tc.constraint_catalog as constraint_catalog, tc.table_name as table_name,tc.table_schema as table_schema,tc.table_catalog as table_catalog,tc.initially_deferred as initially_deferred,tc.is_deferrable as is_deferrable,kcu.column_name as column_name,ccu.table_schema  AS referenced_table_schema,ccu.table_catalog  AS referenced_table_catalog,ccu.table_name  AS referenced_table_name,ccu.column_name AS referenced_column_name FROM information_schema.table_constraints AS tc JOIN information_schema.key_column_usage AS kcu ON tc.constraint_name = kcu.constraint_name JOIN information_schema.constraint_column_usage AS ccu ON ccu.constraint_name = tc.constraint_name WHERE constraint_type = 'FOREIGN KEY' AND tc.table_name = 'book' AND tc.table_catalog = 'shop'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name = 'book'
;;
SELECT schema_name FROM information_schema.schemata WHERE schema_name <> 'information_schema' AND schema_name != 'public' AND schema_name !~ E'^pg_'
;;
SELECT "author".*, "books"."id" AS "books.id", "books"."title" AS "books.title", "books"."author_id" AS "books.author_id" FROM (SELECT "author"."id", "author"."name", "author"."email", "author"."meta", "author"."tags" FROM "author" AS "author" WHERE ("author"."name" = 'x' OR "author"."name" = 'y') AND "author"."name" ILIKE '%a%' AND "author"."id" IN (1, 2) AND CAST(("author"."meta"#>>'{a}') AS DOUBLE PRECISION) = 1 AND "author"."tags" @> ARRAY['x']::TEXT[] ORDER BY "author"."name" ASC LIMIT 2) AS "author" LEFT OUTER JOIN "book" AS "books" ON "author"."id" = "books"."author_id" ORDER BY "author"."name" ASC
;;
SELECT count(*) AS "count" FROM "author" AS "author"
;;
SELECT "id", "name", "email", "meta", "tags" FROM "author" AS "author" LIMIT 1
;;
START TRANSACTION
;;
SELECT "id", "name", "email", "meta", "tags" FROM "author" AS "author" WHERE "author"."name" = 'so' LIMIT 1
;;
INSERT INTO "author" ("id","name","email") VALUES ($1,$2,$3) ON CONFLICT ("id") DO UPDATE SET "id"=EXCLUDED."id","name"=EXCLUDED."name","email"=EXCLUDED."email" RETURNING "id","name","email","meta","tags"
;;
INSERT INTO "author" ("id","name","email") VALUES (DEFAULT,'b1','b1@x') ON CONFLICT DO NOTHING RETURNING "id","name","email","meta","tags"
;;
UPDATE "author" SET "name"=$1 WHERE "id" = $2 RETURNING "id","name","email","meta","tags"
;;
DELETE FROM "author" WHERE "id" = 999
;;
UPDATE "author" SET "id"="id"+ 1 WHERE "id" = 999 RETURNING *
;;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
;;
SELECT "id", "name", "email", "meta", "tags" FROM "author" AS "author" LIMIT 1 FOR UPDATE SKIP LOCKED
;;
SELECT sum("id") AS "sum" FROM "book" AS "book"
;;
SELECT version()
;;
SELECT * FROM current_schema()
;;
SELECT * FROM current_database()
;;
SELECT "table_schema", "table_name", obj_description((quote_ident("table_schema") || '.' || quote_ident("table_name"))::regclass, 'pg_class') AS table_comment FROM "information_schema"."tables" WHERE ("table_schema" = 'public' AND "table_name" = 'book')
;;
SELECT TRUE FROM information_schema.columns WHERE table_name = 'pg_class' and column_name = 'relispartition'
;;
SELECT columns.*, pg_catalog.col_description((quote_ident(table_catalog) || '.' || quote_ident(table_schema) || '.' || quote_ident(table_name))::regclass::oid, ordinal_position) AS description, ('"' || "udt_schema" || '"."' || "udt_name" || '"')::"regtype"::text AS "regtype", pg_catalog.format_type("col_attr"."atttypid", "col_attr"."atttypmod") AS "format_type" FROM "information_schema"."columns" LEFT JOIN "pg_catalog"."pg_attribute" AS "col_attr" ON "col_attr"."attname" = "columns"."column_name" AND "col_attr"."attrelid" = ( SELECT "cls"."oid" FROM "pg_catalog"."pg_class" AS "cls" LEFT JOIN "pg_catalog"."pg_namespace" AS "ns" ON "ns"."oid" = "cls"."relnamespace" WHERE "cls"."relname" = "columns"."table_name" AND "ns"."nspname" = "columns"."table_schema" ) WHERE ("table_schema" = 'public' AND "table_name" = 'book')
;;
SELECT "ns"."nspname" AS "table_schema", "t"."relname" AS "table_name", "cnst"."conname" AS "constraint_name", pg_get_constraintdef("cnst"."oid") AS "expression", CASE "cnst"."contype" WHEN 'p' THEN 'PRIMARY' WHEN 'u' THEN 'UNIQUE' WHEN 'c' THEN 'CHECK' WHEN 'x' THEN 'EXCLUDE' END AS "constraint_type", "a"."attname" AS "column_name" FROM "pg_constraint" "cnst" INNER JOIN "pg_class" "t" ON "t"."oid" = "cnst"."conrelid" INNER JOIN "pg_namespace" "ns" ON "ns"."oid" = "cnst"."connamespace" LEFT JOIN "pg_attribute" "a" ON "a"."attrelid" = "cnst"."conrelid" AND "a"."attnum" = ANY ("cnst"."conkey") WHERE "t"."relkind" IN ('r', 'p') AND (("ns"."nspname" = 'public' AND "t"."relname" = 'book'))
;;
SELECT "ns"."nspname" AS "table_schema", "t"."relname" AS "table_name", "i"."relname" AS "constraint_name", "a"."attname" AS "column_name", CASE "ix"."indisunique" WHEN 't' THEN 'TRUE' ELSE'FALSE' END AS "is_unique", pg_get_expr("ix"."indpred", "ix"."indrelid") AS "condition", "types"."typname" AS "type_name", "am"."amname" AS "index_type" FROM "pg_class" "t" INNER JOIN "pg_index" "ix" ON "ix"."indrelid" = "t"."oid" INNER JOIN "pg_attribute" "a" ON "a"."attrelid" = "t"."oid"  AND "a"."attnum" = ANY ("ix"."indkey") INNER JOIN "pg_namespace" "ns" ON "ns"."oid" = "t"."relnamespace" INNER JOIN "pg_class" "i" ON "i"."oid" = "ix"."indexrelid" INNER JOIN "pg_type" "types" ON "types"."oid" = "a"."atttypid" INNER JOIN "pg_am" "am" ON "i"."relam" = "am"."oid" LEFT JOIN "pg_constraint" "cnst" ON "cnst"."conname" = "i"."relname" WHERE "t"."relkind" IN ('r', 'p') AND "cnst"."contype" IS NULL AND (("ns"."nspname" = 'public' AND "t"."relname" = 'book'))
;;
SELECT "con"."conname" AS "constraint_name", "con"."nspname" AS "table_schema", "con"."relname" AS "table_name", "att2"."attname" AS "column_name", "ns"."nspname" AS "referenced_table_schema", "cl"."relname" AS "referenced_table_name", "att"."attname" AS "referenced_column_name", "con"."confdeltype" AS "on_delete", "con"."confupdtype" AS "on_update", "con"."condeferrable" AS "deferrable", "con"."condeferred" AS "deferred" FROM ( SELECT UNNEST ("con1"."conkey") AS "parent", UNNEST ("con1"."confkey") AS "child", "con1"."confrelid", "con1"."conrelid", "con1"."conname", "con1"."contype", "ns"."nspname", "cl"."relname", "con1"."condeferrable", CASE WHEN "con1"."condeferred" THEN 'INITIALLY DEFERRED' ELSE 'INITIALLY IMMEDIATE' END as condeferred, CASE "con1"."confdeltype" WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END as "confdeltype", CASE "con1"."confupdtype" WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END as "confupdtype" FROM "pg_class" "cl" INNER JOIN "pg_namespace" "ns" ON "cl"."relnamespace" = "ns"."oid" INNER JOIN "pg_constraint" "con1" ON "con1"."conrelid" = "cl"."oid" WHERE "con1"."contype" = 'f' AND (("ns"."nspname" = 'public' AND "cl"."relname" = 'book')) ) "con" INNER JOIN "pg_attribute" "att" ON "att"."attrelid" = "con"."confrelid" AND "att"."attnum" = "con"."child" INNER JOIN "pg_class" "cl" ON "cl"."oid" = "con"."confrelid"  AND "cl"."relispartition" = 'f'INNER JOIN "pg_namespace" "ns" ON "cl"."relnamespace" = "ns"."oid" INNER JOIN "pg_attribute" "att2" ON "att2"."attrelid" = "con"."conrelid" AND "att2"."attnum" = "con"."parent"
;;
SELECT "udt_schema", "udt_name" FROM "information_schema"."columns" WHERE "table_schema" = 'public' AND "table_name" = 'author' AND "column_name"='mood'
;;
SELECT "e"."enumlabel" AS "value" FROM "pg_enum" "e" INNER JOIN "pg_type" "t" ON "t"."oid" = "e"."enumtypid" INNER JOIN "pg_namespace" "n" ON "n"."oid" = "t"."typnamespace" WHERE "n"."nspname" = 'public' AND "t"."typname" = 'mood' ORDER BY "e"."enumsortorder"
;;
SELECT * FROM "information_schema"."tables" WHERE "table_schema" = $1 AND "table_name" = $2
;;
SELECT * FROM "information_schema"."columns" WHERE "table_schema" = $1 AND "table_name" = $2 AND "column_name" = $3
;;
SELECT * FROM "information_schema"."schemata" WHERE "schema_name" = $1
;;
SELECT "table_schema", "table_name", obj_description((quote_ident("table_schema") || '.' || quote_ident("table_name"))::regclass, 'pg_class') AS table_comment FROM "information_schema"."tables" WHERE ("table_schema" = 'public' AND "table_name" = 'author') OR ("table_schema" = 'public' AND "table_name" = 'book')
;;
SELECT columns.*, pg_catalog.col_description((quote_ident(table_catalog) || '.' || quote_ident(table_schema) || '.' || quote_ident(table_name))::regclass::oid, ordinal_position) AS description, ('"' || "udt_schema" || '"."' || "udt_name" || '"')::"regtype"::text AS "regtype", pg_catalog.format_type("col_attr"."atttypid", "col_attr"."atttypmod") AS "format_type" FROM "information_schema"."columns" LEFT JOIN "pg_catalog"."pg_attribute" AS "col_attr" ON "col_attr"."attname" = "columns"."column_name" AND "col_attr"."attrelid" = ( SELECT "cls"."oid" FROM "pg_catalog"."pg_class" AS "cls" LEFT JOIN "pg_catalog"."pg_namespace" AS "ns" ON "ns"."oid" = "cls"."relnamespace" WHERE "cls"."relname" = "columns"."table_name" AND "ns"."nspname" = "columns"."table_schema" ) WHERE ("table_schema" = 'public' AND "table_name" = 'author') OR ("table_schema" = 'public' AND "table_name" = 'book')
;;
SELECT "ns"."nspname" AS "table_schema", "t"."relname" AS "table_name", "cnst"."conname" AS "constraint_name", pg_get_constraintdef("cnst"."oid") AS "expression", CASE "cnst"."contype" WHEN 'p' THEN 'PRIMARY' WHEN 'u' THEN 'UNIQUE' WHEN 'c' THEN 'CHECK' WHEN 'x' THEN 'EXCLUDE' END AS "constraint_type", "a"."attname" AS "column_name" FROM "pg_constraint" "cnst" INNER JOIN "pg_class" "t" ON "t"."oid" = "cnst"."conrelid" INNER JOIN "pg_namespace" "ns" ON "ns"."oid" = "cnst"."connamespace" LEFT JOIN "pg_attribute" "a" ON "a"."attrelid" = "cnst"."conrelid" AND "a"."attnum" = ANY ("cnst"."conkey") WHERE "t"."relkind" IN ('r', 'p') AND (("ns"."nspname" = 'public' AND "t"."relname" = 'author') OR ("ns"."nspname" = 'public' AND "t"."relname" = 'book'))
;;
SELECT "ns"."nspname" AS "table_schema", "t"."relname" AS "table_name", "i"."relname" AS "constraint_name", "a"."attname" AS "column_name", CASE "ix"."indisunique" WHEN 't' THEN 'TRUE' ELSE'FALSE' END AS "is_unique", pg_get_expr("ix"."indpred", "ix"."indrelid") AS "condition", "types"."typname" AS "type_name", "am"."amname" AS "index_type" FROM "pg_class" "t" INNER JOIN "pg_index" "ix" ON "ix"."indrelid" = "t"."oid" INNER JOIN "pg_attribute" "a" ON "a"."attrelid" = "t"."oid"  AND "a"."attnum" = ANY ("ix"."indkey") INNER JOIN "pg_namespace" "ns" ON "ns"."oid" = "t"."relnamespace" INNER JOIN "pg_class" "i" ON "i"."oid" = "ix"."indexrelid" INNER JOIN "pg_type" "types" ON "types"."oid" = "a"."atttypid" INNER JOIN "pg_am" "am" ON "i"."relam" = "am"."oid" LEFT JOIN "pg_constraint" "cnst" ON "cnst"."conname" = "i"."relname" WHERE "t"."relkind" IN ('r', 'p') AND "cnst"."contype" IS NULL AND (("ns"."nspname" = 'public' AND "t"."relname" = 'author') OR ("ns"."nspname" = 'public' AND "t"."relname" = 'book'))
;;
SELECT "con"."conname" AS "constraint_name", "con"."nspname" AS "table_schema", "con"."relname" AS "table_name", "att2"."attname" AS "column_name", "ns"."nspname" AS "referenced_table_schema", "cl"."relname" AS "referenced_table_name", "att"."attname" AS "referenced_column_name", "con"."confdeltype" AS "on_delete", "con"."confupdtype" AS "on_update", "con"."condeferrable" AS "deferrable", "con"."condeferred" AS "deferred" FROM ( SELECT UNNEST ("con1"."conkey") AS "parent", UNNEST ("con1"."confkey") AS "child", "con1"."confrelid", "con1"."conrelid", "con1"."conname", "con1"."contype", "ns"."nspname", "cl"."relname", "con1"."condeferrable", CASE WHEN "con1"."condeferred" THEN 'INITIALLY DEFERRED' ELSE 'INITIALLY IMMEDIATE' END as condeferred, CASE "con1"."confdeltype" WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END as "confdeltype", CASE "con1"."confupdtype" WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END as "confupdtype" FROM "pg_class" "cl" INNER JOIN "pg_namespace" "ns" ON "cl"."relnamespace" = "ns"."oid" INNER JOIN "pg_constraint" "con1" ON "con1"."conrelid" = "cl"."oid" WHERE "con1"."contype" = 'f' AND (("ns"."nspname" = 'public' AND "cl"."relname" = 'author') OR ("ns"."nspname" = 'public' AND "cl"."relname" = 'book')) ) "con" INNER JOIN "pg_attribute" "att" ON "att"."attrelid" = "con"."confrelid" AND "att"."attnum" = "con"."child" INNER JOIN "pg_class" "cl" ON "cl"."oid" = "con"."confrelid"  AND "cl"."relispartition" = 'f'INNER JOIN "pg_namespace" "ns" ON "cl"."relnamespace" = "ns"."oid" INNER JOIN "pg_attribute" "att2" ON "att2"."attrelid" = "con"."conrelid" AND "att2"."attnum" = "con"."parent"
;;
SELECT "n"."nspname", "t"."typname" FROM "pg_type" "t" INNER JOIN "pg_namespace" "n" ON "n"."oid" = "t"."typnamespace" WHERE "n"."nspname" = 'public' AND "t"."typname" = 'mood'
;;
SELECT DISTINCT "distinctAlias"."author_id" AS "ids_author_id", "distinctAlias"."author_name" FROM (SELECT "author"."id" AS "author_id", "author"."name" AS "author_name", "author"."email" AS "author_email", "author__author_books"."id" AS "author__author_books_id", "author__author_books"."title" AS "author__author_books_title", "author__author_books"."author_id" AS "author__author_books_author_id" FROM "author" "author" LEFT JOIN "book" "author__author_books" ON "author__author_books"."author_id"="author"."id" WHERE (("author"."name" = $1))) "distinctAlias" ORDER BY "distinctAlias"."author_name" ASC, "author_id" ASC LIMIT 2 OFFSET 0
;;
SELECT "author"."id" AS "author_id", "author"."name" AS "author_name", "author"."email" AS "author_email", "author__author_books"."id" AS "author__author_books_id", "author__author_books"."title" AS "author__author_books_title", "author__author_books"."author_id" AS "author__author_books_author_id" FROM "author" "author" LEFT JOIN "book" "author__author_books" ON "author__author_books"."author_id"="author"."id" WHERE ( (("author"."name" = $1)) ) AND ( "author"."id" IN (1) ) ORDER BY "author"."name" ASC
;;
SELECT "author"."id" AS "author_id", "author"."name" AS "author_name", "author"."email" AS "author_email" FROM "author" "author"
;;
INSERT INTO "author"("name", "email") VALUES ($1, $2) RETURNING "id"
;;
SELECT "author"."id" AS "author_id", "author"."name" AS "author_name", "author"."email" AS "author_email" FROM "author" "author" WHERE "author"."id" = $1
;;
UPDATE "author" SET "name" = $1 WHERE "id" = $2
;;
DELETE FROM "author" WHERE "id" = $1
;;
SELECT "a"."id" AS "a_id", "a"."name" AS "a_name", "a"."email" AS "a_email", "b"."id" AS "b_id", "b"."title" AS "b_title", "b"."author_id" AS "b_author_id" FROM "author" "a" LEFT JOIN "book" "b" ON "b"."author_id"="a"."id" WHERE "a"."id" IN ($1, $2) ORDER BY "a"."id" ASC
;;
INSERT INTO "author"("name", "email") VALUES ($1, $2) ON CONFLICT ( "email" ) DO UPDATE SET "email" = EXCLUDED."email", "name" = EXCLUDED."name" RETURNING "id"
;;
SELECT "author"."id" AS "author_id", "author"."name" AS "author_name", "author"."email" AS "author_email" FROM "author" "author" FOR UPDATE
;;
UPDATE "author" SET "id" = "id" + 1 WHERE "id" = $1
;;
SELECT 1 AS "row_exists" FROM (SELECT 1 AS dummy_column) "dummy_table" WHERE EXISTS (SELECT 1 FROM "author" "author") LIMIT 1
;;
SELECT SUM("author"."id") AS "SUM" FROM "author" "author"
;;
select 1 as v
;;
select * from author where name = 'O''x'
;;
select 1 where false
;;
savepoint sp_1_1
;;
release savepoint sp_1_1
;;
insert into "tag"("label") values('a'),('b')
;;
select * from add1(1)
;;
select "author"."id", "author"."name", "author"."email", "book"."id", "book"."title", "book"."author_id" from "author" left join "book" on "book"."author_id" = "author"."id" where "author"."name" = $1 limit $2
;;
insert into "author" ("id", "name", "email") values (default, $1, $2) on conflict ("email") do update set "name" = $3 returning "id", "name", "email"
;;
update "author" set "name" = $1 where "author"."id" = $2
;;
delete from "book" where "book"."id" = $1
;;
begin isolation level repeatable read read write not deferrable
;;
select count(*) from "author"
;;
savepoint sp1
;;
select "id", "title", "author_id" from "book" for update skip locked
;;
release savepoint sp1
;;
select "a"."attname" as "column", "a"."attnotnull" as "not_null", "a"."atthasdef" as "has_default", "c"."relname" as "table", "c"."relkind" as "table_type", "ns"."nspname" as "schema", "typ"."typname" as "type", "dtns"."nspname" as "type_schema", col_description(a.attrelid, a.attnum) as "column_description", pg_get_serial_sequence(quote_ident(ns.nspname) || '.' || quote_ident(c.relname), a.attname) as "auto_incrementing" from "pg_catalog"."pg_attribute" as "a" inner join "pg_catalog"."pg_class" as "c" on "a"."attrelid" = "c"."oid" inner join "pg_catalog"."pg_namespace" as "ns" on "c"."relnamespace" = "ns"."oid" inner join "pg_catalog"."pg_type" as "typ" on "a"."atttypid" = "typ"."oid" inner join "pg_catalog"."pg_namespace" as "dtns" on "typ"."typnamespace" = "dtns"."oid" where "c"."relkind" in ($1, $2, $3) and "ns"."nspname" !~ $4 and "ns"."nspname" != $5 and "ns"."nspname" != $6 and has_schema_privilege(ns.nspname, 'USAGE') and "a"."attnum" >= $7 and "a"."attisdropped" != $8 and "c"."relname" != $9 and "c"."relname" != $10 order by "ns"."nspname", "c"."relname", "a"."attnum"
;;
select "nspname" from "pg_catalog"."pg_namespace"
;;
select "author"."name", "book"."title" from "author" inner join "book" on "book"."author_id" = "author"."id" where "author"."id" in ($1, $2)
;;
insert into "tag" ("label") values ($1) returning *
;;
start transaction isolation level serializable
;;
select * from "tag" for update
;;
delete from "tag" where "id" = $1 returning "id"
;;
select * from "book"
;;
select now()
;;
select b.oid, b.typarray
      from pg_catalog.pg_type a
      left join pg_catalog.pg_type b on b.oid = a.typelem
      where a.typcategory = 'A'
      group by b.oid, b.typarray
      order by b.oid
;;
select * from author where id in ($1,$2)
;;
insert into tag ("label")values($1) returning *
;;
update tag set "label"=$1 where id = 99
;;
select $1::text[]
;;
begin
;;
savepoint "s0"
;;
commit
;;
