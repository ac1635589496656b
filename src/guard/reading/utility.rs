//! Statements that refuse to run in a transaction block.

use super::class::StatementClass;
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;

/// Whether the statement refuses to run in a transaction block (`PreventInTransactionBlock` in the server).
pub(in crate::guard) fn is_utility(statement: &Statement<'_>, class: StatementClass) -> bool {
    use StatementClass as C;
    let has = |wanted: &[Kw]| (0..statement.len()).any(|at| statement.kws(at, wanted));
    let after_options = if statement.is_punct(1, b'(') {
        statement.closing(1) + 1
    } else {
        1
    };
    let second = statement.kw(1);
    match class {
        C::Vacuum => true,
        C::Reindex => {
            has(&[Kw::Concurrently])
                || matches!(
                    statement.kw(after_options),
                    Kw::Database | Kw::System | Kw::Schema
                )
        }
        // CLUSTER of every table.
        C::Cluster => {
            let named = after_options + usize::from(statement.name(after_options) == Some("verbose"));
            named >= statement.len()
        }
        C::Create | C::Drop => {
            matches!(second, Kw::Database | Kw::Tablespace | Kw::Subscription)
                || has(&[Kw::Index, Kw::Concurrently])
        }
        C::Alter => {
            matches!(second, Kw::System | Kw::Subscription)
                || (second == Kw::Database && has(&[Kw::Set, Kw::Tablespace]))
                || (second == Kw::Table && has(&[Kw::Concurrently]))
        }
        _ => false,
    }
}
