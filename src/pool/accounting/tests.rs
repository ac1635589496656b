//! The books under single transitions; `model` puts them under random sequences of them.

mod model;
mod pools;
mod tenants;

use std::time::{Duration, Instant};

use crate::base::limits::CONNECTS_PER_POOL;

use super::*;

/// Pools are linked by name, connections and waiters are numbers.
type Books = Accounting<&'static str, u32, u32, &'static str>;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// A server without limits of its own.
const UNLIMITED: ServerLimits = ServerLimits {
    max: usize::MAX,
    reserved: 0,
    logins: 100,
    waiting: usize::MAX,
    login_retry: SECOND,
};

fn limits(max: usize, min: usize) -> PoolLimits {
    PoolLimits {
        max,
        min,
        idle_timeout: Some(10 * SECOND),
        login_retry: SECOND,
        access: Access::EndUser,
    }
}

/// Books with their hands and feet: does what they ask for and remembers it.
struct Bench {
    books: Books,
    now: Instant,
    next: u32,
    leases: Vec<(u32, u32, Permit)>,
    connects: Vec<PoolId>,
    tickets: Vec<(u32, Ticket)>,
    evicted: Vec<u32>,
    stranded: Vec<u32>,
    shed: Vec<u32>,
}

impl Bench {
    fn new(limits: ServerLimits) -> Self {
        Self {
            books: Books::new(limits),
            now: Instant::now(),
            next: 100,
            leases: Vec::new(),
            connects: Vec::new(),
            tickets: Vec::new(),
            evicted: Vec::new(),
            stranded: Vec::new(),
            shed: Vec::new(),
        }
    }

    fn pool(&mut self, name: &'static str, limits: PoolLimits) -> PoolId {
        self.books.add_pool(name, limits, self.now)
    }

    fn flow(&mut self, pool: PoolId, tenant: &str, share: Share) -> FlowId {
        let tenant = TenantName::from(tenant);
        self.books.enter(pool, Some(&tenant), share)
    }

    fn settle(&mut self, pool: PoolId) {
        let follow = self.books.settle(pool, self.now);
        let more = *follow.more.unwrap_or_default();
        self.evicted.extend(more.evicted);
        self.stranded
            .extend(more.stranded.into_iter().map(|(waiter, _)| waiter));
        self.shed.extend(more.shed);
        self.connects
            .extend(more.connects.into_iter().map(|(pool, _)| pool));
        for grant in follow.grant.into_iter().chain(more.grants) {
            self.leases.push((grant.waiter, grant.connection, grant.permit));
        }
    }

    /// Client `who` wants a connection: the decision in a word.
    fn ask(&mut self, flow: FlowId, who: u32) -> &'static str {
        match self.books.checkout(flow, self.now, |_| false) {
            Decision::Lease(connection, permit) => {
                self.leases.push((who, connection, permit));
                let pool = self.books.flows[flow].pool;
                self.settle(pool);
                "lease"
            }
            Decision::Wait => {
                let position = self.books.enqueue(flow, who);
                self.tickets.push((who, position.ticket));
                let pool = self.books.flows[flow].pool;
                self.settle(pool);
                position.reason.as_str()
            }
            Decision::Fail(_) => "fail",
            Decision::Shed => "shed",
            Decision::Closed => "closed",
        }
    }

    /// The oldest connect works.
    fn connect(&mut self) {
        let pool = self.connects.remove(0);
        self.next += 1;
        assert_eq!(self.books.connected(pool, self.next, self.now), None);
        self.settle(pool);
    }

    /// All connects work, and those that follow from them.
    fn connect_all(&mut self) {
        while !self.connects.is_empty() {
            self.connect();
        }
    }

    fn fail(&mut self, blame: Blame) {
        let pool = self.connects.remove(0);
        self.books.connect_failed(pool, self.now, 0.0, blame, "down");
        self.settle(pool);
    }

    /// Client `who` gives its connection back.
    fn give(&mut self, who: u32) {
        let index = self
            .leases
            .iter()
            .position(|(holder, ..)| *holder == who)
            .unwrap();
        let (_, connection, permit) = self.leases.remove(index);
        let pool = permit.pool();
        assert_eq!(self.books.give_back(permit, connection, self.now), None);
        self.settle(pool);
    }

    /// Client `who` goes; whether it still waited.
    fn leave(&mut self, who: u32) -> bool {
        let index = self
            .tickets
            .iter()
            .position(|(waiter, _)| *waiter == who)
            .unwrap();
        let (_, ticket) = self.tickets.remove(index);
        let pool = self.books.flows.find(ticket.flow).map(|flow| flow.pool);
        let left = self.books.leave(ticket);
        assert!(left.as_ref().is_none_or(|(waiter, _)| *waiter == who));
        assert!(self.books.leave(ticket).is_none());
        if let Some(pool) = pool.filter(|_| left.is_some()) {
            self.settle(pool);
        }
        left.is_some()
    }

    fn holders(&self) -> Vec<u32> {
        self.leases.iter().map(|(who, ..)| *who).collect()
    }

    /// Clients from `first` on take connections of a pool until `count` are leased.
    fn hold(&mut self, flow: FlowId, first: u32, count: u32) {
        for who in first..first + count {
            self.ask(flow, who);
            self.connect_all();
        }
    }
}
