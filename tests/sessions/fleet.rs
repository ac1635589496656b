//! Many tenants on few connections: budgets, caps, turns, and what happens when there is too much of everything.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::people::{Person, alice, bob, carol, person};
use crate::support::postgres::Postgres;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{Frame, RawClient, query};
use crate::support::wait_until;
use crate::{ALICE, BOB};

/// Message and hint of an error that must be 53300.
fn too_many(error: &Frame) -> String {
    assert_eq!(error.sqlstate(), "53300", "{error:?}");
    format!(
        "{}\n{}",
        error.field('M').unwrap_or_default(),
        error.field('H').unwrap_or_default()
    )
}

/// A statement that says when it ran.
const WHEN: &str = "SELECT clock_timestamp()::text FROM pg_sleep(0.02)";

fn answer(client: &mut RawClient) -> String {
    let frames = client.until_ready();
    let row = frames.iter().find(|frame| frame.tag == b'D');
    row.unwrap_or_else(|| panic!("{frames:?}"))
        .row()
        .remove(0)
        .unwrap_or_default()
}

#[test]
fn a_tenant_at_its_cap_is_told_so_and_others_are_not_held_up() {
    let options = StackOptions::pool(4).with("pool.query_wait_timeout = 4\npool.max_tenant_server_conn = 1");
    let stack = Stack::start(&options);
    let mut holder = stack.login(&alice());
    holder.values("BEGIN; SELECT 1");
    let mut second = stack.login(&carol());
    let said = too_many(&second.query("SELECT who()").unwrap_err());
    assert!(
        said.contains("this tenant") && said.contains("max_tenant_server_conn"),
        "{said}"
    );
    let mut other = stack.login(&bob());
    assert_eq!(other.value("SELECT who()"), BOB);
    // Trusted roles are not held to it.
    let service = alice().token_with(&[("role", json!("service_role"))]);
    let mut service = stack.try_login(&service, "acme").expect("a login");
    service.values("SELECT 1");
    holder.values("COMMIT");
    assert!(second.value("SELECT who()").contains("carol"));
}

/// The plan of a token is its tenant's, where nothing else says one; a token of several tenants speaks for none.
#[test]
fn a_token_may_name_its_tenants_plan() {
    let options = StackOptions::pool(4).with(
        "pool.query_wait_timeout = 2\nauth.plan_claim = \"plan\"\nplans.small.cap = 1\nplans.default.cap = 2",
    );
    let stack = Stack::start(&options);
    let login = |claims: &[(&str, serde_json::Value)]| {
        let token = alice().token_with(claims);
        stack.try_login(&token, "acme").expect("a login")
    };
    let hold = |claims: &[(&str, serde_json::Value)]| {
        let mut client = login(claims);
        client.query("BEGIN; SELECT 1").map(|_| client)
    };
    let small = [("plan", json!("small"))];
    let mut one = hold(&small).unwrap();
    let said = too_many(&hold(&small).err().unwrap());
    assert!(said.contains("this tenant"), "{said}");
    // Another tenant has what is its own.
    let mut others: Vec<RawClient> = (0..2).map(|_| stack.login(&bob())).collect();
    for other in &mut others {
        other.values("BEGIN; SELECT 1");
    }
    for other in &mut others {
        other.values("COMMIT");
    }
    // What names no plan that there is has the default; so has a token that is not for one tenant alone.
    for claims in [
        [("plan", json!("platinum")), ("tenant", json!("acme"))],
        [("plan", json!(7)), ("tenant", json!("acme"))],
        [("plan", json!("small")), ("tenant", json!(["globex", "acme"]))],
    ] {
        let mut two = hold(&claims).unwrap();
        too_many(&hold(&claims).err().unwrap());
        two.values("COMMIT");
    }
    one.values("COMMIT");
}

#[test]
fn a_quiet_tenant_does_not_wait_behind_a_flood() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut holder = stack.login(&alice());
    holder.values("BEGIN; SELECT 1");
    let mut flood: Vec<RawClient> = (0..20).map(|_| stack.login(&alice())).collect();
    for client in &mut flood {
        client.send(&query(WHEN));
    }
    thread::sleep(Duration::from_millis(300));
    let mut quiet = stack.login(&bob());
    quiet.send(&query(WHEN));
    thread::sleep(Duration::from_millis(200));
    holder.values("COMMIT");
    let mine = answer(&mut quiet);
    let before = flood
        .iter_mut()
        .map(answer)
        .filter(|theirs| *theirs < mine)
        .count();
    assert!(before <= 2, "{before} of the flood went first");
}

#[test]
fn a_budget_is_shared_by_databases_and_its_reserve_is_for_trusted_roles() {
    let options = StackOptions::pool(4).with(
        "pool.query_wait_timeout = 4\nservers.main.max_connections = 3\nservers.main.reserved_connections = 1",
    );
    let postgres = Postgres::own();
    let stack = Stack::in_front_of(postgres.port(), &options);
    let backends = || {
        let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE usename LIKE 'portcullis%'";
        postgres.ask(sql).remove(0)
    };
    let umbrella = person("uma", "umbrella");
    let (mut one, mut two) = (stack.login(&alice()), stack.login(&bob()));
    one.values("BEGIN; SELECT 1");
    two.values("BEGIN; SELECT 1");
    // The login itself needs a greeting from another database, and there is no connection left for one.
    let refused = stack.try_login(&umbrella.token(), "umbrella");
    let Err(crate::support::raw::Unready::Refused(error)) = refused else {
        panic!("let in beyond the budget");
    };
    assert!(too_many(&error).contains("max_connections"), "{error:?}");
    let service = alice().token_with(&[("role", json!("service_role"))]);
    let mut service = stack.try_login(&service, "acme").expect("the reserve");
    service.values("BEGIN; SELECT 1");
    assert_eq!(backends(), "3");
    // What is idle makes room for another database.
    one.values("COMMIT");
    let mut third = stack.login(&umbrella);
    third.values("BEGIN; SELECT 1");
    wait_until("the evicted one is gone", Duration::from_secs(5), || {
        backends() == "3"
    });
    third.values("COMMIT");
    two.values("COMMIT");
    assert_eq!(one.value("SELECT who()"), ALICE);
    service.values("COMMIT");
}

#[test]
fn beyond_the_bound_clients_are_turned_away_at_once_and_those_inside_go_on() {
    let stack = Stack::start(&StackOptions::pool(1).with("servers.main.max_waiting = 4"));
    let mut holder = stack.login(&bob());
    let mut flood: Vec<RawClient> = (0..12).map(|_| stack.login(&alice())).collect();
    let mut quiet = stack.login(&bob());
    holder.values("BEGIN; SELECT 1");
    for client in &mut flood {
        client.send(&query("SELECT who()"));
    }
    // Eight are told while everything is still held: that is, without waiting for anything.
    let shed = AtomicUsize::new(0);
    let mut waiting = Vec::new();
    for mut client in flood {
        client.set_patience(Duration::from_secs(1));
        match client.try_read() {
            Ok(frame) => {
                assert!(too_many(&frame).contains("too many clients"), "{frame:?}");
                assert_eq!(client.read().tag, b'Z');
                shed.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => waiting.push(client),
        }
    }
    assert_eq!((shed.into_inner(), waiting.len()), (8, 4));
    // A tenant that has nobody waiting is let in all the same; the flood's newest makes room.
    quiet.send(&query("SELECT who()"));
    // Which is its newest depends on how their messages came in.
    let mut told = None;
    wait_until("one of the flood is told", Duration::from_secs(10), || {
        told = waiting.iter_mut().position(|client| {
            client.set_patience(Duration::from_millis(50));
            let heard = client.try_read();
            heard.is_ok_and(|frame| too_many(&frame).contains("too many clients"))
        });
        told.is_some()
    });
    let mut told = waiting.remove(told.unwrap());
    told.set_patience(Duration::from_secs(10));
    assert_eq!(told.read().tag, b'Z');
    holder.values("COMMIT");
    assert_eq!(answer(&mut quiet), BOB);
    for client in &mut waiting {
        client.set_patience(Duration::from_secs(10));
        assert_eq!(answer(client), ALICE);
    }
    // It is over with the flood.
    assert_eq!(told.value("SELECT who()"), ALICE);
}

#[test]
fn a_storm_of_clients_is_ten_times_what_the_server_takes() {
    const BUDGET: usize = 6;
    const CLIENTS: usize = 60;
    let options = StackOptions::pool(4).with(&format!(
        "servers.main.max_connections = {BUDGET}\nservers.main.max_concurrent_logins = 2"
    ));
    let postgres = Postgres::own();
    let mut stack = Stack::in_front_of(postgres.port(), &options);
    let people: Vec<Person> = (0..CLIENTS)
        .map(|number| match number % 3 {
            0 => alice(),
            1 => bob(),
            _ => person("uma", "umbrella"),
        })
        .collect();
    let start = Barrier::new(CLIENTS + 1);
    let left = AtomicUsize::new(CLIENTS);
    let mut most = 0;
    thread::scope(|scope| {
        let clients: Vec<_> = people
            .iter()
            .map(|who| {
                scope.spawn(|| {
                    start.wait();
                    let mut client = stack.login(who);
                    client.set_patience(Duration::from_secs(60));
                    for _ in 0..5 {
                        client.values("SELECT 1 FROM pg_sleep(0.002)");
                    }
                    left.fetch_sub(1, Ordering::Relaxed);
                })
            })
            .collect();
        let mut superuser = postgres.superuser("shop");
        start.wait();
        while left.load(Ordering::Relaxed) > 0 && clients.iter().any(|client| !client.is_finished()) {
            let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE usename LIKE 'portcullis%'";
            most = most.max(superuser.value(sql).parse().unwrap());
        }
    });
    assert_eq!(left.into_inner(), 0, "somebody was not served");
    // A backend that was told to go may be counted for a moment beside its successor, one per login under way.
    assert!((1..=BUDGET + 2).contains(&most), "{most} connections");
    stack.assert_well();
}

#[test]
fn a_storm_beyond_the_limit_is_shed_and_those_inside_are_served() {
    const LIMIT: usize = 10;
    const CLIENTS: usize = 100;
    let mut stack = Stack::start(&StackOptions::pool(2).with(&format!("listen.max_client_conn = {LIMIT}")));
    let mut inside: Vec<RawClient> = (0..LIMIT / 2).map(|_| stack.login(&bob())).collect();
    let token = alice().token();
    let (start, all_answered) = (Barrier::new(CLIENTS + 1), Barrier::new(CLIENTS + 1));
    let (admitted, left) = (AtomicUsize::new(0), AtomicUsize::new(CLIENTS));
    let mut served = true;
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                start.wait();
                let outcome = stack.try_login(&token, "acme");
                left.fetch_sub(1, Ordering::Relaxed);
                // Whoever is in stays until everybody has an answer.
                all_answered.wait();
                match outcome {
                    Ok(mut client) => {
                        admitted.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(client.value("SELECT who()"), ALICE);
                    }
                    Err(crate::support::raw::Unready::Refused(error)) => {
                        assert!(too_many(&error).contains("max_client_conn"), "{error:?}");
                    }
                    Err(other) => panic!("{other:?}"),
                }
            });
        }
        start.wait();
        while left.load(Ordering::Relaxed) > 0 {
            let mut clients = inside.iter_mut();
            served &= clients.all(|client| client.query("SELECT who()").is_ok_and(|rows| rows == [BOB]));
        }
        all_answered.wait();
    });
    assert!(served, "somebody inside was not served");
    assert_eq!(admitted.into_inner(), LIMIT - inside.len());
    // It is over with the storm.
    wait_until("the places are free again", Duration::from_secs(5), || {
        stack.try_login(&token, "acme").is_ok()
    });
    stack.assert_well();
}

#[test]
fn one_who_does_not_read_is_not_read_for() {
    let mut stack = Stack::start(&StackOptions::pool(2));
    let resident = |stack: &Stack| -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", stack.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let mut slow = stack.login(&alice());
    let mut other = stack.login(&bob());
    assert_eq!(other.value("SELECT who()"), BOB);
    let before = resident(&stack);
    // 200 MB, which nobody takes for now.
    slow.send(&query("SELECT repeat('x', 10000) FROM generate_series(1, 20000)"));
    thread::sleep(Duration::from_secs(1));
    let while_stuck = resident(&stack);
    assert!(
        while_stuck < before + 20_000,
        "{before} kB before, {while_stuck} kB while one does not read"
    );
    assert_eq!(other.value("SELECT who()"), BOB);
    slow.set_patience(Duration::from_secs(60));
    let rows = slow
        .until_ready()
        .iter()
        .filter(|frame| frame.tag == b'D')
        .count();
    assert_eq!(rows, 20_000);
    stack.assert_well();
}

#[test]
fn one_who_stops_in_the_middle_of_a_message_does_not_keep_a_connection() {
    let mut stack = Stack::start(&StackOptions::pool(1).with("listen.idle_transaction_timeout = 1"));
    let mut slow = stack.login(&alice());
    slow.values("BEGIN; SELECT 1");
    let half = query("SELECT who()");
    slow.send(&half[..half.len() / 2]);
    let mut next = stack.login(&bob());
    assert_eq!(next.value("SELECT who()"), BOB);
    assert_eq!(slow.read().sqlstate(), "25P03");
    assert!(slow.is_closed());
    // Outside a transaction it holds nothing that others need.
    let mut slow = stack.login(&alice());
    slow.send(&half[..half.len() / 2]);
    assert_eq!(next.value("SELECT who()"), BOB);
    slow.send(&half[half.len() / 2..]);
    assert_eq!(answer(&mut slow), ALICE);
    stack.assert_well();
}

#[test]
fn ranked_tenants_find_their_connections_open() {
    let postgres = Postgres::own();
    let options = StackOptions::pool(4).with(
        r#"
        tenants.tenant = [
            { name = "umbrella", database = "umbrella", rank = 2 },
            { name = "initech", database = "shop", schema = "initech", rank = 1 },
            { name = "acme", database = "shop", shared = true },
        ]
        [logins.app]
        min_pool_size = 2
        "#,
    );
    let _stack = Stack::in_front_of(postgres.port(), &options);
    let sql = "SELECT datname || count(*) FROM pg_stat_activity WHERE usename = 'portcullis_app' \
               GROUP BY datname ORDER BY 1";
    wait_until("two connections each", Duration::from_secs(10), || {
        postgres.ask(sql) == ["shop2", "umbrella2"]
    });
}
