//! The transaction block: who has opened it, as far as the server has confirmed it and as far as what was sent says.

use crate::wire::encode::TransactionStatus;

/// Who has opened a transaction block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::session) enum Opener {
    /// There is none.
    #[default]
    Nobody,
    /// We have, to hold together what the client has sent as one statement.
    Session,
    /// The client has.
    Client,
}

/// Whether the transaction has the session's modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Modes {
    /// They go ahead of the next statement that runs in it.
    #[default]
    Unset,
    /// They have been set, or taken over by AND CHAIN.
    Set,
}

/// Settings of the session that messages sent so far change. What comes behind the end of their transaction is
/// prepared with the new values, so it has to wait until the server has confirmed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Changes {
    /// There are none, or their fate is known.
    #[default]
    None,
    /// The transaction that goes on has made some.
    Made,
    /// A transaction that has made some was told to end, and has not answered.
    Ended,
}

/// Transaction block and status of a server connection.
#[derive(Debug)]
pub(in crate::session) struct Block {
    /// As the last ReadyForQuery said.
    status: TransactionStatus,
    confirmed: Opener,
    sent: Opener,
    /// Ours has failed and is being rolled back.
    is_undone: bool,
    modes: Modes,
    changes: Changes,
    /// The end of our block takes the portal of the client's BEGIN with it.
    has_lost_portal: bool,
}

impl Block {
    /// That of an idle connection.
    pub(super) const fn none() -> Self {
        Self {
            status: TransactionStatus::Idle,
            confirmed: Opener::Nobody,
            sent: Opener::Nobody,
            is_undone: false,
            modes: Modes::Unset,
            changes: Changes::None,
            has_lost_portal: false,
        }
    }

    // ---- what is known ------------------------------------------------------------------------------

    /// The transaction status that the server has told last.
    pub(in crate::session) fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Whether a block is open, as far as what was sent says.
    pub(in crate::session) fn is_open(&self) -> bool {
        self.sent != Opener::Nobody
    }

    /// Whether it is ours, as far as what was sent says.
    pub(in crate::session) fn is_ours(&self) -> bool {
        self.sent == Opener::Session
    }

    /// Whether the server has confirmed one of the client's.
    pub(in crate::session) fn is_clients(&self) -> bool {
        self.confirmed == Opener::Client && !self.is_undone
    }

    /// Whether the client has a block, or has sent what opens one.
    pub(in crate::session) fn is_or_becomes_clients(&self) -> bool {
        self.confirmed == Opener::Client || self.sent == Opener::Client
    }

    /// Whether the server has confirmed a block of ours, or one that is being rolled back: the client shall not see it.
    pub(in crate::session) fn is_hidden(&self) -> bool {
        self.confirmed == Opener::Session || self.is_undone
    }

    /// Whether there is no block and nothing on its way opens one.
    pub(in crate::session) fn is_outside(&self) -> bool {
        self.status == TransactionStatus::Idle
            && self.confirmed == Opener::Nobody
            && self.sent == Opener::Nobody
            && !self.is_undone
    }

    // ---- what is sent -------------------------------------------------------------------------------

    /// A BEGIN of ours is sent.
    pub(in crate::session) fn opens_ours(&mut self) {
        self.confirmed = Opener::Session;
        self.sent = Opener::Session;
    }

    /// A BEGIN of the client's is sent, or makes our block its own.
    pub(in crate::session) fn opens_clients(&mut self) {
        self.sent = Opener::Client;
    }

    /// What ends the transaction is sent; then this one's block is open.
    pub(super) fn ends(&mut self, next: Opener) {
        self.sent = next;
        if next == Opener::Nobody {
            // AND CHAIN hands the modes on (PostgreSQL manual, COMMIT).
            self.modes = Modes::Unset;
        }
        if self.changes == Changes::Made {
            self.changes = Changes::Ended;
        }
    }

    /// A block that is not the client's has failed; its ROLLBACK is sent.
    pub(super) fn undoes_ours(&mut self) {
        self.is_undone = true;
    }

    /// Whether the session's modes are to be set now. They count as set from here on.
    pub(super) fn wants_modes(&mut self) -> bool {
        std::mem::replace(&mut self.modes, Modes::Set) == Modes::Unset
    }

    /// What is sent changes a setting of the session.
    pub(super) fn changes_settings(&mut self) {
        self.changes = Changes::Made;
    }

    /// Whether the end of a transaction that changes settings has not been answered yet.
    pub(in crate::session) fn has_unsettled_changes(&self) -> bool {
        self.changes == Changes::Ended
    }

    /// The end of our block takes the portal of the client's BEGIN with it.
    pub(in crate::session) fn loses_portal(&mut self) {
        self.has_lost_portal = true;
    }

    /// Whether it did, since the last time this was asked.
    pub(in crate::session) fn take_lost_portal(&mut self) -> bool {
        std::mem::take(&mut self.has_lost_portal)
    }

    // ---- what the server answers --------------------------------------------------------------------

    /// The client's BEGIN has been answered.
    pub(in crate::session) fn has_opened(&mut self) {
        self.confirmed = Opener::Client;
    }

    /// The end of a transaction has been answered.
    pub(in crate::session) fn has_ended(&mut self, next: Opener) {
        self.confirmed = next;
        self.settle_changes();
    }

    /// A ReadyForQuery has come.
    pub(in crate::session) fn is_told(&mut self, status: TransactionStatus) {
        self.status = status;
    }

    /// Whether that ROLLBACK is on its way.
    pub(in crate::session) fn is_undone(&self) -> bool {
        self.is_undone
    }

    /// A batch has ended within a block of the client's.
    pub(super) fn goes_on(&mut self) {
        self.confirmed = Opener::Client;
        self.sent = Opener::Client;
        self.modes = Modes::Set;
        self.settle_changes();
    }

    /// A batch has ended outside of a transaction.
    pub(super) fn is_over(&mut self) {
        *self = Self {
            status: self.status,
            ..Self::none()
        };
    }

    fn settle_changes(&mut self) {
        if self.changes == Changes::Ended {
            self.changes = Changes::None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_block_is_hidden_until_the_client_takes_it_over() {
        let mut block = Block::none();
        block.opens_ours();
        assert!(block.is_open() && block.is_ours() && block.is_hidden() && !block.is_outside());
        block.opens_clients();
        assert!(block.is_open() && !block.is_ours() && block.is_or_becomes_clients());
        block.has_opened();
        assert!(!block.is_hidden());
    }

    #[test]
    fn a_failed_block_of_ours_is_hidden_until_it_is_over() {
        let mut block = Block::none();
        block.opens_ours();
        block.undoes_ours();
        assert!(block.is_hidden() && block.is_undone());
        block.is_over();
        assert!(block.is_outside() && !block.is_hidden());
    }

    #[test]
    fn a_chained_transaction_keeps_its_modes_and_any_other_loses_them() {
        let mut block = Block::none();
        assert!(block.wants_modes() && !block.wants_modes());
        block.ends(Opener::Client);
        assert!(!block.wants_modes());
        block.ends(Opener::Nobody);
        assert!(block.wants_modes());
    }

    #[test]
    fn changes_are_unsettled_between_the_end_and_its_answer() {
        let mut block = Block::none();
        block.opens_ours();
        block.changes_settings();
        assert!(!block.has_unsettled_changes());
        block.ends(Opener::Nobody);
        assert!(block.has_unsettled_changes());
        block.has_ended(Opener::Nobody);
        assert!(!block.has_unsettled_changes());
    }

    #[test]
    fn a_lost_portal_is_told_of_once() {
        let mut block = Block::none();
        block.loses_portal();
        assert!(block.take_lost_portal() && !block.take_lost_portal());
    }
}
