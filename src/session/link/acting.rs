//! Who the server takes the next statement to be of: the binding in force, and the role that is on for the session.

use crate::identity::Bound;

/// How something about the server is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// From what was sent.
    Predicted,
    /// From what the server has answered.
    Confirmed,
}

/// Who the server connection is where no transaction says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionRole {
    /// The login role.
    Login,
    /// The session's role has been asked for; it is so when the batch has succeeded.
    Becoming,
    /// The session's role, until the next ReadyForQuery outside a transaction.
    Put,
    /// The login role has been asked for.
    Leaving,
}

/// Identity in force on a server connection.
#[derive(Debug)]
pub(in crate::session) struct Acting {
    /// The binding in force, as far as the messages sent so far say.
    bound: Option<Bound>,
    /// Whether the server has confirmed that it is: then an error cannot undo it.
    is: Known,
    /// Whether a role may be on already when a binding is put into force.
    may_be_role: bool,
    session: SessionRole,
}

impl Acting {
    /// As the login role.
    pub(super) const fn login() -> Self {
        Self {
            bound: None,
            is: Known::Predicted,
            may_be_role: false,
            session: SessionRole::Login,
        }
    }

    // ---- the binding --------------------------------------------------------------------------------

    /// The binding in force, as far as what was sent says.
    pub(in crate::session) fn bound(&self) -> Option<&Bound> {
        self.bound.as_ref()
    }

    /// A binding is about to be put into force. Returns whether the login role has to be put on ahead of it.
    pub(super) fn begins_binding(&mut self) -> bool {
        self.is = Known::Predicted;
        std::mem::replace(&mut self.may_be_role, true)
    }

    /// The binding in force, put there by `put` where there is none.
    pub(super) fn is_bound(&mut self, bound: Bound) -> &Bound {
        self.bound.insert(bound)
    }

    /// The transaction ends, or may have ended: the next statement puts the binding into force again.
    pub(in crate::session) fn forget(&mut self) {
        self.bound = None;
        self.is = Known::Predicted;
    }

    /// A batch has ended within a block.
    pub(super) fn goes_on(&mut self, errored: bool) {
        if !errored {
            self.is = Known::Confirmed;
        } else if self.is == Known::Predicted {
            // What was predicted to be in force may have been skipped. What the server has confirmed
            // stays, and must not be set again: it would undo the client's own SET LOCAL.
            self.forget();
        }
    }

    /// The transaction is over.
    pub(super) fn is_over(&mut self) {
        self.forget();
        self.may_be_role = self.session == SessionRole::Put;
    }

    // ---- the role of the session --------------------------------------------------------------------

    /// Whether the connection is its login's where no transaction says otherwise, and nothing on its way changes that.
    pub(in crate::session) fn is_login(&self) -> bool {
        self.session == SessionRole::Login
    }

    /// Whether the session's role is on for the session.
    pub(in crate::session) fn is_role(&self) -> bool {
        self.session == SessionRole::Put
    }

    /// Whether it has been asked for, and not been answered.
    pub(in crate::session) fn becomes_role(&self) -> bool {
        self.session == SessionRole::Becoming
    }

    /// It is asked for.
    pub(in crate::session) fn ask_for_role(&mut self) {
        self.session = SessionRole::Becoming;
    }

    /// The login role is asked for.
    pub(in crate::session) fn ask_for_login(&mut self) {
        self.session = SessionRole::Leaving;
    }

    /// A ReadyForQuery outside a transaction has come: what was asked for is so, unless an error has come before it.
    ///
    /// # Errors
    ///
    /// The role cannot be taken off.
    pub(in crate::session) fn settle_role(&mut self, errored: bool) -> Result<(), ()> {
        self.session = match (self.session, errored) {
            (SessionRole::Becoming, false) => SessionRole::Put,
            (SessionRole::Leaving, true) => return Err(()),
            (SessionRole::Becoming | SessionRole::Leaving | SessionRole::Login, _) => SessionRole::Login,
            (SessionRole::Put, _) => SessionRole::Put,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RoleName;
    use crate::identity::{Binding, BindingParts};

    fn bound() -> Bound {
        let role = RoleName::new("app");
        let parts = BindingParts {
            session: &[],
            search_path: None,
            identity: &[],
            role: &role,
        };
        Binding::new(&parts).0.put_prelude(&mut Vec::new(), "", "s1")
    }

    #[test]
    fn an_error_undoes_what_was_only_predicted() {
        let mut acting = Acting::login();
        assert!(!acting.begins_binding());
        acting.is_bound(bound());
        acting.goes_on(true);
        assert!(acting.bound().is_none());
        assert!(acting.begins_binding(), "the role may be on after all");
        acting.is_bound(bound());
        acting.goes_on(false);
        acting.goes_on(true);
        assert!(acting.bound().is_some());
    }

    #[test]
    fn the_end_of_a_transaction_takes_the_binding_and_its_role() {
        let mut acting = Acting::login();
        acting.begins_binding();
        acting.is_bound(bound());
        acting.is_over();
        assert!(acting.bound().is_none() && !acting.begins_binding());
    }

    #[test]
    fn a_role_is_on_once_it_is_answered_and_off_again_when_that_is() {
        let mut acting = Acting::login();
        acting.ask_for_role();
        assert!(acting.becomes_role() && !acting.is_role() && !acting.is_login());
        acting.settle_role(false).unwrap();
        assert!(acting.is_role());
        acting.is_over();
        assert!(
            acting.begins_binding(),
            "the role is on where a transaction begins"
        );
        acting.ask_for_login();
        acting.settle_role(true).unwrap_err();
        acting.settle_role(false).unwrap();
        assert!(acting.is_login());
        acting.ask_for_role();
        acting.settle_role(true).unwrap();
        assert!(acting.is_login());
    }
}
