//! Two users stay two all the way to the server, whatever their tokens call them, and a login that the database could
//! not serve ends at the login.

use proptest::strategy::{Strategy, ValueTree};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::stacks_of_one_in_both_modes;
use crate::support::people::{alice, sign_text};
use crate::support::proxy::Stack;
use crate::support::raw::RawClient;

/// Alice's token with this JSON in the place of her name.
fn with_sub(sub: &str) -> String {
    let claims = Value::Object(alice().claims()).to_string();
    sign_text(&claims.replace("\"sub\":\"alice\"", &format!("\"sub\":{sub}")))
}

/// Alice's token with one more claim, as JSON.
fn with_claim(claim: &str) -> String {
    let claims = Value::Object(alice().claims()).to_string();
    sign_text(&claims.replacen('{', &format!("{{{claim},"), 1))
}

fn login(stack: &Stack, token: &str) -> RawClient {
    stack
        .try_login(token, "acme")
        .unwrap_or_else(|why| panic!("{}", why.describe()))
}

#[test]
fn a_number_is_its_own_text_to_the_server() {
    let mut runner = TestRunner::deterministic();
    let any = string_regex("-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?").unwrap();
    let mut numbers: Vec<String> = [
        "110169484474386276334",
        "110169484474386276335",
        "9007199254740993",
        "1e2",
        "1E2",
        "100",
        "1.50",
        "1.5",
        "-0",
        "0.0",
        "1E400",
    ]
    .map(str::to_owned)
    .to_vec();
    numbers.extend((0..20).map(|_| any.new_tree(&mut runner).unwrap().current()));
    numbers.push("7".repeat(9_000));
    for stack in stacks_of_one_in_both_modes() {
        for number in &numbers {
            let mut client = login(&stack, &with_sub(number));
            let told = client.value(
                "SELECT concat_ws('|', current_setting('app.user_id'), \
                 current_setting('request.jwt.claims')::json ->> 'sub', \
                 (current_setting('request.jwt.claims')::jsonb -> 'sub')::numeric = current_setting('app.user_id')::numeric)",
            );
            assert_eq!(told, format!("{number}|{number}|t"));
        }
    }
}

/// What one of them owns the other must not see.
#[test]
fn neighbours_in_the_last_digit_are_two() {
    for stack in stacks_of_one_in_both_modes() {
        let (one, other) = ("110169484474386276334", "110169484474386276335");
        login(&stack, &with_sub(one)).values("INSERT INTO todos (title) VALUES ('a secret')");
        assert_eq!(
            login(&stack, &with_sub(other)).value("SELECT count(*) FROM todos"),
            "0"
        );
        let mut owner = login(&stack, &with_sub(one));
        assert_eq!(owner.values("SELECT title FROM todos"), ["a secret"]);
        owner.values("DELETE FROM todos");
    }
}

#[test]
fn what_the_database_cannot_hold_is_refused_at_login() {
    for stack in stacks_of_one_in_both_modes() {
        for (claim, why) in [
            (r#""name":"a\u0000b""#, "U+0000"),
            (r#""na\u0000me":1"#, "U+0000"),
            (r#""x":[{"y":[{"z\u0000":null}]}]"#, "U+0000"),
            (r#""app_metadata":{"roles":["a","\u0000"]}"#, "U+0000"),
            (r#""n":1e200000"#, "range"),
            (r#""n":[{"m":-9E131072}]"#, "range"),
            (r#""n":1e-16384"#, "range"),
            (r#""n":0e-99999"#, "range"),
        ] {
            let (sqlstate, message, hint) = stack.refusal(&with_claim(claim), "acme");
            assert_eq!(sqlstate, "28000", "{claim}: {message}");
            assert!(message.contains(why) && !hint.is_empty(), "{message} ({hint})");
        }
        let (sqlstate, ..) = stack.refusal(&with_sub("\"alice\\u0000\""), "acme");
        assert_eq!(sqlstate, "28000");
        for broken in [
            r#""x":"\ud800""#,
            r#""\udc00":1"#,
            r#""x":1,"\u0078":2"#,
            r#""x":01"#,
        ] {
            assert_eq!(stack.refusal(&with_claim(broken), "acme").0, "28P01", "{broken}");
        }
        // What is let in, every policy can read.
        let deep = format!("\"x\":{}{}", "[".repeat(127), "]".repeat(127));
        for good in [
            r#""n":9.99e131071"#,
            r#""n":1e-16383"#,
            r#""n":-123e131069"#,
            r#""x":"\\u0000""#,
            r#""x":"\ud83d\ude00\u001f\u007f""#,
            deep.as_str(),
        ] {
            let mut client = login(&stack, &with_claim(good));
            let subject = client.value("SELECT current_setting('request.jwt.claims')::jsonb ->> 'sub'");
            assert_eq!(subject, "alice", "{good}");
        }
    }
}

/// Milliseconds in the place of seconds would make a token good for ever.
#[test]
fn times_that_are_none_are_refused() {
    let stack = &stacks_of_one_in_both_modes().next().unwrap();
    for exp in [
        "1e400",
        "99999999999999999999999",
        "1700000000000",
        "-1e400",
        "1",
        "null",
        "\"2000000000\"",
    ] {
        let claims = Value::Object(alice().claims()).to_string();
        let start = claims.find("\"exp\":").unwrap();
        let end = start + claims[start..].find([',', '}']).unwrap();
        let mut claims = claims;
        claims.replace_range(start..end, &format!("\"exp\":{exp}"));
        assert_eq!(stack.refusal(&sign_text(&claims), "acme").0, "28P01", "{exp}");
    }
}
