//! Tenants that share a pool or a server: turns, floors, caps, bursts, and who is sent away.

use super::*;

fn share(weight: u32, floor: usize, cap: Option<usize>, burst: usize) -> Share {
    Share {
        weight,
        floor,
        cap,
        burst,
        of_pool: PoolPart::All,
    }
}

/// A pool of some size on a server without limits.
fn one_pool(size: usize) -> (Bench, PoolId) {
    let mut bench = Bench::new(UNLIMITED);
    let pool = bench.pool("a", limits(size, 0));
    (bench, pool)
}

#[test]
fn one_tenants_clients_are_served_in_order() {
    let (mut bench, pool) = one_pool(1);
    let flow = bench.flow(pool, "t", Share::default());
    bench.hold(flow, 0, 20);
    for who in 0..20 {
        assert_eq!(bench.holders(), [who]);
        bench.now += MILLI;
        bench.give(who);
    }
}

#[test]
fn a_quiet_tenant_goes_before_a_flood() {
    let (mut bench, pool) = one_pool(4);
    let (flood, quiet) = (
        bench.flow(pool, "flood", Share::default()),
        bench.flow(pool, "quiet", Share::default()),
    );
    bench.hold(flood, 0, 1_000);
    for round in 0..200 {
        bench.now += 5 * MILLI;
        let oldest = bench.holders()[0];
        assert_eq!(bench.ask(quiet, 5_000 + round), "pool");
        // The very next connection that comes free is its.
        bench.give(oldest);
        assert!(bench.holders().contains(&(5_000 + round)));
        bench.now += MILLI;
        bench.give(5_000 + round);
    }
}

#[test]
fn time_is_shared_by_weight_whatever_transactions_last() {
    for (weight, ratio) in [(1, 1.0), (3, 3.0)] {
        let (mut bench, pool) = one_pool(1);
        let slow = bench.flow(pool, "slow", Share::default());
        let quick = bench.flow(pool, "quick", share(weight, 0, None, 0));
        for who in 0..40 {
            bench.ask(slow, who);
        }
        for who in 100_000..120_000 {
            bench.ask(quick, who);
        }
        bench.connect_all();
        let mut used = [0.0, 0.0];
        for next in 0..20_000 {
            let who = bench.holders()[0];
            let (flow, lasts) = if who < 100_000 { (slow, 50) } else { (quick, 1) };
            used[usize::from(who >= 100_000)] += f64::from(lasts);
            bench.now += MILLI * lasts;
            bench.give(who);
            // Whoever has been served comes again.
            let again = if flow == slow {
                50 + next % 50_000
            } else {
                200_000 + next
            };
            bench.ask(flow, again);
        }
        let found = used[1] / used[0];
        assert!((found / ratio - 1.0).abs() < 0.1, "{ratio}: {used:?}");
    }
}

#[test]
fn a_floor_is_kept_while_the_tenant_is_awake() {
    let (mut bench, pool) = one_pool(6);
    let flood = bench.flow(pool, "flood", Share::default());
    let quiet = bench.flow(pool, "quiet", share(1, 2, None, 0));
    bench.hold(flood, 0, 10);
    assert_eq!(bench.leases.len(), 4);
    assert_eq!(bench.ask(flood, 10), "floor");
    // It need not wait for anybody.
    assert_eq!(bench.ask(quiet, 100), "connecting");
    bench.connect_all();
    assert!(bench.holders().contains(&100));
    bench.ask(quiet, 101);
    bench.connect_all();
    assert_eq!(bench.leases.len(), 6);
    // What it holds beyond its floor it gets in its turn.
    assert_eq!(bench.ask(quiet, 102), "pool");
    // When its sessions end, others may have all.
    bench.leave(102);
    bench.give(100);
    bench.give(101);
    assert_eq!(bench.leases.len(), 4);
    bench.books.exit(quiet);
    bench.settle(pool);
    bench.connect_all();
    assert_eq!(bench.leases.len(), 6);
}

#[test]
fn floors_never_take_more_than_half() {
    let (mut bench, pool) = one_pool(4);
    for tenant in ["p", "q", "r", "s"] {
        bench.flow(pool, tenant, share(1, 2, None, 0));
    }
    let other = bench.flow(pool, "other", Share::default());
    bench.hold(other, 0, 10);
    assert_eq!(bench.leases.len(), 2);
}

#[test]
fn a_floor_holds_on_a_full_server_as_well() {
    let mut bench = Bench::new(ServerLimits { max: 4, ..UNLIMITED });
    let (one, two) = (bench.pool("one", limits(4, 0)), bench.pool("two", limits(4, 0)));
    let flood = bench.flow(one, "flood", Share::default());
    let quiet = bench.flow(two, "quiet", share(1, 1, None, 0));
    bench.hold(flood, 0, 10);
    assert_eq!(bench.leases.len(), 3);
    bench.ask(quiet, 100);
    bench.connect_all();
    assert!(bench.holders().contains(&100));
}

#[test]
fn a_cap_holds_in_all_pools_of_a_server_together() {
    let mut bench = Bench::new(UNLIMITED);
    let (one, two) = (bench.pool("one", limits(9, 0)), bench.pool("two", limits(9, 0)));
    let capped = share(1, 0, Some(3), 0);
    let (here, there) = (bench.flow(one, "t", capped), bench.flow(two, "t", capped));
    bench.hold(here, 0, 2);
    bench.hold(there, 10, 3);
    assert_eq!(bench.holders(), [0, 1, 10]);
    assert_eq!(bench.ask(here, 3), "cap");
    // Whichever pool it comes back to, the tenant may go on, in the order of its clients' arrival or not.
    bench.give(0);
    bench.connect_all();
    assert_eq!(bench.leases.len(), 3);
    // Others are not held up by those who wait for their own cap.
    let other = bench.flow(one, "other", Share::default());
    bench.ask(other, 50);
    bench.connect_all();
    assert!(bench.holders().contains(&50));
}

#[test]
fn a_burst_lasts_until_somebody_else_waits() {
    let (mut bench, pool) = one_pool(4);
    let bursting = bench.flow(pool, "b", share(1, 0, Some(1), 2));
    let other = bench.flow(pool, "o", Share::default());
    bench.hold(bursting, 0, 9);
    assert_eq!(bench.holders(), [0, 1, 2]);
    bench.hold(other, 100, 2);
    assert_eq!(bench.holders(), [0, 1, 2, 100]);
    bench.give(0);
    assert_eq!(bench.holders(), [1, 2, 100, 101]);
    bench.ask(other, 102);
    bench.give(1);
    bench.ask(other, 103);
    bench.give(2);
    // Within its cap it has its turn like anybody.
    assert_eq!(bench.holders()[..3], [100, 101, 102]);
    bench.give(100);
    bench.give(101);
    bench.give(102);
    assert!(bench.leases.iter().filter(|(who, ..)| *who < 100).count() >= 2);
}

#[test]
fn when_too_many_wait_the_longest_queue_is_cut() {
    let mut bench = Bench::new(ServerLimits {
        waiting: 10,
        ..UNLIMITED
    });
    let pool = bench.pool("a", limits(1, 0));
    let (flood, quiet) = (
        bench.flow(pool, "flood", Share::default()),
        bench.flow(pool, "quiet", Share::default()),
    );
    bench.hold(flood, 0, 11);
    assert_eq!(bench.ask(flood, 11), "shed");
    // The quiet tenant is let in, at the expense of the flood's newest.
    for who in 100..105 {
        assert_eq!(bench.ask(quiet, who), "pool");
    }
    assert_eq!(bench.shed, [10, 9, 8, 7, 6]);
    assert_eq!(bench.ask(quiet, 105), "shed");
    assert_eq!(bench.books.server_counts().waiting, 10);
    // Those inside are served, and then there is room again.
    let mut served = Vec::new();
    while let Some(who) = bench.holders().first().copied() {
        served.push(who);
        bench.now += MILLI;
        bench.give(who);
    }
    assert_eq!(served.len(), 11);
    assert_eq!(bench.ask(flood, 12), "lease");
}

#[test]
fn a_pool_that_must_connect_first_hides_nobody_who_could_be_served_at_once() {
    let mut bench = Bench::new(ServerLimits {
        max: 4,
        logins: 1,
        ..UNLIMITED
    });
    let [busy, slow, empty, kept] =
        ["busy", "slow", "empty", "kept"].map(|name| bench.pool(name, limits(4, 0)));
    let holder = bench.flow(busy, "b", Share::default());
    bench.hold(holder, 1, 3);
    // The only login that may run is under way, and a floor is kept from everybody.
    let login = bench.flow(slow, "s", Share::default());
    bench.ask(login, 10);
    assert_eq!(bench.connects, [slow]);
    let floor = bench.flow(kept, "k", share(1, 2, None, 0));
    bench.give(3);
    assert_eq!(bench.ask(holder, 4), "floor");
    // It has nothing, and so goes first of those that want something.
    let first = bench.flow(empty, "e", Share::default());
    bench.ask(first, 20);
    bench.books.exit(floor);
    bench.settle(kept);
    assert_eq!(bench.holders(), [1, 2, 4]);
    assert_eq!(bench.books.counts(busy).waiting, 0);
}

#[test]
fn a_pause_in_connecting_hides_nobody_whom_an_idle_connection_could_serve() {
    for blame in [Blame::Pool, Blame::Server] {
        let mut bench = Bench::new(ServerLimits { max: 4, ..UNLIMITED });
        let (busy, kept) = (bench.pool("busy", limits(4, 0)), bench.pool("kept", limits(4, 0)));
        let holder = bench.flow(busy, "b", Share::default());
        bench.hold(holder, 1, 3);
        // A login fails: for a while nobody may connect.
        bench.ask(holder, 4);
        bench.fail(blame);
        bench.give(3);
        assert_eq!(bench.holders(), [1, 2, 4]);
        // Meanwhile a floor is kept from everybody, so that one waits beside an idle connection.
        let floor = bench.flow(kept, "k", share(1, 2, None, 0));
        bench.give(4);
        assert_eq!(bench.ask(holder, 5), "floor");
        assert_eq!(bench.books.counts(busy).idle, 1);
        // The floor goes, in another pool: it is served at once, and not when the pause is over.
        bench.books.exit(floor);
        bench.settle(kept);
        assert_eq!(bench.holders(), [1, 2, 5], "{blame:?}");
        assert!(bench.connects.is_empty());
    }
}

#[test]
fn who_gives_up_no_longer_keeps_a_burst_back() {
    let mut bench = Bench::new(ServerLimits {
        logins: 1,
        ..UNLIMITED
    });
    let (one, two) = (bench.pool("one", limits(2, 0)), bench.pool("two", limits(2, 0)));
    let other = bench.flow(one, "o", Share::default());
    bench.hold(other, 1, 1);
    let bursting = bench.flow(one, "b", share(1, 0, Some(1), 1));
    bench.hold(bursting, 2, 1);
    bench.give(1);
    // The only login that may run is under way, and two clients want one.
    let slow = bench.flow(two, "s", Share::default());
    bench.ask(slow, 10);
    bench.ask(slow, 11);
    assert_eq!(bench.connects, [two]);
    // Somebody within its cap waits: one beyond its own waits beside an idle connection.
    assert_eq!(bench.ask(bursting, 3), "cap");
    assert_eq!(bench.books.counts(one).idle, 1);
    // The other gives up, in another pool: the connection is put to use at once, and not when the login is done.
    assert!(bench.leave(11));
    assert_eq!(bench.holders(), [2, 3]);
}

#[test]
fn nothing_is_kept_of_tenants_that_are_gone() {
    let (mut bench, pool) = one_pool(1);
    for number in 0..1_000 {
        let flow = bench.flow(pool, &format!("t{number}"), share(1, 1, Some(2), 0));
        bench.hold(flow, number, 1);
        if number > 0 {
            bench.give(number - 1);
        }
        bench.books.exit(flow);
        bench.settle(pool);
    }
    assert_eq!(bench.books.tenants.keys().count(), 1);
    assert_eq!(bench.books.by_name.len(), 1);
    assert_eq!(bench.books.flows.keys().count(), 1);
    bench.give(999);
    assert_eq!(bench.books.flows.keys().count(), 0);
    assert_eq!(bench.books.retire(pool).len(), 1);
    assert_eq!(bench.books.pools.keys().count(), 0);
    assert_eq!(bench.books.totals.open(), 0);
}

/// How long a quiet tenant's requests take, from asking to the end of the transaction, in microseconds and in
/// order: one every five milliseconds, of 1 to 9 ms, beside so many clients who always want a transaction that
/// lasts `times` as long.
fn quiet_latencies(clients: u32, times: u64, floor: usize) -> Vec<u64> {
    const QUIET: u32 = 1_000_000;
    const REQUESTS: u32 = 4_000;
    let (mut bench, pool) = one_pool(16);
    let flood = bench.flow(pool, "flood", Share::default());
    let quiet = bench.flow(pool, "quiet", share(1, floor, None, 0));
    let start = bench.now;
    // When something happens to whom: a flooding client asks, a quiet one asks, or a transaction ends.
    let mut events: std::collections::BTreeSet<(u64, u32)> = (0..clients).map(|who| (0, who)).collect();
    events.extend((0..REQUESTS).map(|number| (100_000 + u64::from(number) * 5_000, QUIET + number)));
    let mut chance = 1_u64;
    let mut holding = std::collections::BTreeSet::new();
    let mut latencies = Vec::new();
    while let Some((at, who)) = events.pop_first() {
        bench.now = start + Duration::from_micros(at);
        let ends = holding.remove(&who);
        if ends {
            bench.give(who);
        }
        if who >= QUIET && ends {
            let asked = 100_000 + u64::from(who - QUIET) * 5_000;
            latencies.push(at - asked);
        } else {
            bench.ask(if who < QUIET { flood } else { quiet }, who);
        }
        bench.connect_all();
        for who in bench.holders() {
            if holding.insert(who) {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let lasts = 1_000 + (chance >> 33) % 8_000;
                events.insert((at + lasts * if who < QUIET { times } else { 1 }, who));
            }
        }
        if latencies.len() == REQUESTS as usize {
            break;
        }
    }
    latencies.sort_unstable();
    latencies
}

#[test]
fn a_flood_does_not_raise_a_quiet_tenants_p99_by_half() {
    let p99 = |latencies: Vec<u64>| latencies[latencies.len() * 99 / 100] as f64;
    let alone = p99(quiet_latencies(0, 1, 0));
    let ratio = |clients, times, floor| p99(quiet_latencies(clients, times, floor)) / alone;
    let beside_equals = ratio(500, 1, 0);
    assert!(beside_equals < 1.5, "{beside_equals}");
    // Nobody can be interrupted: where others' transactions are much longer, a floor is what helps.
    let beside_long = ratio(500, 20, 3);
    assert!(beside_long < 1.5, "{beside_long}");
    let without_floor = ratio(500, 20, 0);
    assert!(without_floor > 1.5, "{without_floor}");
}
