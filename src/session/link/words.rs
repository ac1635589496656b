//! The client's words for what was sent: where the server was given another text than the client's, its errors are
//! told in terms of that.

use super::Link;
use crate::session::answer::wording::Wording;
use crate::session::link::effect::Effect;
use crate::wire::replies::Own;

/// The text that the server's errors concern.
#[derive(Debug, Default)]
pub(in crate::session) struct Words {
    /// Where it is not the client's.
    wording: Option<Box<Wording>>,
    /// Whether there will be one when all that was sent has been answered.
    will_be: bool,
}

impl Words {
    /// Where the text that is being answered is not the client's.
    pub(in crate::session) fn wording(&self) -> Option<&Wording> {
        self.wording.as_deref()
    }

    /// What comes next is about this one.
    pub(in crate::session) fn are(&mut self, wording: Option<Box<Wording>>) {
        self.wording = wording;
    }

    /// All that was sent has been answered.
    pub(in crate::session) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Link {
    /// What is sent from here on was another text of the client's.
    pub(in crate::session) fn word(&mut self, wording: Option<Box<Wording>>) {
        if wording.is_none() && !self.words.will_be {
            return;
        }
        self.words.will_be = wording.is_some();
        if self.replies.is_empty() {
            self.words.are(wording);
        } else {
            self.answer(Own::Silence, Effect::Worded(wording));
        }
    }
}
