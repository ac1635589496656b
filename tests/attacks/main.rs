//! Attacks by a client with a valid token, each judged by its effect: on the catalogs, on other users' rows, on the
//! attacker's own identity, and on the next client of the one server connection there is. A refusal alone proves
//! nothing here, and a control run against a pooler without a guard shows that each check can fail.
//!
//! Every case runs on every version, with the database as it comes (`arena`: the guard alone must hold) and
//! hardened (`fort`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod arena;
mod cases;
mod naive;
mod routes;
mod startup;
mod watch;
mod wire;

use arena::{Arena, Ground};
use cases::{Case, cases};
use support::postgres::{Postgres, Version, cluster};
use support::proxy::{Stack, StackOptions};

/// Runs every case on one ground and reports all that had an effect.
fn run(version: Version, ground: Ground) {
    if cluster(version).is_none() {
        return;
    }
    let mut arena = Arena::open(version, ground);
    let mut failures = Vec::new();
    for case in cases() {
        let effects = arena.attack(&case);
        if !effects.is_empty() {
            failures.push(format!(
                "{} ({})\n    {}",
                case.name,
                case.text,
                effects.join("\n    ")
            ));
        }
    }
    for case in wire::cases() {
        let effects = arena.attack_by_bytes(&case);
        if !effects.is_empty() {
            failures.push(format!("{}\n    {}", case.name, effects.join("\n    ")));
        }
    }
    for case in startup::cases() {
        let effects = arena.attack_by_login(&case);
        if !effects.is_empty() {
            failures.push(format!("{}\n    {}", case.name, effects.join("\n    ")));
        }
    }
    arena.assert_well();
    assert!(
        failures.is_empty(),
        "{} attacks had an effect:\n  {}",
        failures.len(),
        failures.join("\n  ")
    );
}

#[test]
fn the_guard_alone() {
    run(Version::Installed, Ground::Arena);
}

#[test]
fn with_the_database_hardened() {
    run(Version::Installed, Ground::Fort);
}

#[test]
fn the_guard_alone_on_18() {
    run(Version::Eighteen, Ground::Arena);
}

#[test]
fn with_the_database_hardened_on_18() {
    run(Version::Eighteen, Ground::Fort);
}

#[test]
fn there_are_enough_cases_and_no_name_twice() {
    let mut names: Vec<String> = cases().into_iter().map(|case| case.name).collect();
    names.extend(wire::cases().into_iter().map(|case| case.name.to_owned()));
    names.extend(startup::cases().into_iter().map(|case| case.name.to_owned()));
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "a name is there twice");
    assert!(all >= 450, "{all} cases");
}

/// Hardening says what it would do, does it, and then has nothing left to do; `check` agrees.
#[test]
fn hardening_is_done_once() {
    for version in [Version::Installed, Version::Eighteen] {
        let Some(postgres) = cluster(version) else {
            continue;
        };
        arena::make_database(postgres, "twice");
        let tenant =
            "[[tenants.tenant]]\nname = \"acme\"\nserver = \"main\"\ndatabase = \"twice\"\nshared = true\n";
        let options = StackOptions {
            postgres: version,
            ..StackOptions::pool(1)
        };
        let stack = Stack::start(&options.with(tenant));
        let config = stack.config_path();
        let check = || {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
            let output = command
                .arg("check")
                .arg("--config")
                .arg(&config)
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let dry = |args: &[&str]| postgres.harden(&["twice"], &config, args);
        let script = dry(&["--dry-run"]);
        for wanted in [
            "REVOKE EXECUTE ON ROUTINE pg_catalog.set_config(text, text, boolean) FROM PUBLIC",
            "REVOKE TEMPORARY, CREATE ON DATABASE twice FROM PUBLIC",
            "ON TABLE public.todos FROM authenticated",
            "GRANT USAGE ON SEQUENCE public.ledger TO authenticated; REVOKE UPDATE",
            "-- advice: public.run_text(q text)",
            "-- advice: public.owners_count()",
        ] {
            assert!(script.contains(wanted), "{wanted} is missing:\n{script}");
        }
        assert_eq!(script, dry(&["--dry-run"]), "a dry run changes nothing");
        assert!(check().contains("`portcullis harden` mends it"), "{}", check());
        let first = dry(&[]);
        assert!(
            first.contains(" 0 failed") && !first.contains(" 0 mended"),
            "{first}"
        );
        let second = dry(&[]);
        assert!(second.contains(" 0 mended, 0 failed"), "{second}");
        who_sees_other_sessions(postgres);
        let warned = check();
        assert!(
            !warned.contains("mends it") && warned.contains("function.runs_text"),
            "{warned}"
        );
    }
}

/// In the hardened database nobody but who watches the server: the views ask for the reader's own rights.
fn who_sees_other_sessions(postgres: &Postgres) {
    let mut superuser = postgres.superuser("twice");
    for view in [
        "pg_stat_activity",
        "pg_stat_ssl",
        "pg_stat_replication",
        "pg_stat_progress_vacuum",
        "pg_locks",
        "pg_stat_get_activity(NULL)",
        "pg_stat_get_activity(pg_backend_pid())",
    ] {
        let look = format!("SELECT count(*) FROM {view}");
        superuser.values("SET ROLE authenticated");
        assert_eq!(superuser.sqlstate(&look), "42501", "{view}");
        superuser.values("RESET ROLE; SET ROLE pg_monitor");
        superuser.value(&look);
        superuser.values("RESET ROLE; SET ROLE service_role");
        superuser.value(&look);
        superuser.values("RESET ROLE");
    }
}

/// The same statements through a pooler that sets the identity and judges nothing: those marked `!` must have an
/// effect that the checks see, and the others none. Otherwise a green run would mean little.
#[test]
fn the_checks_can_fail() {
    let postgres = Postgres::own();
    let mut pooler = naive::Pooler::open(&postgres);
    let mut wrong = Vec::new();
    for Case { name, text, works } in cases() {
        let effects = pooler.attack(&text);
        if effects.is_empty() == works {
            wrong.push(format!("{name} ({text}): {effects:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases are marked wrongly:\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    );
}
