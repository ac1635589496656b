//! Proof that a statement may be sent now.

use super::link::{Batch, Link};
use crate::guard::Action;
use crate::identity::Bound;
use crate::wire::encode::TransactionStatus;

/// The right to send one cleared statement: its caller's identity is in force, or it is one that goes without.
/// Whatever sends a client's statement takes one, so that a path that forgets the identity does not compile.
#[derive(Debug)]
pub(super) struct Warrant(());

impl Warrant {
    /// For any statement.
    pub(super) fn with_identity(_in_force: &Bound) -> Self {
        Self(())
    }

    /// For the first message behind the ReadyForQuery of a failed block: the server runs nothing there but the
    /// block's end, and refuses the prelude like anything else, in other words than it has for this message.
    /// `None` where the link is not there.
    pub(super) fn in_failed_block(link: &Link) -> Option<Self> {
        let is_there = link.status == TransactionStatus::Failed && link.batch == Batch::Fresh;
        is_there.then_some(Self(()))
    }

    /// For statements that read and write no data: transaction control, which must go ahead of the identity or
    /// ends it (design: the prelude is lazy), and what refuses to run in a transaction, which only trusted roles
    /// may send, and which finds their role in force for the session ([`super::standing`]). An empty statement does nothing.
    pub(super) fn without_identity(action: Option<&Action>) -> Option<Self> {
        match action {
            None
            | Some(
                Action::Begin
                | Action::SetTransaction
                | Action::Commit { .. }
                | Action::Rollback { .. }
                | Action::PrepareTransaction
                | Action::RollbackTo(_)
                | Action::Utility,
            ) => Some(Self(())),
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
                | Action::Execute(_),
            ) => None,
        }
    }
}
