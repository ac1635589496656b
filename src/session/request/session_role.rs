//! What refuses to run in a transaction block (VACUUM, CREATE DATABASE, COMMIT PREPARED) has no room for a
//! prelude, and runs as the session's role all the same: the role is put on for the session in a batch of its own
//! ahead of it, and taken off in another before the client hears that it is over. Nothing else of the binding goes
//! along. A connection that stands as anything but its login is never given back.

use crate::base::{Fault, RoleName, Severity};
use crate::guard::Action;
use crate::session::Session;
use crate::session::link::Link;
use crate::session::memory::statement::LEAVE_ROLE;
use crate::wire::encode::TransactionStatus;
use crate::wire::notice;
use crate::wire::replies::Delivery;

/// As the login role: becomes a role for the rest of the session.
const BECOME_ROLE: &str = "SELECT pg_catalog.set_config('role', $1, false)";

/// Whether a statement finds its role in force.
pub(in crate::session) enum Stand {
    /// It can be sent.
    Taken,
    /// When the server has answered.
    Awaited,
    /// The server does not grant the role.
    Refused(Fault),
}

impl Session {
    /// Sees that what refuses a transaction block runs as the session's role. In a transaction or behind other
    /// work of the same batch it is sent as it is: the server refuses it there.
    pub(in crate::session) fn take_stand(&mut self, action: Option<&Action>) -> Stand {
        let is_utility = matches!(action, Some(Action::Utility));
        let Some(link) = self.link.as_mut().filter(|_| is_utility) else {
            return Stand::Taken;
        };
        if let Some(fault) = self.role_fault.take() {
            return Stand::Refused(*fault);
        }
        let is_first = link.batch.keeps_nothing()
            && link.block.status() == TransactionStatus::Idle
            && !link.block.is_open()
            && !link.batch.has_failed();
        if !link.acting.is_login() || !is_first {
            return Stand::Taken;
        }
        link.become_role(&self.identity.route.role);
        Stand::Awaited
    }

    /// The server refuses the role: the statement that needed it fails with the reason.
    pub(in crate::session) fn stand_refused(&mut self, body: &[u8]) {
        let mut fault = notice::fault(body);
        fault.severity = Severity::Error;
        self.role_fault = Some(Box::new(fault));
    }
}

impl Link {
    fn become_role(&mut self, role: &RoleName) {
        self.run_hidden(
            BECOME_ROLE,
            &[role.as_str()],
            crate::session::link::effect::Effect::None,
        );
        self.end_batch(Delivery::Hide);
        self.acting.ask_for_role();
    }

    /// Takes the role off again. The client's ReadyForQuery is that of this batch.
    pub(in crate::session) fn leave_standing(&mut self) {
        self.run_hidden(LEAVE_ROLE, &[], crate::session::link::effect::Effect::None);
        self.end_batch(Delivery::Forward);
        self.acting.ask_for_login();
    }
}
