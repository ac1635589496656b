//! No server connection serves again unless it is clean.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::base::{CheckIn, DiscardReason};
use portcullis::pool::{Lease, Pool, Pools};

use crate::events::Recorder;
use crate::fake::{self, Fake, Then};
use crate::wire::{backend, query, send};
use crate::{SECOND, cluster, eventually, key, role, settings};

fn recorded(size: usize) -> (Arc<Pool>, Recorder) {
    let recorder = Recorder::default();
    let pools = Pools::new(settings(cluster::tcp(), "u_trust", size), recorder.events());
    (pools.get(&key("postgres")).unwrap(), recorder)
}

async fn checkout(pool: &Arc<Pool>) -> Lease {
    pool.checkout(&role("r")).await.unwrap()
}

/// Gives the socket's news time to reach the runtime.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn an_open_transaction_is_rolled_back_and_the_connection_kept() {
    let (pool, recorder) = recorded(1);
    for begin in [
        "BEGIN; INSERT INTO notes VALUES ('rolled back'); SET LOCAL TimeZone = 'Asia/Tokyo'",
        "BEGIN; INSERT INTO notes VALUES ('failed'); SELECT 1/0",
    ] {
        let mut lease = checkout(&pool).await;
        let before = backend(&mut lease).await;
        assert_ne!(query(&mut lease, begin).await.status, b'I');
        lease.check_in(CheckIn::Rollback);
        let mut lease = checkout(&pool).await;
        assert_eq!(backend(&mut lease).await, before);
        assert_eq!(
            query(&mut lease, "SELECT count(*) FROM notes").await.values,
            ["0"]
        );
        lease.check_in(CheckIn::Reuse);
    }
    assert_eq!(recorder.count("opened"), 1);
    assert_eq!(recorder.count("checked in Rollback"), 2);
}

#[tokio::test]
async fn a_setting_that_outlives_the_rollback_closes_the_connection() {
    let (pool, recorder) = recorded(1);
    let mut lease = checkout(&pool).await;
    query(&mut lease, "SET TimeZone = 'Asia/Tokyo'").await;
    query(&mut lease, "BEGIN; SET LOCAL TimeZone = 'UTC'").await;
    lease.check_in(CheckIn::Rollback);
    checkout(&pool).await;
    assert_eq!(recorder.count("closed pinned_setting"), 1);
}

#[tokio::test]
async fn a_rollback_with_replies_outstanding_is_not_trusted() {
    let (pool, recorder) = recorded(1);
    let mut lease = checkout(&pool).await;
    let before = backend(&mut lease).await;
    // The caller breaks its word: this answer was not read.
    send(&mut lease, "SELECT 1").await;
    lease.check_in(CheckIn::Rollback);
    let mut lease = checkout(&pool).await;
    assert_ne!(backend(&mut lease).await, before);
    assert_eq!(recorder.count("closed protocol_violation"), 1);
}

#[tokio::test]
async fn unread_bytes_at_check_in_close_the_connection() {
    let (pool, recorder) = recorded(1);
    let mut lease = checkout(&pool).await;
    send(&mut lease, "SELECT 1").await;
    a_moment().await;
    lease.check_in(CheckIn::Reuse);
    assert_eq!(recorder.count("closed protocol_violation"), 1);
    assert_eq!(pool.snapshot().idle, 0);
    assert_eq!(query(&mut checkout(&pool).await, "SELECT 2").await.values, ["2"]);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_handed_out() {
    let (pool, recorder) = recorded(2);
    let (mut one, mut two) = (checkout(&pool).await, checkout(&pool).await);
    let backends = [backend(&mut one).await, backend(&mut two).await];
    one.check_in(CheckIn::Reuse);
    two.check_in(CheckIn::Reuse);
    for backend in &backends {
        cluster::admin(&format!("SELECT pg_terminate_backend({backend}, 5000)")).await;
    }
    a_moment().await;
    let mut lease = checkout(&pool).await;
    assert!(!backends.contains(&backend(&mut lease).await));
    assert_eq!(recorder.count("closed server_gone"), 2);
    assert_eq!(pool.snapshot().leased, 1);
}

#[tokio::test]
async fn a_backend_killed_under_its_lease_is_replaced_for_those_who_wait() {
    let (pool, recorder) = recorded(1);
    let mut lease = checkout(&pool).await;
    let before = backend(&mut lease).await;
    let other = Arc::clone(&pool);
    let waiting = tokio::spawn(async move { backend(&mut checkout(&other).await).await });
    eventually("one waits", || pool.snapshot().waiting == 1).await;
    cluster::admin(&format!("SELECT pg_terminate_backend({before}, 5000)")).await;
    a_moment().await;
    // Whatever the session thinks of it, the pool looks for itself.
    lease.check_in(CheckIn::Reuse);
    assert_ne!(waiting.await.unwrap(), before);
    assert_eq!(recorder.count("closed server_gone"), 1);
}

#[tokio::test]
async fn a_dropped_lease_is_closed_and_what_it_ran_is_cancelled() {
    let discarded = |reason| Some(CheckIn::Discard(reason));
    let ends = [
        None,
        discarded(DiscardReason::ClientGone),
        discarded(DiscardReason::Shutdown),
    ];
    for end in ends {
        let (pool, recorder) = recorded(1);
        let mut lease = checkout(&pool).await;
        let before = backend(&mut lease).await;
        send(&mut lease, "SELECT pg_sleep(60)").await;
        a_moment().await;
        match end {
            None => drop(lease),
            Some(verdict) => lease.check_in(verdict),
        }
        let mut lease = checkout(&pool).await;
        assert_ne!(backend(&mut lease).await, before);
        let is_closed = |event: &String| event.starts_with("closed ");
        assert_eq!(recorder.take().into_iter().filter(is_closed).count(), 1);
        let alive = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {before}");
        let mut rounds = 0;
        while cluster::admin(&alive).await.as_deref() != Some("0") {
            rounds += 1;
            assert!(rounds < 50, "the backend still sleeps");
            a_moment().await;
        }
    }
}

#[tokio::test]
async fn a_cancel_reaches_the_query_and_only_it() {
    let (pool, _) = recorded(2);
    let (mut sleeper, mut other) = (checkout(&pool).await, checkout(&pool).await);
    assert_eq!(
        sleeper.cancel_key().pid().to_string(),
        backend(&mut sleeper).await
    );
    let cancel = Arc::clone(sleeper.cancel_key());
    let sleeping = tokio::spawn(async move {
        let reply = query(&mut sleeper, "SELECT pg_sleep(60)").await;
        (sleeper, reply)
    });
    a_moment().await;
    cancel.send().await.unwrap();
    let (sleeper, reply) = sleeping.await.unwrap();
    assert_eq!(reply.error.as_deref(), Some("57014"));
    assert_eq!(query(&mut other, "SELECT 1").await.error, None);
    sleeper.check_in(CheckIn::Reuse);
    // A cancel over a Unix socket takes another way to the same backend.
    let pool = crate::pool(settings(cluster::unix(), "u_trust", 1));
    let mut lease = checkout(&pool).await;
    let cancel = Arc::clone(lease.cancel_key());
    send(&mut lease, "SELECT pg_sleep(60)").await;
    a_moment().await;
    cancel.send().await.unwrap();
    // The answer to the first query is an error; the second runs.
    let reply = query(&mut lease, "SELECT 1").await;
    assert_eq!((reply.error.as_deref(), reply.status), (Some("57014"), b'I'));
}

#[tokio::test]
async fn an_idle_connection_says_goodbye() {
    let fake = Fake::start(fake::greeting(&fake::PINNED), Then::Hang).await;
    let pool = crate::pool(settings(fake.endpoint.clone(), "u_trust", 1));
    checkout(&pool)
        .await
        .check_in(CheckIn::Discard(DiscardReason::Cancelled));
    eventually("Terminate arrives", || fake.heard() == b"X\0\0\0\x04").await;
}

#[tokio::test]
async fn a_rollback_that_goes_wrong_closes_the_connection() {
    let done = [fake::message(b'C', b"ROLLBACK\0"), fake::message(b'Z', b"I")].concat();
    let late = [done, fake::message(b'C', b"SELECT 1\0")].concat();
    let fatal = fake::error("57P01", "terminating connection due to administrator command");
    let endless = fake::message(b'N', &[b'x'; 20_000]).repeat(100);
    for (answer, reason) in [
        (late, "protocol_violation"),
        (fake::message(b'Z', b"I"), "protocol_violation"),
        (endless, "protocol_violation"),
        (fatal, "server_gone"),
        // No answer at all: after five seconds.
        (Vec::new(), "timeout"),
    ] {
        let fake = Fake::start_with(vec![fake::greeting(&fake::PINNED), answer], Then::Hang).await;
        let recorder = Recorder::default();
        let pools = Pools::new(settings(fake.endpoint.clone(), "u_trust", 1), recorder.events());
        let pool = pools.get(&key("postgres")).unwrap();
        checkout(&pool).await.check_in(CheckIn::Rollback);
        let began = Instant::now();
        while recorder.count(&format!("closed {reason}")) == 0 {
            assert!(began.elapsed() < 7 * SECOND, "not closed as {reason}");
            a_moment().await;
        }
        assert!(fake.heard().starts_with(b"Q\0\0\0\x0dROLLBACK\0"));
        assert_eq!(pool.snapshot().leased, 0);
    }
}
