//! Transaction control: BEGIN to RELEASE and the modes of transactions, each read to its last token.

use super::action::Action;
use super::class::StatementClass;
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;

/// What a statement of transaction control does; `None` if it is not formed as the grammar has it.
///
/// `TransactionStmt` of gram.y.
pub(in crate::guard) fn read(statement: &Statement<'_>, class: StatementClass) -> Option<Action> {
    let unit = |at: usize| at + usize::from(matches!(statement.kw(at), Kw::Work | Kw::Transaction));
    match class {
        StatementClass::Begin => {
            let from = if statement.kw(0) == Kw::Start { 2 } else { unit(1) };
            (from == statement.len() || modes(statement, from).is_some()).then_some(Action::Begin)
        }
        StatementClass::Commit => chain(statement, unit(1)).map(|chain| Action::Commit { chain }),
        StatementClass::Rollback => chain(statement, unit(1)).map(|chain| Action::Rollback { chain }),
        StatementClass::Savepoint => last_name(statement, 1).map(Action::Savepoint),
        StatementClass::Release => last_name(statement, savepoint(statement, 1)).map(Action::Release),
        StatementClass::RollbackTo => {
            last_name(statement, savepoint(statement, unit(1) + 1)).map(Action::RollbackTo)
        }
        StatementClass::PrepareTransaction => identifier(statement).then_some(Action::PrepareTransaction),
        // They refuse to run in a transaction block.
        StatementClass::CommitPrepared | StatementClass::RollbackPrepared => {
            identifier(statement).then_some(Action::Utility)
        }
        _ => None,
    }
}

/// Whether two words and the identifier of a prepared transaction are all there is.
fn identifier(statement: &Statement<'_>) -> bool {
    statement.len() == 3 && statement.is_string(2)
}

/// One mode of a transaction: the setting that holds it, and its value.
pub(in crate::guard) type Mode = (&'static str, &'static str);

/// The transaction modes that stand from token `at` to the end (`transaction_mode_list`); `None` if there are
/// none, or anything else.
pub(in crate::guard) fn modes(statement: &Statement<'_>, mut at: usize) -> Option<Vec<Mode>> {
    let mut modes = Vec::new();
    while at < statement.len() {
        let (mode, words) = mode(statement, at)?;
        modes.push(mode);
        at += words;
        if statement.is_punct(at, b',') {
            at += 1;
            if at == statement.len() {
                return None;
            }
        }
    }
    (!modes.is_empty()).then_some(modes)
}

/// The mode at `at` and how many words it has.
fn mode(statement: &Statement<'_>, at: usize) -> Option<(Mode, usize)> {
    let (isolation, read_only, deferrable) = (
        "transaction_isolation",
        "transaction_read_only",
        "transaction_deferrable",
    );
    Some(match (statement.kw(at), statement.kw(at + 1)) {
        (Kw::Isolation, Kw::Level) => {
            let (level, words) = match (statement.kw(at + 2), statement.kw(at + 3)) {
                (Kw::Read, Kw::Committed) => ("read committed", 2),
                (Kw::Read, Kw::Uncommitted) => ("read uncommitted", 2),
                (Kw::Repeatable, Kw::Read) => ("repeatable read", 2),
                (Kw::Serializable, _) => ("serializable", 1),
                _ => return None,
            };
            ((isolation, level), words + 2)
        }
        (Kw::Read, Kw::Only) => ((read_only, "on"), 2),
        (Kw::Read, Kw::Write) => ((read_only, "off"), 2),
        (Kw::Not, Kw::Deferrable) => ((deferrable, "off"), 2),
        (Kw::Deferrable, _) => ((deferrable, "on"), 1),
        _ => return None,
    })
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

/// The name at `at`, if it is the last token.
fn last_name(statement: &Statement<'_>, at: usize) -> Option<Box<str>> {
    statement
        .name(at)
        .filter(|_| at + 1 == statement.len())
        .map(Into::into)
}
