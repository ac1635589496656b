//! Texts that several sessions of a tenant hold together: counted once.

use std::sync::Arc;

use super::{Account, Full};

/// A text, and how many hold it.
#[derive(Debug)]
pub(super) struct Text {
    holders: usize,
    bytes: usize,
}

/// A hold on a text, and bytes of its holder's own.
///
/// Keep it ahead of the text it stands for, so that it is dropped first: another text may get the same key then.
#[derive(Debug)]
pub struct Held {
    account: Arc<Account>,
    key: usize,
    own: usize,
}

/// Whether a hold may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// If there is no room.
    Yes,
    /// It is so little, or is held already in another way, that it may not.
    No,
}

impl Account {
    /// Holds a text of so many bytes, by a key that no other text has while this one lasts, and `own` bytes beside it.
    ///
    /// # Errors
    /// The tenant may not hold so much now. Never, if nobody was asked.
    pub fn hold(self: &Arc<Self>, key: usize, bytes: usize, own: usize, asked: Asked) -> Result<Held, Full> {
        let mut texts = self.texts.lock();
        let text = texts.get_mut(&key);
        let more = own + text.as_ref().map_or(bytes, |_| 0);
        match asked {
            Asked::Yes => self.take(more)?,
            Asked::No => self.take_unasked(more),
        }
        match text {
            Some(text) => text.holders += 1,
            None => {
                texts.insert(key, Text { holders: 1, bytes });
            }
        }
        Ok(Held {
            account: Arc::clone(self),
            key,
            own,
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut texts = self.account.texts.lock();
        let mut less = self.own;
        if let Some(text) = texts.get_mut(&self.key) {
            text.holders -= 1;
            if text.holders == 0 {
                less += text.bytes;
                texts.remove(&self.key);
                if texts.capacity() > 64 && texts.len() < texts.capacity() / 8 {
                    texts.shrink_to_fit();
                }
            }
        }
        drop(texts);
        self.account.give_back(less);
    }
}
