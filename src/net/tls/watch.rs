//! Watches certificates' files in the background.

use std::sync::Arc;
use std::time::Duration;

use super::TlsError;
use crate::base::{Drain, Event, Events, Looks, Phase, Told};

/// How often the files are looked at: renewals are rare, and their old certificates last for days.
const INTERVAL: Duration = Duration::from_secs(2);

/// Certificates and keys in force that come from files.
pub trait Certificates: Send + Sync {
    /// Their files, for the log.
    fn name(&self) -> String;

    /// Reads the files again if they have changed; says whether they had. After an error the last good
    /// ones stay in force, and the next call tries again. Blocks on the file system.
    ///
    /// # Errors
    /// As when they were first read.
    fn refresh(&self) -> Result<bool, TlsError>;
}

/// Puts changed files into force, at once on SIGHUP, until the drain says stop. Returns at once if there is nothing to watch.
///
/// # Cancel safety
/// Cancel safe: what is read is put into force whole or not at all.
pub async fn watch(watched: Vec<Arc<dyn Certificates>>, events: Events, drain: Drain) {
    let mut looks = Looks::every(INTERVAL, drain, Phase::Stopping);
    let mut watched: Vec<_> = watched
        .into_iter()
        .map(|certificates| (certificates, Told::default()))
        .collect();
    while !watched.is_empty() && looks.next().await.is_some() {
        for (certificates, told) in &mut watched {
            let reading = Arc::clone(certificates);
            let Ok(outcome) = tokio::task::spawn_blocking(move || reading.refresh()).await else {
                continue;
            };
            let outcome = outcome.map_err(|error| error.to_string());
            if told.is_news(&outcome) {
                events.emit(&Event::CertificatesReloaded {
                    files: &certificates.name(),
                    error: outcome.as_ref().err().map(String::as_str),
                });
            }
        }
    }
}
