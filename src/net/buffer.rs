//! Buffers that are borrowed while bytes are in flight and given back, so that an idle client holds none.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread::LocalKey;

use tokio::io::{AsyncRead, ReadBuf};

use super::Stream;
use super::gather::Gather;
use crate::base::limits::{BUFFER_BYTES, BULK_BUFFER_BYTES};

/// Buffers one thread keeps for reuse: enough for the turns in flight, little enough to forget.
const KEPT: usize = 64;

/// The same for bulk, which few clients have at a time.
const KEPT_FOR_BULK: usize = 4;

/// Bytes that are worth moving out of their buffer when they have to wait.
const PARKED_BYTES: usize = 2 * 1024;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static FREE_FOR_BULK: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes read and not consumed yet, in a borrowed buffer of fixed size.
///
/// Empty, it holds no memory.
#[derive(Debug, Default)]
pub struct Inbox {
    buffer: Option<Box<[u8]>>,
    filled: Range<usize>,
    gather: Gather,
}

impl Inbox {
    /// What has been read and not consumed.
    pub fn bytes(&self) -> &[u8] {
        self.buffer
            .as_deref()
            .and_then(|buffer| buffer.get(self.filled.clone()))
            .unwrap_or(&[])
    }

    /// Whether nothing is waiting to be consumed.
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Whether more can be read before something is consumed.
    pub fn has_room(&self) -> bool {
        self.filled.len() < BUFFER_BYTES
    }

    /// Drops the first `count` bytes, or all there are.
    pub fn consume(&mut self, count: usize) {
        self.filled.start = self.filled.end.min(self.filled.start.saturating_add(count));
        if self.filled.is_empty() {
            self.release();
        }
    }

    /// What comes next has nothing to do with what came: bulk has to show again that it is bulk.
    pub fn start_anew(&mut self) {
        self.gather.start_anew();
    }

    /// Keeps what is left in no more memory than it needs: for a wait that may be long.
    pub fn park(&mut self) {
        if self.filled.len() > PARKED_BYTES {
            return;
        }
        if let Some(buffer) = self.buffer.take_if(|buffer| is_borrowed(buffer)) {
            let left: Box<[u8]> = buffer.get(self.filled.clone()).unwrap_or_default().into();
            self.filled = 0..left.len();
            self.buffer = Some(left);
            give_back(buffer);
        }
    }

    /// Keeps what is left of bulk in an ordinary buffer, or less, for a wait.
    #[inline]
    pub fn slim(&mut self) {
        let is_bulk = |buffer: &[u8]| buffer.len() == BULK_BUFFER_BYTES;
        if self.buffer.as_deref().is_some_and(is_bulk) {
            self.leave_bulk();
        }
    }

    #[cold]
    fn leave_bulk(&mut self) {
        let len = self.filled.len();
        if len <= PARKED_BYTES {
            return self.park();
        }
        if len > BUFFER_BYTES {
            return;
        }
        let mut ordinary = take(&FREE, BUFFER_BYTES);
        if let Some(start) = ordinary.get_mut(..len) {
            start.copy_from_slice(self.bytes());
        }
        self.filled = 0..len;
        if let Some(bulk) = self.buffer.replace(ordinary) {
            give_back(bulk);
        }
    }

    /// Reads once. `Ok(0)` is the end of the stream, or a full buffer (see [`Inbox::has_room`]).
    /// While nothing has arrived no buffer is held. Bulk is let gather for a moment first.
    pub fn poll_fill(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.gather.poll_pause(cx));
            let read = self.poll_read(stream, cx);
            if read.is_ready() || !self.gather.is_bulk() {
                return read;
            }
            ready!(self.gather.poll_emptied(stream, cx));
        }
    }

    fn poll_read(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = match self.buffer.take() {
            Some(buffer) if is_borrowed(&buffer) => buffer,
            Some(parked) => {
                let mut buffer = borrow_buffer(&self.gather);
                if let Some(start) = buffer.get_mut(..parked.len()) {
                    start.copy_from_slice(&parked);
                }
                buffer
            }
            None => borrow_buffer(&self.gather),
        };
        if self.filled.start > 0 {
            buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let free = buffer.get_mut(self.filled.end..).unwrap_or_default();
        let room = free.len();
        let read = match stream.is_resting() && self.gather.is_bulk() {
            false => read_once(stream, free, cx),
            true => match stream.try_read(free) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                read => Poll::Ready(read),
            },
        };
        if let Poll::Ready(Ok(count)) = read {
            self.gather.came(count, room);
            self.filled.end += count;
        }
        self.buffer = Some(buffer);
        if self.filled.is_empty() {
            self.release();
        }
        read
    }

    fn release(&mut self) {
        self.filled = 0..0;
        if let Some(buffer) = self.buffer.take()
            && is_borrowed(&buffer)
        {
            give_back(buffer);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.release();
    }
}

fn read_once(stream: &mut Stream, free: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut target = ReadBuf::new(free);
    ready!(Pin::new(stream).poll_read(cx, &mut target))?;
    Poll::Ready(Ok(target.filled().len()))
}

/// Whether a buffer is one of the thread's, and not what was parked in just the memory it needs.
fn is_borrowed(buffer: &[u8]) -> bool {
    matches!(buffer.len(), BUFFER_BYTES | BULK_BUFFER_BYTES)
}

#[inline]
fn borrow_buffer(gather: &Gather) -> Box<[u8]> {
    if gather.is_bulk() {
        return take(&FREE_FOR_BULK, BULK_BUFFER_BYTES);
    }
    take(&FREE, BUFFER_BYTES)
}

#[inline]
fn take(free: &'static LocalKey<RefCell<Vec<Box<[u8]>>>>, bytes: usize) -> Box<[u8]> {
    free.with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| vec![0; bytes].into_boxed_slice())
}

#[inline]
fn give_back(buffer: Box<[u8]>) {
    if buffer.len() == BULK_BUFFER_BYTES {
        return put(&FREE_FOR_BULK, KEPT_FOR_BULK, buffer);
    }
    put(&FREE, KEPT, buffer);
}

#[inline]
fn put(free: &'static LocalKey<RefCell<Vec<Box<[u8]>>>>, kept: usize, buffer: Box<[u8]>) {
    free.with_borrow_mut(|free| {
        if free.len() < kept {
            free.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    #[test]
    fn what_is_left_of_bulk_waits_in_little() {
        for (len, kept) in [(100, 100), (10_000, BUFFER_BYTES), (40_000, BULK_BUFFER_BYTES)] {
            let bytes: Vec<u8> = (0..BULK_BUFFER_BYTES).map(|at| (at % 251) as u8).collect();
            let mut inbox = Inbox {
                buffer: Some(bytes.into_boxed_slice()),
                filled: 1_000..1_000 + len,
                gather: Gather::default(),
            };
            let before = inbox.bytes().to_vec();
            inbox.slim();
            assert_eq!(inbox.bytes(), before);
            assert_eq!(inbox.buffer.as_ref().unwrap().len(), kept);
        }
    }

    #[tokio::test]
    async fn fills_consumes_and_gives_the_buffer_back() {
        let (a, mut b) = UnixStream::pair().unwrap();
        let mut stream = Stream::Unix(a);
        let mut inbox = Inbox::default();
        b.write_all(b"hello world").await.unwrap();
        let n = poll_fn(|cx| inbox.poll_fill(&mut stream, cx)).await.unwrap();
        assert_eq!((n, inbox.bytes()), (11, &b"hello world"[..]));
        inbox.consume(6);
        b.write_all(b"!").await.unwrap();
        poll_fn(|cx| inbox.poll_fill(&mut stream, cx)).await.unwrap();
        assert_eq!(inbox.bytes(), b"world!");
        inbox.park();
        assert_eq!(
            (inbox.bytes(), inbox.buffer.as_ref().unwrap().len()),
            (&b"world!"[..], 6)
        );
        b.write_all(b"?").await.unwrap();
        poll_fn(|cx| inbox.poll_fill(&mut stream, cx)).await.unwrap();
        assert_eq!(inbox.bytes(), b"world!?");
        inbox.consume(100);
        assert!(inbox.is_empty() && inbox.buffer.is_none());
        drop(b);
        assert_eq!(poll_fn(|cx| inbox.poll_fill(&mut stream, cx)).await.unwrap(), 0);
        assert!(inbox.buffer.is_none());
    }
}
