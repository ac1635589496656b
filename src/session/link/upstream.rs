//! The bytes on their way to the server, and the only ways in.
//!
//! SQL comes in by [`Upstream::parse`] alone, as a [`Text`]: a text that the guard has cleared, with its warrant, or one
//! of our own. Every other method writes a message that carries no SQL. The bytes are private: nothing outside of this
//! file writes to them.

use std::io;
use std::sync::Arc;
use std::task::Context;

use super::UPSTREAM_BYTES;
use super::text::Text;
use crate::base::memory::{Account, Charge, Full};
use crate::identity::{Binding, Bound};
use crate::net::Stream;
use crate::session::io::pump::{release, write_some};
use crate::session::link::warrant::Warrant;
use crate::wire::encode;
use crate::wire::frame::{self, Head};
use crate::wire::tag::client as tag;

/// What waits for the server, and how much of it the server has.
pub(in crate::session) struct Upstream {
    bytes: Vec<u8>,
    sent: usize,
    charge: Option<Charge>,
    /// What is still to come of a body whose head was written.
    owed: u32,
    /// Whether the bytes should leave now, rather than wait for the rest of the batch.
    pushed: bool,
}

/// A batch that the server has had, to be sent again if need be.
#[derive(Debug, Default)]
pub(in crate::session) struct SentBatch(Vec<u8>);

/// What a client can ask about one of its portals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum OfPortal {
    /// What it returns.
    Describe,
    /// To close it.
    Close,
}

impl Upstream {
    /// An empty one in this memory.
    pub(super) fn in_memory(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self {
            bytes,
            sent: 0,
            charge: None,
            owed: 0,
            pushed: false,
        }
    }

    /// Gives the memory back.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.bytes
    }

    // ---- SQL ----------------------------------------------------------------------------------------

    /// Parse. The server refuses a text that holds two statements.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that sends a session's SQL"
    )]
    pub(in crate::session) fn parse(&mut self, name: &str, text: Text<'_>, types: &[u8]) {
        encode::parse(&mut self.bytes, name, text.as_str(), types);
    }

    // ---- messages without SQL -----------------------------------------------------------------------

    /// Bind and Execute of the prepared prelude.
    pub(super) fn prelude(&mut self, binding: &Binding, portal: &str, statement: &str) -> Bound {
        binding.put_prelude(&mut self.bytes, portal, statement)
    }

    /// Bind with text parameters and text results.
    pub(super) fn bind_text<V: AsRef<str>>(&mut self, portal: &str, statement: &str, values: &[V]) {
        encode::bind_text(&mut self.bytes, portal, statement, values);
    }

    /// The head of a Bind. So many bytes of formats and values follow by [`Upstream::body`].
    pub(in crate::session) fn bind_head(&mut self, portal: &[u8], statement: &str, tail: usize, _: &Warrant) {
        encode::bind_head(&mut self.bytes, portal, statement, tail);
        self.owe(tail);
    }

    /// More of the body whose head was written; no more than is still to come.
    pub(in crate::session) fn body(&mut self, bytes: &[u8]) {
        let take = bytes.len().min(self.owed as usize);
        self.bytes
            .extend_from_slice(bytes.get(..take).unwrap_or_default());
        self.owe(self.owed as usize - take);
    }

    fn owe(&mut self, bytes: usize) {
        // The length of a message has 32 bits.
        self.owed = u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    /// Execute without a row limit.
    pub(super) fn execute(&mut self, portal: &str) {
        encode::execute(&mut self.bytes, portal);
    }

    /// Execute as the client has sent it.
    pub(super) fn execute_as_sent(&mut self, body: &[u8], _: &Warrant) {
        encode::frame(&mut self.bytes, tag::EXECUTE, body);
    }

    /// Describe of a prepared statement.
    pub(in crate::session) fn describe_statement(&mut self, name: &str) {
        encode::describe_statement(&mut self.bytes, name);
    }

    /// Describe of a portal of ours.
    pub(super) fn describe_portal(&mut self, name: &str) {
        encode::describe_portal(&mut self.bytes, name);
    }

    /// Close of a prepared statement.
    pub(super) fn close_statement(&mut self, name: &str) {
        encode::close_statement(&mut self.bytes, name);
    }

    /// Close of a portal of ours.
    pub(super) fn close_portal(&mut self, name: &str) {
        encode::close_portal(&mut self.bytes, name);
    }

    /// Describe or Close of a portal that the client names.
    pub(in crate::session) fn of_portal(&mut self, what: OfPortal, name: &[u8]) {
        let tag = match what {
            OfPortal::Describe => tag::DESCRIBE,
            OfPortal::Close => tag::CLOSE,
        };
        encode::put_head(&mut self.bytes, tag, name.len() + 2);
        self.bytes.push(b'P');
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
    }

    /// Sync.
    pub(super) fn sync(&mut self) {
        encode::sync(&mut self.bytes);
        self.pushed = true;
    }

    /// Flush.
    pub(super) fn flush(&mut self) {
        encode::flush(&mut self.bytes);
        self.pushed = true;
    }

    // ---- COPY FROM STDIN ----------------------------------------------------------------------------

    /// The CopyData messages that these bytes begin with, as many as have come whole. Returns their length.
    pub(in crate::session) fn copy_data(&mut self, bytes: &[u8]) -> usize {
        let run = frame::run_of(bytes, [tag::COPY_DATA; 2]);
        self.bytes.extend_from_slice(bytes.get(..run).unwrap_or_default());
        run
    }

    /// The head of CopyData, CopyDone or CopyFail, whose body follows by [`Upstream::body`].
    pub(in crate::session) fn copy_head(&mut self, head: Head) {
        let tag = match head.tag {
            tag::COPY_DATA | tag::COPY_DONE => head.tag,
            _ => tag::COPY_FAIL,
        };
        encode::put_head(&mut self.bytes, tag, head.body_len);
        self.owe(head.body_len);
    }

    /// CopyFail. The reason ends with a zero byte.
    pub(in crate::session) fn copy_fail(&mut self, reason: &str) {
        encode::frame(&mut self.bytes, tag::COPY_FAIL, reason.as_bytes());
    }

    // ---- on the way ---------------------------------------------------------------------------------

    /// Bytes that wait for the server.
    pub(in crate::session) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none do.
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory that they take.
    pub(in crate::session) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What is there should leave now.
    pub(in crate::session) fn push(&mut self) {
        self.pushed = true;
    }

    /// Whether it should.
    pub(in crate::session) fn is_pushed(&self) -> bool {
        self.pushed
    }

    /// Writes as much as the socket takes. Returns whether that was anything.
    pub(in crate::session) fn write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        write_some(stream, &self.bytes, &mut self.sent, cx)
    }

    /// How many bytes were written, if that is all there were. Then nothing is pushed any more.
    pub(in crate::session) fn all_written(&mut self) -> Option<usize> {
        let all = self.sent == self.bytes.len();
        self.pushed &= !all;
        all.then_some(self.sent)
    }

    /// Forgets what the server has, and keeps so many bytes of memory.
    pub(in crate::session) fn release(&mut self, kept: usize) {
        release(&mut self.bytes, &mut self.sent, kept);
    }

    // ---- a batch that is kept -----------------------------------------------------------------------

    /// Keeps what was sent, all of which the server has.
    pub(super) fn take_sent(&mut self) -> SentBatch {
        self.sent = 0;
        SentBatch(std::mem::take(&mut self.bytes))
    }

    /// The memory of what was kept comes back for the next batch.
    pub(super) fn take_back(&mut self, batch: SentBatch) {
        if self.bytes.capacity() == 0 {
            self.bytes = batch.0;
            self.bytes.clear();
            self.bytes.shrink_to(UPSTREAM_BYTES);
        }
    }

    /// Sends once more what the server has had.
    pub(super) fn send_again(&mut self, batch: &SentBatch) {
        self.bytes.extend_from_slice(&batch.0);
        self.pushed = true;
    }

    // ---- what it is charged with --------------------------------------------------------------------

    /// Asks for room for so many bytes more.
    pub(in crate::session) fn ask(&mut self, account: &Arc<Account>, bytes: usize) -> Result<(), Full> {
        let wanted = self.bytes.len() + bytes;
        self.charge(account).grow_to(wanted)
    }

    /// Takes note of the memory that is taken.
    pub(in crate::session) fn settle(&mut self, account: &Arc<Account>) {
        let bytes = self.bytes.capacity();
        self.charge(account).set(bytes);
    }

    /// Gives the charge back where no more than so many bytes of memory are taken.
    pub(in crate::session) fn forget_charge(&mut self, unasked: usize) {
        if self.charge.is_some() && self.bytes.capacity() <= unasked {
            self.charge = None;
        }
    }

    fn charge(&mut self, account: &Arc<Account>) -> &mut Charge {
        self.charge.get_or_insert_with(|| Charge::new(account))
    }
}

impl SentBatch {
    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What comes behind its first bytes, as many as that.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        Self(self.0.split_off(at))
    }
}
