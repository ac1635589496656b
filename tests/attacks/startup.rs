//! Attacks by what is said before the first statement: startup parameters and tokens.

use serde_json::{Value, json};

use crate::support::people::{alice, bob, in_seconds, sign};

/// A login. If it is let in, the session must be who it says.
pub(crate) struct LoginCase {
    pub(crate) name: &'static str,
    pub(crate) options: &'static [(&'static str, &'static str)],
    pub(crate) token: fn() -> String,
    /// What the session's own answer to who it is must begin with.
    pub(crate) who: fn() -> String,
}

/// Every case.
pub(crate) fn cases() -> Vec<LoginCase> {
    let mut cases = parameters();
    cases.extend(tokens());
    cases.push(nobody());
    cases
}

const ALICE: &str = "authenticated|alice|acme|authenticated|";

macro_rules! parameters {
    ($($name:literal: [$($key:literal = $value:literal),*];)*) => {
        vec![$(LoginCase {
            name: $name,
            options: &[("user", "alice"), ("database", "acme"), $(($key, $value)),*],
            token: || alice().token(),
            who: || ALICE.to_owned(),
        }),*]
    };
}

fn parameters() -> Vec<LoginCase> {
    let mut cases = parameters! {
        "options -c role": ["options" = "-c role=member"];
        "options -crole": ["options" = "-crole=member"];
        "options --role": ["options" = "--role=member"];
        "options role and more": ["options" = "-c TimeZone=UTC -c role=member"];
        "options with an escaped space": ["options" = "-c\\ role=member"];
        "options in capitals": ["options" = "-c ROLE=member"];
        "options session_authorization": ["options" = "-c session_authorization=postgres"];
        "options tenant": ["options" = "-c app.tenant=globex -c app.user_id=bob"];
        "options claims": ["options" = "-c request.jwt.claims={}"];
        "options search_path": ["options" = "-c search_path=pg_temp,public"];
        "options row_security": ["options" = "-c row_security=off"];
        "options strings": ["options" = "-c standard_conforming_strings=off"];
        "options encoding": ["options" = "-c client_encoding=SJIS"];
        "options replication role": ["options" = "-c session_replication_role=replica"];
        "options preload": ["options" = "-c local_preload_libraries=x -c session_preload_libraries=x"];
        "options of the postmaster": ["options" = "-B 16 -d 5 -o x --single"];
        "a role as a parameter": ["role" = "member"];
        "a tenant as a parameter": ["app.tenant" = "globex"];
        "a user as a parameter": ["app.user_id" = "bob"];
        "a session authorization as a parameter": ["session_authorization" = "postgres"];
        "a search path as a parameter": ["search_path" = "pg_catalog"];
        "an encoding as a parameter": ["client_encoding" = "SJIS"];
        "strings as a parameter": ["standard_conforming_strings" = "off"];
        "superuser as a parameter": ["is_superuser" = "on"];
        "an invented setting as a parameter": ["app.is_admin" = "on"];
        "replication of the database": ["replication" = "database"];
        "replication": ["replication" = "true"];
        "an unknown protocol option": ["_pq_.role" = "member"];
        "the database twice": ["database" = "globex"];
        "the user twice": ["user" = "postgres"];
        "a timeout of one": ["statement_timeout" = "1h"];
    };
    // Names that stand for somebody or something else.
    macro_rules! place {
        ($name:literal, $user:literal, $database:literal) => {
            cases.push(LoginCase {
                name: $name,
                options: &[("user", $user), ("database", $database)],
                token: || alice().token(),
                who: || ALICE.to_owned(),
            })
        };
    }
    place!("as the superuser", "postgres", "acme");
    place!("as the login", "portcullis_app", "acme");
    place!("as another role", "member", "acme");
    place!("as the service", "service_role", "acme");
    place!("as nobody", "", "acme");
    place!("into another tenant", "alice", "globex");
    place!("into another tenant's database", "alice", "umbrella");
    place!("into another tenant's schema", "alice", "initech");
    place!("into the database by its own name", "alice", "arena");
    place!("into postgres", "alice", "postgres");
    place!("into template1", "alice", "template1");
    place!(
        "into a connection string",
        "alice",
        "dbname=postgres user=postgres"
    );
    place!("into a quoted name", "alice", "\"globex\"");
    place!("into a name in capitals", "alice", "ACME ");
    cases
}

fn with(claim: &str, value: Value) -> String {
    alice().token_with(&[(claim, value)])
}

macro_rules! tokens {
    ($($name:literal: $token:expr;)*) => {
        vec![$(LoginCase {
            name: $name,
            options: &[("user", "alice"), ("database", "acme")],
            token: || $token,
            who: || "authenticated|".to_owned(),
        }),*]
    };
}

fn tokens() -> Vec<LoginCase> {
    tokens! {
        "the role none": with("role", json!("none"));
        "the role NONE": with("role", json!("NONE"));
        "the role none, quoted": with("role", json!("\"none\""));
        "the login's role": with("role", json!("portcullis_app"));
        "the superuser's role": with("role", json!("postgres"));
        "a predefined role": with("role", json!("pg_read_all_data"));
        "a role in capitals": with("role", json!("Member"));
        "a role with a NUL": with("role", json!("member\u{0}"));
        "a role with a quote": with("role", json!("member'; RESET ROLE; --"));
        "a role that is an array": with("role", json!(["postgres"]));
        "a role that is an object": with("role", json!({"role": "member"}));
        "a role of 70 bytes": with("role", json!("m".repeat(70)));
        "an empty role": with("role", json!(""));
        "a user who breaks out of a literal": with("sub", json!("x', true); RESET ROLE; --"));
        "a user who breaks out with a backslash": with("sub", json!("\\', true); RESET ROLE; --"));
        "a user with a NUL": with("sub", json!("bob\u{0}"));
        "a user who is an array": with("sub", json!(["bob"]));
        "a user who is an object": with("sub", json!({"sub": "bob"}));
        "a user of 100 kB": with("sub", json!("b".repeat(100_000)));
        "a user who is nobody": with("sub", Value::Null);
        "a tenant that is an object": with("tenant", json!({"acme": 1}));
        "a tenant that breaks out": with("tenant", json!("acme'; SET ROLE member; --"));
        "no tenant": with("tenant", Value::Null);
        "a tenant that is empty": with("tenant", json!(""));
        "expired": with("exp", json!(in_seconds(-5)));
        "not yet": with("nbf", json!(in_seconds(600)));
        "without an end": with("exp", Value::Null);
        "for somebody else": with("aud", json!("another"));
        "from somebody else": with("iss", json!("https://evil.test"));
        "signed by somebody else": sign(&bob().claims(), "some other secret of enough bytes 0123456789");
        "not signed": {
            let claims = alice().token();
            format!("eyJhbGciOiJub25lIn0.{}.", claims.split('.').nth(1).unwrap())
        };
        "signed, then changed": {
            let (mine, theirs) = (alice().token(), bob().token());
            let (mine, theirs): (Vec<_>, Vec<_>) = (mine.split('.').collect(), theirs.split('.').collect());
            format!("{}.{}.{}", mine[0], theirs[1], mine[2])
        };
    }
}

/// Without a password a session is nobody's, whatever user it names.
fn nobody() -> LoginCase {
    LoginCase {
        name: "no token at all",
        options: &[("user", "alice"), ("database", "acme")],
        token: String::new,
        who: || "anon|acme|".to_owned(),
    }
}
