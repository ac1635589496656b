//! What every transaction of a session opens with: its modes, then its identity and settings.

use std::sync::Arc;

use super::settings::SessionSettings;
use super::statement::{Prepared, StatementCache};
use crate::identity::Binding;

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
    pub(super) modes: Box<[Mode]>,
    pub(super) binding: Binding,
    /// The statement that puts the binding into force.
    pub(super) prelude: Arc<Prepared>,
}

/// One mode, by the statement that sets it.
pub(super) struct Mode {
    pub(super) sql: String,
    pub(super) prepared: Arc<Prepared>,
}

impl Opening {
    /// Puts the parts together.
    pub(super) fn new(binding: Binding, settings: &SessionSettings, statements: &StatementCache) -> Self {
        let in_force = settings.in_force();
        let modes = in_force.iter().filter_map(|(name, value)| {
            let (_, mode) = MODES.iter().find(|(default, _)| default == name)?;
            // A plain SET: the server warns about SET LOCAL and SET TRANSACTION outside of a block, in its log
            // too. It leaves nothing behind, since every transaction begins with the defaults
            // (`StartTransaction`, xact.c).
            let sql = format!("SET {mode} TO '{}'", value.replace('\'', "''"));
            let prepared = statements.prelude(&sql);
            Some(Mode { sql, prepared })
        });
        Self {
            modes: modes.collect(),
            prelude: statements.prelude(binding.sql()),
            binding,
        }
    }
}
