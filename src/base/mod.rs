//! Words every part shares: names, SQLSTATEs, faults, limits, memory, events, draining, watched files, the time.

pub mod clock;
mod credit;
mod drain;
mod event;
mod fault;
pub mod limits;
mod looks;
pub mod memory;
mod sqlstate;
mod turns;
mod types;
mod watched;

pub use credit::Credit;
pub use drain::{Drain, DrainHandle, Phase};
pub use event::{
    CheckIn, ClientEnd, DiscardReason, Event, Events, Exposition, Observe, VerdictKind, WaitReason, Who,
};
pub use fault::{Fault, Severity};
pub use looks::{Look, Looks};
pub use sqlstate::SqlState;
pub use turns::{Place, Turn, Turns};
pub use types::{
    DatabaseName, LoginName, PlanName, PoolMode, RoleName, Secret, ServerName, Tenancy, TenantName,
};
pub use watched::{Seen, Stamp, Told, Watched};
