//! What roles may do: policies, and the lists they are made of.

pub(super) mod fingerprint;
pub(super) mod names;
// The policy itself is what this module is named after.
#[expect(
    clippy::module_inception,
    reason = "the file holds the type the module is named after"
)]
pub(super) mod policy;
pub(super) mod registry;
pub(super) mod reserved;
pub(super) mod roles;
pub(super) mod timeouts;
