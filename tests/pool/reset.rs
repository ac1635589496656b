//! A connection that a session has kept serves again only if the server shows that nothing is left on it.

use std::sync::Arc;

use portcullis::base::{CheckIn, DiscardReason};
use portcullis::pool::{Lease, Pool, Pools};

use crate::events::Recorder;
use crate::wire::{backend, query, send};
use crate::{cluster, key, role, settings};

fn recorded() -> (Arc<Pool>, Recorder) {
    let recorder = Recorder::default();
    let pools = Pools::new(settings(cluster::tcp(), "u_trust", 1), recorder.events());
    (pools.get(&key("postgres")).unwrap(), recorder)
}

async fn checkout(pool: &Arc<Pool>) -> Lease {
    pool.checkout(&role("r")).await.unwrap()
}

/// What the next holder would find.
const LEFT: &str = "SELECT concat_ws(' ', (SELECT count(*) FROM pg_listening_channels()), \
    (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'), \
    (SELECT count(*) FROM pg_cursors), (SELECT count(*) FROM pg_prepared_statements), pg_my_temp_schema(), \
    current_user = session_user, current_setting('TimeZone'), current_setting('work_mem'), \
    current_setting('transaction_isolation'), (SELECT count(*) FROM pg_settings WHERE source = 'session' \
    AND name NOT LIKE 'transaction\\_%'))";

#[tokio::test]
async fn what_a_session_has_left_goes_and_the_connection_stays() {
    let (pool, recorder) = recorded();
    let mut lease = checkout(&pool).await;
    let before = backend(&mut lease).await;
    let fresh = query(&mut lease, LEFT).await.values;
    for left in [
        "SELECT pg_advisory_lock(1), pg_advisory_lock_shared(2)",
        "LISTEN a; LISTEN b; NOTIFY a, 'heard'",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "PREPARE p AS SELECT 1",
        "SET TimeZone = 'Asia/Tokyo'; SET work_mem = '99MB'; SET default_transaction_read_only = on",
        "SET transaction_isolation = 'serializable'",
    ] {
        assert_eq!(query(&mut lease, left).await.error, None, "{left}");
        lease.prepared().insert(7, 1);
        lease.unnamed = Some(7);
        lease.check_in(CheckIn::Reset);
        lease = checkout(&pool).await;
        assert_eq!(backend(&mut lease).await, before, "{left}");
        assert_eq!(query(&mut lease, LEFT).await.values, fresh, "{left}");
        assert!(lease.prepared().is_empty() && lease.unnamed.is_none());
    }
    assert_eq!(recorder.count("opened"), 1);
}

#[tokio::test]
async fn what_no_reset_takes_away_closes_the_connection() {
    for (left, why) in [
        ("CREATE TEMP TABLE t (a int)", "unclean"),
        ("CREATE TEMP TABLE t (a int); DROP TABLE t", "unclean"),
        // The caller breaks its word: DISCARD ALL refuses to run in a transaction.
        ("BEGIN", "unclean"),
        ("BEGIN; SELECT 1/0", "unclean"),
    ] {
        let (pool, recorder) = recorded();
        let mut lease = checkout(&pool).await;
        let before = backend(&mut lease).await;
        query(&mut lease, left).await;
        lease.check_in(CheckIn::Reset);
        assert_ne!(backend(&mut checkout(&pool).await).await, before, "{left}");
        assert_eq!(recorder.count(&format!("closed {why}")), 1, "{left}");
    }
}

#[tokio::test]
async fn an_answer_that_was_not_read_is_not_taken_for_ours() {
    let (pool, recorder) = recorded();
    let mut lease = checkout(&pool).await;
    let before = backend(&mut lease).await;
    send(&mut lease, "DISCARD ALL").await;
    lease.check_in(CheckIn::Reset);
    assert_ne!(backend(&mut checkout(&pool).await).await, before);
    assert_eq!(recorder.count("closed protocol_violation"), 1);
}

#[tokio::test]
async fn a_server_that_is_gone_is_not_reset() {
    let (pool, recorder) = recorded();
    let mut lease = checkout(&pool).await;
    let before = backend(&mut lease).await;
    cluster::admin(&format!("SELECT pg_terminate_backend({before}, 5000)")).await;
    lease.check_in(CheckIn::Reset);
    let mut next = checkout(&pool).await;
    assert_ne!(backend(&mut next).await, before);
    assert_eq!(recorder.count("closed server_gone"), 1);
    next.check_in(CheckIn::Discard(DiscardReason::SessionEnded));
}
