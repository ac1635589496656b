//! Moves bytes between the two sockets and their buffers, whichever can move first.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite as _;
use tokio::time::{Instant, timeout};

use crate::auth::Credential;
use crate::base::{Fault, Phase, SqlState, limits};
use crate::net::{Inbox, Stream};
use crate::session::io::patience::waits_for_client;
use crate::session::{Client, Session};

/// Terminate, the last message of a client that leaves (PostgreSQL manual, 54.7).
const GOODBYE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// How long a client that is told goodbye may take to read it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Wake {
    /// Bytes have moved: look again what can be done.
    Progress,
    /// Bytes have come from the server.
    Server,
    /// The client has closed its connection.
    ClientGone,
    /// The server has closed its connection.
    ServerGone,
    /// A time limit may have been reached.
    Deadline,
    /// The process drains and the session is idle.
    Drained,
}

impl Session {
    /// Waits until something moves. Cancel safe: bytes are in the buffers or still in the sockets.
    pub(in crate::session) async fn pump(&mut self) -> Wake {
        poll_fn(|cx| self.poll_pump(cx)).await
    }

    fn poll_pump(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        // Bytes that leave make room; bytes that come are worth a turn in any case.
        let mut made_room = false;
        let mut progress = false;
        match self.client.poll_write(cx) {
            Ok(moved) => made_room |= moved,
            Err(_) if self.client.has_taken_leave() => progress = true,
            Err(_) => return Poll::Ready(Wake::ClientGone),
        }
        let reads_server = self.client.outbox.is_empty();
        if let Some(link) = &mut self.link {
            match link.poll_write(cx) {
                Ok(moved) => made_room |= moved,
                // The server may have said why before it closed: what it said is read first.
                Err(_) if !reads_server => {}
                Err(_) => match link.poll_fill(&mut self.answers, cx) {
                    Poll::Ready(Ok(1..)) => return Poll::Ready(Wake::Server),
                    _ => return Poll::Ready(Wake::ServerGone),
                },
            }
            // Back-pressure: a client that does not read is not read for.
            if reads_server && self.answers.have_room() {
                match link.poll_fill(&mut self.answers, cx) {
                    Poll::Ready(Ok(1..)) => return Poll::Ready(Wake::Server),
                    Poll::Ready(_) => return Poll::Ready(Wake::ServerGone),
                    Poll::Pending => {}
                }
            }
        } else if made_room && self.client.outbox.is_empty() {
            return Poll::Ready(Wake::Progress);
        } else if let Poll::Ready(wake) = self.poll_kept(cx) {
            return Poll::Ready(wake);
        }
        match self.read_client(cx) {
            Ok(read) => progress |= read,
            Err(wake) => return Poll::Ready(wake),
        }
        if self.client.leaves_by.is_some() && self.link.as_ref().is_none_or(|link| waits_for_client(link)) {
            // What it has left behind comes to nothing.
            return Poll::Ready(Wake::ClientGone);
        }
        if progress || (made_room && !self.client.inbox.is_empty()) {
            return Poll::Ready(Wake::Progress);
        }
        // A client that pauses without a Sync may wait for an error, which the server sends unasked.
        if let Some(link) = &mut self.link
            && !link.upstream.is_pushed()
            && !link.upstream.is_empty()
        {
            link.upstream.push();
            return Poll::Ready(Wake::Progress);
        }
        // Now that all has moved that can: who is to make the next move may have changed.
        if let Some(deadline) = self.next_deadline()
            && self.clock.poll(deadline, cx).is_ready()
        {
            return Poll::Ready(Wake::Deadline);
        }
        if self.must_go(cx) {
            return Poll::Ready(Wake::Drained);
        }
        self.client.inbox.slim();
        Poll::Pending
    }

    /// Reads what the client has sent, as far as there is room. Says whether there is something to look at.
    fn read_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Wake> {
        if self.client.leaves_by.is_some() || !self.client.inbox.has_room() {
            return Ok(false);
        }
        match self.client.inbox.poll_fill(&mut self.client.stream, cx) {
            Poll::Ready(Ok(count @ 1..)) => {
                self.client.moved += count as u64;
                // In a transaction it is idle until the server has something to do.
                if self.link.is_none() || self.shared.settings.pace.is_none() {
                    self.clock.is_idle_from(Instant::now());
                }
                Ok(true)
            }
            Poll::Ready(_) if self.client.has_taken_leave() => Ok(true),
            Poll::Ready(_) => Err(Wake::ClientGone),
            Poll::Pending => Ok(false),
        }
    }

    /// Whether the process is so far in shutting down that this session has to end: once it is idle while
    /// draining, at once when stopping.
    fn must_go(&mut self, cx: &mut Context<'_>) -> bool {
        let idle = self.link.is_none() && self.client.inbox.is_empty();
        match self.shutdown.phase(cx) {
            Phase::Running => false,
            Phase::Draining => idle,
            Phase::Stopping => true,
        }
    }
}

/// The error of a session whose token or certificate is no longer valid.
pub(in crate::session) fn expired(credential: Credential) -> Fault {
    let (message, hint) = match credential {
        Credential::Token => (
            "terminating connection because the token has expired",
            "Connect again with a fresh token as the password.",
        ),
        Credential::Certificate => (
            "terminating connection because the client certificate has expired",
            "Connect again with a new certificate.",
        ),
    };
    Fault::fatal(SqlState::ADMIN_SHUTDOWN, message).with_hint(hint)
}

impl Client {
    /// A client that has been told all it is to be told so far. `inbox` holds what it has sent and nobody has read.
    pub(in crate::session) fn new(stream: Stream, inbox: Inbox) -> Self {
        Self {
            stream,
            inbox,
            outbox: Vec::new(),
            written: 0,
            moved: 0,
            charge: None,
            leaves_by: None,
        }
    }

    /// Whether the client has said Terminate before its socket closed. Then what it has asked for is done to its
    /// end, as by the server, which reads the socket no sooner; nobody hears of it.
    fn has_taken_leave(&mut self) -> bool {
        if self.inbox.bytes().ends_with(&GOODBYE) {
            self.leaves_by
                .get_or_insert_with(|| Instant::now() + limits::WORK_AFTER_GOODBYE);
            self.outbox = Vec::new();
            self.written = 0;
        }
        self.leaves_by.is_some()
    }

    /// Ready when the client has closed its connection, unless behind a Terminate: then nobody is there to wait for
    /// what it has asked for. What arrives meanwhile is kept as far as there is room.
    pub(in crate::session) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.leaves_by.is_none() && self.inbox.has_room() && self.stream.poll_arrival(cx).is_ready() {
            match self.inbox.poll_fill(&mut self.stream, cx) {
                Poll::Ready(Ok(count @ 1..)) => self.moved += count as u64,
                Poll::Ready(_) if self.has_taken_leave() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.inbox.park();
        Poll::Pending
    }

    /// Writes what it can. Says whether anything moved.
    pub(in crate::session) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.leaves_by.is_some() {
            self.outbox.clear();
            self.written = 0;
            return Ok(false);
        }
        if self.outbox.is_empty() && !self.stream.is_encrypted() {
            return Ok(false);
        }
        let before = self.written;
        let moved = write_some(&mut self.stream, &self.outbox, &mut self.written, cx)?;
        self.moved += (self.written - before) as u64;
        flush(&mut self.stream, cx)?;
        release(&mut self.outbox, &mut self.written, 0);
        if self.outbox.is_empty() {
            self.charge = None;
        }
        Ok(moved)
    }

    /// Writes what the kernel takes although it has not said that it would: it says so only once a good part of the
    /// socket's buffer is free, which may take a client behind a thin line minutes. What is wrong with the socket is
    /// found out when it is used next.
    pub(in crate::session) fn push_out(&mut self) {
        let rest = self.outbox.get(self.written..).unwrap_or_default();
        if let Ok(count) = self.stream.write_unasked(rest) {
            self.written += count;
            self.moved += count as u64;
            release(&mut self.outbox, &mut self.written, 0);
        }
    }

    /// Writes bytes that need no copy if they leave at once; what does not leave is kept.
    pub(in crate::session) async fn write_through(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        if self.outbox.is_empty() && self.leaves_by.is_none() {
            let wrote =
                poll_fn(|cx| Poll::Ready(write_some(&mut self.stream, bytes, &mut written, cx).map(drop)));
            match wrote.await {
                Err(_) if self.has_taken_leave() => {}
                wrote => wrote?,
            }
            self.moved += written as u64;
        }
        if self.leaves_by.is_some() {
            return Ok(());
        }
        self.outbox
            .extend_from_slice(bytes.get(written..).unwrap_or_default());
        Ok(())
    }

    /// Writes everything that is left, within a time limit.
    pub(in crate::session) async fn write_rest(&mut self) {
        if self.outbox.is_empty() && !self.stream.is_encrypted() {
            // Nothing to wait for: dropping the socket closes it.
            return;
        }
        let all = poll_fn(|cx| match self.poll_write(cx) {
            Ok(_) if self.outbox.is_empty() => Pin::new(&mut self.stream).poll_shutdown(cx),
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        });
        if !matches!(timeout(LAST_WORDS, all).await, Ok(Ok(()))) {
            tracing::debug!("a client left without its last message");
        }
    }
}

/// Writes until the socket takes no more.
pub(in crate::session) fn write_some(
    stream: &mut Stream,
    bytes: &[u8],
    written: &mut usize,
    cx: &mut Context<'_>,
) -> io::Result<bool> {
    let start = *written;
    while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
        match Pin::new(&mut *stream).poll_write(cx, rest) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => *written += count,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    Ok(*written > start)
}

/// Sees that what TLS has encrypted leaves as soon as the socket takes it. Costs nothing on a plain socket.
pub(in crate::session) fn flush(stream: &mut Stream, cx: &mut Context<'_>) -> io::Result<()> {
    match Pin::new(stream).poll_flush(cx) {
        Poll::Ready(outcome) => outcome,
        // The task wakes when the socket takes more.
        Poll::Pending => Ok(()),
    }
}

/// Forgets bytes that have all been written; what the buffer has grown beyond `kept` bytes is given up.
pub(in crate::session) fn release(buffer: &mut Vec<u8>, written: &mut usize, kept: usize) {
    if *written > 0 && *written == buffer.len() {
        *written = 0;
        buffer.clear();
        buffer.shrink_to(kept);
    }
}
