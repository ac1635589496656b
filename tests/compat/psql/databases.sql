-- hide: psql_\w+
-- Databases come and go while they are in use by the pool.
SELECT current_database() || '_made' AS made, current_database() AS home \gset
CREATE DATABASE :"made";
\c :"made"
CREATE TABLE here (n int);
INSERT INTO here VALUES (1);
\c :"home"
SELECT :'made' || '_copy' AS copy \gset
CREATE DATABASE :"copy" TEMPLATE :"made";
\c :"copy"
TABLE here;
\c :"home"
DROP DATABASE :"made";
ALTER DATABASE :"copy" RENAME TO :"made";
\c :"made"
TABLE here;
\c :"home"
DROP DATABASE :"made" WITH (FORCE);
DROP DATABASE IF EXISTS :"made";
DROP DATABASE :"made";
DROP DATABASE :"home";
