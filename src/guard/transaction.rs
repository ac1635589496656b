//! Transaction control: BEGIN to RELEASE, each read to its last token.

use super::lexer::Kw;
use super::statement::Statement;
use super::{Action, StatementClass};

/// What a statement of transaction control does; `None` if it is not formed as the grammar has it.
///
/// `TransactionStmt` of gram.y.
pub(super) fn read(statement: &Statement<'_>, class: StatementClass) -> Option<Action> {
    let unit = |at: usize| at + usize::from(matches!(statement.kw(at), Kw::Work | Kw::Transaction));
    match class {
        StatementClass::Begin => {
            let from = if statement.kw(0) == Kw::Start { 2 } else { unit(1) };
            modes(statement, from, true).then_some(Action::Begin)
        }
        StatementClass::Commit => chain(statement, unit(1)).map(|chain| Action::Commit { chain }),
        StatementClass::Rollback => chain(statement, unit(1)).map(|chain| Action::Rollback { chain }),
        StatementClass::Savepoint => is_last_name(statement, 1).then_some(Action::Savepoint),
        StatementClass::Release => {
            is_last_name(statement, savepoint(statement, 1)).then_some(Action::Release)
        }
        StatementClass::RollbackTo => {
            is_last_name(statement, savepoint(statement, unit(1) + 1)).then_some(Action::RollbackTo)
        }
        _ => None,
    }
}

/// Whether only transaction modes stand from token `at` to the end (`transaction_mode_list`).
pub(super) fn modes(statement: &Statement<'_>, mut at: usize, may_be_empty: bool) -> bool {
    let mut seen = may_be_empty;
    while at < statement.len() {
        let level = |at| match (statement.kw(at), statement.kw(at + 1)) {
            (Kw::Read, Kw::Committed | Kw::Uncommitted) | (Kw::Repeatable, Kw::Read) => Some(2),
            (Kw::Serializable, _) => Some(1),
            _ => None,
        };
        let words = match (statement.kw(at), statement.kw(at + 1)) {
            (Kw::Isolation, Kw::Level) => level(at + 2).map(|words| words + 2),
            (Kw::Read, Kw::Only | Kw::Write) | (Kw::Not, Kw::Deferrable) => Some(2),
            (Kw::Deferrable, _) => Some(1),
            _ => None,
        };
        let Some(words) = words else { return false };
        at += words;
        seen = true;
        if statement.is_punct(at, b',') {
            at += 1;
            if at == statement.len() {
                return false;
            }
        }
    }
    seen
}

/// `[AND [NO] CHAIN]` to the end: whether it chains.
fn chain(statement: &Statement<'_>, at: usize) -> Option<bool> {
    match statement.len().checked_sub(at)? {
        0 => Some(false),
        2 if statement.kws(at, &[Kw::And, Kw::Chain]) => Some(true),
        3 if statement.kws(at, &[Kw::And, Kw::No, Kw::Chain]) => Some(false),
        _ => None,
    }
}

/// Steps over the word SAVEPOINT, unless it is the name itself.
fn savepoint(statement: &Statement<'_>, at: usize) -> usize {
    let is_noise = statement.kw(at) == Kw::Savepoint && at + 1 < statement.len();
    at + usize::from(is_noise)
}

fn is_last_name(statement: &Statement<'_>, at: usize) -> bool {
    statement.name(at).is_some() && at + 1 == statement.len()
}
