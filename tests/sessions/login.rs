//! Tokens, roles and tenants: who is let in where, and what the others are told.

use std::net::{SocketAddr, UdpSocket};

use serde_json::{Value, json};

use crate::support::people::{ISSUER, Person, SECRET, alice, in_seconds, person, sign};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, VERSION_3_0, startup};
use crate::{ALICE, BOB};

/// The login is refused with that SQLSTATE, a message that has that word, and a hint.
fn refused(stack: &Stack, token: &str, database: &str, sqlstate: &str, word: &str) {
    let (code, message, hint) = stack.refusal(token, database);
    let what = format!("{code} {message} (hint: {hint})");
    assert_eq!(code, sqlstate, "{what}");
    assert!(
        message.to_lowercase().contains(word),
        "the message lacks `{word}`: {what}"
    );
    assert!(!hint.is_empty(), "no hint: {what}");
    assert!(!what.contains(token), "the token is in the message");
}

fn with(claim: &str, value: Value) -> String {
    alice().token_with(&[(claim, value)])
}

#[test]
fn bad_tokens_are_refused_saying_why() {
    let stack = Stack::start(&StackOptions::pool(1));
    let foreign = sign(&alice().claims(), "the secret of some other issuer 0123456789");
    let flipped = {
        let mut token = alice().token();
        let last = token.pop().unwrap();
        // Not the last bits only: those may be padding.
        let middle = token.len() - 10;
        let byte = if &token[middle..=middle] == "A" { "B" } else { "A" };
        token.replace_range(middle..=middle, byte);
        token.push(last);
        token
    };
    // {"alg":"none"}, alice's claims, no signature.
    let claims = alice().token();
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", claims.split('.').nth(1).unwrap());
    let bad = [
        (foreign, "signature"),
        (flipped, "signature"),
        (unsigned, "algorithm"),
        (with("exp", json!(in_seconds(-120))), "expired"),
        (with("exp", Value::Null), "exp"),
        (with("exp", json!("tomorrow")), "exp"),
        (with("nbf", json!(in_seconds(600))), "not valid"),
        (with("aud", json!("somebody else")), "aud"),
        (with("aud", Value::Null), "aud"),
        (with("iss", json!("https://other.test")), "issuer"),
        (with("iss", Value::Null), "iss"),
        ("no token at all".to_owned(), "token"),
        ("a.b.c".to_owned(), "token"),
        ("x".repeat(15_000), "token"),
    ];
    for (token, word) in bad {
        refused(&stack, &token, "acme", "28P01", word);
    }
}

#[test]
fn roles_are_those_of_the_token_and_the_list() {
    let stack = Stack::start(&StackOptions::pool(1));
    for role in [
        json!("postgres"),
        json!("none"),
        json!("portcullis_app"),
        json!("NONE"),
        json!(""),
        json!(7),
        json!(["nobody"]),
        json!({}),
    ] {
        let (code, message, hint) = stack.refusal(&with("role", role.clone()), "acme");
        assert_eq!(code, "28000", "{role}: {message} ({hint})");
    }
    refused(&stack, &with("role", Value::Null), "acme", "28000", "role");
    let both = with("role", json!(["authenticated", "member"]));
    let login = |user: &str| {
        let options = [("user", user), ("database", "acme")];
        RawClient::try_login(stack.port(), &options, Some(&both))
    };
    for role in ["authenticated", "member"] {
        let mut client = login(role).unwrap_or_else(|why| panic!("{}", why.describe()));
        assert_eq!(client.value("SELECT current_user"), role);
    }
    for user in ["alice", "service_role", "postgres"] {
        let sqlstate = login(user).err().map(|why| why.sqlstate());
        assert_eq!(sqlstate.as_deref(), Some("28000"), "{user}");
    }
    // A wanted role that the token does not carry is refused; any other name is just a name.
    let one = |user: &str| {
        RawClient::try_login(
            stack.port(),
            &[("user", user), ("database", "acme")],
            Some(&alice().token()),
        )
    };
    assert_eq!(
        one("service_role").err().map(|why| why.sqlstate()).as_deref(),
        Some("28000")
    );
    assert_eq!(
        one("whoever")
            .unwrap_or_else(|why| panic!("{}", why.describe()))
            .value("SELECT who()"),
        ALICE
    );
}

#[test]
fn tenants_are_those_of_the_token() {
    let stack = Stack::start(&StackOptions::pool(1));
    let token = alice().token();
    // What exists and what does not must look alike to somebody who may see neither.
    let other = stack.refusal(&token, "globex");
    let nobody = stack.refusal(&token, "hooli");
    assert_eq!(other.0, "28000", "{other:?}");
    assert_eq!(other.1.replace("globex", "hooli"), nobody.1);
    assert_eq!(
        (&other.0, other.2.replace("globex", "hooli")),
        (&nobody.0, nobody.2)
    );
    refused(&stack, &with("tenant", json!("hooli")), "hooli", "3D000", "hooli");
    assert_eq!(stack.refusal(&with("tenant", json!({"a": 1})), "acme").0, "28000");
    // No tenant in the token: only a role that may pick one is let in.
    refused(&stack, &with("tenant", Value::Null), "acme", "28000", "tenant");
    let both = with("tenant", json!(["acme", "globex"]));
    for tenant in ["acme", "globex"] {
        let mut client = stack
            .try_login(&both, tenant)
            .unwrap_or_else(|why| panic!("{}", why.describe()));
        assert_eq!(client.value("SELECT current_tenant()"), tenant);
    }
    for database in [
        "acme'--",
        "ac\"me",
        "../acme",
        "postgres",
        "template1",
        "acme\u{0}x",
    ] {
        assert!(
            stack.try_login(&token, database).is_err() || database.starts_with("acme\u{0}"),
            "{database}"
        );
    }
}

#[test]
fn placements() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut of_schema = stack.login(&person("peter", "initech"));
    assert_eq!(of_schema.value("SELECT title FROM notes"), "of initech");
    assert_eq!(of_schema.sqlstate("SET search_path TO public"), "42501");
    let mut of_database = stack.login(&person("wesker", "umbrella"));
    assert_eq!(of_database.value("SELECT title FROM notes"), "of umbrella");
    assert_eq!(of_database.value("SELECT current_database()"), "umbrella");
    let mut shared = stack.login(&crate::support::people::bob());
    assert_eq!(
        shared.value("SELECT who() || current_database()"),
        format!("{BOB}shop")
    );
}

#[test]
fn trusted_roles_have_a_login_of_their_own() {
    let stack = Stack::start(&StackOptions::pool(1));
    let token = alice().token_with(&[("role", json!("service_role")), ("tenant", Value::Null)]);
    let mut service = stack
        .try_login(&token, "globex")
        .unwrap_or_else(|why| panic!("{}", why.describe()));
    assert_eq!(
        service.value("SELECT session_user || ' ' || current_user"),
        "portcullis_service service_role"
    );
    assert_eq!(service.value("SELECT count(*) > 4 FROM todos"), "t");
    refused(&stack, &token, "hooli", "3D000", "hooli");
    let mut user = stack.login(&alice());
    assert_eq!(user.value("SELECT session_user"), "portcullis_app");
}

#[test]
fn anonymous_sessions() {
    let stack = Stack::start(&StackOptions::pool(1));
    let options = [("user", "anybody"), ("database", "acme")];
    let mut anon =
        RawClient::try_login(stack.port(), &options, None).unwrap_or_else(|why| panic!("{}", why.describe()));
    assert_eq!(
        anon.value("SELECT current_user || '|' || coalesce(current_user_id(), 'NULL')"),
        "anon|NULL"
    );
    assert_eq!(anon.values("SELECT title FROM todos"), ["alice two"]);
    assert_eq!(anon.sqlstate("INSERT INTO todos (title) VALUES ('x')"), "42501");
    drop(stack);
    let stack = Stack::start(&StackOptions::pool(1).without("auth", "anonymous_role"));
    let error = RawClient::try_login(stack.port(), &options, None).err().unwrap();
    assert!(
        ["28P01", "28000"].contains(&error.sqlstate().as_str()),
        "{}",
        error.describe()
    );
}

#[test]
fn identity_reaches_every_setting() {
    let stack = Stack::start(&StackOptions::pool(1));
    let who = Person {
        name: "o'brien \\ \"x\" é".into(),
        tenant: "acme".into(),
    };
    let token = who.token_with(&[("extra", json!({"a": ["'", "\\"]}))]);
    let mut client = stack
        .try_login(&token, "acme")
        .unwrap_or_else(|why| panic!("{}", why.describe()));
    assert_eq!(client.value("SELECT current_setting('app.user_id')"), who.name);
    assert_eq!(
        client.value("SELECT current_setting('app.role')"),
        "authenticated"
    );
    let claims: Value =
        serde_json::from_str(&client.value("SELECT current_setting('request.jwt.claims')")).unwrap();
    assert_eq!(claims["sub"], json!(who.name));
    assert_eq!(
        (&claims["iss"], &claims["role"]),
        (&json!(ISSUER), &json!("authenticated"))
    );
    assert_eq!(claims["extra"], json!({"a": ["'", "\\"]}));
    // An absent claim is '', never what the last client had.
    let mut nameless = stack
        .try_login(&with("sub", Value::Null), "acme")
        .unwrap_or_else(|why| panic!("{}", why.describe()));
    assert_eq!(nameless.value("SELECT current_setting('app.user_id')"), "");
}

#[test]
fn long_tokens() {
    let stack = Stack::start(&StackOptions::pool(1));
    let token = with("filler", json!("x".repeat(10_500)));
    assert!((14_000..16_384).contains(&token.len()), "{}", token.len());
    let mut client = stack
        .try_login(&token, "acme")
        .unwrap_or_else(|why| panic!("{}", why.describe()));
    assert_eq!(client.value("SELECT who()"), ALICE);
    // One that is too long is an error, not a disconnect.
    let mut client = RawClient::connect(stack.port());
    client.send(&startup(VERSION_3_0, &[("user", "x"), ("database", "acme")]));
    let error = client
        .finish_login(Some(&with("filler", json!("x".repeat(20_000)))))
        .unwrap_err();
    assert!(
        ["28P01", "08P01", "54000"].contains(&error.sqlstate().as_str()),
        "{}",
        error.describe()
    );
}

#[test]
fn no_secret_reaches_the_log() {
    let stack = Stack::start(&StackOptions::pool(1).with("log.level = \"trace\""));
    let good = alice().token();
    let bad = sign(&alice().claims(), "the secret of some other issuer 0123456789");
    assert_eq!(stack.login(&alice()).value("SELECT who()"), ALICE);
    stack.refusal(&bad, "acme");
    let log = stack.log();
    for (what, secret) in [
        ("token", good.as_str()),
        ("bad token", &bad),
        ("key", SECRET),
        ("login", "app-login-password"),
    ] {
        let tail = &secret[secret.len() - 12..];
        assert!(!log.contains(tail), "the {what} is in the log");
    }
}

/// Until there is TLS a token must not cross a network in the clear, unless the operator says so.
#[test]
fn off_loopback_a_token_needs_permission() {
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    // No packet is sent: this only asks which address would be used.
    let routed = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr());
    let Some(address) = routed
        .ok()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_loopback())
    else {
        eprintln!("this machine has no address but loopback: nothing to test");
        return;
    };
    for allow in [false, true] {
        let port = crate::support::postgres::free_port();
        let listen = format!("[listen]\naddress = \"0.0.0.0:{port}\"\nallow_plaintext = {allow}\n");
        let stack = Stack::on_port(port, &StackOptions::pool(1).with(&listen));
        let mut client = RawClient::connect_to(SocketAddr::new(address, port));
        client.send(&startup(VERSION_3_0, &[("user", "x"), ("database", "acme")]));
        let answer = client.finish_login(Some(&alice().token()));
        assert_eq!(answer.is_ok(), allow, "allow_plaintext = {allow}");
        if let Err(why) = answer {
            assert_eq!(why.sqlstate(), "28000", "{}", why.describe());
        }
        assert_eq!(stack.login(&alice()).value("SELECT who()"), ALICE);
    }
}
