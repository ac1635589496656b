//! A client on stage that says bytes and reads frames, as that of the tests before real servers.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::messages::{Frame, query};
use super::stage::{self, Backend, Entered, Next, Plan, Stage};
use super::trace::Peer;

/// Longer than anything a session waits for.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A stage with a runtime of its own.
pub(super) struct Theatre {
    // First, so that its tasks end within the runtime.
    pub(super) stage: Stage,
    runtime: Runtime,
}

impl Theatre {
    pub(super) fn open(plan: Plan) -> Self {
        let runtime = stage::runtime();
        let stage = runtime.block_on(async { Stage::set(plan) });
        Self { stage, runtime }
    }

    /// Somebody's session.
    pub(super) fn login(&self, name: &str) -> Player<'_> {
        Player {
            entered: self.runtime.block_on(self.stage.enter(name, usize::MAX)),
            theatre: self,
        }
    }

    /// Lets everything happen that can.
    pub(super) fn pass(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Nothing ran as nobody, and no connection is in use.
    pub(super) fn assert_well(&self) {
        self.pass(Duration::from_secs(1));
        let record = self.stage.record.lock();
        assert_eq!(record.unbound, Vec::<String>::new());
        assert_eq!(self.stage.busy(), [0; 3]);
    }
}

/// A client of a session.
pub(super) struct Player<'t> {
    pub(super) entered: Entered,
    theatre: &'t Theatre,
}

impl Player<'_> {
    /// The single value of a query that must succeed.
    pub(super) fn value(&mut self, sql: &str) -> String {
        self.send(&query(sql));
        let mut value = None;
        loop {
            let frame = self.try_read().expect("an answer");
            match frame.tag {
                b'D' => value = frame.row().remove(0),
                b'Z' => return value.unwrap_or_default(),
                b'E' => panic!("{sql}: {:?}", frame.field('M')),
                _ => {}
            }
        }
    }
}

impl Peer for Player<'_> {
    fn send(&mut self, bytes: &[u8]) {
        // One that has been closed is no error here: reading will tell.
        let _ = self
            .theatre
            .runtime
            .block_on(self.entered.stream.write_all(bytes));
    }

    fn try_read(&mut self) -> io::Result<Frame> {
        let stream = &mut self.entered.stream;
        self.theatre.runtime.block_on(async {
            let frame = timeout(PATIENCE, async {
                let tag = stream.read_u8().await?;
                let length = stream.read_u32().await?;
                let mut body = vec![0; length as usize - 4];
                stream.read_exact(&mut body).await?;
                Ok(Frame { tag, body })
            });
            frame
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}

/// A client of the scripted server itself, without a proxy.
pub(super) struct Direct {
    backend: Backend,
    incoming: Vec<u8>,
    closed: bool,
}

impl Direct {
    pub(super) fn new(name: &str) -> Self {
        let mut identity = stage::identity_of(name);
        identity.push(("role".into(), stage::ROLE.into()));
        Self {
            backend: Backend::standing_as(std::sync::Arc::default(), &identity),
            incoming: Vec::new(),
            closed: false,
        }
    }
}

impl Peer for Direct {
    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.closed && rest.len() >= 5 {
            let length = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
            let mut next = self.backend.take(rest[0], &rest[5..=length]);
            while let Next::Work(_) = next {
                next = self.backend.wake(false);
            }
            self.closed = next == Next::Close;
            rest = &rest[length + 1..];
        }
        self.incoming.extend(self.backend.take_sent());
    }

    fn try_read(&mut self) -> io::Result<Frame> {
        let Some(head) = self.incoming.get(..5) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let frame: Vec<u8> = self.incoming.drain(..=length).collect();
        Ok(Frame {
            tag: frame[0],
            body: frame[5..].to_vec(),
        })
    }
}
