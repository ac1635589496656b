//! The client's messages: cut into frames, checked against the session's state, handed to their part.
//!
//! Messages that the guard must see whole are put together within the statement limit; bulk (the values of
//! a Bind, copy data) is passed on as it comes.

use crate::base::{ClientEnd, Fault, SqlState, limits};
use crate::net::Inbox;
use crate::session::memory::holding::Judged;
use crate::session::request::assembly::Assembly;
use crate::session::request::judging::Turned;
use crate::session::request::pending_message::{Found, Pending, Place};
use crate::session::{Session, Skipping, TurnEnd};
use crate::wire::body;
use crate::wire::frame::{self, HEAD_BYTES, Head};
use crate::wire::tag::client as tag;

/// How far the current message has been read.
#[derive(Debug, Default)]
pub(in crate::session) enum Inbound {
    /// A head comes next.
    #[default]
    Head,
    /// The rest of a body goes to the server as it comes.
    Forward(usize),
    /// The rest of a body is dropped.
    Drop(usize),
    /// A body longer than the inbox is put together.
    Assemble(Head, Box<Assembly>),
}

/// What came of one look at the inbox.
pub(in crate::session) enum Step {
    /// This many bytes are done with; look again.
    Consumed(usize),
    /// More bytes are needed, or the server's turn has come.
    Blocked,
    /// A message needs a server connection.
    Lease(Pending),
    /// A message is a long text that waits to be judged.
    Judge(Pending),
    /// The session ends.
    End(ClientEnd),
}

/// What came of one message.
pub(in crate::session) enum Outcome {
    /// It is done with.
    Done,
    /// More bytes are needed, or the server's turn has come; then it is looked at again.
    Blocked,
    /// It needs a server connection. This is known of it.
    Lease(Found),
    /// It is a long text that waits to be judged.
    Judge,
    /// It may run, once the server has answered whether it grants the role.
    Role(Judged),
    /// The session ends.
    End(ClientEnd),
}

impl Session {
    /// Translates as many of the client's messages as can be now.
    pub(in crate::session) fn take_turn(&mut self) -> TurnEnd {
        if let Some(end) = self.displaced() {
            return TurnEnd::End(end);
        }
        self.follow_policy();
        loop {
            if let Some(link) = self.link.as_mut().filter(|link| !link.takes_messages()) {
                // A message that has begun is sent to its end, whatever the server says meanwhile: what
                // follows it would be taken for its body.
                let begun = matches!(self.inbound, Inbound::Forward(_));
                if !begun {
                    link.make_room();
                }
                if !begun || !link.has_room() {
                    return TurnEnd::Wait;
                }
            }
            if self.worked >= limits::WORK_PER_TURN {
                return TurnEnd::Busy;
            }
            let mut inbox = std::mem::take(&mut self.client.inbox);
            let step = self.step(&mut inbox);
            self.client.inbox = inbox;
            match step {
                Step::Consumed(count) => {
                    self.note_work(count);
                    self.client.inbox.consume(count);
                    self.settle_upstream();
                    self.give_own_replies();
                }
                Step::Blocked => return TurnEnd::Wait,
                Step::Lease(pending) => {
                    self.pending = Some(pending);
                    return TurnEnd::Lease;
                }
                Step::Judge(pending) => {
                    self.pending = Some(pending);
                    return TurnEnd::Judge;
                }
                Step::End(end) => return TurnEnd::End(end),
            }
        }
    }

    /// A message, or so many bytes of one, has been worked on.
    pub(in crate::session) fn note_work(&mut self, bytes: usize) {
        let units = 1 + u32::try_from(bytes / limits::UNIT_BYTES).unwrap_or(u32::MAX - 1);
        self.worked = self.worked.saturating_add(units);
    }

    fn step(&mut self, inbox: &mut Inbox) -> Step {
        if let Some(pending) = self.pending.take() {
            return self.resume(inbox, pending);
        }
        match std::mem::take(&mut self.inbound) {
            Inbound::Head => self.begin_message(inbox),
            Inbound::Forward(left) => self.continue_body(inbox, left, BodyGoes::ToServer),
            Inbound::Drop(left) => self.continue_body(inbox, left, BodyGoes::Nowhere),
            Inbound::Assemble(head, body) => self.continue_assembly(inbox, head, body),
        }
    }

    fn begin_message(&mut self, inbox: &Inbox) -> Step {
        // What we answer ourselves must hold back a client that sends without reading, too.
        if self.client.outbox.len() > limits::BUFFER_BYTES {
            return Step::Blocked;
        }
        let bytes = inbox.bytes();
        // As the server: what is no message at all is found out before its length is believed.
        if let Some(unknown) = bytes.first().filter(|first| !tag::is_known(**first)) {
            return Step::End(self.violation(&format!("invalid frontend message type {unknown}")));
        }
        let head = match frame::head(bytes) {
            Ok(Some(head)) => head,
            Ok(None) => return Step::Blocked,
            Err(bad) => return Step::End(self.violation(&bad.to_string())),
        };
        let rest = bytes.get(HEAD_BYTES..).unwrap_or_default();
        match (head.tag, rest.get(..head.body_len)) {
            (tag::COPY_DATA, Some(_)) if self.copies() => self.copy_data(bytes),
            (tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL, _) => self.begin_copy_message(head),
            (tag::BIND, _) => self.begin_bind(head, rest),
            (_, Some(_)) => self.take_message(inbox, Place::Inbox(head)),
            (tag::QUERY | tag::PARSE | tag::FUNCTION_CALL, None) => self.begin_assembly(head),
            (_, None) if head.body_len > limits::BUFFER_BYTES - HEAD_BYTES => {
                Step::End(self.violation("message is too long for its type"))
            }
            (_, None) => Step::Blocked,
        }
    }

    /// A whole message. If its text had to wait to be judged, `turned` says what came of that.
    pub(in crate::session) fn message(&mut self, tag: u8, body: &[u8], turned: Option<Turned>) -> Outcome {
        if self.copies() {
            return self.message_during_copy(tag);
        }
        if self.skipping == Skipping::ToSync && !matches!(tag, tag::SYNC | tag::TERMINATE) {
            return Outcome::Done;
        }
        if matches!(tag, tag::PARSE | tag::DESCRIBE | tag::EXECUTE) && !self.is_settled_for(None) {
            return Outcome::Blocked;
        }
        if turned.is_none() && self.awaits_judge(tag, body) {
            return Outcome::Judge;
        }
        let outcome = match tag {
            tag::QUERY => body::query(body).map(|text| self.query(text, turned)),
            tag::PARSE => body::parse(body).map(|message| self.parse(&message, turned)),
            tag::DESCRIBE => body::named(body).map(|message| self.describe(&message)),
            tag::CLOSE => body::named(body).map(|message| self.close(&message)),
            tag::EXECUTE => body::execute(body).map(|portal| self.execute(portal, body)),
            tag::FUNCTION_CALL => body::function_call(body).map(|call| self.function_call(&call)),
            tag::SYNC => Ok(self.sync()),
            tag::FLUSH => Ok(self.flush()),
            tag::TERMINATE => Ok(Outcome::End(ClientEnd::Terminated)),
            _ => Ok(Outcome::End(
                self.violation(&format!("invalid frontend message type {tag}")),
            )),
        };
        outcome.unwrap_or_else(|bad| self.bad_body(tag, bad))
    }

    fn sync(&mut self) -> Outcome {
        if let Some(link) = self.link.as_mut().filter(|link| link.holds_back_copy()) {
            // Our COMMIT must not come in place of copy data. If the COPY runs by then, this Sync is ignored,
            // as the server does.
            link.wait_for_replies();
            return Outcome::Blocked;
        }
        self.end_batch();
        Outcome::Done
    }

    fn flush(&mut self) -> Outcome {
        if let Some(link) = self.link.as_mut().filter(|link| link.batch.is_open()) {
            link.flush();
        }
        Outcome::Done
    }

    /// A message after which nothing the client says can be trusted.
    fn violation(&mut self, what: &str) -> ClientEnd {
        self.say(&Fault::fatal(
            SqlState::PROTOCOL_VIOLATION,
            format!("protocol violation: {what}"),
        ));
        ClientEnd::ProtocolViolation
    }

    // ---- bodies that do not fit the inbox -----------------------------------------------------------

    fn begin_assembly(&mut self, head: Head) -> Step {
        let limit = self.shared.settings.max_statement_bytes;
        if head.body_len <= limits::BUFFER_BYTES - HEAD_BYTES {
            return Step::Blocked;
        }
        if self.copies() {
            self.message_during_copy(head.tag);
            self.inbound = Inbound::Drop(head.body_len);
        } else if self.skipping == Skipping::ToSync {
            self.inbound = Inbound::Drop(head.body_len);
        } else if head.body_len > limit {
            let message = format!(
                "statement of {} bytes is longer than max_statement_bytes",
                head.body_len
            );
            let hint = format!("The limit is {limit} bytes. Pass large values as parameters.");
            let fault = Fault::error(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint);
            self.drop_message(head, head.body_len, fault);
        } else {
            self.inbound = Inbound::Assemble(head, Box::new(Assembly::new(self.account())));
        }
        Step::Consumed(HEAD_BYTES)
    }

    /// Fails a message that cannot be taken, and reads past the `left` bytes that are still to come of it.
    fn drop_message(&mut self, head: Head, left: usize, fault: Fault) {
        if self.skipping == Skipping::No {
            self.fail_message(head.tag, fault);
        }
        self.inbound = Inbound::Drop(left);
    }

    fn continue_assembly(&mut self, inbox: &mut Inbox, head: Head, mut assembly: Box<Assembly>) -> Step {
        let missing = head.body_len.saturating_sub(assembly.bytes().len());
        let here = inbox.bytes();
        let here = here.get(..missing.min(here.len())).unwrap_or_default();
        if let Err(full) = assembly.extend(here, head.body_len) {
            drop(assembly);
            self.drop_message(head, missing, full.into());
            return Step::Consumed(0);
        }
        inbox.consume(here.len());
        if assembly.bytes().len() < head.body_len {
            self.inbound = Inbound::Assemble(head, assembly);
            return Step::Blocked;
        }
        self.take_message(inbox, Place::Assembly(head, assembly))
    }

    fn continue_body(&mut self, inbox: &Inbox, left: usize, goes: BodyGoes) -> Step {
        let here = inbox.bytes();
        let take = left.min(here.len());
        if let (BodyGoes::ToServer, Some(link)) = (goes, &mut self.link) {
            link.upstream.body(here.get(..take).unwrap_or_default());
        }
        let left = left - take;
        self.inbound = match goes {
            _ if left == 0 => Inbound::Head,
            BodyGoes::ToServer => Inbound::Forward(left),
            BodyGoes::Nowhere => Inbound::Drop(left),
        };
        if left == 0 {
            self.after_copy_end();
            self.end_failed_script();
        }
        if take == 0 && left > 0 {
            return Step::Blocked;
        }
        Step::Consumed(take)
    }

    // ---- COPY FROM STDIN ----------------------------------------------------------------------------

    pub(in crate::session) fn copies(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.copies())
    }

    /// Copy data that has come whole, as many messages as there are.
    fn copy_data(&mut self, bytes: &[u8]) -> Step {
        let run = self.link.as_mut().map(|link| link.upstream.copy_data(bytes));
        Step::Consumed(run.unwrap_or_default())
    }

    fn begin_copy_message(&mut self, head: Head) -> Step {
        if let Some(link) = self.link.as_mut().filter(|link| link.is_past_copy())
            && link.batch.is_open()
            && !link.replies.is_empty()
        {
            // Copy data sent ahead: whether a COPY runs is known when the server has answered.
            link.wait_for_replies();
            return Step::Blocked;
        }
        let Some(link) = self.link.as_mut().filter(|link| link.copies()) else {
            // As Postgres: copy messages that come after the server gave up the COPY are dropped
            // (`PostgresMain`, postgres.c).
            self.inbound = Inbound::Drop(head.body_len);
            return Step::Consumed(HEAD_BYTES);
        };
        link.upstream.copy_head(head);
        if head.tag != tag::COPY_DATA {
            link.end_copy();
        }
        self.inbound = Inbound::Forward(head.body_len);
        Step::Consumed(HEAD_BYTES)
    }

    /// CopyDone or CopyFail of a simple query has been sent in full. The server keeps its answer back until
    /// it is asked to flush, as always in the extended protocol.
    fn after_copy_end(&mut self) {
        let Some(link) = &mut self.link else { return };
        if !link.take_copy_end() {
            return;
        }
        match &link.script {
            Some(rest) if rest.next == rest.script.statements().len() => {
                link.script = None;
                self.end_batch();
            }
            Some(_) => link.flush(),
            // What comes next is no copy data: our COMMIT may.
            None => link.batch.asks_for_work(),
        }
    }

    /// As the server (`CopyGetData`, copyfromparse.c): Sync and Flush during COPY are ignored, anything else
    /// fails it and is dropped.
    pub(in crate::session) fn message_during_copy(&mut self, tag: u8) -> Outcome {
        match tag {
            tag::SYNC | tag::FLUSH => return Outcome::Done,
            tag::TERMINATE => return Outcome::End(ClientEnd::Vanished),
            _ => {}
        }
        if let Some(link) = &mut self.link {
            let reason = format!("unexpected message type 0x{tag:02X} during COPY from stdin\0");
            link.upstream.copy_fail(&reason);
            link.end_copy();
        }
        self.after_copy_end();
        Outcome::Done
    }
}

/// Where the rest of a body goes.
#[derive(Clone, Copy)]
enum BodyGoes {
    ToServer,
    Nowhere,
}
