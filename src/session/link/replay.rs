//! A batch that failed at its start, because the server's statement was prepared for a table that has changed
//! since, is sent once more with the statement prepared anew.
//!
//! A connection of the client's own would say "cached plan must not change result type" only if it had prepared
//! that very statement before the change. Here somebody else may have, so the client must not hear of it. Where
//! the client has prepared it itself, it is healed as well, provided that the client learns the new shape: its
//! batch describes the statement or portal. A client that relies on a description it has had before must get
//! the error, as from Postgres: rows of another shape would be misread.

use std::sync::Arc;

use super::Link;
use super::upstream::SentBatch;
use crate::base::limits;
use crate::session::link::effect::Effect;
use crate::session::link::portals::Unconfirmed;
use crate::session::memory::statement::Statement;
use crate::wire::replies::{Awaited, Delivery, Entry};

/// What is remembered of a batch for that.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The batch as it was sent, if it left as a whole.
    bytes: SentBatch,
    /// Where in it the prelude ends that it begins with.
    prelude_end: usize,
    chance: Chance,
    /// The statement that the client has prepared last in this batch, if it is one that server connections keep.
    fresh: Option<u64>,
    under_way: Option<Healing>,
}

/// Whether a batch could be sent once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Chance {
    /// So far.
    #[default]
    Open,
    /// Something has come back, it left in parts, it was sent twice already, or it prepares something, which a second
    /// time would exist.
    Lost,
}

/// A batch that is sent again when the server has finished with its failure.
#[derive(Debug)]
pub(crate) struct Healing {
    pub(crate) statement: Arc<Statement>,
    /// The batch from behind its prelude to its Sync.
    bytes: SentBatch,
    entries: Vec<Entry<Effect>>,
    portals: Unconfirmed,
}

impl Link {
    /// All bytes at hand have been written.
    pub(crate) fn keep_batch(&mut self) {
        let whole = self.batch.is_synced() && self.upstream.len() <= limits::REPLAYED_BATCH_BYTES;
        if !whole || self.block.is_open() || self.replay.prelude_end == 0 {
            self.replay.chance = Chance::Lost;
        } else if self.replay.chance == Chance::Open {
            self.replay.bytes = self.upstream.take_sent();
        }
    }

    /// The client has been given a part of the server's answer.
    pub(crate) fn answer_has_begun(&mut self) {
        self.replay.chance = Chance::Lost;
    }

    /// The batch has been answered.
    pub(crate) fn forget_batch(&mut self) {
        let bytes = std::mem::take(&mut self.replay.bytes);
        self.upstream.take_back(bytes);
        self.replay.prelude_end = 0;
        self.replay.fresh = None;
        self.replay.chance = Chance::Open;
    }

    /// Whether what is sent next begins a batch that could be sent once more, outside of a block.
    pub(crate) fn can_begin_anew(&self) -> bool {
        self.batch.is_fresh()
            && self.upstream.is_empty()
            && self.replies.is_empty()
            && self.acting.bound().is_none()
            && self.replay.chance == Chance::Open
            && self.block.is_outside()
    }

    /// The prelude was put at the start of the batch.
    pub(super) fn prelude_ends_here(&mut self) {
        self.replay.prelude_end = self.upstream.len();
    }

    /// A statement is prepared under a name, on the server.
    pub(super) fn note_parse(&mut self) {
        if self.replay.prelude_end > 0 {
            self.replay.chance = Chance::Lost;
        }
    }

    /// Whether the batch is to be sent again.
    pub(crate) fn is_healing(&self) -> bool {
        self.replay.under_way.is_some()
    }

    /// The client has prepared a statement that server connections keep.
    pub(super) fn prepared_in_batch(&mut self, id: u64) {
        self.replay.fresh = Some(id);
    }

    /// A message has come that is too long for its batch to be sent again.
    pub(crate) fn passes_bulk(&mut self) {
        self.replay.fresh = None;
    }

    /// Whether the client's unnamed statement is the one that is kept under this id. Only in the batch that has prepared
    /// it: what comes later could not be sent again if it turned out to be stale.
    pub(super) fn uses_repeated(&self, id: u64) -> bool {
        self.replay.fresh == Some(id) && self.block.is_outside()
    }

    /// Whether the use of a prepared statement that is being answered could be healed.
    pub(crate) fn may_heal(&self) -> bool {
        let uses = |entry: &Entry<Effect>| matches!(entry.effect, Effect::Uses(_));
        self.replay.chance == Chance::Open && self.replies.front().is_some_and(uses)
    }

    /// An error has come for the first of these entries: the use of this statement. Takes them, if the batch can
    /// be sent again.
    pub(crate) fn begin_healing(
        &mut self,
        statement: &Arc<Statement>,
        entries: &mut Vec<Entry<Effect>>,
    ) -> bool {
        let outside = self.block.is_outside() && self.batch.is_synced() && self.script.is_none();
        if let [first, ..] = entries.as_mut_slice()
            && let (Effect::Uses(_), Awaited::PortalDescription) = (&first.effect, first.awaited)
        {
            // Its parameters have been described; they will be again.
            first.awaited = Awaited::StatementDescription;
        }
        let learns_shape = match entries.as_slice() {
            [first, ..] if first.awaited == Awaited::StatementDescription => true,
            [_, second, ..] if second.awaited == Awaited::PortalDescription => true,
            _ => self.replay.fresh == Some(statement.prepared().id()),
        };
        let simple = entries.iter().all(|entry| {
            matches!(
                entry.effect,
                Effect::None
                    | Effect::Uses(_)
                    | Effect::Bound(..)
                    | Effect::PortalChanged
                    | Effect::NameChanged
            )
        });
        let has_bytes = self.replay.prelude_end > 0 && self.replay.bytes.len() > self.replay.prelude_end;
        if !(outside && learns_shape && simple && has_bytes && self.replay.chance == Chance::Open) {
            return false;
        }
        let bytes = self.replay.bytes.split_off(self.replay.prelude_end);
        self.replay.under_way = Some(Healing {
            statement: Arc::clone(statement),
            bytes,
            entries: std::mem::take(entries),
            portals: self.portals.take_unconfirmed(),
        });
        self.replies.hide_next();
        true
    }

    /// The batch to be sent again, once the server is idle.
    pub(crate) fn take_healing(&mut self) -> Option<Healing> {
        self.replay.under_way.take()
    }

    /// Sends the batch again, behind a prelude and the statement prepared anew.
    pub(crate) fn send_again(&mut self, healing: Healing) {
        self.upstream.send_again(&healing.bytes);
        for entry in healing.entries {
            self.replies.push(entry.awaited, entry.delivery, entry.effect);
        }
        self.replies.push(Awaited::Ready, Delivery::Forward, Effect::None);
        self.portals.restore(healing.portals);
        self.batch.asks_for_work();
        self.batch.syncs();
        self.replay.chance = Chance::Lost;
    }
}
