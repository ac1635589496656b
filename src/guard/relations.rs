//! Relations and schemas that a policy denies, wherever they are named.

use super::denial::Denial;
use super::facts;
use super::lexer::Kw;
use super::rules::Rules;
use super::statement::Statement;

impl Rules<'_> {
    /// Applies the policy's relation and schema lists: to every name that stands where only a relation can,
    /// and to every other name unless the grammar knows that it is no relation.
    pub(super) fn denied_relations(&self, statement: &Statement<'_>) -> Result<(), Denial> {
        let mut ambiguous = None;
        for at in 0..statement.len() {
            let Some(name) = statement.name(at) else { continue };
            let qualified = at > 1 && statement.is_punct(at - 1, b'.');
            let schema = if qualified { statement.name(at - 2) } else { None };
            let is_denied = self.policy.denies_relation(schema, name)
                || (statement.is_punct(at + 1, b'.') && self.policy.denies_schema(name));
            if !is_denied {
                continue;
            }
            if is_relation_place(statement, at) {
                return Err(self.denied_relation(name, statement.offset(at)));
            }
            ambiguous = ambiguous.or(Some((name, at)));
        }
        let Some((name, at)) = ambiguous else {
            return Ok(());
        };
        let is_known_column = facts::read(statement).is_some_and(|facts| !self.denies(&facts));
        if is_known_column {
            return Ok(());
        }
        Err(self.denied_relation(name, statement.offset(at)))
    }

    fn denies(&self, facts: &facts::Facts) -> bool {
        let schema_denied =
            |schema: Option<&str>| schema.is_some_and(|schema| self.policy.denies_schema(schema));
        let relation = |name: &String| {
            let (schema, name) = qualified(name);
            self.policy.denies_relation(schema, name) || schema_denied(schema)
        };
        facts.relations.iter().chain(&facts.written).any(relation)
            || facts
                .functions
                .iter()
                .any(|name| schema_denied(qualified(name).0))
    }

    fn denied_relation(&self, name: &str, at: usize) -> Denial {
        let message = format!("the policy \"{}\" denies {name}", self.policy.name());
        Denial::forbidden("policy.denied_relations", message).at(at)
    }
}

/// Whether the name whose last part is at `at` stands right after a word that only a relation follows.
fn is_relation_place(statement: &Statement<'_>, at: usize) -> bool {
    let mut first = at;
    while first > 1 && statement.is_punct(first - 1, b'.') {
        first -= 2;
    }
    let Some(before) = first.checked_sub(1) else {
        return false;
    };
    matches!(
        statement.kw(before),
        Kw::From | Kw::Into | Kw::Update | Kw::Table | Kw::Only | Kw::Using | Kw::Copy | Kw::Binary
    ) || statement.name(before) == Some("join")
}

/// A joined name's last schema and its last part.
fn qualified(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once('.') {
        Some((schema, last)) => (
            Some(schema.rsplit_once('.').map_or(schema, |(_, part)| part)),
            last,
        ),
        None => (None, name),
    }
}
