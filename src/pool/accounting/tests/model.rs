//! Random arrivals, cancellations and failures: after each step every sum is right, every limit is kept and
//! nobody waits whom something could serve; in the end everybody is served.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::flow::Place;
use super::super::ledger::Use;
use super::*;

#[derive(Clone, Debug)]
enum Op {
    Ask(usize),
    Leave(usize),
    Connected,
    Failed(bool),
    Give(usize),
    /// A lease ends, and whoever gets its connection turns out to be gone.
    GiveToNobody(usize),
    Discard(usize),
    Reap(usize),
    SetMin(usize, usize),
    Enter(usize),
    Exit(usize),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any::<usize>().prop_map(Op::Ask),
        1 => any::<usize>().prop_map(Op::Leave),
        6 => Just(Op::Connected),
        1 => any::<bool>().prop_map(Op::Failed),
        6 => any::<usize>().prop_map(Op::Give),
        1 => any::<usize>().prop_map(Op::GiveToNobody),
        1 => any::<usize>().prop_map(Op::Discard),
        1 => any::<usize>().prop_map(Op::Reap),
        1 => (any::<usize>(), 0_usize..4).prop_map(|(pool, min)| Op::SetMin(pool, min)),
        1 => any::<usize>().prop_map(Op::Enter),
        1 => any::<usize>().prop_map(Op::Exit),
        2 => (1_u64..3_000).prop_map(Op::Pass),
    ]
}

#[derive(Clone, Debug)]
struct Setting {
    max: usize,
    reserved: usize,
    logins: usize,
    waiting: usize,
    /// Size, minimum, whether trusted.
    pools: Vec<(usize, usize, bool)>,
    /// Pool, tenant, whether a session is there from the start.
    flows: Vec<(usize, usize, bool)>,
    shares: Vec<Share>,
}

fn setting() -> impl Strategy<Value = Setting> {
    let cap = prop::option::of(2_usize..5);
    let of_pool = prop_oneof![Just(PoolPart::All), Just(PoolPart::Most)];
    let share =
        (1_u32..5, 0_usize..3, cap, 0_usize..3, of_pool).prop_map(|(weight, floor, cap, burst, of_pool)| {
            Share {
                weight,
                floor,
                cap,
                burst,
                of_pool,
            }
        });
    (
        (1_usize..8, 0_usize..3, 1_usize..6, 1_usize..12),
        prop::collection::vec((1_usize..6, 0_usize..3, any::<bool>()), 1..5),
        prop::collection::vec((any::<usize>(), 0_usize..4, any::<bool>()), 1..8),
        prop::collection::vec(share, 4),
    )
        .prop_map(
            |((max, reserved, logins, waiting), pools, flows, shares)| Setting {
                max,
                reserved: reserved.min(max - 1),
                logins,
                waiting,
                pools,
                flows,
                shares,
            },
        )
}

/// A flow in the hands of sessions.
struct Door {
    pool: PoolId,
    tenant: String,
    share: Share,
    /// Held by so many sessions.
    sessions: usize,
    flow: Option<FlowId>,
}

struct Model {
    bench: Bench,
    pools: Vec<PoolId>,
    doors: Vec<Door>,
    client: u32,
}

impl Model {
    fn new(setting: &Setting) -> Self {
        let mut bench = Bench::new(ServerLimits {
            max: setting.max,
            reserved: setting.reserved,
            logins: setting.logins,
            waiting: setting.waiting,
            login_retry: SECOND,
        });
        let pools: Vec<PoolId> = setting
            .pools
            .iter()
            .map(|(max, min, trusted)| {
                let access = if *trusted {
                    Access::Trusted
                } else {
                    Access::EndUser
                };
                let limits = PoolLimits {
                    access,
                    ..limits(*max, *min.min(max))
                };
                bench.pool("p", limits)
            })
            .collect();
        let doors = setting
            .flows
            .iter()
            .map(|(pool, tenant, _)| Door {
                pool: pools[pool % pools.len()],
                tenant: format!("t{tenant}"),
                share: setting.shares[*tenant],
                sessions: 0,
                flow: None,
            })
            .collect();
        let mut model = Self {
            bench,
            pools,
            doors,
            client: 0,
        };
        model.apply(&Op::Pass(1));
        for (index, (_, _, there)) in setting.flows.iter().enumerate() {
            if *there {
                model.apply(&Op::Enter(index));
            }
        }
        model
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Ask(which) => self.ask(which),
            Op::Leave(which) => self.leave(which),
            Op::Connected if !self.bench.connects.is_empty() => self.bench.connect(),
            Op::Failed(server) if !self.bench.connects.is_empty() => {
                self.bench.fail(if server { Blame::Server } else { Blame::Pool });
            }
            Op::Give(which) => {
                if let Some(who) = self.holder(which) {
                    self.bench.give(who);
                }
            }
            Op::GiveToNobody(which) => self.give_to_nobody(which),
            Op::Discard(which) => {
                if !self.bench.leases.is_empty() {
                    let index = which % self.bench.leases.len();
                    let (_, _, permit) = self.bench.leases.remove(index);
                    let pool = permit.pool();
                    self.bench.books.discarded(permit, self.bench.now);
                    self.bench.settle(pool);
                }
            }
            Op::Reap(which) => {
                let pool = self.pools[which % self.pools.len()];
                self.bench.books.reap(pool, self.bench.now, |connection| {
                    (*connection % 7 == 0).then_some(DiscardReason::Lifetime)
                });
                self.bench.settle(pool);
            }
            Op::SetMin(which, min) => {
                let pool = self.pools[which % self.pools.len()];
                self.bench.books.set_min(pool, min);
                self.bench.settle(pool);
            }
            Op::Enter(which) => self.enter(which),
            Op::Exit(which) => self.exit(which),
            Op::Pass(millis) => {
                self.bench.now += Duration::from_millis(millis);
                for pool in self.pools.clone() {
                    self.bench.settle(pool);
                }
            }
            Op::Connected | Op::Failed(_) => {}
        }
        self.check();
        self.check_rest();
    }

    fn ask(&mut self, which: usize) {
        let awake: Vec<FlowId> = self.doors.iter().filter_map(|door| door.flow).collect();
        if awake.is_empty() {
            return;
        }
        self.client += 1;
        self.bench.ask(awake[which % awake.len()], self.client);
    }

    fn leave(&mut self, which: usize) {
        if self.bench.tickets.is_empty() {
            return;
        }
        let index = which % self.bench.tickets.len();
        let (who, _) = self.bench.tickets[index];
        let waits = self.is_waiting(who);
        assert_eq!(self.bench.leave(who), waits);
    }

    fn give_to_nobody(&mut self, which: usize) {
        let Some(who) = self.holder(which) else { return };
        let before = self.bench.holders();
        self.bench.give(who);
        let got: Vec<u32> = self
            .bench
            .holders()
            .into_iter()
            .filter(|holder| !before.contains(holder))
            .collect();
        for gone in got {
            self.bench.give(gone);
        }
    }

    fn enter(&mut self, which: usize) {
        let index = which % self.doors.len();
        let door = &mut self.doors[index];
        let tenant = TenantName::from(door.tenant.as_str());
        door.sessions += 1;
        let pool = door.pool;
        door.flow = Some(self.bench.books.enter(pool, Some(&tenant), door.share));
        self.bench.settle(pool);
    }

    fn exit(&mut self, which: usize) {
        let index = which % self.doors.len();
        let door = &mut self.doors[index];
        if let Some(flow) = door.flow {
            door.sessions -= 1;
            if door.sessions == 0 {
                door.flow = None;
            }
            let pool = door.pool;
            self.bench.books.exit(flow);
            self.bench.settle(pool);
        }
    }

    fn holder(&self, which: usize) -> Option<u32> {
        let holders = self.bench.holders();
        holders.get(which % holders.len().max(1)).copied()
    }

    fn is_waiting(&self, who: u32) -> bool {
        let books = &self.bench.books;
        books
            .flows
            .keys()
            .any(|flow| books.flows[flow].queue.iter().any(|waiter| *waiter == who))
    }

    /// Nothing is left to be done: whichever pool is settled once more, nothing follows.
    fn check_rest(&mut self) {
        for pool in &self.pools {
            let follow = self.bench.books.settle(*pool, self.bench.now);
            assert!(follow.is_empty(), "left undone: {follow:?}");
        }
    }

    /// Everything that must hold between transitions.
    fn check(&self) {
        let books = &self.bench.books;
        let mut uses = [Use::default(); 2];
        let (mut waiting, mut unmet) = (0, 0);
        for pool in &self.pools {
            let ledger = &books.pools[*pool];
            let counts = ledger.counts();
            let used = &mut uses[usize::from(ledger.limits.access == Access::Trusted)];
            used.idle += counts.idle;
            used.leased += counts.leased;
            used.connecting += counts.connecting;
            waiting += counts.waiting;
            unmet += ledger.unmet;
            assert!(ledger.open() <= ledger.limits.max, "{counts:?}");
            assert!(counts.connecting <= CONNECTS_PER_POOL);
            self.check_pool(*pool);
        }
        let totals = &books.totals;
        assert_eq!([totals.end_users, totals.trusted], uses);
        assert_eq!((totals.waiting, totals.unmet), (waiting, unmet));
        assert_eq!(
            totals.counts().leased,
            self.bench.leases.len(),
            "a permit is lost"
        );
        assert_eq!(totals.connecting(), self.bench.connects.len());
        assert_eq!(books.shelf.by_age().count(), totals.counts().idle);
        assert!(totals.open() <= books.limits.max, "over the budget");
        assert!(
            totals.end_users.open() <= books.limit(Access::EndUser),
            "over the reserve"
        );
        assert!(totals.connecting() <= books.limits.logins);
        let queues: BTreeSet<_> = (books.flows.keys())
            .filter(|id| books.pools[books.flows[*id].pool].limits.access == Access::EndUser)
            .map(|id| (books.flows[id].queue.len(), id))
            .filter(|(length, _)| *length > 0)
            .collect();
        let in_queues: usize = queues.iter().map(|(length, _)| length).sum();
        assert!(in_queues <= books.limits.waiting, "too many wait");
        if let Some(known) = books.crowd.queues() {
            assert_eq!(*known, queues);
        } else {
            assert!(
                totals.waiting < books.limits.waiting.div_ceil(2),
                "who makes room?"
            );
        }
        for tenant in books.tenants.keys() {
            let held: usize = self.held_by(tenant);
            assert_eq!(books.tenants[tenant].leased, held);
        }
    }

    fn held_by(&self, tenant: slots::TenantId) -> usize {
        let books = &self.bench.books;
        let flows = books.flows.keys().map(|flow| &books.flows[flow]);
        flows
            .filter(|flow| flow.tenant == Some(tenant))
            .filter(|flow| books.pools[flow.pool].limits.access == Access::EndUser)
            .map(|flow| flow.leased)
            .sum()
    }

    fn check_pool(&self, pool: PoolId) {
        let books = &self.bench.books;
        let ledger = &books.pools[pool];
        let flows: BTreeMap<FlowId, &Flow<u32>> = books
            .flows
            .keys()
            .map(|id| (id, &books.flows[id]))
            .filter(|(_, flow)| flow.pool == pool)
            .collect();
        assert_eq!(ledger.flows.len(), flows.len());
        let sum = |of: fn(&Flow<u32>) -> usize| flows.values().map(|flow| of(flow)).sum::<usize>();
        assert_eq!(ledger.leased, sum(|flow| flow.leased));
        assert_eq!(ledger.waiting, sum(|flow| flow.queue.len()));
        assert_eq!(ledger.unmet, sum(Flow::unmet));
        assert_eq!(ledger.weight, sum(|flow| flow.weight() as usize) as u64);
        for (id, flow) in &flows {
            assert_eq!(
                flow.queue.is_empty(),
                flow.place == Place::Out,
                "{:?}",
                flow.place
            );
            match flow.place {
                Place::Urgent(number) => assert_eq!(ledger.urgent.get(&number), Some(id)),
                Place::Turn(_) => assert!(ledger.turns.iter().any(|other| other == *id)),
                Place::Spare(number) => assert_eq!(ledger.spare.get(&number), Some(id)),
                Place::Out | Place::Parked => {}
            }
            if let (Some(cap), Access::EndUser) = (flow.share.cap, ledger.limits.access) {
                assert!(books.held(flow) <= cap + flow.share.burst, "over its cap");
            }
            let shares = flow.share.of_pool == PoolPart::Most && ledger.limits.access == Access::EndUser;
            if shares && ledger.limits.max > 1 && flow.share.floor < ledger.limits.max {
                assert!(
                    flow.leased < ledger.limits.max,
                    "all of a pool that others use, too"
                );
            }
        }
        // Nobody waits whom an idle connection could serve, or a connection that could be opened.
        if !ledger.idle.is_empty() {
            assert_eq!(books.next_flow(pool), None, "waits beside an idle connection");
        }
        if let Some(class) = books.appetite(pool, self.bench.now) {
            let craving = ledger.craving.map(|craving| craving.class());
            assert_eq!(craving, Some(class), "what it wants is not known");
        }
        // Whoever waits has something to wait for: a login, a lease of its own tenant or pool or, on a full
        // server, of another.
        if ledger.waiting > 0 && ledger.open() == 0 {
            let server_busy = books.totals.counts().leased + books.totals.connecting() > 0;
            assert!(server_busy, "stranded");
        }
    }
}

/// Most steps of one case: ten times as many with `PORTCULLIS_TEST_LONG=1`, for which the seeds of failures are others.
fn most_steps() -> usize {
    let is_long = std::env::var("PORTCULLIS_TEST_LONG").is_ok_and(|value| value == "1");
    if is_long { 2_000 } else { 200 }
}

proptest! {
    #[test]
    fn nothing_is_lost_exceeded_or_left_waiting(
        setting in setting(),
        ops in prop::collection::vec(op(), 0..most_steps()),
    ) {
        let mut model = Model::new(&setting);
        for op in &ops {
            model.apply(op);
        }
        // From any state everybody is served once connects work and connections come back.
        model.apply(&Op::Pass(3_600_000));
        for _ in 0..2_000 {
            if model.bench.books.totals.waiting == 0 {
                break;
            }
            model.apply(&Op::Connected);
            model.apply(&Op::Pass(5));
            model.apply(&Op::Give(0));
        }
        prop_assert_eq!(model.bench.books.totals.waiting, 0, "somebody starves");
    }
}
