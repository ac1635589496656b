//! The rules for one statement.

use super::bare::{Schemas, leaves_state, only_sets, reads_sequences};
use super::calls::{self, MakeLocal, Names};
use super::classify::{classify, is_utility};
use super::denial::Denial;
use super::fingerprint::Normalised;
use super::lexer::Kw;
use super::policy::Policy;
use super::prepare::deallocate;
use super::query::{self, Query};
use super::relations::Relations;
use super::scope::Scope;
use super::setting::{self, SetStatement};
use super::settings::{SetKind, Settable};
use super::statement::Statement;
use super::{Action, StatementClass, copy, registry, shared, temporary, transaction};

/// What is judged by: one policy and what the whole guard shares.
pub(super) struct Rules<'p> {
    pub(super) policy: &'p Policy,
    pub(super) settable: &'p Settable,
    pub(super) scope: Scope<'p>,
}

/// An allowed statement.
#[derive(Debug)]
pub(super) struct Allowed {
    pub(super) class: StatementClass,
    pub(super) action: Action,
    pub(super) edits: Vec<MakeLocal>,
    /// See [`super::Cleared::marks_connection`].
    pub(super) marks_connection: bool,
    /// See [`only_sets`].
    pub(super) only_sets: Option<Schemas>,
    /// See [`reads_sequences`].
    pub(super) reads_sequences: bool,
}

impl Rules<'_> {
    /// Judges one statement, knowing those behind it in the same text.
    pub(super) fn judge(
        &self,
        statement: &Statement<'_>,
        behind: &[Statement<'_>],
    ) -> Result<Allowed, Denial> {
        let (class, query) = classify(statement);
        self.judge_class(statement, behind, class, query.as_ref())
            .map_err(|denial| denial.class(class))
    }

    fn judge_class(
        &self,
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
        let makes_temporary = match shared::temporary(self.policy, statement, class, query) {
            Err(_) if self.policy.is_trusted() && temporary::ends_with_transaction(statement, behind) => true,
            verdict => verdict.map(|()| false)?,
        };
        if !self.policy.allows(class) {
            return Err(Denial::statement(self.policy, class).at(start).explain(statement));
        }
        if class != StatementClass::Create
            && let Some(at) = (0..statement.len()).find(|at| statement.is_punct(*at, b';'))
        {
            return Err(Denial::syntax("syntax error at or near \";\"").at(statement.offset(at)));
        }
        self.registered(statement, class)?;
        self.scope.judge(statement, class)?;
        let (action, edits) = match query {
            Some(query) => {
                let edits = self.query(statement, query, statement)?;
                let action = action_of(&edits);
                (action, edits)
            }
            None => self.command(statement, class)?,
        };
        Ok(Allowed {
            class,
            action,
            edits,
            marks_connection: makes_temporary || (self.policy.is_trusted() && leaves_state(statement)),
            only_sets: only_sets(statement),
            reads_sequences: reads_sequences(statement),
        })
    }

    fn command(
        &self,
        statement: &Statement<'_>,
        class: StatementClass,
    ) -> Result<(Action, Vec<MakeLocal>), Denial> {
        use StatementClass as C;
        let malformed = || Denial::syntax(format!("syntax error in {class}")).at(statement.offset(0));
        if let Some(verdict) = self.execute(statement, statement) {
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
                self.setting(statement)?
            }
            C::Prepare => return self.prepare(statement),
            C::Deallocate => deallocate(statement).ok_or_else(malformed)?,
            C::DiscardAll if statement.len() == 2 => Action::DiscardAll,
            C::DiscardAll => return Err(malformed()),
            // What is listened to and held there is the server's to know.
            C::Unlisten | C::Close if shared::keeps_connection(self.policy) => Action::Query,
            // Nothing is ever listened to, whichever channel is meant.
            C::Unlisten
                if statement.len() == 2 && (statement.is_punct(1, b'*') || statement.name(1).is_some()) =>
            {
                Action::UnlistenAll
            }
            C::Unlisten => return Err(malformed()),
            C::Close if statement.len() == 2 && statement.kw(1) == Kw::All => Action::CloseAll,
            C::Call => return self.call(statement),
            C::Do => Action::Call,
            C::CopyFrom | C::CopyTo => return self.copy(statement),
            C::Declare => return Ok((Action::Query, self.declare(statement)?)),
            C::Explain => return self.explain(statement),
            C::Lock | C::Truncate => {
                self.relations().judge_names(statement)?;
                return Ok((Action::Query, self.names(statement, &[])?));
            }
            C::Close | C::Fetch | C::Move | C::Show | C::Notify | C::Listen => {
                return Ok((Action::Query, self.names(statement, &[])?));
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
                return Err(Denial::statement(self.policy, class).at(statement.offset(0)));
            }
            // Judged by what their queries do, not here.
            C::Select | C::SelectInto | C::Insert | C::Update | C::Delete | C::Merge => {
                return Err(malformed());
            }
        };
        Ok((action, Vec::new()))
    }

    /// Judges what a query does; `whole` is the statement it stands in.
    pub(super) fn query(
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
        self.relations().judge_where(statement, query)?;
        self.relations().judge_allowed(statement)?;
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

    pub(super) fn relations(&self) -> Relations<'_> {
        Relations { policy: self.policy }
    }

    /// Refuses what is not registered, where the policy lets nothing else run.
    fn registered(&self, statement: &Statement<'_>, class: StatementClass) -> Result<(), Denial> {
        let Some(registered) = self.policy.registered() else {
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
            self.policy.name()
        );
        Err(Denial::forbidden("policy.registered", message)
            .hint(format!(
                "Its fingerprint is {fingerprint}; \"portcullis guard --learn\" registers statements."
            ))
            .at(statement.offset(0)))
    }

    /// Judges the relation that is written to: the system's own are not the caller's to change. `UPDATE
    /// pg_settings` would be SET by another name.
    fn target(&self, statement: &Statement<'_>, at: usize) -> Result<(), Denial> {
        let (schema, Some(name)) = statement.qualified_name(at) else {
            return Ok(());
        };
        // That one would change the server connection for whoever comes next.
        if self.policy.is_trusted() && name != "pg_settings" {
            return Ok(());
        }
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
    pub(super) fn names(
        &self,
        statement: &Statement<'_>,
        relations: &[usize],
    ) -> Result<Vec<MakeLocal>, Denial> {
        let edits = Names {
            policy: self.policy,
            settable: self.settable,
            scope: self.scope,
        }
        .judge(statement, relations)?;
        self.relations().judge_denied(statement)?;
        Ok(edits)
    }

    fn setting(&self, statement: &Statement<'_>) -> Result<Action, Denial> {
        let start = statement.offset(0);
        Ok(match setting::read(statement) {
            SetStatement::Change { setting, value, at } => {
                self.scope
                    .setting(&setting.name)
                    .map_err(|denial| denial.at(statement.offset(at)))?;
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
            SetStatement::Characteristics(defaults) => Action::SetDefaults(defaults),
            SetStatement::Malformed => return Err(Denial::syntax("syntax error in SET or RESET").at(start)),
        })
    }

    fn call(&self, statement: &Statement<'_>) -> Result<(Action, Vec<MakeLocal>), Denial> {
        self.relations().judge_within(&statement.from(1))?;
        Ok((Action::Call, self.names(statement, &[])?))
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
                // COPY is no query of its own: nothing it sets is kept.
                if let Some(edit) = edits.iter().find(|edit| edit.keep.is_some()) {
                    return Err(calls::not_kept(edit.keep.as_deref().unwrap_or_default()).at(edit.at));
                }
                // The options after the query call nothing, but what is not looked at is not allowed.
                self.names(&statement.from(end), &[])?;
                edits
            }
            None => {
                if let Some(table) = copy.table {
                    self.relations().judge_listed(statement, table)?;
                    if is_in {
                        self.target(statement, table)?;
                    }
                    relations.push(statement.after_name(table).saturating_sub(1));
                }
                if let Some(condition) = copy.condition {
                    self.relations().judge_within(&statement.from(condition))?;
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
        shared::hold(self.policy, statement, query_at)?;
        let inner = statement.from(query_at);
        let query = query::read(&inner).ok_or_else(malformed)?;
        self.query(&inner, &query, statement)
    }

    fn explain(&self, statement: &Statement<'_>) -> Result<(Action, Vec<MakeLocal>), Denial> {
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
        shared::temporary(self.policy, &inner, class, query.as_ref())?;
        let trusted = self.policy.allows(class) && class.grant() == super::class::Grant::Trusted;
        if (trusted || class == StatementClass::Execute)
            && let Some(verdict) = self.execute(statement, &inner)
        {
            return verdict;
        }
        let edits = match query {
            Some(query) => self.query(&inner, &query, statement)?,
            None if class == StatementClass::Declare => self.declare(&inner)?,
            None if trusted => Vec::new(),
            None if class == StatementClass::Unknown => return Err(malformed()),
            None => return Err(Denial::statement(self.policy, class).at(inner.offset(0))),
        };
        Ok((Action::Query, edits))
    }
}

/// What becomes of a query with these edits.
fn action_of(edits: &[MakeLocal]) -> Action {
    let mut kept: Vec<Box<str>> = edits.iter().filter_map(|edit| edit.keep.clone()).collect();
    kept.sort();
    kept.dedup();
    if kept.is_empty() {
        Action::Query
    } else {
        Action::SetConfig(kept.into())
    }
}

/// At most 40 characters, for messages.
fn shortened(text: &str) -> &str {
    text.char_indices()
        .nth(40)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}
