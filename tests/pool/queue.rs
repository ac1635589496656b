//! Who gets a server connection, and when.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use portcullis::base::{CheckIn, DiscardReason, Events, Fault, SqlState, Tenancy};
use portcullis::pool::{PoolError, Pools, Share};
use tokio::net::TcpListener;

use crate::events::Recorder;
use crate::fake::{self, Fake, Then};
use crate::wire::{backend, query};
use crate::{SECOND, cluster, eventually, key, pool, real_pool, role, settings};

#[tokio::test]
async fn a_connection_is_reused_and_a_second_one_only_opened_when_needed() {
    let pool = real_pool(5);
    let mut first = pool.checkout(&role("r")).await.unwrap();
    let one = backend(&mut first).await;
    first.check_in(CheckIn::Reuse);
    let mut again = pool.checkout(&role("r")).await.unwrap();
    assert_eq!(backend(&mut again).await, one);
    let mut other = pool.checkout(&role("r")).await.unwrap();
    assert_ne!(backend(&mut other).await, one);
    let counts = pool.snapshot();
    assert_eq!(
        (counts.idle, counts.leased, counts.waiting, counts.max),
        (0, 2, 0, 5)
    );
}

#[tokio::test]
async fn the_connection_that_served_the_role_last_is_preferred() {
    let pool = real_pool(3);
    let mut backends = Vec::new();
    let mut leases = Vec::new();
    for name in ["a", "b", "c"] {
        let mut lease = pool.checkout(&role(name)).await.unwrap();
        backends.push(backend(&mut lease).await);
        leases.push(lease);
    }
    leases
        .into_iter()
        .for_each(|lease| lease.check_in(CheckIn::Reuse));
    for (name, expected) in [("a", 0), ("c", 2), ("b", 1), ("a", 0)] {
        let mut lease = pool.checkout(&role(name)).await.unwrap();
        assert_eq!(backend(&mut lease).await, backends[expected]);
        lease.check_in(CheckIn::Reuse);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_on_one_connection_are_served_in_order() {
    let recorder = Recorder::default();
    let pools = Pools::new(settings(cluster::tcp(), "u_trust", 1), recorder.events());
    let pool = pools.get(&key("postgres")).unwrap();
    let first = pool.checkout(&role("r")).await.unwrap();
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..50 {
        let (pool, served) = (Arc::clone(&pool), Arc::clone(&served));
        let before = pools.snapshot()[0].waiting;
        tasks.push(tokio::spawn(async move {
            let mut lease = pool.checkout(&role("r")).await.unwrap();
            served.lock().push(number);
            assert_eq!(query(&mut lease, "SELECT 1").await.status, b'I');
            lease.check_in(CheckIn::Reuse);
        }));
        eventually("the client waits", || pools.snapshot()[0].waiting > before).await;
    }
    first.check_in(CheckIn::Reuse);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*served.lock(), (0..50).collect::<Vec<_>>());
    let counts = pool.snapshot();
    assert_eq!((counts.idle, counts.leased, counts.waiting), (1, 0, 0));
    assert_eq!(recorder.count("opened"), 1);
    assert_eq!(recorder.count("checked out"), 51);
    assert_eq!(recorder.count("checked in Reuse"), 51);
    assert_eq!(
        (recorder.count("wait began"), recorder.count("wait ended")),
        (51, 51)
    );
}

#[tokio::test]
async fn waiting_is_bounded() {
    let mut settings = settings(cluster::tcp(), "u_trust", 1);
    settings.query_wait_timeout = Duration::from_millis(300);
    let pool = pool(settings);
    let lease = pool.checkout(&role("r")).await.unwrap();
    let began = Instant::now();
    let error = pool.checkout(&role("r")).await.unwrap_err();
    assert!(matches!(error, PoolError::WaitTimeout { .. }));
    assert_eq!(Fault::from(&error).sqlstate, SqlState::TOO_MANY_CONNECTIONS);
    assert!((Duration::from_millis(300)..2 * SECOND).contains(&began.elapsed()));
    assert_eq!(pool.snapshot().waiting, 0);
    lease.check_in(CheckIn::Reuse);
    pool.checkout(&role("r")).await.unwrap();
}

#[tokio::test]
async fn a_client_that_gives_up_loses_nothing() {
    let recorder = Recorder::default();
    let pools = Pools::new(settings(cluster::tcp(), "u_trust", 1), recorder.events());
    let pool = pools.get(&key("postgres")).unwrap();
    let lease = pool.checkout(&role("r")).await.unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let anyone = role("r");

    // Given up while waiting.
    {
        let mut waiting = pin!(pool.checkout(&anyone));
        assert!(matches!(waiting.as_mut().poll(&mut context), Poll::Pending));
        assert_eq!(pool.snapshot().waiting, 1);
    }
    assert_eq!(pool.snapshot().waiting, 0);

    // Given up after the connection was handed over, before the client noticed: it goes to the next.
    let next = {
        let mut vanishing = Box::pin(pool.checkout(&anyone));
        assert!(matches!(vanishing.as_mut().poll(&mut context), Poll::Pending));
        let other = Arc::clone(&pool);
        let next = tokio::spawn(async move { other.checkout(&role("r")).await });
        eventually("two wait", || pool.snapshot().waiting == 2).await;
        lease.check_in(CheckIn::Reuse);
        assert_eq!(pool.snapshot().waiting, 1);
        next
    };
    let lease = next.await.unwrap().unwrap();
    assert_eq!(pool.snapshot().leased, 1);
    lease.check_in(CheckIn::Reuse);
    assert_eq!(pool.snapshot().idle, 1);
    // It was the same connection all the time.
    assert_eq!(recorder.count("opened"), 1);
}

#[tokio::test]
async fn a_client_that_gives_up_keeps_no_idle_connection_from_others() {
    let fake = Fake::start_for(2, vec![fake::greeting(&fake::PINNED)], Then::Hang).await;
    let mut settings = settings(fake.endpoint.clone(), "u_trust", 2);
    settings
        .servers
        .get_mut("main")
        .unwrap()
        .budget
        .max_concurrent_logins = 1;
    settings.default_share = Share {
        cap: Some(1),
        burst: 1,
        ..Share::default()
    };
    let pools = Pools::new(settings, Events::none());
    let capped = (pools.enter(&key("postgres"), Some(&"t".into()), None, Tenancy::Sole)).unwrap();
    let _held = capped.checkout(&role("r")).await.unwrap();
    let idle = pools
        .get(&key("postgres"))
        .unwrap()
        .checkout(&role("r"))
        .await
        .unwrap();
    idle.check_in(CheckIn::Reuse);
    assert_eq!(capped.snapshot().idle, 1);

    // The server says nothing to a third login, and a fourth has to wait for that.
    let mut context = Context::from_waker(Waker::noop());
    let (slow, anyone) = (pools.get(&key("slow")).unwrap(), role("r"));
    let mut third = Box::pin(slow.checkout(&anyone));
    let mut fourth = Box::pin(slow.checkout(&anyone));
    assert!(third.as_mut().poll(&mut context).is_pending());
    assert!(fourth.as_mut().poll(&mut context).is_pending());

    // As long as a client waits that is within its cap, one that is beyond its own waits beside an idle connection.
    let mut beyond = pin!(capped.checkout(&anyone));
    assert!(beyond.as_mut().poll(&mut context).is_pending());
    drop(fourth);
    assert!(beyond.as_mut().poll(&mut context).is_ready());
}

#[tokio::test]
async fn a_login_begun_for_a_client_that_gave_up_is_kept() {
    let pool = real_pool(1);
    let mut context = Context::from_waker(Waker::noop());
    let anyone = role("r");
    {
        let mut first = pin!(pool.checkout(&anyone));
        assert!(matches!(first.as_mut().poll(&mut context), Poll::Pending));
    }
    eventually("the connection is idle", || pool.snapshot().idle == 1).await;
}

#[tokio::test]
async fn while_logins_fail_clients_are_told_at_once() {
    let fake = Fake::start(fake::error("57P03", "starting"), Then::Close).await;
    let recorder = Recorder::default();
    let mut settings = settings(fake.endpoint.clone(), "u_trust", 10);
    settings.server_login_retry = SECOND;
    let pool = Pools::new(settings, recorder.events())
        .get(&key("postgres"))
        .unwrap();
    let clients = (0..20).map(|_| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.checkout(&role("r")).await.map(|_| ()) })
    });
    for client in clients.collect::<Vec<_>>() {
        let error = client.await.unwrap().unwrap_err();
        assert_eq!(Fault::from(&error).sqlstate, SqlState::CANNOT_CONNECT_NOW);
    }
    // Four logins side by side, then the pause.
    let began = Instant::now();
    assert!(fake.accepted() <= 4, "{} logins", fake.accepted());
    let tried = fake.accepted();
    pool.checkout(&role("r")).await.unwrap_err();
    assert!(began.elapsed() < SECOND / 2 && fake.accepted() == tried);
    assert_eq!(recorder.count("connect failed"), tried);
    // After the pause somebody may try again.
    tokio::time::sleep(SECOND).await;
    pool.checkout(&role("r")).await.unwrap_err();
    assert_eq!(fake.accepted(), tried + 1);
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let endpoint = portcullis::net::Endpoint::Tcp {
        host: "127.0.0.1".into(),
        port,
    };
    let mut settings = settings(endpoint, "u_trust", 1);
    settings.server_login_retry = Duration::from_millis(100);
    let pool = pool(settings);
    pool.checkout(&role("r")).await.unwrap_err();
    // A relay to the real server takes the port.
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = portcullis::net::Stream::connect(&cluster::tcp()).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut lease = pool.checkout(&role("r")).await.unwrap();
    assert_eq!(query(&mut lease, "SELECT 1").await.values, ["1"]);
}

#[tokio::test]
async fn one_login_greets_all_clients() {
    let recorder = Recorder::default();
    let pools = Pools::new(settings(cluster::tcp(), "u_trust", 10), recorder.events());
    let pool = pools.get(&key("postgres")).unwrap();
    let clients = (0..20).map(|_| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.parameters().await.unwrap() })
    });
    for client in clients.collect::<Vec<_>>() {
        let parameters = client.await.unwrap();
        assert_eq!(parameters.get("client_encoding"), Some("UTF8"));
        assert!(parameters.iter().count() > 8);
    }
    eventually("no login is under way", || pool.snapshot().connecting == 0).await;
    assert_eq!(recorder.count("opened"), 1);
    assert_eq!(pool.snapshot().idle, 1);
}

#[tokio::test]
async fn a_greeting_that_cannot_be_had_is_an_error_for_all() {
    let fake = Fake::start(fake::error("28P01", "no"), Then::Close).await;
    let pool = pool(settings(fake.endpoint, "u_trust", 10));
    let clients = (0..20).map(|_| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.parameters().await })
    });
    let began = Instant::now();
    for client in clients.collect::<Vec<_>>() {
        assert!(client.await.unwrap().is_err());
    }
    assert!(began.elapsed() < 2 * SECOND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_storm_the_pool_neither_grows_nor_leaks() {
    let recorder = Recorder::default();
    let pools = Pools::new(settings(cluster::tcp(), "u_trust", 4), recorder.events());
    let pool = pools.get(&key("postgres")).unwrap();
    let clients = (0_u32..200).map(|number| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move {
            for turn in 0_u32..5 {
                let patience = Duration::from_millis(u64::from((number * 7 + turn * 13) % 40));
                let anyone = role("r");
                let checkout = pool.checkout(&anyone);
                // A third of the clients are impatient.
                let lease = match number % 3 {
                    0 => match tokio::time::timeout(patience, checkout).await {
                        Ok(lease) => lease.unwrap(),
                        Err(_) => continue,
                    },
                    _ => checkout.await.unwrap(),
                };
                storm_turn(lease, number + turn).await;
            }
        })
    });
    let clients = clients.collect::<Vec<_>>();
    while clients.iter().any(|client| !client.is_finished()) {
        let counts = pool.snapshot();
        assert!(counts.idle + counts.leased + counts.connecting <= 4, "{counts:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for client in clients {
        client.await.unwrap();
    }
    eventually("all at rest", || {
        let counts = pool.snapshot();
        counts.leased + counts.connecting + counts.waiting == 0
    })
    .await;
    let closed = recorder.take();
    let count = |start: &str| closed.iter().filter(|event| event.starts_with(start)).count();
    assert_eq!(count("opened") - count("closed"), pool.snapshot().idle);
    assert_eq!(count("wait began"), count("wait ended"));
    assert_eq!(
        count("closed protocol_violation") + count("closed pinned_setting"),
        0
    );
}

/// Uses a lease in one of the ways a session does.
async fn storm_turn(mut lease: portcullis::pool::Lease, way: u32) {
    assert_eq!(
        query(&mut lease, "SELECT current_setting('storm.dirt', true)")
            .await
            .values
            .concat()
            .trim(),
        ""
    );
    match way % 11 {
        0 => {
            query(&mut lease, "BEGIN; SET LOCAL storm.dirt = 'x'").await;
            lease.check_in(CheckIn::Rollback);
        }
        1 => {
            query(&mut lease, "BEGIN; SELECT 1/0").await;
            lease.check_in(CheckIn::Rollback);
        }
        2 => lease.check_in(CheckIn::Discard(DiscardReason::ClientGone)),
        3 => drop(lease),
        _ => lease.check_in(CheckIn::Reuse),
    }
}
