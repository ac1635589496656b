//! Sessions that keep their server connection: what Postgres keeps for a session works, the identity is still
//! put on for each transaction, and the next session finds nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::leaks::{FRESH, look};
use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, cancel, close, describe, execute, parse, query, sync};
use crate::support::wait_until;
use crate::{ALICE, BOB, VERSIONS};

/// Everybody's sessions keep their connections; end users may listen.
const SESSION_MODE: &str = "pool.pool_mode = \"session\"";

/// A stack in session mode with a pool of this size, for each version there is.
fn stacks(pool_size: usize, config: &str) -> impl Iterator<Item = Stack> {
    VERSIONS.into_iter().filter_map(move |postgres| {
        Stack::try_start(&StackOptions {
            postgres,
            ..StackOptions::pool(pool_size).with(SESSION_MODE).with(config)
        })
    })
}

/// A session of a trusted role.
fn service(stack: &Stack) -> RawClient {
    let token = alice().token_with(&[("role", json!("service_role")), ("tenant", Value::Null)]);
    stack.try_login(&token, "acme").expect("a login")
}

/// Channel and payload of the next NotificationResponse.
fn notification(client: &mut RawClient) -> (String, String) {
    client.set_patience(Duration::from_secs(10));
    let frame = client.read();
    assert_eq!(frame.tag, b'A', "{frame:?}");
    let text = String::from_utf8_lossy(&frame.body[4..]).into_owned();
    let mut parts = text.split('\0').map(str::to_owned);
    (parts.next().unwrap(), parts.next().unwrap())
}

/// Whether the server still has this backend. Other tests use the same cluster, so it is asked for by its number.
fn is_there(stack: &Stack, pid: &str) -> bool {
    let count = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    stack.postgres().ask(&count) == ["1"]
}

#[test]
fn a_session_keeps_its_connection_until_it_ends() {
    for mut stack in stacks(2, "") {
        let (mut one, mut two) = (stack.login(&alice()), stack.login(&bob()));
        let (first, second) = (
            one.value("SELECT pg_backend_pid()"),
            two.value("SELECT pg_backend_pid()"),
        );
        assert_ne!(first, second);
        for _ in 0..3 {
            assert_eq!(one.value("SELECT pg_backend_pid()"), first);
            one.values("BEGIN; SELECT 1; COMMIT");
            assert_eq!(one.value("SELECT who()"), ALICE);
            assert_eq!(two.value("SELECT pg_backend_pid()"), second);
        }
        drop(one);
        assert_eq!(two.value("SELECT who()"), BOB);
        stack.assert_well();
    }
}

/// Drivers tell their own notifications by the process of BackendKeyData.
#[test]
fn a_session_knows_its_own_notifications() {
    for mut stack in stacks(2, "") {
        let (mut one, mut two) = (service(&stack), service(&stack));
        one.values("LISTEN own");
        let theirs = two.value("SELECT pg_backend_pid()");
        for sql in ["NOTIFY own", "BEGIN; NOTIFY own; COMMIT"] {
            one.send(&query(sql));
            let answer = one.until_ready();
            let told = answer.iter().find(|frame| frame.tag == b'A');
            let told = told.map_or_else(|| one.read(), Clone::clone);
            assert_eq!(told.body[..4], one.cancel_key[..4], "{sql}: {told:?}");
            assert_eq!(told.body[4..], *b"own\0\0", "{sql}");
        }
        two.values("NOTIFY own");
        let told = one.read();
        let pid = i32::from_be_bytes(told.body[..4].try_into().unwrap());
        assert_eq!(pid.to_string(), theirs);
        stack.assert_well();
    }
}

/// The first need waits like any checkout; what was got is kept.
#[test]
fn a_full_pool_refuses_the_first_need() {
    for mut stack in stacks(1, "pool.query_wait_timeout = 3") {
        let mut one = stack.login(&alice());
        let mut two = stack.login(&bob());
        assert_eq!(one.value("SELECT who()"), ALICE);
        let start = Instant::now();
        assert_eq!(two.sqlstate("SELECT who()"), "53300");
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(one);
        wait_until("the connection is free", Duration::from_secs(5), || {
            two.query("SELECT who()").is_ok_and(|who| who == [BOB])
        });
        stack.assert_well();
    }
}

#[test]
fn the_role_decides_before_the_tenant() {
    let config = "[[tenants.tenant]]\nname = \"acme\"\nserver = \"main\"\ndatabase = \"shop\"\nshared = true\n\
                  pool_mode = \"session\"\n[roles.member]\npool_mode = \"transaction\"";
    let stack = Stack::start(&StackOptions::pool(2).with(config));
    let mut by_tenant = stack.login(&alice());
    assert_eq!(by_tenant.value("SELECT pg_try_advisory_lock(77)"), "t");
    let token = alice().token_with(&[("role", json!("member"))]);
    let mut by_role = stack.try_login(&token, "acme").expect("a login");
    let error = by_role.query("SELECT pg_try_advisory_lock(77)").unwrap_err();
    assert_eq!(error.sqlstate(), "0A000");
    assert!(
        error.field('H').unwrap_or_default().contains("pool_mode"),
        "{error:?}"
    );
}

/// Sessions that hold all connections of their pool leave those of transaction mode alone.
#[test]
fn the_modes_do_not_starve_each_other() {
    let config = "roles.member.pool_mode = \"session\"\npool.query_wait_timeout = 2";
    let stack = Stack::start(&StackOptions::pool(1).with(config));
    let token = alice().token_with(&[("role", json!("member"))]);
    let mut keeper = stack.try_login(&token, "acme").expect("a login");
    assert_eq!(keeper.value("SELECT who()"), "member|alice|acme");
    let mut other = stack.login(&bob());
    assert_eq!(other.value("SELECT who()"), BOB);
    assert_eq!(look(&mut other), look(&mut stack.login(&bob())));
}

#[test]
fn notifications_reach_a_listener_also_while_it_is_idle() {
    for mut stack in stacks(3, "") {
        let mut listener = service(&stack);
        let mut sender = service(&stack);
        listener.values("LISTEN news");
        listener.values("LISTEN \"Weather\"");
        // While idle, twice, long and short.
        let long = "x".repeat(7_900);
        for payload in ["hello", &long, ""] {
            sender.values(&format!("NOTIFY news, '{payload}'"));
            assert_eq!(notification(&mut listener), ("news".into(), payload.into()));
        }
        // Many at once, more than a buffer.
        let many = "SELECT pg_notify('news', n || repeat('-', 3000)) FROM generate_series(1, 30) AS n";
        sender.values(many);
        for n in 1..=30 {
            let (_, payload) = notification(&mut listener);
            assert!(
                payload.starts_with(&format!("{n}-")) && payload.len() > 3_000,
                "{n}"
            );
        }
        // Inside a transaction they wait for its end.
        listener.values("BEGIN");
        sender.values("NOTIFY \"Weather\", 'rain'");
        assert_eq!(
            listener.value("SELECT count(*) FROM pg_listening_channels()"),
            "2"
        );
        listener.send(&query("COMMIT"));
        let frames = listener.until_ready();
        let at_commit = frames.iter().any(|frame| frame.tag == b'A');
        if !at_commit {
            assert_eq!(notification(&mut listener).1, "rain");
        }
        // One's own comes ahead of ReadyForQuery, as with Postgres.
        listener.send(&query("NOTIFY news, 'mine'"));
        let tags: Vec<u8> = listener.until_ready().iter().map(|frame| frame.tag).collect();
        assert_eq!(tags, b"CAZ");
        listener.values("UNLISTEN news");
        sender.values("NOTIFY news, 'missed'; NOTIFY \"Weather\", 'sun'");
        assert_eq!(notification(&mut listener), ("Weather".into(), "sun".into()));
        listener.values("UNLISTEN *");
        assert_eq!(
            listener.value("SELECT count(*) FROM pg_listening_channels()"),
            "0"
        );
        stack.assert_well();
    }
}

/// Answers of ours and notifications do not get into each other.
#[test]
fn notifications_between_commands_that_need_no_server() {
    for mut stack in stacks(3, "") {
        let mut listener = service(&stack);
        listener.values("LISTEN traffic");
        let mut sender = service(&stack);
        let text = "SELECT pg_notify('traffic', repeat('p', 7000)) FROM generate_series(1, 3)";
        for _ in 0..20 {
            sender.send(&query(text));
            for _ in 0..20 {
                listener.send(&[query(""), query("DEALLOCATE ALL"), sync()].concat());
            }
            sender.until_ready();
            let (mut ready, mut heard) = (0, 0);
            while ready < 60 || heard < 1 {
                match listener.read().tag {
                    b'Z' => ready += 1,
                    b'A' => heard += 1,
                    b'I' | b'C' => {}
                    other => panic!("{}", char::from(other)),
                }
            }
            // Equal notifications of one transaction are one (async.c).
            assert_eq!(heard, 1);
        }
        stack.assert_well();
    }
}

#[test]
fn temporary_tables_last_for_the_session() {
    for mut stack in stacks(1, "") {
        let mut client = service(&stack);
        client.values("CREATE TEMP TABLE t (a int)");
        client.values("INSERT INTO t VALUES (1), (2)");
        assert_eq!(client.value("SELECT sum(a) FROM t"), "3");
        client.values("BEGIN; INSERT INTO t VALUES (3); ROLLBACK");
        assert_eq!(client.value("SELECT sum(a) FROM t"), "3");
        client.values("SELECT 7 AS b INTO TEMP u");
        assert_eq!(client.value("SELECT b FROM pg_temp.u"), "7");
        // A temporary table hides one of the same name, also from statements prepared before.
        let run = [
            parse("s", "SELECT count(*) FROM todos", &[]),
            bind("", "s", &[]),
            execute("", 0),
            sync(),
        ]
        .concat();
        let count = |client: &mut RawClient, messages: &[u8]| {
            client.send(messages);
            let frames = client.until_ready();
            let row = frames.iter().find(|frame| frame.tag == b'D').expect("a row");
            row.row().remove(0).unwrap()
        };
        assert_ne!(count(&mut client, &run), "0");
        client.values("CREATE TEMP TABLE todos (a int)");
        let again = [
            parse("r", "SELECT count(*) FROM todos", &[]),
            bind("", "r", &[]),
            execute("", 0),
            sync(),
        ]
        .concat();
        assert_eq!(count(&mut client, &again), "0");
        client.values("DISCARD ALL");
        assert_eq!(client.sqlstate("SELECT * FROM t"), "42P01");
        drop(client);
        // The connection of a trusted session is not used again.
        assert_eq!(look(&mut service(&stack)), FRESH);
        // An end user makes none.
        assert_eq!(
            stack.login(&alice()).sqlstate("CREATE TEMP TABLE t (a int)"),
            "42501"
        );
        stack.assert_well();
    }
}

#[test]
fn session_locks_are_held_over_transactions_and_end_with_the_session() {
    for mut stack in stacks(2, "") {
        let (mut one, mut two) = (stack.login(&alice()), stack.login(&bob()));
        one.values("SELECT pg_advisory_lock(4711)");
        assert_eq!(two.value("SELECT pg_try_advisory_lock(4711)"), "f");
        one.values("BEGIN; SELECT 1; ROLLBACK");
        assert_eq!(two.value("SELECT pg_try_advisory_lock(4711)"), "f");
        assert_eq!(one.value("SELECT pg_advisory_unlock(4711)"), "t");
        assert_eq!(two.value("SELECT pg_try_advisory_lock(4711)"), "t");
        two.vanish();
        wait_until("the lock is free", Duration::from_secs(5), || {
            one.value("SELECT pg_try_advisory_lock(4711)") == "t"
        });
        one.values("DISCARD ALL");
        assert_eq!(
            stack.login(&bob()).value("SELECT pg_try_advisory_lock(4711)"),
            "t"
        );
        stack.assert_well();
    }
}

/// What a held cursor shows was read as its owner at COMMIT.
#[test]
fn cursors_with_hold() {
    for mut stack in stacks(1, "") {
        let mut client = stack.login(&alice());
        client.values("BEGIN");
        client.values("DECLARE c CURSOR WITH HOLD FOR SELECT title, who() FROM todos ORDER BY title");
        client.values("COMMIT");
        assert_eq!(client.values("FETCH 1 FROM c"), ["alice one"]);
        client.values("BEGIN; SELECT 1; ROLLBACK");
        assert_eq!(client.values("FETCH ALL FROM c"), ["alice two"]);
        // By the protocol, too: a cursor is a portal.
        client.values("DECLARE d CURSOR WITH HOLD FOR SELECT who() FROM generate_series(1, 2)");
        client.send(&[describe('P', "d"), execute("d", 1), sync()].concat());
        let frames = client.until_ready();
        let tags: Vec<u8> = frames.iter().map(|frame| frame.tag).collect();
        assert_eq!(tags, b"TDsZ", "{frames:?}");
        assert_eq!(frames[1].row()[0].as_deref(), Some(ALICE));
        client.send(&[close('P', "d"), sync()].concat());
        client.until_ready();
        assert_eq!(client.sqlstate("FETCH 1 FROM d"), "34000");
        client.values("CLOSE ALL");
        assert_eq!(client.sqlstate("FETCH 1 FROM c"), "34000");
        client.values("DECLARE e CURSOR WITH HOLD FOR SELECT 1");
        drop(client);
        let mut next = stack.login(&bob());
        assert_eq!(next.sqlstate("FETCH 1 FROM e"), "34000");
        assert_eq!(look(&mut next), FRESH);
        stack.assert_well();
    }
}

/// After each of many things, by each way of leaving, the one connection of the pool is as new.
#[test]
fn the_next_session_finds_nothing() {
    for mut stack in stacks(1, "") {
        for act in [
            "SELECT pg_advisory_lock(1), pg_advisory_lock_shared(2)",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "SET TimeZone TO 'Asia/Tokyo'; SET statement_timeout = '9s'",
            "INSERT INTO todos (title) VALUES ('x') RETURNING id",
            "SELECT 1/0",
            "BEGIN; SELECT pg_advisory_lock(3)",
            "BEGIN; SELECT 1/0",
        ] {
            for leaves in [RawClient::vanish, |mut client: RawClient| {
                client.send(&crate::support::raw::message(b'X', &[]));
                client.is_closed();
            }] {
                let mut client = stack.login(&alice());
                client.send(&[parse("s", "SELECT 2", &[]), sync()].concat());
                client.until_ready();
                let _ = client.query(act);
                leaves(client);
                let mut next = stack.login(&bob());
                assert_eq!(next.value("SELECT who()"), BOB, "{act}");
                assert_eq!(look(&mut next), FRESH, "{act}");
                assert_eq!(next.sqlstate("SELECT lastval()"), "55000", "{act}");
            }
        }
        stack.postgres().ask("DELETE FROM todos WHERE title = 'x'");
        stack.assert_well();
    }
}

/// The connection of an end user is reset and used again; that of a trusted role is closed.
#[test]
fn what_becomes_of_the_connection() {
    for mut stack in stacks(1, "") {
        let mut client = stack.login(&alice());
        client.values("SELECT pg_advisory_lock(1)");
        let first = client.value("SELECT pg_backend_pid()");
        drop(client);
        let mut next = stack.login(&bob());
        assert_eq!(
            next.value("SELECT pg_backend_pid()"),
            first,
            "reset and used again"
        );
        drop(next);
        let trusted = service(&stack).value("SELECT pg_backend_pid()");
        assert_ne!(
            service(&stack).value("SELECT pg_backend_pid()"),
            trusted,
            "closed"
        );
        stack.assert_well();
    }
}

/// What no policy would let an end user make, a function of the application can: the reset does not hide it.
#[test]
fn a_temporary_schema_is_never_as_new() {
    for mut stack in stacks(1, "") {
        stack.postgres().superuser("shop").values(
            "CREATE OR REPLACE FUNCTION makes_temp() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS \
             $$ BEGIN CREATE TEMP TABLE IF NOT EXISTS hidden (a int); END $$",
        );
        let mut client = stack.login(&alice());
        client.values("SELECT makes_temp()");
        let first = client.value("SELECT pg_backend_pid()");
        drop(client);
        let mut next = stack.login(&bob());
        assert_ne!(next.value("SELECT pg_backend_pid()"), first);
        assert_eq!(look(&mut next), FRESH);
        stack.assert_well();
    }
}

/// Nothing that lasts between transactions makes one run as somebody else.
#[test]
fn the_identity_is_put_on_for_each_transaction() {
    for mut stack in stacks(1, "") {
        let mut client = stack.login(&alice());
        for attack in [
            "SET ROLE service_role",
            "SET SESSION ROLE member",
            "RESET ROLE",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SELECT set_config('role', 'service_role', false)",
            "SELECT set_config('app.user_id', 'bob', false)",
            "SELECT set_config('app.tenant', 'globex', true)",
            "SET app.user_id = 'bob'",
            "DECLARE x CURSOR WITH HOLD FOR SELECT set_config('role', 'none', false)",
            "UPDATE pg_settings SET setting = 'globex' WHERE name = 'search_path'",
        ] {
            assert!(client.query(attack).is_err(), "{attack}");
            assert_eq!(client.value("SELECT who()"), ALICE, "{attack}");
        }
        for (between, after) in [
            ("BEGIN; SELECT 1; COMMIT AND CHAIN", "COMMIT"),
            ("BEGIN; SAVEPOINT a; SELECT 1; ROLLBACK TO a", "COMMIT"),
            ("BEGIN; SELECT 1; ROLLBACK AND CHAIN", "ROLLBACK"),
            ("DISCARD ALL", "SELECT 1"),
            ("RESET ALL", "SELECT 1"),
            ("CLOSE ALL", "UNLISTEN *"),
        ] {
            client.values(between);
            assert_eq!(client.value("SELECT who()"), ALICE, "{between}");
            client.values(after);
            assert_eq!(client.value("SELECT who()"), ALICE, "{between}");
        }
        // Between two transactions the connection is the login role with nothing granted.
        let pid = client.value("SELECT pg_backend_pid()");
        let mut superuser = stack.postgres().superuser("shop");
        let role = superuser.value(&format!(
            "SELECT state || ' ' || usename FROM pg_stat_activity WHERE pid = {pid}"
        ));
        assert_eq!(role, "idle portcullis_app");
        stack.assert_well();
    }
}

/// A connection that dies takes the session with it: its state is lost, and a new one would hide that.
#[test]
fn a_server_that_dies_while_the_session_is_idle() {
    for mut stack in stacks(2, "") {
        let mut client = stack.login(&alice());
        client.values("SELECT pg_advisory_lock(5)");
        let pid = client.value("SELECT pg_backend_pid()");
        stack
            .postgres()
            .ask(&format!("SELECT pg_terminate_backend({pid})"));
        client.set_patience(Duration::from_secs(5));
        let frame = client.read();
        assert_eq!(
            (frame.tag, frame.sqlstate().as_str()),
            (b'E', "57P01"),
            "{frame:?}"
        );
        assert!(client.is_closed());
        assert_eq!(stack.login(&bob()).value("SELECT who()"), BOB);
        stack.assert_well();
    }
}

#[test]
fn a_session_that_is_idle_ends_with_the_drain() {
    for mut stack in stacks(2, "") {
        let mut client = service(&stack);
        client.values("LISTEN news");
        let pid = client.value("SELECT pg_backend_pid()");
        assert!(is_there(&stack, &pid));
        stack.signal("TERM");
        client.set_patience(Duration::from_secs(5));
        assert_eq!(client.read().sqlstate(), "57P01");
        assert!(stack.wait_exit(Duration::from_secs(5)).success());
        wait_until("the server connection is closed", Duration::from_secs(5), || {
            !is_there(&stack, &pid)
        });
    }
}

/// Age and idleness close connections that nobody holds; this one is held.
#[test]
fn a_kept_connection_does_not_grow_too_old() {
    let stack = Stack::start(
        &StackOptions::pool(1)
            .with(SESSION_MODE)
            .with("pool.server_lifetime = 1\npool.server_idle_timeout = 1"),
    );
    let mut client = stack.login(&alice());
    let pid = client.value("SELECT pg_backend_pid()");
    std::thread::sleep(Duration::from_millis(3_500));
    assert_eq!(client.value("SELECT pg_backend_pid()"), pid);
}

/// A cancel may come late: for the session that is as with Postgres, but nobody else may get the connection.
#[test]
fn a_cancelled_connection_is_not_passed_on() {
    for mut stack in stacks(1, "") {
        let mut client = stack.login(&alice());
        let pid = client.value("SELECT pg_backend_pid()");
        client.send(&query("SELECT pg_sleep(30)"));
        std::thread::sleep(Duration::from_millis(300));
        cancel(stack.port(), &client.cancel_key);
        let error = client.until_ready().into_iter().find(|frame| frame.tag == b'E');
        assert_eq!(error.map(|frame| frame.sqlstate()).as_deref(), Some("57014"));
        assert_eq!(client.value("SELECT pg_backend_pid()"), pid);
        drop(client);
        assert_ne!(stack.login(&bob()).value("SELECT pg_backend_pid()"), pid);
        stack.assert_well();
    }
}

#[test]
fn an_end_user_may_listen_where_the_policy_says_so() {
    let stack = Stack::start(&StackOptions::pool(2).with(SESSION_MODE));
    let error = stack.login(&alice()).query("LISTEN news").unwrap_err();
    assert_eq!(error.sqlstate(), "42501");
    let stack = Stack::start(&StackOptions::pool(2));
    let error = stack.login(&alice()).query("LISTEN news").unwrap_err();
    assert_eq!(error.sqlstate(), "0A000");
    assert!(
        error.field('H').unwrap_or_default().contains("pool_mode"),
        "{error:?}"
    );
}
