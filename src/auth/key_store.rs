//! An issuer's keys over time: read, refreshed, replaced; the last good set stays when a refresh fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::fetch::{self, FetchError, Remote};
use super::jwks::{self, SymmetricKeys};
use super::keys::{Key, KeySet};
use super::{KeySource, SetupReason};
use crate::base::{Drain, Event, Events, Looks, Phase, Stamp};

/// Least time between two looks at a key set file. A look is one `stat`.
const FILE_INTERVAL: Duration = Duration::from_secs(2);

/// A key set and which one it is.
#[derive(Debug)]
pub(super) struct Edition {
    pub(super) keys: KeySet,
    /// Differs between any two sets of one store, so that what an older set has verified can be told.
    pub(super) generation: u64,
    /// SHA-256 of the document, to tell whether a fetch brought anything new.
    digest: [u8; 32],
}

/// The keys of one issuer.
pub(super) struct KeyStore {
    issuer: String,
    source: Source,
    events: Events,
    edition: RwLock<Option<Arc<Edition>>>,
    flight: Mutex<Flight>,
}

enum Source {
    /// A secret or a PEM key, which never changes.
    Fixed,
    File(PathBuf),
    Url {
        remote: Remote,
        refresh_interval: Duration,
        min_interval: Duration,
    },
}

/// The one refresh that may run at a time.
#[derive(Default)]
struct Flight {
    started: Option<Instant>,
    /// Its sender lives as long as the refresh runs, however that ends.
    landed: Option<watch::Receiver<()>>,
    /// What the last one came to.
    failure: Option<String>,
    /// What the file looked like that was read last.
    stamp: Option<Stamp>,
}

impl KeyStore {
    /// Reads what is on this machine; a URL is fetched when it is first needed or by [`KeyStore::run`].
    pub(super) fn new(issuer: &str, source: &KeySource, events: Events) -> Result<Arc<Self>, SetupReason> {
        let mut flight = Flight::default();
        let (source, keys) = match source {
            KeySource::Secret(secret) => (Source::Fixed, Some(KeySet::Single(Key::from_secret(secret)?))),
            KeySource::Pem(pem) => (Source::Fixed, Some(KeySet::Single(Key::from_pem(pem)?))),
            KeySource::JwksFile(path) => {
                let unusable = |reason: String| SetupReason::KeyFile {
                    path: path.display().to_string(),
                    reason,
                };
                flight.stamp = Some(Stamp::of(path).map_err(|error| unusable(error.to_string()))?);
                let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
                if text.len() > fetch::FILE_BYTES {
                    return Err(unusable(FetchError::TooLarge(fetch::FILE_BYTES).to_string()));
                }
                let keys =
                    jwks::parse(&text, SymmetricKeys::Use).map_err(|error| unusable(error.to_string()))?;
                (Source::File(path.clone()), Some(keys))
            }
            KeySource::JwksUrl {
                url,
                refresh_interval,
                min_interval,
                timeout,
                max_bytes,
            } => {
                if min_interval.is_zero() || timeout.is_zero() || *max_bytes == 0 {
                    let told = "the least interval, the timeout and the largest size must be more than 0";
                    return Err(SetupReason::BadInterval(told));
                }
                if refresh_interval < min_interval {
                    let told = "the refresh interval is shorter than the least interval between two fetches";
                    return Err(SetupReason::BadInterval(told));
                }
                let source = Source::Url {
                    remote: Remote::new(url, *timeout, *max_bytes)?,
                    refresh_interval: *refresh_interval,
                    min_interval: *min_interval,
                };
                (source, None)
            }
        };
        let edition = keys.map(|keys| {
            Arc::new(Edition {
                keys,
                generation: 0,
                digest: [0; 32],
            })
        });
        Ok(Arc::new(Self {
            issuer: issuer.to_owned(),
            source,
            events,
            edition: RwLock::new(edition),
            flight: Mutex::new(flight),
        }))
    }

    /// The set in force; `None` if none could be read yet.
    pub(super) fn edition(&self) -> Option<Arc<Edition>> {
        self.edition.read().clone()
    }

    /// The set in force, after a look at the file if that is due, or a first fetch. Cancel safe.
    pub(super) async fn fresh_edition(self: &Arc<Self>) -> Option<Arc<Edition>> {
        let needs_look = match &self.source {
            Source::Fixed => false,
            Source::File(_) => true,
            Source::Url { .. } => self.edition.read().is_none(),
        };
        if needs_look {
            self.refresh().await;
        }
        self.edition()
    }

    /// Refreshes the set, or waits for the refresh that is running. Does nothing if the last one was begun
    /// less than the least interval ago: whoever sends tokens with invented key ids causes one fetch per
    /// interval, not one each.
    ///
    /// Cancel safe: the refresh is a task of its own, so a client that hangs up neither stops it for the
    /// others that wait nor keeps them waiting.
    pub(super) async fn refresh(self: &Arc<Self>) {
        if let Some(mut landed) = self.join_flight() {
            // Nothing is ever sent: the error is the news that the refresh has ended.
            let _ = landed.changed().await;
        }
    }

    /// What the last refresh came to: `None` if it went well or there was none.
    pub(super) fn failure(&self) -> Option<String> {
        self.flight.lock().failure.clone()
    }

    /// Keeps the set fresh until the drain begins. Cancel safe.
    pub(super) async fn run(self: Arc<Self>, mut drain: Drain) {
        if matches!(self.source, Source::File(_)) {
            return self.watch_file(drain).await;
        }
        let mut failures = 0;
        loop {
            tokio::select! {
                () = drain.reached(Phase::Draining) => return,
                () = self.refresh() => {}
            }
            let wait = match &self.source {
                Source::Fixed | Source::File(_) => return,
                Source::Url {
                    refresh_interval,
                    min_interval,
                    ..
                } => {
                    failures = if self.failure().is_some() { failures + 1 } else { 0 };
                    retry_after(failures, *min_interval, *refresh_interval)
                }
            };
            tokio::select! {
                () = drain.reached(Phase::Draining) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn watch_file(self: Arc<Self>, drain: Drain) {
        let mut looks = Looks::every(FILE_INTERVAL, drain, Phase::Draining);
        while looks.next().await.is_some() {
            // It is time, whoever else may have looked a moment ago.
            self.flight.lock().started = None;
            self.refresh().await;
        }
    }

    fn join_flight(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let min_interval = match &self.source {
            Source::Fixed => return None,
            Source::File(_) => FILE_INTERVAL,
            Source::Url { min_interval, .. } => *min_interval,
        };
        let mut flight = self.flight.lock();
        if let Some(landed) = &flight.landed
            && landed.has_changed().is_ok()
        {
            return Some(landed.clone());
        }
        if flight
            .started
            .is_some_and(|started| started.elapsed() < min_interval)
        {
            return None;
        }
        let (airborne, landed) = watch::channel(());
        flight.started = Some(Instant::now());
        flight.landed = Some(landed.clone());
        let store = Arc::clone(self);
        tokio::spawn(async move {
            store.load().await;
            drop(airborne);
        });
        Some(landed)
    }

    async fn load(&self) {
        match &self.source {
            Source::Fixed => {}
            Source::File(path) => {
                // The stamp is taken first: a change while we read is seen by the next look.
                let looked_at = path.clone();
                let look = tokio::task::spawn_blocking(move || Stamp::of(&looked_at)).await;
                match look.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                    Ok(stamp) if self.flight.lock().stamp == Some(stamp) => {}
                    Ok(stamp) => {
                        let body = fetch::read_file(path).await;
                        if body.is_ok() {
                            self.flight.lock().stamp = Some(stamp);
                        }
                        self.settle(body, SymmetricKeys::Use);
                    }
                    Err(error) => {
                        // So that the file is read again when it is back, even if it is the same.
                        self.flight.lock().stamp = None;
                        self.settle(Err(error.into()), SymmetricKeys::Use);
                    }
                }
            }
            Source::Url { remote, .. } => self.settle(remote.fetch().await, SymmetricKeys::Ignore),
        }
    }

    /// Puts a new set in force, or keeps the old one.
    fn settle(&self, body: Result<Vec<u8>, FetchError>, symmetric: SymmetricKeys) {
        let read = body.map_err(|error| error.to_string()).and_then(|body| {
            let keys = jwks::parse(&body, symmetric).map_err(|error| error.to_string())?;
            Ok((keys, Sha256::digest(&body).into()))
        });
        let failure = match read {
            Ok((keys, digest)) => {
                self.replace(keys, digest);
                None
            }
            Err(failure) => Some(failure),
        };
        let before = std::mem::replace(&mut self.flight.lock().failure, failure.clone());
        // A file is looked at every few seconds: what has been said once is not said again.
        if matches!(self.source, Source::File(_)) && failure.is_some() && failure == before {
            return;
        }
        if let Some(failure) = &failure {
            tracing::warn!(issuer = %self.issuer, reason = %failure, "keys were not refreshed");
        }
        self.events.emit(&Event::KeysRefreshed {
            issuer: &self.issuer,
            error: failure.as_deref(),
        });
    }

    fn replace(&self, keys: KeySet, digest: [u8; 32]) {
        let mut edition = self.edition.write();
        if edition.as_ref().is_some_and(|old| old.digest == digest) {
            return;
        }
        let generation = edition.as_ref().map_or(0, |old| old.generation + 1);
        tracing::info!(issuer = %self.issuer, keys = keys.len(), generation, "new keys are in force");
        *edition = Some(Arc::new(Edition {
            keys,
            generation,
            digest,
        }));
    }
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyStore")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// After how long to fetch again: soon after a failure, then ever later, at the latest when it would be due
/// anyway.
fn retry_after(failures: u32, min_interval: Duration, refresh_interval: Duration) -> Duration {
    match failures.checked_sub(1) {
        None => refresh_interval,
        Some(doublings) => min_interval
            .saturating_mul(2u32.saturating_pow(doublings))
            .min(refresh_interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_back_off_up_to_the_refresh_interval() {
        let waits: Vec<u64> = [0, 1, 2, 3, 4, 5, 100, u32::MAX]
            .map(|failures| retry_after(failures, Duration::from_secs(10), Duration::from_secs(60)).as_secs())
            .to_vec();
        assert_eq!(waits, [60, 10, 20, 40, 60, 60, 60, 60]);
    }
}
