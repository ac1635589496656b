//! What a policy does to sessions that run: ceilings, time limits, and changes while they are open.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{Frame, RawClient, bind, describe, execute, parse, query, sync};
use crate::support::wait_until;
use crate::{ALICE, BOB, VERSIONS};

const CLASSES: &str = "statements = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'SHOW', 'SET', 'RESET', 'COPY TO', \
                       'DECLARE CURSOR', 'FETCH', 'CALL']\n\
                       settable = ['statement_timeout', 'lock_timeout', 'application_name', 'search_path']";

/// A stack with a pool of one whose end users have the policy of these keys.
pub(crate) struct Bed {
    pub(crate) stack: Stack,
    file: PathBuf,
    _folder: TempDir,
}

fn policy(keys: &str) -> String {
    format!("name = 'own'\n{CLASSES}\n{keys}\n")
}

/// One for each version of Postgres.
pub(crate) fn beds(keys: &str) -> Vec<Bed> {
    beds_in("transaction", keys)
}

/// The same in a pool mode.
pub(crate) fn beds_in(mode: &str, keys: &str) -> Vec<Bed> {
    let bed = |version| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.toml");
        fs::write(&file, policy(keys)).unwrap();
        let mut config = format!(
            "[guard]\npolicies = ['{}']\ndefault_policy = 'own'",
            file.display()
        );
        if mode == "session" {
            config.push_str("\n[pool]\npool_mode = 'session'");
        }
        let options = StackOptions {
            postgres: version,
            ..StackOptions::pool(1).with(&config)
        };
        let stack = Stack::try_start(&options)?;
        Some(Bed {
            stack,
            file,
            _folder: folder,
        })
    };
    VERSIONS.into_iter().filter_map(bed).collect()
}

/// Tags of messages, and the SQLSTATE of errors.
fn shape(frames: &[Frame]) -> String {
    let each = frames.iter().map(|frame| match frame.tag {
        b'E' => format!("E{}", frame.sqlstate()),
        b'Z' => format!("Z{}", char::from(frame.body[0])),
        tag => char::from(tag).to_string(),
    });
    each.collect::<Vec<_>>().join(" ")
}

pub(crate) fn ask(client: &mut RawClient, messages: &[Vec<u8>]) -> String {
    client.send(&messages.concat());
    shape(&client.until_ready())
}

pub(crate) fn extended(sql: &str) -> Vec<Vec<u8>> {
    vec![
        parse("", sql, &[]),
        bind("", "", &[]),
        describe('P', ""),
        execute("", 0),
        sync(),
    ]
}

#[test]
fn an_answer_beyond_the_ceiling_is_an_error_and_the_session_goes_on() {
    for Bed { mut stack, .. } in beds("max_rows = 3") {
        let mut client = stack.login(&alice());
        let rows = |n: usize| format!("SELECT g FROM generate_series(1, {n}) g");
        assert_eq!(ask(&mut client, &[query(&rows(3))]), "T D D D C ZI");
        assert_eq!(ask(&mut client, &[query(&rows(4))]), "T D D D E53400 ZI");
        assert_eq!(client.value("SELECT who()"), ALICE);
        assert_eq!(
            ask(&mut client, &extended(&rows(100_000))),
            "1 2 T D D D E53400 ZI"
        );
        // Without its Sync the batch goes on failing until that comes.
        let mut unsynced = extended(&rows(9));
        unsynced.insert(4, vec![b'H', 0, 0, 0, 4]);
        unsynced.insert(5, parse("", "SELECT 1", &[]));
        assert_eq!(ask(&mut client, &unsynced), "1 2 T D D D E53400 ZI");
        // What is no transaction of its own is counted together: a string, a portal in pieces.
        let two = format!("{}; {}", rows(2), rows(3));
        assert_eq!(ask(&mut client, &[query(&two)]), "T D D C T D E53400 ZI");
        let pieces = [
            parse("", &rows(9), &[]),
            bind("", "", &[]),
            execute("", 2),
            execute("", 2),
            sync(),
        ];
        assert_eq!(ask(&mut client, &pieces), "1 2 D D s D E53400 ZI");
        assert_eq!(
            ask(&mut client, &[query(&format!("COPY ({}) TO STDOUT", rows(5)))]),
            "H d d d E53400 ZI"
        );
        // The next one on this pool of one finds nothing of it.
        drop(client);
        let mut next = stack.login(&bob());
        assert_eq!(next.value("SELECT who()"), BOB);
        stack.assert_well();
    }
}

#[test]
fn bytes_have_a_ceiling_too_and_a_block_is_lost_with_its_connection() {
    for Bed { mut stack, .. } in beds("max_row_bytes = 1000") {
        let mut client = stack.login(&alice());
        assert_eq!(ask(&mut client, &[query("SELECT repeat('x', 900)")]), "T D C ZI");
        assert_eq!(
            ask(&mut client, &[query("SELECT repeat('x', 10000000)")]),
            "T E53400 ZI"
        );
        assert_eq!(
            ask(
                &mut client,
                &[query("BEGIN; INSERT INTO todos (title) VALUES ('lost')")]
            ),
            "C C ZT"
        );
        client.send(&query("SELECT repeat('x', 2000)"));
        let frames = client.until_ready();
        assert_eq!(shape(&frames), "T E53400");
        let error = frames.last().unwrap();
        assert_eq!(error.field('S').as_deref(), Some("FATAL"));
        assert!(error.field('M').unwrap().contains("policy \"own\""), "{error:?}");
        let mut again = stack.login(&alice());
        assert_eq!(
            again.value("SELECT count(*) FROM todos WHERE title = 'lost'"),
            "0"
        );
        stack.assert_well();
    }
}

#[test]
fn time_limits_hold_whatever_the_session_asks_for() {
    for Bed { mut stack, .. } in beds("statement_timeout = '300ms'\nlock_timeout = '5s'") {
        let login = |options: &str| {
            let options = [("user", "somebody"), ("database", "acme"), ("options", options)];
            RawClient::try_login(stack.port(), &options, Some(&alice().token()))
        };
        let refused = login("-c statement_timeout=0").err().unwrap();
        assert_eq!(refused.sqlstate(), "42501", "{}", refused.describe());
        let mut client = login("-c lock_timeout=1s").unwrap_or_else(|why| panic!("{}", why.describe()));
        let mut shown = |sql: &str| client.query(sql).map_err(|error| error.sqlstate());
        let statement = "SHOW statement_timeout";
        assert_eq!(shown(statement).unwrap(), ["300ms"]);
        assert_eq!(shown("SHOW lock_timeout").unwrap(), ["1s"]);
        assert_eq!(shown("SELECT pg_sleep(5)").unwrap_err(), "57014");
        for looser in [
            "SET statement_timeout = 0",
            "BEGIN; SET LOCAL statement_timeout = '1h'",
            "SELECT set_config('statement_timeout', '0', true), pg_sleep(1)",
        ] {
            assert_eq!(shown(looser).unwrap_err(), "42501", "{looser}");
        }
        shown("ROLLBACK").unwrap();
        shown("SET statement_timeout = '200ms'").unwrap();
        assert_eq!(shown(statement).unwrap(), ["200ms"]);
        // Nothing takes it away inside the transaction, either.
        for reset in [
            "RESET ALL",
            "RESET statement_timeout",
            "SET LOCAL statement_timeout TO DEFAULT",
            "SET statement_timeout TO DEFAULT",
        ] {
            shown("SET statement_timeout = '200ms'").unwrap();
            shown("BEGIN").unwrap();
            shown("SELECT 1").unwrap();
            shown(reset).unwrap();
            assert_eq!(shown(statement).unwrap(), ["300ms"], "{reset}");
            assert_eq!(shown("SELECT pg_sleep(5)").unwrap_err(), "57014", "{reset}");
            shown("ROLLBACK").unwrap();
        }
        shown("DISCARD ALL").unwrap();
        assert_eq!(shown(statement).unwrap(), ["300ms"]);
        assert_eq!(shown("SHOW lock_timeout").unwrap(), ["1s"]);
        stack.assert_well();
    }
}

#[test]
fn a_changed_policy_holds_from_the_next_transaction_on() {
    for bed in beds("") {
        let Bed { mut stack, file, .. } = bed;
        let mut client = stack.login(&alice());
        let unfiltered = "DELETE FROM scratch";
        let prepared = [parse("gone", "DELETE FROM scratch WHERE run = 'x'", &[]), sync()];
        assert_eq!(ask(&mut client, &prepared), "1 ZI");
        let run = [bind("", "gone", &[]), execute("", 0), sync()];
        assert_eq!(ask(&mut client, &run), "2 C ZI");
        assert!(client.query("BEGIN; DELETE FROM scratch WHERE false").is_ok());
        fs::write(
            &file,
            policy("require_where = true\nmax_rows = 2\nstatement_timeout = '9s'"),
        )
        .unwrap();
        stack.signal("HUP");
        wait_until("the new policy", Duration::from_secs(20), || {
            stack.log().contains("in force")
        });
        // The transaction that is open goes on under the old one.
        assert!(client.query("DELETE FROM scratch WHERE true; ROLLBACK").is_ok());
        assert_eq!(client.sqlstate(unfiltered), "42501");
        assert_eq!(client.value("SHOW statement_timeout"), "9s");
        assert_eq!(ask(&mut client, &run), "2 C ZI");
        // What was prepared is judged again.
        fs::write(
            &file,
            format!(
                "name = 'own'\nstatements = ['SELECT', 'SHOW']\n# {}\n",
                "x".repeat(99)
            ),
        )
        .unwrap();
        wait_until("the third policy", Duration::from_secs(20), || {
            client.query("UPDATE scratch SET run = 'x' WHERE false").is_err()
        });
        assert_eq!(ask(&mut client, &run), "E42501 ZI");
        assert_eq!(ask(&mut client, &[describe('S', "gone"), sync()]), "E42501 ZI");
        assert_eq!(client.value("SHOW statement_timeout"), "1min");
        // A broken one changes nothing and is told with every mistake.
        fs::write(&file, "name = 'own'\nstatements = ['SELEKT', 'UPDAET']\n").unwrap();
        wait_until("both mistakes", Duration::from_secs(20), || {
            let log = stack.log();
            log.contains("SELEKT") && log.contains("UPDAET")
        });
        assert_eq!(client.value("SELECT who()"), ALICE);
        assert_eq!(
            client.sqlstate("UPDATE scratch SET run = 'x' WHERE false"),
            "42501"
        );
        stack.assert_well();
    }
}

/// What a function in FROM has returned is no row: a point behind its name calls functions with it.
#[test]
fn a_point_behind_a_function_calls_nothing_that_is_reserved() {
    for Bed { mut stack, .. } in beds("") {
        let mut client = stack.login(&alice());
        for sql in [
            "SELECT g.ts_stat FROM unnest(ARRAY['SELECT to_tsvector(title) FROM todos']) g",
            "SELECT g.pg_advisory_lock FROM generate_series(4242::bigint, 4242) g",
            "SELECT 1 IS DISTINCT FROM g.pg_advisory_lock::text::int FROM generate_series(4242::bigint, 4242) g",
        ] {
            assert!(["42501", "0A000"].contains(&&*client.sqlstate(sql)), "{sql}");
        }
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4242";
        assert_eq!(stack.postgres().ask(locks), ["0"]);
        // A column of that name is one.
        assert_eq!(
            client.value("SELECT x.lo_get FROM (SELECT 'mine' AS lo_get) x"),
            "mine"
        );
        stack.assert_well();
    }
}
