//! What [`Upstream::parse`](super::upstream::Upstream::parse) takes: a text with the reason why the server may have it.

use super::REFUSED;
use crate::guard::{Cleared, Qualified, Script, SetSetting, SetValue};
use crate::session::link::warrant::ParseWarrant;
use crate::session::memory::statement::{Prelude, Renamed, Statement};
use crate::session::request::command::quoted;

/// A text for the server. Its field is private: these constructors are all there are.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// A statement of our own.
    pub(in crate::session) fn ours(text: &'static str) -> Self {
        Self(text)
    }

    /// A statement of our own that goes ahead of a transaction's first.
    pub(super) fn of_prelude(prelude: &'a Prelude) -> Self {
        Self(&prelude.sql)
    }

    /// A cleared statement as it is.
    pub(super) fn cleared(cleared: &'a Cleared, warrant: &ParseWarrant) -> Self {
        Self::if_covered(warrant.covers(Some(cleared.action())), cleared.sql())
    }

    /// A cleared statement whose names were qualified.
    pub(super) fn qualified(qualified: &'a Qualified, warrant: &ParseWarrant) -> Self {
        Self::if_covered(warrant.covers_all(), qualified.sql())
    }

    /// A cleared statement of the extended protocol.
    pub(super) fn statement(statement: &'a Statement, warrant: &ParseWarrant) -> Self {
        Self::if_covered(warrant.covers(statement.action()), statement.sent())
    }

    /// A cleared PREPARE or EXECUTE with a name of ours in it.
    pub(super) fn renamed(renamed: &'a Renamed, warrant: &ParseWarrant) -> Self {
        Self::if_covered(warrant.covers_all(), renamed.sql())
    }

    /// A cleared SET, or our own for a RESET, in the form that ends with the transaction.
    pub(super) fn local(setting: &'a LocalSetting, warrant: &ParseWarrant) -> Self {
        Self::if_covered(warrant.covers_all(), &setting.0)
    }

    /// A cleared string of several statements, only to be read: the server refuses it for being several. `None` for any
    /// other.
    pub(in crate::session) fn several(script: &'a Script) -> Option<Self> {
        (script.statements().len() > 1).then(|| Self(script.text()))
    }

    /// A warrant for something else is a defect of ours: then the statement fails.
    fn if_covered(is_covered: bool, sql: &'a str) -> Self {
        debug_assert!(is_covered, "sent without the right to: {sql}");
        Self(if is_covered { sql } else { REFUSED })
    }

    /// Its length in bytes.
    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    pub(super) fn as_str(self) -> &'a str {
        self.0
    }
}

/// `SET LOCAL` of one setting.
#[derive(Debug)]
pub(in crate::session) struct LocalSetting(String);

impl LocalSetting {
    /// What the client's SET says.
    pub(in crate::session) fn of(setting: &SetSetting) -> Self {
        match setting.value() {
            SetValue::Assign(assignment) => Self(format!("SET LOCAL {assignment}")),
            SetValue::Default => Self::default_of(setting.name()),
        }
    }

    /// Back to the server's default.
    pub(in crate::session) fn default_of(name: &str) -> Self {
        Self(format!("SET LOCAL {} TO DEFAULT", quoted(name)))
    }
}
