//! Users with a password of their own.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use postgres_protocol::authentication::sasl::ChannelBinding;
use postgres_protocol::password::scram_sha_256;
use rustls::version::TLS13;
use sha2::{Digest as _, Sha256};

use crate::certificates::Authority;
use crate::client::{TlsClient, Way};
use crate::sasl::{Wire as _, offered, scram};
use crate::support::people::alice;
use crate::support::raw::RawClient;
use crate::support::{tools, wait_until};
use crate::{ALICE, Bed, fails, stdout};

/// `[[user]]` of acme with the role of an end user.
pub(crate) fn user(name: &str, password: &str) -> String {
    let secret = scram_sha_256(password.as_bytes());
    format!(
        "[[user]]\nname = '{name}'\nscram_secret = '{secret}'\nrole = 'authenticated'\ntenants = ['acme']\n"
    )
}

fn unbound() -> ChannelBinding {
    ChannelBinding::unsupported()
}

#[test]
fn psql_and_psycopg_log_in_with_a_password() {
    let authority = Authority::new("one");
    let users = user("bi", "p\u{e4}ss word") + "claims = { team = 'numbers' }\n" + &user("alice", "wonder");
    let bed = Bed::new(
        &users,
        Some((&authority.issue("server", "localhost"), "")),
        "identity.settings.'app.team' = { claim = 'team' }",
    );
    let ca = authority.ca();
    let verified = format!("sslmode=verify-full sslrootcert={}", ca.display());
    for options in [
        "sslmode=disable".to_owned(),
        "sslmode=require".to_owned(),
        verified.clone(),
        format!("{verified} channel_binding=require"),
        format!("{verified} channel_binding=disable"),
    ] {
        let output = bed.psql("p\u{e4}ss word", &format!("user=bi {options}"));
        assert_eq!(stdout(&output), "authenticated|bi|acme", "{options}");
        // The rows are those of the user, by RLS, as if a token had said who it is.
        let output = bed.psql("wonder", &format!("user=alice {options}"));
        assert_eq!(stdout(&output), ALICE, "{options}");
        let output = bed.psql("wrong", &format!("user=bi {options}"));
        fails(&output, "password authentication failed for user \"bi\"");
    }
    // A token is no password of a user, and a user's name takes no token.
    fails(
        &bed.psql(&alice().token(), "user=bi"),
        "password authentication failed",
    );
    // Everybody else is asked for a token as ever.
    assert_eq!(stdout(&bed.psql(&alice().token(), "user=somebody")), ALICE);
    fails(&bed.psql("p\u{e4}ss word", "user=somebody"), "token is not a JWT");

    let python = tools::python().unwrap();
    let script = format!(
        "import psycopg\n\
         for binding in ('require', 'prefer', 'disable'):\n    \
             with psycopg.connect(host='localhost', hostaddr='127.0.0.1', port={port}, user='bi', dbname='acme',\n        \
                     password='p\u{e4}ss word', sslmode='verify-full', sslrootcert='{ca}',\n        \
                     channel_binding=binding) as session:\n        \
                 print(session.execute(\"SELECT who() || current_setting('app.team') || current_setting('app.role')\").fetchone()[0])\n",
        port = bed.port(),
        ca = ca.display()
    );
    let output = Command::new(python).arg("-c").arg(script).output().unwrap();
    assert_eq!(
        stdout(&output).lines().collect::<Vec<_>>(),
        ["authenticated|bi|acmenumbersauthenticated"; 3]
    );
}

#[test]
fn other_drivers_log_in_with_a_password() {
    let bed = Bed::new(&user("bi", "secret"), None, "");
    let port = bed.port();
    let script = format!(
        "import asyncio, asyncpg\n\
         async def main():\n    \
             session = await asyncpg.connect(host='127.0.0.1', port={port}, user='bi', database='acme',\n            \
                 password='secret', ssl=False)\n    \
             print(await session.fetchval('SELECT who()'))\n    \
             await session.close()\n\
         asyncio.run(main())\n"
    );
    let output = Command::new(tools::python().unwrap())
        .arg("-c")
        .arg(script)
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "authenticated|bi|acme");
    let script = format!(
        "const {{ Client }} = require('pg');\n\
         (async () => {{\n\
             const client = new Client({{ host: '127.0.0.1', port: {port}, user: 'bi', database: 'acme',\n    \
                 password: 'secret' }});\n\
             await client.connect();\n\
             console.log((await client.query('SELECT who()')).rows[0].who);\n\
             await client.end();\n\
         }})();\n"
    );
    let output = Command::new("node")
        .args(["-e", &script])
        .current_dir(tools::node().unwrap())
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "authenticated|bi|acme");
}

#[test]
fn the_offer_depends_on_the_name_and_the_channel() {
    let authority = Authority::new("one");
    let bed = Bed::new(
        &user("bi", "secret"),
        Some((&authority.issue("server", "localhost"), "")),
        "auth.scram_users = ['svc_*']",
    );
    let config = Arc::new(authority.client(&[&TLS13], None));
    for name in ["bi", "svc_x"] {
        let mut plain = RawClient::connect(bed.port());
        plain.begin(name, &[]);
        assert_eq!(offered(&plain.answer()), ["SCRAM-SHA-256"]);
        for way in [Way::Request, Way::Direct] {
            let mut config = (*config).clone();
            config.alpn_protocols = vec![b"postgresql".to_vec()];
            let mut tls = TlsClient::connect(bed.port(), way, &Arc::new(config)).unwrap();
            tls.begin(name, &[]);
            assert_eq!(offered(&tls.answer()), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
        }
    }
    let mut other = RawClient::connect(bed.port());
    other.begin("somebody", &[]);
    assert_eq!(other.answer().body, [0, 0, 0, 3]);
}

#[test]
fn logins_are_bound_to_their_channel() {
    let authority = Authority::new("one");
    let bed = Bed::new(
        &user("bi", "secret"),
        Some((&authority.issue("server", "localhost"), "")),
        "",
    );
    let config = Arc::new(authority.client(&[&TLS13], None));
    let attempt = |binding: &dyn Fn(&[u8]) -> ChannelBinding, mechanism| {
        let mut client = TlsClient::connect(bed.port(), Way::Request, &config).unwrap();
        let binding = binding(&client.shown());
        client.begin("bi", &[]);
        scram(&mut client, "secret", binding, mechanism).1
    };
    let right = |shown: &[u8]| ChannelBinding::tls_server_end_point(Sha256::digest(shown).to_vec());
    let wrong = |_: &[u8]| ChannelBinding::tls_server_end_point(vec![0; 32]);
    attempt(&right, "SCRAM-SHA-256-PLUS").unwrap();
    attempt(&|_| unbound(), "SCRAM-SHA-256").unwrap();
    let before = bed.refused("28000");
    // Somebody in the middle shows the client a certificate of their own …
    let refused = attempt(&wrong, "SCRAM-SHA-256-PLUS").unwrap_err();
    assert_eq!(refused.sqlstate(), "28000", "{refused:?}");
    // … or hides from it that it could bind.
    let refused = attempt(&|_| ChannelBinding::unrequested(), "SCRAM-SHA-256").unwrap_err();
    assert_eq!(refused.sqlstate(), "28000", "{refused:?}");
    assert_eq!(bed.refused("28000") - before, 2.0);
}

#[test]
fn nobody_learns_which_names_there_are() {
    let bed = Bed::new(&user("svc_a", "secret"), None, "auth.scram_users = ['svc_*']");
    let attempt = |name: &str| {
        let mut client = RawClient::connect(bed.port());
        client.begin(name, &[]);
        let (shown, outcome) = scram(&mut client, "guess", unbound(), "SCRAM-SHA-256");
        let said = String::from_utf8_lossy(&outcome.unwrap_err().body).into_owned();
        (shown, said.replace(name, "NAME"))
    };
    let (known, nobody) = (attempt("svc_a"), attempt("svc_b"));
    assert_eq!(known.1, nobody.1);
    assert!(known.1.contains("28P01"), "{}", known.1);
    assert_eq!(known.0.len(), nobody.0.len());
    assert_eq!((&known, &nobody), (&attempt("svc_a"), &attempt("svc_b")));
    // The operator is told more.
    wait_until("the reasons", Duration::from_secs(5), || {
        let log = bed.stack.log();
        log.contains("wrong password") && log.contains("there is no such user")
    });
}

#[test]
fn a_changed_file_comes_into_force_and_a_broken_one_does_not() {
    let bed = Bed::new(&user("bi", "old"), None, "");
    assert_eq!(stdout(&bed.psql("old", "user=bi")), "authenticated|bi|acme");
    fs::write(bed.users_file(), user("bi", "new") + &user("etl", "other")).unwrap();
    wait_until("the new users", Duration::from_secs(20), || {
        bed.psql("other", "user=etl").status.success()
    });
    assert_eq!(stdout(&bed.psql("new", "user=bi")), "authenticated|bi|acme");
    fails(&bed.psql("old", "user=bi"), "password authentication failed");
    assert_eq!(bed.metric("portcullis_user_reloads_total{result=\"ok\"}"), 1.0);

    let broken = user("bi", "newer").replace("'authenticated'", "'postgres'");
    fs::write(bed.users_file(), broken).unwrap();
    wait_until("the complaint", Duration::from_secs(20), || {
        bed.stack.log().contains("changed users cannot be used")
    });
    assert_eq!(stdout(&bed.psql("new", "user=bi")), "authenticated|bi|acme");
    assert_eq!(
        bed.metric("portcullis_user_reloads_total{result=\"failed\"}"),
        1.0
    );
    // Neither passwords nor what is kept of them get into the log.
    let log = bed.stack.log();
    assert!(!log.contains("SCRAM-SHA-256$") && !log.contains("newer"));
}

#[test]
fn scram_secret_makes_what_the_file_wants() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("scram-secret")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hunter2\n").unwrap();
    let secret = stdout(&child.wait_with_output().unwrap());
    let users =
        format!("[[user]]\nname = 'bi'\nscram_secret = '{secret}'\nrole = 'authenticated'\ntenants = 'acme'");
    let bed = Bed::new(&users, None, "");
    assert_eq!(stdout(&bed.psql("hunter2", "user=bi")), "authenticated|bi|acme");
    // The form is that of the server: what it keeps of a password can be copied.
    let postgres = bed.stack.postgres();
    let kept = postgres.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'portcullis_app'");
    fs::write(bed.users_file(), users.replace(&secret, &kept[0])).unwrap();
    wait_until("the copied password", Duration::from_secs(20), || {
        bed.psql("app-login-password", "user=bi").status.success()
    });
}
