//! What every transaction of a session opens with: its modes, then its identity and settings.

use std::sync::Arc;

use super::statement::{Prelude, StatementCache};
use crate::identity::{Binding, BindingParts, PreludeText};

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
        let modes = PreludeText::of_modes(parts).map(|text| statements.prelude(text));
        let (binding, sql) = Binding::new(parts);
        Self {
            modes: modes.collect(),
            prelude: statements.prelude(sql),
            binding,
        }
    }
}
