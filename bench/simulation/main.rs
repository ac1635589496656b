//! What a fleet would see that this machine cannot host: 10,000 tenants with 1,000,000 clients on the pool's own
//! books, in virtual time. Run it with `cargo bench --bench simulation`; the same seed gives the same table.
//!
//! The books are compiled here by themselves, which also shows that they need neither clock nor network.
#![allow(clippy::indexing_slicing, reason = "clients and flows are counted, and stay")]

#[path = "../../src/pool/accounting/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the simulation uses a part of the books"
)]
mod accounting;
#[path = "../../src/pool/backoff.rs"]
#[allow(dead_code, reason = "as above")]
mod backoff;
mod dice;
mod fleet;
mod waits;

use std::time::{Duration, Instant};

use portcullis::base;

use accounting::{Access, Accounting, Decision, PoolLimits, ServerLimits, Share};
use fleet::{Fleet, Layout, Plan};
use waits::Outcome;

const SEED: u64 = 20_260_101;

/// A server with these connections, a login of 10 ms, 16 at one time.
fn server(max: usize) -> ServerLimits {
    ServerLimits {
        max,
        reserved: 3,
        logins: 16,
        waiting: 20_000,
        login_retry: Duration::from_secs(1),
    }
}

fn pool(max: usize) -> PoolLimits {
    PoolLimits {
        max,
        min: 0,
        idle_timeout: Some(Duration::from_secs(600)),
        login_retry: Duration::from_secs(1),
        access: Access::EndUser,
    }
}

fn plans() -> Vec<Plan> {
    let own = Plan {
        name: "a database per tenant, 400 connections",
        server: server(400),
        pool: pool(20),
        layout: Layout::DatabaseEach,
        flood: 0,
    };
    let shared = Plan {
        name: "shared tables, one pool of 20",
        server: server(23),
        layout: Layout::Shared,
        ..own
    };
    vec![
        own,
        Plan {
            name: "the same, tenant 50 floods with 2,000 clients",
            flood: 2_000,
            ..own
        },
        shared,
        Plan {
            name: "the same, tenant 50 floods with 2,000 clients",
            flood: 2_000,
            ..shared
        },
        Plan {
            name: "the same flood, one queue for all instead of turns",
            layout: Layout::SharedInOneQueue,
            flood: 2_000,
            ..shared
        },
    ]
}

/// Nanoseconds that the books take for a checkout from an idle pool and the check-in, with a thousand tenants
/// awake.
fn price() -> f64 {
    const TURNS: u32 = 2_000_000;
    let now = Instant::now();
    let mut books: Accounting<(), u32, u32, ()> = Accounting::new(server(400));
    let shared = books.add_pool((), pool(20), now);
    let flows: Vec<_> = (0..1_000)
        .map(|tenant| {
            let name = base::TenantName::new(format!("t{tenant}"));
            books.enter(shared, Some(&name), Share::default())
        })
        .collect();
    let mut leases = Vec::new();
    for client in 0..16 {
        books.enqueue(flows[0], client);
        for _ in books.settle(shared, now).more.unwrap_or_default().connects {
            books.connected(shared, client, now);
        }
        leases.extend(books.settle(shared, now).grant);
    }
    for lease in leases {
        books.give_back(lease.permit, lease.connection, now);
        assert!(books.settle(shared, now).is_empty());
    }
    let began = Instant::now();
    for turn in 0..TURNS {
        let flow = flows[turn as usize % flows.len()];
        let decision = books.checkout(flow, now, |_| false);
        assert!(matches!(decision, Decision::Lease(..)), "there are 16 idle ones");
        if let Decision::Lease(connection, permit) = decision {
            books.give_back(permit, connection, now);
            assert!(books.settle(shared, now).is_empty());
        }
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(TURNS)
}

fn main() {
    println!(
        "A checkout from an idle pool and its check-in take {:.0} ns in the books.\n",
        price()
    );
    println!(
        "10,000 tenants, 1,000,000 clients by Zipf, each with a transaction of some 8 ms every ten minutes;"
    );
    println!("ten minutes of virtual time. A flooding client sends transactions of 50 ms without a pause.\n");
    for plan in plans() {
        let began = Instant::now();
        let outcome: Outcome = Fleet::new(plan, SEED).run();
        println!("{}", outcome.table(plan.name));
        eprintln!("({:.1} s)", began.elapsed().as_secs_f64());
    }
}
