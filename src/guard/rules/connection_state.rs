//! What a statement reads of its connection's state, or leaves there for the next client.

use crate::guard::policy::reserved::{Called, Notation, Reserved, SearchPath};
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;

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
