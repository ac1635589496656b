//! Texts that name schemas, where tenants are told apart by schema: a tenant's is `s_a`, another one's is `s_b`.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use crate::guard::{Asker, Guard, Policy, RepeatedTexts, Settings};
use crate::tenant::Schemas;

/// EXPLAIN, LOCK and TRUNCATE as well.
fn policy() -> Arc<Policy> {
    let text = include_str!("../../../policies/end_user.toml");
    let more = "statements = [\n  \"EXPLAIN\", \"LOCK\", \"TRUNCATE\", ";
    Arc::new(Policy::parse(&text.replace("statements = [\n", more)).unwrap())
}

/// A session that may name these schemas.
fn within(schemas: Option<&Schemas>) -> Asker<'_> {
    Asker {
        schemas,
        account: None,
    }
}

/// A guard that remembers nothing.
fn fresh() -> &'static Guard {
    static GUARD: LazyLock<Guard> = LazyLock::new(|| {
        Guard::new(Settings {
            cache_bytes: 0,
            ..Settings::default()
        })
    });
    &GUARD
}

fn of_a() -> Schemas {
    Schemas::only("s_a", &["public".into()].into())
}

fn of_b() -> Schemas {
    Schemas::only("s_b", &["public".into()].into())
}

fn rule_for(schemas: &Schemas, text: &str) -> &'static str {
    match fresh().judge_for(within(Some(schemas)), &policy(), text.as_bytes()) {
        Ok(_) => "",
        Err(refusal) => refusal.rule,
    }
}

/// Texts in which `s_b` is another tenant's schema, one a line.
const FOREIGN: &str = include_str!("schemas_foreign.sql");

/// Texts that name nothing but what is open to `s_a`.
const OWN: &str = include_str!("schemas_own.sql");

fn lines(texts: &str) -> impl Iterator<Item = &str> {
    texts.lines().filter(|line| !line.is_empty())
}

#[test]
fn other_tenants_schemas_are_refused_wherever_they_are_named() {
    let allowed: Vec<&str> = lines(FOREIGN)
        .filter(|text| rule_for(&of_a(), text).is_empty())
        .collect();
    assert!(allowed.is_empty(), "allowed:\n{}", allowed.join("\n"));
}

#[test]
fn a_tenants_own_names_pass() {
    let refused = lines(OWN).map(|text| (rule_for(&of_a(), text), text));
    let refused: Vec<String> = refused
        .filter(|(rule, _)| !rule.is_empty())
        .map(|(rule, text)| format!("{rule}: {text}"))
        .collect();
    assert!(refused.is_empty(), "refused:\n{}", refused.join("\n"));
}

#[test]
fn a_refusal_names_the_tenants_schema() {
    let guard = Guard::new(Settings::default());
    let refusal = guard
        .judge_for(within(Some(&of_a())), &policy(), b"SELECT 1 FROM s_b.notes")
        .unwrap_err();
    assert_eq!(
        (refusal.sqlstate.as_str(), refusal.rule),
        ("42501", "schema.other")
    );
    assert!(refusal.hint.as_ref().unwrap().contains("\"s_a\""), "{refusal:?}");
    assert_eq!(refusal.position, Some(15));
}

/// Where its schema is named, a verdict is one tenant's; all others are kept once for all.
#[test]
fn a_verdict_for_one_tenant_is_none_for_another() {
    let guard = Guard::new(Settings {
        repeated_texts: RepeatedTexts::Prepared,
        ..Settings::default()
    });
    let policy = policy();
    let (a, b) = (of_a(), of_b());
    let judge =
        |schemas: &Schemas, text: &str| guard.judge_for(within(Some(schemas)), &policy, text.as_bytes());
    for text in [
        "SELECT body FROM s_b.notes",
        "SELECT body FROM s_b.notes WHERE id = 1",
        "SELECT nextval('s_b.seq')",
    ] {
        for _ in 0..4 {
            assert!(judge(&b, text).is_ok(), "{text}");
            assert!(judge(&a, text).is_err(), "{text}");
            assert!(guard.judge(&policy, text.as_bytes()).is_ok(), "{text}");
        }
    }
    for n in 0..8 {
        let text = format!("SELECT body FROM s_b.notes WHERE id = {n}");
        assert!(judge(&b, &text).is_ok() && judge(&a, &text).is_err());
    }
    let common = |schemas| {
        let text = "SELECT n.body FROM notes n";
        (0..2).for_each(|_| drop(judge(schemas, text)));
        judge(schemas, text).unwrap()
    };
    assert!(Arc::ptr_eq(&common(&a), &common(&b)));
}

#[test]
fn trusted_roles_may_name_every_schema() {
    let guard = Guard::new(Settings::default());
    let trusted = Arc::new(Policy::trusted());
    for text in [
        "SELECT * FROM s_b.notes",
        "SET search_path = s_b",
        "SELECT nextval($1)",
    ] {
        assert!(
            guard
                .judge_for(within(Some(&of_a())), &trusted, text.as_bytes())
                .is_ok(),
            "{text}"
        );
    }
}

#[test]
fn a_policy_that_lets_search_path_be_set_does_not_here() {
    let policy = Arc::new(
        Policy::parse("name = 'p'\nstatements = ['SET', 'SELECT']\nsettable = ['search_path']").unwrap(),
    );
    let guard = Guard::new(Settings::default());
    for text in [
        "SET search_path = s_b",
        "SELECT set_config('search_path', 's_b', true)",
    ] {
        assert!(guard.judge(&policy, text.as_bytes()).is_ok());
        let refusal = guard
            .judge_for(within(Some(&of_a())), &policy, text.as_bytes())
            .unwrap_err();
        assert_eq!(refusal.rule, "setting.path", "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever the second grammar takes for a relation or a function of another schema is refused, in whatever words
    /// and however nested.
    #[test]
    fn what_another_grammar_finds_is_refused(pieces in prop::collection::vec(piece(), 1..14)) {
        let text = format!("SELECT {}", pieces.join(" "));
        let guard = fresh();
        if guard.judge_for(within(Some(&A)), &POLICY, text.as_bytes()).is_ok() {
            for facts in guard.facts(text.as_bytes()).into_iter().flatten() {
                let names = facts.relations.iter().chain(&facts.functions).chain(&facts.written);
                for name in names {
                    prop_assert!(!name.starts_with("s_b."), "{text}: {name}");
                }
            }
        }
    }
}

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(policy);
static A: LazyLock<Schemas> = LazyLock::new(of_a);

fn piece() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "s_b.notes",
        "s_b.f(1)",
        "n.id",
        "n.as",
        "1 AS as",
        "1 AS from",
        "notes",
        "s_a.notes n",
        "1",
        "'x'",
        "n.*",
        "*",
        "FROM",
        "FROM",
        "FROM notes n,",
        "JOIN",
        "ON true",
        "ON n.id = 1",
        "USING (id)",
        ",",
        ",",
        "(",
        ")",
        "(SELECT",
        "FROM (",
        "WHERE",
        "GROUP BY",
        "ORDER BY",
        "UNION SELECT",
        "AS x",
        "CASE WHEN true THEN",
        "END",
        "AND",
        "=",
        "n.id IS DISTINCT FROM",
        "extract(year FROM",
        "LATERAL",
        "ONLY",
        "values",
        "set",
        "by",
        "order",
        "returning",
        "VALUES (1),",
        "EXISTS (",
        "IN (",
        "LIMIT 1",
        "FOR UPDATE",
        "WITHIN GROUP (ORDER BY 1)",
        "OVER (PARTITION BY",
        "ARRAY[",
        "]",
        "::",
        "int",
        "TABLE",
        "DISTINCT",
    ])
}
