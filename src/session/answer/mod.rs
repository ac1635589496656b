//! The server's answers: what is passed on, in which words, and what they change.

pub(super) mod ceilings;
pub(super) mod relay;
pub(super) mod replying;
pub(super) mod wording;
