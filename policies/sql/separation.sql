-- Whether a role may use a table of a tenant's schema that is not its own: a few such tables, or none. Row security
-- counts as a wall where it binds the role; what its policies say, nobody but their author can judge. A view that runs
-- as its caller has the walls of its tables. Any role may ask.
--
-- $1, $2  roles, and the tenant's schema that each may use; NULL where the role serves several tenants
-- $3      the schemas of tenants
WITH asked AS (SELECT r.*, a.own FROM unnest($1::text[], $2::text[]) AS a (name, own)
    JOIN pg_catalog.pg_roles r ON r.rolname = a.name),
homes AS (SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY ($3::text[]))
SELECT a.rolname::text AS role, pg_catalog.format('%I.%I', h.nspname, t.relname) AS name
FROM asked a JOIN homes h ON h.nspname IS DISTINCT FROM a.own::name
CROSS JOIN LATERAL (SELECT c.relname FROM pg_catalog.pg_class c
    WHERE pg_catalog.has_schema_privilege(a.oid, h.oid, 'USAGE')
      AND c.relnamespace = h.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND (pg_catalog.has_table_privilege(a.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
        OR pg_catalog.has_any_column_privilege(a.oid, c.oid, 'SELECT, INSERT, UPDATE'))
      AND NOT (c.relkind IN ('r', 'p') AND c.relrowsecurity AND NOT a.rolsuper AND NOT a.rolbypassrls
        AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(a.oid, c.relowner, 'USAGE')))
      AND NOT (c.relkind = 'v' AND coalesce(c.reloptions, '{}')
        && '{security_invoker=true,security_invoker=on,security_invoker=1,security_invoker=yes}'::text[])
    LIMIT 1) t
LIMIT 4
