//! What becomes of a session when the tenant directory changes under it.

use super::{Identity, Session};
use crate::base::{ClientEnd, Fault, SqlState};

impl Session {
    /// Ends a session that the directory in force would send elsewhere, or nowhere, or that could name what has become
    /// another tenant's. What the server is doing for it is done first, but no more: a transaction block of its own is
    /// rolled back, since its next statement could already be one that it must not run.
    pub(super) fn displaced(&mut self) -> Option<ClientEnd> {
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
            &Fault::fatal(
                SqlState::ADMIN_SHUTDOWN,
                "terminating connection because the tenant directory has changed",
            )
            .with_hint("Connect again. A transaction that was open has been rolled back."),
        );
        Some(ClientEnd::Displaced)
    }
}
