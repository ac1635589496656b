//! Where clients are until they have logged in.
//!
//! Whoever has proved nothing yet may be anybody, so there is a bound to how many of them there are. It must not be in
//! the hands of somebody who opens sockets and says nothing: when the room is full, the address that has most in it gives
//! one up, the one that has done nothing for longest, and one that has not said a word before others. Who has logged in
//! and only waits for us is left alone.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

/// By how much somebody who has not said a word counts as longer there than somebody who has.
const SILENCE: Duration = Duration::from_secs(5);

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// In all.
    pub total: usize,
    /// Of one address; of IPv6 a /64, which is what one customer of a network has.
    pub of_address: usize,
}

/// An address that counts as one client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Origin {
    V4(u32),
    /// The network's half.
    V6(u64),
}

/// When somebody has last got on with its login, in microseconds, and its number.
type Rank = (u64, u64);

/// The books of the room: pure, each transition takes O(log n). `W` tells somebody that it has to go.
#[derive(Debug)]
struct Books<W> {
    limits: RoomLimits,
    opened: Instant,
    places: HashMap<u64, Seat<W>, RandomState>,
    parties: HashMap<Origin, Party, RandomState>,
    /// Parties that can give somebody up, by how many they are, then by who has done nothing for longest.
    crowds: BTreeSet<(usize, Reverse<Rank>, Origin)>,
    next: u64,
}

#[derive(Debug)]
struct Seat<W> {
    origin: Origin,
    /// `None` while it is not to be sent away.
    rank: Option<Rank>,
    bell: W,
}

/// All of one address.
#[derive(Debug, Default)]
struct Party {
    count: usize,
    ranks: BTreeSet<Rank>,
}

/// What comes of somebody who knocks.
#[derive(Debug, PartialEq, Eq)]
enum Knock<W> {
    /// A place; the other one has lost its own.
    Enter(u64, Option<W>),
    /// There is none, and nobody who should rather go.
    Full,
}

impl From<SocketAddr> for Origin {
    fn from(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6(u64::try_from(ip.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }
}

impl<W: Default> Books<W> {
    fn new(limits: RoomLimits, opened: Instant) -> Self {
        Self {
            limits,
            opened,
            places: HashMap::default(),
            parties: HashMap::default(),
            crowds: BTreeSet::new(),
            next: 0,
        }
    }

    /// Somebody comes from there and has said nothing yet.
    fn knock(&mut self, origin: Origin, now: Instant) -> Knock<W> {
        let own = self.parties.get(&origin).map_or(0, |party| party.count);
        let crowd = self.crowds.last().copied();
        let loser = if own >= self.limits.of_address {
            Some(origin)
        } else if self.places.len() < self.limits.total {
            None
        } else {
            // Those who knock count among their own: where they are most, one of them goes or the knock is not heard.
            match crowd {
                Some((count, _, largest)) if count > own => Some(largest),
                Some(_) | None => Some(origin),
            }
        };
        let lost = match loser.map(|origin| self.send_away(origin)) {
            Some(None) => return Knock::Full,
            Some(lost) => lost,
            None => None,
        };
        let number = self.next;
        self.next += 1;
        let rank = Some((self.micros(now), number));
        self.places.insert(
            number,
            Seat {
                origin,
                rank,
                bell: W::default(),
            },
        );
        self.change(origin, |party| {
            party.count += 1;
            party.ranks.extend(rank);
        });
        Knock::Enter(number, lost)
    }

    /// Whoever should go first of all goes.
    fn send_first_away(&mut self) -> Option<W> {
        let (_, _, origin) = self.crowds.last().copied()?;
        self.send_away(origin)
    }

    /// Whoever of an address should go first goes.
    fn send_away(&mut self, origin: Origin) -> Option<W> {
        let (_, number) = self.parties.get(&origin)?.ranks.first().copied()?;
        self.leave(number)
    }

    /// Somebody has got on with its login.
    fn get_on(&mut self, number: u64, now: Instant) {
        let spoken = u64::try_from(SILENCE.as_micros()).unwrap_or(u64::MAX);
        let rank = (self.micros(now).saturating_add(spoken), number);
        self.rank(number, Some(rank));
    }

    /// Somebody is not to be sent away.
    fn keep(&mut self, number: u64) {
        self.rank(number, None);
    }

    /// Somebody has been refused, and is only there to read why.
    fn dismiss(&mut self, number: u64) {
        self.rank(number, Some((0, number)));
    }

    /// Somebody leaves, or was sent away before.
    fn leave(&mut self, number: u64) -> Option<W> {
        let seat = self.places.remove(&number)?;
        self.change(seat.origin, |party| {
            party.count -= 1;
            if let Some(rank) = seat.rank {
                party.ranks.remove(&rank);
            }
        });
        Some(seat.bell)
    }

    fn rank(&mut self, number: u64, rank: Option<Rank>) {
        let Some(seat) = self.places.get_mut(&number) else {
            return;
        };
        let before = std::mem::replace(&mut seat.rank, rank);
        let origin = seat.origin;
        self.change(origin, |party| {
            if let Some(before) = before {
                party.ranks.remove(&before);
            }
            party.ranks.extend(rank);
        });
    }

    /// Changes a party, and its place among the crowds with it.
    fn change(&mut self, origin: Origin, change: impl FnOnce(&mut Party)) {
        let party = self.parties.entry(origin).or_default();
        let before = party.crowd(origin);
        change(party);
        let after = party.crowd(origin);
        if party.count == 0 {
            self.parties.remove(&origin);
        }
        if before != after {
            before.map(|crowd| self.crowds.remove(&crowd));
            self.crowds.extend(after);
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.opened).as_micros();
        // Behind those who were dismissed.
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl Party {
    fn crowd(&self, origin: Origin) -> Option<(usize, Reverse<Rank>, Origin)> {
        let first = self.ranks.first()?;
        Some((self.count, Reverse(*first), origin))
    }
}

/// The room, shared by all who are in it.
#[derive(Debug)]
pub(super) struct WaitingRoom(Mutex<Books<Option<Waker>>>);

/// A client's place; given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<WaitingRoom>,
    number: u64,
}

impl WaitingRoom {
    pub(super) fn new(limits: RoomLimits) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Books::new(limits, Instant::now()))))
    }

    /// A place for a client from there; `None` if there is none and nobody who should rather go.
    pub(super) fn enter(self: &Arc<Self>, address: SocketAddr) -> Option<Place> {
        let knock = self.0.lock().knock(address.into(), Instant::now());
        let Knock::Enter(number, lost) = knock else {
            return None;
        };
        if let Some(waker) = lost.flatten() {
            waker.wake();
        }
        Some(Place {
            room: Arc::clone(self),
            number,
        })
    }

    /// Sends away whoever should go first, for want of something that each of them has. Says whether there was anybody.
    pub(super) fn make_room(&self) -> bool {
        let lost = self.0.lock().send_first_away();
        let somebody = lost.is_some();
        if let Some(waker) = lost.flatten() {
            waker.wake();
        }
        somebody
    }
}

impl Place {
    /// The client has got on with its login: it has said its first word, or sent all that was asked for.
    pub(super) fn get_on(&self) {
        self.room.0.lock().get_on(self.number, Instant::now());
    }

    /// The client is who it says: it waits for us, and is not sent away any more.
    pub(super) fn keep(&self) {
        self.room.0.lock().keep(self.number);
    }

    /// The client has been refused. Its place is the first that others get.
    pub(super) fn dismiss(&self) {
        self.room.0.lock().dismiss(self.number);
    }

    /// Ready when the place was given to somebody else. Wakes the task that has asked last.
    pub(super) fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.room.0.lock().places.get_mut(&self.number) {
            None => return Poll::Ready(()),
            Some(Seat {
                bell: Some(waker), ..
            }) => waker.clone_from(cx.waker()),
            Some(seat) => seat.bell = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.0.lock().leave(self.number);
    }
}

#[cfg(test)]
mod tests;
