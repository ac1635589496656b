//! What happens to connections and pools that nobody uses.

use std::sync::Arc;
use std::time::Duration;

use portcullis::base::{CheckIn, DrainHandle, Phase};
use portcullis::pool::{PoolError, Pools, Settings};

use crate::events::Recorder;
use crate::wire::{backend, query};
use crate::{SECOND, cluster, eventually, key, role, settings};

/// Pools with their reaper at work.
fn reaped(settings: Settings) -> (Arc<Pools>, Recorder, DrainHandle, tokio::task::JoinHandle<()>) {
    let recorder = Recorder::default();
    let pools = Pools::new(settings, recorder.events());
    let (handle, drain) = DrainHandle::new();
    let reaper = tokio::spawn(Arc::clone(&pools).run(drain));
    (pools, recorder, handle, reaper)
}

#[tokio::test]
async fn idle_connections_are_closed_down_to_the_minimum() {
    let mut settings = settings(cluster::tcp(), "u_trust", 3);
    settings.server_idle_timeout = Duration::from_millis(1500);
    settings.min_pool_size = 1;
    let (pools, recorder, _handle, _) = reaped(settings);
    let pool = pools.get(&key("postgres")).unwrap();
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(pool.checkout(&role("r")).await.unwrap());
    }
    leases
        .into_iter()
        .for_each(|lease| lease.check_in(CheckIn::Reuse));
    assert_eq!(pool.snapshot().idle, 3);
    eventually("two are closed", || recorder.count("closed idle") == 2).await;
    assert_eq!(pool.snapshot().idle, 1);
}

#[tokio::test]
async fn a_pool_is_filled_to_its_minimum_and_refilled() {
    let mut settings = settings(cluster::tcp(), "u_trust", 3);
    settings.min_pool_size = 2;
    let (pools, recorder, _handle, _) = reaped(settings);
    let pool = pools.get(&key("postgres")).unwrap();
    eventually("two are open", || pool.snapshot().idle == 2).await;
    // Dead idle connections are noticed without a client running into them.
    let mut lease = pool.checkout(&role("r")).await.unwrap();
    let victim = backend(&mut lease).await;
    lease.check_in(CheckIn::Reuse);
    cluster::admin(&format!("SELECT pg_terminate_backend({victim}, 5000)")).await;
    eventually("the dead one is closed", || {
        recorder.count("closed server_gone") == 1
    })
    .await;
    eventually("two are open again", || pool.snapshot().idle == 2).await;
}

#[tokio::test]
async fn old_connections_are_closed_idle_or_at_check_in() {
    let mut settings = settings(cluster::tcp(), "u_trust", 2);
    settings.server_lifetime = SECOND;
    let (pools, recorder, _handle, _) = reaped(settings);
    let pool = pools.get(&key("postgres")).unwrap();
    let idle = pool.checkout(&role("r")).await.unwrap();
    let mut busy = pool.checkout(&role("r")).await.unwrap();
    idle.check_in(CheckIn::Reuse);
    eventually("the idle one is closed", || {
        recorder.count("closed lifetime") == 1
    })
    .await;
    assert_eq!(query(&mut busy, "SELECT 1").await.values, ["1"]);
    // Lifetimes differ a little from connection to connection, so that they do not all end at once.
    tokio::time::sleep(SECOND).await;
    busy.check_in(CheckIn::Reuse);
    assert_eq!(recorder.count("closed lifetime"), 2);
    assert_eq!(pool.snapshot().idle, 0);
}

#[tokio::test]
async fn with_no_lifetime_a_connection_serves_once() {
    let mut settings = settings(cluster::tcp(), "u_trust", 1);
    settings.server_lifetime = Duration::ZERO;
    let pool = crate::pool(settings);
    let mut first = pool.checkout(&role("r")).await.unwrap();
    let before = backend(&mut first).await;
    first.check_in(CheckIn::Reuse);
    let mut second = pool.checkout(&role("r")).await.unwrap();
    assert_ne!(backend(&mut second).await, before);
}

#[tokio::test]
async fn shutting_down_closes_everything() {
    let (pools, recorder, handle, reaper) = reaped(settings(cluster::tcp(), "u_trust", 2));
    let pool = pools.get(&key("postgres")).unwrap();
    let (busy, idle) = (
        pool.checkout(&role("r")).await.unwrap(),
        pool.checkout(&role("r")).await.unwrap(),
    );
    idle.check_in(CheckIn::Reuse);
    let other = Arc::clone(&pool);
    // Draining: running transactions go on.
    handle.advance(Phase::Draining);
    let again = pool.checkout(&role("r")).await.unwrap();
    let waiting = tokio::spawn(async move { other.checkout(&role("r")).await.map(|_| ()) });
    eventually("one waits", || pool.snapshot().waiting == 1).await;
    handle.advance(Phase::Stopping);
    reaper.await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(PoolError::Closed)));
    assert!(matches!(pool.checkout(&role("r")).await, Err(PoolError::Closed)));
    assert!(matches!(pools.get(&key("postgres")), Err(PoolError::Closed)));
    busy.check_in(CheckIn::Reuse);
    again.check_in(CheckIn::Rollback);
    eventually("both are closed", || recorder.count("closed shutdown") == 2).await;
    assert_eq!(pool.snapshot().leased, 0);
    assert!(pools.snapshot().is_empty());
}
