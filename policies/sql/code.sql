-- The code that a database keeps and end users run: functions, and what views, rules, policies, defaults, constraints,
-- indexes, triggers, operators, casts and aggregates are made of. `portcullis harden` reads it to see which rights it
-- needs. It changes nothing and reads only what every role may read.
--
-- $1  login roles of the proxy
-- $2  end-user roles
-- $3  trusted roles, and others that keep what PUBLIC loses
--
-- kind      what it is
-- object    its name, as SQL writes it
-- name      the name that other code uses it by; null for what nothing can call
-- language  the language its source is in
-- source    its text; texts of one object are joined by line breaks
-- is_root   whether end users run it without other code that names it
WITH
insiders AS (SELECT r.* FROM pg_catalog.pg_roles r
    WHERE NOT r.rolsuper AND (r.rolname = ANY ($1::text[]) OR r.rolname = ANY ($2::text[]))),
end_users AS (SELECT r.* FROM pg_catalog.pg_roles r WHERE r.rolname = ANY ($2::text[])),
schemas AS (SELECT n.*, pg_catalog.has_schema_privilege('public', n.oid, 'USAGE')
        OR EXISTS (SELECT FROM end_users e WHERE pg_catalog.has_schema_privilege(e.oid, n.oid, 'USAGE')) AS is_open
    FROM pg_catalog.pg_namespace n
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\_temp\_%'),
relations AS (SELECT c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c JOIN schemas n ON n.oid = c.relnamespace),
-- Who runs as an owner that keeps its rights needs none of the end user's. An owner that end users or logins can become
-- keeps nothing.
safe_owners AS (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper OR r.rolname = ANY ($3::text[])
        OR NOT EXISTS (SELECT FROM insiders i WHERE pg_catalog.pg_has_role(i.oid, r.oid, 'MEMBER')))

SELECT 'function' AS kind, pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
        pg_catalog.pg_get_function_identity_arguments(p.oid)) AS object, p.proname::text AS name, l.lanname::text AS language,
    concat_ws(E'\n', CASE WHEN l.lanname NOT IN ('c', 'internal') THEN p.prosrc END, pg_catalog.pg_get_function_sqlbody(p.oid),
        pg_catalog.pg_get_expr(p.proargdefaults, 0), a.aggtransfn, a.aggfinalfn, a.aggmtransfn, a.aggminvtransfn, a.aggcombinefn) AS source,
    is_trigger OR n.is_open AS is_root
    FROM pg_catalog.pg_proc p JOIN schemas n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid,
    LATERAL (SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgfoid = p.oid AND NOT t.tgisinternal)) AS t (is_trigger)
    WHERE (is_trigger OR pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE')
        OR EXISTS (SELECT FROM end_users e WHERE pg_catalog.has_function_privilege(e.oid, p.oid, 'EXECUTE')))
      AND NOT (p.prosecdef AND p.proowner IN (SELECT oid FROM safe_owners))
UNION ALL
-- A view's functions run as whoever asks it.
SELECT 'view', c.name, c.relname, 'sql', pg_catalog.pg_get_viewdef(c.oid), true FROM relations c WHERE c.relkind = 'v'
UNION ALL
SELECT 'system view', pg_catalog.format('%I.%I', 'pg_catalog', c.relname), c.relname, 'sql', pg_catalog.pg_get_viewdef(c.oid), false
    FROM pg_catalog.pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'v'
UNION ALL
SELECT 'rule', pg_catalog.format('%I on %s', w.rulename, c.name), NULL, 'sql', pg_catalog.pg_get_ruledef(w.oid), true
    FROM pg_catalog.pg_rewrite w JOIN relations c ON c.oid = w.ev_class WHERE w.rulename <> '_RETURN'
UNION ALL
SELECT 'policy', pg_catalog.format('%I on %s', p.polname, c.name), NULL, 'sql',
    concat_ws(E'\n', pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)), true
    FROM pg_catalog.pg_policy p JOIN relations c ON c.oid = p.polrelid
UNION ALL
SELECT 'default', pg_catalog.format('%s.%I', c.name, a.attname), NULL, 'sql', pg_catalog.pg_get_expr(d.adbin, d.adrelid), true
    FROM pg_catalog.pg_attrdef d JOIN relations c ON c.oid = d.adrelid
    JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
UNION ALL
SELECT 'constraint', pg_catalog.format('%I.%I', n.nspname, k.conname), NULL, 'sql', pg_catalog.pg_get_constraintdef(k.oid), true
    FROM pg_catalog.pg_constraint k JOIN schemas n ON n.oid = k.connamespace WHERE k.contype IN ('c', 'x')
UNION ALL
SELECT 'domain', pg_catalog.format('%I.%I', n.nspname, t.typname), NULL, 'sql', t.typdefault, true
    FROM pg_catalog.pg_type t JOIN schemas n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND t.typdefaultbin IS NOT NULL
UNION ALL
SELECT 'index', c.name, NULL, 'sql', concat_ws(E'\n', pg_catalog.pg_get_expr(i.indexprs, i.indrelid),
        pg_catalog.pg_get_expr(i.indpred, i.indrelid)), true
    FROM pg_catalog.pg_index i JOIN relations c ON c.oid = i.indexrelid WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
UNION ALL
SELECT 'partition key', c.name, NULL, 'sql', pg_catalog.pg_get_expr(p.partexprs, p.partrelid), true
    FROM pg_catalog.pg_partitioned_table p JOIN relations c ON c.oid = p.partrelid WHERE p.partexprs IS NOT NULL
UNION ALL
SELECT 'trigger', pg_catalog.format('%I on %s', t.tgname, c.name), NULL, 'trigger', pg_catalog.pg_get_triggerdef(t.oid), true
    FROM pg_catalog.pg_trigger t JOIN relations c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'operator', o.oid::regoperator::text, NULL, 'sql', p.proname, true
    FROM pg_catalog.pg_operator o JOIN schemas n ON n.oid = o.oprnamespace JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
UNION ALL
SELECT 'cast', pg_catalog.format('%s AS %s', k.castsource::regtype, k.casttarget::regtype), NULL, 'sql', p.proname, true
    FROM pg_catalog.pg_cast k JOIN pg_catalog.pg_proc p ON p.oid = k.castfunc
ORDER BY kind, object
