//! What a session keeps on its tenant's account: texts, names, settings, and bytes that wait for either side.

use std::sync::Arc;

use crate::base::memory::{Account, Asked, Charge, Full, Held};
use crate::base::{ClientEnd, Fault, limits};
use crate::guard::{Action, Cleared, Script};
use crate::session::link::Link;
use crate::session::memory::statement::Statement;
use crate::session::{Client, Session};

/// A client's statement, and what it is charged with.
#[derive(Debug)]
pub(in crate::session) struct Holding {
    /// Ahead of the text that it stands for ([`Held`]).
    #[expect(dead_code, reason = "held, and given back when dropped")]
    held: Option<Box<Held>>,
    statement: Arc<Statement>,
}

/// A verdict that waits for the message it is on to go on.
pub(in crate::session) struct Judged {
    #[expect(dead_code, reason = "held, and given back when dropped")]
    held: Option<Box<Held>>,
    script: Arc<Script>,
}

impl Holding {
    /// What is held.
    pub(in crate::session) fn statement(&self) -> &Arc<Statement> {
        &self.statement
    }
}

impl Judged {
    /// A verdict whose text is on this account.
    pub(in crate::session) fn new(account: &Arc<Account>, script: Arc<Script>) -> Self {
        Self {
            held: hold_long(account, &script),
            script,
        }
    }

    /// The policy that it was given under.
    pub(in crate::session) fn policy(&self) -> u64 {
        self.script.policy()
    }

    /// Takes the verdict.
    pub(in crate::session) fn into_script(self) -> Arc<Script> {
        self.script
    }
}

/// A hold on a text that is long enough to be counted by itself. Nobody is asked: it is counted in another way already.
pub(in crate::session) fn hold_long(account: &Arc<Account>, script: &Arc<Script>) -> Option<Box<Held>> {
    let bytes = script.bytes();
    let hold = || account.hold(Arc::as_ptr(script).addr(), bytes, 0, Asked::No);
    (bytes >= limits::LONG_TEXT_BYTES).then(hold)?.ok().map(Box::new)
}

/// Keeps a statement that takes the place of another of its text.
pub(in crate::session) fn hold_again(
    account: &Arc<Account>,
    name: &[u8],
    statement: Arc<Statement>,
) -> Holding {
    let unheld = Holding {
        held: None,
        statement: Arc::clone(&statement),
    };
    hold_if(account, name, statement, Asked::No).unwrap_or(unheld)
}

/// Keeps a statement under a name of the client's, if there is room for it.
pub(in crate::session) fn hold_if(
    account: &Arc<Account>,
    name: &[u8],
    statement: Arc<Statement>,
    asked: Asked,
) -> Result<Holding, Full> {
    let bytes = statement.bytes();
    let held = match name {
        // Most are used once.
        b"" if bytes < limits::LONG_TEXT_BYTES => None,
        b"" => Some(account.hold(statement.text_key(), bytes, 0, asked)?),
        name => {
            let own = name.len() + limits::STATEMENT_ENTRY_BYTES;
            Some(account.hold(statement.text_key(), bytes, own, asked)?)
        }
    };
    Ok(Holding {
        held: held.map(Box::new),
        statement,
    })
}

impl Session {
    pub(in crate::session) fn account(&self) -> &Arc<Account> {
        self.identity.stay.account()
    }

    /// Asks for so many bytes more of values that the session keeps.
    pub(in crate::session) fn ask_for_settings(&mut self, bytes: usize) -> Result<(), Fault> {
        Ok(self.setup.ask(self.identity.stay.account(), bytes)?)
    }

    // ---- bytes that wait ----------------------------------------------------------------------------

    /// Takes note of what the message just translated has left for the server.
    #[inline]
    pub(in crate::session) fn settle_upstream(&mut self) {
        if let Some(link) = &mut self.link
            && link.upstream.capacity() > Link::UNASKED_BYTES
        {
            link.upstream.settle(self.identity.stay.account());
        }
    }

    /// Asks for the room that the next statement of a script takes beside those that wait for the server.
    pub(in crate::session) fn ask_to_send(&mut self, cleared: &Cleared) -> Result<(), Fault> {
        let also = match cleared.action() {
            Action::Execute(name) => self.names.statement(name.name.as_bytes()),
            _ => None,
        };
        let bytes = cleared.sql().len() + also.map_or(0, |statement| statement.bytes());
        self.ask_upstream(bytes)
    }

    /// Asks for so many bytes more for the server.
    pub(in crate::session) fn ask_upstream(&mut self, bytes: usize) -> Result<(), Fault> {
        match &mut self.link {
            Some(link) if link.upstream.len() + bytes > Link::UNASKED_BYTES => {
                Ok(link.upstream.ask(self.identity.stay.account(), bytes)?)
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Link {
    /// Bytes for the server that are not counted: what a COPY is read with.
    pub(in crate::session) const UNASKED_BYTES: usize = 2 * limits::BULK_BUFFER_BYTES;
}

impl Client {
    /// Bytes that wait for a client in no more than this are seen to by the session's own share.
    const UNASKED_BYTES: usize = 2 * 1024;

    /// Takes note of what waits for the client.
    ///
    /// # Errors
    /// It does not read, and its tenant may not hold so much: the session ends.
    #[inline]
    pub(in crate::session) fn settle(&mut self, account: &Arc<Account>) -> Result<(), ClientEnd> {
        if self.outbox.capacity() <= Self::UNASKED_BYTES && self.charge.is_none() {
            return Ok(());
        }
        self.settle_outbox(account)
    }

    #[cold]
    fn settle_outbox(&mut self, account: &Arc<Account>) -> Result<(), ClientEnd> {
        let bytes = self.outbox.capacity();
        if bytes == 0 {
            self.charge = None;
            return Ok(());
        }
        let charge = self.charge.get_or_insert_with(|| Box::new(Charge::new(account)));
        if bytes <= limits::BUFFER_BYTES {
            charge.set(bytes);
            return Ok(());
        }
        charge.grow_to(bytes).map_err(|Full| ClientEnd::OutOfMemory)
    }
}
