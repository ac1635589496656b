//! A client's time: since when it is idle, how long its token is good for, how fast it moves. One timer serves them all.

use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::auth::Principal;
use crate::session::io::patience::{Owes, Pace, Progress, Watch};
use crate::session::io::timer::Timer;

/// The time limits of one client.
pub(in crate::session) struct Clock {
    timer: Timer,
    watch: Watch,
    /// When the client was last heard of; in a transaction, when the server last had something to do.
    idle_since: Instant,
    /// When the token or certificate stops being valid.
    expires_at: Option<Instant>,
}

impl Clock {
    /// A client that has just been heard of.
    pub(in crate::session) fn new(timer: Timer, principal: &Principal) -> Self {
        Self {
            timer,
            watch: Watch::default(),
            idle_since: Instant::now(),
            expires_at: expiry_of(principal),
        }
    }

    /// It is idle from this moment on.
    pub(in crate::session) fn is_idle_from(&mut self, moment: Instant) {
        self.idle_since = moment;
    }

    /// How long it has been idle.
    pub(in crate::session) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.idle_since)
    }

    /// How long ago the token or certificate has expired.
    pub(in crate::session) fn expired_since(&self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(self.expires_at?)
    }

    /// When the token or certificate has been expired for so long.
    pub(in crate::session) fn expiry(&self, grace: Duration) -> Option<Instant> {
        self.expires_at?.checked_add(grace)
    }

    /// When to look at a client that owes something: see [`Watch::due`].
    pub(in crate::session) fn due(&mut self, owes: Owes, moved: u64, pace: Pace) -> Option<Instant> {
        self.watch.due(owes, moved, pace)
    }

    /// When a client that owes nothing has been idle for so long.
    pub(in crate::session) fn idle_until(&mut self, limit: Option<Duration>) -> Option<Instant> {
        self.watch.lapse();
        self.idle_since.checked_add(limit?)
    }

    /// Looks at a client that owes something.
    pub(in crate::session) fn look(&mut self, moved: u64, pace: Pace, now: Instant) -> Progress {
        self.watch.look(moved, pace, now)
    }

    /// The server has spoken.
    pub(in crate::session) fn server_has_spoken(&mut self) {
        self.watch.server_has_spoken();
    }

    /// Ready when `deadline` has passed. It takes the place of the last one.
    pub(in crate::session) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(deadline, cx)
    }
}

fn expiry_of(principal: &Principal) -> Option<Instant> {
    let left = principal.expires_at()?.duration_since(SystemTime::now());
    // A moment that the clock cannot hold is as good as never.
    Instant::now().checked_add(left.unwrap_or_default())
}
