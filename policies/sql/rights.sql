-- Every right, attribute and membership that hardening may touch, as it is now: one row for each thing that does not have
-- what it was made with. What differs between two runs of it within a transaction is what the transaction changed, and
-- what `portcullis harden --undo` puts back. It changes nothing and reads only what every role may read.
--
-- kind     what GRANT calls it; DEFAULT PRIVILEGES, ROLE, MEMBERSHIP and ROW SECURITY for what has no list of rights
-- object   its name, as SQL writes it
-- part     the column; of default privileges the clauses FOR ROLE and IN SCHEMA; of a membership the member
-- owner    who owns it
-- rights   a list of rights in the server's order, each [grantee, grantor, privilege, grantable]; '' is PUBLIC. Else one
--          object of attributes
-- initial  what it is without an entry of its own
WITH
roles AS (SELECT oid, rolname::text AS name FROM pg_catalog.pg_roles UNION ALL SELECT 0, ''),
lists AS (
    SELECT 'ROUTINE' AS kind, pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
            pg_catalog.pg_get_function_identity_arguments(p.oid)) AS object, NULL AS part, p.proowner AS owner, p.proacl AS acl,
        pg_catalog.acldefault('f', p.proowner) AS initial
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, pg_catalog.format('%I.%I', n.nspname, c.relname), NULL,
        c.relowner, c.relacl, pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'COLUMN', pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.quote_ident(a.attname), c.relowner, a.attacl, NULL::aclitem[]
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT a.attisdropped
    UNION ALL
    SELECT 'SCHEMA', pg_catalog.quote_ident(n.nspname), NULL, n.nspowner, n.nspacl, pg_catalog.acldefault('n', n.nspowner)
        FROM pg_catalog.pg_namespace n
    UNION ALL
    SELECT 'DATABASE', pg_catalog.quote_ident(d.datname), NULL, d.datdba, d.datacl, pg_catalog.acldefault('d', d.datdba)
        FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
    UNION ALL
    SELECT 'LANGUAGE', pg_catalog.quote_ident(l.lanname), NULL, l.lanowner, l.lanacl, pg_catalog.acldefault('l', l.lanowner)
        FROM pg_catalog.pg_language l
    UNION ALL
    SELECT 'TYPE', pg_catalog.format('%I.%I', n.nspname, t.typname), NULL, t.typowner, t.typacl, pg_catalog.acldefault('T', t.typowner)
        FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    UNION ALL
    SELECT 'FOREIGN SERVER', pg_catalog.quote_ident(s.srvname), NULL, s.srvowner, s.srvacl, pg_catalog.acldefault('S', s.srvowner)
        FROM pg_catalog.pg_foreign_server s
    UNION ALL
    SELECT 'DEFAULT PRIVILEGES', CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
            WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
        pg_catalog.format('FOR ROLE %I', o.name) || coalesce(' IN SCHEMA ' || pg_catalog.quote_ident(n.nspname), ''), d.defaclrole, d.defaclacl,
        CASE WHEN d.defaclnamespace <> 0 THEN NULL
            ELSE pg_catalog.acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole) END
        FROM pg_catalog.pg_default_acl d JOIN roles o ON o.oid = d.defaclrole
        LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace)
SELECT l.kind, l.object, coalesce(l.part, '') AS part, o.name AS owner, r.rights::text AS rights, i.rights::text AS initial
    FROM lists l JOIN roles o ON o.oid = l.owner,
    LATERAL (SELECT coalesce(json_agg(json_build_array(e.name, g.name, a.privilege_type, a.is_grantable) ORDER BY a.at), '[]') AS rights
        FROM pg_catalog.aclexplode(l.acl) WITH ORDINALITY AS a (grantor, grantee, privilege_type, is_grantable, at)
        JOIN roles e ON e.oid = a.grantee JOIN roles g ON g.oid = a.grantor) r,
    LATERAL (SELECT coalesce(json_agg(json_build_array(e.name, g.name, a.privilege_type, a.is_grantable) ORDER BY a.at), '[]') AS rights
        FROM pg_catalog.aclexplode(l.initial) WITH ORDINALITY AS a (grantor, grantee, privilege_type, is_grantable, at)
        JOIN roles e ON e.oid = a.grantee JOIN roles g ON g.oid = a.grantor) i
    WHERE l.acl IS NOT NULL
UNION ALL
SELECT 'ROLE', pg_catalog.quote_ident(r.rolname), '', '', json_build_object('INHERIT', r.rolinherit, 'SUPERUSER', r.rolsuper,
        'BYPASSRLS', r.rolbypassrls, 'CREATEROLE', r.rolcreaterole, 'CREATEDB', r.rolcreatedb, 'REPLICATION', r.rolreplication,
        'LOGIN', r.rolcanlogin)::text, '{}'
    FROM pg_catalog.pg_roles r
UNION ALL
-- From 16 on a membership counts once for each grantor and has three options; before, one and ADMIN.
SELECT 'MEMBERSHIP', pg_catalog.quote_ident(r.name), pg_catalog.quote_ident(m.name),
    CASE WHEN pg_catalog.to_jsonb(a) ? 'inherit_option' THEN pg_catalog.quote_ident(g.name) ELSE '' END,
    json_strip_nulls(json_build_object('ADMIN', a.admin_option, 'INHERIT', pg_catalog.to_jsonb(a) -> 'inherit_option',
        'SET', pg_catalog.to_jsonb(a) -> 'set_option'))::text, '{}'
    FROM pg_catalog.pg_auth_members a JOIN roles r ON r.oid = a.roleid JOIN roles m ON m.oid = a.member
    LEFT JOIN roles g ON g.oid = a.grantor
UNION ALL
SELECT 'ROW SECURITY', pg_catalog.format('%I.%I', n.nspname, c.relname), '', '',
    json_build_object('ENABLE', c.relrowsecurity, 'FORCE', c.relforcerowsecurity)::text, '{"ENABLE":false,"FORCE":false}'
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relrowsecurity OR c.relforcerowsecurity
