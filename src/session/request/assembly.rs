//! A message that is longer than a buffer and has to be seen whole: what has come of it.

use std::sync::Arc;

use crate::base::limits;
use crate::base::memory::{Account, Charge, Full};

/// The body so far. Memory is taken for bytes that have come, not for bytes that are claimed.
#[derive(Debug)]
pub(in crate::session) struct Assembly {
    body: Vec<u8>,
    charge: Charge,
}

impl Assembly {
    /// Nothing so far, on this account.
    pub(in crate::session) fn new(account: &Arc<Account>) -> Self {
        Self {
            body: Vec::new(),
            charge: Charge::new(account),
        }
    }

    /// What has come.
    pub(in crate::session) fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// Adds what has come of a body that has `whole` bytes in all.
    ///
    /// # Errors
    /// There is no room for it; nothing has been added.
    pub(in crate::session) fn extend(&mut self, bytes: &[u8], whole: usize) -> Result<(), Full> {
        let len = self.body.len() + bytes.len();
        if len > self.body.capacity() {
            let room = (2 * self.body.capacity()).max(4 * limits::BUFFER_BYTES);
            let room = room.min(whole).max(len);
            self.charge.grow_to(room)?;
            self.body.reserve_exact(room - self.body.len());
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::{Budget, Holder};

    #[test]
    fn takes_memory_for_what_has_come_and_gives_it_back() {
        let budget = Budget::new(16 << 20, 0);
        let account = budget.account(Holder::Role("r".into()));
        let mut assembly = Assembly::new(&account);
        let (piece, whole) = ([7; 10_000], 100 << 20);
        while assembly.extend(&piece, whole).is_ok() {
            assert!(assembly.body.capacity() <= 2 * assembly.bytes().len().max(2 * limits::BUFFER_BYTES));
            assert_eq!(budget.snapshot().used, assembly.body.capacity());
        }
        assert!(budget.snapshot().used > 2 << 20);
        drop(assembly);
        assert_eq!(budget.snapshot().used, 0);
        let mut exact = Assembly::new(&account);
        exact.extend(&piece, 20_000).unwrap();
        exact.extend(&piece, 20_000).unwrap();
        assert_eq!(exact.body.capacity(), 20_000);
    }
}
