//! COPY FROM STDIN on a server connection.

use super::Link;
use crate::base::limits;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CopyIn {
    /// None runs.
    #[default]
    No,
    /// The server reads copy data.
    Running,
    /// The client's CopyDone or CopyFail is being passed on.
    Ending,
}

impl CopyIn {
    /// Bytes that may wait for the server.
    pub(super) fn room(self) -> usize {
        match self {
            Self::No => limits::BUFFER_BYTES,
            Self::Running | Self::Ending => limits::BULK_BUFFER_BYTES,
        }
    }
}

impl Link {
    /// Whether the server reads copy data.
    pub(in crate::session) fn copies(&self) -> bool {
        self.copy_in == CopyIn::Running
    }

    /// Whether none runs and none ends.
    pub(in crate::session) fn is_past_copy(&self) -> bool {
        self.copy_in == CopyIn::No
    }

    /// The server has begun to read copy data.
    pub(in crate::session) fn begin_copy(&mut self) {
        self.copy_in = CopyIn::Running;
    }

    /// CopyDone or CopyFail was sent: the answer may be kept back, though the server has been asked before.
    pub(in crate::session) fn end_copy(&mut self) {
        self.copy_in = CopyIn::Ending;
        self.upstream.push();
        self.batch.ends_copy();
    }

    /// Whether what ends it has been passed on in full, since the last time this was asked.
    pub(in crate::session) fn take_copy_end(&mut self) -> bool {
        let ends = self.copy_in == CopyIn::Ending;
        if ends {
            self.copy_in = CopyIn::No;
        }
        ends
    }

    /// The server has given it up.
    pub(in crate::session) fn drop_copy(&mut self) {
        self.copy_in = CopyIn::No;
    }

    /// Whether a block of our own is to be committed behind one that the server has not answered yet.
    pub(in crate::session) fn holds_back_copy(&self) -> bool {
        self.block.is_ours()
            && self.batch.ends_with_copy()
            && self.batch.is_open()
            && !self.batch.has_failed()
            && !self.replies.is_empty()
    }
}
