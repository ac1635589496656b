//! The verdict on one statement.

use super::calls;
use super::commands::command;
use super::connection_state::{leaves_state, reads_sequences};
use super::query::Rules;
use super::transaction_mode;
use crate::guard::policy::fingerprint::Normalised;
use crate::guard::policy::registry;
use crate::guard::reading::class::StatementClass;
use crate::guard::reading::leading_keywords::classify;
use crate::guard::reading::query::Query;
use crate::guard::reading::set_only::only_sets;
use crate::guard::reading::temporary;
use crate::guard::text::statement::Statement;
use crate::guard::verdict::allowed::{Allowed, action_of};
use crate::guard::verdict::denial::Denial;

/// Judges one statement, knowing those behind it in the same text.
pub(in crate::guard) fn judge(
    rules: &Rules<'_>,
    statement: &Statement<'_>,
    behind: &[Statement<'_>],
) -> Result<Allowed, Denial> {
    let (class, query) = classify(statement);
    judge_class(rules, statement, behind, class, query.as_ref()).map_err(|denial| denial.class(class))
}

fn judge_class(
    rules: &Rules<'_>,
    statement: &Statement<'_>,
    behind: &[Statement<'_>],
    class: StatementClass,
    query: Option<&Query>,
) -> Result<Allowed, Denial> {
    let start = statement.offset(0);
    if class == StatementClass::Unknown {
        let near = statement.source(0);
        return Err(Denial::syntax(format!("syntax error at or near \"{}\"", shortened(near))).at(start));
    }
    let makes_temporary = match transaction_mode::temporary(rules.policy, statement, class, query) {
        Err(_) if rules.policy.is_trusted() && temporary::ends_with_transaction(statement, behind) => true,
        verdict => verdict.map(|()| false)?,
    };
    if !rules.policy.allows(class) {
        return Err(Denial::statement(rules.policy, class)
            .at(start)
            .explain(statement));
    }
    if class != StatementClass::Create
        && let Some(at) = (0..statement.len()).find(|at| statement.is_punct(*at, b';'))
    {
        return Err(Denial::syntax("syntax error at or near \";\"").at(statement.offset(at)));
    }
    registered(rules, statement, class)?;
    rules.scope.judge(statement, class)?;
    let (action, edits) = match query {
        Some(query) => {
            let edits = rules.query(statement, query, statement)?;
            let action = action_of(&edits);
            (action, edits)
        }
        None => command(rules, statement, class)?,
    };
    Ok(Allowed {
        class,
        action,
        edits,
        marks_connection: makes_temporary || (rules.policy.is_trusted() && leaves_state(statement)),
        only_sets: only_sets(statement),
        reads_sequences: reads_sequences(statement),
    })
}

/// Refuses what is not registered, where the policy lets nothing else run.
fn registered(rules: &Rules<'_>, statement: &Statement<'_>, class: StatementClass) -> Result<(), Denial> {
    let Some(registered) = rules.policy.registered() else {
        return Ok(());
    };
    if !registry::concerns(class) || calls::is_harmless_unlock(statement) {
        return Ok(());
    }
    let fingerprint = Normalised::new(statement).fingerprint();
    if registered.has(statement, fingerprint) {
        return Ok(());
    }
    let message = format!(
        "the policy \"{}\" allows registered statements alone, and this one is not registered",
        rules.policy.name()
    );
    Err(Denial::forbidden("policy.registered", message)
        .hint(format!(
            "Its fingerprint is {fingerprint}; \"portcullis guard --learn\" registers statements."
        ))
        .at(statement.offset(0)))
}

/// At most 40 characters, for messages.
fn shortened(text: &str) -> &str {
    text.char_indices()
        .nth(40)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}
