//! CancelRequest: it reaches the query it is meant for and no other.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{
    CANCEL_REQUEST, RawClient, VERSION_3_0, VERSION_3_2, cancel, query, startup, untagged,
};
use crate::support::wait_until;
use crate::{ALICE, BOB};

fn sqlstate_of_the_answer(client: &mut RawClient) -> Option<String> {
    let frames = client.until_ready();
    assert_eq!(
        frames.last().map(|frame| frame.tag),
        Some(b'Z'),
        "the session ended: {frames:?}"
    );
    frames
        .iter()
        .find(|frame| frame.tag == b'E')
        .map(|frame| frame.sqlstate())
}

/// Lets a client's query sleep, longer than any test waits for it, and waits until it does.
fn fall_asleep(stack: &Stack, client: &mut RawClient) {
    static SLEEPERS: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "sleeper-{}-{}",
        std::process::id(),
        SLEEPERS.fetch_add(1, Ordering::Relaxed)
    );
    client.send(&query(&format!("SELECT '{name}', pg_sleep(60)")));
    wait_until("the query sleeps", Duration::from_secs(30), || {
        let asleep = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%{name}%'"
        );
        stack.postgres().ask(&asleep) == ["1"]
    });
}

#[test]
fn a_running_query_is_cancelled() {
    for pool_size in [1, 4] {
        let stack = Stack::start(&StackOptions::pool(pool_size));
        for version in [VERSION_3_0, VERSION_3_2] {
            let mut client = RawClient::connect(stack.port());
            client.send(&startup(version, &[("user", "alice"), ("database", "acme")]));
            client
                .finish_login(Some(&alice().token()))
                .unwrap_or_else(|why| panic!("{}", why.describe()));
            // Twice: the first must leave nothing that hits the second.
            for _ in 0..2 {
                fall_asleep(&stack, &mut client);
                cancel(stack.port(), &client.cancel_key);
                assert_eq!(sqlstate_of_the_answer(&mut client).as_deref(), Some("57014"));
                assert_eq!(client.value("SELECT who()"), ALICE);
            }
            assert_eq!(client.values("BEGIN"), Vec::<String>::new());
            fall_asleep(&stack, &mut client);
            cancel(stack.port(), &client.cancel_key);
            assert_eq!(sqlstate_of_the_answer(&mut client).as_deref(), Some("57014"));
            assert_eq!(client.sqlstate("SELECT 1"), "25P02");
            client.values("ROLLBACK");
        }
    }
}

/// The key of a client whose transaction is over must not reach whoever has the server connection now.
#[test]
fn an_old_key_cancels_nobody() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut hers = stack.login(&alice());
    let mut his = stack.login(&bob());
    for _ in 0..3 {
        assert_eq!(hers.value("SELECT who()"), ALICE);
        his.send(&query("SELECT who() FROM pg_sleep(0.8)"));
        std::thread::sleep(Duration::from_millis(200));
        for _ in 0..10 {
            cancel(stack.port(), &hers.cancel_key);
        }
        let rows: Vec<_> = his
            .until_ready()
            .into_iter()
            .filter(|frame| frame.tag == b'D')
            .collect();
        assert_eq!(rows.len(), 1, "bob's query was hit");
        assert_eq!(rows[0].row(), [Some(BOB.to_owned())]);
    }
}

/// A cancel may come at any moment around the end of its query: it hits that query or none, and never the one that
/// another client runs on the same server connection a moment later.
#[test]
fn a_cancel_at_the_last_moment_hits_nobody_else() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut hers = stack.login(&alice());
    let mut his = stack.login(&bob());
    let (port, key) = (stack.port(), hers.cancel_key.clone());
    let mut hit = 0;
    for round in 0..240_u64 {
        // From well before her query ends to well after his has begun.
        let delay = Duration::from_micros(round % 60 * 100);
        hers.send(&query("SELECT who() FROM pg_sleep(0.002)"));
        let canceller = {
            let key = key.clone();
            std::thread::spawn(move || {
                std::thread::sleep(delay);
                cancel(port, &key);
            })
        };
        his.send(&query("SELECT who() FROM pg_sleep(0.004)"));
        let her_answer = sqlstate_of_the_answer(&mut hers);
        let his_answer = his.until_ready();
        canceller.join().unwrap();
        assert!(
            matches!(her_answer.as_deref(), None | Some("57014")),
            "{her_answer:?}"
        );
        hit += u32::from(her_answer.is_some());
        let rows: Vec<_> = his_answer.iter().filter(|frame| frame.tag == b'D').collect();
        assert_eq!(
            rows.len(),
            1,
            "bob's query was hit after {delay:?}: {his_answer:?}"
        );
        assert_eq!(rows[0].row(), [Some(BOB.to_owned())]);
    }
    // It was close: some were in time, some were not.
    assert!((1..240).contains(&hit), "{hit} of 240 were hit");
    assert_eq!(hers.value("SELECT who()"), ALICE);
    stack.assert_well();
}

/// A client that waits for a server connection and gives up: its wait ends, the holder is not hit.
#[test]
fn a_waiting_query_is_cancelled() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut holder = stack.login(&bob());
    let mut waiter = stack.login(&alice());
    holder.send(&query("SELECT who() FROM pg_sleep(2)"));
    std::thread::sleep(Duration::from_millis(300));
    waiter.send(&query("SELECT who()"));
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    cancel(stack.port(), &waiter.cancel_key);
    assert_eq!(sqlstate_of_the_answer(&mut waiter).as_deref(), Some("57014"));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(sqlstate_of_the_answer(&mut holder), None, "the holder was hit");
    assert_eq!(waiter.value("SELECT who()"), ALICE);
}

#[test]
fn wrong_keys_are_ignored() {
    let mut stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    client.send(&query("SELECT 'unharmed' FROM pg_sleep(1)"));
    std::thread::sleep(Duration::from_millis(200));
    let right = client.cancel_key.clone();
    let mut flipped = right.clone();
    flipped[5] ^= 1;
    let longer = [&right[..], &[0; 4]].concat();
    for key in [&flipped[..], &longer, &[0; 8]] {
        cancel(stack.port(), key);
    }
    // No keys at all: an answer is allowed, an effect is not.
    for key in [&right[..7], &right[..4], &[], &[0xff; 300]] {
        let mut client = RawClient::connect(stack.port());
        client.send(&untagged(CANCEL_REQUEST, key));
        client.half_close();
        assert!(client.is_closed());
    }
    assert_eq!(sqlstate_of_the_answer(&mut client), None);
    stack.assert_well();
}

/// Keys are the proxy's own: the server's process numbers and secrets stay inside.
#[test]
fn keys_are_not_the_servers() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut first = stack.login(&alice());
    let second = stack.login(&alice());
    assert_ne!(first.cancel_key, second.cancel_key);
    let pid: u32 = first.value("SELECT pg_backend_pid()").parse().unwrap();
    assert_ne!(first.cancel_key[..4], pid.to_be_bytes());
}
