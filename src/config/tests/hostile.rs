//! No text panics, however odd: it loads or it is refused with at least one mistake.

use proptest::prelude::*;

use super::*;

const WORDS: [&str; 44] = [
    "listen",
    "address",
    "max_client_conn",
    "client_login_timeout",
    "admin",
    "log",
    "level",
    "pool",
    "servers",
    "main",
    "host",
    "port",
    "logins",
    "app",
    "user",
    "password",
    "file",
    "env",
    "roles",
    "anon",
    "login",
    "policy",
    "auth",
    "issuers",
    "issuer",
    "audience",
    "algorithms",
    "secret",
    "jwks_url",
    "leeway",
    "identity",
    "settings",
    "\"app.user_id\"",
    "claim",
    "tenants",
    "tenant",
    "pattern",
    "match",
    "database",
    "schema",
    "shared",
    "name",
    "extra_search_path",
    "guard",
];

const VALUES: [&str; 24] = [
    "0",
    "-1",
    "1",
    "1e400",
    "nan",
    "-inf",
    "0xff",
    "99999999999999999999",
    "true",
    "\"\"",
    "\"*\"",
    "\"é\\u0000\"",
    "\"{tenant}{tenant}\"",
    "\"1h\"",
    "\"99999999999d\"",
    "[]",
    "[[]]",
    "{}",
    "{ file = \"/\" }",
    "{ env = \"SHORT\" }",
    "{ claim = \"$..a[\" }",
    "1979-05-27",
    "[{ name = \"a\" }, 1]",
    "'''\n'''",
];

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&WORDS[..])
}

fn line() -> impl Strategy<Value = String> {
    let value = || prop::sample::select(&VALUES[..]);
    prop_oneof![
        (word(), value()).prop_map(|(key, value)| format!("{key} = {value}\n")),
        (word(), word(), value()).prop_map(|(a, b, value)| format!("{a}.{b} = {value}\n")),
        (word(), word()).prop_map(|(a, b)| format!("[{a}.{b}]\n")),
        (word(), word()).prop_map(|(a, b)| format!("[[{a}.{b}]]\n")),
        word().prop_map(|a| format!("[{a}]\n")),
    ]
}

fn loads_or_is_refused(text: &str) {
    if let Err(error) = parse(text) {
        assert!(!error.mistakes.is_empty());
        assert!(!error.to_string().contains(SECRET));
    }
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,200}") {
        loads_or_is_refused(&text);
    }

    #[test]
    fn any_toml_of_our_words(lines in prop::collection::vec(line(), 0..20)) {
        loads_or_is_refused(&lines.concat());
    }

    #[test]
    fn any_value_in_a_good_configuration(key in 0_usize..11, value in prop::sample::select(&VALUES[..])) {
        let mut seen = 0;
        let lines: Vec<String> = SMALL
            .lines()
            .map(|line| match line.split_once(" = ") {
                Some((name, _)) => {
                    seen += 1;
                    if seen == key { format!("{name} = {value}") } else { line.to_owned() }
                }
                None => line.to_owned(),
            })
            .collect();
        loads_or_is_refused(&lines.join("\n"));
    }

    #[test]
    fn a_good_configuration_cut_anywhere(at in 0_usize..600) {
        if let Some(text) = SMALL.get(..at.min(SMALL.len())) {
            loads_or_is_refused(text);
        }
    }
}

#[test]
fn depth_does_not_eat_the_stack() {
    for deep in [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
        "[[a]]\n".repeat(100_000),
    ] {
        assert!(parse(&deep).is_err());
    }
}
