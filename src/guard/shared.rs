//! What cannot work on a server connection that sessions share, transaction by transaction.

use super::StatementClass;
use super::classify;
use super::denial::Denial;
use super::lexer::Kw;
use super::policy::Policy;
use super::query::Query;
use super::statement::Statement;
use crate::base::PoolMode;

/// What to do about a statement that needs a server connection of the session's own.
pub(super) const SESSION_MODE: &str =
    "It works in session mode: the operator can set pool_mode = \"session\" for the role or tenant.";

/// Whether sessions under this policy keep their server connection, and with it what Postgres keeps for a
/// session.
pub(super) fn keeps_connection(policy: &Policy) -> bool {
    policy.mode() == PoolMode::Session
}

/// Nothing can be made that lasts as long as the server connection.
pub(super) fn temporary(
    policy: &Policy,
    statement: &Statement<'_>,
    class: StatementClass,
    query: Option<&Query>,
) -> Result<(), Denial> {
    if keeps_connection(policy) {
        return Ok(());
    }
    match classify::temporary(statement, class, query) {
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
pub(super) fn hold(policy: &Policy, statement: &Statement<'_>, query_at: usize) -> Result<(), Denial> {
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
