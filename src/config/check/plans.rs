//! `[plans]`: what tenants may have of a server's connections.

use std::collections::HashMap;

use crate::base::PlanName;
use crate::pool::{PoolPart, Share};

use super::super::raw::Section;
use super::auth::{Auth, TenantClaim};

/// What `[plans]` says.
pub(super) struct Plans {
    pub(super) named: HashMap<PlanName, Share>,
    /// Of tenants without a plan.
    pub(super) default: Share,
}

/// The plan of tenants that name none, where there is one of this name.
const DEFAULT: &str = "default";

/// Most times one tenant may weigh as much as another.
const WEIGHT: usize = 1_000;

/// Most connections a plan may speak of.
const CONNECTIONS: usize = 10_000;

/// Reads the plans; one with a mistake keeps its name.
pub(super) fn plans(top: &Section<'_>, pool: &Section<'_>) -> Plans {
    let given = pool.maybe("max_tenant_server_conn", |item| item.count(0, CONNECTIONS));
    let without = Share {
        cap: given.and_then(some),
        of_pool: part(given),
        ..Share::default()
    };
    let named: HashMap<PlanName, Share> = top
        .named("plans")
        .into_iter()
        .filter_map(|(name, item)| Some((PlanName::new(name), plan(&item.section()?, without))))
        .collect();
    let default = named.get(DEFAULT).copied().unwrap_or(without);
    Plans { named, default }
}

/// A claim that names plans needs plans, and tenants that have them.
pub(super) fn claimed(top: &Section<'_>, auth: &Auth, plans: &HashMap<PlanName, Share>) {
    if auth.plan_claim.is_none() {
        return;
    }
    if plans.is_empty() {
        top.mistake_path(
            "auth.plan_claim",
            "there is no plan that it could name: add [plans]",
        );
    }
    if auth.tenant_claim == TenantClaim::Absent {
        top.mistake_path("auth.plan_claim", "needs tenant_claim: a plan is a tenant's");
    }
}

fn plan(section: &Section<'_>, without: Share) -> Share {
    let weight = section.count("weight", 1, 1, WEIGHT);
    let floor = section.count("floor", 0, 0, CONNECTIONS);
    let given = section.maybe("cap", |item| item.count(0, CONNECTIONS));
    let cap = given.map_or(without.cap, some);
    let burst = section.count("burst", 0, 0, CONNECTIONS);
    if cap.is_some_and(|cap| floor > cap) {
        section.mistake(
            "floor",
            "is more than the cap (its own, or max_tenant_server_conn of [pool])",
        );
    }
    if burst > 0 && cap.is_none() {
        section.mistake("burst", "needs a cap to go beyond");
    }
    Share {
        weight: u32::try_from(weight).unwrap_or(u32::MAX),
        floor,
        cap,
        burst,
        of_pool: given.map_or(without.of_pool, |_| PoolPart::All),
    }
}

/// How much of a pool a tenant may hold that others use as well: what the operator says, or not all.
fn part(cap: Option<usize>) -> PoolPart {
    match cap {
        Some(_) => PoolPart::All,
        None => PoolPart::Most,
    }
}

/// A limit where 0 stands for none.
fn some(count: usize) -> Option<usize> {
    Some(count).filter(|count| *count > 0)
}
