//! Bind: a portal of the client's for a statement of the server's.

use std::sync::Arc;

use crate::base::{Fault, SqlState, limits};
use crate::session::link::effect::Effect;
use crate::session::linked::Linked;
use crate::session::memory::names::{NameHash, too_many};
use crate::session::memory::statement::{self, Statement};
use crate::session::request::execute::AsOfNow;
use crate::session::request::extended::unknown_statement;
use crate::session::request::inbound::{Inbound, Outcome, Step};
use crate::session::request::pending_message::{Found, Place};
use crate::session::request::session_role::Stand;
use crate::session::{Session, Skipping};
use crate::wire::body::{self, BindNames};
use crate::wire::frame::{HEAD_BYTES, Head};
use crate::wire::replies::{Awaited, Delivery, Own};
use crate::wire::tag::client as tag;

/// Bytes behind the names that have the count of the values in them, where there is no more than one format: the count of
/// formats, that format, the count.
const COUNT_WITHIN_BYTES: usize = 6;

impl Session {
    /// Bind, as soon as its two names have come; its values pass unseen.
    pub(in crate::session) fn begin_bind(&mut self, head: Head, rest: &[u8]) -> Step {
        if self.copies() {
            self.message_during_copy(tag::BIND);
            self.inbound = Inbound::Drop(head.body_len);
            return Step::Consumed(HEAD_BYTES);
        }
        let here = rest.get(..head.body_len).unwrap_or(rest);
        let names = match body::bind_names(here) {
            Ok(Some(names)) => names,
            Ok(None) if here.len() < head.body_len => return Step::Blocked,
            Ok(None) => {
                self.inbound = Inbound::Drop(head.body_len);
                self.bad_body(tag::BIND, body::BadBody("Bind has no terminated names"));
                return Step::Consumed(HEAD_BYTES);
            }
            Err(bad) => {
                self.inbound = Inbound::Drop(head.body_len);
                self.bad_body(tag::BIND, bad);
                return Step::Consumed(HEAD_BYTES);
            }
        };
        let tail = head.body_len - names.consumed;
        let outcome = match self.skipping {
            Skipping::ToSync => Outcome::Done,
            Skipping::No => self.bind(&names, tail, here),
        };
        match outcome {
            Outcome::Done => {
                if !matches!(self.inbound, Inbound::Forward(_)) {
                    self.inbound = Inbound::Drop(tail);
                }
                Step::Consumed(HEAD_BYTES + names.consumed)
            }
            other => self.leave_or_take(Place::Inbox(head), other),
        }
    }

    /// Whether the transaction may have a portal more.
    fn check_new_portal(&mut self, name: &[u8], statement: &Statement) -> Result<(), Fault> {
        let Some(link) = &mut self.link else { return Ok(()) };
        if link.portals.len() >= limits::CLIENT_STATEMENTS {
            return Err(too_many("portals"));
        }
        Ok(link.portals.ask(self.identity.stay.account(), name, statement)?)
    }

    /// `here` is what has come of the body.
    fn bind(&mut self, names: &BindNames<'_>, tail: usize, here: &[u8]) -> Outcome {
        if !self.is_settled_for(None) {
            return Outcome::Blocked;
        }
        let statement = match self.cleared_statement(names.statement) {
            Ok(Some(statement)) => statement,
            Ok(None) => return self.refuse(unknown_statement(names.statement)),
            Err(fault) => return self.refuse(fault),
        };
        if self.link.is_none() {
            return Outcome::Lease(Found::Names);
        }
        if let Err(fault) = self.check_new_portal(names.portal, &statement) {
            return self.refuse(fault);
        }
        let Some(link) = &mut self.link else {
            return Outcome::Lease(Found::Names);
        };
        if statement::is_session_command(statement.action()) {
            let rest = here.get(names.consumed..).unwrap_or_default();
            if rest.len() < tail.min(COUNT_WITHIN_BYTES) {
                return Outcome::Blocked;
            }
            if let Some(count @ 1..) = body::bind_count(rest) {
                return self.refuse(too_many_values(count, names.statement));
            }
            link.heed_failure();
            link.answer(Own::BindComplete, Effect::PortalChanged);
            link.open_portal(names.portal, statement);
            return Outcome::Done;
        }
        let target = match self.run_by_statement(&statement) {
            Ok(target) => target,
            Err(fault) => return self.refuse(fault),
        };
        let Some(mut linked) = self.linked() else {
            return Outcome::Lease(Found::Names);
        };
        let now = linked.named_as_of_now(names.statement, &statement, target);
        // What only the login role may bind has to be here in full: nothing may come between.
        let values = here.get(names.consumed..names.consumed + tail);
        let as_login = statement.binds_as_login(tail);
        if as_login && values.is_none() {
            return Outcome::Blocked;
        }
        match self.take_stand(statement.action()) {
            Stand::Taken => {}
            Stand::Awaited => return Outcome::Blocked,
            Stand::Refused(fault) => return self.refuse(fault),
        }
        let name_hash = self.names.hash(names.statement);
        let Some(linked) = self.linked() else {
            return Outcome::Lease(Found::Names);
        };
        let values = values.filter(|_| as_login);
        linked.bind(names, &now, (statement, name_hash), tail, values);
        if values.is_none() {
            self.inbound = Inbound::Forward(tail);
        }
        Outcome::Done
    }
}

impl Linked<'_> {
    /// Sends a Bind of a statement, which the client's name of this hash stands for. `tail` bytes follow the names:
    /// `values`, if they are to be bound as the login role; else the client's next bytes.
    fn bind(
        mut self,
        names: &BindNames<'_>,
        now: &AsOfNow,
        (statement, name): (Arc<Statement>, NameHash),
        tail: usize,
        values: Option<&[u8]>,
    ) {
        self.link.look_for_sequences(statement.cleared());
        let warrant = self.warrant(statement.action());
        let link = self.link;
        if values.is_some() {
            link.leave_role();
        }
        if tail > limits::REPLAYED_BATCH_BYTES {
            link.passes_bulk();
        }
        let (server_name, used) = now.name_on(link, names.statement, warrant.to_parse());
        let bound = used.map_or(Effect::PortalChanged, |used| Effect::Bound(used, Some(name)));
        link.upstream.bind_head(names.portal, server_name, tail, &warrant);
        link.expect(Awaited::Bind, Delivery::Forward, bound);
        link.open_portal(names.portal, statement);
        if let Some(values) = values {
            link.upstream.body(values);
            link.return_to_role(&self.identity.route.role);
        }
    }
}

/// As the server words it (`exec_bind_message`, postgres.c).
fn too_many_values(count: u16, statement: &[u8]) -> Fault {
    let name = String::from_utf8_lossy(statement);
    Fault::error(
        SqlState::PROTOCOL_VIOLATION,
        format!("bind message supplies {count} parameters, but prepared statement \"{name}\" requires 0"),
    )
}
