//! A message that has to wait: for a server connection, for a judge's turn, or for its role. What was found out about it
//! goes on with it, so that it is judged once. Its bytes stay where they are: it is judged anew if the policy changes.

use std::sync::Arc;

use crate::base::Fault;
use crate::guard::Script;
use crate::net::Inbox;
use crate::session::Session;
use crate::session::memory::holding::Judged;
use crate::session::request::assembly::Assembly;
use crate::session::request::inbound::{Inbound, Outcome, Step};
use crate::session::request::judging::Turned;
use crate::wire::body;
use crate::wire::frame::{HEAD_BYTES, Head};
use crate::wire::tag::client as tag;

/// A message that waits, and what is known of it.
pub(in crate::session) struct Pending {
    place: Place,
    found: Found,
}

/// Where the bytes of a message are.
pub(in crate::session) enum Place {
    /// At the front of the inbox, with its head.
    Inbox(Head),
    /// In a body of its own.
    Assembly(Head, Box<Assembly>),
}

/// What was found out about a message before it had to wait.
pub(in crate::session) enum Found {
    /// Nothing: it only names what the session knows.
    Names,
    /// Its text may run.
    Verdict(Judged),
    /// Its text is to be judged: the turn to do so, or why there was none.
    Turn(Turned),
}

impl Place {
    fn head(&self) -> Head {
        match self {
            Self::Inbox(head) | Self::Assembly(head, _) => *head,
        }
    }

    /// What has come of the body.
    fn body<'b>(&'b self, inbox: &'b Inbox) -> &'b [u8] {
        match self {
            Self::Inbox(head) => {
                let rest = inbox.bytes().get(HEAD_BYTES..).unwrap_or_default();
                rest.get(..head.body_len).unwrap_or(rest)
            }
            Self::Assembly(_, assembly) => assembly.bytes(),
        }
    }

    /// Bytes of the inbox that go with the message.
    fn bytes_in_inbox(&self) -> usize {
        match self {
            Self::Inbox(head) => HEAD_BYTES + head.body_len,
            Self::Assembly(..) => 0,
        }
    }
}

impl Session {
    /// Looks at a whole message for the first time.
    pub(in crate::session) fn take_message(&mut self, inbox: &Inbox, place: Place) -> Step {
        let outcome = self.message(place.head().tag, place.body(inbox), None);
        self.leave_or_take(place, outcome)
    }

    /// Goes on with a message that waited.
    pub(in crate::session) fn resume(&mut self, inbox: &Inbox, pending: Pending) -> Step {
        let Pending { place, found } = pending;
        let (Head { tag, .. }, body) = (place.head(), place.body(inbox));
        let outcome = match found {
            Found::Verdict(judged) if judged.policy() == self.policy.id() => {
                self.judged_message(tag, body, judged.into_script())
            }
            Found::Names if tag == tag::BIND => return self.begin_bind(place.head(), body),
            Found::Names | Found::Verdict(_) => self.message(tag, body, None),
            Found::Turn(turned) => self.message(tag, body, Some(turned)),
        };
        self.leave_or_take(place, outcome)
    }

    /// A message whose text may run.
    fn judged_message(&mut self, tag: u8, body: &[u8], script: Arc<Script>) -> Outcome {
        let outcome = match tag {
            tag::PARSE => body::parse(body).map(|message| self.prepare(&message, script)),
            tag::FUNCTION_CALL => body::function_call(body).map(|call| self.call(&call, script)),
            _ => Ok(self.run_query(script)),
        };
        outcome.unwrap_or_else(|bad| self.bad_body(tag, bad))
    }

    /// A message that is done with leaves its place; one that waits stays.
    pub(in crate::session) fn leave_or_take(&mut self, place: Place, outcome: Outcome) -> Step {
        match outcome {
            Outcome::Done => Step::Consumed(place.bytes_in_inbox()),
            Outcome::Lease(found) => Step::Lease(Pending { place, found }),
            Outcome::Judge => Step::Judge(Pending {
                place,
                found: Found::Names,
            }),
            Outcome::Role(judged) => {
                let found = Found::Verdict(judged);
                self.pending = Some(Pending { place, found });
                Step::Blocked
            }
            Outcome::Blocked => {
                if let Place::Assembly(head, assembly) = place {
                    self.inbound = Inbound::Assemble(head, assembly);
                }
                Step::Blocked
            }
            Outcome::End(end) => Step::End(end),
        }
    }

    /// The wait for a server connection is over. The message fails where there is none.
    pub(in crate::session) fn leased(&mut self, leased: Result<(), Fault>) {
        let Err(fault) = leased else { return };
        let Some(pending) = self.pending.take() else {
            return;
        };
        let head = pending.place.head();
        self.fail_message(head.tag, fault);
        self.inbound = match pending.place.bytes_in_inbox() {
            0 => Inbound::Head,
            left => Inbound::Drop(left),
        };
    }

    /// The wait for a judge is over.
    pub(in crate::session) fn turned(&mut self, turned: Turned) {
        if let Some(pending) = &mut self.pending {
            pending.found = Found::Turn(turned);
        }
    }
}
