//! The scripted server: takes connections within the process, logs everybody in, and has its whims.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::backend::{Backend, Next, message};
use super::record::Record;
use super::settings::REPORTED;
use super::sql::Trouble;
use portcullis::net::{PipeListener, Stream};

/// `CANCEL_REQUEST_CODE`, pqcomm.h.
const CANCEL_REQUEST: u32 = 80_877_102;

/// What a server does of its own accord, one byte for each message that it takes. Spent, it behaves.
#[derive(Debug, Default)]
pub(crate) struct Whims {
    bytes: Vec<u8>,
    next: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whim {
    /// Nothing unusual.
    None,
    /// It lets what it has kept back leave early.
    Flush,
    /// It says something that nobody has asked for.
    Remark,
    /// The same, about a setting.
    Report,
    /// It takes its time.
    Delay(Duration),
    /// What somebody runs next fails.
    Fail,
    /// It closes the connection without a word.
    Vanish,
    /// It says why, and closes the connection.
    Terminate,
}

/// The whim to end the connection.
pub(crate) const TERMINATE: u8 = 255;

impl Whims {
    /// These, in this order.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            next: 0,
        }
    }

    fn next(&mut self) -> Whim {
        let byte = self.bytes.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        match byte {
            0..=159 => Whim::None,
            160..=179 => Whim::Flush,
            180..=194 => Whim::Remark,
            195..=204 => Whim::Report,
            205..=224 => Whim::Delay(Duration::from_millis(u64::from(byte - 204) * 137)),
            225..=244 => Whim::Fail,
            245..=249 => Whim::Vanish,
            250..=255 => Whim::Terminate,
        }
    }
}

/// What all connections of a server share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) record: Arc<Mutex<Record>>,
    pub(crate) whims: Mutex<Whims>,
    /// Bytes that leave in one piece; 0 for all at once.
    pub(crate) piece: usize,
    pub(crate) working: Mutex<HashMap<u32, Arc<Notify>>>,
}

/// Serves a listener for as long as it is polled.
pub(crate) async fn serve(mut listener: PipeListener, shared: Arc<Shared>) {
    while let Some(pipe) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A connection that its client has closed.
            let _ = connection(Stream::Pipe(pipe), &shared).await;
        });
    }
}

async fn connection(mut stream: Stream, shared: &Shared) -> io::Result<()> {
    let length = stream.read_u32().await?;
    let mut packet = vec![0; length as usize - 4];
    stream.read_exact(&mut packet).await?;
    let field = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    if field(0) == CANCEL_REQUEST {
        let pid = field(4);
        *shared.record.lock().cancels.entry(pid).or_default() += 1;
        if let Some(work) = shared.working.lock().get(&pid) {
            work.notify_one();
        }
        return Ok(());
    }
    let pid = {
        let mut record = shared.record.lock();
        record.connections += 1;
        record.connections
    };
    let cancelled = Arc::new(Notify::new());
    shared.working.lock().insert(pid, Arc::clone(&cancelled));
    let served = talk(&mut stream, shared, pid, &cancelled).await;
    shared.working.lock().remove(&pid);
    served
}

async fn talk(stream: &mut Stream, shared: &Shared, pid: u32, cancelled: &Notify) -> io::Result<()> {
    let mut greeting = Vec::new();
    message(&mut greeting, b'R', &[0; 4]);
    for (name, value) in REPORTED {
        message(&mut greeting, b'S', format!("{name}\0{value}\0").as_bytes());
    }
    message(&mut greeting, b'K', &[pid.to_be_bytes(), [7; 4]].concat());
    message(&mut greeting, b'Z', b"I");
    stream.write_all(&greeting).await?;
    let mut backend = Backend::new(Arc::clone(&shared.record));
    loop {
        let tag = stream.read_u8().await?;
        let length = stream.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await?;
        if indulge(&mut backend, shared).await == Next::Close {
            return send(stream, shared, &mut backend).await;
        }
        let mut next = backend.take(tag, &body);
        while let Next::Work(time) = next {
            send(stream, shared, &mut backend).await?;
            let cancelled = tokio::select! {
                biased;
                () = sleep(time) => false,
                () = cancelled.notified() => true,
            };
            next = backend.wake(cancelled);
        }
        send(stream, shared, &mut backend).await?;
        if next == Next::Close {
            return Ok(());
        }
    }
}

/// Follows its whims ahead of a message.
async fn indulge(backend: &mut Backend, shared: &Shared) -> Next {
    let whim = shared.whims.lock().next();
    match whim {
        Whim::None => {}
        Whim::Flush => backend.flush(),
        Whim::Remark => backend.remark(),
        Whim::Report => backend.say(b'S', b"in_hot_standby\0off\0"),
        Whim::Delay(time) => sleep(time).await,
        Whim::Fail => backend.mischief = Some(Trouble::new("40001", "could not serialize access")),
        Whim::Vanish => {
            backend.flush();
            return Next::Close;
        }
        Whim::Terminate => {
            backend.last_words("57P01", "terminating connection due to administrator command");
            return Next::Close;
        }
    }
    Next::Listen
}

async fn send(stream: &mut Stream, shared: &Shared, backend: &mut Backend) -> io::Result<()> {
    let bytes = backend.take_sent();
    if shared.piece == 0 {
        return stream.write_all(&bytes).await;
    }
    for piece in bytes.chunks(shared.piece) {
        stream.write_all(piece).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
