//! PREPARE and EXECUTE in SQL. The name that a client gives stays here, among those it gives by Parse: on the
//! server the statement has a name of ours, which EXECUTE is sent with.

use std::sync::Arc;

use crate::base::{Fault, SqlState};
use crate::guard::{Action, Cleared, StatementName};
use crate::session::Session;
use crate::session::answer::wording::Wording;
use crate::session::link::Link;
use crate::session::link::effect::Effect;
use crate::session::link::warrant::ParseWarrant;
use crate::session::linked::Linked;
use crate::session::memory::names::NameChange;
use crate::session::memory::statement::{NOWHERE, Renamed, Statement};
use crate::wire::replies::{Delivery, Own};

/// What serves a client's statement now.
pub(in crate::session) enum AsOfNow {
    /// One that server connections share, or that the client's own transaction has for itself.
    Shared(Arc<Statement>),
    /// An EXECUTE with the server's name in it.
    Translated(Renamed),
}

impl AsOfNow {
    /// The name under which the server knows it, and which prepared statement that uses, if one that is kept.
    /// Sends what is missing for that.
    pub(in crate::session) fn name_on(
        &self,
        link: &mut Link,
        client_name: &[u8],
        warrant: &ParseWarrant,
    ) -> (&str, Option<Arc<Statement>>) {
        match self {
            Self::Translated(sql) => {
                link.parse_translated(sql, warrant);
                ("", None)
            }
            Self::Shared(statement) => {
                link.word(Wording::of_settings(statement));
                let name = link.statement_name(client_name, statement, warrant);
                (name, Some(Arc::clone(statement)))
            }
        }
    }
}

/// An EXECUTE as the server gets it.
struct Translated {
    sql: Renamed,
    /// The statement it runs; `None` if the client has none of that name.
    runs: Option<Arc<Statement>>,
}

impl Session {
    /// Runs a PREPARE: the server judges the query at once, by preparing it under our name.
    pub(in crate::session) fn prepare_in_sql(&mut self, cleared: &Cleared, name: &StatementName) {
        let key = name.name.as_bytes();
        let Some(statement) = self
            .shared
            .statements
            .prepared_in_sql(cleared, name, self.setup.context())
        else {
            return;
        };
        if let Err(fault) = self.names.check_new(key, statement.bytes()) {
            self.fail(fault);
            return;
        }
        let holding = match self.hold(key, Arc::clone(&statement)) {
            Ok(holding) => holding,
            Err(fault) => return self.fail(fault),
        };
        if let Some(mut linked) = self.linked() {
            let now = linked.as_of_now(statement);
            let warrant = linked.warrant_for_any();
            let link = linked.link;
            let start = cleared.prepared().map_or(0, |query| query.start);
            link.word(Some(match now.command() {
                Some(_) => Wording::renamed(cleared, name, now.prepared().name()),
                None => Wording::part(cleared.whole(), start),
            }));
            link.prepare_statement(&now, Delivery::Hide, Effect::None, warrant.to_parse());
            link.batch.asks_for_work();
        }
        self.change_name(NameChange::Set(key.into(), holding));
        self.answer(Own::Command("PREPARE"), Effect::NameChanged);
    }

    /// What an EXECUTE runs; `None` if the client has nothing of that name.
    ///
    /// # Errors
    /// It may not run, or not by EXECUTE.
    fn run_by(&mut self, name: &StatementName) -> Result<Option<Arc<Statement>>, Fault> {
        let target = self.cleared_statement(name.name.as_bytes())?;
        if let Some(target) = &target
            && target.action() != Some(&Action::Query)
        {
            return Err(Fault::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("EXECUTE cannot run what was prepared as \"{}\"", name.name),
            )
            .with_hint("Send the statement itself: only queries can be run by EXECUTE."));
        }
        Ok(target)
    }

    /// The same for a statement that is bound or described by the protocol: `None` also for one that is no EXECUTE.
    pub(in crate::session) fn run_by_statement(
        &mut self,
        statement: &Statement,
    ) -> Result<Option<Arc<Statement>>, Fault> {
        match statement.action() {
            Some(Action::Execute(name)) => self.run_by(name),
            _ => Ok(None),
        }
    }

    /// Runs an EXECUTE of a simple query.
    pub(in crate::session) fn execute_in_sql(&mut self, cleared: &Cleared, name: &StatementName) {
        let target = match self.run_by(name) {
            Ok(target) => target,
            Err(fault) => return self.fail(fault),
        };
        if let Some(mut linked) = self.linked() {
            let translated = linked.translate(cleared, name, target);
            let warrant = linked.warrant(Some(cleared.action()));
            let uses = translated.runs.map_or(Effect::None, Effect::Uses);
            linked.link.run_translated(&translated.sql, uses, warrant);
        }
    }

    /// In a failed transaction the server refuses all but its end: what is answered without the server must be
    /// refused as well, so the server is asked.
    pub(in crate::session) fn heed_failure(&mut self) {
        if let Some(link) = &mut self.link {
            link.heed_failure();
        }
    }
}

impl Linked<'_> {
    /// An EXECUTE with the server's name in it. What it runs is prepared on the server ahead of it. A name that
    /// the client does not have becomes one that the server does not have, so that the server says so when
    /// and where it should.
    fn translate(
        &mut self,
        cleared: &Cleared,
        name: &StatementName,
        target: Option<Arc<Statement>>,
    ) -> Translated {
        let target = target.map(|target| self.as_of_now(target));
        self.link
            .look_for_sequences(target.as_deref().and_then(Statement::cleared));
        let warrant = self.warrant_for_any();
        let mut ours = NOWHERE;
        if let Some(target) = &target {
            self.link.word(None);
            self.link
                .prepare_statement(target, Delivery::Hide, Effect::None, warrant.to_parse());
            ours = target.prepared().name();
        }
        if let Some(target) = target.as_deref().and_then(Statement::cleared) {
            self.note_alteration(target);
        }
        self.note_alteration(cleared);
        self.link.word(Some(Wording::renamed(cleared, name, ours)));
        Translated {
            sql: Renamed::execute(cleared, name, ours),
            runs: target,
        }
    }

    /// The statement that serves a client's one as names and literals are read now. A client's own may have been
    /// prepared under other settings.
    fn as_of_now(&self, statement: Arc<Statement>) -> Arc<Statement> {
        let now = self.link.context;
        if now == statement.context() {
            return statement;
        }
        self.shared.statements.in_context(&statement, now)
    }

    /// The same for a statement that is bound or described by the protocol. `target` is what it runs if it is an EXECUTE.
    pub(in crate::session) fn named_as_of_now(
        &mut self,
        client_name: &[u8],
        statement: &Arc<Statement>,
        target: Option<Arc<Statement>>,
    ) -> AsOfNow {
        if let (Some(Action::Execute(name)), Some(cleared)) = (statement.action(), statement.cleared()) {
            return AsOfNow::Translated(self.translate(cleared, name, target).sql);
        }
        // Where the transaction has settings of its own, the server's unnamed statement does, unless types that
        // Parse does not know were declared.
        let is_private = self.link.context.is_none();
        let statement = Arc::clone(statement);
        AsOfNow::Shared(
            if client_name.is_empty() || (is_private && statement.command().is_none()) {
                statement
            } else {
                self.as_of_now(statement)
            },
        )
    }
}
