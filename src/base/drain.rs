//! Shutting down in order: first no new transactions, then nothing at all.

use tokio::sync::watch;

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Running,
    /// Running transactions may finish; idle sessions end.
    Draining,
    /// Everything ends now.
    Stopping,
}

/// The side that shuts down.
#[derive(Debug)]
pub struct DrainHandle(watch::Sender<Phase>);

/// The side that is shut down; cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Phase>);

impl DrainHandle {
    /// A handle and its first listener, in [`Phase::Running`].
    pub fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (Self(sender), Drain(receiver))
    }

    /// Moves to a later phase; going back is ignored.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let forward = phase > *now;
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// Waits until every [`Drain`] has been dropped. Cancel safe.
    pub async fn drained(&self) {
        self.0.closed().await;
    }
}

impl Drain {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Whether the phase has changed since this listener was made: one atomic load.
    pub fn has_changed(&self) -> bool {
        // An error means that the handle is gone, which counts as a change.
        self.0.has_changed().unwrap_or(true)
    }

    /// Waits until the phase is at least `phase`; a dropped handle counts as [`Phase::Stopping`]. Cancel safe.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the handle is gone, which ends the wait as well.
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}
