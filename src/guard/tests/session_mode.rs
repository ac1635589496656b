//! What session mode allows beyond transaction mode, and to whom.

use super::*;
use crate::base::PoolMode;

/// The SQLSTATE that a role is refused with in session mode, or `ok`.
fn kept(role: &str, text: &str) -> String {
    let policy = guard().policy_in(PoolMode::Session, &role.into());
    let verdict = guard().judge(&policy, text.as_bytes());
    verdict.map_or_else(|refusal| refusal.sqlstate.to_string(), |_| "ok".to_owned())
}

#[test]
fn what_needs_a_connection_of_ones_own_works_in_session_mode_alone() {
    for (text, end_user, trusted) in [
        ("LISTEN c", "42501", "ok"),
        ("CREATE TEMP TABLE t (a int)", "42501", "ok"),
        ("SELECT 1 AS a INTO TEMP t", "42501", "ok"),
        ("CREATE VIEW pg_temp.v AS SELECT 1", "42501", "ok"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "ok", "ok"),
        ("SELECT pg_advisory_lock(1)", "ok", "ok"),
        (
            "SELECT pg_try_advisory_lock_shared(1), pg_advisory_unlock(1)",
            "ok",
            "ok",
        ),
    ] {
        assert_eq!(kept("web", text), end_user, "{text}");
        assert_eq!(kept("admin", text), trusted, "{text}");
        assert_eq!(state(text), "0A000", "{text}");
        assert_eq!(state_as("admin", text), "0A000", "{text}");
    }
}

#[test]
fn what_no_mode_keeps_is_refused_in_session_mode_too() {
    for text in [
        "PREPARE TRANSACTION 'x'",
        "SET role TO admin",
        "SET SESSION AUTHORIZATION DEFAULT",
        "SELECT set_config('role', 'admin', false)",
        "SELECT set_config('app.user_id', 'x', false)",
        "SET app.user_id = 'x'",
        "SELECT setseed(0.1)",
        "SELECT pg_notify('c', '')",
        "DECLARE c CURSOR WITH HOLD FOR SELECT query_to_xml('SELECT 1', true, true, '')",
        "DO $$ BEGIN END $$",
    ] {
        assert_ne!(kept("web", text), "ok", "{text}");
    }
    assert_eq!(kept("lost", "LISTEN c"), "42501");
}

#[test]
fn a_policy_may_let_end_users_listen() {
    let policy = Policy::parse("name = 'feed'\nstatements = ['SELECT', 'LISTEN']").unwrap();
    let guard = Guard::new(Settings {
        policies: vec![policy],
        default_policy: "feed".to_owned(),
        ..Settings::default()
    });
    let judge = |mode, text: &str| {
        let policy = guard.policy_in(mode, &"web".into());
        guard.judge(&policy, text.as_bytes())
    };
    assert!(judge(PoolMode::Session, "LISTEN c").is_ok());
    let refusal = judge(PoolMode::Transaction, "LISTEN c").unwrap_err();
    assert_eq!(refusal.sqlstate, SqlState::FEATURE_NOT_SUPPORTED);
    assert!(
        refusal
            .hint
            .as_deref()
            .is_some_and(|hint| hint.contains("pool_mode = \"session\""))
    );
}

#[test]
fn what_is_held_there_is_the_servers_to_end() {
    let policy = guard().policy_in(PoolMode::Session, &"web".into());
    for text in [
        "UNLISTEN *",
        "CLOSE ALL",
        "CLOSE c",
        "SELECT pg_advisory_unlock_all()",
    ] {
        let script = guard().judge(&policy, text.as_bytes()).unwrap();
        assert_eq!(*script.statements()[0].action(), Action::Query, "{text}");
    }
}

#[test]
fn temporary_tables_behind_explain() {
    let text = "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1";
    assert_eq!(state_as("admin", text), "0A000");
    assert_eq!(kept("admin", text), "ok");
    assert_ne!(kept("web", text), "ok");
}
