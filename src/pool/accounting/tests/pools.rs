//! One pool by itself, and pools that share a server.

use super::*;

#[test]
fn the_first_checkout_connects_and_the_connection_goes_to_its_waiter() {
    let mut bench = Bench::new(UNLIMITED);
    let pool = bench.pool("a", limits(2, 0));
    let flow = bench.flow(pool, "t", Share::default());
    assert_eq!(bench.ask(flow, 1), "connecting");
    assert_eq!(bench.connects.len(), 1);
    bench.settle(pool);
    assert_eq!(bench.connects.len(), 1);
    bench.connect();
    assert_eq!(bench.holders(), [1]);
    bench.give(1);
    let counts = bench.books.counts(pool);
    assert_eq!((counts.idle, counts.leased, counts.connecting), (1, 0, 0));
    assert_eq!(bench.ask(flow, 2), "lease");
}

#[test]
fn connects_side_by_side_are_bounded_in_a_pool_and_on_a_server() {
    let mut bench = Bench::new(ServerLimits {
        logins: 6,
        ..UNLIMITED
    });
    let flows = ["a", "b", "c"].map(|name| {
        let pool = bench.pool(name, limits(20, 0));
        bench.flow(pool, name, Share::default())
    });
    for who in 0..60 {
        bench.ask(flows[who as usize % 3], who);
    }
    assert_eq!(bench.connects.len(), 6);
    let first = bench.books.flows[flows[0]].pool;
    assert!(bench.books.counts(first).connecting <= CONNECTS_PER_POOL);
    bench.connect_all();
    assert_eq!(bench.leases.len(), 60);
}

#[test]
fn a_fitting_connection_is_preferred_then_the_most_recent() {
    let mut bench = Bench::new(UNLIMITED);
    let pool = bench.pool("a", limits(50, 0));
    let flow = bench.flow(pool, "t", Share::default());
    for connection in 0..40 {
        bench.books.put_down(pool, connection, bench.now);
    }
    let mut take = |fits: fn(&u32) -> bool| match bench.books.checkout(flow, bench.now, fits) {
        Decision::Lease(connection, permit) => {
            bench.books.discarded(permit, bench.now);
            connection
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(take(|connection| *connection == 30), 30);
    assert_eq!(take(|_| false), 39);
    // Beyond the scan's bound nothing is looked for.
    assert_eq!(take(|connection| *connection == 0), 38);
}

#[test]
fn a_failed_login_answers_those_whom_nothing_else_can_serve() {
    let mut bench = Bench::new(UNLIMITED);
    let pool = bench.pool("a", limits(2, 0));
    let flow = bench.flow(pool, "t", Share::default());
    bench.ask(flow, 1);
    bench.ask(flow, 2);
    bench.fail(Blame::Pool);
    // The other login may still work.
    assert!(bench.stranded.is_empty());
    bench.fail(Blame::Pool);
    assert_eq!(bench.stranded, [1, 2]);
    assert_eq!(bench.ask(flow, 3), "fail");
    // After the pause one probe goes ahead.
    bench.now += SECOND;
    bench.ask(flow, 4);
    bench.ask(flow, 5);
    assert_eq!(bench.connects.len(), 1);
}

#[test]
fn with_a_live_connection_a_failed_login_is_only_a_delay() {
    let mut bench = Bench::new(UNLIMITED);
    let pool = bench.pool("a", limits(2, 0));
    let flow = bench.flow(pool, "t", Share::default());
    bench.hold(flow, 1, 1);
    bench.ask(flow, 2);
    bench.fail(Blame::Pool);
    assert!(bench.connects.is_empty() && bench.stranded.is_empty());
    bench.give(1);
    assert_eq!(bench.holders(), [2]);
    // The last connection goes while the pause lasts: whoever waits now is told.
    bench.ask(flow, 3);
    let (_, _, permit) = bench.leases.pop().unwrap();
    bench.books.discarded(permit, bench.now);
    bench.settle(pool);
    assert_eq!(bench.stranded, [3]);
}

#[test]
fn a_server_that_is_down_is_down_for_all_its_pools() {
    let mut bench = Bench::new(ServerLimits {
        logins: 1,
        ..UNLIMITED
    });
    let flows = ["a", "b", "c"].map(|name| {
        let pool = bench.pool(name, limits(2, 0));
        bench.flow(pool, name, Share::default())
    });
    bench.ask(flows[0], 1);
    bench.ask(flows[1], 2);
    bench.fail(Blame::Server);
    bench.stranded.sort_unstable();
    assert_eq!(bench.stranded, [1, 2]);
    assert_eq!(bench.ask(flows[2], 3), "fail");
    // A database that does not exist is no news of others.
    bench.now += SECOND;
    bench.ask(flows[0], 4);
    bench.fail(Blame::Pool);
    assert_eq!(bench.ask(flows[0], 5), "fail");
    assert_ne!(bench.ask(flows[1], 6), "fail");
}

#[test]
fn a_server_that_is_down_is_no_hope_for_those_who_wait_for_their_cap() {
    let mut bench = Bench::new(UNLIMITED);
    let [here, there, probed] = ["here", "there", "probed"].map(|name| bench.pool(name, limits(2, 0)));
    let capped = Share {
        cap: Some(1),
        ..Share::default()
    };
    let (one, two) = (bench.flow(here, "t", capped), bench.flow(there, "t", capped));
    bench.hold(one, 1, 1);
    assert_eq!(bench.ask(two, 2), "cap");
    // Another pool's login finds the server down: even when the tenant's own connection comes free, this pool has none.
    let other = bench.flow(probed, "o", Share::default());
    bench.ask(other, 3);
    bench.fail(Blame::Server);
    bench.stranded.sort_unstable();
    assert_eq!(bench.stranded, [2, 3]);
    assert_eq!(bench.ask(two, 4), "fail");
}

#[test]
fn the_reaper_spares_the_minimum_but_not_the_faulty() {
    let mut bench = Bench::new(UNLIMITED);
    let pool = bench.pool("a", limits(5, 2));
    for connection in 0..4 {
        bench.books.put_down(pool, connection, bench.now);
    }
    let now = bench.now;
    let books = &mut bench.books;
    assert!(books.reap(pool, now + 9 * SECOND, |_| None).is_empty());
    let reaped = books.reap(pool, now + 10 * SECOND, |_| None);
    assert_eq!(reaped, [(0, DiscardReason::Idle), (1, DiscardReason::Idle)]);
    let reaped = books.reap(pool, now, |connection| {
        (*connection == 3).then_some(DiscardReason::Lifetime)
    });
    assert_eq!(reaped, [(3, DiscardReason::Lifetime)]);
    bench.settle(pool);
    assert_eq!(bench.connects.len(), 1);
    bench.fail(Blame::Pool);
    bench.books.set_min(pool, 0);
    bench.now += 10 * SECOND;
    let reaped = bench.books.reap(pool, bench.now, |_| None);
    assert_eq!(reaped, [(2, DiscardReason::Idle)]);
    bench.settle(pool);
    assert!(bench.connects.is_empty());
}

#[test]
fn closing_gives_up_everything_once() {
    let mut bench = Bench::new(UNLIMITED);
    let pool = bench.pool("a", limits(1, 1));
    let flow = bench.flow(pool, "t", Share::default());
    bench.settle(pool);
    bench.connect();
    bench.hold(flow, 1, 1);
    bench.ask(flow, 2);
    assert_eq!(bench.books.close(), (vec![], vec![2]));
    assert_eq!(bench.ask(flow, 3), "closed");
    let (_, connection, permit) = bench.leases.pop().unwrap();
    assert_eq!(
        bench.books.give_back(permit, connection, bench.now),
        Some(connection)
    );
    bench.settle(pool);
    assert!(bench.connects.is_empty());
}

#[test]
fn the_budget_is_shared_and_the_least_recently_used_goes_first() {
    let mut bench = Bench::new(ServerLimits { max: 3, ..UNLIMITED });
    let flows = ["a", "b", "c", "d"].map(|name| {
        let pool = bench.pool(name, limits(3, 0));
        bench.flow(pool, name, Share::default())
    });
    for (who, flow) in [(1, flows[0]), (2, flows[1]), (3, flows[2])] {
        bench.ask(flow, who);
        bench.connect();
        bench.now += MILLI;
    }
    // Nothing is idle: the newcomer waits for the server.
    assert_eq!(bench.ask(flows[3], 4), "server");
    assert!(bench.connects.is_empty());
    bench.give(2);
    assert_eq!((bench.evicted.len(), bench.connects.len()), (1, 1));
    bench.connect();
    assert_eq!(bench.holders(), [1, 3, 4]);
    for who in [3, 1, 4] {
        bench.now += MILLI;
        bench.give(who);
    }
    // c's is the oldest, then a's.
    bench.evicted.clear();
    bench.ask(flows[1], 5);
    assert_eq!(bench.evicted, [103]);
}

#[test]
fn a_pool_above_its_minimum_gives_first() {
    let mut bench = Bench::new(ServerLimits { max: 2, ..UNLIMITED });
    let kept = bench.pool("kept", limits(2, 1));
    bench.settle(kept);
    bench.connect();
    bench.now += SECOND;
    let (surplus, other) = (
        bench.pool("surplus", limits(2, 0)),
        bench.pool("other", limits(2, 0)),
    );
    let (one, two) = (
        bench.flow(surplus, "one", Share::default()),
        bench.flow(other, "two", Share::default()),
    );
    bench.hold(one, 1, 1);
    bench.give(1);
    bench.ask(two, 2);
    // The older one is kept open as long as there is another.
    assert_eq!(bench.evicted, [102]);
    bench.connect();
    bench.ask(one, 3);
    assert_eq!(bench.evicted, [102, 101]);
    // It is filled again when there is room, not at the expense of anybody.
    bench.connect();
    bench.give(2);
    bench.give(3);
    bench.settle(kept);
    assert!(bench.connects.is_empty());
}

#[test]
fn what_is_reserved_is_for_trusted_logins() {
    let mut bench = Bench::new(ServerLimits {
        max: 4,
        reserved: 1,
        ..UNLIMITED
    });
    let users = bench.pool("users", limits(10, 0));
    let staff = bench.pool(
        "staff",
        PoolLimits {
            access: Access::Trusted,
            ..limits(10, 0)
        },
    );
    let (user, admin) = (
        bench.flow(users, "t", Share::default()),
        bench.flow(staff, "t", Share::default()),
    );
    bench.hold(user, 1, 3);
    assert_eq!(bench.ask(user, 4), "server");
    assert!(bench.connects.is_empty());
    bench.ask(admin, 5);
    bench.connect();
    assert_eq!(bench.holders(), [1, 2, 3, 5]);
    // Beyond the reserve, a trusted login takes what comes free, before end users.
    bench.ask(admin, 6);
    bench.give(1);
    bench.connect();
    assert_eq!(bench.holders(), [2, 3, 5, 6]);
    // Its idle connection within the reserve is of no use to end users.
    bench.give(2);
    bench.give(5);
    assert_eq!(bench.holders(), [3, 6, 4]);
}

#[test]
fn a_pool_alone_on_a_full_server_lets_others_in() {
    let mut bench = Bench::new(ServerLimits { max: 4, ..UNLIMITED });
    let (one, two) = (bench.pool("one", limits(4, 0)), bench.pool("two", limits(4, 0)));
    let (busy, late) = (
        bench.flow(one, "busy", Share::default()),
        bench.flow(two, "late", Share::default()),
    );
    bench.hold(busy, 0, 20);
    for who in 100..120 {
        bench.ask(late, who);
    }
    // By weight each has half: not more, and without going back and forth.
    for who in 0..8 {
        bench.now += MILLI;
        bench.give(who);
        bench.connect_all();
    }
    assert_eq!(bench.evicted.len(), 2);
    assert_eq!(bench.books.counts(one).leased, 2);
    assert_eq!(bench.books.counts(two).leased, 2);
}

#[test]
fn with_more_pools_than_connections_they_take_turns() {
    let mut bench = Bench::new(ServerLimits { max: 1, ..UNLIMITED });
    let flows = ["a", "b", "c"].map(|name| {
        let pool = bench.pool(name, limits(4, 0));
        bench.flow(pool, name, Share::default())
    });
    for who in 0..30 {
        bench.ask(flows[who as usize % 3], who);
    }
    let mut served = Vec::new();
    for _ in 0..30 {
        bench.connect_all();
        let [who] = bench.holders()[..] else {
            panic!("{:?}", bench.holders())
        };
        served.push(who % 3);
        bench.now += 20 * MILLI;
        bench.give(who);
    }
    // A login is used for more than one transaction, but nobody keeps it.
    assert_eq!(served[..9], [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    assert_eq!(bench.evicted.len(), 11);
}
