//! The messages of a replication connection, in both directions.
//!
//! What the server says passes as it comes. Of the client's messages each Query is judged, unless it is a command of
//! the replication protocol; bulk passes. A message that is answered by ReadyForQuery waits for the one before it, so
//! that a refusal cannot get out of order.

use super::Replication;
use crate::base::{ClientEnd, Fault, SqlState, limits};
use crate::guard::{Action, Asker};
use crate::net::Inbox;
use crate::session::link::REFUSED;
use crate::session::request::assembly::Assembly;
use crate::session::request::inbound::Inbound;
use crate::wire::body;
use crate::wire::encode::{self, NO_TYPES, TransactionStatus};
use crate::wire::frame::{self, HEAD_BYTES, Head};
use crate::wire::notice;
use crate::wire::tag::{client, server};

/// How far the server's current message has been passed on.
#[derive(Debug)]
pub(super) enum Downstream {
    /// A head comes next.
    Head,
    /// The rest of a body passes as it comes.
    Pass(usize),
}

/// Whether the client's messages are the contents of a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    No,
    /// The client sends (COPY FROM STDIN, UPLOAD_MANIFEST).
    In,
    /// Both sides send: WAL one way, what was received the other.
    Both,
}

/// Whether the client's messages count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipping {
    No,
    /// The server has refused the extended protocol, and drops messages until a Sync.
    ToSync,
}

/// The words that the commands of the replication protocol begin with (repl_scanner.l, which knows them in capitals
/// alone and no comments). A server that does not know one of them reads SQL that no statement begins like, and so
/// refuses the whole text. SHOW is a command to all of them.
const COMMANDS: [&str; 10] = [
    "IDENTIFY_SYSTEM",
    "START_REPLICATION",
    "CREATE_REPLICATION_SLOT",
    "DROP_REPLICATION_SLOT",
    "ALTER_REPLICATION_SLOT",
    "READ_REPLICATION_SLOT",
    "TIMELINE_HISTORY",
    "BASE_BACKUP",
    "UPLOAD_MANIFEST",
    "SHOW",
];

/// Whether the server reads this text as a command of the replication protocol rather than as SQL.
fn is_command(text: &[u8]) -> bool {
    // White space as in repl_scanner.l.
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c);
    let Some(start) = text.iter().position(|byte| !is_space(byte)) else {
        return false;
    };
    let text = text.get(start..).unwrap_or_default();
    let end = text
        .iter()
        .position(|byte| is_space(byte) || matches!(byte, b';' | b'('));
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    !rest.contains(&0) && COMMANDS.iter().any(|command| command.as_bytes() == word)
}

/// What came of one look at the client's inbox.
enum Step {
    /// This many bytes are done with; look again.
    Consumed(usize),
    /// More bytes are needed, or it is the server's turn.
    Blocked,
}

/// A message that ends the connection.
type Ended = Result<Step, ClientEnd>;

impl Replication {
    /// Passes on as much of what the server has said as the client has room for.
    pub(super) fn relay_down(&mut self) -> Result<(), ClientEnd> {
        while self.client.outbox.len() < limits::BUFFER_BYTES && !self.server_inbox.is_empty() {
            let bytes = self.server_inbox.bytes();
            let taken = match self.downstream {
                Downstream::Pass(left) => {
                    let here = bytes.get(..left.min(bytes.len())).unwrap_or_default();
                    self.client.outbox.extend_from_slice(here);
                    let (here, left) = (here.len(), left - here.len());
                    self.downstream = if left == 0 {
                        Downstream::Head
                    } else {
                        Downstream::Pass(left)
                    };
                    here
                }
                Downstream::Head => match self.begin_frame()? {
                    Step::Consumed(count) => count,
                    Step::Blocked => break,
                },
            };
            self.server_inbox.consume(taken);
        }
        Ok(())
    }

    /// The head of a server's message, with the body where that is looked at.
    fn begin_frame(&mut self) -> Ended {
        let bytes = self.server_inbox.bytes();
        let head = match frame::head(bytes) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Step::Blocked),
            Err(_) => return Err(self.server_gone()),
        };
        let body = bytes.get(HEAD_BYTES..).unwrap_or_default();
        let whole = body.get(..head.body_len);
        let looked_at = matches!(head.tag, server::READY | server::ERROR);
        if looked_at && whole.is_none() && head.body_len <= limits::BUFFER_BYTES - HEAD_BYTES {
            return Ok(Step::Blocked);
        }
        match (head.tag, whole) {
            (server::READY, body) => {
                let status = body.and_then(<[u8]>::first).copied();
                self.ready(status.and_then(TransactionStatus::from_byte))?;
            }
            (server::ERROR, body) => {
                self.copying = Copying::No;
                let ends = notice::prefix(body.unwrap_or_default()).ends_connection;
                if ends {
                    self.last_words = true;
                } else if let Some(fault) = self.refused.take() {
                    self.say(&fault);
                    return Ok(Step::Consumed(HEAD_BYTES + head.body_len));
                }
            }
            (server::COPY_IN, _) => self.copying = Copying::In,
            (COPY_BOTH, _) => self.copying = Copying::Both,
            _ => {}
        }
        encode::put_head(&mut self.client.outbox, head.tag, head.body_len);
        if head.body_len > 0 {
            self.downstream = Downstream::Pass(head.body_len);
        }
        Ok(Step::Consumed(HEAD_BYTES))
    }

    /// ReadyForQuery is about to be passed on.
    fn ready(&mut self, status: Option<TransactionStatus>) -> Result<(), ClientEnd> {
        let Some(status) = status else {
            return Err(self.server_gone());
        };
        // The server was to fail and has not: what it was sent means nothing to any.
        if let Some(fault) = self.refused.take() {
            self.say(&fault);
        }
        self.status = status;
        self.awaits_ready = false;
        self.copying = Copying::No;
        self.clock.is_idle_from(tokio::time::Instant::now());
        Ok(())
    }

    /// Translates as many of the client's messages as can be now.
    pub(super) fn relay_up(&mut self) -> Result<(), ClientEnd> {
        while self.server_listens && self.upstream.len() < limits::BUFFER_BYTES {
            let mut inbox = std::mem::take(&mut self.client.inbox);
            let step = self.step(&mut inbox);
            self.client.inbox = inbox;
            match step? {
                Step::Consumed(count) => self.client.inbox.consume(count),
                Step::Blocked => break,
            }
        }
        Ok(())
    }

    fn step(&mut self, inbox: &mut Inbox) -> Ended {
        match std::mem::take(&mut self.inbound) {
            Inbound::Head => self.begin_message(inbox),
            Inbound::Forward(left) => Ok(self.pass(inbox, left)),
            Inbound::Drop(left) => {
                let here = left.min(inbox.bytes().len());
                if here < left {
                    self.inbound = Inbound::Drop(left - here);
                }
                Ok(if here == 0 {
                    Step::Blocked
                } else {
                    Step::Consumed(here)
                })
            }
            Inbound::Assemble(head, mut text) => {
                let missing = head.body_len - text.bytes().len();
                let here = inbox.bytes();
                let here = here.get(..here.len().min(missing)).unwrap_or_default();
                if let Err(full) = text.extend(here, head.body_len) {
                    self.inbound = Inbound::Drop(missing);
                    self.refuse(full.into());
                    return Ok(Step::Consumed(0));
                }
                inbox.consume(here.len());
                if text.bytes().len() < head.body_len {
                    self.inbound = Inbound::Assemble(head, text);
                    return Ok(Step::Blocked);
                }
                self.query(text.bytes());
                Ok(Step::Consumed(0))
            }
        }
    }

    fn pass(&mut self, inbox: &Inbox, left: usize) -> Step {
        let here = inbox.bytes();
        let here = here.get(..left.min(here.len())).unwrap_or_default();
        self.upstream.extend_from_slice(here);
        if here.len() < left {
            self.inbound = Inbound::Forward(left - here.len());
        }
        if here.is_empty() {
            Step::Blocked
        } else {
            Step::Consumed(here.len())
        }
    }

    fn begin_message(&mut self, inbox: &Inbox) -> Ended {
        let bytes = inbox.bytes();
        if let Some(unknown) = bytes.first().filter(|first| !client::is_known(**first)) {
            return self.violation(&format!("invalid frontend message type {unknown}"));
        }
        let head = match frame::head(bytes) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Step::Blocked),
            Err(bad) => return self.violation(&bad.to_string()),
        };
        match head.tag {
            client::TERMINATE => return Err(ClientEnd::Terminated),
            client::COPY_DATA | client::COPY_DONE | client::COPY_FAIL => return Ok(self.copy(head)),
            _ if self.copying != Copying::No => return self.during_copy(head),
            client::SYNC => {}
            _ if self.skipping == Skipping::ToSync => return Ok(self.drop_body(head)),
            _ => {}
        }
        if self.awaits_ready {
            return Ok(Step::Blocked);
        }
        match head.tag {
            client::QUERY => return Ok(self.begin_query(head)),
            client::SYNC => {
                self.skipping = Skipping::No;
                self.awaits_ready = true;
                encode::sync(&mut self.upstream);
            }
            client::FUNCTION_CALL => {
                self.awaits_ready = true;
                encode::frame(&mut self.upstream, client::FUNCTION_CALL, &NO_FUNCTION);
            }
            client::FLUSH => {}
            client::PASSWORD => return self.violation("invalid frontend message type 112"),
            // The server refuses the extended protocol in its own words. What it does so by carries no text.
            _ => {
                self.skipping = Skipping::ToSync;
                #[expect(clippy::disallowed_methods, reason = "an empty text")]
                encode::parse(&mut self.upstream, "", "", NO_TYPES);
            }
        }
        Ok(self.drop_body(head))
    }

    fn drop_body(&mut self, head: Head) -> Step {
        if head.body_len > 0 {
            self.inbound = Inbound::Drop(head.body_len);
        }
        Step::Consumed(HEAD_BYTES)
    }

    /// CopyData, CopyDone or CopyFail: passes as it comes while a COPY runs.
    fn copy(&mut self, head: Head) -> Step {
        match self.copying {
            // Whether a COPY runs is known when the server has answered.
            Copying::No if self.awaits_ready => return Step::Blocked,
            // As the server drops what comes after it gave up the COPY (`PostgresMain`, postgres.c).
            Copying::No => return self.drop_body(head),
            Copying::In | Copying::Both => {}
        }
        encode::put_head(&mut self.upstream, head.tag, head.body_len);
        if head.tag != client::COPY_DATA {
            self.copying = Copying::No;
        }
        if head.body_len > 0 {
            self.inbound = Inbound::Forward(head.body_len);
        }
        Step::Consumed(HEAD_BYTES)
    }

    /// Anything but the contents of a COPY that runs: Sync and Flush mean nothing (`CopyGetData`, copyfromparse.c),
    /// the rest would never be answered (`ProcessRepliesIfAny`, walsender.c).
    fn during_copy(&mut self, head: Head) -> Ended {
        match head.tag {
            client::SYNC | client::FLUSH => Ok(self.drop_body(head)),
            tag => self.violation(&format!("unexpected message type 0x{tag:02X} during COPY")),
        }
    }

    /// A Query: put together within the statement limit, memory taken for what has come.
    fn begin_query(&mut self, head: Head) -> Step {
        let limit = self.parts.shared.settings.max_statement_bytes;
        if head.body_len > limit {
            let message = format!(
                "statement of {} bytes is longer than max_statement_bytes",
                head.body_len
            );
            let fault = Fault::error(SqlState::PROGRAM_LIMIT_EXCEEDED, message);
            self.refuse(fault.with_hint(format!("The limit is {limit} bytes.")));
            return self.drop_body(head);
        }
        let assembly = Assembly::new(self.parts.stay.account());
        self.inbound = Inbound::Assemble(head, Box::new(assembly));
        Step::Consumed(HEAD_BYTES)
    }

    /// A whole Query.
    fn query(&mut self, body: &[u8]) {
        let text = match body::query(body) {
            Ok(text) => text,
            Err(bad) => {
                return self.refuse(Fault::error(SqlState::PROTOCOL_VIOLATION, bad.to_string()));
            }
        };
        if !is_command(text) {
            let asker = Asker {
                schemas: None,
                account: Some(self.parts.stay.account()),
            };
            let teller = self.parts.teller();
            match self.parts.shared.judge(teller, asker, &self.policy(), text) {
                Ok(script) => {
                    let mut actions = script.statements().iter().map(|cleared| cleared.action());
                    if actions.any(|action| matches!(action, Action::DiscardAll)) {
                        return self.refuse(discard_all());
                    }
                }
                Err(fault) => return self.refuse(fault),
            }
        }
        self.awaits_ready = true;
        encode::frame(&mut self.upstream, client::QUERY, body);
    }

    /// Has the server fail where it would have read the statement, so that a transaction fails with it; the client is
    /// told this.
    fn refuse(&mut self, fault: Fault) {
        self.refused = Some(fault);
        self.awaits_ready = true;
        let text = [REFUSED.as_bytes(), b"\0"].concat();
        encode::frame(&mut self.upstream, client::QUERY, &text);
    }

    /// A message after which nothing the client says can be trusted.
    fn violation(&mut self, what: &str) -> Ended {
        self.say_last(&Fault::fatal(
            SqlState::PROTOCOL_VIOLATION,
            format!("protocol violation: {what}"),
        ));
        Err(ClientEnd::ProtocolViolation)
    }
}

/// CopyBothResponse (PostgreSQL manual, 54.7).
const COPY_BOTH: u8 = b'W';

/// The body of a FunctionCall of no function: number, argument formats, arguments, result format.
const NO_FUNCTION: [u8; 10] = [0; 10];

/// DISCARD ALL includes RESET SESSION AUTHORIZATION, which makes a session its login again (`DiscardAll`, discard.c).
fn discard_all() -> Fault {
    Fault::error(
        SqlState::FEATURE_NOT_SUPPORTED,
        "DISCARD ALL is not supported in a replication connection",
    )
    .with_hint("Connect again for a fresh connection.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_sql_as_the_server_does() {
        for command in [
            "IDENTIFY_SYSTEM",
            " \t\n\r\x0cSHOW role",
            "SHOW;",
            "BASE_BACKUP(LABEL 'x')",
            "START_REPLICATION SLOT s LOGICAL 0/0 (a 'b')",
        ] {
            assert!(is_command(command.as_bytes()), "{command}");
        }
        for sql in [
            "",
            "  ",
            "show role",
            "SHOWrole",
            "SHOW\u{a0}role",
            "\u{b}SHOW x",
            "/**/SHOW role",
            "--\nIDENTIFY_SYSTEM",
            "SET ROLE other; IDENTIFY_SYSTEM",
            "SHOW role\0; SET ROLE other",
            "SHOW\0",
            "identify_system",
            "(SHOW)",
            ";SHOW role",
        ] {
            assert!(!is_command(sql.as_bytes()), "{sql}");
        }
    }
}
