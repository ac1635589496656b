//! The memory that a link works in. The thread lends it from one transaction to the next, so that an ordinary
//! transaction allocates none of it and an idle client holds none of it.

use std::cell::RefCell;

use crate::session::link::effect::Effect;
use crate::session::link::portals::Portals;
use crate::wire::replies::Replies;

/// Room for an ordinary transaction's messages, so that their buffer does not grow step by step.
pub(in crate::session) const UPSTREAM_BYTES: usize = 1024;

/// Desks one thread keeps for reuse: enough for the transactions that begin and end in one turn of its loop.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Scratch>> = const { RefCell::new(Vec::new()) };
}

/// What a link is made with, and leaves behind: all of it empty.
pub(super) struct Scratch {
    pub(super) upstream: Vec<u8>,
    pub(super) replies: Replies<Effect>,
    pub(super) portals: Portals,
}

impl Scratch {
    /// One that is free, or a new one.
    pub(super) fn take() -> Self {
        FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Self {
            upstream: Vec::with_capacity(UPSTREAM_BYTES),
            replies: Replies::default(),
            portals: Portals::default(),
        })
    }

    /// Leaves it to the next link. What it has grown beyond the ordinary is given up.
    pub(super) fn leave(mut self) {
        self.upstream.clear();
        self.upstream.shrink_to(UPSTREAM_BYTES);
        self.replies.clear();
        self.portals.clear();
        FREE.with_borrow_mut(|free| {
            if free.len() < KEPT {
                free.push(self);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::replies::{Awaited, Delivery};

    #[test]
    fn the_next_link_finds_nothing_of_the_one_before() {
        let mut scratch = Scratch::take();
        scratch.upstream.extend_from_slice(&[1; 100 * UPSTREAM_BYTES]);
        scratch
            .replies
            .push(Awaited::Ready, Delivery::Forward, Effect::None);
        scratch.portals.close(b"p");
        scratch.leave();
        let scratch = Scratch::take();
        assert!(scratch.upstream.is_empty() && scratch.replies.is_empty() && scratch.portals.len() == 0);
        assert!((1..=2 * UPSTREAM_BYTES).contains(&scratch.upstream.capacity()));
    }
}
