//! What is sent of our own behind the client's back: modes, roles, settings read back, sequences forgotten.

use std::sync::Arc;

use super::{INTERNAL_PORTAL, Link, Text};
use crate::base::RoleName;
use crate::guard::Cleared;
use crate::session::link::effect::Effect;
use crate::session::memory::statement::{
    DISCARD_SEQUENCES, LEAVE_ROLE, Prelude, Prepared, READ_SETTING, RETURN_TO_ROLE, ROLLBACK,
};
use crate::wire::encode::NO_TYPES;
use crate::wire::replies::{Awaited, Delivery};

impl Link {
    /// Gives the transaction its modes, unless it has them: ahead of everything that takes a snapshot.
    pub(in crate::session) fn put_modes(&mut self, modes: &[Arc<Prelude>]) {
        if !self.block.wants_modes() {
            return;
        }
        for mode in modes {
            self.prepare(
                &mode.prepared,
                Text::of_prelude(mode),
                Delivery::Hide,
                Effect::None,
            );
            let portal = self.free_portal();
            self.upstream.bind_text::<&str>(portal, mode.prepared.name(), &[]);
            self.upstream.execute(portal);
            self.after_hidden(portal, Effect::None);
        }
    }

    /// The unnamed portal, which needs no closing; but it may hold something that the client has bound.
    pub(super) fn free_portal(&self) -> &'static str {
        if self.portals.get(b"").is_some() {
            INTERNAL_PORTAL
        } else {
            ""
        }
    }

    /// Expects the answers to Bind and Execute of a statement of our own, and closes its portal.
    pub(super) fn after_hidden(&mut self, portal: &str, effect: Effect) {
        self.expect(Awaited::Bind, Delivery::Hide, Effect::None);
        self.expect(Awaited::Execution, Delivery::Hide, effect);
        if !portal.is_empty() {
            self.upstream.close_portal(portal);
            self.expect(Awaited::Close, Delivery::Hide, Effect::None);
        }
    }

    /// Where one of these statements asks what was drawn from sequences, it finds what this client has drawn, or
    /// nothing. What the running transaction has drawn itself is forgotten as well where it was not in a block.
    pub(in crate::session) fn look_for_sequences<'c>(
        &mut self,
        statements: impl IntoIterator<Item = &'c Cleared>,
    ) {
        if !statements.into_iter().any(Cleared::reads_sequences) {
            return;
        }
        if self.sequences.are_wanted(self.acting.bound().is_some()) {
            self.forget_sequences();
        }
    }

    pub(super) fn forget_sequences(&mut self) {
        self.sequences.are_forgotten();
        self.run_hidden(DISCARD_SEQUENCES, &[], Effect::SequencesForgotten);
    }

    /// Goes back to the login role, for a statement of ours that only it may run and that becomes a role again.
    pub(in crate::session) fn leave_role(&mut self) {
        self.run_hidden(LEAVE_ROLE, &[], Effect::None);
    }

    /// Runs a statement of our own that is too rare to be kept prepared. The unnamed statement is lost to it.
    pub(in crate::session) fn run_hidden(&mut self, sql: &'static str, values: &[&str], effect: Effect) {
        self.upstream.parse("", Text::ours(sql), NO_TYPES);
        self.forget_unnamed();
        self.expect(Awaited::Parse, Delivery::Hide, Effect::None);
        self.upstream.bind_text(INTERNAL_PORTAL, "", values);
        self.upstream.execute(INTERNAL_PORTAL);
        self.after_hidden(INTERNAL_PORTAL, effect);
    }

    /// Becomes the transaction's role again, behind what followed [`Link::leave_role`].
    pub(in crate::session) fn return_to_role(&mut self, role: &RoleName) {
        self.run_hidden(RETURN_TO_ROLE, &[role.as_str()], Effect::None);
    }

    /// Runs a statement of our own behind the client's back, on a portal of its own.
    pub(in crate::session) fn run_internal(
        &mut self,
        statement: &Prepared,
        sql: &'static str,
        values: &[&str],
        delivery: Delivery,
        effect: Effect,
    ) {
        self.batch.asks_for_work();
        self.prepare(statement, Text::ours(sql), Delivery::Hide, Effect::None);
        self.upstream.bind_text(INTERNAL_PORTAL, statement.name(), values);
        self.expect(Awaited::Bind, Delivery::Hide, Effect::None);
        self.upstream.execute(INTERNAL_PORTAL);
        self.expect(Awaited::Execution, delivery, effect);
        self.upstream.close_portal(INTERNAL_PORTAL);
        self.expect(Awaited::Close, Delivery::Hide, Effect::None);
    }

    /// Undoes a block of our own that has failed. On the unnamed portal, which can always be bound: the
    /// client may have used any other name in the failed transaction.
    pub(in crate::session) fn roll_back(&mut self) {
        self.block.undoes_ours();
        self.acting.forget();
        self.run_unnamed(Text::ours(ROLLBACK), Delivery::Hide, Effect::None);
        self.sync();
    }

    /// A setting of the session has been changed: what it is now is read back, and kept.
    pub(in crate::session) fn read_back(&mut self, name: &str, read_setting: &Prepared) {
        let effect = Effect::SettingRead(name.into());
        self.run_internal(read_setting, READ_SETTING, &[name], Delivery::Capture, effect);
    }
}
