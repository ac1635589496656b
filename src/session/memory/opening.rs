//! What every transaction of a session opens with: its modes, then its identity and settings.

use std::sync::Arc;

use crate::identity::{Binding, BindingParts, PreludeText};
use crate::session::memory::statement::{Prelude, StatementCache};

/// What is put ahead of the first statement of a transaction.
pub(in crate::session) struct Opening {
    /// Sets the transaction's modes where the session has defaults of its own. The server's would have come
    /// with its BEGIN, ahead of the prelude; and the prelude's snapshot is too late for them (25001).
    pub(in crate::session) modes: Box<[Arc<Prelude>]>,
    pub(in crate::session) binding: Binding,
    /// The statement that puts the binding into force.
    pub(in crate::session) prelude: Arc<Prelude>,
}

impl Opening {
    /// Puts the parts together.
    pub(in crate::session) fn new(parts: &BindingParts<'_>, statements: &StatementCache) -> Self {
        let modes = PreludeText::of_modes(parts).map(|text| statements.prelude(text));
        let (binding, sql) = Binding::new(parts);
        Self {
            modes: modes.collect(),
            prelude: statements.prelude(sql),
            binding,
        }
    }
}
