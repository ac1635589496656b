//! Whose the last values are that the server connection has drawn from sequences (`lastval`, `currval`).

use crate::base::PoolMode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Maybe another client's: to be forgotten ahead of a transaction block.
    Others,
    /// The same, and the next statement asks for them: to be forgotten with the next prelude.
    Wanted,
    /// This client's, as far as the messages sent so far say.
    Own,
    /// This client's alone for as long as its session lasts.
    Kept,
}

/// What a statement that asks for them would find.
#[derive(Debug)]
pub(in crate::session) struct Sequences(Whose);

impl Sequences {
    /// On a connection that was leased just now.
    pub(super) const fn of(mode: PoolMode) -> Self {
        Self(match mode {
            PoolMode::Session => Whose::Kept,
            PoolMode::Transaction => Whose::Others,
        })
    }

    /// A statement is about to ask for them. Returns whether they have to be forgotten at once: else they will be with
    /// the prelude that goes ahead of it.
    pub(super) fn are_wanted(&mut self, is_bound: bool) -> bool {
        match (self.0, is_bound) {
            (Whose::Others, false) => {
                self.0 = Whose::Wanted;
                false
            }
            (Whose::Others | Whose::Wanted, true) => true,
            (Whose::Wanted, false) | (Whose::Own | Whose::Kept, _) => false,
        }
    }

    /// Whether they are to be forgotten ahead of a prelude.
    pub(super) fn go_ahead_of_prelude(&self, in_block: bool) -> bool {
        self.0 == Whose::Wanted || (self.0 == Whose::Others && in_block)
    }

    /// What makes the server forget them is sent.
    pub(super) fn are_forgotten(&mut self) {
        self.0 = Whose::Own;
    }

    /// The server has skipped it.
    pub(super) fn are_not_forgotten(&mut self) {
        self.0 = Whose::Others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_clients_are_forgotten_before_anybody_asks() {
        let mut sequences = Sequences::of(PoolMode::Transaction);
        assert!(sequences.go_ahead_of_prelude(true) && !sequences.go_ahead_of_prelude(false));
        assert!(!sequences.are_wanted(false));
        assert!(sequences.go_ahead_of_prelude(false) && sequences.are_wanted(true));
        sequences.are_forgotten();
        assert!(!sequences.are_wanted(true) && !sequences.go_ahead_of_prelude(true));
        sequences.are_not_forgotten();
        assert!(sequences.are_wanted(true));
    }

    #[test]
    fn a_session_that_keeps_its_connection_keeps_its_own() {
        let mut sequences = Sequences::of(PoolMode::Session);
        assert!(!sequences.are_wanted(true) && !sequences.go_ahead_of_prelude(true));
    }
}
