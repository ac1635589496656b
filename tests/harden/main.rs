//! `portcullis harden` says what is so and breaks nothing: the same application before and after it, as each of its
//! roles; the same dump after `--undo`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod fleet;
mod grants;
mod managed;
mod state;

use std::path::PathBuf;

use support::owned::{self, OWNER, WORKER};
use support::postgres::{Postgres, Version};
use support::proxy::ordinary_config;

/// A cluster with the owner's roles, and a configuration whose tenants are in one database of it.
pub(crate) struct Ground {
    pub(crate) postgres: Postgres,
    pub(crate) config: PathBuf,
}

impl Ground {
    pub(crate) fn new(version: Version) -> Option<Self> {
        let postgres = Postgres::own_with(version, "")?;
        owned::make_roles(&postgres);
        let config = postgres.socket_folder().join("owned.toml");
        std::fs::write(&config, ordinary_config(1, postgres.port(), 1).to_string()).unwrap();
        Some(Self { postgres, config })
    }

    pub(crate) fn harden(&self, database: &str, more: &[&str]) -> (bool, String) {
        self.postgres
            .try_harden("postgres", &[database], &self.config, more)
    }
}

/// Who does what in the application. Each statement runs alone and is taken back.
const BEHAVIOUR: &[(&str, &str)] = &[
    ("authenticated", "SELECT id, title FROM app.documents ORDER BY id"),
    (
        "authenticated",
        "SELECT team, person FROM app.memberships ORDER BY person",
    ),
    (
        "authenticated",
        "UPDATE app.documents SET seen = seen + 1 RETURNING id",
    ),
    ("authenticated", "SELECT id, title FROM app.titles ORDER BY id"),
    (
        "authenticated",
        "UPDATE app.titles SET title = title || '!' RETURNING id",
    ),
    ("anon", "SELECT id, title FROM app.titles ORDER BY id"),
    ("anon", "SELECT id FROM app.documents"),
    ("member", "SELECT id, title FROM app.documents ORDER BY id"),
    ("authenticated", "INSERT INTO app.basket VALUES (1) RETURNING n"),
    ("authenticated", "SELECT app.empty_basket()"),
    ("authenticated", "SELECT app.sorted()"),
    ("authenticated", "SELECT app.one_at_a_time()"),
    ("authenticated", "SELECT app.attach()"),
    ("authenticated", "SELECT nextval('app.numbers') > 0"),
    ("authenticated", "SELECT app.restart()"),
    ("authenticated", "INSERT INTO app.log DEFAULT VALUES RETURNING 1"),
    ("authenticated", "SELECT open > 0 FROM app.cursors"),
    ("authenticated", "SELECT app.call()"),
    ("member", "SELECT app.call()"),
    (OWNER, "UPDATE app.documents SET seen = 7 RETURNING id"),
    (OWNER, "SELECT count(*) FROM app.memberships"),
    (OWNER, "SELECT set_config('app.x', 'y', true)"),
    (OWNER, "SELECT pg_advisory_lock(7), pg_advisory_unlock(7)"),
    (OWNER, "CREATE TEMP TABLE migrating (n int)"),
    (OWNER, "CREATE TABLE app.next (n int)"),
    (WORKER, "SELECT pg_notify('work', '')"),
    (WORKER, "SELECT set_config('app.x', 'y', true)"),
    (WORKER, "CREATE TEMP TABLE work (n int)"),
    (
        WORKER,
        "UPDATE pg_settings SET setting = '1min' WHERE name = 'statement_timeout'",
    ),
];

/// What comes of each statement: its rows, or its error.
pub(crate) fn behaviour(ground: &Ground, database: &str) -> Vec<String> {
    let outcome = |(role, sql): &(&str, &str)| {
        let is_end_user = *role != OWNER && *role != WORKER;
        let login = if is_end_user { "portcullis_app" } else { role };
        let mut client = owned::session(&ground.postgres, login, database);
        client.values("BEGIN");
        if is_end_user {
            client.values("SET LOCAL app.user_id = 'alice'");
            client.values(&format!("SET LOCAL ROLE {role}"));
        }
        let came = match client.query(sql) {
            Ok(rows) => format!("{rows:?}"),
            Err(error) => format!("{} {:?}", error.sqlstate(), error.field('M')),
        };
        format!("{role}: {sql}: {came}")
    };
    BEHAVIOUR.iter().map(outcome).collect()
}

/// `name` is part of some line that begins with `verdict`.
pub(crate) fn says(said: &str, verdict: &str, name: &str) -> bool {
    said.lines()
        .any(|line| line.starts_with(verdict) && line.contains(name))
}

#[test]
fn an_application_does_what_it_did() {
    does_what_it_did(Version::Installed);
}

#[test]
fn an_application_does_what_it_did_on_18() {
    does_what_it_did(Version::Eighteen);
}

fn does_what_it_did(version: Version) {
    let Some(ground) = Ground::new(version) else {
        return;
    };
    owned::make_database(&ground.postgres, "owned");
    let before = behaviour(&ground, "owned");
    let errors: Vec<&String> = before.iter().filter(|line| line.contains("42501")).collect();
    assert_eq!(
        errors.len(),
        1,
        "only anon reading documents is refused: {errors:#?}"
    );
    let picture = state::of(&ground.postgres, version, "owned");

    let (success, first) = ground.harden("owned", &[]);
    assert!(success, "{first}");
    assert_eq!(behaviour(&ground, "owned"), before, "{first}");
    // The wall stands, but for what is needed, each with what needs it.
    for taken in ["set_config(text", "pg_logical_emit_message", "pg_settings"] {
        assert!(says(&first, "mended", taken), "{taken}: {first}");
    }
    for (object, by) in [
        ("pg_notify(text", "function app.tell()"),
        ("pg_try_advisory_lock(bigint)", "function app.one_at_a_time()"),
        ("lo_create(oid)", "function app.attach()"),
        ("setval(regclass, bigint)", "function app.restart()"),
        ("pg_export_snapshot()", "default app.log.snapshot"),
        (
            "pg_cursor(",
            "view app.cursors by way of system view pg_catalog.pg_cursors",
        ),
        ("app.basket", "function app.empty_basket() needs TRUNCATE"),
        ("app.numbers", "function app.restart() needs UPDATE"),
        ("owned", "function app.sorted() needs TEMPORARY"),
    ] {
        let is_said = first
            .lines()
            .any(|line| line.starts_with("advice") && line.contains(object) && line.contains(by));
        assert!(is_said, "{object} stays for {by}: {first}");
        assert!(!says(&first, "remains", object), "{first}");
    }
    assert!(says(&first, "advice", "FORCE would hold"), "{first}");
    let mut end_user = owned::session(&ground.postgres, "portcullis_app", "owned");
    end_user.values("SET ROLE authenticated");
    assert_eq!(
        end_user.sqlstate("SELECT set_config('app.user_id', 'bob', false)"),
        "42501"
    );
    assert_eq!(end_user.sqlstate("TRUNCATE app.documents"), "42501");

    let hardened = state::of(&ground.postgres, version, "owned");
    let (success, second) = ground.harden("owned", &[]);
    assert!(
        success && second.contains(" 0 mended, 0 failed; nothing was changed"),
        "{second}"
    );
    state::assert_same(&hardened, &state::of(&ground.postgres, version, "owned"));

    let (success, undone) = ground.harden("owned", &["--undo"]);
    assert!(success && undone.contains(" 0 failed"), "{undone}");
    state::assert_same(&picture, &state::of(&ground.postgres, version, "owned"));
    assert_eq!(behaviour(&ground, "owned"), before, "{undone}");
    let (success, again) = ground.harden("owned", &["--undo"]);
    assert!(success && again.contains(": 0 put back"), "{again}");
}
