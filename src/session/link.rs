//! A session's hold on a server connection while a transaction runs: what is still to be sent, what is
//! still to be answered, and what is in force.

mod send;

use std::sync::Arc;
use std::time::Instant;

use super::effect::Effect;
use super::portals::Portals;
use super::settings::decides_meaning;
use super::statement::Statement;
use crate::base::limits;
use crate::guard::Script;
use crate::identity::Bound;
use crate::pool::Lease;
use crate::wire::encode::TransactionStatus;
use crate::wire::replies::{Awaited, Delivery, Own, Replies};

/// Portal of our own statements. No driver uses such a name; one that does disturbs only itself.
const INTERNAL_PORTAL: &str = "portcullis internal";

/// A text that no server accepts: sent in place of a refused statement, so that the transaction fails
/// at exactly that point, as it would had the server refused it. Its error is replaced by ours.
const REFUSED: &str = "portcullis refused this statement";

/// Who has opened the transaction block, as far as the server has confirmed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// There is none.
    None,
    /// The client.
    Clients,
    /// Portcullis, around a statement that must not control its transaction. To be committed ahead of
    /// the Sync.
    Own,
    /// The same, failed and being rolled back.
    RollingBack,
}

/// COPY FROM STDIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyIn {
    /// None runs.
    No,
    /// The server reads copy data.
    Running,
    /// The client's CopyDone or CopyFail is being passed on.
    Ending,
}

/// The Sync-delimited group of messages that is being put together or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// Nothing has been sent since the last ReadyForQuery.
    Fresh,
    /// Messages were sent, no Sync yet.
    Open,
    /// The Sync was sent; ReadyForQuery is awaited.
    Synced,
}

/// What a transaction does to the shapes of tables and types, and with them to the meaning of statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shapes {
    /// It leaves them.
    #[default]
    Kept,
    /// It may change them.
    Altered,
}

/// Whether the server answers what it was sent so far without being asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// It was sent Flush or Sync behind all.
    Due,
    /// It may keep answers back.
    KeptBack,
}

/// How something about the server is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// From what was sent.
    Predicted,
    /// From what the server has answered.
    Confirmed,
}

/// What a batch has asked of the server, as far as giving the connection back is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing, or to parse and describe statements: nothing that a transaction would keep.
    Nothing,
    /// The same, and the client waits for the replies.
    Replies,
    /// Something that its transaction keeps until the Sync.
    Work,
}

/// A simple query that waits for COPY FROM STDIN to end before its remaining statements are sent.
#[derive(Debug)]
pub(crate) struct ScriptRest {
    pub(crate) script: Arc<Script>,
    pub(crate) next: usize,
}

/// A leased server connection and all that is under way on it.
pub(crate) struct Link {
    pub(crate) lease: Lease,
    /// What a text means when it is parsed now (see [`Statement::context`]); `None` once the transaction has
    /// changed a setting that decides it.
    pub(crate) context: Option<u64>,
    /// Bytes for the server, and how many of them it has.
    pub(crate) upstream: Vec<u8>,
    pub(crate) sent: usize,
    /// Whether `upstream` should leave now, rather than wait for the rest of the batch.
    pub(crate) push: bool,
    /// Whether the server has been asked to answer all that it was sent.
    answers: Answers,
    pub(crate) replies: Replies<Effect>,
    pub(crate) status: TransactionStatus,
    pub(crate) batch: Batch,
    /// Whether an error has come since the last ReadyForQuery.
    pub(crate) failed: bool,
    /// What this batch has asked of the server so far.
    pub(crate) asked: Asked,
    /// The binding in force, as far as the messages sent so far say.
    pub(crate) bound: Option<Bound>,
    /// Whether the server has confirmed that the binding is in force: then an error cannot undo it.
    pub(crate) binding_is: Known,
    /// Whether a transaction block is open, as far as the messages sent so far say.
    pub(crate) in_block: bool,
    pub(crate) block: Block,
    /// Who has opened the block, as far as the messages sent so far say.
    pub(crate) block_ahead: Block,
    /// Whether the transaction may have changed what statements mean.
    pub(crate) shapes: Shapes,
    pub(crate) copy_in: CopyIn,
    /// Session settings that the transaction has changed, as far as the messages sent so far say.
    pub(crate) touched: Vec<Box<str>>,
    pub(crate) script: Option<ScriptRest>,
    pub(crate) portals: Portals,
    pub(crate) began: Instant,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Link {
    /// Takes a lease on an idle server connection.
    pub(crate) fn new(lease: Lease, context: u64) -> Self {
        Self {
            lease,
            context: Some(context),
            upstream: Vec::new(),
            sent: 0,
            push: false,
            answers: Answers::Due,
            replies: Replies::default(),
            status: TransactionStatus::Idle,
            batch: Batch::Fresh,
            failed: false,
            asked: Asked::Nothing,
            bound: None,
            binding_is: Known::Predicted,
            in_block: false,
            block: Block::None,
            block_ahead: Block::None,
            shapes: Shapes::Kept,
            copy_in: CopyIn::No,
            touched: Vec::new(),
            script: None,
            portals: Portals::default(),
            began: Instant::now(),
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Whether the server owes nothing and holds no transaction: the connection may go back.
    pub(crate) fn is_clean(&self) -> bool {
        self.is_quiet() && self.status == TransactionStatus::Idle
    }

    /// Whether nothing is under way, so that the next word is the client's.
    pub(crate) fn is_quiet(&self) -> bool {
        self.batch == Batch::Fresh
            && self.replies.is_empty()
            && self.upstream.is_empty()
            && matches!(self.block, Block::None | Block::Clients)
    }

    /// Whether more of the client's messages may be turned into the server's now. One Sync at a time: what
    /// comes behind it is looked at when its transaction's fate is known.
    pub(crate) fn takes_messages(&self) -> bool {
        match self.copy_in {
            CopyIn::Running | CopyIn::Ending => self.has_room(),
            CopyIn::No => {
                self.batch != Batch::Synced
                    && self.script.is_none()
                    && self.has_room()
                    && self.replies.len() < limits::REPLIES_IN_FLIGHT
            }
        }
    }

    /// Asks for replies when so many are outstanding that nothing more is sent: the server may keep them back
    /// until it is asked.
    pub(crate) fn make_room(&mut self) {
        if self.replies.len() >= limits::REPLIES_IN_FLIGHT {
            self.wait_for_replies();
        }
    }

    /// Whether the bytes that wait for the server are few enough to add some.
    pub(crate) fn has_room(&self) -> bool {
        self.upstream.len() < limits::BUFFER_BYTES
    }

    /// Pushes an expected reply and opens the batch.
    pub(crate) fn expect(&mut self, awaited: Awaited, delivery: Delivery, effect: Effect) {
        if !matches!(awaited, Awaited::Own(_)) {
            self.answers = Answers::KeptBack;
        }
        self.replies.push(awaited, delivery, effect);
        if self.batch == Batch::Fresh {
            self.batch = Batch::Open;
        }
    }

    /// Gives a reply of our own in its turn.
    pub(crate) fn answer(&mut self, own: Own, effect: Effect) {
        self.expect(Awaited::Own(own), Delivery::Forward, effect);
    }

    /// A session setting is about to change: a savepoint may take it back.
    pub(super) fn touch(&mut self, name: &str) {
        if !self.touched.iter().any(|touched| **touched == *name) {
            self.touched.push(name.into());
        }
    }

    /// A setting is about to change within the transaction.
    pub(super) fn setting_changes(&mut self, name: &str) {
        if decides_meaning(name) {
            self.context = None;
        }
    }

    /// The transaction ends, or may have ended: the next statement puts the identity into force again.
    pub(crate) fn forget_identity(&mut self) {
        self.bound = None;
        self.binding_is = Known::Predicted;
    }

    /// Remembers what a portal will run. The caller expects the reply with [`Effect::PortalChanged`].
    pub(crate) fn open_portal(&mut self, name: &[u8], statement: Arc<Statement>) {
        self.asked = Asked::Work;
        self.portals.open(name, statement);
    }
}
