//! When watched files are looked at: now and then, and at once when the operator asks for it.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Drain, Phase};

/// The times to look at some files, until the process shuts down.
#[derive(Debug)]
pub struct Looks {
    rounds: Interval,
    /// Without the signal the files are looked at all the same.
    hangup: Option<Signal>,
    drain: Drain,
    last: Phase,
}

/// Why it is time to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The time for it has come.
    Round,
    /// The operator says so, by SIGHUP.
    Asked,
}

impl Looks {
    /// A look every so often, and one at each SIGHUP, until the drain is at `last`. Must be called within a runtime.
    pub fn every(interval_time: Duration, drain: Drain, last: Phase) -> Self {
        let mut rounds = interval(interval_time);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            rounds,
            hangup: signal(SignalKind::hangup()).ok(),
            drain,
            last,
        }
    }

    /// Waits for the next one; `None` when there are no more. The first one comes at once.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Look> {
        tokio::select! {
            biased;
            () = self.drain.reached(self.last) => None,
            () = hangup(&mut self.hangup) => Some(Look::Asked),
            _ = self.rounds.tick() => Some(Look::Round),
        }
    }
}

/// The next SIGHUP.
async fn hangup(signal: &mut Option<Signal>) {
    let Some(signal) = signal else {
        return std::future::pending().await;
    };
    if signal.recv().await.is_none() {
        std::future::pending().await
    }
}
