//! The statements that the server connection has prepared, and those that it lost or is to close.

use std::sync::Arc;

use super::{Link, Text};
use crate::session::link::effect::Effect;
use crate::session::memory::statement::{self, Prepared, StatementCache};
use crate::wire::notice;
use crate::wire::replies::{Awaited, Delivery, Entry, Own};

impl Link {
    /// Makes sure that the server connection knows a statement. With [`Delivery::Forward`] the client
    /// gets a ParseComplete in any case.
    pub(super) fn prepare(
        &mut self,
        statement: &Prepared,
        text: Text<'_>,
        delivery: Delivery,
        effect: Effect,
    ) {
        let id = statement.id();
        if self.lease.prepared().touch(id) {
            if delivery == Delivery::Forward {
                self.heed_failure_of(text);
                self.answer(Own::ParseComplete, effect);
            }
            return;
        }
        self.make_place(id, text);
        self.note_parse();
        self.upstream.parse(statement.name(), text, statement.types());
        self.expect(Awaited::Parse, delivery, Effect::Prepared(id, Box::new(effect)));
    }

    /// Takes a place among the server connection's statements; those that had it are closed.
    pub(super) fn make_place(&mut self, id: u64, text: Text<'_>) {
        let evicted = self.lease.prepared().insert(id, text.len());
        self.lease.unclosed.extend(evicted);
        self.close_unclosed();
    }

    pub(super) fn close_unclosed(&mut self) {
        for evicted in std::mem::take(&mut self.lease.unclosed) {
            self.upstream.close_statement(&statement::server_name(evicted));
            self.expect(Awaited::Close, Delivery::Hide, Effect::Evicted(evicted));
        }
    }

    /// A statement ends with the transaction. Of those that the connection does not keep any more nothing is remembered.
    pub(super) fn note_transient(&mut self, id: u64) {
        if self.transient.len() == self.transient.capacity() {
            let prepared = self.lease.prepared();
            self.transient.retain(|id| prepared.touch(*id));
        }
        self.transient.push(id);
    }

    /// What the server's unnamed statement is, is not known any more.
    pub(in crate::session) fn forget_unnamed(&mut self) {
        self.lease.unnamed = None;
    }

    /// The connection is given up or back: what its transaction has prepared for itself goes.
    pub(in crate::session) fn retire(&mut self) {
        for id in std::mem::take(&mut self.transient) {
            if self.lease.prepared().remove(id) {
                self.lease.unclosed.push(id);
            }
        }
    }

    /// Whether what was to be answered binds a statement that the server connection has prepared, as far as we know.
    pub(in crate::session) fn should_know(&mut self, entry: &Entry<Effect>) -> bool {
        entry.awaited == Awaited::Bind
            && match &entry.effect {
                Effect::Uses(statement) | Effect::Bound(statement, _) => {
                    self.lease.prepared().touch(statement.prepared().id())
                }
                _ => entry.delivery == Delivery::Hide,
            }
    }

    /// An error has come that a statement may owe to tables that have changed since it was prepared. Whether its batch is
    /// to be sent again, with the statement prepared anew.
    pub(in crate::session) fn heals(
        &mut self,
        body: &[u8],
        skipped: &mut Vec<Entry<Effect>>,
        statements: &StatementCache,
    ) -> bool {
        let statement = match skipped.first().map(|entry| &entry.effect) {
            Some(Effect::Uses(statement) | Effect::Bound(statement, _)) => Arc::clone(statement),
            _ => return false,
        };
        let id = statement.prepared().id();
        if !self.lease.prepared().remove(id) {
            return false;
        }
        // The next one who needs it gets it prepared anew on this connection.
        self.lease.unclosed.push(id);
        if notice::is_of_changed_columns(body) {
            statements.columns_have_changed(id);
        }
        self.begin_healing(&statement, skipped)
    }

    /// An error has come: what the server has skipped has not happened.
    pub(in crate::session) fn note_skipped(&mut self, skipped: &[Entry<Effect>]) {
        for entry in skipped {
            match entry.effect {
                Effect::Prepared(id, _) => {
                    self.lease.prepared().remove(id);
                }
                Effect::Evicted(id) => self.lease.unclosed.push(id),
                Effect::SequencesForgotten => self.sequences.are_not_forgotten(),
                _ => {}
            }
        }
    }
}
