//! Tenants, their clients, and the server they share, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use portcullis::base::TenantName;

use crate::accounting::{
    Accounting, Decision, FlowId, Follow, More, Permit, PoolId, PoolLimits, ServerLimits, Share, Ticket,
};
use crate::dice::{Dice, Zipf};
use crate::waits::Outcome;

const TENANTS: usize = 10_000;
const CLIENTS: usize = 1_000_000;
const END_US: u64 = 600_000_000;
/// Between two transactions of a client.
const THINK_US: f64 = 600_000_000.0;
const TRANSACTION_US: f64 = 8_000.0;
const FLOOD_TRANSACTION_US: f64 = 50_000.0;
const LOGIN_US: f64 = 10_000.0;
const PATIENCE_US: u64 = 30_000_000;
/// The tenant that floods, counted from 0.
const FLOODING: usize = 49;
const REAP_US: u64 = 1_000_000;

/// One simulation.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) server: ServerLimits,
    pub(crate) pool: PoolLimits,
    pub(crate) layout: Layout,
    /// Clients that send without a pause.
    pub(crate) flood: usize,
}

/// Where tenants live.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    DatabaseEach,
    Shared,
    /// All tenants counted as one.
    SharedInOneQueue,
}

/// Connections are numbers, waiters are clients.
type Books = Accounting<(), u32, u32, ()>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Asks(u32),
    LoggedIn(PoolId),
    Done(u32),
    GivesUp(u32, u64),
    Reap,
}

pub(crate) struct Fleet {
    plan: Plan,
    books: Books,
    dice: Dice,
    start: Instant,
    now_us: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    next_event: u64,
    next_connection: u32,
    pools: Vec<PoolId>,
    flows: Vec<FlowId>,
    clients: Vec<Client>,
    outcome: Outcome,
}

struct Client {
    tenant: u32,
    flooding: bool,
    asked_us: u64,
    /// How often it has asked, so that an old time-out is known as such.
    turn: u64,
    ticket: Option<Ticket>,
    lease: Option<(u32, Permit)>,
}

impl Fleet {
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        let start = Instant::now();
        let mut books = Books::new(plan.server);
        let count = if plan.layout == Layout::DatabaseEach {
            TENANTS
        } else {
            1
        };
        let pools: Vec<PoolId> = (0..count).map(|_| books.add_pool((), plan.pool, start)).collect();
        let flows = (0..TENANTS)
            .map(|tenant| {
                let name = TenantName::new(format!("t{tenant}"));
                let name = (plan.layout != Layout::SharedInOneQueue).then_some(&name);
                let pool = pools.get(tenant).or(pools.first()).copied();
                pool.map(|pool| books.enter(pool, name, Share::default()))
            })
            .collect::<Option<Vec<_>>>()
            .unwrap_or_default();
        let mut fleet = Self {
            plan,
            books,
            dice: Dice::new(seed),
            start,
            now_us: 0,
            events: BinaryHeap::new(),
            next_event: 0,
            next_connection: 0,
            pools,
            flows,
            clients: Vec::new(),
            outcome: Outcome::default(),
        };
        fleet.populate();
        fleet
    }

    fn populate(&mut self) {
        let zipf = Zipf::new(TENANTS);
        for number in 0..CLIENTS + self.plan.flood {
            let flooding = number >= CLIENTS;
            let tenant = if flooding {
                FLOODING
            } else {
                zipf.draw(&mut self.dice)
            };
            self.clients.push(Client {
                tenant: tenant as u32,
                flooding,
                asked_us: 0,
                turn: 0,
                ticket: None,
                lease: None,
            });
            let first = if flooding {
                number as u64
            } else {
                self.dice.wait_us(THINK_US)
            };
            self.at(first, Event::Asks(number as u32));
        }
        self.at(REAP_US, Event::Reap);
    }

    pub(crate) fn run(mut self) -> Outcome {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > END_US {
                break;
            }
            self.now_us = at;
            match event {
                Event::Asks(client) => self.ask(client),
                Event::LoggedIn(pool) => {
                    self.next_connection += 1;
                    let connection = self.next_connection;
                    self.books.connected(pool, connection, self.now());
                    self.settle(pool);
                }
                Event::Done(client) => self.finish(client),
                Event::GivesUp(client, turn) => self.give_up(client, turn),
                Event::Reap => self.reap(),
            }
            let counts = self.books.server_counts();
            let open = counts.idle + counts.leased + counts.connecting;
            assert!(open <= self.plan.server.max, "over the budget");
            self.outcome.most_open = self.outcome.most_open.max(open);
            self.outcome.most_waiting = self.outcome.most_waiting.max(counts.waiting);
        }
        self.outcome
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_micros(self.now_us)
    }

    fn at(&mut self, time_us: u64, event: Event) {
        self.next_event += 1;
        self.events.push(Reverse((time_us, self.next_event, event)));
    }

    fn ask(&mut self, number: u32) {
        let (now, now_us) = (self.now(), self.now_us);
        let client = &mut self.clients[number as usize];
        client.asked_us = now_us;
        client.turn += 1;
        let turn = client.turn;
        let flow = self.flows[client.tenant as usize];
        match self.books.checkout(flow, now, |_| false) {
            Decision::Lease(connection, permit) => self.begin(number, connection, permit),
            Decision::Wait => {
                let position = self.books.enqueue(flow, number);
                self.clients[number as usize].ticket = Some(position.ticket);
                self.at(now_us + PATIENCE_US, Event::GivesUp(number, turn));
                let pool = self.pool_of(number);
                self.settle(pool);
            }
            Decision::Shed => {
                self.outcome.shed += 1;
                self.think(number);
            }
            Decision::Fail(()) | Decision::Closed => self.think(number),
        }
    }

    fn begin(&mut self, number: u32, connection: u32, permit: Permit) {
        let client = &mut self.clients[number as usize];
        client.ticket = None;
        client.lease = Some((connection, permit));
        let mean = if client.flooding {
            FLOOD_TRANSACTION_US
        } else {
            TRANSACTION_US
        };
        let waited = self.now_us - client.asked_us;
        let tenant = client.tenant as usize;
        let of_flood = self.plan.flood > 0 && tenant == FLOODING;
        self.outcome.note(tenant, of_flood, waited);
        let lasts = self.dice.wait_us(mean);
        self.at(self.now_us + lasts, Event::Done(number));
    }

    fn finish(&mut self, number: u32) {
        let now = self.now();
        if let Some((connection, permit)) = self.clients[number as usize].lease.take() {
            let pool = permit.pool();
            self.books.give_back(permit, connection, now);
            self.settle(pool);
        }
        self.think(number);
    }

    fn think(&mut self, number: u32) {
        let pause = if self.clients[number as usize].flooding {
            100
        } else {
            self.dice.wait_us(THINK_US)
        };
        self.at(self.now_us + pause, Event::Asks(number));
    }

    fn give_up(&mut self, number: u32, turn: u64) {
        let client = &mut self.clients[number as usize];
        if client.turn == turn
            && let Some(ticket) = client.ticket.take()
            && self.books.leave(ticket).is_some()
        {
            self.outcome.timeouts += 1;
            let pool = self.pool_of(number);
            self.settle(pool);
            self.think(number);
        }
    }

    fn reap(&mut self) {
        for pool in self.pools.clone() {
            let reaped = self.books.reap(pool, self.now(), |_| None);
            if !reaped.is_empty() {
                self.settle(pool);
            }
        }
        self.at(self.now_us + REAP_US, Event::Reap);
    }

    fn pool_of(&self, number: u32) -> PoolId {
        let tenant = self.clients[number as usize].tenant as usize;
        *self.pools.get(tenant).unwrap_or(&self.pools[0])
    }

    fn settle(&mut self, pool: PoolId) {
        let Follow { grant, more } = self.books.settle(pool, self.now());
        let More {
            grants,
            connects,
            evicted,
            shed,
            ..
        } = *more.unwrap_or_default();
        self.outcome.evictions += evicted.len() as u64;
        self.outcome.connects += connects.len() as u64;
        self.outcome.shed += shed.len() as u64;
        for (pool, ()) in connects {
            let takes = self.dice.wait_us(LOGIN_US / 2.0) + (LOGIN_US / 2.0) as u64;
            self.at(self.now_us + takes, Event::LoggedIn(pool));
        }
        for grant in grant.into_iter().chain(grants) {
            self.begin(grant.waiter, grant.connection, grant.permit);
        }
        for number in shed {
            self.clients[number as usize].ticket = None;
            self.think(number);
        }
    }
}
