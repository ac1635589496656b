//! Which relations a statement may use, and which it must not change as a whole.

use crate::guard::policy::policy::Policy;
use crate::guard::reading::class::StatementClass;
use crate::guard::reading::facts::{self, Facts};
use crate::guard::reading::filters::{self, Condition};
use crate::guard::reading::query::{Query, after_only};
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;
use crate::guard::verdict::denial::Denial;

/// What a policy says of relations.
pub(in crate::guard) struct Relations<'p> {
    pub(in crate::guard) policy: &'p Policy,
}

impl Relations<'_> {
    /// Applies the lists of denied relations and schemas: to every name that stands where only a relation can,
    /// and to every other name unless the grammar knows that it is no relation.
    pub(in crate::guard) fn judge_denied(&self, statement: &Statement<'_>) -> Result<(), Denial> {
        if !self.policy.has_denied_relations() {
            return Ok(());
        }
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
                return Err(self.denied(name, statement.offset(at)));
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
        Err(self.denied(name, statement.offset(at)))
    }

    fn denies(&self, facts: &Facts) -> bool {
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

    fn denied(&self, name: &str, at: usize) -> Denial {
        let message = format!("the policy \"{}\" denies {name}", self.policy.name());
        Denial::forbidden("policy.denied_relations", message).at(at)
    }

    /// Applies the lists of allowed relations and schemas to a query. Which names are relations only the grammar
    /// of the second layer knows: a query that it cannot parse is refused.
    pub(in crate::guard) fn judge_allowed(&self, query: &Statement<'_>) -> Result<(), Denial> {
        if !self.policy.lists_relations() {
            return Ok(());
        }
        self.judge_tables(query, facts::read(query))
    }

    /// Applies the same lists to the queries within expressions that are an argument list or a condition.
    pub(in crate::guard) fn judge_within(&self, expressions: &Statement<'_>) -> Result<(), Denial> {
        let begins_query = |at| {
            let kw = expressions.kw(at);
            matches!(kw, Kw::Select | Kw::Table | Kw::Values | Kw::With)
        };
        if !self.policy.lists_relations() || !(0..expressions.len()).any(begins_query) {
            return Ok(());
        }
        self.judge_tables(expressions, facts::read_selected(expressions))
    }

    fn judge_tables(&self, query: &Statement<'_>, facts: Option<Facts>) -> Result<(), Denial> {
        let Some(facts) = facts else {
            let message = format!(
                "the policy \"{}\" allows listed relations alone, and which ones this statement uses is not understood",
                self.policy.name()
            );
            return Err(Denial::forbidden("policy.allowed_relations", message)
                .hint("Write the statement in a simpler form, or put it into a function.")
                .at(query.offset(0)));
        };
        // `TABLE x` is a query that the grammar tells nothing of.
        let tables = (0..query.len()).filter(|at| query.kw(*at) == Kw::Table);
        for at in tables {
            self.judge_listed(query, after_only(query, at + 1))?;
        }
        for name in facts.tables.iter().chain(&facts.written) {
            let (schema, name) = qualified(name);
            if !self.policy.allows_relation(schema, name) {
                let shown = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
                let at = (0..query.len()).find(|at| query.name(*at) == Some(name));
                return Err(self.unlisted(&shown, query.offset(at.unwrap_or(0))));
            }
        }
        Ok(())
    }

    /// Applies the same lists to the relation whose name begins at token `at`.
    pub(in crate::guard) fn judge_listed(&self, statement: &Statement<'_>, at: usize) -> Result<(), Denial> {
        if !self.policy.lists_relations() {
            return Ok(());
        }
        let (schema, name) = statement.qualified_name(at);
        let name = name.unwrap_or("");
        if self.policy.allows_relation(schema, name) {
            return Ok(());
        }
        Err(self.unlisted(name, statement.offset(at)))
    }

    /// Applies them to a statement that names relations and nothing else: LOCK, TRUNCATE.
    pub(in crate::guard) fn judge_names(&self, statement: &Statement<'_>) -> Result<(), Denial> {
        if !self.policy.lists_relations() {
            return Ok(());
        }
        // `[TABLE] [ONLY] name [*], …`
        let mut at = 1 + usize::from(statement.kw(1) == Kw::Table && statement.len() > 2);
        loop {
            at = after_only(statement, at);
            self.judge_listed(statement, at)?;
            at = statement.after_name(at);
            at += usize::from(statement.is_punct(at, b')'));
            at += usize::from(statement.is_punct(at, b'*'));
            if !statement.is_punct(at, b',') {
                return Ok(());
            }
            at += 1;
        }
    }

    fn unlisted(&self, name: &str, at: usize) -> Denial {
        let message = format!(
            "the policy \"{}\" does not allow relation {name}",
            self.policy.name()
        );
        Denial::forbidden("policy.allowed_relations", message)
            .hint("The operator can add it to \"allowed_relations\" or its schema to \"allowed_schemas\".")
            .at(at)
    }

    /// Refuses an UPDATE, DELETE or MERGE that picks no rows where the policy asks for that. `query` is what `statement`
    /// does.
    pub(in crate::guard) fn judge_where(
        &self,
        statement: &Statement<'_>,
        query: &Query,
    ) -> Result<(), Denial> {
        for write in &query.writes {
            let Some(target) = write.target else { continue };
            let (schema, name) = statement.qualified_name(target);
            let name = name.unwrap_or("");
            if !self.policy.requires_where(schema, name) {
                continue;
            }
            let (lacks, at) = match write.class {
                StatementClass::Update | StatementClass::Delete => match write.filter {
                    Some(at) if Condition::of(statement, target).picks(at) => continue,
                    Some(at) => ("a WHERE that names a column of it", at),
                    None => ("WHERE", target),
                },
                StatementClass::Merge => match filters::unpicked_when(statement, target) {
                    Some(when) => ("a condition that names a column of it", when),
                    None => continue,
                },
                _ => continue,
            };
            let message = format!(
                "the policy \"{}\" does not allow {} of {name} without {lacks}",
                self.policy.name(),
                write.class
            );
            return Err(Denial::forbidden("policy.require_where", message)
                .hint("Say which rows are meant, in each arm of an OR.")
                .class(write.class)
                .at(statement.offset(at)));
        }
        Ok(())
    }
}

/// Whether the name whose last part is at `at` stands right after a word that only a relation follows.
pub(in crate::guard) fn is_relation_place(statement: &Statement<'_>, at: usize) -> bool {
    let mut first = at;
    while first > 1 && statement.is_punct(first - 1, b'.') {
        first -= 2;
    }
    // `ONLY (t)`
    if first > 1 && statement.is_punct(first - 1, b'(') && statement.kw(first - 2) == Kw::Only {
        return true;
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
