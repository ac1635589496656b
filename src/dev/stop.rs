//! When to stop: a signal, or the end of the process that started us.

use std::io;
use std::os::unix::process::parent_id;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the parent is looked for. There is no portable signal for its death.
const PARENT_POLL: Duration = Duration::from_millis(500);

/// What asks for a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Ctrl-C (SIGINT).
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The terminal is gone (SIGHUP).
    Hangup,
    /// The process that started us has ended.
    ParentGone,
}

impl StopReason {
    /// The exit code of a command that this stopped: 128 and the signal's number, as shells have it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Hangup => 128 + 1,
            Self::Interrupt => 128 + 2,
            Self::Terminate | Self::ParentGone => 128 + 15,
        }
    }
}

/// Listens for reasons to stop. From its making on, none of the signals ends the process by itself.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    parent: u32,
    ticks: Interval,
}

impl StopSignals {
    /// Begins to listen; needs a runtime.
    ///
    /// # Errors
    /// When the system does not let a signal be caught.
    pub fn listen() -> io::Result<Self> {
        let mut ticks = interval(PARENT_POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            parent: parent_id(),
            ticks,
        })
    }

    /// Waits for the next reason. The parent's end is reported on every call. Cancel safe.
    pub async fn next(&mut self) -> StopReason {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return StopReason::Interrupt,
                _ = self.terminate.recv() => return StopReason::Terminate,
                _ = self.hangup.recv() => return StopReason::Hangup,
                _ = self.ticks.tick() => {
                    if parent_id() != self.parent {
                        return StopReason::ParentGone;
                    }
                }
            }
        }
    }
}
