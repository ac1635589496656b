//! What every transaction of a session opens with: its modes, then its identity and settings.

use std::sync::Arc;

use super::statement::{Prelude, StatementCache};
use crate::identity::{Binding, BindingParts};

/// A session's defaults for transaction modes, and the settings that they become. The order is that of the
/// settings.
const MODES: [(&str, &str); 3] = [
    ("default_transaction_deferrable", "transaction_deferrable"),
    ("default_transaction_isolation", "transaction_isolation"),
    ("default_transaction_read_only", "transaction_read_only"),
];

/// What is put ahead of the first statement of a transaction.
pub(super) struct Opening {
    /// Sets the transaction's modes where the session has defaults of its own. The server's would have come
    /// with its BEGIN, ahead of the prelude; and the prelude's snapshot is too late for them (25001).
    pub(super) modes: Box<[Arc<Prelude>]>,
    pub(super) binding: Binding,
    /// The statement that puts the binding into force.
    pub(super) prelude: Arc<Prelude>,
}

impl Opening {
    /// Puts the parts together.
    pub(super) fn new(parts: &BindingParts<'_>, statements: &StatementCache) -> Self {
        let modes = parts.session.iter().filter_map(|(name, value)| {
            let (_, mode) = MODES.iter().find(|(default, _)| default == name)?;
            // A plain SET: the server warns about SET LOCAL and SET TRANSACTION outside of a block, in its log
            // too. It leaves nothing behind, since every transaction begins with the defaults
            // (`StartTransaction`, xact.c).
            let sql = format!("SET {mode} TO '{}'", value.replace('\'', "''"));
            Some(statements.prelude(sql))
        });
        let (binding, sql) = Binding::new(parts);
        Self {
            modes: modes.collect(),
            prelude: statements.prelude(sql),
            binding,
        }
    }
}
