//! How long a server connection waits for its client.
//!
//! While a transaction holds a server connection, the next byte has to come from the server, or it has to come from
//! the client or go to it. The server may take its time: what it runs has limits of its own. The client may not, or
//! one that stops reading, or in the middle of a message, would keep the connection from all others for ever. It is
//! measured by the bytes that move, window by window, so that one byte now and then is no way out, and a thin line is
//! no crime.

use std::time::Duration;

use tokio::time::Instant;

use crate::base::{ClientEnd, Fault, SqlState};
use crate::session::Session;
use crate::session::io::pump::expired;
use crate::session::link::Link;
use crate::session::request::inbound::Inbound;
use crate::wire::encode::TransactionStatus;

/// How slow a client may be while a server connection waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// What its progress is measured over (`client_progress_timeout`).
    pub window: Duration,
    /// Bytes that have to move within it at least (`client_progress_rate` for so long); zero counts as one.
    pub bytes: u64,
}

/// What is to come next where a session holds a server connection, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Awaits {
    /// The server's answer.
    Server,
    /// The client's next message, for so long.
    Word(Option<Duration>),
    /// What the client owes, at this pace.
    Client(Owes, Pace),
}

/// What a client owes while its server connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Owes {
    /// To read what there is for it.
    Reading,
    /// The rest of what it has begun to send: a message, the data of a COPY.
    Sending,
    /// A Sync or Flush. The server may have done all and keep its answers back until then, or still be at work.
    Sync,
}

/// Watches a client that owes something.
#[derive(Debug, Default)]
pub(in crate::session) struct Watch(Option<Window>);

/// A client's progress in one window.
#[derive(Debug)]
struct Window {
    owes: Owes,
    began: Instant,
    /// What had moved by then.
    moved: u64,
    /// How often it has been looked at.
    looks: u32,
}

/// What a look at a client has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Progress {
    /// The window is not over.
    Open,
    /// Enough has moved; the next window has begun.
    Enough,
    /// Too little has.
    TooLittle,
}

/// How often in a window more is done than wait: see [`Session::press`].
const LOOKS: u32 = 16;

impl Pace {
    /// The same pace, measured over no longer than this.
    fn within(self, limit: Option<Duration>) -> Self {
        let Some(window) = limit.filter(|limit| *limit < self.window) else {
            return self;
        };
        let bytes = u128::from(self.bytes) * window.as_millis() / self.window.as_millis().max(1);
        Self {
            window,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        }
    }
}

impl Watch {
    /// The client owes nothing now.
    pub(in crate::session) fn lapse(&mut self) {
        self.0 = None;
    }

    /// The server has spoken: what the client has sent was something to it. Reading is measured on.
    pub(in crate::session) fn server_has_spoken(&mut self) {
        self.0.take_if(|window| window.owes != Owes::Reading);
    }

    /// When to look at a client that owes this, of whose bytes `moved` have moved so far; `None` where the clock
    /// cannot hold it.
    pub(in crate::session) fn due(&mut self, owes: Owes, moved: u64, pace: Pace) -> Option<Instant> {
        let window = match &mut self.0 {
            Some(window) if window.owes == owes => window,
            other => other.insert(Window::new(owes, moved, Instant::now())),
        };
        let wait = match owes {
            Owes::Sending => pace.window,
            Owes::Reading | Owes::Sync => (pace.window / LOOKS).saturating_mul(window.looks + 1),
        };
        window.began.checked_add(wait.min(pace.window))
    }

    /// Looks at the client.
    pub(in crate::session) fn look(&mut self, moved: u64, pace: Pace, now: Instant) -> Progress {
        let Some(window) = &mut self.0 else {
            return Progress::Open;
        };
        window.looks = window.looks.saturating_add(1).min(LOOKS);
        if now.saturating_duration_since(window.began) < pace.window {
            return Progress::Open;
        }
        if moved.saturating_sub(window.moved) < pace.bytes.max(1) {
            return Progress::TooLittle;
        }
        *window = Window::new(window.owes, moved, now);
        Progress::Enough
    }
}

impl Window {
    fn new(owes: Owes, moved: u64, began: Instant) -> Self {
        Self {
            owes,
            began,
            moved,
            looks: 0,
        }
    }
}

impl Session {
    /// Whom the session waits for.
    fn awaits(&self) -> Awaits {
        let settings = &self.shared.settings;
        let Some(link) = &self.link else {
            return Awaits::Word(settings.client_idle_timeout);
        };
        if let Some(pace) = settings.pace
            && let Some(owes) = self.owes(link)
        {
            return Awaits::Client(owes, pace);
        }
        if !waits_for_client(link) {
            return Awaits::Server;
        }
        let has_begun = !matches!(self.inbound, Inbound::Head) || !self.client.inbox.is_empty();
        if let Some(pace) = settings.pace.filter(|_| has_begun) {
            return Awaits::Client(Owes::Sending, pace.within(settings.idle_transaction_timeout));
        }
        // A block that the client has opened is its own as long as the operator lets it. A batch without its Sync is
        // something else: no driver thinks in the middle of it.
        let batch_limit = settings.pace.map(|pace| pace.window);
        let batch_limit = batch_limit.filter(|_| link.batch.is_open());
        Awaits::Word(settings.idle_transaction_timeout.or(batch_limit))
    }

    /// What the client owes before the server can go on, if anything. The rest of a message that has begun to go to the
    /// server is owed whatever the server does meanwhile: nothing else can be sent to it.
    fn owes(&self, link: &Link) -> Option<Owes> {
        if !self.client.outbox.is_empty() {
            return Some(Owes::Reading);
        }
        if !link.upstream.is_empty() {
            return None;
        }
        if matches!(self.inbound, Inbound::Forward(1..)) || link.copies() {
            return Some(Owes::Sending);
        }
        link.is_unasked().then_some(Owes::Sync)
    }

    /// The earliest moment at which a time limit could be reached.
    pub(in crate::session) fn next_deadline(&mut self) -> Option<Instant> {
        if let Some(by) = self.client.leaves_by {
            return Some(by);
        }
        let limit = match self.awaits() {
            Awaits::Client(owes, pace) => self.clock.due(owes, self.client.moved, pace),
            Awaits::Word(limit) => self.clock.idle_until(limit),
            Awaits::Server => self.clock.idle_until(None),
        };
        let grace = match &self.link {
            None => Duration::ZERO,
            Some(_) => self.shared.settings.expiry_grace,
        };
        let expiry = self.clock.expiry(grace);
        match (limit, expiry) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// A deadline has passed: says what ends the session, if something does.
    pub(in crate::session) fn deadline(&mut self) -> Option<ClientEnd> {
        let now = Instant::now();
        if self.client.leaves_by.is_some_and(|by| by <= now) {
            return Some(ClientEnd::Vanished);
        }
        if let Some(since) = self.clock.expired_since(now) {
            let over = self.link.is_none() || since >= self.shared.settings.expiry_grace;
            if over {
                self.say_last(&expired(self.identity.principal.credential()));
                return Some(ClientEnd::Expired);
            }
        }
        let fault = match self.awaits() {
            Awaits::Server => return None,
            Awaits::Client(owes, pace) => self.press(owes, pace, now)?,
            Awaits::Word(limit) => {
                let idle = self.clock.idle_for(now);
                limit.filter(|limit| idle >= *limit)?;
                match &self.link {
                    None => Fault::fatal(
                        SqlState::IDLE_SESSION_TIMEOUT,
                        "terminating connection due to client_idle_timeout",
                    ),
                    Some(_) => idle_in_transaction(),
                }
            }
        };
        self.say_last(&fault);
        Some(ClientEnd::Timeout)
    }

    /// The client has owed something for a while: does what brings it out, and says why the session ends if it is too slow.
    fn press(&mut self, owes: Owes, pace: Pace, now: Instant) -> Option<Fault> {
        match owes {
            Owes::Reading => {
                self.client.push_out();
                if self.client.outbox.is_empty() {
                    return None;
                }
            }
            // Asked for its answers, the server shows whether it is at work.
            Owes::Sync => {
                if let Some(link) = &mut self.link {
                    link.flush();
                }
                return None;
            }
            Owes::Sending => {}
        }
        match self.clock.look(self.client.moved, pace, now) {
            Progress::Open => None,
            Progress::Enough => {
                // What took so long was no idleness.
                self.clock.is_idle_from(now);
                None
            }
            Progress::TooLittle if Some(pace) == self.shared.settings.pace => Some(too_slow(pace)),
            Progress::TooLittle => Some(idle_in_transaction()),
        }
    }

    /// What ends the session, where it can be said: in the middle of a message of the server's it cannot.
    pub(in crate::session) fn say_last(&mut self, fault: &Fault) {
        if self.answers.is_between_frames() {
            self.say(fault);
        }
    }
}

/// Whether the server has nothing to do until the client speaks.
pub(in crate::session) fn waits_for_client(link: &Link) -> bool {
    link.replies.is_empty()
        && link.upstream.is_empty()
        && (!link.batch.is_synced() || link.block.status() != TransactionStatus::Idle)
}

/// The error of a client that has sat in its transaction without a word.
fn idle_in_transaction() -> Fault {
    Fault::fatal(
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        "terminating connection due to idle_transaction_timeout",
    )
}

/// The error of a client that has kept a server connection waiting.
pub(in crate::session) fn too_slow(pace: Pace) -> Fault {
    Fault::fatal(
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        "terminating connection due to client_progress_timeout",
    )
    .with_detail(format!(
        "Its server connection waited for the client, of whose bytes fewer than {} have moved in {} ms.",
        pace.bytes.max(1),
        pace.window.as_millis()
    ))
    .with_hint(
        "A client has to read its answers, to finish what it has begun to send, and to end its batches with Sync.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        window: Duration::from_secs(16),
        bytes: 1_000,
    };

    fn later(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn enough_in_each_window_is_enough_and_a_byte_now_and_then_is_not() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        assert_eq!(watch.due(Owes::Sending, 5, PACE), Some(later(start, 16)));
        assert_eq!(watch.look(900, PACE, later(start, 15)), Progress::Open);
        assert_eq!(watch.look(1_005, PACE, later(start, 16)), Progress::Enough);
        // What was too much in one window does not count in the next.
        assert_eq!(watch.due(Owes::Sending, 1_005, PACE), Some(later(start, 32)));
        assert_eq!(watch.look(2_004, PACE, later(start, 32)), Progress::TooLittle);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_is_looked_at_often_and_goes_on_while_the_server_speaks() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        for look in 1..16 {
            assert_eq!(watch.due(Owes::Reading, 0, PACE), Some(later(start, look)));
            watch.server_has_spoken();
            assert_eq!(watch.look(0, PACE, later(start, look)), Progress::Open);
        }
        assert_eq!(watch.look(999, PACE, later(start, 16)), Progress::TooLittle);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_owed_anew_has_a_window_of_its_own() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        watch.due(Owes::Sending, 0, PACE);
        tokio::time::advance(Duration::from_secs(10)).await;
        watch.server_has_spoken();
        assert_eq!(watch.due(Owes::Sending, 0, PACE), Some(later(start, 26)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(watch.due(Owes::Sync, 0, PACE), Some(later(start, 16)));
        watch.lapse();
        assert_eq!(watch.look(0, PACE, later(start, 99)), Progress::Open);
    }

    #[test]
    fn a_shorter_window_wants_as_much_a_second() {
        let half = Pace {
            window: Duration::from_secs(8),
            bytes: 500,
        };
        assert_eq!(PACE.within(Some(Duration::from_secs(8))), half);
        assert_eq!(PACE.within(Some(Duration::from_secs(99))), PACE);
        assert_eq!(PACE.within(None), PACE);
    }
}
