//! PREPARE and EXECUTE: statements that a session prepares in SQL. The session keeps their names, so each stands for
//! another name on the server.

use super::calls::not_kept;
use super::query::Rules;
use super::transaction_mode;
use crate::guard::reading::action::Action;
use crate::guard::reading::leading_keywords::classify;
use crate::guard::reading::prepared::{executed_name, prepared_query, statement_name};
use crate::guard::text::statement::Statement;
use crate::guard::verdict::allowed::MakeLocal;
use crate::guard::verdict::denial::Denial;

/// `PREPARE name [(types)] AS query`: the query is judged as if it were sent.
pub(super) fn prepare(
    rules: &Rules<'_>,
    statement: &Statement<'_>,
) -> Result<(Action, Vec<MakeLocal>), Denial> {
    let malformed = || Denial::syntax("syntax error in PREPARE").at(statement.offset(0));
    let name = statement_name(statement, 1).ok_or_else(malformed)?;
    let query = prepared_query(statement).ok_or_else(malformed)?;
    let types = statement
        .tokens
        .get(2..statement.len() - query.len())
        .unwrap_or_default();
    rules.names(
        &Statement {
            text: statement.text,
            tokens: types,
        },
        &[],
    )?;
    let (class, read) = classify(&query);
    transaction_mode::temporary(rules.policy, &query, class, read.as_ref())?;
    let read = read.ok_or_else(|| malformed().at(query.offset(0)))?;
    if read.into.is_some() {
        let denial = Denial::unsupported("statement.prepare", "utility statements cannot be prepared");
        return Err(denial.at(query.offset(0)));
    }
    let edits = rules.query(&query, &read, &query)?;
    // Whenever it is executed: nothing it sets is kept.
    if let Some(edit) = edits.iter().find(|edit| edit.keep.is_some()) {
        return Err(not_kept(edit.keep.as_deref().unwrap_or_default()).at(edit.at));
    }
    Ok((Action::Prepare(name), edits))
}

/// `EXECUTE name [(arguments)]`, `CREATE TABLE … AS EXECUTE …` and what EXPLAIN says of them: what is run was
/// judged when it was prepared, the arguments are judged now. `None` if the statement is nothing of these.
pub(super) fn execute(
    rules: &Rules<'_>,
    whole: &Statement<'_>,
    executing: &Statement<'_>,
) -> Option<Result<(Action, Vec<MakeLocal>), Denial>> {
    let at = executed_name(executing)?;
    Some(execute_named(rules, whole, whole.len() - executing.len() + at))
}

fn execute_named(
    rules: &Rules<'_>,
    whole: &Statement<'_>,
    at: usize,
) -> Result<(Action, Vec<MakeLocal>), Denial> {
    let malformed = || Denial::syntax("syntax error in EXECUTE").at(whole.offset(at));
    let name = statement_name(whole, at).ok_or_else(malformed)?;
    // With the name, the arguments look like a call.
    rules.relations().judge_within(&whole.from(at))?;
    let edits = rules.names(&whole.from(at + 1), &[])?;
    if let Some(edit) = edits.iter().find(|edit| edit.keep.is_some()) {
        return Err(not_kept(edit.keep.as_deref().unwrap_or_default()).at(edit.at));
    }
    Ok((Action::Execute(name), edits))
}
