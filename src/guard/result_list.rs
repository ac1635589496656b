//! Where in a query's list of results a call stands.

use super::calls::CALL_TOKENS;
use super::lexer::Kw;
use super::statement::Statement;

/// Whether the call whose name is at `at` is an item of the statement's own list of results: right behind
/// SELECT or a comma, in no parentheses, ahead of every clause. There it runs whenever the statement returns a
/// row, and not a second time.
pub(super) fn is_selected(statement: &Statement<'_>, at: usize) -> bool {
    let qualified =
        at > 1 && statement.is_punct(at - 1, b'.') && statement.name(at - 2) == Some("pg_catalog");
    let first = if qualified { at - 2 } else { at };
    let Some(before) = first.checked_sub(1) else {
        return false;
    };
    // Whatever comes later in a longer list is not looked for: the way to it is gone once for each call.
    if statement.kw(0) != Kw::Select || at > CALL_TOKENS || (before != 0 && !statement.is_punct(before, b','))
    {
        return false;
    }
    let mut depth = 0_usize;
    for at in 1..before {
        if statement.is_punct(at, b'(') || statement.is_punct(at, b'[') {
            depth += 1;
        } else if statement.is_punct(at, b')') || statement.is_punct(at, b']') {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && statement.name(at).is_some_and(ends_result_list) {
            return false;
        }
    }
    depth == 0
}

/// Whether a word may follow the list of results, or make of it something else than a list.
fn ends_result_list(word: &str) -> bool {
    matches!(
        word,
        "into"
            | "from"
            | "where"
            | "group"
            | "having"
            | "window"
            | "order"
            | "limit"
            | "offset"
            | "fetch"
            | "for"
            | "union"
            | "intersect"
            | "except"
            | "distinct"
            | "case"
    )
}
