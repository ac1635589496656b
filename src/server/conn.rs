//! A server connection that has logged in.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::base::{DiscardReason, RoleName, clock};
use crate::net::Stream;

use super::{CancelKey, Parameters, PreparedSet};

/// A server connection that has logged in. Whoever holds it owns the socket: a [`crate::pool::Lease`] or the
/// pool. Dropping it closes the socket without a goodbye.
#[derive(Debug)]
pub struct ServerConn {
    /// The socket, with nothing unread in any buffer of ours.
    pub stream: Stream,
    /// The named statements prepared on it.
    pub prepared: PreparedSet,
    /// Which statement its unnamed statement holds, by the session's id; `None` if unknown.
    pub unnamed: Option<u64>,
    /// Statements that gave up their place in `prepared`, but that the server still holds: to be closed
    /// ahead of the next one that is prepared.
    pub unclosed: Vec<u64>,
    parameters: Arc<Parameters>,
    cancel_key: Arc<CancelKey>,
    opened_at: Instant,
    last_role: Option<RoleName>,
}

impl ServerConn {
    pub(super) fn new(
        stream: Stream,
        parameters: Parameters,
        cancel_key: CancelKey,
        prepared: PreparedSet,
    ) -> Self {
        Self {
            stream,
            prepared,
            unnamed: None,
            unclosed: Vec::new(),
            parameters: Arc::new(parameters),
            cancel_key: Arc::new(cancel_key),
            opened_at: clock::now(),
            last_role: None,
        }
    }

    /// The ParameterStatus values of the login, in the server's order.
    pub fn parameters(&self) -> &Arc<Parameters> {
        &self.parameters
    }

    /// The key that cancels what this connection runs.
    pub fn cancel_key(&self) -> &Arc<CancelKey> {
        &self.cancel_key
    }

    /// The named statements prepared on it: the same as the field, for callers that hold a lease.
    pub fn prepared(&mut self) -> &mut PreparedSet {
        &mut self.prepared
    }

    /// When the login was done.
    pub fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// The role of the last transaction that ran here. The pool prefers a connection whose cached plans fit.
    pub fn last_role(&self) -> Option<&RoleName> {
        self.last_role.as_ref()
    }

    /// Notes the role of a transaction that runs here.
    pub fn set_last_role(&mut self, role: &RoleName) {
        if self.last_role.as_ref() != Some(role) {
            self.last_role = Some(role.clone());
        }
    }

    /// Takes note that the server has forgotten all that a session had: statements and the plans made for a role.
    pub(super) fn forget_session(&mut self) {
        self.prepared.clear();
        self.unclosed.clear();
        self.unnamed = None;
        self.last_role = None;
    }

    /// Whether nothing waits to be read: no bytes, no end of stream. An idle server has nothing to say, so
    /// anything else means that the connection must not be used. Never blocks, and costs no system call
    /// when nothing has arrived. A byte it finds is consumed: the connection is lost to any other use.
    pub fn is_quiet(&mut self) -> bool {
        self.disturbance().is_none()
    }

    /// As [`Self::is_quiet`], and names what is wrong.
    pub(crate) fn disturbance(&mut self) -> Option<DiscardReason> {
        let mut byte = [0; 1];
        match (self.stream.try_read(&mut byte), byte) {
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => None,
            // ErrorResponse: a FATAL that says why the server closes.
            (Err(_) | Ok(0), _) | (Ok(_), [b'E']) => Some(DiscardReason::ServerGone),
            (Ok(_), _) => Some(DiscardReason::ProtocolViolation),
        }
    }

    /// Closes an idle connection with a Terminate, so that the server logs no lost client. Never blocks: a
    /// socket that takes no five bytes is closed without.
    pub fn close(mut self) {
        self.hang_up();
    }

    /// The same, for a connection that another one is to take the place of.
    pub(crate) fn hang_up(&mut self) {
        // Best effort: the socket closes either way.
        let _ = self.stream.try_write(&[b'X', 0, 0, 0, 4]);
        self.stream = Stream::Closed;
    }
}
