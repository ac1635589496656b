//! The Sync-delimited group of messages that is being put together or answered.

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing has been sent since the last ReadyForQuery.
    #[default]
    Fresh,
    /// Messages were sent, no Sync yet.
    Open,
    /// The Sync was sent; ReadyForQuery is awaited.
    Synced,
}

/// What it has asked of the server, as far as giving the connection back is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    /// Nothing, or to parse and describe statements: nothing that a transaction would keep.
    #[default]
    Nothing,
    /// The same, and the client waits for the replies.
    Replies,
    /// Something that its transaction keeps until the Sync.
    Work,
    /// COPY FROM STDIN, last of all.
    Copy,
}

/// A batch.
#[derive(Debug, Default)]
pub(in crate::session) struct Batch {
    stage: Stage,
    asked: Asked,
    /// Whether an error has come since the last ReadyForQuery.
    failed: bool,
    /// Whether the client has had a portal executed in it.
    executed: bool,
    /// Whether the server may keep answers back, having been sent neither Flush nor Sync behind all.
    keeps_answers_back: bool,
}

impl Batch {
    /// Whether nothing has been sent since the last ReadyForQuery.
    pub(in crate::session) fn is_fresh(&self) -> bool {
        self.stage == Stage::Fresh
    }

    /// Whether messages were sent and no Sync.
    pub(in crate::session) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether its Sync was sent.
    pub(in crate::session) fn is_synced(&self) -> bool {
        self.stage == Stage::Synced
    }

    /// Whether an error has come in it.
    pub(in crate::session) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether the client has had a portal executed in it.
    pub(in crate::session) fn has_executed(&self) -> bool {
        self.executed
    }

    /// Whether the server may keep answers back.
    pub(in crate::session) fn keeps_answers_back(&self) -> bool {
        self.keeps_answers_back
    }

    /// Whether it has only parsed and described.
    pub(in crate::session) fn keeps_nothing(&self) -> bool {
        matches!(self.asked, Asked::Nothing | Asked::Replies)
    }

    /// Whether it has only parsed and described, and the client waits for the replies.
    pub(super) fn awaits_replies_alone(&self) -> bool {
        self.asked == Asked::Replies
    }

    /// Whether a COPY FROM STDIN was asked for last.
    pub(super) fn ends_with_copy(&self) -> bool {
        self.asked == Asked::Copy
    }

    // ---- what is sent -------------------------------------------------------------------------------

    /// A reply is expected, the server's or one of our own.
    pub(super) fn expects(&mut self, of_the_servers: bool) {
        self.keeps_answers_back |= of_the_servers;
        if self.stage == Stage::Fresh {
            self.stage = Stage::Open;
        }
    }

    /// The end of a COPY is sent: its answer may be kept back, though the server has been asked before.
    pub(super) fn ends_copy(&mut self) {
        self.keeps_answers_back = true;
    }

    /// Flush is sent.
    pub(super) fn flushes(&mut self) {
        self.keeps_answers_back = false;
        if self.asked == Asked::Nothing {
            self.asked = Asked::Replies;
        }
    }

    /// Sync is sent.
    pub(super) fn syncs(&mut self) {
        self.stage = Stage::Synced;
        self.keeps_answers_back = false;
    }

    /// What is sent is worth a transaction.
    pub(in crate::session) fn asks_for_work(&mut self) {
        self.asked = Asked::Work;
    }

    /// COPY FROM STDIN is sent.
    pub(in crate::session) fn asks_for_copy(&mut self) {
        self.asked = Asked::Copy;
    }

    /// The client has a portal executed.
    pub(super) fn executes(&mut self) {
        self.executed = true;
    }

    // ---- what the server answers --------------------------------------------------------------------

    /// An error has come.
    pub(in crate::session) fn fails(&mut self) {
        self.failed = true;
    }

    /// A COPY has begun, which swallows the Sync that was sent.
    pub(in crate::session) fn is_reopened(&mut self) {
        self.stage = Stage::Open;
    }

    /// ReadyForQuery has come. Returns whether the batch has failed.
    pub(in crate::session) fn is_answered(&mut self) -> bool {
        std::mem::take(self).failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_opens_with_its_first_message_and_is_fresh_again_when_answered() {
        let mut batch = Batch::default();
        assert!(batch.is_fresh());
        batch.expects(true);
        assert!(batch.is_open() && batch.keeps_answers_back());
        batch.fails();
        batch.executes();
        batch.syncs();
        assert!(batch.is_synced() && !batch.keeps_answers_back());
        assert!(batch.is_answered());
        assert!(batch.is_fresh() && !batch.has_failed() && !batch.has_executed() && batch.keeps_nothing());
    }

    #[test]
    fn a_flush_makes_replies_due_and_takes_nothing_from_work() {
        let mut batch = Batch::default();
        batch.expects(true);
        batch.flushes();
        assert!(batch.awaits_replies_alone() && batch.keeps_nothing() && !batch.keeps_answers_back());
        batch.asks_for_work();
        batch.flushes();
        assert!(!batch.keeps_nothing() && !batch.awaits_replies_alone());
    }

    #[test]
    fn a_reply_of_our_own_keeps_nothing_back() {
        let mut batch = Batch::default();
        batch.expects(false);
        assert!(batch.is_open() && !batch.keeps_answers_back());
    }
}
