//! The server reads a string to its end before it runs the first statement of it: one that is no SQL keeps the
//! others from running. Sent statement by statement, it would be found out only when those before it have run,
//! and with a COMMIT among them for good. So a string whose grammar is in doubt is sent as one Parse first. The
//! server refuses it for holding several statements if it could read them all, and else says why not. Nothing of it
//! runs.

use std::sync::Arc;

use crate::guard::{Form, Script};
use crate::session::Session;
use crate::session::link::effect::Effect;
use crate::session::link::{CheckOf, Link, ScriptRest, Text};
use crate::wire::encode::{NO_TYPES, TransactionStatus};
use crate::wire::notice;
use crate::wire::replies::{Awaited, Delivery};

/// What is known of a whole string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Whole {
    /// It can run.
    Sound,
    /// The server reads it; it runs when that is over.
    Asked,
}

/// Set around the question in a transaction block, which it would fail.
const SAVEPOINT: &str = "SAVEPOINT \"portcullis reads\"";

/// The same, undone.
const UNDO: [&str; 2] = ["ROLLBACK TO \"portcullis reads\"", "RELEASE \"portcullis reads\""];

impl Session {
    /// Has the server read a string whose grammar is in doubt. It is held up meanwhile.
    pub(in crate::session) fn ask_about_whole(&mut self, script: &Arc<Script>) -> Whole {
        let Some(text) = Text::several(script) else {
            return Whole::Sound;
        };
        let Some(link) = self.link.as_mut().filter(|_| script.form() == Form::Unknown) else {
            return Whole::Sound;
        };
        // Behind other messages of one batch an error fails them all, as it should.
        if !link.batch.is_fresh() || link.batch.has_failed() {
            return Whole::Sound;
        }
        link.ask_about(text);
        link.script = Some(ScriptRest::new(
            self.identity.stay.account(),
            Arc::clone(script),
            0,
        ));
        Whole::Asked
    }
}

impl Link {
    fn ask_about(&mut self, text: Text<'_>) {
        self.reads_whole = match self.block.status() {
            TransactionStatus::InBlock => {
                self.run_hidden(SAVEPOINT, &[], Effect::None);
                self.end_batch(Delivery::Hide);
                CheckOf::WholeInBlock
            }
            TransactionStatus::Idle | TransactionStatus::Failed => CheckOf::Whole,
        };
        self.upstream.parse("", text, NO_TYPES);
        self.forget_unnamed();
        self.expect(Awaited::Parse, Delivery::Hide, Effect::WholeRead);
        self.end_batch(Delivery::Hide);
    }

    /// The server's error about a whole string. Returns whether that is to be run all the same: it could be read.
    pub(in crate::session) fn whole_is_sound(&mut self, body: &[u8]) -> bool {
        if notice::is_of_several(body) {
            return true;
        }
        self.script = None;
        self.reads_whole = CheckOf::Nothing;
        self.replies.show_next();
        false
    }

    /// A hidden ReadyForQuery has come: what the question has done to the block is undone.
    pub(in crate::session) fn whole_is_read(&mut self) {
        if !self.replies.is_empty() {
            return;
        }
        if std::mem::take(&mut self.reads_whole) == CheckOf::WholeInBlock {
            for sql in UNDO {
                self.run_hidden(sql, &[], Effect::None);
            }
            self.end_batch(Delivery::Hide);
        }
    }
}
