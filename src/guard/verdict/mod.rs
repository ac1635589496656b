//! What the guard answers: proof that a text may run, or why it may not.

pub(super) mod allowed;
pub(super) mod auto_prepare;
pub(super) mod database;
pub(super) mod denial;
pub(super) mod refusal;
pub(super) mod script;
