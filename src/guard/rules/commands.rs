//! The rules for a statement that is no query: what becomes of each class.

use super::calls::not_kept;
use super::prepare;
use super::query::Rules;
use super::settings::SetKind;
use super::transaction_mode;
use crate::guard::reading::action::Action;
use crate::guard::reading::class::{Grant, StatementClass};
use crate::guard::reading::copy;
use crate::guard::reading::leading_keywords::classify;
use crate::guard::reading::prepared::deallocate;
use crate::guard::reading::query;
use crate::guard::reading::set_statement::{self, SetStatement};
use crate::guard::reading::transaction;
use crate::guard::reading::utility::is_utility;
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;
use crate::guard::verdict::allowed::MakeLocal;
use crate::guard::verdict::denial::Denial;

/// Judges a statement that is no query.
pub(super) fn command(
    rules: &Rules<'_>,
    statement: &Statement<'_>,
    class: StatementClass,
) -> Result<(Action, Vec<MakeLocal>), Denial> {
    use StatementClass as C;
    let malformed = || Denial::syntax(format!("syntax error in {class}")).at(statement.offset(0));
    if let Some(verdict) = prepare::execute(rules, statement, statement) {
        return verdict;
    }
    let action = match class {
        C::Begin | C::Commit | C::Rollback | C::Savepoint | C::Release | C::RollbackTo => {
            transaction::read(statement, class).ok_or_else(malformed)?
        }
        C::PrepareTransaction | C::CommitPrepared | C::RollbackPrepared => {
            transaction::read(statement, class).ok_or_else(malformed)?
        }
        C::Set | C::Reset | C::SetTransaction | C::SetCharacteristics | C::SetConstraints => {
            setting(rules, statement)?
        }
        C::Prepare => return prepare::prepare(rules, statement),
        C::Deallocate => deallocate(statement).ok_or_else(malformed)?,
        C::DiscardAll if statement.len() == 2 => Action::DiscardAll,
        C::DiscardAll => return Err(malformed()),
        // What is listened to and held there is the server's to know.
        C::Unlisten | C::Close if transaction_mode::keeps_connection(rules.policy) => Action::Query,
        // Nothing is ever listened to, whichever channel is meant.
        C::Unlisten
            if statement.len() == 2 && (statement.is_punct(1, b'*') || statement.name(1).is_some()) =>
        {
            Action::UnlistenAll
        }
        C::Unlisten => return Err(malformed()),
        C::Close if statement.len() == 2 && statement.kw(1) == Kw::All => Action::CloseAll,
        C::Call => return call(rules, statement),
        C::Do => Action::Call,
        C::CopyFrom | C::CopyTo => return copy(rules, statement),
        C::Declare => return Ok((Action::Query, declare(rules, statement)?)),
        C::Explain => return explain(rules, statement),
        C::Lock | C::Truncate => {
            rules.relations().judge_names(statement)?;
            return Ok((Action::Query, rules.names(statement, &[])?));
        }
        C::Close | C::Fetch | C::Move | C::Show | C::Notify | C::Listen => {
            return Ok((Action::Query, rules.names(statement, &[])?));
        }
        // DDL names functions to create or grant them, not to call them.
        C::Create | C::Alter | C::Drop | C::Vacuum | C::Cluster | C::Reindex => {
            match is_utility(statement, class) {
                true => Action::Utility,
                false => Action::Query,
            }
        }
        C::Grant | C::Revoke | C::Comment | C::SecurityLabel | C::ImportForeignSchema => Action::Query,
        C::ReassignOwned | C::Refresh | C::Analyze | C::Checkpoint => Action::Query,
        C::Load | C::Discard | C::CopyFile => Action::Query,
        C::Execute => return Err(malformed()),
        // Nobody is given these; a policy that did would have to say here how they are sent.
        C::Unknown => {
            return Err(Denial::statement(rules.policy, class).at(statement.offset(0)));
        }
        // Judged by what their queries do, not here.
        C::Select | C::SelectInto | C::Insert | C::Update | C::Delete | C::Merge => {
            return Err(malformed());
        }
    };
    Ok((action, Vec::new()))
}

fn setting(rules: &Rules<'_>, statement: &Statement<'_>) -> Result<Action, Denial> {
    let start = statement.offset(0);
    Ok(match set_statement::read(statement) {
        SetStatement::Change { setting, value, at } => {
            rules
                .scope
                .setting(&setting.name)
                .map_err(|denial| denial.at(statement.offset(at)))?;
            let judged = rules.settable.judge(rules.policy, setting, value.as_deref());
            match judged.map_err(|denial| denial.at(statement.offset(at)))? {
                SetKind::Setting(setting) => Action::Set(setting),
                SetKind::Transaction => Action::SetTransaction,
            }
        }
        SetStatement::ResetAll => Action::ResetAll,
        SetStatement::Transaction => Action::SetTransaction,
        SetStatement::Constraints => Action::Query,
        SetStatement::Snapshot if rules.policy.is_trusted() => Action::SetTransaction,
        SetStatement::Snapshot => {
            return Err(
                Denial::forbidden("setting.snapshot", "SET TRANSACTION SNAPSHOT is not allowed").at(start),
            );
        }
        SetStatement::Characteristics(defaults) => Action::SetDefaults(defaults),
        SetStatement::Malformed => return Err(Denial::syntax("syntax error in SET or RESET").at(start)),
    })
}

fn call(rules: &Rules<'_>, statement: &Statement<'_>) -> Result<(Action, Vec<MakeLocal>), Denial> {
    rules.relations().judge_within(&statement.from(1))?;
    Ok((Action::Call, rules.names(statement, &[])?))
}

fn copy(rules: &Rules<'_>, statement: &Statement<'_>) -> Result<(Action, Vec<MakeLocal>), Denial> {
    let malformed = || Denial::syntax("syntax error in COPY").at(statement.offset(0));
    let copy = copy::read(statement).ok_or_else(malformed)?;
    let is_in = copy.end == copy::CopyEnd::FromClient;
    let mut relations = Vec::new();
    let edits = match copy.query {
        Some((from, end)) => {
            let tokens = statement.tokens.get(from..end).unwrap_or_default();
            let source = Statement {
                text: statement.text,
                tokens,
            };
            let query = query::read(&source).ok_or_else(malformed)?;
            let edits = rules.query(&source, &query, &source)?;
            // COPY is no query of its own: nothing it sets is kept.
            if let Some(edit) = edits.iter().find(|edit| edit.keep.is_some()) {
                return Err(not_kept(edit.keep.as_deref().unwrap_or_default()).at(edit.at));
            }
            // The options after the query call nothing, but what is not looked at is not allowed.
            rules.names(&statement.from(end), &[])?;
            edits
        }
        None => {
            if let Some(table) = copy.table {
                rules.relations().judge_listed(statement, table)?;
                if is_in {
                    rules.target(statement, table)?;
                }
                relations.push(statement.after_name(table).saturating_sub(1));
            }
            if let Some(condition) = copy.condition {
                rules.relations().judge_within(&statement.from(condition))?;
            }
            rules.names(statement, &relations)?
        }
    };
    Ok((if is_in { Action::CopyIn } else { Action::Query }, edits))
}

fn declare(rules: &Rules<'_>, statement: &Statement<'_>) -> Result<Vec<MakeLocal>, Denial> {
    let malformed = || Denial::syntax("syntax error in DECLARE").at(statement.offset(0));
    let query_at = (2..statement.len())
        .find(|at| statement.kw(*at) == Kw::For)
        .ok_or_else(malformed)?
        + 1;
    transaction_mode::hold(rules.policy, statement, query_at)?;
    let inner = statement.from(query_at);
    let query = query::read(&inner).ok_or_else(malformed)?;
    rules.query(&inner, &query, statement)
}

fn explain(rules: &Rules<'_>, statement: &Statement<'_>) -> Result<(Action, Vec<MakeLocal>), Denial> {
    let malformed = || Denial::syntax("syntax error in EXPLAIN").at(statement.offset(0));
    let begins_query = |at: usize| {
        matches!(statement.kw(at), Kw::Select | Kw::With | Kw::Values | Kw::Table)
            || statement.is_punct(at, b'(')
    };
    let mut at = 1;
    if statement.is_punct(1, b'(') && !begins_query(2) {
        at = statement.closing(1) + 1;
    } else {
        at += usize::from(matches!(statement.kw(at), Kw::Analyze | Kw::Analyse));
        at += usize::from(statement.name(at) == Some("verbose"));
    }
    let is_analyze = |at: &usize| matches!(statement.name(*at), Some("analyze" | "analyse"));
    if !rules.policy.is_trusted()
        && let Some(analyze) = (1..at).find(is_analyze)
    {
        return Err(Denial::forbidden(
            "statement.explain_analyze",
            "EXPLAIN ANALYZE is not allowed for end-user roles",
        )
        .hint("It shows how many rows of others were filtered out. EXPLAIN alone may be allowed by policy.")
        .at(statement.offset(analyze)));
    }
    let inner = statement.from(at);
    if inner.len() == 0 {
        return Err(malformed());
    }
    let (class, query) = classify(&inner);
    transaction_mode::temporary(rules.policy, &inner, class, query.as_ref())?;
    let trusted = rules.policy.allows(class) && class.grant() == Grant::Trusted;
    if (trusted || class == StatementClass::Execute)
        && let Some(verdict) = prepare::execute(rules, statement, &inner)
    {
        return verdict;
    }
    let edits = match query {
        Some(query) => rules.query(&inner, &query, statement)?,
        None if class == StatementClass::Declare => declare(rules, &inner)?,
        None if trusted => Vec::new(),
        None if class == StatementClass::Unknown => return Err(malformed()),
        None => return Err(Denial::statement(rules.policy, class).at(inner.offset(0))),
    };
    Ok((Action::Query, edits))
}
