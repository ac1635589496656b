//! The leak suite: with one server connection for all, after anything that any client did, the next one's session
//! is that of a fresh connection. In transaction mode; session mode has its own in `session_mode`.

use std::time::Duration;

use serde_json::json;

use crate::VERSIONS;
use crate::support::people::{Person, alice, bob, carol};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{
    Frame, RawClient, bind, cancel, close, describe, execute, flush, message, parse, query, sync,
};

/// What a session sees of its server connection: what Postgres keeps for a session, the search path, and every
/// setting that is not as the server has it, or the policy.
pub(crate) fn look(client: &mut RawClient) -> String {
    client.value(
        "SELECT concat_ws('; ', leftovers(), current_setting('search_path'), nullif(current_setting('app.invented', true), ''), \
         (SELECT string_agg(name || '=' || setting, ' ') FROM pg_settings WHERE source = 'session' \
         AND name <> 'application_name' AND (name, setting) <> ('statement_timeout', '60000') AND name NOT LIKE 'transaction\\_%'))",
    )
}

/// The same on a connection on which nothing has happened.
pub(crate) const FRESH: &str = "; \"$user\", public";

/// All that a fresh session is compared by.
fn everything(client: &mut RawClient) -> Vec<String> {
    let mut all = client.values(
        "SELECT name || ' = ' || coalesce(setting, 'NULL') FROM pg_settings WHERE name <> 'application_name' AND name NOT LIKE 'plpgsql.%' ORDER BY name",
    );
    all.push(look(client));
    all.push(client.value("SELECT who() || ' ' || session_user || ' ' || current_setting('role')"));
    all.push(client.value(
        "SELECT current_setting('transaction_isolation') || current_setting('transaction_read_only')",
    ));
    // Names that other clients have used mean nothing here.
    for name in ["s", "c", "h", "p"] {
        all.push(client.sqlstate(&format!("FETCH 1 FROM {name}")));
        client.send(&[bind("", name, &[]), sync()].concat());
        all.extend(
            client
                .until_ready()
                .iter()
                .filter(|frame| frame.tag == b'E')
                .map(|frame| frame.sqlstate()),
        );
        client.send(&[describe('P', name), sync()].concat());
        all.extend(
            client
                .until_ready()
                .iter()
                .filter(|frame| frame.tag == b'E')
                .map(|frame| frame.sqlstate()),
        );
    }
    all
}

/// A session must be as one was before anybody came.
fn compare(client: &mut RawClient, before: &[String], what: &str) {
    let after = everything(client);
    let differ: Vec<_> = after
        .iter()
        .zip(before)
        .filter(|(now, then)| now != then)
        .collect();
    assert!(
        after.len() == before.len() && differ.is_empty(),
        "{what}: {differ:?}"
    );
}

/// Whose sessions share the one connection.
#[derive(Clone, Copy, Debug)]
enum Who {
    EndUser,
    Trusted,
}

impl Who {
    /// One of them, with these startup parameters as well.
    fn login_with(self, stack: &Stack, person: &Person, more: &[(&str, &str)]) -> Result<RawClient, String> {
        let token = match self {
            Self::EndUser => person.token(),
            Self::Trusted => person.token_with(&[("role", json!("service_role"))]),
        };
        let options = [
            &[("user", "somebody"), ("database", person.tenant.as_str())],
            more,
        ]
        .concat();
        RawClient::try_login(stack.port(), &options, Some(&token)).map_err(|why| why.describe())
    }

    fn login(self, stack: &Stack, person: &Person) -> RawClient {
        self.login_with(stack, person, &[])
            .unwrap_or_else(|why| panic!("{why}"))
    }
}

type Act = dyn Fn(&Stack, &mut RawClient);

/// Something that a client does.
struct Case {
    name: &'static str,
    act: Box<Act>,
}

impl Case {
    fn new(name: &'static str, act: impl Fn(&Stack, &mut RawClient) + 'static) -> Self {
        Self {
            name,
            act: Box::new(act),
        }
    }

    /// One Query; whether it is refused is no matter here.
    fn sql(sql: &'static str) -> Self {
        Self::named(sql, sql)
    }

    fn named(name: &'static str, sql: &'static str) -> Self {
        Self::new(name, move |_, client| {
            let _ = client.query(sql);
        })
    }

    /// Messages that are answered with one ReadyForQuery or more.
    fn batch(name: &'static str, messages: Vec<Vec<u8>>) -> Self {
        Self::new(name, move |_, client| {
            client.send(&[messages.concat(), query("SELECT 'the last'")].concat());
            let is_last = |frame: &Frame| frame.tag == b'D' && frame.row() == [Some("the last".to_owned())];
            while !client.until_ready().iter().any(is_last) {}
        })
    }
}

/// How a client leaves its server connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It stays connected.
    Stays,
    Terminates,
    Vanishes,
}

impl Way {
    const ALL: [Self; 3] = [Self::Stays, Self::Terminates, Self::Vanishes];
    const GONE: [Self; 2] = [Self::Terminates, Self::Vanishes];

    fn leave(self, mut client: RawClient) -> Option<RawClient> {
        match self {
            Self::Stays => return Some(client),
            Self::Terminates => client.send(&message(b'X', &[])),
            Self::Vanishes => client.vanish(),
        }
        None
    }
}

/// Lets somebody act, and compares what the next one finds with what there was before anybody came. Everything is
/// done by each kind of user, with each of these ways of leaving, on each version.
fn leaves_nothing(cases: &[Case], ways: &[Way]) {
    for postgres in VERSIONS {
        for who in [Who::EndUser, Who::Trusted] {
            let options = StackOptions {
                postgres,
                ..StackOptions::pool(1)
            };
            let Some(mut stack) = Stack::try_start(&options) else {
                continue;
            };
            let before = everything(&mut who.login(&stack, &bob()));
            for case in cases {
                for way in ways {
                    let mut client = who.login(&stack, &alice());
                    (case.act)(&stack, &mut client);
                    let stays = way.leave(client);
                    let mut next = who.login(&stack, &bob());
                    next.set_patience(Duration::from_secs(15));
                    let what = format!("{}, {who:?} {way:?}, {postgres:?}", case.name);
                    compare(&mut next, &before, &what);
                    drop(stays);
                }
            }
            stack.assert_well();
        }
    }
}

#[test]
fn settings() {
    let statements = [
        "SET TimeZone TO 'Asia/Tokyo'",
        "SET SESSION statement_timeout = '9s'; SET DateStyle = 'German'",
        "SET TIME ZONE INTERVAL '+03:00' HOUR TO MINUTE",
        "SET search_path TO pg_catalog",
        "SET work_mem = '65MB'",
        "SET row_security = off",
        "SET default_transaction_read_only = on",
        "SET default_transaction_isolation = 'serializable'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET standard_conforming_strings = off",
        "SET client_encoding = 'LATIN1'",
        "SET NAMES 'LATIN1'",
        "SET app.invented = 'x'",
        "SET app.user_id = 'bob'",
        "SET ROLE authenticated",
        "SET SESSION AUTHORIZATION DEFAULT",
        "RESET ROLE",
        "SET LOCAL lock_timeout = '3s'",
        "BEGIN; SET LOCAL lock_timeout = '3s'; COMMIT",
        "BEGIN; SET lock_timeout = '3s'; ROLLBACK",
        "BEGIN; SET lock_timeout = '3s'; SAVEPOINT a; SET lock_timeout = '4s'; ROLLBACK TO a; COMMIT",
        "BEGIN; SET lock_timeout = '3s'; COMMIT AND CHAIN; SET lock_timeout = '5s'; COMMIT",
        "SELECT set_config('lock_timeout', '7s', false)",
        "SELECT set_config('lock_timeout', '7s', true)",
        "SELECT set_config('jit', 'on', false)",
        "SELECT set_config('search_path', 'pg_catalog', false)",
        "SELECT set_config('role', 'none', false)",
        "SELECT set_config('app.user_id', 'bob', false)",
        "UPDATE pg_settings SET setting = '66MB' WHERE name = 'work_mem'",
        "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SELECT 1; COMMIT",
        "BEGIN; SET TRANSACTION READ ONLY; SELECT 1; ROLLBACK",
        "SET statement_timeout = '9s'; RESET ALL; DISCARD ALL",
    ];
    leaves_nothing(&statements.map(Case::sql), &Way::ALL);
}

#[test]
fn what_postgres_keeps_for_a_session() {
    let statements = [
        "PREPARE p AS SELECT 1",
        "PREPARE s (int) AS SELECT $1; EXECUTE s(1)",
        "LISTEN c",
        "BEGIN; LISTEN c; COMMIT",
        "NOTIFY c, 'x'",
        "CREATE TEMP TABLE todos (a int)",
        "CREATE TEMPORARY VIEW todos AS SELECT 1",
        "CREATE TABLE pg_temp.todos (a int)",
        "SELECT 1 AS a INTO TEMP todos",
        "CREATE TEMP SEQUENCE s",
        "CREATE TEMP TABLE todos (a int) ON COMMIT DROP",
        "BEGIN; CREATE TEMP TABLE todos ON COMMIT DROP AS SELECT 1 AS a; CREATE VIEW v AS TABLE todos; COMMIT",
        "CREATE FUNCTION pg_temp.todos() RETURNS int LANGUAGE sql RETURN 1; DROP FUNCTION pg_temp.todos()",
        "EXPLAIN ANALYZE CREATE TEMP TABLE todos AS SELECT 1",
        "SELECT pg_advisory_lock(1), pg_advisory_lock_shared(2)",
        "SELECT pg_try_advisory_lock(1)",
        "SELECT (1::bigint).pg_advisory_lock",
        "BEGIN; SELECT pg_advisory_xact_lock(1); COMMIT",
        "BEGIN; SELECT pg_advisory_xact_lock(1); ROLLBACK",
        "DECLARE h CURSOR WITH HOLD FOR SELECT 1",
        "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT 1; COMMIT",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH 1 FROM c; COMMIT",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; SAVEPOINT a; CLOSE c; ROLLBACK TO a; COMMIT",
        "LOAD 'auto_explain'",
        "SELECT setseed(0.5)",
        "DISCARD TEMP; DISCARD SEQUENCES",
        "PREPARE TRANSACTION 'x'",
        "DO $$ BEGIN PERFORM set_config('lock_timeout', '7s', false); END $$",
        "DO $$ BEGIN PERFORM pg_advisory_lock(9); END $$",
        "DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE todos (a int)'; EXECUTE 'LISTEN c'; END $$",
        "DO $$ BEGIN EXECUTE 'PREPARE p AS SELECT 1'; EXECUTE 'SET app.invented = 1'; END $$",
        "DO $$ BEGIN EXECUTE 'RESET ROLE'; EXECUTE 'SET SESSION work_mem = ''67MB'''; END $$",
    ];
    leaves_nothing(&statements.map(Case::sql), &Way::ALL);
}

/// Sequelize's way of `findOrCreate`, and a table for the rows of one transaction.
#[test]
fn temporary_objects_of_one_transaction_work_and_end_with_it() {
    let made_and_dropped = "CREATE OR REPLACE FUNCTION pg_temp.testfunc(OUT response scratch, OUT caught text) RETURNS RECORD AS \
        $func$ BEGIN DELETE FROM scratch WHERE run = 'temporary'; INSERT INTO scratch (run, n) VALUES ('temporary', 7) RETURNING * INTO response; END $func$ \
        LANGUAGE plpgsql; SELECT (testfunc.response).n FROM pg_temp.testfunc(); \
        DROP FUNCTION IF EXISTS pg_temp.testfunc();";
    for mut stack in crate::stacks_of_one() {
        let mut client = Who::Trusted.login(&stack, &alice());
        let mut other = Who::Trusted.login(&stack, &bob());
        client.values("BEGIN; CREATE TEMP TABLE batch (n int) ON COMMIT DROP");
        let server = client.value("SELECT pg_backend_pid()");
        client.values("INSERT INTO batch SELECT generate_series(1, 3)");
        assert_eq!(client.value("SELECT sum(n) FROM batch"), "6");
        client.values("COMMIT");
        assert_eq!(client.sqlstate("SELECT n FROM batch"), "42P01");
        assert_ne!(
            other.value("SELECT pg_backend_pid()"),
            server,
            "with a temporary schema"
        );
        assert_eq!(look(&mut other), FRESH);

        assert_eq!(client.value(made_and_dropped), "7");
        assert_eq!(look(&mut other), FRESH);
        client.values("BEGIN");
        assert_eq!(client.value(made_and_dropped), "7");
        assert_eq!(
            client.value("SELECT count(*) FROM pg_proc WHERE proname = 'testfunc'"),
            "0"
        );
        client.values("ROLLBACK");
        assert_eq!(look(&mut other), FRESH);
        let mut user = Who::EndUser.login(&stack, &alice());
        assert_eq!(user.sqlstate(made_and_dropped), "0A000");
        assert_eq!(
            user.sqlstate("CREATE TEMP TABLE batch (n int) ON COMMIT DROP"),
            "0A000"
        );
        stack.assert_well();
    }
}

/// No reset takes back a seed of `random()`: the server connection serves nobody else.
#[test]
fn a_seed_goes_with_its_connection() {
    for mut stack in crate::stacks_of_one() {
        let mut client = Who::Trusted.login(&stack, &alice());
        let extended = [
            parse("", "SELECT \"setseed\"(0.5)", &[]),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ];
        for (what, seeds) in [
            ("a query", query("SELECT setseed(0.5)")),
            (
                "rolled back",
                query("BEGIN; SELECT pg_catalog.setseed(0.5); ROLLBACK"),
            ),
            ("in code", query("DO $$ BEGIN PERFORM setseed(0.5); END $$")),
            (
                "prepared",
                query("PREPARE s AS SELECT setseed(0.5); EXECUTE s; DEALLOCATE s"),
            ),
            ("by messages", extended.concat()),
        ] {
            let before = client.value("SELECT pg_backend_pid()");
            client.send(&seeds);
            let answer = client.until_ready();
            assert!(answer.iter().all(|frame| frame.tag != b'E'), "{what}: {answer:?}");
            assert_ne!(client.value("SELECT pg_backend_pid()"), before, "{what}");
        }
        for refused in [
            "SET seed = 0.5",
            "SET LOCAL seed TO 0.5",
            "SELECT set_config('seed', '0.5', true)",
        ] {
            assert_eq!(client.sqlstate(refused), "0A000", "{refused}");
        }
        // Within a transaction it does what it should.
        let draw = "BEGIN; SELECT setseed(0.5); SELECT random(); COMMIT";
        assert_eq!(client.values(draw), client.values(draw));
        stack.assert_well();
    }
}

#[test]
fn errors_in_every_phase() {
    let divide = parse("s", "SELECT 1/0", &[]);
    let series = parse("s", "SELECT generate_series(1, 9)", &[]);
    let cases = [
        (
            "Parse",
            vec![parse("s", "SELECT nonsense FROM nowhere", &[]), sync()],
        ),
        (
            "Parse, refused",
            vec![parse("s", "SET ROLE postgres", &[]), sync()],
        ),
        (
            "none",
            vec![
                parse("s", "SELECT 1", &[]),
                bind("p", "s", &[]),
                execute("p", 1),
                sync(),
            ],
        ),
        (
            "Bind",
            vec![
                parse("s", "SELECT $1::int", &[]),
                bind("p", "s", &[Some(b"x")]),
                sync(),
            ],
        ),
        (
            "Bind of nothing",
            vec![bind("p", "nothing", &[]), execute("p", 0), sync()],
        ),
        ("Describe", vec![describe('S', "nothing"), sync()]),
        (
            "Execute",
            vec![divide, bind("p", "s", &[]), execute("p", 0), sync()],
        ),
        (
            "suspended",
            vec![series, bind("p", "s", &[]), execute("p", 2), sync()],
        ),
        ("Close", vec![close('S', "s"), close('P', "p"), sync()]),
        (
            "behind a setting",
            vec![query(
                "SET lock_timeout = '7s'; SELECT 1/0; SET lock_timeout = '8s'",
            )],
        ),
        ("at COMMIT", vec![query("BEGIN; SELECT 1/0"), query("COMMIT")]),
        (
            "between savepoints",
            vec![
                query("BEGIN; SAVEPOINT a; SELECT 1/0"),
                query("ROLLBACK TO a; COMMIT"),
            ],
        ),
    ];
    leaves_nothing(
        &cases.map(|(name, messages)| Case::batch(name, messages)),
        &Way::ALL,
    );
}

#[test]
fn clients_that_go_in_the_middle() {
    let cases = [
        Case::named(
            "a block",
            "BEGIN; SET lock_timeout = '7s'; SELECT pg_advisory_xact_lock(1)",
        ),
        Case::named("a failed block", "BEGIN; SET lock_timeout = '7s'; SELECT 1/0"),
        Case::named(
            "a cursor",
            "BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH 1 FROM c; SAVEPOINT a",
        ),
        Case::named("a refusal in a block", "BEGIN; SELECT 1; LISTEN c"),
        Case::named(
            "code in a block",
            "BEGIN; DO $$ BEGIN PERFORM pg_advisory_lock(9); END $$",
        ),
        Case::new("COPY in", |_, client| {
            let _ = client.query("BEGIN; SET lock_timeout = '7s'");
            client.send(&query("COPY scratch_in (run, n) FROM STDIN"));
            client.read();
            client.send(&message(b'd', b"leak\t1\n"));
        }),
        Case::new("COPY out", |_, client| {
            client.send(&query(
                "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT",
            ));
            client.read();
        }),
        Case::new("a cancelled query", |stack, client| {
            client.send(&query("SET lock_timeout = '7s'; SELECT pg_sleep(30)"));
            std::thread::sleep(Duration::from_millis(200));
            cancel(stack.port(), &client.cancel_key);
        }),
        Case::new("an open pipeline", |_, client| {
            let pipeline = [
                parse("s", "SELECT 1", &[]),
                bind("p", "s", &[]),
                execute("p", 0),
                flush(),
            ];
            client.send(&pipeline.concat());
            client.read();
        }),
        Case::new("half a message", |_, client| {
            client.send(&parse("s", "SELECT 1", &[])[..9])
        }),
        Case::new("a running query", |_, client| {
            client.send(&query("SET lock_timeout = '7s'; SELECT pg_sleep(30)"));
            std::thread::sleep(Duration::from_millis(100));
        }),
        Case::new("nonsense", |_, client| {
            client.send(&[message(b'B', b"x"), sync()].concat())
        }),
    ];
    leaves_nothing(&cases, &Way::GONE);
}

#[test]
fn startup_options() {
    for who in [Who::EndUser, Who::Trusted] {
        let stack = Stack::start(&StackOptions::pool(1));
        let before = everything(&mut who.login(&stack, &bob()));
        for options in [
            [("options", "-c statement_timeout=9s -c DateStyle=German")],
            [("options", "--lock-timeout=7s")],
            [("TimeZone", "Asia/Tokyo")],
            [("application_name", "mine")],
            [("options", "-c role=service_role")],
            [("options", "-c search_path=pg_catalog")],
            [("options", "-c app.invented=1")],
            [("options", "-c statement_timeout=nonsense")],
            [("client_encoding", "LATIN1")],
            [("replication", "database")],
        ] {
            if let Ok(mut client) = who.login_with(&stack, &carol(), &options) {
                client.values("SELECT 1");
                client.values("BEGIN; SELECT 1; COMMIT");
                let what = format!("{who:?} {options:?}, still there");
                compare(&mut who.login(&stack, &bob()), &before, &what);
            }
            compare(
                &mut who.login(&stack, &bob()),
                &before,
                &format!("{who:?} {options:?}"),
            );
        }
    }
}

#[test]
fn what_was_drawn_from_sequences() {
    for postgres in VERSIONS {
        let Some(stack) = Stack::try_start(&StackOptions {
            postgres,
            ..StackOptions::pool(1)
        }) else {
            continue;
        };
        let mut one = stack.login(&alice());
        let mut other = stack.login(&bob());
        let draw = "SELECT nextval('tickets')";
        let undefined = "55000";
        let batch = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat();
        // By itself, in a block that draws nothing, in a string, by the extended protocol, prepared in SQL.
        assert_eq!(one.query(draw).map(|_| ()).err().map(|e| e.sqlstate()), None);
        assert_eq!(other.sqlstate("SELECT lastval()"), undefined);
        assert_eq!(other.sqlstate("SELECT currval('tickets')"), undefined);
        assert_eq!(other.sqlstate("SELECT U&\"last\\0076al\"()"), undefined);
        one.query(draw).unwrap();
        assert_eq!(other.sqlstate("SELECT 1; SELECT lastval()"), undefined);
        one.query(draw).unwrap();
        other.send(&batch("SELECT lastval()"));
        let frames = other.until_ready();
        assert_eq!(
            frames.iter().find(|frame| frame.tag == b'E').unwrap().sqlstate(),
            undefined
        );
        one.query(draw).unwrap();
        other.query("PREPARE l AS SELECT lastval()").unwrap();
        assert_eq!(other.sqlstate("EXECUTE l"), undefined);
        one.query(draw).unwrap();
        other.query("BEGIN").unwrap();
        other.query("SELECT 1").unwrap();
        assert_eq!(other.sqlstate("SELECT lastval()"), undefined);
        other.query("ROLLBACK").unwrap();
        // In a block that began behind a statement, and where what would have forgotten was skipped.
        one.query(draw).unwrap();
        let each = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
        other.send(&[each("SELECT 1"), each("BEGIN"), sync()].concat());
        other.until_ready();
        other.query("SAVEPOINT a").unwrap();
        other.send(&[each("SELECT 1 / 0"), each("SELECT lastval()"), sync()].concat());
        other.until_ready();
        other.query("ROLLBACK TO a").unwrap();
        assert_eq!(other.sqlstate("SELECT lastval()"), undefined);
        other.query("ROLLBACK").unwrap();
        // A client's own values are there for as long as its transaction lasts.
        one.query("BEGIN").unwrap();
        one.query(draw).unwrap();
        let drawn = one.value("SELECT lastval()");
        assert_eq!(one.value("SELECT currval('tickets')"), drawn);
        one.query("COMMIT").unwrap();
        let rows = one.values(&format!("{draw}; SELECT lastval() > {drawn}"));
        assert_eq!(rows.last().map(String::as_str), Some("t"));
    }
}
