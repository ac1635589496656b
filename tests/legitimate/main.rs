//! Statements of real drivers, mappers and tools, none of which an end user may be refused. Each runs through the
//! proxy and straight on the server as the same user, and must end alike: the same error, or as many rows.
//!
//! `psql.sql`, `python.sql` and `node.sql` are recordings; `applications.sql` is written by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

use portcullis::base::RoleName;
use portcullis::guard::{Asker, Guard, Settings};
use portcullis::tenant::Schemas;

use support::people::{Person, person};
use support::postgres::{Postgres, Version, cluster};
use support::proxy::{Stack, StackOptions};
use support::raw::{self, Frame, RawClient};
use support::trace::render;

/// The recordings and what was written by hand.
const FILES: [(&str, &str); 4] = [
    ("psql", include_str!("psql.sql")),
    ("python", include_str!("python.sql")),
    ("node", include_str!("node.sql")),
    ("applications", include_str!("applications.sql")),
];

/// Every statement with the name of its file and its number there.
fn statements() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (file, text) in FILES {
        let (_, body) = text.split_once('\n').unwrap();
        let each = body.split("\n;;\n").filter(|sql| !sql.trim().is_empty());
        all.extend(
            each.enumerate()
                .map(|(at, sql)| (format!("{file} {}", at + 1), sql.to_owned())),
        );
    }
    all.extend(large());
    all
}

/// What is large or deep, and still ordinary.
fn large() -> Vec<(String, String)> {
    let many = |count: usize, separator: &str, each: &dyn Fn(usize) -> String| {
        (1..=count).map(each).collect::<Vec<_>>().join(separator)
    };
    let nested = (0..20).fold("SELECT 1 AS a".to_owned(), |sql, level| {
        format!("SELECT a FROM ({sql}) AS t{level}")
    });
    let cases = (0..30).fold("0".to_owned(), |sql, n| {
        format!("CASE WHEN {n} > 40 THEN {n} ELSE {sql} END")
    });
    [
        (
            "150 terms",
            format!("SELECT {}", many(150, " || ", &|n| format!("'{n}'"))),
        ),
        (
            "150 sums",
            format!("SELECT {}", many(150, " + ", &|n| n.to_string())),
        ),
        (
            "150 conditions",
            format!("SELECT 1 WHERE {}", many(150, " OR ", &|n| format!("{n} = 0"))),
        ),
        ("20 nested sub-selects", nested),
        ("30 nested CASE", format!("SELECT {cases}")),
        (
            "1,000 elements",
            format!(
                "SELECT id FROM words WHERE id IN ({})",
                many(1000, ", ", &|n| n.to_string())
            ),
        ),
        (
            "1,000 rows",
            format!("VALUES {}", many(1000, ", ", &|n| format!("({n}, 'row {n}')"))),
        ),
        ("500 unions", many(500, " UNION ALL ", &|n| format!("SELECT {n}"))),
        (
            "300 parameters",
            format!("SELECT {}", many(300, ", ", &|n| format!("${n}::int"))),
        ),
        (
            "50 parentheses",
            format!("SELECT {}1{}", "(".repeat(50), ")".repeat(50)),
        ),
        (
            "256 kB in a literal",
            format!("SELECT length('{}')", "x".repeat(256 << 10)),
        ),
        (
            "256 kB of comment",
            format!("SELECT 1 /* {} */", "x".repeat(256 << 10)),
        ),
        (
            "100 columns",
            format!("SELECT {}", many(100, ", ", &|n| format!("{n} AS column_{n}"))),
        ),
        (
            "40 joins",
            format!(
                "SELECT count(*) FROM words w0 {}",
                many(12, " ", &|n| format!("LEFT JOIN words w{n} USING (id)"))
            ),
        ),
    ]
    .map(|(name, sql)| (name.to_owned(), sql))
    .to_vec()
}

#[test]
fn there_are_enough() {
    assert!(statements().len() >= 400, "{}", statements().len());
}

#[test]
fn the_guard_lets_all_of_them_pass() {
    let guard = Guard::new(Settings::default());
    let policy = guard.policy_for(&RoleName::new("authenticated"));
    let refused: Vec<String> = statements()
        .iter()
        .filter_map(|(name, sql)| {
            let refusal = guard.judge(&policy, sql.as_bytes()).err()?;
            Some(format!("{name}: {}: {sql:.200}", refusal.message))
        })
        .collect();
    assert!(refused.is_empty(), "refused:\n  {}", refused.join("\n  "));
}

/// Where tenants are told apart by schema, as one whose schema is `shelf`, with `public` behind it.
#[test]
fn the_guard_lets_them_pass_where_tenants_have_schemas() {
    let guard = Guard::new(Settings::default());
    let policy = guard.policy_for(&RoleName::new("authenticated"));
    let schemas = Schemas::only("shelf", &["public".into()].into());
    let asker = Asker {
        schemas: Some(&schemas),
        account: None,
    };
    let refused: Vec<String> = statements()
        .iter()
        .filter_map(|(name, sql)| {
            let refusal = guard.judge_for(asker, &policy, sql.as_bytes()).err()?;
            Some(format!("{name}: {}: {sql:.400}", refusal.message))
        })
        .collect();
    assert!(refused.is_empty(), "refused:\n  {}", refused.join("\n  "));
}

#[test]
fn they_end_as_on_the_server_itself() {
    // Also where tenants are told apart by schema: this one's is where the tables are.
    same_everywhere(Version::Installed, &["", "schema = \"public\""]);
}

#[test]
fn they_end_as_on_18_itself() {
    same_everywhere(Version::Eighteen, &[""]);
}

/// `places` is what else the configuration says of where the tenant lives, in one proxy after another.
fn same_everywhere(version: Version, places: &[&str]) {
    let Some(postgres) = cluster(version) else { return };
    let somebody = somebody(postgres);
    let stacks = places.iter().map(|place| {
        let tenant = format!(
            "[[tenants.tenant]]\nname = \"library\"\nserver = \"main\"\ndatabase = \"library\"\n{place}"
        );
        let options = StackOptions {
            postgres: version,
            ..StackOptions::pool(1)
        };
        Stack::start(&options.with(&tenant))
    });
    let mut stacks: Vec<Stack> = stacks.collect();
    let mut different = Vec::new();
    for (name, sql) in statements() {
        let direct = outcome(&mut straight(postgres), &sql);
        // In a hardened database nobody but the logins may call it; the proxy does it for the session.
        let is_for_us = direct
            .iter()
            .any(|line| line.contains("permission denied for function set_config"));
        // Which settings differ from their defaults is not the same on purpose: the session's own are set.
        if is_for_us || sql.contains("s.setting IS DISTINCT FROM s.boot_val") {
            continue;
        }
        for (stack, place) in stacks.iter().zip(places) {
            let proxied = outcome(&mut stack.login(&somebody), &sql);
            if direct != proxied {
                different.push(format!(
                    "{name} {place}: {direct:?} became {proxied:?}: {sql:.200}"
                ));
            }
        }
    }
    for stack in &mut stacks {
        stack.assert_well();
    }
    assert!(
        different.is_empty(),
        "{} end otherwise:\n  {}",
        different.len(),
        different.join("\n  ")
    );
}

/// Makes the database and a login that goes straight to it with the same role and identity.
fn somebody(postgres: &Postgres) -> Person {
    postgres
        .superuser("postgres")
        .values("CREATE DATABASE library TEMPLATE shop");
    let mut superuser = postgres.superuser("library");
    superuser.values("DROP VIEW IF EXISTS recent");
    superuser.values(include_str!("schema.sql"));
    person("alice", "library")
}

fn straight(postgres: &Postgres) -> RawClient {
    RawClient::try_unix(
        postgres.socket_folder(),
        postgres.port(),
        "direct_alice",
        "library",
    )
    .unwrap_or_else(|why| panic!("{}", why.describe()))
}

/// How a statement ends: its error, or its tags and how many rows there were.
fn outcome(client: &mut RawClient, sql: &str) -> Vec<String> {
    if sql.contains("$1") && !sql.contains("$1:2") && !sql.contains("'$1") {
        client.send(&[raw::parse("", sql, &[]), raw::describe('S', ""), raw::sync()].concat());
        return summary(&client.until_ready());
    }
    // What controls transactions or the session is sent as it is; the rest is undone.
    let first = sql
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let in_block = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE", "COPY", "CALL", "DECLARE",
    ]
    .contains(&first.as_str());
    if in_block {
        client.values("BEGIN");
    }
    client.send(&raw::query(sql));
    let mut frames = Vec::new();
    while let Ok(frame) = client.try_read() {
        if frame.tag == b'G' {
            client.send(&raw::message(b'f', b"no data\0"));
        }
        let ready = frame.tag == b'Z';
        frames.push(frame);
        if ready {
            break;
        }
    }
    client.send(&raw::query("ROLLBACK"));
    client.until_ready();
    summary(&frames)
}

fn summary(frames: &[Frame]) -> Vec<String> {
    // A server that fails before its first row has not described it; here it is described ahead of running.
    let fails = frames.iter().any(|frame| frame.tag == b'E');
    frames
        .iter()
        .filter(|frame| !(fails && frame.tag == b'T'))
        .filter(|frame| {
            matches!(
                frame.tag,
                b'C' | b'E' | b'T' | b't' | b'n' | b'Z' | b'G' | b'H' | b'I'
            )
        })
        .map(|frame| render(frame).join(" "))
        .collect()
}
