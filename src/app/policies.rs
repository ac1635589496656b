//! Puts changed policies into force while the proxy runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::base::{Drain, Event, Events, Phase};
use crate::config::PolicyFile;
use crate::guard::Guard;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads policies again when their files change, or at once on SIGHUP, until the drain says stop. A file with a
/// mistake leaves the old policy in force; each mistake is told once.
///
/// # Cancel safety
/// Cancel safe: a policy is put into force whole or not at all.
pub(super) async fn watch(mut files: Vec<PolicyFile>, guard: Arc<Guard>, events: Events, mut drain: Drain) {
    let mut rounds = interval(INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Without the signal the files are looked at all the same.
    let mut hangup = signal(SignalKind::hangup()).ok();
    loop {
        tokio::select! {
            _ = rounds.tick(), if !files.is_empty() => {}
            () = next(&mut hangup) => {}
            () = drain.reached(Phase::Stopping) => return,
        }
        let reading = tokio::task::spawn_blocking(move || {
            let read: Vec<_> = files
                .iter_mut()
                .filter_map(|file| Some((file.name().to_owned(), file.refresh()?)))
                .collect();
            (files, read)
        });
        let Ok((same, read)) = reading.await else { return };
        files = same;
        for (name, outcome) in read {
            let policy = name.as_str();
            match outcome {
                Ok(changed) => {
                    guard.replace(changed);
                    events.emit(&Event::PolicyReloaded { policy, error: None });
                }
                Err(mistakes) => {
                    for mistake in mistakes {
                        let error = mistake.to_string();
                        events.emit(&Event::PolicyReloaded {
                            policy,
                            error: Some(&error),
                        });
                    }
                }
            }
        }
    }
}

/// The next SIGHUP.
async fn next(hangup: &mut Option<Signal>) {
    let Some(hangup) = hangup else {
        return std::future::pending().await;
    };
    if hangup.recv().await.is_none() {
        std::future::pending().await
    }
}
