//! Whether every message has got its replies and nothing else came: what a driver relies on.

use std::iter::Peekable;
use std::slice::Iter;

/// A message or a frame: its tag, its body.
pub(crate) type Frame = (u8, Vec<u8>);

/// What has come, without what a server may say at any time.
struct Frames<'a>(Peekable<Iter<'a, Frame>>);

/// Why the replies do not fit.
pub(crate) type Misfit = String;

impl Frames<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self
            .0
            .next_if(|(tag, _)| matches!(tag, b'N' | b'S' | b'A'))
            .is_some()
        {}
        self.0.peek().map(|(tag, _)| *tag)
    }

    fn next(&mut self) -> Result<u8, Misfit> {
        let tag = self.peek().ok_or("nothing came any more")?;
        self.0.next();
        Ok(tag)
    }

    /// One of these, or an error; says whether it was an error.
    fn expect(&mut self, tags: &[u8]) -> Result<bool, Misfit> {
        let tag = self.next()?;
        if tag == b'E' || tags.contains(&tag) {
            return Ok(tag == b'E');
        }
        let expected = String::from_utf8_lossy(tags);
        Err(format!("expected one of {expected:?}, got {:?}", char::from(tag)))
    }
}

/// How the next message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// After an error of the extended protocol.
    Skipping,
    /// The server takes the data of an Execute's COPY.
    Copy,
    /// The same of a Query's.
    CopyOfQuery,
}

/// Goes through a client's messages and takes away the replies of each.
///
/// # Errors
/// Which message has got something else, and how many there were.
pub(crate) fn account(sent: &[Frame], came: &[Frame]) -> Result<(), Misfit> {
    let mut frames = Frames(came.iter().peekable());
    let mut state = State::Open;
    for (at, (tag, _)) in sent.iter().enumerate() {
        state = step(
            state,
            *tag,
            sent.get(at)
                .map_or(0, |(_, body)| body.first().copied().unwrap_or(0)),
            &mut frames,
        )
        .map_err(|why| format!("message {at} ({:?}): {why}", char::from(*tag)))?;
    }
    match frames.peek() {
        None => Ok(()),
        Some(tag) => Err(format!("{:?} came for nothing", char::from(tag))),
    }
}

fn step(state: State, tag: u8, kind: u8, frames: &mut Frames<'_>) -> Result<State, Misfit> {
    let extended = |failed: bool| if failed { State::Skipping } else { State::Open };
    match (state, tag) {
        (State::Copy | State::CopyOfQuery, b'd' | b'H' | b'S') => Ok(state),
        (State::Copy, b'c' | b'f') => frames.expect(b"C").map(extended),
        (State::CopyOfQuery, b'c' | b'f') => query(frames),
        (State::Copy | State::CopyOfQuery, _) => Err("does not belong into a COPY".into()),
        (State::Open | State::Skipping, b'S') => {
            // A commit may fail.
            while frames.expect(b"Z")? {}
            Ok(State::Open)
        }
        (State::Skipping, _) | (State::Open, b'H' | b'd' | b'c' | b'f') => Ok(state),
        (State::Open, b'Q') => query(frames),
        (State::Open, b'P') => frames.expect(b"1").map(extended),
        (State::Open, b'B') => frames.expect(b"2").map(extended),
        (State::Open, b'C') => frames.expect(b"3").map(extended),
        (State::Open, b'D') => {
            if kind == b'S' && frames.expect(b"t")? {
                return Ok(State::Skipping);
            }
            frames.expect(b"Tn").map(extended)
        }
        (State::Open, b'E') => execute(frames),
        (State::Open, other) => Err(format!("no message of a client: {:?}", char::from(other))),
    }
}

fn execute(frames: &mut Frames<'_>) -> Result<State, Misfit> {
    loop {
        match frames.next()? {
            b'D' | b'H' | b'd' | b'c' => {}
            b'C' | b's' | b'I' => return Ok(State::Open),
            b'E' => return Ok(State::Skipping),
            b'G' => return Ok(State::Copy),
            other => return Err(format!("{:?} of an Execute", char::from(other))),
        }
    }
}

fn query(frames: &mut Frames<'_>) -> Result<State, Misfit> {
    loop {
        match frames.next()? {
            b'T' | b'D' | b'C' | b'I' | b'E' | b'H' | b'd' | b'c' => {}
            b'Z' => return Ok(State::Open),
            b'G' => return Ok(State::CopyOfQuery),
            other => return Err(format!("{:?} of a Query", char::from(other))),
        }
    }
}
