//! What the rules have found out about a statement that may run, and the edits to its text.

use crate::guard::reading::action::Action;
use crate::guard::reading::class::StatementClass;
use crate::guard::reading::set_only::Schemas;

/// An allowed statement.
#[derive(Debug)]
pub(in crate::guard) struct Allowed {
    pub(in crate::guard) class: StatementClass,
    pub(in crate::guard) action: Action,
    pub(in crate::guard) edits: Vec<MakeLocal>,
    /// See [`crate::guard::Cleared::marks_connection`].
    pub(in crate::guard) marks_connection: bool,
    /// See [`set_only`](crate::guard::reading::set_only).
    pub(in crate::guard) only_sets: Option<Schemas>,
    /// See [`crate::guard::Cleared::reads_sequences`].
    pub(in crate::guard) reads_sequences: bool,
}

/// A change to the text that does not change its length: a `false` becomes `true `.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::guard) struct MakeLocal {
    /// The byte offset of `false`.
    pub(in crate::guard) at: usize,
    /// The setting, where the session is to keep it all the same.
    pub(in crate::guard) keep: Option<Box<str>>,
}

/// What becomes of a query with these edits.
pub(in crate::guard) fn action_of(edits: &[MakeLocal]) -> Action {
    let mut kept: Vec<Box<str>> = edits.iter().filter_map(|edit| edit.keep.clone()).collect();
    kept.sort();
    kept.dedup();
    if kept.is_empty() {
        Action::Query
    } else {
        Action::SetConfig(kept.into())
    }
}

/// The text with its edits, none of which changes its length.
pub(in crate::guard) fn edited(text: &str, edits: &[MakeLocal]) -> String {
    let mut edited = text.to_owned();
    for MakeLocal { at, .. } in edits {
        edited.replace_range(*at..*at + "false".len(), "true ");
    }
    edited
}
