//! Puts changed policies into force while the proxy runs.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Drain, Event, Events, Looks, Phase};
use crate::config::PolicyFile;
use crate::guard::Guard;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads policies again when their files change, or at once on SIGHUP, until the drain says stop. A file with a
/// mistake leaves the old policy in force; each mistake is told once.
///
/// # Cancel safety
/// Cancel safe: a policy is put into force whole or not at all.
pub(super) async fn watch(mut files: Vec<PolicyFile>, guard: Arc<Guard>, events: Events, drain: Drain) {
    let mut looks = Looks::every(INTERVAL, drain, Phase::Stopping);
    while !files.is_empty() && looks.next().await.is_some() {
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
