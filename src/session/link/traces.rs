//! What a transaction leaves on the server connection, and what it does to the meaning of statements.

/// What it leaves beyond what Portcullis keeps track of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::session) enum Left {
    /// Nothing: settings are local, statements and portals known.
    #[default]
    Nothing,
    /// Code of a trusted role has run, which may have set, prepared, locked or listened to anything.
    ByCode,
    /// A library, a temporary schema or a seed of `random()`, which no reset takes away.
    ForGood,
}

/// The traces of all that was sent on a lease.
#[derive(Debug, Default)]
pub(in crate::session) struct Traces {
    left: Left,
    /// Whether the shapes of tables and types may have changed, and with them the meaning of statements.
    shapes_altered: bool,
}

impl Traces {
    /// The most that was left.
    pub(in crate::session) fn left(&self) -> Left {
        self.left
    }

    /// Something is left. What is there stays.
    pub(in crate::session) fn leave(&mut self, left: Left) {
        self.left = self.left.max(left);
    }

    /// Shapes may change.
    pub(in crate::session) fn alter_shapes(&mut self) {
        self.shapes_altered = true;
    }

    /// The transaction is over. Returns whether it may have changed shapes.
    pub(in crate::session) fn take_altered_shapes(&mut self) -> bool {
        std::mem::take(&mut self.shapes_altered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_only_grows() {
        let mut traces = Traces::default();
        traces.leave(Left::ForGood);
        traces.leave(Left::ByCode);
        traces.leave(Left::Nothing);
        assert_eq!(traces.left(), Left::ForGood);
    }

    #[test]
    fn altered_shapes_are_told_of_once() {
        let mut traces = Traces::default();
        traces.alter_shapes();
        assert!(traces.take_altered_shapes() && !traces.take_altered_shapes());
    }
}
