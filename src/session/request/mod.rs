//! The client's messages: from its bytes to what is sent to the server.

pub(super) mod assembly;
pub(super) mod bind;
pub(super) mod command;
pub(super) mod displaced;
pub(super) mod execute;
pub(super) mod extended;
pub(super) mod function_call;
pub(super) mod inbound;
pub(super) mod judging;
pub(super) mod pending_message;
pub(super) mod policy;
pub(super) mod repeated;
pub(super) mod session_role;
pub(super) mod simple;
pub(super) mod syntax_check;
