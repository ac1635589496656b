//! The rules for one statement.

use super::calls::{MakeLocal, Names};
use super::classify::{classify, is_utility, temporary};
use super::denial::Denial;
use super::lexer::Kw;
use super::policy::Policy;
use super::query::{self, Query};
use super::setting::{self, SetStatement};
use super::settings::{SetKind, Settable};
use super::statement::Statement;
use super::{Action, StatementClass, copy, facts, transaction};

/// What is judged by: one policy and what the whole guard shares.
pub(super) struct Rules<'p> {
    pub(super) policy: &'p Policy,
    pub(super) settable: &'p Settable,
}

/// An allowed statement.
#[derive(Debug)]
pub(super) struct Allowed {
    pub(super) class: StatementClass,
    pub(super) action: Action,
    pub(super) edits: Vec<MakeLocal>,
}

impl Rules<'_> {
    /// Judges one statement.
    pub(super) fn judge(&self, statement: &Statement<'_>) -> Result<Allowed, Denial> {
        let (class, query) = classify(statement);
        self.judge_class(statement, class, query.as_ref())
            .map_err(|denial| denial.class(class))
    }

    fn judge_class(
        &self,
        statement: &Statement<'_>,
        class: StatementClass,
        query: Option<&Query>,
    ) -> Result<Allowed, Denial> {
        let start = statement.offset(0);
        if class == StatementClass::Unknown {
            let near = statement.source(0);
            return Err(Denial::syntax(format!("syntax error at or near \"{}\"", shortened(near))).at(start));
        }
        if let Some(at) = temporary(statement, class, query) {
            return Err(Denial::unsupported(
                "statement.temporary",
                "temporary tables are not supported in transaction mode",
            )
            .hint("Use WITH, or an ordinary table.")
            .at(statement.offset(at)));
        }
        if !self.policy.allows(class) {
            return Err(Denial::statement(self.policy, class).at(start));
        }
        if class != StatementClass::Create
            && let Some(at) = (0..statement.len()).find(|at| statement.is_punct(*at, b';'))
        {
            return Err(Denial::syntax("syntax error at or near \";\"").at(statement.offset(at)));
        }
        let (action, edits) = match query {
            Some(query) => (Action::Query, self.query(statement, query, statement)?),
            None => self.command(statement, class)?,
        };
        Ok(Allowed { class, action, edits })
    }

    fn command(
        &self,
        statement: &Statement<'_>,
        class: StatementClass,
    ) -> Result<(Action, Vec<MakeLocal>), Denial> {
        use StatementClass as C;
        let malformed = || Denial::syntax(format!("syntax error in {class}")).at(statement.offset(0));
        let action = match class {
            C::Begin | C::Commit | C::Rollback | C::Savepoint | C::Release | C::RollbackTo => {
                transaction::read(statement, class).ok_or_else(malformed)?
            }
            C::Set | C::Reset | C::SetTransaction | C::SetConstraints => self.setting(statement)?,
            C::Deallocate => deallocate(statement).ok_or_else(malformed)?,
            C::DiscardAll if statement.len() == 2 => Action::DiscardAll,
            C::DiscardAll => return Err(malformed()),
            // Nothing is ever listened to, whichever channel is meant.
            C::Unlisten
                if statement.len() == 2 && (statement.is_punct(1, b'*') || statement.name(1).is_some()) =>
            {
                Action::UnlistenAll
            }
            C::Unlisten => return Err(malformed()),
            C::Close if statement.len() == 2 && statement.kw(1) == Kw::All => Action::CloseAll,
            C::Call => return Ok((Action::Call, self.names(statement, &[])?)),
            C::Do => Action::Call,
            C::CopyFrom | C::CopyTo => return self.copy(statement),
            C::Declare => return Ok((Action::Query, self.declare(statement)?)),
            C::Explain => return Ok((Action::Query, self.explain(statement)?)),
            _ if is_utility(statement, class) => Action::Utility,
            // DDL names functions to create or grant them, not to call them.
            _ if class.grant() == super::class::Grant::Trusted => Action::Query,
            _ => return Ok((Action::Query, self.names(statement, &[])?)),
        };
        Ok((action, Vec::new()))
    }

    /// Judges what a query does; `whole` is the statement it stands in.
    fn query(
        &self,
        statement: &Statement<'_>,
        query: &Query,
        whole: &Statement<'_>,
    ) -> Result<Vec<MakeLocal>, Denial> {
        let start = statement.offset(0);
        let class = if query.into.is_some() {
            StatementClass::SelectInto
        } else {
            query.class
        };
        let reads = query.reads.then_some(StatementClass::Select);
        for class in reads
            .into_iter()
            .chain([class])
            .chain(query.writes.iter().map(|write| write.class))
        {
            if !self.policy.allows(class) {
                return Err(Denial::statement(self.policy, class).at(start));
            }
        }
        let skipped = whole.len() - statement.len();
        let mut relations = Vec::new();
        for write in &query.writes {
            let Some(target) = write.target else { continue };
            self.target(statement, target)?;
            if write.class == StatementClass::Insert {
                relations.push(skipped + statement.after_name(target).saturating_sub(1));
            }
        }
        self.names(whole, &relations)
    }

    /// Judges the relation that is written to: the system's own are not the caller's to change. `UPDATE
    /// pg_settings` would be SET by another name.
    fn target(&self, statement: &Statement<'_>, at: usize) -> Result<(), Denial> {
        if self.policy.is_trusted() {
            return Ok(());
        }
        let end = statement.after_name(at);
        let Some(name) = end.checked_sub(1).and_then(|last| statement.name(last)) else {
            return Ok(());
        };
        let schema = (end >= at + 3).then(|| statement.name(end - 3)).flatten();
        let is_system = match schema {
            Some(schema) => schema == "information_schema" || schema.starts_with("pg_"),
            None => name.starts_with("pg_"),
        };
        if is_system {
            return Err(Denial::forbidden(
                "reserved.catalog_write",
                format!("writing to system relation {name} is not allowed"),
            )
            .hint("Use SET for settings of your session.")
            .at(statement.offset(at)));
        }
        Ok(())
    }

    /// Judges every name of the statement.
    fn names(&self, statement: &Statement<'_>, relations: &[usize]) -> Result<Vec<MakeLocal>, Denial> {
        let edits = Names {
            policy: self.policy,
            settable: self.settable,
        }
        .judge(statement, relations)?;
        if self.policy.has_denied_relations() {
            self.denied_relations(statement)?;
        }
        Ok(edits)
    }

    /// Applies the policy's relation and schema lists: to every name that stands where only a relation can,
    /// and to every other name unless the grammar knows that it is no relation.
    fn denied_relations(&self, statement: &Statement<'_>) -> Result<(), Denial> {
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

    fn setting(&self, statement: &Statement<'_>) -> Result<Action, Denial> {
        let start = statement.offset(0);
        Ok(match setting::read(statement) {
            SetStatement::Change { setting, value, at } => {
                let judged = self.settable.judge(self.policy, setting, value.as_deref());
                match judged.map_err(|denial| denial.at(statement.offset(at)))? {
                    SetKind::Setting(setting) => Action::Set(setting),
                    SetKind::Transaction => Action::SetTransaction,
                }
            }
            SetStatement::ResetAll => Action::ResetAll,
            SetStatement::Transaction => Action::SetTransaction,
            SetStatement::Constraints => Action::Query,
            SetStatement::Snapshot if self.policy.is_trusted() => Action::SetTransaction,
            SetStatement::Snapshot => {
                return Err(
                    Denial::forbidden("setting.snapshot", "SET TRANSACTION SNAPSHOT is not allowed")
                        .at(start),
                );
            }
            SetStatement::Characteristics => {
                return Err(Denial::statement(self.policy, StatementClass::SetCharacteristics).at(start));
            }
            SetStatement::Malformed => return Err(Denial::syntax("syntax error in SET or RESET").at(start)),
        })
    }

    fn copy(&self, statement: &Statement<'_>) -> Result<(Action, Vec<MakeLocal>), Denial> {
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
                let edits = self.query(&source, &query, &source)?;
                // The options after the query call nothing, but what is not looked at is not allowed.
                self.names(&statement.from(end), &[])?;
                edits
            }
            None => {
                if let Some(table) = copy.table {
                    if is_in {
                        self.target(statement, table)?;
                    }
                    relations.push(statement.after_name(table).saturating_sub(1));
                }
                self.names(statement, &relations)?
            }
        };
        Ok((if is_in { Action::CopyIn } else { Action::Query }, edits))
    }

    fn declare(&self, statement: &Statement<'_>) -> Result<Vec<MakeLocal>, Denial> {
        let malformed = || Denial::syntax("syntax error in DECLARE").at(statement.offset(0));
        let query_at = (2..statement.len())
            .find(|at| statement.kw(*at) == Kw::For)
            .ok_or_else(malformed)?
            + 1;
        if let Some(hold) = (2..query_at).find(|at| statement.kws(*at, &[Kw::With, Kw::Hold])) {
            return Err(Denial::unsupported(
                "statement.hold",
                "WITH HOLD cursors are not supported in transaction mode",
            )
            .hint("Fetch the rows inside the transaction, or leave WITH HOLD out.")
            .at(statement.offset(hold)));
        }
        let inner = statement.from(query_at);
        let query = query::read(&inner).ok_or_else(malformed)?;
        self.query(&inner, &query, statement)
    }

    fn explain(&self, statement: &Statement<'_>) -> Result<Vec<MakeLocal>, Denial> {
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
        if !self.policy.is_trusted()
            && let Some(analyze) = (1..at).find(is_analyze)
        {
            return Err(Denial::forbidden(
                "statement.explain_analyze",
                "EXPLAIN ANALYZE is not allowed for end-user roles",
            )
            .hint(
                "It shows how many rows of others were filtered out. EXPLAIN alone may be allowed by policy.",
            )
            .at(statement.offset(analyze)));
        }
        let inner = statement.from(at);
        if inner.len() == 0 {
            return Err(malformed());
        }
        let (class, query) = classify(&inner);
        if let Some(temp) = temporary(&inner, class, query.as_ref()) {
            return Err(Denial::unsupported(
                "statement.temporary",
                "temporary tables are not supported in transaction mode",
            )
            .at(inner.offset(temp)));
        }
        match query {
            Some(query) => self.query(&inner, &query, statement),
            None if class == StatementClass::Declare => self.declare(&inner),
            None if self.policy.allows(class) && class.grant() == super::class::Grant::Trusted => {
                Ok(Vec::new())
            }
            None if class == StatementClass::Unknown => Err(malformed()),
            None => Err(Denial::statement(self.policy, class).at(inner.offset(0))),
        }
    }
}

/// `DEALLOCATE [PREPARE] { name | ALL }`
fn deallocate(statement: &Statement<'_>) -> Option<Action> {
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

/// Whether the name whose last part is at `at` stands right after a word that only a relation follows.
pub(super) fn is_relation_place(statement: &Statement<'_>, at: usize) -> bool {
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

/// At most 40 characters, for messages.
fn shortened(text: &str) -> &str {
    text.char_indices()
        .nth(40)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}
