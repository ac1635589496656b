//! Verdicts that are kept.

pub(super) mod shape;
pub(super) mod verdict_cache;
