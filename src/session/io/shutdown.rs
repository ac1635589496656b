//! How far the process is in shutting down, as one client's task sees it.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use crate::base::{Drain, Phase};

/// Follows the process's phases.
pub(in crate::session) struct Shutdown {
    drain: Drain,
    phase: Phase,
    /// Ready when the process has reached the phase after `phase`.
    next_phase: PhaseReached,
    wakes: Wakes,
}

/// A future that is ready when the process reaches a phase.
type PhaseReached = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether the next phase wakes this task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wakes {
    NotYet,
    TheTask,
}

impl Shutdown {
    /// Begins to follow a process that runs.
    pub(in crate::session) fn new(drain: Drain) -> Self {
        Self {
            next_phase: reached(&drain, Phase::Draining),
            phase: Phase::Running,
            wakes: Wakes::NotYet,
            drain,
        }
    }

    /// The phase that the process is in. The task is woken at the next.
    pub(in crate::session) fn phase(&mut self, cx: &mut Context<'_>) -> Phase {
        // Asked once, the next phase wakes this task when it is reached: there is nothing to ask again before.
        if self.wakes == Wakes::NotYet || self.drain.has_changed() {
            self.wakes = Wakes::TheTask;
            while self.phase < Phase::Stopping && self.next_phase.as_mut().poll(cx).is_ready() {
                self.phase = self.drain.phase();
                self.next_phase = reached(&self.drain, Phase::Stopping);
            }
        }
        self.phase
    }
}

fn reached(drain: &Drain, phase: Phase) -> PhaseReached {
    let mut drain = drain.clone();
    Box::pin(async move { drain.reached(phase).await })
}
