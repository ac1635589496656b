//! Connections within the process, for tests and fuzzing: two ends that are each a [`Stream`](super::Stream), with no
//! socket between them. Time can be stopped around them, and what happens is the same every time.
//!
//! A listener has a path, as that of a Unix socket has; whatever connects to the path gets an end.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use tokio::io::ReadBuf;
use tokio::sync::mpsc;

/// Connections that a listener has not accepted yet; those beyond are refused.
const BACKLOG: usize = 128;

/// One end of a connection. Dropped, it is closed: what it has written can still be read, then the stream ends.
#[derive(Debug)]
pub struct Pipe {
    incoming: Arc<Mutex<Flow>>,
    outgoing: Arc<Mutex<Flow>>,
}

/// What goes one way.
#[derive(Debug)]
struct Flow {
    bytes: VecDeque<u8>,
    /// Most bytes that wait to be read.
    capacity: usize,
    /// Nothing more will be written.
    ended: bool,
    /// Nothing more will be read.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Flow {
    fn new(capacity: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            bytes: VecDeque::new(),
            capacity: capacity.max(1),
            ended: false,
            unread: false,
            reader: None,
            writer: None,
        }))
    }

    /// Ready when there is something to read, be it the end.
    fn poll_readable(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.bytes.is_empty() && !self.ended {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = into.len().min(self.bytes.len());
        for (place, byte) in into.iter_mut().zip(self.bytes.drain(..count)) {
            *place = byte;
        }
        wake(&mut self.writer);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unread || self.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.capacity.saturating_sub(self.bytes.len()).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.extend(bytes.iter().take(room));
        wake(&mut self.reader);
        Ok(room)
    }

    fn end(&mut self) {
        self.ended = true;
        wake(&mut self.reader);
    }

    fn leave_unread(&mut self) {
        self.unread = true;
        wake(&mut self.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Pipe {
    /// Both ends of a connection that holds so many bytes each way.
    pub fn pair(capacity: usize) -> (Self, Self) {
        let (there, back) = (Flow::new(capacity), Flow::new(capacity));
        let near = Self {
            incoming: Arc::clone(&back),
            outgoing: Arc::clone(&there),
        };
        let far = Self {
            incoming: there,
            outgoing: back,
        };
        (near, far)
    }

    pub(super) fn poll_arrival(&self, cx: &Context<'_>) -> Poll<()> {
        self.incoming.lock().poll_readable(cx)
    }

    pub(super) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.incoming.lock().read(bytes)
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.lock().write(bytes)
    }

    pub(super) fn poll_read(&self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut flow = self.incoming.lock();
        ready!(flow.poll_readable(cx));
        let count = flow.read(buf.initialize_unfilled())?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.outgoing.lock();
        match flow.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                flow.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            written => Poll::Ready(written),
        }
    }

    pub(super) fn shut_down(&self) {
        self.outgoing.lock().end();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.outgoing.lock().end();
        self.incoming.lock().leave_unread();
    }
}

static LISTENERS: LazyLock<Mutex<HashMap<PathBuf, Knocks>>> = LazyLock::new(Mutex::default);

/// How connections reach a listener.
#[derive(Debug)]
struct Knocks {
    capacity: usize,
    sender: mpsc::Sender<Pipe>,
}

/// Takes connections to a path of its own. Dropped, it takes none any more.
#[derive(Debug)]
pub struct PipeListener {
    path: PathBuf,
    knocks: mpsc::Receiver<Pipe>,
}

impl PipeListener {
    /// Listens at a path that nobody else has; its connections hold so many bytes each way.
    pub fn bind(capacity: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = PathBuf::from(format!("in-process/{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let (sender, knocks) = mpsc::channel(BACKLOG);
        LISTENERS.lock().insert(path.clone(), Knocks { capacity, sender });
        Self { path, knocks }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection. Cancel safe.
    pub async fn accept(&mut self) -> Option<Pipe> {
        self.knocks.recv().await
    }
}

impl Drop for PipeListener {
    fn drop(&mut self) {
        LISTENERS.lock().remove(&self.path);
    }
}

/// Connects to a path; `None` if it is not that of a listener within the process.
pub(super) fn connect(path: &Path) -> Option<io::Result<Pipe>> {
    let listeners = LISTENERS.lock();
    let knocks = listeners.get(path)?;
    let (near, far) = Pipe::pair(knocks.capacity);
    let knocked = knocks.sender.try_send(far);
    Some(match knocked {
        Ok(()) => Ok(near),
        Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
    })
}
