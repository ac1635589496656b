//! The extended query protocol (PostgreSQL manual, 54.2.3): the client's statement names stay here, the
//! server's are shared by text.

use std::sync::Arc;

use crate::base::{Fault, SqlState};
use crate::guard::{Action, Cleared, Script};
use crate::session::Session;
use crate::session::answer::wording::Wording;
use crate::session::link::effect::Effect;
use crate::session::link::{Link, OfPortal};
use crate::session::linked::Linked;
use crate::session::memory::holding::Judged;
use crate::session::memory::names::NameChange;
use crate::session::memory::statement;
use crate::session::request::inbound::Outcome;
use crate::session::request::judging::Turned;
use crate::session::request::pending_message::Found;
use crate::wire::body::{Named, Parse, Target};
use crate::wire::replies::{Awaited, Delivery, Own};

impl Session {
    /// Parse: judged, named, and sent unless the server knows the text.
    pub(in crate::session) fn parse(&mut self, message: &Parse<'_>, turned: Option<Turned>) -> Outcome {
        match self.judge_statement(message, turned) {
            Ok(script) => self.prepare(message, script),
            Err(fault) => self.refuse_parse(message.name, fault),
        }
    }

    /// A Parse of a text that may run.
    pub(in crate::session) fn prepare(&mut self, message: &Parse<'_>, script: Arc<Script>) -> Outcome {
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
        if let Some(mut linked) = self.linked() {
            let warrant = linked.parse_warrant(statement.action());
            let link = linked.link;
            link.word(Wording::of_settings(&statement));
            match statement.action() {
                Some(Action::Execute(_)) => {
                    link.parse_untranslated(&statement, Effect::NameChanged, &warrant)
                }
                _ => link.parse_statement(message.name, &statement, Effect::NameChanged, &warrant),
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
    pub(in crate::session) fn describe(&mut self, message: &Named<'_>) -> Outcome {
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
        if self.link.is_none() {
            return Outcome::Lease(Found::Names);
        }
        let target = match self.run_by_statement(&statement) {
            Ok(target) => target,
            Err(fault) => return self.refuse(fault),
        };
        let Some(mut linked) = self.linked() else {
            return Outcome::Lease(Found::Names);
        };
        let now = linked.named_as_of_now(name, &statement, target);
        let warrant = linked.parse_warrant(statement.action());
        let link = linked.link;
        let (server_name, used) = now.name_on(link, name, &warrant);
        let uses = used.map_or(Effect::None, Effect::Uses);
        link.upstream.describe_statement(server_name);
        link.expect(Awaited::StatementDescription, Delivery::Forward, uses);
        Outcome::Done
    }

    fn describe_portal(&mut self, name: &[u8]) -> Outcome {
        let Some(mut linked) = self.linked() else {
            return self.without_portals(name);
        };
        let link = &mut *linked.link;
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
            linked.warrant_for_any();
        }
        forward_named(
            linked.link,
            OfPortal::Describe,
            name,
            Awaited::PortalDescription,
            Effect::None,
        );
        Outcome::Done
    }

    /// A portal is named while no server connection is held. A cursor may have outlived its transaction on one that the
    /// session keeps; else there is none.
    fn without_portals(&mut self, name: &[u8]) -> Outcome {
        if self.kept.is_here() {
            return Outcome::Lease(Found::Names);
        }
        self.refuse(unknown_portal(name))
    }

    /// Close: a statement's name is forgotten here, a portal is closed on the server.
    pub(in crate::session) fn close(&mut self, message: &Named<'_>) -> Outcome {
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
        let Some(link) = &mut self.link else {
            return Outcome::Lease(Found::Names);
        };
        link.portals.close(name);
        forward_named(link, OfPortal::Close, name, Awaited::Close, Effect::PortalChanged);
        Outcome::Done
    }

    /// Execute: what the portal runs decides what goes with it.
    pub(in crate::session) fn execute(&mut self, portal: &[u8], body: &[u8]) -> Outcome {
        let Some(link) = &mut self.link else {
            return self.without_portals(portal);
        };
        let Some(statement) = link.portals.get(portal).cloned() else {
            if portal.is_empty() {
                // What the server has there is of a simple query, or ours.
                return self.refuse(unknown_portal(portal));
            }
            // An SQL cursor: reading it reads data.
            let warrant = link.warrant_for_any(self.setup.opening());
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
        let was_own = link.block.is_ours();
        let Some(mut linked) = self.linked() else {
            return Outcome::Done;
        };
        if linked.take_over_block(cleared, portal) {
            return Outcome::Done;
        }
        if matches!(cleared.action(), Action::Begin) && was_own {
            // The end of our own block takes the client's portal with it.
            linked.link.block.loses_portal();
        }
        if !self.is_settled_for(Some(cleared)) {
            return Outcome::Blocked;
        }
        self.execute_cleared(cleared, portal, body)
    }

    fn execute_cleared(&mut self, cleared: &Cleared, portal: &[u8], body: &[u8]) -> Outcome {
        match self.linked().map(|linked| linked.execute(cleared, portal, body)) {
            Some(Err(fault)) => self.refuse(fault),
            Some(Ok(())) | None => Outcome::Done,
        }
    }
}

/// Passes on a message that names a portal.
fn forward_named(link: &mut Link, what: OfPortal, portal: &[u8], awaited: Awaited, effect: Effect) {
    link.upstream.of_portal(what, portal);
    link.expect(awaited, Delivery::Forward, effect);
}

pub(in crate::session) fn unknown_statement(name: &[u8]) -> Fault {
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

impl Linked<'_> {
    /// Runs a portal of a cleared statement.
    fn execute(mut self, cleared: &Cleared, portal: &[u8], body: &[u8]) -> Result<(), Fault> {
        // Behind another statement of the batch it would find a block on newer servers without us, too.
        if !self.link.batch.has_executed()
            && let Some(fault) = self.misses_block(cleared)
        {
            return Err(fault);
        }
        let warrant = self.warrant(Some(cleared.action()));
        let effect = self.before_execution(cleared, portal)?;
        if self.link.block.take_lost_portal() {
            self.link.bind_again(portal, cleared, &warrant);
        }
        self.link.execute(body, effect, warrant);
        self.after_execution(cleared.action());
        Ok(())
    }
}
