-- What a database lacks for tenants that have a role of their own each: one row for each thing, in the order in which
-- they have to be mended, as in harden.sql. It changes nothing and gives no row for what is done.
--
-- The wall is USAGE on the tenant's schema, which its own roles alone have. Rights on its tables go from the roles that
-- all tenants share to the tenant's own as well: without USAGE nobody names such a table, but statistics (pg_stats) and
-- sequences by number would still be shown. Where nothing was granted yet, a tenant's role gets what its policy's
-- statements need. That is done once, when it gets USAGE: what an owner revokes later stays revoked.
--
-- $1      schemas; NULL where the tenant has none to itself
-- $2, $3  the token's role and the tenant's own; the same where the tenant has a login of its own alone
-- $4      the users that log in for it
-- $5      what the policy's statements need of a table, as in GRANT; '' for nothing
-- $6      end users' roles of tokens, which tenants share
-- $7      trusted roles, which keep what PUBLIC loses
WITH
tenants AS (SELECT t.schema, t.parent, t.role, t.login, t.privileges, n.oid AS nspoid, n.nspacl, n.nspowner,
        r.oid AS roleoid, p.oid AS parentoid, l.oid AS loginoid, r.rolinherit, r.rolcanlogin,
        coalesce(l.rolsuper, false) AS login_is_super, t.role <> t.parent AS is_own
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS t (schema, parent, role, login, privileges)
    LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema
    LEFT JOIN pg_catalog.pg_roles r ON r.rolname = t.role
    LEFT JOIN pg_catalog.pg_roles p ON p.rolname = t.parent
    LEFT JOIN pg_catalog.pg_roles l ON l.rolname = t.login),
own AS (SELECT * FROM tenants WHERE is_own),
housed AS (SELECT * FROM own WHERE nspoid IS NOT NULL),
homes AS (SELECT DISTINCT nspoid, schema, nspacl, nspowner FROM housed),
-- Whoever must not get into a tenant's schema: roles that tenants share, and other tenants' own.
strangers AS (SELECT r.oid, pg_catalog.quote_ident(r.rolname) AS name, r.rolname FROM pg_catalog.pg_roles r
        WHERE r.rolname = ANY ($6::text[])
    UNION ALL SELECT 0, 'PUBLIC', NULL
    UNION ALL SELECT DISTINCT roleoid, pg_catalog.quote_ident(role), role FROM own WHERE roleoid IS NOT NULL),
keepers AS (SELECT pg_catalog.quote_ident(rolname) AS name FROM pg_catalog.pg_roles WHERE rolname = ANY ($7::text[])),
relations AS (SELECT c.oid, c.relkind, c.relacl, c.relowner, h.schema, h.nspoid,
        CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, pg_catalog.format('%I.%I', h.schema, c.relname) AS name
    FROM pg_catalog.pg_class c JOIN homes h ON h.nspoid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')),
-- What strangers hold on what is in a tenant's schema, whole or by column.
held AS (SELECT r.schema, r.nspoid, r.kind, r.name, a.grantee, a.privilege_type AS privilege, r.oid, 0 AS attnum
        FROM relations r, LATERAL pg_catalog.aclexplode(r.relacl) a
    UNION ALL SELECT r.schema, r.nspoid, r.kind, r.name, a.grantee,
        pg_catalog.format('%s (%I)', a.privilege_type, c.attname), r.oid, c.attnum
        FROM relations r JOIN pg_catalog.pg_attribute c ON c.attrelid = r.oid AND c.attnum > 0 AND c.attacl IS NOT NULL,
        LATERAL pg_catalog.aclexplode(c.attacl) a),
foreign_held AS (SELECT h.*, s.name AS stranger, s.rolname AS stranger_role FROM held h JOIN strangers s ON s.oid = h.grantee
    WHERE NOT EXISTS (SELECT FROM own o WHERE o.nspoid = h.nspoid AND o.roleoid = s.oid)),
-- Schemas in which somebody has said what the shared roles may do: that is what the tenant's roles get.
spoken AS (SELECT DISTINCT nspoid FROM foreign_held),
defaults AS (SELECT h.schema, h.nspoid, d.defaclnamespace, d.defaclobjtype, o.rolname AS maker, a.grantee, s.name AS stranger,
        s.rolname AS stranger_role, string_agg(DISTINCT a.privilege_type, ', ') AS privileges,
        CASE d.defaclobjtype WHEN 'S' THEN 'SEQUENCES' ELSE 'TABLES' END AS kind
    FROM homes h JOIN pg_catalog.pg_default_acl d ON d.defaclnamespace IN (0, h.nspoid) AND d.defaclobjtype IN ('r', 'S')
    JOIN pg_catalog.pg_roles o ON o.oid = d.defaclrole, LATERAL pg_catalog.aclexplode(d.defaclacl) a
    JOIN strangers s ON s.oid = a.grantee
    WHERE NOT EXISTS (SELECT FROM own o WHERE o.nspoid = h.nspoid AND o.roleoid = s.oid)
    GROUP BY h.schema, h.nspoid, d.defaclnamespace, d.defaclobjtype, o.rolname, a.grantee, s.name, s.rolname),
-- Those who make tables there, as far as the one who asks may speak for them.
makers AS (SELECT DISTINCT h.nspoid, o.rolname FROM homes h
    LEFT JOIN relations r ON r.nspoid = h.nspoid JOIN pg_catalog.pg_roles o ON o.oid IN (h.nspowner, r.relowner)
    WHERE pg_catalog.pg_has_role(o.oid, 'USAGE')),
entering AS (SELECT h.*, pg_catalog.quote_ident(h.role) AS own_name, s.nspoid IS NOT NULL AS is_spoken
    FROM housed h LEFT JOIN spoken s ON s.nspoid = h.nspoid
    WHERE h.roleoid IS NULL OR NOT EXISTS (SELECT FROM pg_catalog.aclexplode(h.nspacl) a
        WHERE a.grantee = h.roleoid AND a.privilege_type = 'USAGE')),
version AS (SELECT pg_catalog.current_setting('server_version_num')::int >= 160000 AS has_options)

SELECT rule, kind, object, problem, fix FROM (

SELECT DISTINCT 1 AS step, 'tenant.role' AS rule, 'mend' AS kind, pg_catalog.quote_ident(o.role) AS object,
    'there is no such role' AS problem, pg_catalog.format('CREATE ROLE %I NOLOGIN', o.role) AS fix
    FROM own o WHERE o.roleoid IS NULL
UNION ALL
SELECT DISTINCT 2, 'tenant.role', 'mend', pg_catalog.quote_ident(o.role), 'it does not inherit what the token''s role has',
    pg_catalog.format('ALTER ROLE %I INHERIT', o.role) FROM own o WHERE NOT o.rolinherit
UNION ALL
SELECT DISTINCT 2, 'tenant.role', 'advice', pg_catalog.quote_ident(o.role), 'it may log in by itself, past the proxy',
    pg_catalog.format('ALTER ROLE %I NOLOGIN', o.role) FROM own o WHERE o.rolcanlogin

-- Policies TO the token's role, and what it is granted elsewhere, hold for a member that inherits.
UNION ALL
SELECT DISTINCT 3, 'tenant.member', 'mend', pg_catalog.quote_ident(o.role),
    pg_catalog.format('policies and grants of %I do not hold for it', o.parent),
    pg_catalog.format('GRANT %I TO %I%s', o.parent, o.role, CASE WHEN v.has_options THEN ' WITH INHERIT TRUE, SET FALSE' ELSE '' END)
    FROM own o, version v WHERE o.parentoid IS NOT NULL AND (o.roleoid IS NULL OR NOT EXISTS (
        SELECT FROM pg_catalog.pg_auth_members m WHERE m.member = o.roleoid AND m.roleid = o.parentoid
          AND coalesce((pg_catalog.to_jsonb(m) ->> 'inherit_option')::boolean, true)))
UNION ALL
SELECT DISTINCT 4, 'tenant.login', 'advice', pg_catalog.quote_ident(t.login), 'there is no such login',
    pg_catalog.format('CREATE ROLE %I LOGIN NOINHERIT PASSWORD …', t.login) FROM tenants t WHERE t.loginoid IS NULL
UNION ALL
SELECT DISTINCT 4, 'tenant.login', 'mend', pg_catalog.quote_ident(t.login), pg_catalog.format('it may not become %I', t.role),
    pg_catalog.format('GRANT %I TO %I%s', t.role, t.login, CASE WHEN v.has_options THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END)
    FROM tenants t, version v WHERE t.loginoid IS NOT NULL AND NOT t.login_is_super AND (t.roleoid IS NOT NULL OR t.is_own)
      AND (t.roleoid IS NULL OR NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
        WHERE m.member = t.loginoid AND m.roleid = t.roleoid
          AND coalesce((pg_catalog.to_jsonb(m) ->> 'set_option')::boolean, true)))

-- Into its schema: USAGE, and where nobody has said otherwise what its statements need, now and of tables to come.
UNION ALL
SELECT 5, 'tenant.schema', 'mend', pg_catalog.quote_ident(e.schema), pg_catalog.format('%s may not use it', e.own_name),
    concat_ws('; ', pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %s', e.schema, e.own_name),
        CASE WHEN e.is_spoken OR e.privileges = '' THEN NULL ELSE
            pg_catalog.format('GRANT %s ON ALL TABLES IN SCHEMA %I TO %s', e.privileges, e.schema, e.own_name) END,
        CASE WHEN e.is_spoken OR e.privileges !~ 'INSERT' THEN NULL ELSE
            pg_catalog.format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO %s', e.schema, e.own_name) END,
        (SELECT string_agg(pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT %s ON TABLES TO %s%s',
                m.rolname, e.schema, e.privileges, e.own_name,
                CASE WHEN e.privileges !~ 'INSERT' THEN '' ELSE pg_catalog.format(
                    '; ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT USAGE ON SEQUENCES TO %s', m.rolname, e.schema, e.own_name) END),
                '; ' ORDER BY m.rolname)
            FROM makers m WHERE m.nspoid = e.nspoid AND NOT e.is_spoken AND e.privileges <> ''),
        (SELECT string_agg(pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT %s ON %s TO %s',
                d.maker, e.schema, d.privileges, d.kind, e.own_name), '; ' ORDER BY d.maker, d.kind)
            FROM defaults d WHERE d.nspoid = e.nspoid AND e.is_spoken AND d.defaclnamespace = 0
              AND (d.grantee = 0 OR d.grantee = e.parentoid) AND EXISTS (SELECT FROM pg_catalog.pg_roles r
                WHERE r.rolname = d.maker AND pg_catalog.pg_has_role(r.oid, 'USAGE'))))
    FROM entering e

-- What the shared roles have there goes to the tenant's own, and what other tenants' have goes.
UNION ALL
SELECT 6, 'tenant.tables', 'mend', f.name, pg_catalog.format('%s has %s', f.stranger, string_agg(DISTINCT f.privilege, ', ')),
    concat_ws('; ', (SELECT string_agg(pg_catalog.format('GRANT %s ON %s %s TO %s', g.privileges, f.kind, f.name, g.name), '; ' ORDER BY g.name)
            FROM (SELECT pg_catalog.quote_ident(o.role) AS name, string_agg(DISTINCT x.privilege, ', ') AS privileges
                    FROM own o JOIN foreign_held x ON x.oid = f.oid AND x.grantee = f.grantee
                    WHERE o.nspoid = f.nspoid AND (f.grantee = 0 OR o.parentoid = f.grantee) GROUP BY o.role
                UNION ALL SELECT k.name, string_agg(DISTINCT x.privilege, ', ') FROM keepers k
                    JOIN foreign_held x ON x.oid = f.oid AND x.grantee = f.grantee WHERE f.grantee = 0 GROUP BY k.name) g),
        pg_catalog.format('REVOKE %s ON %s %s FROM %s', string_agg(DISTINCT f.privilege, ', '), f.kind, f.name, f.stranger))
    FROM foreign_held f GROUP BY f.oid, f.nspoid, f.kind, f.name, f.grantee, f.stranger
UNION ALL
SELECT 7, 'tenant.defaults', 'mend', pg_catalog.quote_ident(d.schema),
    pg_catalog.format('%s that %I will make there give %s %s', lower(d.kind), d.maker, d.stranger, d.privileges),
    concat_ws('; ', (SELECT string_agg(pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT %s ON %s TO %I',
                d.maker, d.schema, d.privileges, d.kind, o.role), '; ' ORDER BY o.role)
            FROM own o WHERE o.nspoid = d.nspoid AND (d.grantee = 0 OR o.parentoid = d.grantee)),
        pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I REVOKE %s ON %s FROM %s',
            d.maker, d.schema, d.privileges, d.kind, d.stranger))
    FROM defaults d WHERE d.defaclnamespace = d.nspoid
UNION ALL
SELECT DISTINCT 7, 'tenant.defaults', 'advice', d.stranger,
    pg_catalog.format('%s that %I makes in any schema give it %s, in tenants'' schemas too', lower(d.kind), d.maker, d.privileges),
    pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE %s ON %s FROM %s', d.maker, d.privileges, d.kind, d.stranger)
    FROM defaults d WHERE d.defaclnamespace = 0

-- Last, so that the tenant's own roles have what they need when the others lose it.
UNION ALL
SELECT DISTINCT 8, 'tenant.strangers', 'mend', pg_catalog.quote_ident(h.schema), pg_catalog.format('%s may use it', s.name),
    concat_ws('; ', CASE WHEN s.oid = 0 THEN (SELECT pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %s', h.schema, string_agg(k.name, ', ' ORDER BY k.name))
            FROM keepers k HAVING count(*) > 0) END,
        pg_catalog.format('REVOKE USAGE ON SCHEMA %I FROM %s', h.schema, s.name))
    FROM homes h, LATERAL pg_catalog.aclexplode(h.nspacl) a JOIN strangers s ON s.oid = a.grantee
    WHERE a.privilege_type = 'USAGE'
      AND NOT EXISTS (SELECT FROM own o WHERE o.nspoid = h.nspoid AND o.roleoid = s.oid)

) AS findings ORDER BY step, kind DESC, rule, object, problem
