//! What cannot work on a server connection that sessions share, transaction by transaction.

use crate::base::PoolMode;
use crate::guard::policy::policy::Policy;
use crate::guard::reading::class::StatementClass;
use crate::guard::reading::query::Query;
use crate::guard::reading::temporary::temporary_word;
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;
use crate::guard::verdict::denial::Denial;

/// Whether sessions under this policy keep their server connection, and with it what Postgres keeps for a
/// session.
pub(in crate::guard) fn keeps_connection(policy: &Policy) -> bool {
    policy.mode() == PoolMode::Session
}

/// Nothing can be made that lasts as long as the server connection.
pub(in crate::guard) fn temporary(
    policy: &Policy,
    statement: &Statement<'_>,
    class: StatementClass,
    query: Option<&Query>,
) -> Result<(), Denial> {
    if keeps_connection(policy) {
        return Ok(());
    }
    match temporary_word(statement, class, query) {
        None => Ok(()),
        Some(at) => Err(Denial::unsupported(
            "statement.temporary",
            "temporary tables are not supported in transaction mode",
        )
        .hint(
            "Use WITH, an ordinary table, or a trusted role with ON COMMIT DROP or pool_mode = \"session\".",
        )
        .at(statement.offset(at))),
    }
}

/// A cursor cannot outlive its transaction. The words of `DECLARE` stand before token `query_at`.
pub(in crate::guard) fn hold(
    policy: &Policy,
    statement: &Statement<'_>,
    query_at: usize,
) -> Result<(), Denial> {
    if keeps_connection(policy) {
        return Ok(());
    }
    match (2..query_at).find(|at| statement.kws(*at, &[Kw::With, Kw::Hold])) {
        None => Ok(()),
        Some(hold) => Err(Denial::unsupported(
            "statement.hold",
            "WITH HOLD cursors are not supported in transaction mode",
        )
        .hint("Fetch the rows inside the transaction, leave WITH HOLD out, or use pool_mode = \"session\".")
        .at(statement.offset(hold))),
    }
}
