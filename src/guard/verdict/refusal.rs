//! Why a text may not run.

use crate::base::SqlState;
use crate::guard::reading::class::StatementClass;

/// Why a text may not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 42501 what is forbidden, 0A000 what cannot work in transaction mode, 42601 and 22021 what cannot be
    /// read, 54000 and 54001 what is beyond a limit.
    pub sqlstate: SqlState,
    /// What happened, for the client.
    pub message: String,
    /// What to do instead, where there is something.
    pub hint: Option<String>,
    /// The class of the refused statement.
    pub class: StatementClass,
    /// The rule that refused it, as a short name that does not change.
    pub rule: &'static str,
    /// Where in the text: in characters, from 1 (PostgreSQL manual, 53.8, field `P`).
    pub position: Option<u32>,
}

impl Refusal {
    /// About how much memory it takes, in bytes.
    pub(in crate::guard) fn weight(&self) -> usize {
        size_of::<Self>() + self.message.len() + self.hint.as_ref().map_or(0, String::len)
    }
}
