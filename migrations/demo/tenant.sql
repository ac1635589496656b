-- One tenant's database of the demonstration. May run again: data that is there stays.

-- Only the two logins come in, and nobody makes temporary tables or anything else. The database is named by
-- where this runs.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO portcullis_app, portcullis_service', current_database());
END
$$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
-- The trusted backend may run migrations.
GRANT CREATE ON SCHEMA public TO service_role;

-- Who the caller is, as Portcullis says at the start of every transaction. A setting that has been set once in
-- a connection reads back as '' afterwards, not NULL; '' must not match anything.
CREATE OR REPLACE FUNCTION current_user_id() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(pg_catalog.current_setting('app.user_id', true), '') $$;

CREATE OR REPLACE FUNCTION current_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(pg_catalog.current_setting('app.tenant', true), '') $$;

CREATE TABLE IF NOT EXISTS todos (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL DEFAULT current_tenant(),
    owner      text NOT NULL DEFAULT current_user_id(),
    title      text NOT NULL CHECK (title <> ''),
    done       boolean NOT NULL DEFAULT false,
    public     boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS todos_owner ON todos (owner, id);

-- FORCE: the owner of the table is held to its policies as well.
ALTER TABLE todos ENABLE ROW LEVEL SECURITY;
ALTER TABLE todos FORCE ROW LEVEL SECURITY;

REVOKE ALL ON todos FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT ON todos TO anon;
GRANT SELECT, INSERT, UPDATE, DELETE ON todos TO authenticated;
GRANT ALL ON todos TO service_role;

-- (SELECT …) around the functions: asked once for each query, not once for each row.
DROP POLICY IF EXISTS todos_own ON todos;
CREATE POLICY todos_own ON todos TO authenticated
    USING (owner = (SELECT current_user_id()) AND tenant = (SELECT current_tenant()))
    WITH CHECK (owner = (SELECT current_user_id()) AND tenant = (SELECT current_tenant()));

DROP POLICY IF EXISTS todos_public ON todos;
CREATE POLICY todos_public ON todos FOR SELECT TO anon
    USING (public AND tenant = (SELECT current_tenant()));

-- service_role passes by BYPASSRLS already; the policy says so, and keeps it so on servers where that attribute
-- cannot be given.
DROP POLICY IF EXISTS todos_service ON todos;
CREATE POLICY todos_service ON todos TO service_role USING (true) WITH CHECK (true);
