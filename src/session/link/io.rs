//! The server connection's socket: what waits is written, answers are read. The lease is private to the link, so that
//! nothing else reaches the socket while a session has it.

use std::io;
use std::task::{Context, Poll};

use super::{Link, UPSTREAM_BYTES};
use crate::base::limits;
use crate::session::answer::relay::Answers;
use crate::session::io::pump::flush;

impl Link {
    /// Writes what the socket takes. Returns whether that was anything.
    pub(in crate::session) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if !self.upstream.is_pushed() && self.has_room() {
            flush(&mut self.lease.stream, cx)?;
            return Ok(false);
        }
        let moved = self.upstream.write(&mut self.lease.stream, cx)?;
        flush(&mut self.lease.stream, cx)?;
        if let Some(sent) = self.upstream.all_written() {
            self.bytes_in += sent as u64;
            if sent > 0 {
                self.keep_batch();
            }
        }
        // Copy data comes a buffer at a time: memory that went back with each would only come again.
        let kept = if self.is_past_copy() {
            UPSTREAM_BYTES
        } else {
            2 * limits::BULK_BUFFER_BYTES
        };
        self.upstream.release(kept);
        self.upstream.forget_charge(Self::UNASKED_BYTES);
        Ok(moved)
    }

    /// Reads what has come.
    pub(in crate::session) fn poll_fill(
        &mut self,
        answers: &mut Answers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        answers.poll_fill(&mut self.lease.stream, cx)
    }

    /// The server's number for the connection.
    pub(in crate::session) fn server_pid(&self) -> i32 {
        self.lease.cancel_key().pid()
    }
}
