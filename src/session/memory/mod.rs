//! What a session keeps between its transactions: settings, the client's names, statements, what transactions open with.

pub(super) mod application_name;
pub(super) mod holding;
pub(super) mod names;
pub(super) mod opening;
pub(super) mod pending;
pub(super) mod settings;
pub(super) mod setup;
pub(super) mod statement;
