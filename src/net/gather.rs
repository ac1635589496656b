//! Bulk that arrives in small pieces is read in large ones.
//!
//! A server sends rows and copy data some 8 KiB at a time (`PQ_SEND_BUFFER_SIZE`, pqcomm.c), and a client does about
//! the same. To be woken for each piece costs several times what it takes to pass its bytes on. So once a stream
//! has become bulk, its socket is taken off the reactor and asked now and then, when the kernel has gathered enough for
//! large reads. The sender goes on meanwhile: the kernel's buffer holds more than comes in a pause.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::Stream;

/// Bytes that have to come in a row before a stream is bulk: their sending takes many times the pause that its end may
/// wait for.
const BULK_FROM_BYTES: usize = 4 * 1024 * 1024;

/// A read of fewer bytes than this is the end of what came in a row: less than the half of what a server sends at once.
const PIECE_BYTES: usize = 4 * 1024;

/// How long bulk gathers: the runtime's finest.
const PAUSE: Duration = Duration::from_millis(1);

/// What makes a pause worth its timer. When less has come, the stream is bulk no more.
const WORTH_BYTES: usize = 32 * 1024;

/// Decides whether what comes is bulk, and when it is read.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// Bytes that have come in a row or, of bulk, since the last pause.
    come: usize,
    /// Set while the stream is bulk.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Gather {
    /// Whether the stream is bulk, or will be when it has been read to its end.
    pub(super) fn is_bulk(&self) -> bool {
        self.pause.is_some() || self.come >= BULK_FROM_BYTES
    }

    /// Ready when the stream may be read.
    pub(super) fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.pause {
            None => Poll::Ready(()),
            Some(pause) if pause.is_elapsed() => Poll::Ready(()),
            Some(pause) => pause.as_mut().poll(cx),
        }
    }

    /// What comes next is something else.
    pub(super) fn start_anew(&mut self) {
        if self.come > 0 || self.pause.is_some() {
            *self = Self::default();
        }
    }

    /// So many bytes have been read of so many that there was room for.
    pub(super) fn came(&mut self, count: usize, room: usize) {
        if count < PIECE_BYTES.min(room) && self.pause.is_none() {
            self.come = 0;
        } else {
            self.come = self.come.saturating_add(count);
        }
    }

    /// Everything that has come of bulk has been read. Pending while bulk gathers; Ready if the stream has to be asked again,
    /// since it has just ceased to be bulk.
    pub(super) fn poll_emptied(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        if self.come < WORTH_BYTES || !stream.rest() {
            *self = Self::default();
            return Poll::Ready(());
        }
        self.come = 0;
        let until = Instant::now() + PAUSE;
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
        pause.as_mut().reset(until);
        ready!(pause.as_mut().poll(cx));
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;
    use std::net::TcpStream as Sender;
    use std::thread;

    use tokio::net::TcpListener;

    use super::*;
    use crate::net::Inbox;

    const PIECES: usize = 4 * BULK_FROM_BYTES / 8192;

    async fn pair() -> (Sender, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sender = Sender::connect(listener.local_addr().unwrap()).unwrap();
        sender.set_nodelay(true).unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        (sender, Stream::from_tcp(socket).unwrap())
    }

    /// Reads that many bytes; says whether the socket rested meanwhile.
    async fn read(inbox: &mut Inbox, stream: &mut Stream, mut left: usize) -> bool {
        let mut rested = false;
        while left > 0 {
            let count = poll_fn(|cx| inbox.poll_fill(stream, cx)).await.unwrap();
            assert!(count > 0, "{left} bytes are missing");
            left -= count;
            inbox.consume(count);
            rested |= stream.is_resting();
        }
        rested
    }

    /// Sends pieces as a server does that makes them as it goes.
    fn send_bulk(sender: &mut Sender) {
        for _ in 0..PIECES {
            sender.write_all(&[1; 8192]).unwrap();
            thread::sleep(Duration::from_micros(20));
        }
    }

    #[tokio::test]
    async fn bulk_gathers_and_arrives_in_full_and_what_comes_behind_it_wakes_the_reader() {
        let (mut sender, mut stream) = pair().await;
        let mut inbox = Inbox::default();
        let thread = thread::spawn(move || {
            send_bulk(&mut sender);
            sender
        });
        assert!(read(&mut inbox, &mut stream, PIECES * 8192).await);
        let mut sender = thread.join().unwrap();
        for _ in 0..5 {
            sender.write_all(b"the last of it").unwrap();
            read(&mut inbox, &mut stream, 14).await;
        }
        inbox.start_anew();
        sender.write_all(b"something else").unwrap();
        assert!(!read(&mut inbox, &mut stream, 14).await);
        drop(sender);
        assert_eq!(poll_fn(|cx| inbox.poll_fill(&mut stream, cx)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn large_answers_to_one_question_each_are_no_bulk() {
        let (mut sender, mut stream) = pair().await;
        let mut inbox = Inbox::default();
        for _ in 0..2 * BULK_FROM_BYTES / 40_000 {
            sender.write_all(&[1; 40_000]).unwrap();
            assert!(!read(&mut inbox, &mut stream, 40_000).await);
            inbox.start_anew();
        }
    }

    #[tokio::test]
    async fn a_socket_that_rests_is_watched_again_when_it_is_used() {
        let (mut sender, mut stream) = pair().await;
        assert!(stream.rest());
        assert!(stream.try_read(&mut [0; 8]).is_err());
        sender.write_all(b"word").unwrap();
        let mut inbox = Inbox::default();
        read(&mut inbox, &mut stream, 4).await;
        assert!(!stream.is_resting() && stream.rest() && stream.peer_addr().is_some());
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"reply")
            .await
            .unwrap();
        assert!(!stream.is_resting() && stream.rest());
        sender.write_all(b"word").unwrap();
        poll_fn(|cx| stream.poll_arrival(cx)).await;
        assert!(!stream.is_resting());
    }
}
