//! A call: what its arguments are, and whether it stands in its query's list of results.

use crate::guard::text::lexer::{Kw, TokenKind};
use crate::guard::text::statement::Statement;

/// Longest call whose arguments are told apart, in tokens: calls nest, and each looks over those inside it.
const CALL_TOKENS: usize = 1_000;

/// The token ranges of the arguments of the call whose parenthesis is at `open`; at most four of them, which
/// is enough to tell that there are too many, and fewer if the call is too long.
pub(in crate::guard) fn arguments(statement: &Statement<'_>, open: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut start = open + 1;
    for at in open..statement.len().min(open + CALL_TOKENS) {
        let Some(token) = statement.get(at) else { break };
        match token.kind {
            TokenKind::Punct(b'(' | b'[') => depth += 1,
            TokenKind::Punct(b')' | b']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    found.push((start, at));
                    return found;
                }
            }
            TokenKind::Punct(b',') if depth == 1 => {
                found.push((start, at));
                start = at + 1;
            }
            _ => {}
        }
        if found.len() > 3 {
            break;
        }
    }
    // Not closed within reach: as good as no arguments.
    found.clear();
    found
}

/// Whether the call whose name is at `at` is an item of the statement's own list of results: right behind
/// SELECT or a comma, in no parentheses, ahead of every clause. There it runs whenever the statement returns a
/// row, and not a second time.
pub(in crate::guard) fn is_selected(statement: &Statement<'_>, at: usize) -> bool {
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
