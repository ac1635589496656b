//! The memory that the guard works in while it judges a long text.

use crate::base::memory::{Charge, Full};

/// What a token may take: 32 bytes, and its name where that is not as it is written. Measured with 200,000 tokens of
/// several kinds.
const TOKEN_BYTES: usize = 48;

/// What the grammar may take for one token that it parses: the token as it wants it, and its part of the tree. Measured
/// with chains of operators and calls, which make the largest trees.
const PARSED_TOKEN_BYTES: usize = 1536;

/// Tokens that a text begins with room for.
const FIRST: usize = 1024;

/// What the guard works in.
pub(in crate::guard) struct WorkingMemory<'a> {
    /// `None`: as much as it wants, for texts shorter than a buffer and for people.
    charge: Option<&'a mut Charge>,
}

impl<'a> WorkingMemory<'a> {
    /// As much as it wants.
    pub(in crate::guard) fn unbounded() -> Self {
        Self { charge: None }
    }

    /// As much as may be charged.
    pub(in crate::guard) fn charged(charge: Option<&'a mut Charge>) -> Self {
        Self { charge }
    }

    /// Makes room for more items of a list that is full. `read` bytes of `all` have made what is there; there are never
    /// more than `most`. So that the list seldom moves, the rest is taken to be like the beginning.
    pub(in crate::guard) fn grow<T>(
        &mut self,
        list: &mut Vec<T>,
        read: usize,
        all: usize,
        most: usize,
    ) -> Result<(), Full> {
        let like_so_far = list.len().saturating_mul(all) / read.max(1);
        let wanted = (like_so_far + like_so_far / 16)
            .max(list.len() + list.len() / 2)
            .max(FIRST);
        // A token has at least one byte.
        let wanted = wanted
            .min(list.len() + all.saturating_sub(read))
            .min(most)
            .max(list.len() + 1);
        if let Some(charge) = &mut self.charge {
            charge.grow_to((list.capacity() + wanted) * TOKEN_BYTES)?;
        }
        list.reserve_exact(wanted - list.len());
        if let Some(charge) = &mut self.charge {
            charge.shrink_to(list.capacity() * TOKEN_BYTES);
        }
        Ok(())
    }

    /// Asks for what the grammar needs for so many tokens at a time.
    pub(in crate::guard) fn parse(&mut self, tokens: usize) -> Result<(), Full> {
        match &mut self.charge {
            Some(charge) => charge.grow_to(charge.bytes() + tokens * PARSED_TOKEN_BYTES),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::{Budget, Holder};

    #[test]
    fn a_list_moves_seldom_and_is_charged_for_what_it_has() {
        let budget = Budget::unlimited();
        let account = budget.account(Holder::Role("r".into()));
        let mut charge = Charge::new(&account);
        let mut room = WorkingMemory::charged(Some(&mut charge));
        let mut list: Vec<u64> = Vec::new();
        let (mut moves, all) = (0, 400_000);
        for item in 0..200_000 {
            if list.len() == list.capacity() {
                let read = 2 * list.len();
                room.grow(&mut list, read, all, 1_000_000).unwrap();
                moves += 1;
            }
            list.push(item);
        }
        assert!(moves <= 3, "{moves}");
        assert!(list.capacity() < 220_000);
        assert_eq!(charge.bytes(), list.capacity() * TOKEN_BYTES);
        drop(charge);
        assert_eq!(budget.snapshot().used, 0);
    }

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let account = Budget::new(16 << 20, 0).account(Holder::Role("r".into()));
        let mut charge = Charge::new(&account);
        let mut room = WorkingMemory::charged(Some(&mut charge));
        let mut list = vec![0_u64; 150_000];
        list.shrink_to_fit();
        assert_eq!(room.grow(&mut list, 300_000, 600_000, 1_000_000), Err(Full));
        assert_eq!(list.capacity(), 150_000);
        assert!(room.parse(1_000).is_ok());
    }
}
