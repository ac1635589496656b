//! What a policy makes of a statement.

pub(super) mod calls;
pub(super) mod commands;
pub(super) mod connection_state;
pub(super) mod judge;
pub(super) mod prepare;
pub(super) mod query;
pub(super) mod relations;
pub(super) mod scope;
pub(super) mod settings;
pub(super) mod transaction_mode;
