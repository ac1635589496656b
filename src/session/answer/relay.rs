//! The server's answers: checked against the reply queue, passed on as raw bytes or hidden.
//!
//! Only messages that change the session's state are decoded. Rows are never copied while the client reads
//! as fast as the server writes: consecutive frames leave with one write, straight from the read buffer.

mod heads;
mod outcome;

use std::io;
use std::ops::Range;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::base::{CheckIn, ClientEnd, DiscardReason, Event, Fault, SqlState, limits};
use crate::net::{Inbox, Stream};
use crate::session::Session;
use crate::session::link::effect::Effect;
use crate::wire::body::cstr;
use crate::wire::frame::{self, BadLength, HEAD_BYTES, Head};
use crate::wire::notice;
use crate::wire::replies::{Delivery, Unexpected};
use crate::wire::row::only_column;
use crate::wire::tag::server as tag;

/// What comes from the server, as far as it has been passed on.
#[derive(Default)]
pub(in crate::session) struct Answers {
    inbox: Inbox,
    frame: Frame,
    held: Held,
    /// The value of a setting that has come to be kept with the session.
    captured: Option<String>,
    /// Set when the server has said that it closes the connection.
    ending: Option<ClientEnd>,
}

/// How far the server's current frame has been passed on.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// Bytes that are still to come, the head included.
    left: usize,
    /// The first bytes of what is left, which have come and go nowhere.
    skip: usize,
    goes: Goes,
}

/// A description that has come and that the client does not have yet.
///
/// * A simple query of Postgres sends no row description before the statement has run, where running it is what
///   makes its rows: INSERT … RETURNING, EXPLAIN, CALL. An error takes its place.
/// * The description of a statement's parameters comes even if the statement turns out to be stale, and is worth
///   nothing once it is healed.
#[derive(Debug, Default)]
struct Held(Vec<u8>);

impl Held {
    /// A part of it has come.
    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Another message has come.
    fn give(&mut self, next: u8, passing: &mut Passing<'_>, outbox: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.0);
        if next != tag::ERROR || held.first() == Some(&tag::PARAMETER_DESCRIPTION) {
            passing.flush(outbox);
            outbox.extend_from_slice(&held);
        }
    }
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Goes {
    #[default]
    ToClient,
    /// To the client, with what follows.
    Held,
    /// A row goes as the result of a FunctionCall.
    AsFunctionResult,
    /// A notification of the session's own goes with the process that the client knows itself by.
    AsOwnNotification,
    Nowhere,
}

/// Why the server connection cannot be used any further.
#[derive(Debug)]
enum Trouble {
    Unexpected(Unexpected),
    BadLength(BadLength),
    Malformed(&'static str),
    PinnedSetting,
    /// More than the policy lets a transaction return.
    BeyondCeiling,
}

/// Bytes read from the server, and the range of them that goes to the client as it is.
struct Passing<'a> {
    bytes: &'a [u8],
    pass: Range<usize>,
}

/// Bytes of a body that must have come before its frame is judged; longer bodies stream from there.
/// As many as fit the buffer: a setting's value has to.
const PREFIX_BYTES: usize = limits::BUFFER_BYTES - HEAD_BYTES;

/// The count of columns that a row begins with.
const COUNT_BYTES: usize = 2;

/// Largest body of a message that comes unasked: a notification has a payload below 8,000 bytes
/// (`NOTIFY_PAYLOAD_MAX_LENGTH`, async.c), a report or the server's last words are shorter. All of it is in the
/// buffer before it is passed on.
const UNASKED_BYTES: usize = limits::BUFFER_BYTES - HEAD_BYTES;

impl Answers {
    /// Whether no frame is half passed on.
    pub(in crate::session) fn is_between_frames(&self) -> bool {
        self.frame.left == 0
    }

    /// Whether nothing has come that was not passed on in full.
    pub(in crate::session) fn are_passed_on(&self) -> bool {
        self.is_between_frames() && self.inbox.is_empty()
    }

    /// Whether more can be read.
    pub(in crate::session) fn have_room(&self) -> bool {
        self.inbox.has_room()
    }

    /// Reads what has come.
    pub(in crate::session) fn poll_fill(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.inbox.poll_fill(stream, cx)
    }

    /// The answer is cut off where it is: the rest goes nowhere.
    pub(in crate::session) fn cut(&mut self) {
        self.frame = Frame::default();
        self.held.0.clear();
        self.captured = None;
    }
}

impl Passing<'_> {
    /// Adds a range that goes to the client.
    fn extend(&mut self, range: Range<usize>, outbox: &mut Vec<u8>) {
        if self.pass.end != range.start {
            self.flush(outbox);
            self.pass.start = range.start;
        }
        self.pass.end = range.end;
    }

    /// Copies what goes to the client so far, so that something else can follow it.
    fn flush(&mut self, outbox: &mut Vec<u8>) {
        outbox.extend_from_slice(self.bytes.get(self.pass.clone()).unwrap_or_default());
        self.pass = self.pass.end..self.pass.end;
    }
}

impl From<Unexpected> for Trouble {
    fn from(unexpected: Unexpected) -> Self {
        Self::Unexpected(unexpected)
    }
}

impl From<BadLength> for Trouble {
    fn from(bad: BadLength) -> Self {
        Self::BadLength(bad)
    }
}

impl Session {
    /// Passes on what has come from the server. `Err` ends the session.
    ///
    /// Not cancel safe: only the session's own loop calls it.
    pub(in crate::session) async fn relay(&mut self) -> Result<(), ClientEnd> {
        let mut inbox = std::mem::take(&mut self.answers.inbox);
        let bytes = inbox.bytes();
        let mut passing = Passing { bytes, pass: 0..0 };
        let outcome = self.pass_on(&mut passing);
        self.clock.server_has_spoken();
        self.note_work(bytes.len());
        let pass = passing.pass;
        let consumed = *outcome.as_ref().unwrap_or(&bytes.len());
        if let Some(link) = &mut self.link {
            link.bytes_out += consumed as u64;
        }
        // Behind the end of a transaction there can only be something that came unasked: part of a notification,
        // which a session that keeps its connection gets later.
        if outcome.is_ok() && (consumed == bytes.len() || self.keeps()) {
            self.check_in_if_done();
        }
        if self.link.as_ref().is_some_and(|link| link.awaits_sync()) {
            self.clock.is_idle_from(Instant::now());
        }
        let written = self
            .client
            .write_through(bytes.get(pass).unwrap_or_default())
            .await;
        inbox.consume(consumed);
        self.answers.inbox = inbox;
        if self.link.as_ref().is_none_or(|link| link.is_quiet()) {
            self.answers.inbox.start_anew();
            self.client.inbox.start_anew();
        }
        if self.setup.is_charged() {
            self.setup.settle(self.identity.stay.account());
        }
        outcome?;
        written.map_err(|_| ClientEnd::Vanished)?;
        self.client.settle(self.identity.stay.account())
    }

    /// Goes through the frames. Returns how many bytes are done with.
    fn pass_on(&mut self, passing: &mut Passing<'_>) -> Result<usize, ClientEnd> {
        let mut at = 0;
        while let Some(rest) = passing.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.answers.frame.left == 0 {
                let hidden = self.hidden_at(rest);
                if hidden > 0 {
                    at += hidden;
                    continue;
                }
                let rows = self.rows_at(rest);
                if rows > 0 {
                    if let Some(link) = &mut self.link {
                        link.answer_has_begun();
                    }
                    passing.extend(at..at + rows, &mut self.client.outbox);
                    at += rows;
                    continue;
                }
                match self.begin_frame(rest, passing) {
                    Ok(Some(frame)) => self.answers.frame = frame,
                    Ok(None) => break,
                    Err(Trouble::BeyondCeiling) => return self.cut(passing),
                    Err(trouble) => return Err(self.server_broke(trouble, passing)),
                }
            }
            let take = self.answers.frame.left.min(rest.len());
            match self.answers.frame.goes {
                Goes::ToClient => {
                    passing.extend(at + self.answers.frame.skip..at + take, &mut self.client.outbox);
                    self.answers.frame.skip = 0;
                }
                Goes::Held => self.answers.held.take(rest.get(..take).unwrap_or_default()),
                Goes::AsFunctionResult | Goes::AsOwnNotification | Goes::Nowhere => {}
            }
            at += take;
            self.answers.frame.left -= take;
            if self.answers.frame.left == 0 {
                self.after_frame(passing);
                if let Some(end) = self.answers.ending {
                    return Err(end);
                }
            }
        }
        Ok(at)
    }

    /// Whether a message that is to be judged now takes the transaction beyond what the policy lets it return. An error
    /// counts whoever it goes to, as it may be told in other words, unless it was asked for.
    fn is_beyond_ceiling(&mut self, head: Head) -> bool {
        let ceilings = self.policy.ceilings();
        if ceilings.is_empty() {
            return false;
        }
        let Some(next) = self.link.as_ref().and_then(|link| link.replies.front()) else {
            return false;
        };
        let is_the_clients = match head.tag {
            tag::ERROR => !matches!(next.effect, Effect::WholeRead),
            tag::NOTICE => !matches!(next.delivery, Delivery::Hide | Delivery::Capture),
            _ => !matches!(
                next.delivery,
                Delivery::Hide | Delivery::Capture | Delivery::NoticesOnly
            ),
        };
        is_the_clients && self.tally.exceeds(ceilings, head)
    }

    /// Leaves the rest of an answer out, and gives up the server connection that it comes from.
    fn cut(&mut self, passing: &mut Passing<'_>) -> Result<usize, ClientEnd> {
        passing.flush(&mut self.client.outbox);
        self.answers.cut();
        match self.cut_answer() {
            Some(end) => Err(end),
            None => Ok(passing.bytes.len()),
        }
    }

    /// How many bytes come first that are nobody's and change nothing here: answers to a prelude.
    fn hidden_at(&mut self, rest: &[u8]) -> usize {
        match &mut self.link {
            Some(link) if self.answers.held.0.is_empty() => link
                .replies
                .pass_hidden(rest, |effect| matches!(effect, Effect::None)),
            Some(_) | None => 0,
        }
    }

    /// How many bytes of whole rows come first, and go to the client without another look. Where an answer has a
    /// ceiling, each row is counted.
    fn rows_at(&self, rest: &[u8]) -> usize {
        match &self.link {
            Some(link)
                if link.replies.passes_rows()
                    && self.answers.held.0.is_empty()
                    && self.policy.ceilings().is_empty() =>
            {
                frame::run_of(rest, [tag::DATA_ROW, tag::COPY_DATA])
            }
            Some(_) | None => 0,
        }
    }

    /// Judges the frame that `rest` begins with; `None` while too little of it has come.
    fn begin_frame(&mut self, rest: &[u8], passing: &mut Passing<'_>) -> Result<Option<Frame>, Trouble> {
        let Some(head) = frame::head(rest)? else {
            return Ok(None);
        };
        let body = rest.get(HEAD_BYTES..).unwrap_or_default();
        let body = body.get(..head.body_len).unwrap_or(body);
        if self.link.is_none() && head.body_len > UNASKED_BYTES {
            return Err(Trouble::Malformed("message between transactions"));
        }
        if body.len() < head.body_len.min(self.needed(head)) {
            return Ok(None);
        }
        if self.is_beyond_ceiling(head) {
            return Err(Trouble::BeyondCeiling);
        }
        if !self.answers.held.0.is_empty() && !matches!(head.tag, tag::NOTICE | tag::ERROR) {
            self.answers.held.give(head.tag, passing, &mut self.client.outbox);
        }
        let goes = match head.tag {
            tag::NOTICE => self.delivery_of_notice(),
            tag::NOTIFICATION => self.delivery_of_notification(head, body)?,
            tag::PARAMETER_STATUS => self.on_parameter_status(body)?,
            tag::ERROR if self.link.is_none() => self.on_last_error(body),
            tag::ERROR => self.on_error(body, head.body_len, passing)?,
            tag::READY => self.on_ready(body, passing)?,
            _ => self.on_reply(head, body)?,
        };
        if !matches!(goes, Goes::Nowhere | Goes::Held)
            && let Some(link) = &mut self.link
        {
            link.answer_has_begun();
        }
        let left = HEAD_BYTES + head.body_len;
        let skip = self.put_beginning(head, goes, passing);
        let goes = if skip > 0 { Goes::ToClient } else { goes };
        Ok(Some(Frame { left, skip, goes }))
    }

    /// How much of a frame's body must be there before it is judged. Rows and descriptions stream.
    fn needed(&self, head: Head) -> usize {
        match head.tag {
            // The client may get answers of ours between two transactions, and none may come into the middle.
            _ if self.link.is_none() => UNASKED_BYTES,
            tag::NOTIFICATION => UNASKED_BYTES,
            tag::READY | tag::COMMAND_COMPLETE | tag::PARAMETER_STATUS | tag::ERROR => PREFIX_BYTES,
            tag::DATA_ROW => match self.next_delivery() {
                Some(Delivery::Capture) => PREFIX_BYTES,
                Some(Delivery::FunctionResult) => COUNT_BYTES,
                _ => 0,
            },
            _ => 0,
        }
    }

    fn next_delivery(&self) -> Option<Delivery> {
        self.link.as_ref().and_then(|link| link.replies.next_delivery())
    }

    /// What a hidden statement of ours provokes is not the client's business.
    fn delivery_of_notice(&self) -> Goes {
        match self.next_delivery() {
            Some(Delivery::Hide | Delivery::Capture) => Goes::Nowhere,
            Some(
                Delivery::Forward
                | Delivery::ForwardRows
                | Delivery::ForwardLate
                | Delivery::NoticesOnly
                | Delivery::FunctionResult,
            )
            | None => Goes::ToClient,
        }
    }

    /// An error that comes between transactions ends the connection: nothing was asked that could fail.
    fn on_last_error(&mut self, body: &[u8]) -> Goes {
        self.answers.ending = Some(ClientEnd::ServerGone);
        self.teller().tell(&Event::ErrorSent {
            sqlstate: notice::prefix(body).sqlstate,
        });
        Goes::ToClient
    }

    /// Reports are kept back and compared at the next ReadyForQuery; settings that decide how text is read
    /// must never change.
    fn on_parameter_status(&mut self, body: &[u8]) -> Result<Goes, Trouble> {
        let (name, rest) = cstr(body).ok_or(Trouble::Malformed("ParameterStatus"))?;
        let (value, _) = cstr(rest).ok_or(Trouble::Malformed("ParameterStatus"))?;
        let pinned = matches!(
            (name, value),
            (b"client_encoding", b"UTF8") | (b"standard_conforming_strings", b"on")
        );
        if !pinned && matches!(name, b"client_encoding" | b"standard_conforming_strings") {
            return Err(Trouble::PinnedSetting);
        }
        self.setup
            .reported(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
        Ok(Goes::Nowhere)
    }

    fn on_reply(&mut self, head: Head, body: &[u8]) -> Result<Goes, Trouble> {
        let link = self.link.as_mut().ok_or(Trouble::Malformed("message"))?;
        let step = link.replies.advance(head.tag)?;
        match head.tag {
            tag::COPY_IN => {
                if link.replies.swallow_syncs() > 0 {
                    link.batch.is_reopened();
                }
                link.begin_copy();
            }
            tag::PARAMETER_DESCRIPTION if link.may_heal() => return Ok(Goes::Held),
            tag::DATA_ROW if step.delivery == Delivery::Capture => {
                // A value that cannot be kept must not look as if it were.
                let value = only_column(body).ok_or(Trouble::Malformed("value of a setting"))?;
                self.answers.captured = Some(value);
            }
            _ => {}
        }
        if let Some(effect) = step.done {
            self.apply(effect, body);
        }
        Ok(match step.delivery {
            Delivery::Forward | Delivery::ForwardRows => Goes::ToClient,
            Delivery::ForwardLate => Goes::Held,
            Delivery::Hide | Delivery::NoticesOnly | Delivery::Capture => Goes::Nowhere,
            Delivery::FunctionResult if body.starts_with(&[0, 1]) => Goes::AsFunctionResult,
            Delivery::FunctionResult => return Err(Trouble::Malformed("result of a function")),
        })
    }

    /// A frame has been dealt with in full: replies of our own may be due, a held-up script may go on.
    fn after_frame(&mut self, passing: &mut Passing<'_>) {
        self.give_due_replies(passing);
        let Some(link) = &mut self.link else { return };
        link.let_go();
        if link.script.is_some() && link.batch.has_failed() {
            self.end_failed_script();
        } else if link.script.is_some() && link.replies.is_empty() {
            self.resume_script();
            // It may go on with a command that concerns the session alone.
            self.give_due_replies(passing);
        }
    }

    fn give_due_replies(&mut self, passing: &mut Passing<'_>) {
        if self.link.as_ref().is_some_and(|link| link.replies.is_own_due()) {
            passing.flush(&mut self.client.outbox);
            self.give_own_replies();
        }
    }

    /// Gives up a server connection that cannot be trusted, and tells the client.
    fn server_broke(&mut self, trouble: Trouble, passing: &mut Passing<'_>) -> ClientEnd {
        passing.flush(&mut self.client.outbox);
        let (reason, what) = match trouble {
            Trouble::Unexpected(unexpected) => (DiscardReason::ProtocolViolation, unexpected.to_string()),
            Trouble::BadLength(bad) => (DiscardReason::ProtocolViolation, bad.to_string()),
            Trouble::Malformed(what) => (DiscardReason::ProtocolViolation, format!("malformed {what}")),
            Trouble::BeyondCeiling => (DiscardReason::Ceiling, "its answer is too large".to_owned()),
            Trouble::PinnedSetting => (
                DiscardReason::PinnedSetting,
                "a setting that decides how text is read was changed".to_owned(),
            ),
        };
        tracing::error!(%what, "server connection given up");
        if let Some(link) = self.link.take() {
            self.ticket.slot().end();
            link.end().check_in(CheckIn::Discard(reason));
        }
        self.discard_kept(reason);
        self.say(&Fault::fatal(
            SqlState::CONNECTION_FAILURE,
            format!("the connection to the server was given up: {what}"),
        ));
        ClientEnd::ServerGone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_ranges_on_in_order_with_our_bytes_between_them() {
        let mut outbox = Vec::new();
        let mut passing = Passing {
            bytes: b"aaBBccDD",
            pass: 0..0,
        };
        passing.extend(2..4, &mut outbox);
        passing.extend(6..7, &mut outbox);
        passing.extend(7..8, &mut outbox);
        assert_eq!((outbox.as_slice(), passing.pass.clone()), (&b"BB"[..], 6..8));
        passing.flush(&mut outbox);
        outbox.extend_from_slice(b"!");
        assert_eq!(outbox, b"BBDD!");
        assert!(passing.pass.is_empty());
    }
}
