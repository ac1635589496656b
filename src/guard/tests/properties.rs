//! What holds for any text.

use proptest::prelude::*;

use super::*;

/// Statements made of the words the rules look for.
fn word_salad() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "SELECT",
        "INTO",
        "INSERT",
        "UPDATE",
        "DELETE",
        "MERGE",
        "WITH",
        "AS",
        "(",
        ")",
        "FROM",
        "SET",
        "ROLE",
        "TO",
        "=",
        "DEFAULT",
        "RESET",
        "COPY",
        "STDIN",
        "EXPLAIN",
        "ANALYZE",
        "DECLARE",
        "CURSOR",
        "FOR",
        "HOLD",
        "CREATE",
        "TEMP",
        "TABLE",
        "VALUES",
        ",",
        ".",
        ";",
        "set_config",
        "'jit'",
        "true",
        "t",
        "$1",
        "1",
        "TREAT",
        "pg_advisory_lock",
        "BEGIN",
        "COMMIT",
        "AND",
        "CHAIN",
        "SESSION",
        "LOCAL",
        "TIME",
        "ZONE",
        "TRANSACTION",
        "ISOLATION",
        "LEVEL",
        "ONLY",
        "*",
        "DEALLOCATE",
        "ALL",
        "U&\"a\"",
        "'x'",
    ];
    proptest::collection::vec(proptest::sample::select(WORDS), 0..16).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Nothing panics, and what is allowed is made of the text's own statements in order.
    #[test]
    fn any_text_gets_a_verdict(text in prop_oneof![any::<String>(), word_salad()]) {
        for role in ["web", "admin", "reader"] {
            match judge_as(role, &text) {
                Ok(script) => {
                    prop_assert_eq!(script.text().len(), text.len());
                    let mut rest = script.text();
                    for cleared in script.statements() {
                        let at = rest.find(cleared.sql());
                        prop_assert!(at.is_some() && !cleared.sql().is_empty());
                        rest = &rest[at.unwrap_or(0) + cleared.sql().len()..];
                    }
                }
                Err(refusal) => prop_assert!(!refusal.message.is_empty()),
            }
        }
    }

    /// An end user never gets a word that makes it someone else, whatever stands around it.
    #[test]
    fn no_allowed_statement_calls_a_reserved_function(before in word_salad(), after in word_salad()) {
        let text = format!("{before} SELECT set_config ( 'role' , 'x' , true ) {after}");
        prop_assert!(judge_as("web", &text).is_err());
    }

    #[test]
    fn any_bytes_get_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let guard = guard();
        let _ = guard.judge(&guard.policy_for(&"web".into()), &bytes);
    }
}
