-- What the attacks are run against, on top of the tests' own schema: a database that grants an end user far too
-- much, so that a statement that gets through has an effect. `SECRET-` marks what alice must never read.
UPDATE todos SET title = 'SECRET-' || title WHERE owner <> 'alice';
CREATE TABLE vault (secret text NOT NULL);
INSERT INTO vault VALUES ('SECRET-of-the-service');
GRANT SELECT ON vault TO member, service_role, portcullis_app;
-- GRANT ALL is what tutorials say.
GRANT ALL ON todos, scratch, crossing TO authenticated;
CREATE SEQUENCE ledger;
GRANT ALL ON SEQUENCE ledger TO authenticated, member;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO authenticated;
GRANT CREATE ON SCHEMA public TO PUBLIC;
GRANT SELECT, UPDATE ON pg_settings TO PUBLIC;
-- An application's own function that runs text: the policy denies it by name.
CREATE FUNCTION run_text(q text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE q; RETURN q; END $$;
CREATE FUNCTION owners_count() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS $$ SELECT count(*) FROM todos $$;
CREATE PROCEDURE ends_transaction() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
CREATE PROCEDURE undoes_transaction() LANGUAGE plpgsql AS $$ BEGIN ROLLBACK; END $$;
CREATE AGGREGATE pick(text) (sfunc = textcat, stype = text);
SELECT lo_from_bytea(4242, 'SECRET-large-object');
GRANT SELECT, UPDATE ON LARGE OBJECT 4242 TO authenticated, member;
-- Whatever of these the server's installation has.
DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['dblink', 'tablefunc', 'xml2', 'lo', 'pg_trgm', 'pageinspect', 'pgrowlocks', 'hstore'] LOOP
        BEGIN
            EXECUTE format('CREATE EXTENSION %I', wanted);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
END $$;
