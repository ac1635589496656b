-- What a database lacks to stand on its own behind Portcullis: one row for each thing, with the statement that
-- mends it. `portcullis harden` runs those of kind `mend`, `portcullis check` names all of them. It changes
-- nothing, reads only what every role may read, and gives no row twice, so it may run at any time.
--
-- Everything here comes second: the guard refuses the same things before a server is asked. What may take something away
-- from an application is `advice`; so becomes every `mend` that takes a right which the database's own code needs
-- (`harden::needs` reads that from the fix: REVOKE … ON …). Where PUBLIC loses a right, all roles that are neither end
-- users nor can become one keep it by name. What was given to an end user by name, once PUBLIC had lost it, was given by
-- a person and stays.
--
-- kind    mend: harden does it; advice: a person decides; gap: the wall is not there, and only a person can put it there
--
-- $1, $2  pairs: login roles, and the roles that transactions of that login run as
-- $3      end-user roles
-- $4      trusted roles, and others that keep what PUBLIC loses
-- $5, $6  reserved functions: names, with a schema or without, and beginnings of names; `cron.` and `dbms_*.` are whole
--         schemas (policies/reserved_functions.toml)
-- $7      those of $4 that were asked for by name
WITH
pairs AS (SELECT l.oid AS login, r.oid AS role, l.rolname AS login_name, r.rolname AS role_name
    FROM unnest($1::text[], $2::text[]) AS p (login, role)
    JOIN pg_catalog.pg_roles l ON l.rolname = p.login JOIN pg_catalog.pg_roles r ON r.rolname = p.role),
logins AS (SELECT r.* FROM pg_catalog.pg_roles r WHERE r.rolname = ANY ($1::text[])),
end_users AS (SELECT r.* FROM pg_catalog.pg_roles r WHERE r.rolname = ANY ($3::text[])),
-- PUBLIC counts as an end user: what everybody may do, they may.
grantees AS (SELECT oid, pg_catalog.quote_ident(rolname) AS name FROM end_users UNION ALL SELECT 0, 'PUBLIC'),
-- Everybody else that has a right through PUBLIC: owners, whose SECURITY DEFINER functions need it, migrations, backups,
-- other applications. None that an end user or login can become. Those that own something come first, then logins.
bystanders AS (SELECT r.* FROM pg_catalog.pg_roles r
    WHERE NOT r.rolsuper AND r.rolname NOT LIKE 'pg\_%'
      AND NOT EXISTS (SELECT FROM (SELECT * FROM logins UNION ALL SELECT * FROM end_users) i
        WHERE NOT i.rolsuper AND pg_catalog.pg_has_role(i.oid, r.oid, 'MEMBER'))
    ORDER BY EXISTS (SELECT FROM pg_catalog.pg_shdepend d WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass
        AND d.refobjid = r.oid AND d.deptype = 'o') DESC, r.rolcanlogin DESC, r.rolname LIMIT 200),
-- Who keeps what PUBLIC loses, as a clause to follow the REVOKE.
keepers AS (SELECT string_agg(pg_catalog.quote_ident(rolname), ', ' ORDER BY rolname) AS names
    FROM (SELECT rolname FROM bystanders UNION SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY ($4::text[])) k),
-- Who runs code with rights of its own: it needs what it has.
owners AS (SELECT DISTINCT refobjid AS oid FROM pg_catalog.pg_shdepend
    WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND deptype = 'o'),
schemas AS (SELECT n.* FROM pg_catalog.pg_namespace n
    WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'),
extension_members AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'),
relations AS (SELECT c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c JOIN schemas n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')),
grants AS (SELECT c.oid, c.relkind, c.name, c.relowner, g.oid AS grantee, g.name AS grantee_name, a.privilege_type
    FROM relations c, LATERAL pg_catalog.aclexplode(c.relacl) a JOIN grantees g ON g.oid = a.grantee),
reads AS (SELECT oid FROM grants
    WHERE privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') AND relkind <> 'S'
    UNION SELECT t.attrelid FROM pg_catalog.pg_attribute t, LATERAL pg_catalog.aclexplode(t.attacl) a
    JOIN grantees g ON g.oid = a.grantee WHERE t.attacl IS NOT NULL AND NOT t.attisdropped),
functions AS (SELECT p.*, pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
        pg_catalog.pg_get_function_identity_arguments(p.oid)) AS name, n.nspname
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace),
own_functions AS (SELECT f.* FROM functions f JOIN schemas n ON n.oid = f.pronamespace
    WHERE NOT EXISTS (SELECT FROM extension_members m WHERE m.classid = 'pg_catalog.pg_proc'::regclass AND m.objid = f.oid)
      AND (pg_catalog.has_function_privilege('public', f.oid, 'EXECUTE')
        OR EXISTS (SELECT FROM end_users e WHERE pg_catalog.has_function_privilege(e.oid, f.oid, 'EXECUTE')))),
-- Of PostgreSQL itself and of extensions; an application's own functions of such names are its own.
reserved AS (SELECT f.*, f.proname IN ('set_config', 'pg_cursor', 'pg_prepared_statement', 'pg_lock_status') AS is_the_logins,
        pg_catalog.has_function_privilege('public', f.oid, 'EXECUTE') AS is_public
    FROM functions f
    WHERE (f.proname = 'set_config' OR f.proname = ANY ($5::text[]) OR f.nspname || '.' || f.proname = ANY ($5::text[])
        OR EXISTS (SELECT FROM unnest($6::text[]) AS prefix WHERE pg_catalog.starts_with(f.proname, prefix)
          OR f.nspname || '.' = prefix OR (prefix LIKE '%*.' AND pg_catalog.starts_with(f.nspname, pg_catalog."left"(prefix, -2)))))
      AND (f.nspname = 'pg_catalog' OR EXISTS (SELECT FROM extension_members m
        WHERE m.classid = 'pg_catalog.pg_proc'::regclass AND m.objid = f.oid))),
-- A login that owns something runs code and views with the rights that it has.
clean_logins AS (SELECT l.*, CASE WHEN o.oid IS NULL THEN 'mend' ELSE 'advice' END AS kind,
        CASE WHEN o.oid IS NULL THEN '' ELSE ', and it owns objects, which may need them' END AS why
    FROM logins l LEFT JOIN owners o ON o.oid = l.oid),
version AS (SELECT pg_catalog.current_setting('server_version_num')::int AS number)

SELECT rule, kind, object, problem, fix FROM (

-- Functions that reach around policies. The logins keep set_config, which the identity is set with, and what shows whether
-- a session in session mode has left anything.
SELECT 'function.reserved' AS rule, 'mend' AS kind, f.name AS object, 'anyone may call it' AS problem,
    pg_catalog.format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', f.name)
    || coalesce(pg_catalog.format('; GRANT EXECUTE ON ROUTINE %s TO ', f.name) || k.names, '')
    || CASE WHEN f.is_the_logins THEN coalesce((SELECT pg_catalog.format('; GRANT EXECUTE ON ROUTINE %s TO ', f.name)
        || string_agg(pg_catalog.quote_ident(rolname), ', ' ORDER BY rolname) FROM logins), '') ELSE '' END AS fix
    FROM reserved f, keepers k WHERE f.is_public
UNION ALL
-- Given together with all others of its extension, and PUBLIC had it too: GRANT ON ALL FUNCTIONS, not a decision.
SELECT 'function.reserved', CASE WHEN f.is_public AND g.is_blanket THEN 'mend' ELSE 'advice' END, f.name,
    pg_catalog.format('%I may call it', e.rolname)
    || CASE WHEN f.is_public AND g.is_blanket THEN '' ELSE ', by a grant of its own, which is left' END,
    pg_catalog.format('REVOKE EXECUTE ON ROUTINE %s FROM %I', f.name, e.rolname)
    FROM reserved f, LATERAL pg_catalog.aclexplode(f.proacl) a JOIN end_users e ON e.oid = a.grantee,
    LATERAL (SELECT f.nspname <> 'pg_catalog' AND coalesce(count(*) > 1 AND pg_catalog.bool_and(EXISTS (
            SELECT FROM pg_catalog.aclexplode(p.proacl) o WHERE o.grantee = e.oid)), false) AS is_blanket
        FROM pg_catalog.pg_depend m JOIN pg_catalog.pg_depend s ON s.refclassid = m.refclassid AND s.refobjid = m.refobjid
            AND s.deptype = 'e' AND s.classid = m.classid
        JOIN pg_catalog.pg_proc p ON p.oid = s.objid
        WHERE m.classid = 'pg_catalog.pg_proc'::regclass AND m.objid = f.oid AND m.deptype = 'e') g
    WHERE f.proowner <> e.oid AND e.rolname <> ALL ($4::text[])
UNION ALL
-- Asked for after PUBLIC had lost it. Functions that never were everybody's stay as they are.
SELECT 'function.keep', 'mend', f.name, pg_catalog.format('%I is to keep it and cannot use it', r.rolname),
    pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO %I', f.name, r.rolname)
    FROM reserved f, pg_catalog.pg_roles r WHERE r.rolname = ANY ($7::text[]) AND NOT f.is_public AND NOT r.rolsuper
      AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(f.proacl) a WHERE a.grantee IN (0, r.oid) AND a.privilege_type = 'EXECUTE')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_init_privs i WHERE i.classoid = 'pg_catalog.pg_proc'::regclass AND i.objoid = f.oid
        AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(i.initprivs) a WHERE a.grantee = 0))
UNION ALL
SELECT 'identity.set_config', 'gap', f.name, pg_catalog.format('%I may call it and so be whoever it says', e.rolname), NULL
    FROM reserved f, end_users e WHERE f.proname = 'set_config' AND f.nspname = 'pg_catalog' AND e.rolname <> ALL ($7::text[])
      AND pg_catalog.has_function_privilege(e.oid, f.oid, 'EXECUTE')
UNION ALL
SELECT 'function.identity', 'mend', f.name, pg_catalog.format('login %I cannot use it, and the proxy has to', l.rolname),
    pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO %I', f.name, l.rolname)
    FROM reserved f, logins l WHERE f.is_the_logins AND NOT f.is_public
      AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(f.proacl) a WHERE a.grantee = l.oid) AND NOT l.rolsuper

-- What shows other sessions stays with who watches the server: the views over these functions ask for the reader's own
-- right to call them. Ahead of `function.reserved`, which takes it from PUBLIC.
UNION ALL
SELECT 'function.monitoring', 'mend', f.name, 'pg_read_all_stats, and with it pg_monitor, has it from PUBLIC alone',
    pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO pg_read_all_stats', f.name)
    FROM reserved f WHERE f.nspname = 'pg_catalog'
      AND (f.proname IN ('pg_stat_get_activity', 'pg_stat_get_progress_info', 'pg_stat_get_wal_senders', 'pg_stat_get_wal_receiver',
          'pg_stat_get_subscription', 'pg_get_replication_slots', 'pg_lock_status', 'pg_blocking_pids', 'pg_safe_snapshot_blocking_pids')
        OR pg_catalog.starts_with(f.proname, 'pg_stat_get_backend_'))
      AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(f.proacl) a WHERE a.grantee = 'pg_read_all_stats'::regrole)

-- Temporary tables shadow real ones for whoever gets the connection next.
UNION ALL
SELECT 'database.temporary', 'mend', d.datname, pg_catalog.format('%s may make temporary tables or schemas', g.name),
    pg_catalog.format('REVOKE %s ON DATABASE %I FROM %s', r.names, d.datname, g.name)
    || CASE WHEN g.oid = 0 THEN coalesce(pg_catalog.format('; GRANT %s ON DATABASE %I TO ', r.names, d.datname) || k.names, '')
        ELSE '' END
    FROM keepers k, pg_catalog.pg_database d, grantees g,
    LATERAL (SELECT string_agg(DISTINCT a.privilege_type, ', ' ORDER BY a.privilege_type DESC) AS names
        FROM pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
        WHERE a.grantee = g.oid AND a.privilege_type IN ('TEMPORARY', 'CREATE')) r
    WHERE g.oid <> d.datdba AND d.datname = pg_catalog.current_database() AND r.names IS NOT NULL
UNION ALL
SELECT 'schema.create', 'mend', pg_catalog.quote_ident(n.nspname), pg_catalog.format('%s may create objects in it', g.name),
    pg_catalog.format('REVOKE CREATE ON SCHEMA %I FROM %s', n.nspname, g.name)
    || CASE WHEN g.oid = 0 THEN coalesce(pg_catalog.format('; GRANT CREATE ON SCHEMA %I TO ', n.nspname) || k.names, '') ELSE '' END
    FROM keepers k, schemas n, LATERAL pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
    JOIN grantees g ON g.oid = a.grantee WHERE a.privilege_type = 'CREATE' AND g.oid <> n.nspowner

-- What GRANT ALL gives beside reading and writing. TRUNCATE asks no policy; MAINTAIN locks (17 and later).
UNION ALL
SELECT 'table.privileges', 'mend', g.name,
    pg_catalog.format('%s has %s', g.grantee_name, string_agg(DISTINCT g.privilege_type, ', ')),
    pg_catalog.format('REVOKE %s ON TABLE %s FROM %s', string_agg(DISTINCT g.privilege_type, ', '), g.name, g.grantee_name)
    || CASE WHEN g.grantee = 0 THEN coalesce(pg_catalog.format('; GRANT %s ON TABLE %s TO ',
        string_agg(DISTINCT g.privilege_type, ', '), g.name) || k.names, '') ELSE '' END
    FROM grants g, keepers k WHERE g.relkind <> 'S' AND g.privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES', 'MAINTAIN')
      AND g.grantee <> g.relowner
    GROUP BY g.name, g.grantee, g.grantee_name, k.names
UNION ALL
SELECT 'sequence.update', 'mend', g.name, pg_catalog.format('%s may set it back', g.grantee_name),
    pg_catalog.format('GRANT USAGE ON SEQUENCE %s TO %s; REVOKE UPDATE ON SEQUENCE %s FROM %s',
        g.name, g.grantee_name, g.name, g.grantee_name)
    || CASE WHEN g.grantee = 0 THEN coalesce(pg_catalog.format('; GRANT UPDATE ON SEQUENCE %s TO ', g.name) || k.names, '') ELSE '' END
    FROM grants g, keepers k WHERE g.relkind = 'S' AND g.privilege_type = 'UPDATE' AND g.grantee <> g.relowner
UNION ALL
SELECT 'default.privileges', 'mend', g.name,
    pg_catalog.format('tables that %I will make give it %s', o.rolname, string_agg(DISTINCT a.privilege_type, ', ')),
    pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE %s ON TABLES FROM %s', o.rolname,
        coalesce(' IN SCHEMA ' || pg_catalog.quote_ident(n.nspname), ''), string_agg(DISTINCT a.privilege_type, ', '), g.name)
    || CASE WHEN g.oid = 0 THEN coalesce(pg_catalog.format('; ALTER DEFAULT PRIVILEGES FOR ROLE %I%s GRANT %s ON TABLES TO ',
        o.rolname, coalesce(' IN SCHEMA ' || pg_catalog.quote_ident(n.nspname), ''), string_agg(DISTINCT a.privilege_type, ', '))
        || k.names, '') ELSE '' END
    FROM keepers k, pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles o ON o.oid = d.defaclrole
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace, LATERAL pg_catalog.aclexplode(d.defaclacl) a
    JOIN grantees g ON g.oid = a.grantee
    WHERE d.defaclobjtype = 'r' AND a.privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES', 'MAINTAIN')
      AND g.oid <> d.defaclrole
    GROUP BY g.oid, g.name, o.rolname, n.nspname, k.names
UNION ALL
SELECT 'settings.update', 'mend', 'pg_catalog.pg_settings', pg_catalog.format('%s may change settings through it', g.name),
    pg_catalog.format('REVOKE UPDATE ON pg_catalog.pg_settings FROM %s', g.name)
    || CASE WHEN g.oid = 0 THEN coalesce(pg_catalog.format('; GRANT UPDATE ON pg_catalog.pg_settings TO ') || k.names, '') ELSE '' END
    FROM keepers k, pg_catalog.pg_class c, LATERAL pg_catalog.aclexplode(c.relacl) a JOIN grantees g ON g.oid = a.grantee
    WHERE c.oid = 'pg_catalog.pg_settings'::regclass AND a.privilege_type = 'UPDATE'

-- A transaction without identity must see nothing.
UNION ALL
SELECT 'login.inherit', l.kind, pg_catalog.quote_ident(l.rolname), 'it inherits its roles'' rights' || l.why,
    pg_catalog.format('ALTER ROLE %I NOINHERIT', l.rolname) FROM clean_logins l WHERE l.rolinherit AND NOT l.rolsuper
UNION ALL
-- From 16 on each membership says for itself; the columns are not there before.
SELECT 'login.inherit', l.kind, pg_catalog.quote_ident(l.rolname),
    pg_catalog.format('it inherits the rights of %I, granted by %I', r.rolname, g.rolname) || l.why,
    pg_catalog.format('GRANT %I TO %I WITH INHERIT FALSE GRANTED BY %I', r.rolname, l.rolname, g.rolname)
    FROM pg_catalog.pg_auth_members m JOIN clean_logins l ON l.oid = m.member JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
    JOIN pg_catalog.pg_roles g ON g.oid = m.grantor
    WHERE (pg_catalog.to_jsonb(m) ->> 'inherit_option')::boolean
UNION ALL
SELECT 'login.admin', l.kind, pg_catalog.quote_ident(l.rolname),
    pg_catalog.format('it may grant %I to others', r.rolname) || l.why,
    pg_catalog.format('REVOKE ADMIN OPTION FOR %I FROM %I', r.rolname, l.rolname)
    || CASE WHEN v.number >= 160000 THEN (SELECT pg_catalog.format(' GRANTED BY %I', g.rolname)
        FROM pg_catalog.pg_roles g WHERE g.oid = m.grantor) ELSE '' END
    FROM version v, pg_catalog.pg_auth_members m JOIN clean_logins l ON l.oid = m.member JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
    WHERE m.admin_option
UNION ALL
SELECT 'login.grants', l.kind, c.name, pg_catalog.format('login %I has rights of its own on it', l.rolname) || l.why,
    pg_catalog.format('REVOKE ALL ON %s %s FROM %I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.name, l.rolname)
    FROM relations c JOIN clean_logins l ON EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) a WHERE a.grantee = l.oid)
    WHERE c.relowner <> l.oid

-- What a person has to decide. FORCE ROW LEVEL SECURITY is never mended: it changes nothing for an owner that no policy
-- binds, and for any other it takes rows from its backfills, its views and its SECURITY DEFINER functions, and makes a
-- policy that calls one of these call itself.
UNION ALL
SELECT 'rls.force', 'gap', c.name, pg_catalog.format('end user %I is its owner, or a member: no policy binds it', e.rolname),
    pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', c.name)
    FROM relations c, end_users e WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND NOT c.relforcerowsecurity
      AND pg_catalog.pg_has_role(e.oid, c.relowner, 'USAGE') AND NOT e.rolsuper
UNION ALL
SELECT 'rls.force', 'advice', c.name, pg_catalog.format('its owner %I is not held to its policies, and so are %s: FORCE would hold'
        ' them, and its backfills too', o.rolname, coalesce((SELECT pg_catalog.format('%s of its SECURITY DEFINER functions (%s, …)',
            count(*), min(f.name)) FROM functions f WHERE f.prosecdef AND f.proowner = c.relowner HAVING count(*) > 0),
            'its views and SECURITY DEFINER functions to come')),
    pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', c.name)
    FROM relations c JOIN pg_catalog.pg_roles o ON o.oid = c.relowner
    WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND NOT c.relforcerowsecurity AND NOT o.rolsuper AND NOT o.rolbypassrls
      AND c.oid IN (SELECT oid FROM reads)
      AND NOT EXISTS (SELECT FROM end_users e WHERE pg_catalog.pg_has_role(e.oid, c.relowner, 'USAGE'))
UNION ALL
SELECT 'role.bypasses', 'gap', pg_catalog.quote_ident(e.rolname), 'an end user''s role that no policy binds',
    pg_catalog.format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS', e.rolname) FROM end_users e WHERE e.rolsuper OR e.rolbypassrls
UNION ALL
SELECT 'role.others', 'advice', 'pg_roles', pg_catalog.format('%s roles, more than the 200 that keep by name what PUBLIC loses:'
        ' name those that need it with --keep', count(*)), NULL
    FROM pg_catalog.pg_roles r WHERE NOT r.rolsuper AND r.rolname NOT LIKE 'pg\_%' HAVING count(*) > 200 + (SELECT count(*) FROM end_users)
UNION ALL
SELECT 'login.owner', 'advice', c.name, pg_catalog.format('login %I owns it', l.rolname),
    pg_catalog.format('ALTER %s %s OWNER TO …', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.name)
    FROM relations c JOIN logins l ON l.oid = c.relowner
UNION ALL
SELECT 'login.membership', 'advice', pg_catalog.quote_ident(l.rolname),
    pg_catalog.format('it may become %I, which the configuration does not ask of it', r.rolname),
    pg_catalog.format('REVOKE %I FROM %I', r.rolname, l.rolname)
    FROM pg_catalog.pg_auth_members m JOIN logins l ON l.oid = m.member JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
    WHERE NOT EXISTS (SELECT FROM pairs p WHERE p.login = m.member AND p.role = m.roleid)
UNION ALL
SELECT 'role.membership', 'advice', pg_catalog.quote_ident(e.rolname),
    pg_catalog.format('an end user''s role is a member of %I', r.rolname), pg_catalog.format('REVOKE %I FROM %I', r.rolname, e.rolname)
    FROM end_users e JOIN pg_catalog.pg_auth_members m ON m.member = e.oid JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
    WHERE r.rolname = ANY ($4::text[]) OR r.rolname LIKE 'pg\_%' OR r.rolbypassrls OR r.rolsuper
UNION ALL
SELECT 'role.attributes', 'advice', pg_catalog.quote_ident(r.rolname), 'it has attributes that no policy binds',
    pg_catalog.format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION', r.rolname)
    FROM (SELECT * FROM end_users UNION SELECT r.* FROM pg_catalog.pg_roles r WHERE r.rolname = ANY ($1::text[])) r
    WHERE r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
UNION ALL
SELECT 'login.settings', 'advice', pg_catalog.quote_ident(l.rolname), pg_catalog.format('it begins every session with %s', s.setting),
    pg_catalog.format('ALTER ROLE %I RESET %I', l.rolname, pg_catalog.split_part(s.setting, '=', 1))
    FROM pg_catalog.pg_db_role_setting d JOIN logins l ON l.oid = d.setrole, LATERAL unnest(d.setconfig) AS s (setting)
    WHERE pg_catalog.split_part(s.setting, '=', 1) IN ('role', 'session_authorization', 'search_path', 'row_security',
        'standard_conforming_strings', 'client_encoding', 'session_preload_libraries', 'local_preload_libraries')
      OR pg_catalog.strpos(pg_catalog.split_part(s.setting, '=', 1), '.') > 0
UNION ALL
SELECT 'function.immutable', 'advice', f.name,
    'it reads settings but is IMMUTABLE: a shared plan keeps what it gave to another user',
    pg_catalog.format('ALTER FUNCTION %s STABLE', f.name)
    FROM own_functions f WHERE f.provolatile = 'i'
      AND f.prosrc || coalesce(pg_catalog.pg_get_function_sqlbody(f.oid), '') ~* 'current_setting'
UNION ALL
SELECT 'function.search_path', 'advice', f.name, 'it runs as its owner, with names looked up where the caller says',
    pg_catalog.format('ALTER ROUTINE %s SET search_path = %I, pg_temp', f.name, f.nspname)
    FROM own_functions f WHERE f.prosecdef
      AND NOT EXISTS (SELECT FROM unnest(f.proconfig) AS c (setting) WHERE pg_catalog.starts_with(c.setting, 'search_path='))
UNION ALL
SELECT 'function.runs_text', 'advice', f.name, 'it runs text that it is given: deny it by name in the policy', NULL
    FROM own_functions f JOIN pg_catalog.pg_language l ON l.oid = f.prolang
    WHERE l.lanname = 'plpgsql' AND f.prorettype <> 'pg_catalog.trigger'::regtype AND f.prosrc ~* '\mexecute\M'
      AND pg_catalog.oidvectortypes(f.proargtypes) ~ '\m(text|character varying|json|jsonb)\M'
UNION ALL
SELECT 'view.security_invoker', 'advice', c.name, 'end users see through it what its owner sees of tables under row security',
    CASE WHEN v.number >= 150000 THEN pg_catalog.format('ALTER VIEW %s SET (security_invoker = true)', c.name) END
    FROM relations c, version v WHERE c.relkind = 'v' AND c.oid IN (SELECT oid FROM reads)
      AND NOT coalesce(c.reloptions, '{}') && '{security_invoker=true,security_invoker=on,security_invoker=1,security_invoker=yes}'::text[]
      AND EXISTS (SELECT FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d
            ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
        JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND t.relrowsecurity WHERE w.ev_class = c.oid)
UNION ALL
SELECT 'table.no_policies', 'advice', c.name,
    CASE c.relkind WHEN 'm' THEN 'a materialized view, which' WHEN 'f' THEN 'a foreign table, which'
        ELSE CASE WHEN i.inhparent IS NULL THEN 'it' ELSE 'a part of a table under row security, which' END END
    || ' has no row security, and end users may use it',
    CASE WHEN c.relkind IN ('r', 'p') THEN pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', c.name) END
    FROM relations c LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
        AND EXISTS (SELECT FROM pg_catalog.pg_class p WHERE p.oid = i.inhparent AND p.relrowsecurity)
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relrowsecurity AND c.oid IN (SELECT oid FROM reads)
UNION ALL
SELECT 'extension', 'advice', e.extname, 'it reaches files, the network or text that is run: the guard alone keeps end users from it', NULL
    FROM pg_catalog.pg_extension e WHERE e.extname IN ('adminpack', 'dblink', 'file_fdw', 'http', 'lo', 'pg_surgery', 'pageinspect',
        'plperlu', 'plpython3u', 'pltclu', 'plsh', 'postgres_fdw', 'tablefunc', 'xml2')
UNION ALL
SELECT 'server.prepared_transactions', 'advice', 'max_prepared_transactions', 'it is not 0: a transaction could be left behind',
    'ALTER SYSTEM SET max_prepared_transactions = 0'
    WHERE pg_catalog.current_setting('max_prepared_transactions') <> '0'
UNION ALL
-- CVE-2024-10976 and CVE-2024-10978: plans and roles mixed up under row security.
SELECT 'server.version', 'advice', pg_catalog.current_setting('server_version'), 'this minor version mixes up roles under row security', NULL
    FROM version v WHERE v.number < 140014 OR v.number BETWEEN 150000 AND 150008 OR v.number BETWEEN 160000 AND 160004
      OR v.number = 170000

) AS findings ORDER BY kind DESC, rule, object, problem, fix
