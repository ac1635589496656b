-- The roles of the demonstration, for the whole cluster. May run again: nothing is made twice.
--
-- Ahead of it the session sets portcullis.app_password and portcullis.service_password, which the two
-- logins get each time.

DO $$
DECLARE
    wanted text;
BEGIN
    -- What transactions run as. Nobody logs in as one of these.
    FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
        EXECUTE format('ALTER ROLE %I NOLOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE', wanted);
    END LOOP;

    -- What Portcullis logs in as. They own nothing and are granted nothing of their own, and NOINHERIT
    -- keeps the grants of their roles from them: a transaction that has not become one of the roles sees nothing.
    FOREACH wanted IN ARRAY ARRAY['portcullis_app', 'portcullis_service'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
        EXECUTE format('ALTER ROLE %I LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE', wanted);
    END LOOP;
END
$$;

ALTER ROLE anon NOBYPASSRLS;
ALTER ROLE authenticated NOBYPASSRLS;
-- The trusted backend. It has a login and a pool of its own, so no end user's session can become it.
ALTER ROLE service_role BYPASSRLS;
ALTER ROLE portcullis_app NOBYPASSRLS;
ALTER ROLE portcullis_service NOBYPASSRLS;

DO $$
DECLARE
    -- From PostgreSQL 16 on each membership says for itself whether it inherits.
    options text := CASE WHEN current_setting('server_version_num')::int >= 160000
                         THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
BEGIN
    EXECUTE 'GRANT anon TO portcullis_app' || options;
    EXECUTE 'GRANT authenticated TO portcullis_app' || options;
    EXECUTE 'GRANT service_role TO portcullis_service' || options;
    EXECUTE format('ALTER ROLE portcullis_app PASSWORD %L', current_setting('portcullis.app_password'));
    EXECUTE format('ALTER ROLE portcullis_service PASSWORD %L', current_setting('portcullis.service_password'));
END
$$;
