//! Whose queue is longest, for when so many wait that somebody has to make room.

use std::collections::BTreeSet;

use super::slots::FlowId;

/// Queues by length. Known from when half as many wait as may, until there are half of those again: as long as nobody has
/// to make room it would cost as much as all the rest of the waiting.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    queues: Option<BTreeSet<(usize, FlowId)>>,
}

impl Crowd {
    /// A queue has changed its length. `waiting` of `limit` wait now in all; `queues` names them all, with their lengths.
    pub(super) fn resized(
        &mut self,
        flow: FlowId,
        (before, after): (usize, usize),
        (waiting, limit): (usize, usize),
        queues: impl FnOnce() -> BTreeSet<(usize, FlowId)>,
    ) {
        match &mut self.queues {
            None if waiting >= limit / 2 => self.queues = Some(queues()),
            None => {}
            Some(_) if waiting < limit / 4 => self.queues = None,
            Some(queues) => {
                queues.remove(&(before, flow));
                if after > 0 {
                    queues.insert((after, flow));
                }
            }
        }
    }

    /// The longest queue and its length; `None` as well where far fewer wait than may.
    pub(super) fn longest(&self) -> Option<(usize, FlowId)> {
        self.queues.as_ref()?.last().copied()
    }

    /// What is known of the queues.
    #[cfg(test)]
    pub(super) fn queues(&self) -> Option<&BTreeSet<(usize, FlowId)>> {
        self.queues.as_ref()
    }
}
