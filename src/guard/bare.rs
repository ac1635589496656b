//! Queries that do nothing but set and read settings: `SELECT set_config('jit', 'off', false) AS jit`.

use super::lexer::{Kw, TokenKind};
use super::reserved::{Called, Notation, Reserved, SearchPath};
use super::statement::Statement;

/// Longest query looked at, in tokens. Drivers set a handful of settings at a time.
const TOKENS: usize = 200;

/// Whether the query is a list of calls of `set_config` and `current_setting` with constants and parameters for
/// arguments, and nothing else: no relation, no other function, no operator. Such a query may be bound as the
/// login role, which alone may call `set_config` in a hardened database. `false` where in doubt.
pub(super) fn only_sets(statement: &Statement<'_>) -> bool {
    if statement.kw(0) != Kw::Select || statement.len() > TOKENS {
        return false;
    }
    let (mut at, mut sets) = (1, false);
    loop {
        if statement.name(at) == Some("pg_catalog") && statement.is_punct(at + 1, b'.') {
            at += 2;
        }
        match statement.name(at) {
            Some("set_config") => sets = true,
            Some("current_setting") => {}
            _ => return false,
        }
        let Some(behind) = behind_arguments(statement, at + 1) else {
            return false;
        };
        at = behind;
        if statement.kw(at) == Kw::As && statement.name(at + 1).is_some() {
            at += 2;
        }
        if at == statement.len() || is_one_setting(&statement.from(at)) {
            return sets;
        }
        if !statement.is_punct(at, b',') {
            return false;
        }
        at += 1;
    }
}

/// `FROM pg_show_all_settings() WHERE name = 'bytea_output'`: pgAdmin sets what the server knows.
fn is_one_setting(rest: &Statement<'_>) -> bool {
    let qualified = rest.name(1) == Some("pg_catalog") && rest.is_punct(2, b'.');
    let at = if qualified { 3 } else { 1 };
    rest.kw(0) == Kw::From
        && rest.name(at) == Some("pg_show_all_settings")
        && rest.is_punct(at + 1, b'(')
        && rest.is_punct(at + 2, b')')
        && rest.name(at + 3) == Some("where")
        && rest.name(at + 4) == Some("name")
        && rest.source(at + 5) == "="
        && rest.is_string(at + 6)
        && rest.len() == at + 7
}

/// Whether the statement asks for the last value that its connection has drawn from a sequence: another client's,
/// on a connection that clients share. By name, wherever it stands.
pub(super) fn reads_sequences(statement: &Statement<'_>) -> bool {
    (0..statement.len()).any(|at| matches!(statement.name(at), Some("lastval" | "currval")))
}

/// Whether the statement may leave what no reset takes back, such as a seed of `random()`: by the names of functions that
/// do, wherever they stand; in the text of a DO as well.
pub(super) fn leaves_state(statement: &Statement<'_>) -> bool {
    let (list, is_code) = (Reserved::list(), statement.kw(0) == Kw::Do);
    (0..statement.len()).any(|at| {
        let schema = at.checked_sub(2).and_then(|schema| statement.name(schema));
        let called = |name| Called {
            schema: schema.filter(|_| statement.is_punct(at - 1, b'.')),
            name,
            notation: Notation::Call,
            search_path: SearchPath::OfOperator,
        };
        statement
            .name(at)
            .is_some_and(|name| list.leaves_state(called(name)))
            || (is_code && list.names_state(statement.source(at)))
    })
}

/// Where the call whose parenthesis is at `open` ends, if its arguments are all constants or parameters.
fn behind_arguments(statement: &Statement<'_>, open: usize) -> Option<usize> {
    if !statement.is_punct(open, b'(') {
        return None;
    }
    let mut at = open + 1;
    while is_constant(statement, at) {
        if statement.is_punct(at + 1, b')') {
            return Some(at + 2);
        }
        if !statement.is_punct(at + 1, b',') {
            return None;
        }
        at += 2;
    }
    None
}

fn is_constant(statement: &Statement<'_>, at: usize) -> bool {
    // By source: a quoted "true" is a column.
    let is_bool = |source: &str| source.eq_ignore_ascii_case("true") || source.eq_ignore_ascii_case("false");
    match statement.get(at).map(|token| token.kind) {
        Some(TokenKind::Param) => true,
        Some(TokenKind::Word) => is_bool(statement.source(at)),
        Some(_) => statement.is_string(at),
        None => false,
    }
}
