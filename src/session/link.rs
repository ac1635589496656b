//! A session's hold on a server connection while a transaction runs: what is still to be sent, what is
//! still to be answered, and what is in force.

mod desk;
mod hidden;
mod io;
mod prepared;
mod replay;
mod send;
mod text;
mod upstream;

use std::sync::Arc;
use std::time::Instant;

use self::desk::Desk;
pub(super) use self::desk::UPSTREAM_BYTES;
pub(crate) use self::replay::Healing;
use self::replay::Replay;
pub(super) use self::text::{LocalSetting, Text};
pub(super) use self::upstream::OfPortal;
use self::upstream::Upstream;
use super::effect::Effect;
use super::holding::hold_long;
use super::portals::Portals;
use super::settings::decides_meaning;
use super::statement::Statement;
use super::wording::Wording;
use crate::base::memory::{Account, Held};
use crate::base::{PoolMode, limits};
use crate::guard::Script;
use crate::identity::Bound;
use crate::pool::Lease;
use crate::wire::encode::TransactionStatus;
use crate::wire::replies::{Awaited, Delivery, Own, Replies};

/// Portal of our own statements. No driver uses such a name; one that does disturbs only itself.
const INTERNAL_PORTAL: &str = "portcullis internal";

/// A text that no server accepts: sent in place of a refused statement, so that the transaction fails
/// at exactly that point, as it would had the server refused it. Its error is replaced by ours.
pub(super) const REFUSED: &str = "portcullis refused this statement";

/// A text that parses, except in a failed transaction.
const ANYTHING: &str = "SELECT";

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

/// What a transaction leaves on the server connection beyond what Portcullis keeps track of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Traces {
    /// Nothing: settings are local, statements and portals known.
    #[default]
    None,
    /// Code of a trusted role has run, which may have set, prepared, locked or listened to anything.
    OfCode,
    /// A library, a temporary schema or a seed of `random()`, which no reset takes away.
    ForGood,
}

/// Whether the server answers what it was sent so far without being asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// It was sent Flush or Sync behind all.
    Due,
    /// It may keep answers back.
    KeptBack,
}

/// How the server's errors fit the client's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// The server was given that text.
    AsTheyAre,
    /// They have a [`Wording`].
    Theirs,
}

/// How something about the server is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// From what was sent.
    Predicted,
    /// From what the server has answered.
    Confirmed,
}

/// Who the server takes the next statement to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActsAs {
    /// The login role: nothing has been put into force.
    Login,
    /// The role of a binding, unless its transaction has ended since.
    MaybeRole,
}

/// Who the server connection is where no transaction says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The login role.
    Login,
    /// The session's role has been asked for; it is so when the batch has succeeded.
    Becoming,
    /// The session's role, until the next ReadyForQuery outside a transaction.
    Role,
    /// The login role has been asked for.
    Leaving,
}

/// Whether the server is asked about a whole string before that runs ([`super::whole`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CheckOf {
    #[default]
    Nothing,
    Whole,
    /// Within a savepoint.
    WholeInBlock,
}

/// Whose the last values are that the server connection has drawn from sequences (`lastval`, `currval`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequences {
    /// Maybe another client's: to be forgotten ahead of a transaction block.
    Others,
    /// The same, and the next statement asks for them: to be forgotten with the next prelude.
    Wanted,
    /// This client's, as far as the messages sent so far say.
    Own,
    /// This client's alone for as long as its session lasts.
    Kept,
}

/// What portals the client has had executed in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Executed {
    /// None yet.
    Nothing,
    /// One or more.
    Something,
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
    /// COPY FROM STDIN, last of all.
    Copy,
}

/// Whether the transaction has the session's modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modes {
    /// They go ahead of the next statement that runs in it.
    Unset,
    /// They have been set, or taken over by AND CHAIN.
    Set,
}

/// Settings of the session that messages sent so far change. What comes behind the end of their transaction is
/// prepared with the new values, so it has to wait until the server has confirmed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// There are none, or their fate is known.
    None,
    /// The transaction that goes on has made some.
    Made,
    /// A transaction that has made some was told to end, and has not answered.
    Ended,
}

/// What the client misses since a block of our own has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing.
    #[default]
    Nothing,
    /// The portal of the BEGIN that ended it.
    Portal,
}

impl Changes {
    /// The transaction's end has been answered.
    pub(crate) fn settle(&mut self) {
        if *self == Self::Ended {
            *self = Self::None;
        }
    }
}

/// A simple query that is held up until the server has answered: by COPY FROM STDIN, or by the end of a
/// transaction that changes settings.
#[derive(Debug)]
pub(crate) struct ScriptRest {
    /// Ahead of the text that it stands for.
    #[expect(dead_code, reason = "held, and given back when dropped")]
    held: Option<Box<Held>>,
    pub(crate) script: Arc<Script>,
    pub(crate) next: usize,
}

impl ScriptRest {
    /// What is left of a script from `next` on, its text on this account.
    pub(crate) fn new(account: &Arc<Account>, script: Arc<Script>, next: usize) -> Self {
        Self {
            held: hold_long(account, &script),
            script,
            next,
        }
    }
}

/// A leased server connection and all that is under way on it.
pub(crate) struct Link {
    lease: Lease,
    /// What a text means when it is parsed now (see [`Statement::context`]); `None` once the transaction has
    /// changed a setting that decides it.
    pub(crate) context: Option<u64>,
    /// Bytes for the server.
    pub(super) upstream: Upstream,
    /// Whether the server has been asked to answer all that it was sent.
    answers: Answers,
    pub(crate) replies: Replies<Effect>,
    /// Bytes of names and texts that replies have been waited for since there were none.
    names_in_flight: usize,
    pub(crate) status: TransactionStatus,
    pub(crate) batch: Batch,
    /// Whether an error has come since the last ReadyForQuery.
    pub(crate) failed: bool,
    /// What the client has had executed since then.
    pub(crate) executed: Executed,
    /// What this batch has asked of the server so far.
    pub(crate) asked: Asked,
    /// The binding in force, as far as the messages sent so far say.
    pub(crate) bound: Option<Bound>,
    /// Who the server may take statements to be of when the binding is put into force.
    pub(crate) acts_as: ActsAs,
    pub(crate) standing: Standing,
    /// What a statement that asks for it would find drawn from sequences.
    pub(crate) sequences: Sequences,
    /// Whether the server has confirmed that the binding is in force: then an error cannot undo it.
    pub(crate) binding_is: Known,
    /// Whether a transaction block is open, as far as the messages sent so far say.
    pub(crate) in_block: bool,
    pub(crate) block: Block,
    /// Who has opened the block, as far as the messages sent so far say.
    pub(crate) block_ahead: Block,
    /// Whether the transaction may have changed what statements mean.
    pub(crate) shapes: Shapes,
    pub(crate) traces: Traces,
    pub(crate) copy_in: CopyIn,
    /// Whether the session's modes are those of the transaction, as far as the messages sent so far say.
    pub(crate) modes: Modes,
    /// Whether what has been sent changes settings of the session.
    pub(crate) changes: Changes,
    /// What the end of a block of our own has taken from the client.
    pub(crate) lost: Lost,
    pub(crate) script: Option<ScriptRest>,
    pub(crate) reads_whole: CheckOf,
    pub(crate) portals: Portals,
    /// Statements that PREPARE has made in this transaction: they end with it, since the server tells those that
    /// SQL has made from the others.
    transient: Vec<u64>,
    replay: Replay,
    /// The text that the server's errors concern, where it is not the client's.
    pub(crate) wording: Option<Box<Wording>>,
    /// Whether there will be one when all that was sent has been answered.
    words: Words,
    pub(crate) began: Instant,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Link {
    /// Takes a lease on an idle server connection.
    pub(crate) fn new(lease: Lease, context: u64, mode: PoolMode, now: Instant) -> Self {
        let desk = Desk::take();
        Self {
            lease,
            context: Some(context),
            upstream: Upstream::in_memory(desk.upstream),
            answers: Answers::Due,
            replies: desk.replies,
            names_in_flight: 0,
            status: TransactionStatus::Idle,
            batch: Batch::Fresh,
            failed: false,
            executed: Executed::Nothing,
            asked: Asked::Nothing,
            bound: None,
            acts_as: ActsAs::Login,
            standing: Standing::Login,
            sequences: match mode {
                PoolMode::Session => Sequences::Kept,
                PoolMode::Transaction => Sequences::Others,
            },
            binding_is: Known::Predicted,
            in_block: false,
            block: Block::None,
            block_ahead: Block::None,
            shapes: Shapes::Kept,
            traces: Traces::None,
            copy_in: CopyIn::No,
            modes: Modes::Unset,
            changes: Changes::None,
            lost: Lost::Nothing,
            script: None,
            reads_whole: CheckOf::Nothing,
            portals: desk.portals,
            transient: Vec::new(),
            replay: Replay::default(),
            wording: None,
            words: Words::AsTheyAre,
            began: now,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Gives the lease up. What the link has worked in serves the next one.
    pub(crate) fn end(self: Box<Self>) -> Lease {
        let Self {
            lease,
            upstream,
            replies,
            portals,
            ..
        } = *self;
        Desk {
            upstream: upstream.into_memory(),
            replies,
            portals,
        }
        .leave();
        lease
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
            && self.standing == Standing::Login
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
                    && !self.awaits_enough()
            }
        }
    }

    /// Whether replies are outstanding that the server may keep back, as it has been sent neither Sync nor Flush.
    pub(crate) fn is_unasked(&self) -> bool {
        self.batch == Batch::Open && self.answers == Answers::KeptBack && !self.replies.is_empty()
    }

    /// Whether all of a batch has been answered but for the Sync that the client has not sent.
    pub(crate) fn awaits_sync(&self) -> bool {
        self.batch == Batch::Open && self.replies.is_empty()
    }

    /// Asks for replies when so many are outstanding that nothing more is sent: the server may keep them back
    /// until it is asked.
    pub(crate) fn make_room(&mut self) {
        if self.awaits_enough() {
            self.wait_for_replies();
        }
    }

    /// Whether so much is outstanding that nothing more is sent.
    fn awaits_enough(&self) -> bool {
        self.replies.len() >= limits::REPLIES_IN_FLIGHT
            || (self.names_in_flight > limits::NAMES_IN_FLIGHT_BYTES && !self.replies.is_empty())
    }

    /// A name and a text are kept until a reply has come.
    pub(crate) fn note_name(&mut self, bytes: usize) {
        if self.replies.is_empty() {
            self.names_in_flight = 0;
        }
        self.names_in_flight += bytes;
    }

    /// Whether the bytes that wait for the server are few enough to add some.
    pub(crate) fn has_room(&self) -> bool {
        let room = match self.copy_in {
            CopyIn::No => limits::BUFFER_BYTES,
            CopyIn::Running | CopyIn::Ending => limits::BULK_BUFFER_BYTES,
        };
        self.upstream.len() < room
    }

    /// Whether a block of our own is to be committed behind a COPY FROM STDIN that the server has not answered
    /// yet.
    pub(crate) fn holds_back_copy(&self) -> bool {
        self.block_ahead == Block::Own
            && self.asked == Asked::Copy
            && self.batch == Batch::Open
            && !self.failed
            && !self.replies.is_empty()
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

    /// CopyDone or CopyFail was sent: the answer may be kept back, though the server has been asked before.
    pub(crate) fn end_copy(&mut self) {
        self.copy_in = CopyIn::Ending;
        self.upstream.push();
        self.answers = Answers::KeptBack;
    }

    /// What is sent from here on was another text of the client's.
    pub(crate) fn word(&mut self, wording: Option<Box<Wording>>) {
        if wording.is_none() && self.words == Words::AsTheyAre {
            return;
        }
        self.words = match &wording {
            Some(_) => Words::Theirs,
            None => Words::AsTheyAre,
        };
        if self.replies.is_empty() {
            self.wording = wording;
        } else {
            self.answer(Own::Silence, Effect::Worded(wording));
        }
    }

    /// All that was sent has been answered.
    pub(crate) fn forget_wording(&mut self) {
        self.wording = None;
        self.words = Words::AsTheyAre;
    }

    /// What was sent is worth a transaction.
    pub(crate) fn work(&mut self) {
        self.asked = Asked::Work;
    }

    /// A setting of the session is about to change.
    pub(super) fn session_changes(&mut self, name: &str) {
        self.changes = Changes::Made;
        self.setting_changes(name);
    }

    /// A transaction ends by what is about to be sent; then this block is open.
    pub(super) fn transaction_ends(&mut self, next: Block) {
        self.forget_identity();
        self.in_block = next != Block::None;
        self.block_ahead = next;
        if next == Block::None {
            // AND CHAIN hands the modes on (PostgreSQL manual, COMMIT).
            self.modes = Modes::Unset;
        }
        if self.changes == Changes::Made {
            self.changes = Changes::Ended;
        }
    }

    /// A setting is about to change within the transaction.
    pub(super) fn setting_changes(&mut self, name: &str) {
        if decides_meaning(name) {
            self.context = None;
        }
    }

    /// The transaction is over, with all that was in force and all that was open in it.
    pub(crate) fn forget_transaction(&mut self, context: u64) {
        self.forget_identity();
        self.acts_as = match self.standing {
            Standing::Role => ActsAs::MaybeRole,
            Standing::Login | Standing::Becoming | Standing::Leaving => ActsAs::Login,
        };
        self.in_block = false;
        self.block = Block::None;
        self.block_ahead = Block::None;
        self.portals.clear();
        self.modes = Modes::Unset;
        self.changes = Changes::None;
        self.lost = Lost::Nothing;
        self.context = Some(context);
    }

    /// The transaction ends, or may have ended: the next statement puts the identity into force again.
    pub(crate) fn forget_identity(&mut self) {
        self.bound = None;
        self.binding_is = Known::Predicted;
    }

    /// Remembers what a portal will run. The caller expects the reply with [`Effect::PortalChanged`].
    pub(crate) fn open_portal(&mut self, name: &[u8], statement: Arc<Statement>) {
        self.asked = Asked::Work;
        self.note_name(name.len());
        self.portals.open(name, statement);
    }
}
