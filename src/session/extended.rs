//! The extended query protocol (PostgreSQL manual, 54.2.3): the client's statement names stay here, the
//! server's are shared by text.

use std::sync::Arc;

use super::Session;
use super::effect::Effect;
use super::holding::Judged;
use super::inbound::Outcome;
use super::judging::Turned;
use super::link::{Asked, Block, Executed, Lost};
use super::names::NameChange;
use super::pending::SAVEPOINT_BYTES;
use super::pending_message::Found;
use super::statement;
use super::warrant::Warrant;
use super::wording::Wording;
use crate::base::{Fault, SqlState, limits};
use crate::guard::{Action, Cleared, Script};
use crate::wire::body::{Named, Parse, Target};
use crate::wire::encode;
use crate::wire::replies::{Awaited, Delivery, Own};
use crate::wire::tag::client as tag;

impl Session {
    /// Parse: judged, named, and sent unless the server knows the text.
    pub(super) fn parse(&mut self, message: &Parse<'_>, turned: Option<Turned>) -> Outcome {
        match self.judge_statement(message, turned) {
            Ok(script) => self.prepare(message, script),
            Err(fault) => self.refuse_parse(message.name, fault),
        }
    }

    /// A Parse of a text that may run.
    pub(super) fn prepare(&mut self, message: &Parse<'_>, script: Arc<Script>) -> Outcome {
        if let Err(fault) = self.names.check_new(message.name, message.sql.len()) {
            self.heed_failure();
            return self.refuse(fault);
        }
        let action = script.statements().first().map(Cleared::action);
        if statement::is_session_command(action) {
            if action.is_some() {
                self.heed_failure();
            }
            let statement = self.statement_of(message, script);
            let holding = match self.hold(message.name, statement) {
                Ok(holding) => holding,
                Err(fault) => return self.refuse_parse(message.name, fault),
            };
            self.change_name(NameChange::Set(message.name.into(), holding));
            self.answer(Own::ParseComplete, Effect::NameChanged);
            return Outcome::Done;
        }
        if self.link.is_none() {
            return Outcome::Lease(Found::Verdict(Judged::new(self.account(), script)));
        }
        let statement = self.statement_of(message, script);
        let room = self.ask_upstream(statement.sql().len());
        let holding = match room.and_then(|()| self.hold(message.name, Arc::clone(&statement))) {
            Ok(holding) => holding,
            Err(fault) => return self.refuse_parse(message.name, fault),
        };
        self.change_name(NameChange::Set(message.name.into(), holding));
        let warrant = self.warrant(statement.action());
        if let (Some(warrant), Some(link)) = (warrant, &mut self.link) {
            link.word(Wording::of_settings(&statement));
            match statement.action() {
                Some(Action::Execute(_)) => link.parse_untranslated(&statement, Effect::NameChanged, warrant),
                _ => link.parse_statement(message.name, &statement, Effect::NameChanged, warrant),
            }
        }
        Outcome::Done
    }

    /// A Parse fails. As the server: the unnamed statement is gone before the new one is looked at.
    fn refuse_parse(&mut self, name: &[u8], fault: Fault) -> Outcome {
        if name.is_empty() {
            self.change_name(NameChange::Remove(name.into()));
            self.answer(Own::Silence, Effect::NameChanged);
        }
        self.refuse(fault)
    }

    /// Describe of a statement or a portal.
    pub(super) fn describe(&mut self, message: &Named<'_>) -> Outcome {
        match message.target {
            Target::Statement => self.describe_statement(message.name),
            Target::Portal => self.describe_portal(message.name),
        }
    }

    fn describe_statement(&mut self, name: &[u8]) -> Outcome {
        let statement = match self.cleared_statement(name) {
            Ok(Some(statement)) => statement,
            Ok(None) => return self.refuse(unknown_statement(name)),
            Err(fault) => return self.refuse(fault),
        };
        if statement::is_session_command(statement.action()) {
            self.answer(Own::NoParameters, Effect::None);
            self.answer(Own::NoData, Effect::None);
            return Outcome::Done;
        }
        if let Some(lease) = self.need_link() {
            return lease;
        }
        let now = match self.named_as_of_now(name, &statement) {
            Ok(now) => now,
            Err(fault) => return self.refuse(fault),
        };
        let warrant = self.warrant(statement.action());
        if let (Some(warrant), Some(link)) = (warrant, &mut self.link) {
            let (server_name, used) = now.name_on(link, name, warrant);
            let uses = used.map_or(Effect::None, Effect::Uses);
            encode::describe_statement(&mut link.upstream, server_name);
            link.expect(Awaited::StatementDescription, Delivery::Forward, uses);
        }
        Outcome::Done
    }

    fn describe_portal(&mut self, name: &[u8]) -> Outcome {
        if let Some(lease) = self.need_kept() {
            return lease;
        }
        let Some(link) = &mut self.link else {
            return self.refuse(unknown_portal(name));
        };
        let action = link
            .portals
            .get(name)
            .map(|statement| statement.action().cloned());
        if let Some(action) = &action
            && statement::is_session_command(action.as_ref())
        {
            link.answer(Own::NoData, Effect::None);
            return Outcome::Done;
        }
        if action.is_none() && name.is_empty() {
            return self.refuse(unknown_portal(name));
        }
        if action.is_none() {
            // An SQL cursor, which shows data.
            self.warrant(Some(&Action::Query));
        }
        self.forward_named(tag::DESCRIBE, name, Awaited::PortalDescription, Effect::None)
    }

    /// Close: a statement's name is forgotten here, a portal is closed on the server.
    pub(super) fn close(&mut self, message: &Named<'_>) -> Outcome {
        match message.target {
            Target::Statement => {
                self.change_name(NameChange::Remove(message.name.into()));
                self.answer(Own::CloseComplete, Effect::NameChanged);
                Outcome::Done
            }
            Target::Portal if self.link.is_none() && !self.kept.is_here() => {
                // Closing a portal that does not exist is no error (PostgreSQL manual, 54.2.3).
                self.answer(Own::CloseComplete, Effect::None);
                Outcome::Done
            }
            Target::Portal => self.close_portal(message.name),
        }
    }

    fn close_portal(&mut self, name: &[u8]) -> Outcome {
        if let Some(lease) = self.need_kept() {
            return lease;
        }
        if let Some(link) = &mut self.link {
            link.portals.close(name);
        }
        self.forward_named(tag::CLOSE, name, Awaited::Close, Effect::PortalChanged)
    }

    fn forward_named(&mut self, tag: u8, portal: &[u8], awaited: Awaited, effect: Effect) -> Outcome {
        if let Some(link) = &mut self.link {
            encode::put_head(&mut link.upstream, tag, portal.len() + 2);
            link.upstream.push(b'P');
            link.upstream.extend_from_slice(portal);
            link.upstream.push(0);
            link.expect(awaited, Delivery::Forward, effect);
        }
        Outcome::Done
    }

    /// Execute: what the portal runs decides what goes with it.
    pub(super) fn execute(&mut self, portal: &[u8], body: &[u8]) -> Outcome {
        if let Some(lease) = self.need_kept() {
            return lease;
        }
        let Some(link) = &mut self.link else {
            return self.refuse(unknown_portal(portal));
        };
        let Some(statement) = link.portals.get(portal).cloned() else {
            if portal.is_empty() {
                // What the server has there is of a simple query, or ours.
                return self.refuse(unknown_portal(portal));
            }
            // An SQL cursor: reading it reads data.
            let warrant = link.warrant(Some(&Action::Query), self.setup.opening());
            link.execute(body, Effect::None, warrant);
            return Outcome::Done;
        };
        let Some(cleared) = statement.cleared() else {
            link.answer(Own::EmptyQuery, Effect::None);
            return Outcome::Done;
        };
        if statement::is_session_command(Some(cleared.action())) {
            self.session_command(cleared);
            return Outcome::Done;
        }
        let was_own = link.block_ahead == Block::Own;
        if self.take_over_block(cleared, portal) {
            return Outcome::Done;
        }
        if matches!(cleared.action(), Action::Begin)
            && was_own
            && let Some(link) = &mut self.link
        {
            // The end of our own block takes the client's portal with it.
            link.lost = Lost::Portal;
        }
        if !self.is_settled_for(Some(cleared)) {
            return Outcome::Blocked;
        }
        self.execute_cleared(cleared, portal, body)
    }

    fn execute_cleared(&mut self, cleared: &Cleared, portal: &[u8], body: &[u8]) -> Outcome {
        // Behind another statement of the batch it would find a block on newer servers without us, too.
        if self
            .link
            .as_ref()
            .is_some_and(|link| link.executed == Executed::Nothing)
            && let Some(fault) = self.misses_block(cleared)
        {
            return self.refuse(fault);
        }
        let warrant = self.warrant(Some(cleared.action()));
        let effect = match self.before_execution(cleared, portal) {
            Ok(effect) => effect,
            Err(fault) => return self.refuse(fault),
        };
        if let (Some(warrant), Some(link)) = (warrant, &mut self.link) {
            if std::mem::take(&mut link.lost) == Lost::Portal {
                link.bind_again(portal, cleared);
            }
            link.execute(body, effect, warrant);
        }
        self.after_execution(cleared.action());
        Outcome::Done
    }

    // ---- shared steps -------------------------------------------------------------------------------

    pub(super) fn refuse(&mut self, fault: Fault) -> Outcome {
        self.fail(fault);
        Outcome::Done
    }

    /// Gives the replies of our own whose turn has come.
    pub(super) fn give_own_replies(&mut self) {
        while let Some((own, effect)) = self.link.as_mut().and_then(|link| link.replies.take_own()) {
            own.put(&mut self.client.outbox);
            self.apply(effect, &[]);
        }
    }

    /// Gives a reply of our own: in its turn while a server takes part, at once otherwise.
    pub(super) fn answer(&mut self, own: Own, effect: Effect) {
        match &mut self.link {
            Some(link) if !link.is_clean() => link.answer(own, effect),
            _ => {
                own.put(&mut self.client.outbox);
                if let Effect::NameChanged = effect {
                    self.names.apply_change();
                }
            }
        }
    }

    /// `None` when there is a server connection; otherwise what a message comes to that names what the session knows.
    pub(super) fn need_link(&self) -> Option<Outcome> {
        self.link.is_none().then_some(Outcome::Lease(Found::Names))
    }

    /// The right to send a statement on the server connection at hand; `None` without one.
    pub(super) fn warrant(&mut self, action: Option<&Action>) -> Option<Warrant> {
        let link = self.link.as_mut()?;
        Some(link.warrant(action, self.setup.opening()))
    }

    /// Keeps account of what executing a portal does to the transaction. Called right before it is sent; an
    /// error is what the client gets instead.
    pub(super) fn before_execution(&mut self, cleared: &Cleared, portal: &[u8]) -> Result<Effect, Fault> {
        match cleared.action() {
            Action::Call => self.open_own_block(),
            Action::SetConfig(names) => self.before_set_config(names)?,
            Action::Begin => self.commit_own_block(),
            Action::Savepoint(_) if self.setup.savepoints() >= limits::SAVEPOINTS => {
                return Err(too_many_savepoints());
            }
            Action::Savepoint(_) => self.ask_for_settings(SAVEPOINT_BYTES)?,
            _ => {}
        }
        self.note_alteration(cleared);
        self.make_way(cleared);
        let Some(link) = &mut self.link else {
            return Ok(Effect::None);
        };
        Ok(match cleared.action() {
            Action::Begin => {
                link.put_modes(&self.setup.opening().modes);
                link.in_block = true;
                link.block_ahead = Block::Clients;
                link.portals.close(portal);
                Effect::BlockBegan
            }
            Action::SetTransaction => {
                link.put_modes(&self.setup.opening().modes);
                Effect::None
            }
            Action::Commit { chain } | Action::Rollback { chain } => {
                link.transaction_ends(if *chain { Block::Clients } else { Block::None });
                Effect::TransactionEnded(link.block_ahead)
            }
            Action::PrepareTransaction => {
                link.transaction_ends(Block::None);
                Effect::TransactionEnded(Block::None)
            }
            Action::Savepoint(name) => Effect::SavepointSet(name.clone()),
            Action::Release(name) => Effect::SavepointReleased(name.clone()),
            Action::RollbackTo(name) => Effect::RolledBackTo(name.clone()),
            Action::Query
            | Action::CopyIn
            | Action::Call
            | Action::Set(_)
            | Action::SetDefaults(_)
            | Action::SetConfig(_)
            | Action::ResetAll
            | Action::DiscardAll
            | Action::UnlistenAll
            | Action::CloseAll
            | Action::Deallocate(_)
            | Action::Prepare(_)
            | Action::Execute(_)
            | Action::Utility => Effect::None,
        })
    }

    /// The same, right after it was sent.
    pub(super) fn after_execution(&mut self, action: &Action) {
        match action {
            Action::SetConfig(names) => self.after_set_config(names),
            Action::CopyIn => {
                if let Some(link) = &mut self.link {
                    link.asked = Asked::Copy;
                }
            }
            _ => {}
        }
    }
}

fn too_many_savepoints() -> Fault {
    Fault::error(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        "too many savepoints in one transaction",
    )
    .with_hint(format!(
        "At most {} may be set at a time. Release those that are not needed.",
        limits::SAVEPOINTS
    ))
}

pub(super) fn unknown_statement(name: &[u8]) -> Fault {
    let message = if name.is_empty() {
        "unnamed prepared statement does not exist".to_owned()
    } else {
        format!(
            "prepared statement \"{}\" does not exist",
            String::from_utf8_lossy(name)
        )
    };
    Fault::error(SqlState::INVALID_STATEMENT_NAME, message)
}

fn unknown_portal(name: &[u8]) -> Fault {
    Fault::error(
        SqlState::INVALID_CURSOR_NAME,
        format!("portal \"{}\" does not exist", String::from_utf8_lossy(name)),
    )
}
