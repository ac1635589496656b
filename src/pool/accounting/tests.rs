//! The books under single transitions, and under random sequences of them against a model.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

type Books = Accounting<u32, u32, &'static str>;

const SECOND: Duration = Duration::from_secs(1);

fn books(max: usize, min: usize) -> Books {
    Accounting::new(Limits {
        max,
        min,
        idle_timeout: Some(10 * SECOND),
        login_retry: SECOND,
    })
}

/// Lets one connect succeed and brings its connection to rest.
fn connect(books: &mut Books, connection: u32, now: Instant) -> Option<(u32, u32)> {
    books.connected();
    books.give_back(connection, now)
}

#[test]
fn the_first_checkout_connects_and_the_connection_goes_to_its_waiter() {
    let now = Instant::now();
    let mut books = books(2, 0);
    assert!(matches!(books.checkout(now, |_| true), Decision::Wait));
    books.enqueue(1);
    assert_eq!(books.settle(now).connects, 1);
    assert_eq!(books.settle(now).connects, 0);
    assert_eq!(connect(&mut books, 100, now), Some((1, 100)));
    assert_eq!(
        books.counts(),
        Counts {
            idle: 0,
            leased: 1,
            connecting: 0,
            waiting: 0
        }
    );
    assert_eq!(books.give_back(100, now), None);
    assert_eq!(
        books.counts(),
        Counts {
            idle: 1,
            leased: 0,
            connecting: 0,
            waiting: 0
        }
    );
}

#[test]
fn connects_side_by_side_are_bounded() {
    let now = Instant::now();
    let mut books = books(20, 0);
    for waiter in 0..50 {
        books.enqueue(waiter);
    }
    assert_eq!(books.settle(now).connects, CONNECTS_PER_POOL);
    assert_eq!(connect(&mut books, 1, now), Some((0, 1)));
    assert_eq!(books.settle(now).connects, 1);
}

#[test]
fn a_fitting_connection_is_preferred_then_the_most_recent() {
    let now = Instant::now();
    let mut books = books(50, 0);
    for connection in 0..40 {
        books.connecting += 1;
        connect(&mut books, connection, now);
    }
    assert!(matches!(books.checkout(now, |c| *c == 30), Decision::Lease(30)));
    assert!(matches!(books.checkout(now, |_| false), Decision::Lease(39)));
    // Beyond the scan's bound nothing is looked for.
    assert!(matches!(books.checkout(now, |c| *c == 0), Decision::Lease(38)));
}

#[test]
fn a_failed_login_answers_those_whom_nothing_else_can_serve() {
    let now = Instant::now();
    let mut books = books(2, 0);
    books.enqueue(1);
    books.enqueue(2);
    assert_eq!(books.settle(now).connects, 2);
    books.connect_failed(now, 0.0, "down");
    // The other login may still work.
    assert!(books.settle(now).stranded.is_none());
    books.connect_failed(now, 0.0, "down");
    assert_eq!(books.settle(now).stranded, Some((vec![1, 2], "down")));
    assert!(matches!(books.checkout(now, |_| true), Decision::Fail("down")));
    // After the pause one probe goes ahead.
    let later = now + SECOND;
    assert!(matches!(books.checkout(later, |_| true), Decision::Wait));
    books.enqueue(3);
    books.enqueue(4);
    assert_eq!(books.settle(later).connects, 1);
}

#[test]
fn with_a_live_connection_a_failed_login_is_only_a_delay() {
    let now = Instant::now();
    let mut books = books(2, 0);
    books.enqueue(1);
    assert_eq!(books.settle(now).connects, 1);
    assert_eq!(connect(&mut books, 100, now), Some((1, 100)));
    books.enqueue(2);
    assert_eq!(books.settle(now).connects, 1);
    books.connect_failed(now, 0.0, "too many clients");
    let follow = books.settle(now);
    assert!(follow.connects == 0 && follow.stranded.is_none());
    assert_eq!(books.give_back(100, now), Some((2, 100)));
    // The last connection goes while the pause lasts: whoever waits now is told.
    books.enqueue(3);
    books.discarded();
    assert_eq!(books.settle(now).stranded, Some((vec![3], "too many clients")));
}

#[test]
fn the_reaper_spares_the_minimum_but_not_the_faulty() {
    let now = Instant::now();
    let mut books = books(5, 2);
    for connection in 0..4 {
        books.connecting += 1;
        connect(&mut books, connection, now);
    }
    assert!(books.reap(now + 9 * SECOND, |_| None).is_empty());
    let reaped = books.reap(now + 10 * SECOND, |_| None);
    assert_eq!(reaped, [(0, DiscardReason::Idle), (1, DiscardReason::Idle)]);
    let reaped = books.reap(now, |connection| {
        (*connection == 3).then_some(DiscardReason::Lifetime)
    });
    assert_eq!(reaped, [(3, DiscardReason::Lifetime)]);
    assert_eq!(books.settle(now).connects, 1);
    books.connect_failed(now, 0.0, "down");
    books.set_min(0);
    assert_eq!(
        books.reap(now + 10 * SECOND, |_| None),
        [(2, DiscardReason::Idle)]
    );
    assert_eq!(books.settle(now + 10 * SECOND).connects, 0);
}

#[test]
fn closing_gives_up_everything_once() {
    let now = Instant::now();
    let mut books = books(2, 1);
    books.connecting += 1;
    connect(&mut books, 7, now);
    assert!(matches!(books.close(), (idle, waiters) if idle == [7] && waiters.is_empty()));
    assert!(books.is_closed());
    assert_eq!(books.settle(now).connects, 0);
}

/// What may happen to a pool.
#[derive(Clone, Debug)]
enum Op {
    Checkout,
    /// A waiter goes away, by its place among those known.
    Leave(usize),
    /// A waiter whose answer was taken for a connection turns out to be gone.
    ConnectOk {
        vanished: usize,
    },
    ConnectFails,
    GiveBack {
        which: usize,
        vanished: usize,
    },
    Discard(usize),
    Reap,
    SetMin(usize),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Checkout),
        1 => any::<usize>().prop_map(Op::Leave),
        4 => (0_usize..3).prop_map(|vanished| Op::ConnectOk { vanished }),
        2 => Just(Op::ConnectFails),
        4 => (any::<usize>(), 0_usize..3).prop_map(|(which, vanished)| Op::GiveBack { which, vanished }),
        1 => any::<usize>().prop_map(Op::Discard),
        1 => Just(Op::Reap),
        1 => (0_usize..9).prop_map(Op::SetMin),
        2 => (1_u64..3_000).prop_map(Op::Pass),
    ]
}

/// What the outside of the books must look like.
struct Model {
    books: Books,
    now: Instant,
    max: usize,
    /// Connections in somebody's hands.
    leased: BTreeSet<u32>,
    connecting: usize,
    /// Everybody in the queue, in order.
    queue: VecDeque<(Ticket, u32)>,
    next: u32,
}

impl Model {
    fn new(max: usize, min: usize) -> Self {
        let (leased, queue) = (BTreeSet::new(), VecDeque::new());
        Self {
            books: books(max, min),
            now: Instant::now(),
            max,
            leased,
            connecting: 0,
            queue,
            next: 0,
        }
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Checkout => self.checkout(),
            Op::Leave(which) => {
                if !self.queue.is_empty() {
                    let (ticket, waiter) = self.queue.remove(which % self.queue.len()).unwrap();
                    assert_eq!(self.books.leave(ticket), Some(waiter));
                    assert_eq!(self.books.leave(ticket), None);
                }
            }
            Op::ConnectOk { vanished } if self.connecting > 0 => {
                self.connecting -= 1;
                self.books.connected();
                let connection = self.fresh();
                self.give(connection, vanished);
            }
            Op::ConnectFails if self.connecting > 0 => {
                self.connecting -= 1;
                self.books.connect_failed(self.now, 0.5, "down");
            }
            Op::GiveBack { which, vanished } => {
                if let Some(connection) = self.pick(which) {
                    self.give(connection, vanished);
                }
            }
            Op::Discard(which) => {
                if self.pick(which).is_some() {
                    self.books.discarded();
                }
            }
            Op::Reap => {
                self.books.reap(self.now, |connection| {
                    (*connection % 7 == 0).then_some(DiscardReason::Lifetime)
                });
            }
            Op::SetMin(min) => self.books.set_min(min),
            Op::Pass(millis) => self.now += Duration::from_millis(millis),
            Op::ConnectOk { .. } | Op::ConnectFails => {}
        }
        self.settle();
        self.check();
    }

    fn checkout(&mut self) {
        match self.books.checkout(self.now, |connection| connection % 3 == 0) {
            Decision::Lease(connection) => {
                assert!(self.queue.is_empty(), "overtook the queue");
                assert!(self.leased.insert(connection), "leased twice");
            }
            Decision::Wait => {
                let waiter = self.fresh();
                let ticket = self.books.enqueue(waiter);
                self.queue.push_back((ticket, waiter));
            }
            Decision::Fail(_) => assert!(self.leased.is_empty() && self.connecting == 0),
        }
    }

    /// Takes a connection out of somebody's hands.
    fn pick(&mut self, which: usize) -> Option<u32> {
        let connection = *self.leased.iter().nth(which % self.leased.len().max(1))?;
        self.leased.remove(&connection);
        Some(connection)
    }

    fn give(&mut self, connection: u32, mut vanished: usize) {
        let mut connection = connection;
        while let Some((waiter, same)) = self.books.give_back(connection, self.now) {
            let (_, first) = self.queue.pop_front().expect("served nobody");
            assert_eq!(waiter, first, "not in order of arrival");
            connection = same;
            if vanished == 0 {
                assert!(self.leased.insert(connection), "leased twice");
                return;
            }
            vanished -= 1;
        }
        assert!(self.queue.is_empty(), "idle while somebody waits");
    }

    fn settle(&mut self) {
        let follow = self.books.settle(self.now);
        self.connecting += follow.connects;
        if let Some((waiters, _)) = follow.stranded {
            assert_eq!(
                waiters,
                self.queue.drain(..).map(|(_, waiter)| waiter).collect::<Vec<_>>()
            );
        }
    }

    fn check(&self) {
        let counts = self.books.counts();
        assert_eq!(counts.leased, self.leased.len());
        assert_eq!(counts.connecting, self.connecting);
        assert_eq!(counts.waiting, self.queue.len());
        assert!(
            counts.idle + counts.leased + counts.connecting <= self.max,
            "{counts:?}"
        );
        assert!(counts.connecting <= CONNECTS_PER_POOL);
        assert!(counts.waiting == 0 || counts.idle == 0, "{counts:?}");
        // Whoever waits has something to wait for.
        assert!(
            counts.waiting == 0 || counts.leased + counts.connecting > 0,
            "stranded: {counts:?}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_exceeded_overtaken_or_stranded(
        max in 1_usize..9,
        min in 0_usize..5,
        ops in proptest::collection::vec(op(), 0..200),
    ) {
        let mut model = Model::new(max, min.min(max));
        for op in &ops {
            model.apply(op);
        }
        // From any state everybody is served once connects work and connections come back.
        model.apply(&Op::Pass(3_600_000));
        for _ in 0..1_000 {
            if model.queue.is_empty() {
                break;
            }
            model.apply(&Op::ConnectOk { vanished: 0 });
            model.apply(&Op::GiveBack { which: 0, vanished: 0 });
        }
        prop_assert!(model.queue.is_empty(), "{:?}", model.books.counts());
    }
}
