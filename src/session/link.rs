//! A session's hold on a server connection while a transaction runs: what is still to be sent, what is
//! still to be answered, and what is in force.

use std::sync::Arc;
use std::time::Instant;

use super::effect::Effect;
use super::portals::Portals;
use super::settings::decides_meaning;
use super::statement::{Prepared, ROLLBACK, Statement};
use super::warrant::Warrant;
use crate::base::{Fault, limits};
use crate::guard::{Action, Cleared, Script};
use crate::identity::{Binding, Bound};
use crate::pool::Lease;
use crate::wire::encode::{self, NO_TYPES, TransactionStatus};
use crate::wire::replies::{Awaited, Delivery, Own, Replies};
use crate::wire::tag::client as tag;

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
    /// Whether the transaction may have changed what statements mean.
    pub(crate) shapes: Shapes,
    pub(crate) copy_in: CopyIn,
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
            shapes: Shapes::Kept,
            copy_in: CopyIn::No,
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

    /// The right to send a statement. Puts the binding into force ahead of it, unless it is in force or the
    /// statement goes without.
    pub(super) fn warrant(
        &mut self,
        action: Option<&Action>,
        binding: &Binding,
        prelude: &Prepared,
    ) -> Warrant {
        if let Some(warrant) = Warrant::without_identity(action) {
            return warrant;
        }
        let bound = match self.bound.take() {
            Some(bound) => bound,
            None => self.put_prelude(binding, prelude),
        };
        Warrant::with_identity(self.bound.insert(bound))
    }

    fn put_prelude(&mut self, binding: &Binding, statement: &Prepared) -> Bound {
        self.binding_is = Known::Predicted;
        self.prepare(statement, binding.sql(), Delivery::Hide, Effect::None);
        // The unnamed portal needs no closing, yet it may hold something that the client has bound.
        let portal = if self.portals.get(b"").is_some() {
            INTERNAL_PORTAL
        } else {
            ""
        };
        let bound = binding.put_prelude(&mut self.upstream, portal, statement.name());
        self.expect(Awaited::Bind, Delivery::Hide, Effect::None);
        self.expect(Awaited::Execution, Delivery::Hide, Effect::None);
        if !portal.is_empty() {
            encode::close_portal(&mut self.upstream, portal);
            self.expect(Awaited::Close, Delivery::Hide, Effect::None);
        }
        bound
    }

    /// Makes sure that the server connection knows a statement. With [`Delivery::Forward`] the client
    /// gets a ParseComplete in any case.
    fn prepare(&mut self, statement: &Prepared, sql: &str, delivery: Delivery, effect: Effect) {
        let id = statement.id();
        if self.lease.prepared().touch(id) {
            if delivery == Delivery::Forward {
                self.answer(Own::ParseComplete, effect);
            }
            return;
        }
        if let Some(evicted) = self.lease.prepared().insert(id) {
            self.lease.unclosed.push(evicted);
        }
        for evicted in std::mem::take(&mut self.lease.unclosed) {
            encode::close_statement(&mut self.upstream, &format!("p{evicted}"));
            self.expect(Awaited::Close, Delivery::Hide, Effect::Evicted(evicted));
        }
        encode::parse(&mut self.upstream, statement.name(), sql, statement.types());
        self.expect(Awaited::Parse, delivery, Effect::Prepared(id, Box::new(effect)));
    }

    /// Parses a client's statement under the name that the client's stands for.
    pub(super) fn parse_statement(
        &mut self,
        client_name: &[u8],
        statement: &Statement,
        effect: Effect,
        _: Warrant,
    ) {
        if client_name.is_empty() || !self.shares(statement) {
            self.parse_unnamed(statement, Delivery::Forward, effect);
        } else {
            self.prepare(statement.prepared(), statement.sql(), Delivery::Forward, effect);
        }
    }

    /// Whether the server's statement of this text, as it would be parsed now, serves all who share it.
    fn shares(&self, statement: &Statement) -> bool {
        self.context == Some(statement.context())
    }

    fn parse_unnamed(&mut self, statement: &Statement, delivery: Delivery, effect: Effect) {
        let prepared = statement.prepared();
        encode::parse(&mut self.upstream, "", statement.sql(), prepared.types());
        // A named statement that passes through here is parsed anew each time.
        self.lease.unnamed = self.shares(statement).then_some(prepared.id());
        self.expect(Awaited::Parse, delivery, effect);
    }

    /// Sends one statement of a simple query: Parse, Bind, Describe, Execute on unnamed statement and
    /// portal.
    pub(super) fn run_once(&mut self, cleared: &Cleared, effect: Effect, _: Warrant) {
        self.run_unnamed(cleared.sql(), Delivery::ForwardRows, effect);
    }

    /// Sends a cleared SET in the form that ends with the transaction.
    pub(super) fn set_locally(&mut self, assignment: &str, delivery: Delivery, effect: Effect, _: Warrant) {
        self.run_unnamed(&format!("SET LOCAL {assignment}"), delivery, effect);
    }

    /// Sends an Execute as it is.
    pub(super) fn execute(&mut self, body: &[u8], effect: Effect, _: Warrant) {
        encode::frame(&mut self.upstream, tag::EXECUTE, body);
        self.expect(Awaited::Execution, Delivery::Forward, effect);
    }

    fn run_unnamed(&mut self, sql: &str, rows: Delivery, effect: Effect) {
        self.asked = Asked::Work;
        encode::parse(&mut self.upstream, "", sql, NO_TYPES);
        self.lease.unnamed = None;
        self.expect(Awaited::Parse, Delivery::Hide, Effect::None);
        encode::bind_text::<&str>(&mut self.upstream, "", "", &[]);
        self.portals.close(b"");
        self.expect(Awaited::Bind, Delivery::Hide, Effect::PortalChanged);
        encode::describe_portal(&mut self.upstream, "");
        self.expect(Awaited::PortalDescription, rows, Effect::None);
        encode::execute(&mut self.upstream, "");
        self.expect(Awaited::Execution, rows, effect);
    }

    /// Runs a statement of our own behind the client's back, on a portal of its own.
    pub(crate) fn run_internal(
        &mut self,
        statement: &Prepared,
        sql: &str,
        values: &[&str],
        delivery: Delivery,
        effect: Effect,
    ) {
        self.asked = Asked::Work;
        self.prepare(statement, sql, Delivery::Hide, Effect::None);
        encode::bind_text(&mut self.upstream, INTERNAL_PORTAL, statement.name(), values);
        self.expect(Awaited::Bind, Delivery::Hide, Effect::None);
        encode::execute(&mut self.upstream, INTERNAL_PORTAL);
        self.expect(Awaited::Execution, delivery, effect);
        encode::close_portal(&mut self.upstream, INTERNAL_PORTAL);
        self.expect(Awaited::Close, Delivery::Hide, Effect::None);
    }

    /// Undoes a block of our own that has failed. On the unnamed portal, which can always be bound: the
    /// client may have used any other name in the failed transaction.
    pub(crate) fn roll_back(&mut self) {
        self.block = Block::RollingBack;
        self.forget_identity();
        self.run_unnamed(ROLLBACK, Delivery::Hide, Effect::None);
        self.sync();
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

    /// Makes the server fail here, and the client see `fault` as the reason.
    pub(crate) fn poison(&mut self, fault: Fault) {
        encode::parse(&mut self.upstream, "", REFUSED, NO_TYPES);
        self.lease.unnamed = None;
        self.expect(
            Awaited::Parse,
            Delivery::Forward,
            Effect::Refused(Box::new(fault)),
        );
    }

    /// Ends the batch.
    pub(crate) fn sync(&mut self) {
        self.end_batch(Delivery::Forward);
    }

    /// Ends a batch that has only parsed and described, once the client has its replies: it may think about
    /// them without holding the connection. Some drivers prepare with a Flush and send the Sync much later.
    pub(crate) fn let_go(&mut self) {
        if self.asked == Asked::Replies
            && self.batch == Batch::Open
            && self.replies.is_empty()
            && self.upstream.is_empty()
            && !self.in_block
        {
            self.end_batch(Delivery::Hide);
        }
    }

    fn end_batch(&mut self, ready: Delivery) {
        encode::sync(&mut self.upstream);
        self.expect(Awaited::Ready, ready, Effect::None);
        self.batch = Batch::Synced;
        self.push = true;
        self.answers = Answers::Due;
    }

    /// Asks for the replies so far, unless that has been done: the client's next message waits for them.
    pub(crate) fn wait_for_replies(&mut self) {
        if self.batch == Batch::Open && !self.replies.is_empty() && self.answers == Answers::KeptBack {
            self.flush();
        }
    }

    /// Asks for the replies so far.
    pub(crate) fn flush(&mut self) {
        encode::flush(&mut self.upstream);
        self.push = true;
        self.answers = Answers::Due;
        if self.asked == Asked::Nothing {
            self.asked = Asked::Replies;
        }
    }

    /// The name under which the server knows a client's statement now; sends what is missing for that.
    pub(super) fn statement_name<'a>(
        &mut self,
        client_name: &[u8],
        statement: &'a Statement,
        _: Warrant,
    ) -> &'a str {
        let prepared = statement.prepared();
        if !client_name.is_empty() && self.shares(statement) {
            self.prepare(prepared, statement.sql(), Delivery::Hide, Effect::None);
            return prepared.name();
        }
        if self.lease.unnamed != Some(prepared.id()) {
            self.parse_unnamed(statement, Delivery::Hide, Effect::None);
        }
        ""
    }

    /// Remembers what a portal will run. The caller expects the reply with [`Effect::PortalChanged`].
    pub(crate) fn open_portal(&mut self, name: &[u8], statement: Arc<Statement>) {
        self.asked = Asked::Work;
        self.portals.open(name, statement);
    }
}
