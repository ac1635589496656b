-- An application as it is where nobody is a superuser (RDS and its like): all of it belongs to `landlord`, who may make
-- roles and databases and nothing more, and whom policies bind. Run by `landlord` in a database of its own.
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO anon, authenticated, member;

-- A helper that policies call, over tables that have those policies: it must go on seeing all rows.
CREATE TABLE app.memberships (team int NOT NULL, person text NOT NULL);
CREATE TABLE app.documents (id int PRIMARY KEY, team int NOT NULL, title text NOT NULL, seen int NOT NULL DEFAULT 0);
CREATE FUNCTION app.is_member(wanted int) RETURNS boolean STABLE SECURITY DEFINER SET search_path = app, pg_temp LANGUAGE sql
    AS $$ SELECT EXISTS (SELECT FROM app.memberships WHERE team = wanted AND person = current_setting('app.user_id', true)) $$;
ALTER TABLE app.memberships ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.documents ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON app.memberships USING (app.is_member(team));
CREATE POLICY mine ON app.documents USING (app.is_member(team));
INSERT INTO app.memberships VALUES (1, 'alice'), (1, 'carol'), (2, 'bob');
INSERT INTO app.documents VALUES (1, 1, 'alice one'), (2, 1, 'alice two'), (3, 2, 'bob one');
-- What tutorials say.
GRANT ALL ON app.memberships, app.documents TO authenticated, member;

-- A view of the owner's that shows more than its reader has, and can be written through.
CREATE VIEW app.titles WITH (security_barrier) AS SELECT id, title FROM app.documents WHERE title NOT LIKE 'bob%';
GRANT SELECT, UPDATE ON app.titles TO authenticated, anon;

-- A trigger that notifies runs as whoever writes.
CREATE FUNCTION app.tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_notify('documents', NEW.id::text); RETURN NEW; END $$;
CREATE TRIGGER tell AFTER UPDATE ON app.documents FOR EACH ROW EXECUTE FUNCTION app.tell();

-- Functions that need more than reading and writing, as their callers.
CREATE TABLE app.basket (n int);
GRANT SELECT, INSERT, DELETE, TRUNCATE, TRIGGER ON app.basket TO authenticated;
CREATE FUNCTION app.empty_basket() RETURNS void LANGUAGE plpgsql AS $$ BEGIN TRUNCATE app.basket; END $$;
CREATE FUNCTION app.sorted() RETURNS bigint LANGUAGE plpgsql AS $$
    BEGIN
        CREATE TEMP TABLE IF NOT EXISTS sorting (n int) ON COMMIT DROP;
        RETURN (SELECT count(*) FROM sorting);
    END $$;
CREATE FUNCTION app.one_at_a_time() RETURNS boolean LANGUAGE sql
    AS $$ SELECT pg_try_advisory_lock(42) AND pg_advisory_unlock(42) $$;
CREATE FUNCTION app.attach() RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE made oid; BEGIN EXECUTE 'SELECT lo_' || 'create(0)' INTO made; RETURN made > 0; END $$;
CREATE SEQUENCE app.numbers;
GRANT ALL ON SEQUENCE app.numbers TO authenticated;
CREATE FUNCTION app.restart() RETURNS bigint LANGUAGE sql AS $$ SELECT setval('app.numbers', 1) $$;
CREATE TABLE app.log (at timestamptz DEFAULT now(), snapshot text DEFAULT pg_export_snapshot());
GRANT INSERT ON app.log TO authenticated;
CREATE VIEW app.cursors AS SELECT count(*) AS open FROM pg_cursors;
GRANT SELECT ON app.cursors TO authenticated;
-- The owner's rights: what it has is what counts.
CREATE FUNCTION app.call() RETURNS boolean SECURITY DEFINER SET search_path = app, pg_temp LANGUAGE sql
    AS $$ SELECT pg_notify('call', '') IS NOT NULL AND pg_stat_clear_snapshot() IS NOT NULL $$;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON TABLES TO authenticated;
