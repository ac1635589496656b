//! The books of the memory budget: shares, and that every sum is right.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const MIB: usize = 1 << 20;

fn tenant(budget: &Arc<Budget>, name: &str) -> Arc<Account> {
    budget.account(Holder::Tenant(TenantName::new(name)))
}

/// As much as a tenant gets in small steps.
fn greed(account: &Arc<Account>) -> Charge {
    let mut charge = Charge::new(account);
    while charge.grow_to(charge.bytes() + 1024).is_ok() {}
    charge
}

#[test]
fn a_lone_tenant_gets_half_and_two_a_third_each() {
    let budget = Budget::new(64 * MIB, 100);
    let shared = budget.snapshot().shared;
    let [a, b, c] = ["a", "b", "c"].map(|name| tenant(&budget, name));
    let first = greed(&a);
    assert!(first.bytes().abs_diff(shared / 2) <= 1024, "{}", first.bytes());
    drop(first);
    // Turn by turn.
    let (mut first, mut second) = (Charge::new(&a), Charge::new(&b));
    for _ in 0..shared / 1024 {
        let _ = first.grow_to(first.bytes() + 1024);
        let _ = second.grow_to(second.bytes() + 1024);
    }
    assert!(first.bytes().abs_diff(shared / 3) <= 2048, "{}", first.bytes());
    assert!(second.bytes().abs_diff(shared / 3) <= 2048, "{}", second.bytes());
    let third = greed(&c);
    assert!(third.bytes() + 1024 >= shared / 6, "{}", third.bytes());
    drop((first, second, third));
    assert_eq!(budget.snapshot().used, 0);
    assert!(budget.snapshot().refused > 0);
}

#[test]
fn sessions_have_their_own_until_it_is_used_up() {
    let budget = Budget::new(64 * MIB, 2);
    let a = tenant(&budget, "a");
    let mut stays: Vec<Stay> = (0..2).map(|_| Stay::begin(&a, 0, 100).unwrap()).collect();
    assert_eq!(budget.snapshot().used, 0);
    assert_eq!(budget.snapshot().sessions, 2 * limits::SESSION_BYTES);
    stays.push(Stay::begin(&a, 0, limits::SESSION_OWN_BYTES + 7).unwrap());
    assert_eq!(budget.snapshot().used, limits::SESSION_BYTES + 7);
    let full = greed(&a);
    assert_eq!(Stay::begin(&a, 0, 0).err(), Some(Full));
    assert!(Stay::begin(&tenant(&budget, "b"), 0, 0).is_ok());
    drop((full, stays));
    let after = budget.snapshot();
    assert_eq!((after.used, after.sessions), (0, 0));
}

#[test]
fn accounts_end_with_their_last_session() {
    let budget = Budget::new(64 * MIB, 2);
    let a = tenant(&budget, "a");
    assert_eq!(a.id(), tenant(&budget, "a").id());
    drop(a);
    assert!(budget.accounts.lock().is_empty());
    let of = |text: &str| Holder::address(text.parse().unwrap());
    assert_eq!(of("::ffff:1.2.3.4"), of("1.2.3.4"));
    assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
}

/// What the books are told, one step at a time.
#[derive(Clone, Debug)]
enum Step {
    Grow {
        tenant: usize,
        slot: usize,
        bytes: usize,
    },
    Set {
        tenant: usize,
        slot: usize,
        bytes: usize,
    },
    Shrink {
        tenant: usize,
        slot: usize,
        bytes: usize,
    },
    Hold {
        tenant: usize,
        text: usize,
        own: usize,
        asked: bool,
    },
    LetGo {
        at: usize,
    },
    Stay {
        tenant: usize,
        own: usize,
    },
    Leave {
        at: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || 0..200_000_usize;
    prop_oneof![
        4 => (0..3_usize, 0..3_usize, bytes()).prop_map(|(tenant, slot, bytes)| Step::Grow { tenant, slot, bytes }),
        1 => (0..3_usize, 0..3_usize, bytes()).prop_map(|(tenant, slot, bytes)| Step::Set { tenant, slot, bytes }),
        2 => (0..3_usize, 0..3_usize, bytes()).prop_map(|(tenant, slot, bytes)| Step::Shrink { tenant, slot, bytes }),
        4 => (0..3_usize, 0..5_usize, 0..500_usize, any::<bool>())
            .prop_map(|(tenant, text, own, asked)| Step::Hold { tenant, text, own, asked }),
        3 => any::<usize>().prop_map(|at| Step::LetGo { at }),
        2 => (0..3_usize, bytes()).prop_map(|(tenant, own)| Step::Stay { tenant, own }),
        2 => any::<usize>().prop_map(|at| Step::Leave { at }),
    ]
}

proptest! {
    #[test]
    fn the_books_are_the_sum_of_what_is_held(steps in proptest::collection::vec(step(), 0..120)) {
        let budget = Budget::new(MIB, 10);
        let accounts = ["a", "b", "c"].map(|name| tenant(&budget, name));
        let shared = budget.snapshot().shared;
        let mut charges: Vec<Vec<Charge>> =
            accounts.iter().map(|account| (0..3).map(|_| Charge::new(account)).collect()).collect();
        let mut holds: Vec<(usize, usize, usize, Held)> = Vec::new();
        let mut stays: Vec<(usize, Stay)> = Vec::new();
        let text_bytes = |text: usize| 1_000 * (text + 1);
        for step in steps {
            let before = budget.snapshot().used;
            let mut asked_by = None;
            match step {
                Step::Grow { tenant, slot, bytes } => {
                    if charges[tenant][slot].grow_to(bytes).is_ok() { asked_by = Some(tenant); }
                }
                Step::Set { tenant, slot, bytes } => charges[tenant][slot].set(bytes),
                Step::Shrink { tenant, slot, bytes } => charges[tenant][slot].shrink_to(bytes),
                Step::Hold { tenant, text, own, asked } => {
                    let terms = if asked { Asked::Yes } else { Asked::No };
                    match accounts[tenant].hold(text, text_bytes(text), own, terms) {
                        Ok(held) => {
                            holds.push((tenant, text, own, held));
                            if asked { asked_by = Some(tenant); }
                        }
                        Err(Full) => prop_assert!(asked),
                    }
                }
                Step::LetGo { at } if !holds.is_empty() => drop(holds.swap_remove(at % holds.len())),
                Step::Stay { tenant, own } => {
                    if let Ok(stay) = Stay::begin(&accounts[tenant], 0, own) {
                        stays.push((tenant, stay));
                        asked_by = Some(tenant);
                    }
                }
                Step::Leave { at } if !stays.is_empty() => drop(stays.swap_remove(at % stays.len())),
                Step::LetGo { .. } | Step::Leave { .. } => {}
            }
            let used: Vec<usize> = (0..3).map(|tenant| {
                let charged: usize = charges[tenant].iter().map(Charge::bytes).sum();
                let own: usize = holds.iter().filter(|held| held.0 == tenant).map(|held| held.2).sum();
                let mut texts: Vec<usize> =
                    holds.iter().filter(|held| held.0 == tenant).map(|held| held.1).collect();
                texts.sort_unstable();
                texts.dedup();
                let texts: usize = texts.into_iter().map(text_bytes).sum();
                let stays: usize =
                    stays.iter().filter(|stay| stay.0 == tenant).map(|stay| stay.1.charge.bytes()).sum();
                charged + own + texts + stays
            }).collect();
            for (account, used) in accounts.iter().zip(&used) {
                prop_assert_eq!(account.used(), *used);
            }
            let total: usize = used.iter().sum();
            let snapshot = budget.snapshot();
            prop_assert_eq!(snapshot.used, total);
            prop_assert!(snapshot.sessions <= 10 * limits::SESSION_BYTES);
            // Whoever has been given something holds no more than what is free.
            if let Some(tenant) = asked_by && total > before {
                prop_assert!(used[tenant] <= shared - total, "{:?}", used);
            }
        }
        drop((charges, holds, stays));
        prop_assert_eq!(budget.snapshot().used, 0);
        prop_assert_eq!(budget.snapshot().sessions, 0);
        prop_assert!(accounts.iter().all(|account| account.used() == 0 && account.texts.lock().is_empty()));
    }
}
