//! The class of a statement, from its first keywords.

use super::class::StatementClass;
use super::copy::{self, CopyEnd};
use super::query::{self, Query};
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;

/// The class of a statement, and what its query does where it is a query.
pub(in crate::guard) fn classify(statement: &Statement<'_>) -> (StatementClass, Option<Query>) {
    let begins_query = statement.is_punct(0, b'(')
        || matches!(
            statement.kw(0),
            Kw::Select | Kw::With | Kw::Values | Kw::Table | Kw::Insert | Kw::Update | Kw::Delete | Kw::Merge
        );
    if !begins_query {
        return (command(statement), None);
    }
    match query::read(statement) {
        Some(query) if query.into.is_some() => (StatementClass::SelectInto, Some(query)),
        Some(query) => (query.class, Some(query)),
        None => (StatementClass::Unknown, None),
    }
}

/// The class of what is no query: `stmt` of gram.y, versions 14 to 18.
fn command(statement: &Statement<'_>) -> StatementClass {
    use StatementClass as C;
    match (statement.kw(0), statement.kw(1)) {
        (Kw::Begin, _) | (Kw::Start, Kw::Transaction) => C::Begin,
        (Kw::Commit, Kw::Prepared) => C::CommitPrepared,
        (Kw::Commit | Kw::End, _) => C::Commit,
        (Kw::Rollback, Kw::Prepared) => C::RollbackPrepared,
        (Kw::Rollback, Kw::To) => C::RollbackTo,
        (Kw::Rollback, Kw::Work | Kw::Transaction) if statement.kw(2) == Kw::To => C::RollbackTo,
        (Kw::Rollback | Kw::Abort, _) => C::Rollback,
        (Kw::Savepoint, _) => C::Savepoint,
        (Kw::Release, _) => C::Release,
        (Kw::Prepare, Kw::Transaction) if statement.is_string(2) => C::PrepareTransaction,
        (Kw::Prepare, _) => C::Prepare,
        (Kw::Execute, _) => C::Execute,
        (Kw::Deallocate, _) => C::Deallocate,
        (Kw::Declare, _) => C::Declare,
        (Kw::Fetch, _) => C::Fetch,
        (Kw::Move, _) => C::Move,
        (Kw::Close, _) => C::Close,
        (Kw::Discard, Kw::All) => C::DiscardAll,
        (Kw::Discard, _) => C::Discard,
        (Kw::Listen, _) => C::Listen,
        (Kw::Unlisten, _) => C::Unlisten,
        (Kw::Notify, _) => C::Notify,
        (Kw::Set, _) => set(statement),
        (Kw::Reset, _) => C::Reset,
        (Kw::Show, _) => C::Show,
        (Kw::Copy, _) => match copy::read(statement).map(|copy| copy.end) {
            Some(CopyEnd::FromClient) => C::CopyFrom,
            Some(CopyEnd::ToClient) => C::CopyTo,
            Some(CopyEnd::Server) | None => C::CopyFile,
        },
        (Kw::Call, _) => C::Call,
        (Kw::Do, _) => C::Do,
        (Kw::Explain, _) => C::Explain,
        (Kw::Lock, _) => C::Lock,
        (Kw::Truncate, _) => C::Truncate,
        (Kw::Load, _) => C::Load,
        (first, _) => administration(first),
    }
}

fn administration(first: Kw) -> StatementClass {
    use StatementClass as C;
    match first {
        Kw::Analyze | Kw::Analyse => C::Analyze,
        Kw::Vacuum => C::Vacuum,
        Kw::Cluster => C::Cluster,
        Kw::Reindex => C::Reindex,
        Kw::Checkpoint => C::Checkpoint,
        Kw::Refresh => C::Refresh,
        Kw::Create => C::Create,
        Kw::Alter => C::Alter,
        Kw::Drop => C::Drop,
        Kw::Grant => C::Grant,
        Kw::Revoke => C::Revoke,
        Kw::Comment => C::Comment,
        Kw::Security => C::SecurityLabel,
        Kw::Import => C::ImportForeignSchema,
        Kw::Reassign => C::ReassignOwned,
        _ => C::Unknown,
    }
}

fn set(statement: &Statement<'_>) -> StatementClass {
    use super::set_statement::SetStatement as S;
    match super::set_statement::read(statement) {
        S::Transaction | S::Snapshot => StatementClass::SetTransaction,
        S::Characteristics(_) => StatementClass::SetCharacteristics,
        S::Constraints => StatementClass::SetConstraints,
        S::Change { .. } | S::ResetAll | S::Malformed => StatementClass::Set,
    }
}
