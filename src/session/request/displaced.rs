//! What becomes of a session when the tenant directory changes under it.

use crate::base::{ClientEnd, Fault, SqlState};
use crate::session::{Identity, Session};

const REASON: &str = "the tenant directory has changed, and the session may not stay where it is";

impl Session {
    /// Ends a session that the directory in force would send elsewhere, or nowhere, or that could name what has become
    /// another tenant's. What the server is doing for it is done first, but no more: a transaction block of its own is
    /// rolled back, since its next statement could already be one that it must not run.
    pub(in crate::session) fn displaced(&mut self) -> Option<ClientEnd> {
        let Identity {
            tenure,
            principal,
            route,
            ..
        } = &mut self.identity;
        let is_working = self.link.as_ref().is_some_and(|link| !link.is_quiet());
        if tenure.holds(principal, route) || is_working {
            return None;
        }
        self.say_last(
            &Fault::fatal(SqlState::ADMIN_SHUTDOWN, REASON)
                .with_hint("Connect again. A transaction that was open has been rolled back."),
        );
        Some(ClientEnd::Displaced)
    }

    /// Refuses what would run next for such a session that cannot be ended yet: the server is at work for it, which a
    /// client could draw out by never sending its Sync.
    ///
    /// # Errors
    /// 57P01.
    pub(in crate::session) fn check_tenure(&self) -> Result<(), Fault> {
        match self.identity.tenure.has_lapsed() {
            false => Ok(()),
            true => Err(Fault::error(SqlState::ADMIN_SHUTDOWN, REASON)),
        }
    }
}
