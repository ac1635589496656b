//! The reply queue: every message sent to a server pushes what will answer it.
//!
//! The server answers in order (PostgreSQL manual, 54.2.3), so the queue knows at each reply whether it is
//! the client's, ours to hide, or a surprise. A server connection may go back to its pool only when the
//! queue is empty.

use std::collections::VecDeque;

use thiserror::Error;

use super::encode;
use super::frame::{self, HEAD_BYTES};
use super::tag::server as tag;

/// What a message is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Parse: ParseComplete.
    Parse,
    /// Bind: BindComplete.
    Bind,
    /// Close: CloseComplete.
    Close,
    /// Describe of a portal: RowDescription or NoData.
    PortalDescription,
    /// Describe of a statement: ParameterDescription, then RowDescription or NoData.
    StatementDescription,
    /// Execute: rows or copy data, then CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execution,
    /// Sync: ReadyForQuery.
    Ready,
    /// Nothing: the reply is ours and due as soon as all before it have come.
    Own(Own),
}

/// A reply that Portcullis gives without asking the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// The statement is known to the server already, or need not be.
    ParseComplete,
    /// A command that concerns only the session is bound without the server.
    BindComplete,
    /// Closing a statement only forgets the client's name for it.
    CloseComplete,
    /// Such a command returns no rows.
    NoData,
    /// Such a command has no parameters either.
    NoParameters,
    /// A query string without a statement.
    EmptyQuery,
    /// Nothing is said: the entry's effect is what counts.
    Silence,
    /// A command that concerns only the session, by its tag.
    Command(&'static str),
}

impl Own {
    /// Appends the message.
    pub fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::ParseComplete => encode::frame(out, tag::PARSE_COMPLETE, &[]),
            Self::BindComplete => encode::frame(out, tag::BIND_COMPLETE, &[]),
            Self::CloseComplete => encode::frame(out, tag::CLOSE_COMPLETE, &[]),
            Self::NoData => encode::frame(out, tag::NO_DATA, &[]),
            Self::NoParameters => encode::frame(out, tag::PARAMETER_DESCRIPTION, &[0, 0]),
            Self::EmptyQuery => encode::frame(out, tag::EMPTY_QUERY, &[]),
            Self::Silence => {}
            Self::Command(command) => encode::command_complete(out, command),
        }
    }
}

/// Who gets a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The client.
    Forward,
    /// The client, except that NoData is hidden: a simple query's statement without rows has no description.
    ForwardRows,
    /// The same, and a description only with what follows it: an error in its place is all that comes.
    ForwardLate,
    /// Nobody, but notices ahead of it are the client's: it belongs to what the client has sent.
    NoticesOnly,
    /// Nobody, and no notice either.
    Hide,
    /// Nobody, but its row is read by us.
    Capture,
    /// The client, as the answer to a FunctionCall: its row in another wrapping, and nothing else.
    FunctionResult,
}

/// One expected reply and what follows from it.
#[derive(Debug)]
pub struct Entry<E> {
    /// What the server will answer.
    pub awaited: Awaited,
    /// Who gets it.
    pub delivery: Delivery,
    /// What it means for the session when it has come.
    pub effect: E,
}

/// A reply that nothing asked for.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("server sent {got:?} where {expected:?} was expected", got = char::from(*got))]
pub struct Unexpected {
    /// The message's type.
    pub got: u8,
    /// What the queue waited for.
    pub expected: Option<Awaited>,
}

/// What to do with one frame.
#[derive(Debug)]
pub struct Step<E> {
    /// Who gets the frame.
    pub delivery: Delivery,
    /// The entry's effect, when this frame is its last.
    pub done: Option<E>,
}

/// Room for an ordinary transaction, so that it does not grow step by step.
const ORDINARY: usize = 16;

/// Expected replies, oldest first.
#[derive(Debug)]
pub struct Replies<E> {
    entries: VecDeque<Entry<E>>,
}

impl<E> Default for Replies<E> {
    fn default() -> Self {
        Self {
            entries: VecDeque::with_capacity(ORDINARY),
        }
    }
}

impl<E> Replies<E> {
    /// Adds what the message just sent will be answered with.
    pub fn push(&mut self, awaited: Awaited, delivery: Delivery, effect: E) {
        self.entries.push_back(Entry {
            awaited,
            delivery,
            effect,
        });
    }

    /// Expects nothing any more. The memory for more than an ordinary transaction is given up.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.entries.shrink_to(ORDINARY);
    }

    /// Whether every reply has come.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many replies are outstanding.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The next reply.
    pub fn front(&self) -> Option<&Entry<E>> {
        self.entries.front()
    }

    /// Whose reply is next; `None` when none is due.
    pub fn next_delivery(&self) -> Option<Delivery> {
        self.entries.front().map(|entry| entry.delivery)
    }

    /// The next reply goes to nobody.
    pub fn hide_next(&mut self) {
        if let Some(entry) = self.entries.front_mut() {
            entry.delivery = Delivery::Hide;
        }
    }

    /// The next reply is the client's.
    pub fn show_next(&mut self) {
        if let Some(entry) = self.entries.front_mut() {
            entry.delivery = Delivery::Forward;
        }
    }

    /// Whether rows that come now are the client's: they change nothing here, however many they are.
    pub fn passes_rows(&self) -> bool {
        matches!(
            self.entries.front(),
            Some(Entry {
                awaited: Awaited::Execution,
                delivery: Delivery::Forward | Delivery::ForwardRows,
                ..
            })
        )
    }

    /// Whether the next reply is ours to give.
    pub fn is_own_due(&self) -> bool {
        matches!(
            self.entries.front(),
            Some(Entry {
                awaited: Awaited::Own(_),
                ..
            })
        )
    }

    /// Takes the next reply off if it is ours to give.
    pub fn take_own(&mut self) -> Option<(Own, E)> {
        match self.entries.front()?.awaited {
            Awaited::Own(own) => self.entries.pop_front().map(|entry| (own, entry.effect)),
            _ => None,
        }
    }

    /// Takes note of one frame, except errors and messages that may come at any time.
    pub fn advance(&mut self, got: u8) -> Result<Step<E>, Unexpected> {
        let Some(entry) = self.entries.front_mut() else {
            return Err(Unexpected { got, expected: None });
        };
        let unexpected = Unexpected {
            got,
            expected: Some(entry.awaited),
        };
        let delivery = match (entry.delivery, got) {
            (Delivery::ForwardRows | Delivery::ForwardLate, tag::NO_DATA) => Delivery::Hide,
            (Delivery::ForwardLate, tag::ROW_DESCRIPTION) => Delivery::ForwardLate,
            (Delivery::ForwardLate, _) => Delivery::Forward,
            (Delivery::ForwardRows, _) => Delivery::Forward,
            (Delivery::FunctionResult, tag::DATA_ROW) => Delivery::FunctionResult,
            (Delivery::FunctionResult, _) => Delivery::Hide,
            (delivery, _) => delivery,
        };
        match (entry.awaited, got) {
            (Awaited::Parse, tag::PARSE_COMPLETE)
            | (Awaited::Bind, tag::BIND_COMPLETE)
            | (Awaited::Close, tag::CLOSE_COMPLETE)
            | (Awaited::PortalDescription, tag::ROW_DESCRIPTION | tag::NO_DATA)
            | (Awaited::Execution, tag::COMMAND_COMPLETE | tag::EMPTY_QUERY | tag::PORTAL_SUSPENDED)
            | (Awaited::Ready, tag::READY) => Ok(Step {
                delivery,
                done: self.entries.pop_front().map(|entry| entry.effect),
            }),
            (Awaited::StatementDescription, tag::PARAMETER_DESCRIPTION) => {
                entry.awaited = Awaited::PortalDescription;
                Ok(Step { delivery, done: None })
            }
            (
                Awaited::Execution,
                tag::DATA_ROW | tag::COPY_DATA | tag::COPY_DONE | tag::COPY_IN | tag::COPY_OUT,
            ) => Ok(Step { delivery, done: None }),
            _ => Err(unexpected),
        }
    }

    /// Goes past whole frames at the start of `bytes` that answer to what nobody hears of and nothing follows from, such as
    /// a prelude. Returns how many bytes they are. The last entry, and one with a reply of ours behind it, is left to
    /// [`Replies::advance`].
    pub fn pass_hidden(&mut self, bytes: &[u8], means_nothing: impl Fn(&E) -> bool) -> usize {
        let mut rest = bytes;
        while let Some(entry) = self.entries.front()
            && entry.delivery == Delivery::Hide
            && let Ok(Some(head)) = frame::head(rest)
            && let Some(behind) = rest.get(HEAD_BYTES + head.body_len..)
        {
            match (entry.awaited, head.tag) {
                (Awaited::Execution, tag::DATA_ROW) => {}
                (Awaited::Bind, tag::BIND_COMPLETE)
                | (Awaited::Execution, tag::COMMAND_COMPLETE)
                | (Awaited::Close, tag::CLOSE_COMPLETE)
                    if means_nothing(&entry.effect)
                        && matches!(self.entries.get(1), Some(next) if !matches!(next.awaited, Awaited::Own(_))) =>
                {
                    self.entries.pop_front();
                }
                _ => break,
            }
            rest = behind;
        }
        bytes.len() - rest.len()
    }

    /// An error has come: the server skips to the next Sync, so what it skips is taken off and returned,
    /// the entry that failed first.
    pub fn fail(&mut self) -> Vec<Entry<E>> {
        let skipped = self
            .entries
            .iter()
            .position(|entry| entry.awaited == Awaited::Ready)
            .unwrap_or(self.entries.len());
        self.entries.drain(..skipped).collect()
    }

    /// COPY IN has begun: Syncs sent behind it are swallowed by the server
    /// (`CopyGetData`, copyfromparse.c). Returns how many.
    pub fn swallow_syncs(&mut self) -> usize {
        let mut swallowed = 0;
        while self
            .entries
            .get(1)
            .is_some_and(|entry| entry.awaited == Awaited::Ready)
        {
            self.entries.remove(1);
            swallowed += 1;
        }
        swallowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(entries: &[(Awaited, Delivery)]) -> Replies<u8> {
        let mut replies = Replies::default();
        for (n, (awaited, delivery)) in (0..).zip(entries) {
            replies.push(*awaited, *delivery, n);
        }
        replies
    }

    #[test]
    fn answers_come_in_order() {
        let mut q = queue(&[
            (Awaited::Bind, Delivery::Hide),
            (Awaited::Execution, Delivery::Hide),
            (Awaited::StatementDescription, Delivery::Forward),
            (Awaited::Ready, Delivery::Forward),
        ]);
        assert_eq!(q.advance(b'2').unwrap().done, Some(0));
        assert_eq!(q.advance(b'D').unwrap().done, None);
        assert_eq!(q.advance(b'C').unwrap().done, Some(1));
        assert_eq!(q.advance(b't').unwrap().done, None);
        assert_eq!(q.advance(b'n').unwrap().done, Some(2));
        assert_eq!(q.advance(b'Z').unwrap().done, Some(3));
        assert!(q.is_empty());
    }

    #[test]
    fn hidden_answers_are_passed_up_to_what_matters() {
        let hidden = b"2\0\0\0\x04D\0\0\0\x06\0\0C\0\0\0\x05\0";
        let prelude = [
            (Awaited::Bind, Delivery::Hide),
            (Awaited::Execution, Delivery::Hide),
        ];
        let pass = |behind: &[(Awaited, Delivery)], bytes: &[u8]| {
            let mut q = queue(&[&prelude, behind].concat());
            // The effect of the third entry means something.
            let passed = q.pass_hidden(bytes, |effect| *effect != 2);
            (passed, q.len())
        };
        let ready = (Awaited::Ready, Delivery::Forward);
        assert_eq!(
            pass(&[ready], &[&hidden[..], b"Z\0\0\0\x05I"].concat()),
            (hidden.len(), 1)
        );
        for short in 1..6 {
            assert_eq!(
                pass(&[ready], &hidden[..hidden.len() - short]),
                (12, 2),
                "half a frame"
            );
        }
        // What would be the last, and what a reply of ours is due behind.
        let all_but_one = hidden.len() - 6;
        assert_eq!(pass(&[], hidden), (all_but_one, 1));
        let own = (Awaited::Own(Own::Silence), Delivery::Forward);
        assert_eq!(pass(&[own, ready], hidden), (all_but_one, 3));
        // What means something, what the client gets, and what nobody has asked for.
        let more = [&hidden[..], b"2\0\0\0\x04"].concat();
        for third in [Delivery::Hide, Delivery::Forward] {
            assert_eq!(pass(&[(Awaited::Bind, third), ready], &more), (hidden.len(), 2));
        }
        assert_eq!(pass(&[ready], b"E\0\0\0\x05\0"), (0, 3));
        assert_eq!(pass(&[ready], b"N\0\0\0\x05\0"), (0, 3));
        assert_eq!(pass(&[ready], b"2\0\0\0\x03"), (0, 3));
    }

    #[test]
    fn a_surprise_is_an_error_that_says_what_was_expected() {
        let mut q = queue(&[(Awaited::Bind, Delivery::Hide)]);
        assert_eq!(
            q.advance(b'Z').unwrap_err(),
            Unexpected {
                got: b'Z',
                expected: Some(Awaited::Bind)
            }
        );
        assert!(queue(&[]).advance(b'C').is_err());
    }

    #[test]
    fn an_error_skips_to_the_sync() {
        let mut q = queue(&[
            (Awaited::Parse, Delivery::Forward),
            (Awaited::Own(Own::CloseComplete), Delivery::Forward),
            (Awaited::Ready, Delivery::Forward),
        ]);
        assert_eq!(q.fail().len(), 2);
        assert!(q.fail().is_empty(), "an error at the Sync itself skips nothing");
        assert_eq!(q.advance(b'Z').unwrap().done, Some(2));
    }

    #[test]
    fn no_data_is_hidden_from_simple_queries() {
        let mut q = queue(&[(Awaited::PortalDescription, Delivery::ForwardRows)]);
        assert_eq!(q.advance(b'n').unwrap().delivery, Delivery::Hide);
        let mut q = queue(&[(Awaited::PortalDescription, Delivery::ForwardRows)]);
        assert_eq!(q.advance(b'T').unwrap().delivery, Delivery::Forward);
    }

    #[test]
    fn copy_in_swallows_the_syncs_behind_it() {
        let mut q = queue(&[
            (Awaited::Execution, Delivery::Forward),
            (Awaited::Ready, Delivery::Forward),
            (Awaited::Ready, Delivery::Forward),
        ]);
        q.advance(b'G').unwrap();
        assert_eq!(q.swallow_syncs(), 2);
        assert_eq!(q.advance(b'C').unwrap().done, Some(0));
        assert!(q.is_empty());
    }
}
