//! Proof that a statement may be sent now.

use crate::guard::Action;
use crate::identity::Bound;
use crate::session::link::Link;
use crate::wire::encode::TransactionStatus;

/// Which statements a warrant is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Covers {
    /// Any.
    All,
    /// Those that read and write no data.
    Control,
    /// Those that refuse to run in a transaction.
    Utility,
}

/// The right to have a cleared statement run: its caller's identity is in force, or it is one that goes without. Each is
/// made from what justifies it. All that runs a client's statement takes one, so that a path that forgets the identity
/// does not compile.
#[derive(Debug)]
pub(in crate::session) struct Warrant(ParseWarrant);

/// The right to have a cleared statement read by the server, which runs nothing of it.
#[derive(Debug)]
pub(in crate::session) struct ParseWarrant(Covers);

impl Warrant {
    /// For any statement.
    pub(in crate::session) fn with_identity(_in_force: &Bound) -> Self {
        Self(ParseWarrant(Covers::All))
    }

    /// For any statement in the first message behind the ReadyForQuery of a failed block: the server runs nothing there
    /// but the block's end, and refuses the prelude like anything else, in other words than it has for this message.
    /// `None` where the link is not there.
    pub(in crate::session) fn in_failed_block(link: &Link) -> Option<Self> {
        let is_there = link.block.status() == TransactionStatus::Failed && link.batch.is_fresh();
        is_there.then_some(Self(ParseWarrant(Covers::All)))
    }

    /// For what refuses to run in a transaction, once the session's role was put on for it ([`crate::session::request::session_role`]).
    pub(in crate::session) fn in_role(link: &Link, action: Option<&Action>) -> Option<Self> {
        let is_it = link.acting.is_role() && matches!(action, Some(Action::Utility));
        is_it.then_some(Self(ParseWarrant(Covers::Utility)))
    }

    /// For statements that read and write no data: transaction control, which must go ahead of the identity or ends it,
    /// as the prelude is lazy. An empty statement does nothing.
    pub(in crate::session) fn without_identity(action: Option<&Action>) -> Option<Self> {
        is_control(action).then_some(Self(ParseWarrant(Covers::Control)))
    }

    /// What runs is read first.
    pub(in crate::session) fn to_parse(&self) -> &ParseWarrant {
        &self.0
    }
}

impl From<Warrant> for ParseWarrant {
    fn from(warrant: Warrant) -> Self {
        warrant.0
    }
}

impl ParseWarrant {
    /// For statements whose reading looks nothing up that depends on the identity. The server reads no further into
    /// them than their grammar (`transformStmt`, analyze.c: a utility statement is left as it is).
    pub(in crate::session) fn without_identity(action: Option<&Action>) -> Option<Self> {
        if matches!(action, Some(Action::Utility)) {
            return Some(Self(Covers::Utility));
        }
        Warrant::without_identity(action).map(Self::from)
    }

    /// Whether it is good for a statement.
    pub(in crate::session) fn covers(&self, action: Option<&Action>) -> bool {
        match self.0 {
            Covers::All => true,
            Covers::Control => is_control(action),
            Covers::Utility => matches!(action, Some(Action::Utility)),
        }
    }

    /// Whether it is good for any.
    pub(in crate::session) fn covers_all(&self) -> bool {
        self.0 == Covers::All
    }
}

fn is_control(action: Option<&Action>) -> bool {
    match action {
        None
        | Some(
            Action::Begin
            | Action::SetTransaction
            | Action::Commit { .. }
            | Action::Rollback { .. }
            | Action::PrepareTransaction
            | Action::RollbackTo(_),
        ) => true,
        Some(
            Action::Query
            | Action::CopyIn
            | Action::Call
            | Action::Savepoint(_)
            | Action::Release(_)
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
            | Action::Utility,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Covers, ParseWarrant, Warrant};
    use crate::guard::Action;

    #[test]
    fn transaction_control_needs_no_identity_and_its_warrant_serves_nothing_else() {
        let begin = Some(&Action::Begin);
        let warrant = ParseWarrant::from(Warrant::without_identity(begin).unwrap());
        assert!(warrant.covers(begin) && warrant.covers(None));
        for other in [Action::Query, Action::Call, Action::Utility, Action::CopyIn] {
            assert!(!warrant.covers(Some(&other)), "{other:?}");
            assert!(Warrant::without_identity(Some(&other)).is_none(), "{other:?}");
        }
    }

    #[test]
    fn what_refuses_a_transaction_is_read_without_identity_but_not_run() {
        let utility = Some(&Action::Utility);
        let warrant = ParseWarrant::without_identity(utility).unwrap();
        assert!(warrant.covers(utility) && !warrant.covers(Some(&Action::Query)));
        assert!(Warrant::without_identity(utility).is_none());
    }

    #[test]
    fn only_a_warrant_for_all_serves_a_text_of_unknown_kind() {
        assert!(ParseWarrant(Covers::All).covers_all());
        assert!(!ParseWarrant(Covers::Control).covers_all() && !ParseWarrant(Covers::Utility).covers_all());
    }
}
