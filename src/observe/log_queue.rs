//! A bounded queue of log lines and the thread that writes them.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Lines that may wait to be written: some seconds of a busy log, a few megabytes at most.
const LINES: usize = 4096;

/// How often a flush looks again whether a full queue has room.
const FLUSH_POLL: Duration = Duration::from_millis(5);

enum Item {
    Line(Box<[u8]>),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
}

/// The side that logs; see [`LogQueue::writer`].
pub(super) struct LogQueue {
    items: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

/// Puts each write, which is one line, into the queue. Never blocks.
pub(super) struct LineWriter {
    items: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl LogQueue {
    /// Starts the thread that writes to `out`. It ends when the queue and its writers are gone.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (items, queued) = sync_channel(LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let lost_lines = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("portcullis-log".into())
            .spawn(move || write_lines(&queued, &lost_lines, out))?;
        Ok(Self { items, lost })
    }

    /// A writer for one line.
    pub(super) fn writer(&self) -> LineWriter {
        LineWriter {
            items: self.items.clone(),
            lost: Arc::clone(&self.lost),
        }
    }

    /// Waits until the lines queued so far are written, or `limit` is over.
    pub(super) fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let (done, written) = sync_channel(1);
        let mut item = Item::Flush(done);
        while let Err(TrySendError::Full(back)) = self.items.try_send(item) {
            if Instant::now() >= until {
                return;
            }
            item = back;
            std::thread::sleep(FLUSH_POLL);
        }
        // An error means that the time is over, or that the thread is gone: there is nothing to wait for.
        let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.items.try_send(Item::Line(line.into())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what is queued. A failed write is nobody's to report: the log itself is what failed.
fn write_lines(queued: &Receiver<Item>, lost: &AtomicU64, mut out: impl Write) {
    for item in queued {
        match item {
            Item::Line(line) => {
                let _ = out.write_all(&line);
            }
            Item::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            // An ordinary line, so that it has the log's format. It comes back through the queue; lost
            // itself, it counts for the next one.
            tracing::warn!(
                lost,
                "log lines were left out: standard error was not read fast enough"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::{Mutex, MutexGuard};

    /// Output that stalls while the test holds the lock.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        fn held(&self) -> MutexGuard<'_, Vec<u8>> {
            self.0.lock()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_logged_before_a_flush_is_written_in_order() {
        let out = Shared::default();
        let queue = LogQueue::start(out.clone()).unwrap();
        for n in 0..1000 {
            queue.writer().write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        queue.flush(Duration::from_secs(30));
        let expected: String = (0..1000).map(|n| format!("{n}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&out.held()), expected);
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_but_no_time() {
        let out = Shared::default();
        let queue = LogQueue::start(out.clone()).unwrap();
        let stalled = out.held();
        for _ in 0..LINES + 500 {
            queue.writer().write_all(b"x\n").unwrap();
        }
        let lost = queue.lost.load(Ordering::Relaxed);
        assert!((499..=500).contains(&lost), "{lost}");
        queue.flush(Duration::from_millis(20));
        drop(stalled);
        queue.flush(Duration::from_secs(30));
        assert_eq!(out.held().len() as u64, 2 * (LINES as u64 + 500 - lost));
        assert_eq!(queue.lost.load(Ordering::Relaxed), 0);
    }
}
