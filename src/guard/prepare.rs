//! PREPARE, EXECUTE and DEALLOCATE: statements that a session prepares in SQL (`PrepareStmt`, `ExecuteStmt`,
//! `DeallocateStmt`, gram.y). The session keeps their names, so each stands for another name on the server.

use super::calls::MakeLocal;
use super::classify::{classify, temporary};
use super::denial::Denial;
use super::lexer::Kw;
use super::rules::Rules;
use super::statement::Statement;
use super::verdict::StatementName;
use super::Action;

impl Rules<'_> {
    /// `PREPARE name [(types)] AS query`: the query is judged as if it were sent.
    pub(super) fn prepare(
        &self,
        statement: &Statement<'_>,
    ) -> Result<(Action, Vec<MakeLocal>), Denial> {
        let malformed = || Denial::syntax("syntax error in PREPARE").at(statement.offset(0));
        let name = statement_name(statement, 1).ok_or_else(malformed)?;
        let query = prepared_query(statement).ok_or_else(malformed)?;
        let types = statement.tokens.get(2..statement.len() - query.len()).unwrap_or_default();
        self.names(
            &Statement {
                text: statement.text,
                tokens: types,
            },
            &[],
        )?;
        let (class, read) = classify(&query);
        if let Some(at) = temporary(&query, class, read.as_ref()) {
            return Err(Denial::unsupported(
                "statement.temporary",
                "temporary tables are not supported in transaction mode",
            )
            .at(query.offset(at)));
        }
        let read = read.ok_or_else(|| malformed().at(query.offset(0)))?;
        let edits = self.query(&query, &read, &query)?;
        Ok((Action::Prepare(name), edits))
    }

    /// `EXECUTE name [(arguments)]`, `CREATE TABLE … AS EXECUTE …` and what EXPLAIN says of them: what is run was
    /// judged when it was prepared, the arguments are judged now. `None` if the statement is nothing of these.
    pub(super) fn execute(
        &self,
        whole: &Statement<'_>,
        executing: &Statement<'_>,
    ) -> Option<Result<(Action, Vec<MakeLocal>), Denial>> {
        let at = executed_name(executing)?;
        Some(self.execute_named(whole, whole.len() - executing.len() + at))
    }

    fn execute_named(
        &self,
        whole: &Statement<'_>,
        at: usize,
    ) -> Result<(Action, Vec<MakeLocal>), Denial> {
        let malformed = || Denial::syntax("syntax error in EXECUTE").at(whole.offset(at));
        let name = statement_name(whole, at).ok_or_else(malformed)?;
        let edits = self.names(&whole.from(at + 1), &[])?;
        Ok((Action::Execute(name), edits))
    }
}

/// The query of a PREPARE.
pub(super) fn prepared_query<'a>(statement: &Statement<'a>) -> Option<Statement<'a>> {
    let as_at = if statement.is_punct(2, b'(') {
        statement.closing(2) + 1
    } else {
        2
    };
    let query = statement.from(as_at + 1);
    (statement.kw(as_at) == Kw::As && query.len() > 0).then_some(query)
}

/// `DEALLOCATE [PREPARE] { name | ALL }`
pub(super) fn deallocate(statement: &Statement<'_>) -> Option<Action> {
    let at = if statement.kw(1) == Kw::Prepare && statement.len() == 3 {
        2
    } else {
        1
    };
    if at + 1 != statement.len() {
        return None;
    }
    if statement.kw(at) == Kw::All {
        return Some(Action::Deallocate(None));
    }
    statement
        .name(at)
        .map(|name| Action::Deallocate(Some(name.into())))
}

/// The token that names the statement that EXECUTE runs. `CREATE TABLE` takes its rows from what follows its
/// first AS outside parentheses; everything else between them is a name, a list or an option.
fn executed_name(statement: &Statement<'_>) -> Option<usize> {
    if statement.kw(0) == Kw::Execute {
        return Some(1);
    }
    if statement.kw(0) != Kw::Create || !(1..4).any(|at| statement.kw(at) == Kw::Table) {
        return None;
    }
    let mut depth = 0_usize;
    for at in 1..statement.len() {
        if statement.is_punct(at, b'(') {
            depth += 1;
        } else if statement.is_punct(at, b')') {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && statement.kw(at) == Kw::As {
            return (statement.kw(at + 1) == Kw::Execute).then_some(at + 2);
        }
    }
    None
}

/// The name at a token, and where it stands in the statement.
fn statement_name(statement: &Statement<'_>, at: usize) -> Option<StatementName> {
    let range = statement.get(at)?.range();
    let start = statement.offset(0);
    Some(StatementName {
        name: statement.name(at)?.into(),
        place: range.start.checked_sub(start)?..range.end.checked_sub(start)?,
    })
}
