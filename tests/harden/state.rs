//! What a database's rights are, by the programs and by the catalogs, for comparing two times.

use std::process::Command;

use crate::support::postgres::{Postgres, Version};
use crate::support::tools;

/// Every list of rights with the defaults in the place of none, in no order; roles and memberships.
const RIGHTS: &str = "
    SELECT line FROM (
        SELECT p.oid::regprocedure || ' ' || coalesce(p.proacl, acldefault('f', p.proowner))::text[]::text AS line, p.proacl AS acl FROM pg_proc p
        UNION ALL SELECT c.oid::regclass || ' ' || coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))::text, c.relacl
            FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL SELECT a.attrelid::regclass || '.' || a.attname || ' ' || a.attacl::text, a.attacl FROM pg_attribute a
        UNION ALL SELECT 'schema ' || n.nspname || ' ' || coalesce(n.nspacl, acldefault('n', n.nspowner))::text, n.nspacl FROM pg_namespace n
            WHERE n.nspname NOT LIKE 'pg\\_temp%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp%'
        UNION ALL SELECT 'database ' || d.datname || ' ' || coalesce(d.datacl, acldefault('d', d.datdba))::text, d.datacl FROM pg_database d
        UNION ALL SELECT 'defaults ' || d.defaclrole || d.defaclnamespace || d.defaclobjtype::text || d.defaclacl::text, NULL FROM pg_default_acl d
        UNION ALL SELECT 'role ' || row_to_json(r)::text, NULL FROM pg_roles r
        UNION ALL SELECT 'membership ' || (to_jsonb(m) - 'oid')::text, NULL FROM pg_auth_members m
        UNION ALL SELECT 'row security ' || c.relname || c.relrowsecurity || c.relforcerowsecurity, NULL FROM pg_class c WHERE c.relrowsecurity
    ) AS lines WHERE line IS NOT NULL ORDER BY line";

/// A database's rights as lines.
pub(crate) fn of(postgres: &Postgres, version: Version, database: &str) -> Vec<String> {
    let mut lines: Vec<String> = postgres
        .superuser(database)
        .values(RIGHTS)
        .into_iter()
        .map(without_order)
        .collect();
    // Debian's pg_dump reads servers up to its own version.
    if version == Version::Installed {
        let folder = tools::installed_postgres().unwrap();
        let dump = |program: &str, more: &[&str]| {
            let output = Command::new(folder.join(program))
                .args(["-h", &postgres.socket_folder().display().to_string()])
                .args(["-p", &postgres.port().to_string(), "-U", "postgres"])
                .args(more)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{program}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        };
        let dumps = [
            dump("pg_dump", &["--create", database]),
            dump("pg_dumpall", &["--globals-only"]),
        ];
        let dumped = dumps.iter().flat_map(|dump| dump.lines());
        // Newer ones guard a script by a word made anew for each.
        lines.extend(
            dumped
                .filter(|line| !line.contains("restrict "))
                .map(str::to_owned),
        );
    }
    lines
}

/// A list of rights that was none before is in the order of its making, which no program shows.
fn without_order(line: String) -> String {
    match line.rsplit_once(" {") {
        Some((name, list)) => {
            let mut rights: Vec<&str> = list.trim_end_matches('}').split(',').collect();
            rights.sort_unstable();
            format!("{name} {}", rights.join(","))
        }
        None => line,
    }
}

/// Stops at what differs.
pub(crate) fn assert_same(before: &[String], after: &[String]) {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these
            .iter()
            .filter(|line| !those.contains(line))
            .cloned()
            .collect()
    };
    let (lost, new) = (only(before, after), only(after, before));
    assert!(
        lost.is_empty() && new.is_empty(),
        "lost: {lost:#?}\nnew: {new:#?}"
    );
    assert!(before == after, "the lines are in another order");
}
