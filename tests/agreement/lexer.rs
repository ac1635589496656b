//! Our reading of a text and the server's, over texts made of nasty pieces.

use portcullis::guard::{Action, Limits, tokens};

use crate::pieces::{Chance, NAMES, STRINGS, seeds, soup, spelt};
use crate::support::postgres::Postgres;
use crate::support::raw::{Frame, RawClient, bind, execute, parse, sync};
use crate::{guard, judge, servers};

/// Texts of each kind for each seed and server.
const TEXTS: usize = 800;

fn session(postgres: &Postgres) -> RawClient {
    let mut client = postgres.superuser("shop");
    client.values(
        "SET client_encoding = 'UTF8'; SET client_min_messages = error; SET statement_timeout = '10s'",
    );
    client
}

/// How many statements we see; `None` if we cannot read the text.
fn statements(text: &str) -> Option<usize> {
    let seen = tokens(text.as_bytes(), &Limits::default()).ok()?;
    Some(
        seen.iter()
            .filter_map(|token| token.statement)
            .max()
            .map_or(0, |last| last + 1),
    )
}

fn error(frames: &[Frame]) -> Option<(String, String)> {
    let error = frames.iter().find(|frame| frame.tag == b'E')?;
    Some((error.sqlstate(), error.field('M').unwrap_or_default()))
}

/// What is wrong with our reading of a text, compared with what the server's Parse says.
fn disagreement(client: &mut RawClient, text: &str) -> Option<String> {
    client.send(&[parse("", text, &[]), sync()].concat());
    let answer = error(&client.until_ready());
    let is_many = answer
        .as_ref()
        .is_some_and(|(_, message)| message.contains("multiple commands"));
    match statements(text) {
        Some(0 | 1) if is_many => Some("we see one statement, the server several".to_owned()),
        Some(2..) if answer.is_none() => Some("we see several statements, the server one".to_owned()),
        None if answer.is_none() || is_many => Some("we cannot read it, the server can".to_owned()),
        _ => None,
    }
}

#[test]
fn statements_end_where_the_server_ends_them() {
    for postgres in servers() {
        let mut client = session(postgres);
        for seed in seeds() {
            let mut chance = Chance::new(seed);
            let (mut one, mut many, mut unread) = (0, 0, 0);
            for n in 0..2 * TEXTS {
                let text = if n % 2 == 0 {
                    soup(&mut chance)
                } else {
                    spelt(&mut chance)
                };
                if let Some(what) = disagreement(&mut client, &text) {
                    panic!("seed {seed}: {what}: {text:?}");
                }
                match statements(&text) {
                    Some(0 | 1) => one += 1,
                    Some(_) => many += 1,
                    None => unread += 1,
                }
            }
            // Or the generator has gone dull.
            assert!(
                one > 300 && many > 10 && unread > 10,
                "seed {seed}: {one}, {many}, {unread}"
            );
        }
    }
}

/// Rows of the catalogs that this transaction has made, and how many there are.
const CATALOGS: &[&str] = &[
    "pg_class",
    "pg_attribute",
    "pg_proc",
    "pg_type",
    "pg_namespace",
    "pg_authid",
    "pg_auth_members",
    "pg_database",
    "pg_db_role_setting",
    "pg_description",
    "pg_rewrite",
    "pg_trigger",
    "pg_constraint",
    "pg_depend",
    "pg_policy",
    "pg_largeobject_metadata",
    "pg_extension",
    "pg_language",
];

/// Whether this transaction has written, and as whom it runs.
const WRITER: &str =
    "SELECT concat_ws(' ', pg_current_xact_id_if_assigned(), current_user, current_setting('role'))";

fn traces() -> String {
    let made = |catalog: &&str| {
        format!(
            "SELECT '{catalog}' || count(*) || ' ' || count(*) FILTER \
             (WHERE xmin::text = (pg_current_xact_id_if_assigned()::xid)::text) FROM {catalog}"
        )
    };
    let each: Vec<String> = CATALOGS.iter().map(made).collect();
    format!(
        "{} UNION ALL SELECT current_user || current_setting('role')",
        each.join(" UNION ALL ")
    )
}

/// What the guard calls a query changes neither the catalogs nor the role, nor does it leave the transaction.
#[test]
fn a_query_never_changes_the_catalogs_or_the_role() {
    let (guard, traces) = (guard(), traces());
    for postgres in servers() {
        let mut client = session(postgres);
        client.values("DROP TABLE IF EXISTS agreement; CREATE TABLE agreement (a int, b text)");
        client.values("INSERT INTO agreement VALUES (1, 'a'), (2, ';')");
        let (quiet, before) = (client.value(WRITER), client.values(&traces));
        // What is looked for can be found.
        client.values("BEGIN; COMMENT ON TABLE agreement IS 'x'");
        assert!(client.value(WRITER) != quiet && client.values(&traces) != before);
        client.values("ROLLBACK; BEGIN; SET ROLE pg_monitor");
        assert_ne!(client.value(WRITER), quiet);
        client.values("ROLLBACK");
        let mut ran = 0;
        for seed in seeds() {
            let mut chance = Chance::new(seed);
            for n in 0..TEXTS {
                let text = if n % 4 == 0 {
                    soup(&mut chance)
                } else {
                    spelt(&mut chance)
                };
                let Ok(script) = judge(&guard, "end_user", &text) else {
                    continue;
                };
                let [cleared] = script.statements() else { continue };
                if *cleared.action() != Action::Query {
                    continue;
                }
                client.values("BEGIN");
                client.send(
                    &[
                        parse("", cleared.sql(), &[]),
                        bind("", "", &[]),
                        execute("", 0),
                        sync(),
                    ]
                    .concat(),
                );
                let frames = client.until_ready();
                let status = frames.last().map(|frame| frame.body[0]);
                if error(&frames).is_none() {
                    ran += 1;
                    assert_eq!(status, Some(b'T'), "seed {seed}: left its transaction: {text:?}");
                    // Most have written nothing at all.
                    if client.value(WRITER) != quiet {
                        assert_eq!(client.values(&traces), before, "seed {seed}: {text:?}");
                    }
                }
                client.values("ROLLBACK");
            }
        }
        assert!(ran > 500, "only {ran} texts ran");
        client.values("DROP TABLE agreement");
    }
}

#[test]
fn strings_and_names_mean_what_the_server_takes_them_for() {
    for postgres in servers() {
        let mut client = session(postgres);
        for literal in STRINGS {
            let seen = tokens(literal.as_bytes(), &Limits::default())
                .unwrap_or_else(|why| panic!("{literal:?}: {why:?}"));
            // `N'…'` is a keyword and a string.
            let ours = &seen.last().unwrap().text;
            match client.query(&format!("SELECT ({literal})::text")) {
                // `\v` is a vertical tab since 16, and to us a v as before.
                Ok(values) => assert_eq!(
                    &values[0].replace('\x0b', "v"),
                    &ours.replace('\x0b', "v"),
                    "{literal:?}"
                ),
                // The vertical tab is white space since 16.
                Err(error) => assert!(literal.contains('\x0b'), "{literal:?}: {error:?}"),
            }
        }
        for name in NAMES {
            let seen =
                tokens(name.as_bytes(), &Limits::default()).unwrap_or_else(|why| panic!("{name:?}: {why:?}"));
            assert_eq!(seen.len(), 1, "{name:?}");
            client.send(&crate::support::raw::query(&format!("SELECT 1 AS {name}")));
            let frames = client.until_ready();
            let description = frames
                .iter()
                .find(|frame| frame.tag == b'T')
                .unwrap_or_else(|| panic!("{name:?}: {frames:?}"));
            let column = description.body[2..].split(|byte| *byte == 0).next().unwrap();
            assert_eq!(String::from_utf8_lossy(column), seen[0].text, "{name:?}");
        }
    }
}
