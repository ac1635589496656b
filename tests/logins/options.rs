//! Tokens in startup options.

use std::process::Command;

use crate::sasl::Wire as _;
use crate::support::people::{alice, bob, sign};
use crate::support::raw::RawClient;
use crate::support::tools;
use crate::users::user;
use crate::{ALICE, Bed, fails, stdout};

#[test]
fn no_password_is_asked_for() {
    let bed = Bed::new(&user("bi", "secret"), None, "");
    let token = alice().token();
    for options in [
        ("options", format!("-c portcullis.token={token}")),
        ("options", format!("--portcullis.token={token}")),
        (
            "options",
            format!("-c TimeZone=Asia/Tokyo -cportcullis.token={token} -c jit=off"),
        ),
        ("portcullis.token", token.clone()),
    ] {
        // Nor of a name that has a password of its own: the token says who it is.
        for name in ["somebody", "bi"] {
            let mut client = RawClient::connect(bed.port());
            client.begin(name, &[(options.0, &options.1)]);
            client
                .finish_login(None)
                .unwrap_or_else(|why| panic!("{options:?}: {}", why.describe()));
            assert_eq!(client.value("SELECT who()"), ALICE);
        }
    }
    let mut client = RawClient::connect(bed.port());
    client.begin(
        "x",
        &[(
            "options",
            &format!("-c portcullis.token={token} -c TimeZone=Asia/Tokyo"),
        )],
    );
    assert_eq!(
        client.get().unwrap().body,
        [0, 0, 0, 0],
        "AuthenticationOk at once"
    );
    client.finish_login(None).unwrap();
    assert_eq!(
        client.value("SHOW TimeZone"),
        "Asia/Tokyo",
        "other options work as ever"
    );
}

#[test]
fn drivers_send_it() {
    let bed = Bed::new("", None, "");
    let token = alice().token();
    let output = bed.psql("", &format!("user=x options='-c portcullis.token={token}'"));
    assert_eq!(stdout(&output), ALICE);
    let script = format!(
        "import psycopg\n\
         with psycopg.connect(host='127.0.0.1', port={}, user='x', dbname='acme',\n        \
                 options='-c portcullis.token={token}') as session:\n    \
             print(session.execute('SELECT who()').fetchone()[0])\n",
        bed.port()
    );
    let python = tools::python().unwrap();
    let output = Command::new(&python).arg("-c").arg(script).output().unwrap();
    assert_eq!(stdout(&output), ALICE);
    // asyncpg sends settings as startup parameters of their own.
    let script = format!(
        "import asyncio, asyncpg\n\
         async def main():\n    \
             session = await asyncpg.connect(host='127.0.0.1', port={}, user='x', database='acme', ssl=False,\n            \
                 server_settings={{'portcullis.token': '{token}'}})\n    \
             print(await session.fetchval('SELECT who()'))\n    \
             await session.close()\n\
         asyncio.run(main())\n",
        bed.port()
    );
    let output = Command::new(python).arg("-c").arg(script).output().unwrap();
    assert_eq!(stdout(&output), ALICE);
}

#[test]
fn it_is_checked_like_any_other() {
    let bed = Bed::new("", None, "");
    let attempt = |token: &str, database: &str| {
        let mut client = RawClient::connect(bed.port());
        let options = format!("-c portcullis.token={token}");
        client.send(&crate::support::raw::startup(
            crate::support::raw::VERSION_3_0,
            &[("user", "x"), ("database", database), ("options", &options)],
        ));
        let why = client.finish_login(Some("a password that nobody asked for"));
        why.err().map(|why| why.sqlstate())
    };
    let foreign = sign(&alice().claims(), "the secret of some other issuer 0123456789");
    assert_eq!(attempt(&foreign, "acme").as_deref(), Some("28P01"));
    assert_eq!(attempt("nonsense", "acme").as_deref(), Some("28P01"));
    assert_eq!(attempt(&bob().token(), "acme").as_deref(), Some("28000"));
    assert_eq!(attempt(&alice().token(), "acme"), None);
    fails(
        &bed.psql("", "user=x options='-c portcullis.auth=magic'"),
        "invalid value for parameter \"portcullis.auth\"",
    );
    fails(
        &bed.psql("", "user=x options='-c portcullis.auth=oauth'"),
        "OAuth is not configured here",
    );
    let output = bed.psql(&alice().token(), "user=x options='-c portcullis.auth=password'");
    assert_eq!(stdout(&output), ALICE);
}

#[test]
fn it_shows_up_nowhere() {
    let bed = Bed::new("", None, "log.level = 'trace'");
    let token = alice().token();
    let tail = &token[token.len() - 12..];
    let mut client = RawClient::connect(bed.port());
    client.begin("x", &[("options", &format!("-c portcullis.token={token}"))]);
    client.finish_login(None).unwrap();
    let settings = client.values("SELECT name || '=' || setting FROM pg_settings");
    assert!(!settings.iter().any(|setting| setting.contains(tail)));
    assert_eq!(
        client.value("SELECT coalesce(current_setting('portcullis.token', true), 'none')"),
        "none"
    );
    assert!(client.query("SHOW portcullis.token").is_err());
    let seen = bed
        .stack
        .postgres()
        .ask("SELECT concat(application_name, query) FROM pg_stat_activity");
    assert!(!seen.iter().any(|text| text.contains(tail)));
    // Mistyped, it shows up neither.
    for options in [
        format!("-c portcullis.token {token}"),
        format!("-portcullis.token={token}"),
        format!("-c portcullis.token={token} -x"),
        format!("-c portcullis.auth={token}"),
    ] {
        let mut client = RawClient::connect(bed.port());
        client.begin("x", &[("options", &options)]);
        let why = client.finish_login(Some(&token)).unwrap_err().describe();
        assert!(!why.contains(tail), "{options}: {why}");
    }
    assert!(!bed.stack.log().contains(tail), "the token is in the log");
}
