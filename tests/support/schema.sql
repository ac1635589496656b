-- What the tests run against: one database `shop` shared by the tenants acme and globex (told apart by a
-- column) that also holds the schema of initech, and one database `umbrella` of a tenant's own.
-- Run in `shop` by the superuser, once per cluster. Sections are cut at the lines `-- in DATABASE`.

-- in postgres
CREATE ROLE anon NOLOGIN;
CREATE ROLE authenticated NOLOGIN;
CREATE ROLE member NOLOGIN;
CREATE ROLE service_role NOLOGIN BYPASSRLS;
CREATE ROLE portcullis_app LOGIN NOINHERIT PASSWORD 'app-login-password';
CREATE ROLE portcullis_service LOGIN NOINHERIT PASSWORD 'service-login-password';
GRANT anon, authenticated, member TO portcullis_app;
GRANT service_role TO portcullis_service;
-- The control run goes straight to Postgres: these logins carry the identity as their own defaults.
CREATE ROLE direct_alice LOGIN PASSWORD 'direct';
CREATE ROLE direct_bob LOGIN PASSWORD 'direct';
CREATE ROLE direct_carol LOGIN PASSWORD 'direct';
GRANT authenticated TO direct_alice, direct_bob, direct_carol;
ALTER ROLE direct_alice SET role = 'authenticated';
ALTER ROLE direct_alice SET app.user_id = 'alice';
ALTER ROLE direct_alice SET app.tenant = 'acme';
ALTER ROLE direct_bob SET role = 'authenticated';
ALTER ROLE direct_bob SET app.user_id = 'bob';
ALTER ROLE direct_bob SET app.tenant = 'globex';
ALTER ROLE direct_carol SET role = 'authenticated';
ALTER ROLE direct_carol SET app.user_id = 'carol';
ALTER ROLE direct_carol SET app.tenant = 'acme';
CREATE DATABASE shop;
CREATE DATABASE umbrella;

-- in shop
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE TEMPORARY ON DATABASE shop FROM PUBLIC;
CREATE FUNCTION current_user_id() RETURNS text STABLE LANGUAGE sql
    AS $$ SELECT nullif(current_setting('app.user_id', true), '') $$;
CREATE FUNCTION current_tenant() RETURNS text STABLE LANGUAGE sql
    AS $$ SELECT nullif(current_setting('app.tenant', true), '') $$;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');

-- A user's own rows, within the tenant.
CREATE TABLE todos (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL DEFAULT current_tenant(),
    owner text NOT NULL DEFAULT current_user_id(),
    title text NOT NULL,
    shared boolean NOT NULL DEFAULT false
);
ALTER TABLE todos ENABLE ROW LEVEL SECURITY;
ALTER TABLE todos FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON todos TO authenticated, member
    USING (tenant = current_tenant() AND owner = current_user_id())
    WITH CHECK (tenant = current_tenant() AND owner = current_user_id());
CREATE POLICY shared ON todos FOR SELECT TO anon USING (shared AND tenant = current_tenant());
INSERT INTO todos (tenant, owner, title, shared) VALUES
    ('acme', 'alice', 'alice one', false), ('acme', 'alice', 'alice two', true), ('acme', 'carol', 'carol one', false),
    ('globex', 'bob', 'bob one', false), ('globex', 'bob', 'bob two', false), ('globex', 'bob', 'bob three', true);

-- Scratch rows: `run` tells concurrent suites apart.
CREATE TABLE scratch (
    run text NOT NULL,
    tenant text NOT NULL DEFAULT current_tenant(),
    owner text NOT NULL DEFAULT current_user_id(),
    n int NOT NULL,
    body text,
    PRIMARY KEY (run, tenant, owner, n)
);
ALTER TABLE scratch ENABLE ROW LEVEL SECURITY;
ALTER TABLE scratch FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON scratch TO authenticated, member
    USING (tenant = current_tenant() AND owner = current_user_id())
    WITH CHECK (tenant = current_tenant() AND owner = current_user_id());

-- COPY FROM refuses a table under row security (0A000), so applications copy into a view whose trigger
-- inserts as the caller.
CREATE VIEW scratch_in AS SELECT run, n, body FROM scratch;
CREATE FUNCTION scratch_in() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO scratch (run, n, body) VALUES (NEW.run, NEW.n, NEW.body); RETURN NEW; END $$;
CREATE TRIGGER scratch_in INSTEAD OF INSERT ON scratch_in FOR EACH ROW EXECUTE FUNCTION scratch_in();

-- The crossing test: all users of a tenant see all its rows. `note` is what the writer says it is; tenant
-- and owner are what the session's identity says. No primary key: writers must not meet in an index.
CREATE TABLE crossing (
    run text NOT NULL,
    tenant text NOT NULL DEFAULT current_tenant(),
    owner text NOT NULL DEFAULT current_user_id(),
    note text NOT NULL
);
CREATE INDEX ON crossing (run);
ALTER TABLE crossing ENABLE ROW LEVEL SECURITY;
ALTER TABLE crossing FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON crossing TO authenticated, member
    USING (tenant = current_tenant()) WITH CHECK (tenant = current_tenant() AND owner = current_user_id());

CREATE PROCEDURE keep(the_run text, the_body text) LANGUAGE sql
    AS $$ INSERT INTO scratch (run, n, body) VALUES (the_run, 0, the_body) $$;
CREATE PROCEDURE commits(the_run text) LANGUAGE plpgsql
    AS $$ BEGIN INSERT INTO scratch (run, n) VALUES (the_run, 1); COMMIT; INSERT INTO scratch (run, n) VALUES (the_run, 2); END $$;
CREATE FUNCTION who() RETURNS text STABLE LANGUAGE sql
    AS $$ SELECT concat_ws('|', current_user, current_user_id(), current_tenant()) $$;
-- What a session must not find on its server connection, whoever had it before.
-- Its own rights: in a hardened database nobody else may ask for the first two.
CREATE FUNCTION residue() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT concat_ws(',', (SELECT 'statements: ' || string_agg(name, ' ') FROM pg_prepared_statements WHERE from_sql),
        (SELECT 'cursors: ' || string_agg(name, ' ') FROM pg_cursors WHERE is_holdable),
        (SELECT 'channels: ' || string_agg(channel, ' ') FROM pg_listening_channels() AS channel),
        (SELECT 'advisory locks' FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' LIMIT 1))
$$;
-- How much text the statements prepared on this server connection have.
CREATE FUNCTION prepared_bytes() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT coalesce(sum(length(statement)), 0) FROM pg_prepared_statements
$$;
-- The same and more: '' on a connection on which nothing has happened.
CREATE FUNCTION leftovers() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT concat_ws(', ', (SELECT 'statement ' || string_agg(name, ' ') FROM pg_prepared_statements WHERE from_sql),
        (SELECT 'cursor ' || string_agg(name, ' ') FROM pg_cursors WHERE is_holdable OR creation_time < transaction_timestamp()),
        (SELECT 'channel ' || string_agg(channel, ' ') FROM pg_listening_channels() AS channel),
        (SELECT 'lock ' || string_agg(objid::text, ' ') FROM pg_locks
            WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
        (SELECT 'temporary schema' WHERE pg_my_temp_schema() <> 0),
        (SELECT 'temporary ' || string_agg(relname, ' ') FROM pg_class WHERE relnamespace = pg_my_temp_schema()))
$$;
GRANT TEMPORARY ON DATABASE shop TO service_role;
GRANT USAGE ON SCHEMA public TO anon, authenticated, member, service_role;
GRANT CREATE ON SCHEMA public TO service_role;
GRANT SELECT ON todos TO anon;
CREATE SEQUENCE tickets;
GRANT USAGE ON SEQUENCE tickets TO authenticated;
GRANT INSERT ON scratch_in TO authenticated, member;
GRANT SELECT, INSERT, UPDATE, DELETE ON todos, scratch, crossing TO authenticated, member, service_role;

CREATE SCHEMA initech;
CREATE TABLE initech.notes (title text NOT NULL);
INSERT INTO initech.notes VALUES ('of initech');
GRANT USAGE ON SCHEMA initech TO authenticated;
GRANT SELECT ON initech.notes TO authenticated;

-- in umbrella
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE TABLE notes (title text NOT NULL);
INSERT INTO notes VALUES ('of umbrella');
GRANT SELECT ON notes TO authenticated;
