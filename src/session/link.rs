//! A session's hold on a server connection while a transaction runs: what is still to be sent, what is
//! still to be answered, and what is in force.

mod acting;
mod batch;
mod block;
mod copy;
pub(super) mod effect;
mod hidden;
mod io;
pub(super) mod portals;
mod prepared;
mod replay;
mod scratch;
mod send;
mod sequences;
mod text;
mod traces;
mod upstream;
pub(super) mod warrant;
mod words;

use std::sync::Arc;
use std::time::Instant;

use self::acting::Acting;
use self::batch::Batch;
use self::block::Block;
pub(super) use self::block::Opener;
use self::copy::CopyIn;
pub(crate) use self::replay::Healing;
use self::replay::Replay;
use self::scratch::Scratch;
pub(super) use self::scratch::UPSTREAM_BYTES;
use self::sequences::Sequences;
pub(super) use self::text::{LocalSetting, Text};
pub(super) use self::traces::Left;
use self::traces::Traces;
pub(super) use self::upstream::OfPortal;
use self::upstream::Upstream;
use self::words::Words;
use crate::base::memory::{Account, Held};
use crate::base::{PoolMode, limits};
use crate::guard::Script;
use crate::pool::Lease;
use crate::session::link::effect::Effect;
use crate::session::link::portals::Portals;
use crate::session::memory::holding::hold_long;
use crate::session::memory::settings::decides_meaning;
use crate::session::memory::statement::Statement;
use crate::wire::encode::TransactionStatus;
use crate::wire::replies::{Awaited, Delivery, Own, Replies};

/// Portal of our own statements. No driver uses such a name; one that does disturbs only itself.
const INTERNAL_PORTAL: &str = "portcullis internal";

/// A text that no server accepts: sent in place of a refused statement, so that the transaction fails
/// at exactly that point, as it would had the server refused it. Its error is replaced by ours.
pub(super) const REFUSED: &str = "portcullis refused this statement";

/// A text that parses, except in a failed transaction.
const ANYTHING: &str = "SELECT";

/// Whether the server is asked about a whole string before that runs ([`crate::session::request::syntax_check`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CheckOf {
    #[default]
    Nothing,
    Whole,
    /// Within a savepoint.
    WholeInBlock,
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
    pub(crate) replies: Replies<Effect>,
    /// Bytes of names and texts that replies have been waited for since there were none.
    names_in_flight: usize,
    pub(super) batch: Batch,
    pub(super) block: Block,
    pub(super) acting: Acting,
    sequences: Sequences,
    pub(super) traces: Traces,
    copy_in: CopyIn,
    pub(crate) script: Option<ScriptRest>,
    pub(crate) reads_whole: CheckOf,
    pub(crate) portals: Portals,
    /// Statements that PREPARE has made in this transaction: they end with it, since the server tells those that
    /// SQL has made from the others.
    transient: Vec<u64>,
    replay: Replay,
    pub(super) words: Words,
    pub(crate) began: Instant,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Link {
    /// Takes a lease on an idle server connection.
    pub(crate) fn new(lease: Lease, context: u64, mode: PoolMode, now: Instant) -> Self {
        let scratch = Scratch::take();
        Self {
            lease,
            context: Some(context),
            upstream: Upstream::in_memory(scratch.upstream),
            replies: scratch.replies,
            names_in_flight: 0,
            batch: Batch::default(),
            block: Block::none(),
            acting: Acting::login(),
            sequences: Sequences::of(mode),
            traces: Traces::default(),
            copy_in: CopyIn::No,
            script: None,
            reads_whole: CheckOf::Nothing,
            portals: scratch.portals,
            transient: Vec::new(),
            replay: Replay::default(),
            words: Words::default(),
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
        Scratch {
            upstream: upstream.into_memory(),
            replies,
            portals,
        }
        .leave();
        lease
    }

    /// Whether the server owes nothing and holds no transaction: the connection may go back.
    pub(crate) fn is_clean(&self) -> bool {
        self.is_quiet() && self.block.status() == TransactionStatus::Idle
    }

    /// Whether nothing is under way, so that the next word is the client's.
    pub(crate) fn is_quiet(&self) -> bool {
        self.batch.is_fresh()
            && self.replies.is_empty()
            && self.upstream.is_empty()
            && self.acting.is_login()
            && !self.block.is_hidden()
    }

    /// Whether more of the client's messages may be turned into the server's now. One Sync at a time: what
    /// comes behind it is looked at when its transaction's fate is known.
    pub(crate) fn takes_messages(&self) -> bool {
        let is_free = || !self.batch.is_synced() && self.script.is_none() && !self.awaits_enough();
        self.has_room() && (!self.is_past_copy() || is_free())
    }

    /// Whether replies are outstanding that the server may keep back, as it has been sent neither Sync nor Flush.
    pub(crate) fn is_unasked(&self) -> bool {
        self.batch.is_open() && self.batch.keeps_answers_back() && !self.replies.is_empty()
    }

    /// Whether all of a batch has been answered but for the Sync that the client has not sent.
    pub(crate) fn awaits_sync(&self) -> bool {
        self.batch.is_open() && self.replies.is_empty()
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
        self.upstream.len() < self.copy_in.room()
    }

    /// Pushes an expected reply and opens the batch.
    pub(crate) fn expect(&mut self, awaited: Awaited, delivery: Delivery, effect: Effect) {
        self.batch.expects(!matches!(awaited, Awaited::Own(_)));
        self.replies.push(awaited, delivery, effect);
    }

    /// Gives a reply of our own in its turn.
    pub(crate) fn answer(&mut self, own: Own, effect: Effect) {
        self.expect(Awaited::Own(own), Delivery::Forward, effect);
    }

    /// A setting of the session is about to change.
    pub(super) fn session_changes(&mut self, name: &str) {
        self.block.changes_settings();
        self.setting_changes(name);
    }

    /// A transaction ends by what is about to be sent; then this block is open.
    pub(super) fn transaction_ends(&mut self, next: Opener) {
        self.acting.forget();
        self.block.ends(next);
    }

    /// A setting is about to change within the transaction.
    pub(super) fn setting_changes(&mut self, name: &str) {
        if decides_meaning(name) {
            self.context = None;
        }
    }

    /// The transaction is over, with all that was in force and all that was open in it.
    pub(crate) fn forget_transaction(&mut self, context: u64) {
        self.acting.is_over();
        self.block.is_over();
        self.portals.clear();
        self.context = Some(context);
    }

    /// A batch has ended within a block of the client's.
    pub(super) fn stay_in_block(&mut self, errored: bool) {
        self.acting.goes_on(errored);
        self.block.goes_on();
    }

    /// Remembers what a portal will run. The caller expects the reply with [`Effect::PortalChanged`].
    pub(crate) fn open_portal(&mut self, name: &[u8], statement: Arc<Statement>) {
        self.batch.asks_for_work();
        self.note_name(name.len());
        self.portals.open(name, statement);
    }
}
