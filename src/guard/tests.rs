//! Verdicts: attacks that must be refused, statements of real applications that must pass.

mod attacks;
mod legitimate;
mod policies;
mod properties;
mod restrictions;
mod schemas;
mod session_mode;

use std::sync::LazyLock;

use super::*;
use crate::base::SqlState;

/// One guard for all tests: making a cache takes longer than a verdict.
fn guard() -> &'static Guard {
    static GUARD: LazyLock<Guard> = LazyLock::new(|| Guard::new(settings()));
    &GUARD
}

fn settings() -> Settings {
    Settings {
        by_role: HashMap::from([
            ("admin".into(), "trusted".to_owned()),
            ("reader".into(), "read_only".to_owned()),
            ("lost".into(), "no such policy".to_owned()),
        ]),
        identity_settings: vec![
            "app.user_id".to_owned(),
            "App.Tenant_Id".to_owned(),
            "claims.*".to_owned(),
        ],
        ..Settings::default()
    }
}

fn judge_as(role: &str, text: &str) -> Result<Arc<Script>, Arc<Refusal>> {
    let guard = guard();
    guard.judge(&guard.policy_for(&role.into()), text.as_bytes())
}

/// The SQLSTATE an end user is refused with, or `ok`.
fn state(text: &str) -> String {
    state_as("web", text)
}

fn state_as(role: &str, text: &str) -> String {
    judge_as(role, text).map_or_else(|refusal| refusal.sqlstate.to_string(), |_| "ok".to_owned())
}

/// One statement a line; `⏎` and `␍` stand for the two line breaks inside one.
fn lines(texts: &str) -> Vec<&'static str> {
    let texts = texts.lines().map(str::trim).filter(|text| !text.is_empty());
    texts
        .map(|text| &*text.replace('⏎', "\n").replace('␍', "\r").leak())
        .collect()
}

fn all(wanted: &str, texts: &str) {
    for text in lines(texts) {
        assert_eq!(state(text), wanted, "{text}");
    }
}

fn actions(text: &str) -> Vec<Action> {
    let script = judge_as("web", text).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
    script
        .statements()
        .iter()
        .map(|cleared| cleared.action().clone())
        .collect()
}
