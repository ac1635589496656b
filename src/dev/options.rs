//! How a cluster is to be started.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Binaries, DevError};

/// Where the data lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDir {
    /// In a temporary folder that goes away with the cluster.
    Temporary,
    /// In this folder, which is made if need be and used again next time: the data in `postgres/`, the last run's
    /// log in `server.log`.
    Kept(PathBuf),
}

impl DataDir {
    /// The newest binaries of this machine, or those of the version that made the data that is kept here.
    ///
    /// # Errors
    /// As [`Binaries::find`]. Where the version that made the data is missing, the newest are given, and
    /// [`super::Cluster::start`] says that they do not fit.
    pub fn matching_binaries(&self) -> Result<Binaries, DevError> {
        let made_by = match self {
            Self::Temporary => None,
            Self::Kept(folder) => major_of(&folder.join("postgres")),
        };
        match made_by.and_then(Binaries::find_major) {
            Some(binaries) => Ok(binaries),
            None => Binaries::find(),
        }
    }
}

/// How a cluster is to be started.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// What to run.
    pub binaries: Binaries,
    /// Where the data lives.
    pub data: DataDir,
    /// The TCP port on 127.0.0.1; none picks a free one.
    pub port: Option<u16>,
    /// Server settings on top of ours, e.g. `("max_connections", "20")`.
    pub settings: Vec<(String, String)>,
    /// Lines of pg_hba.conf ahead of ours.
    pub hba: Vec<String>,
    /// The `portcullis` program, which clears up as a watchdog if this process is killed; none does without.
    pub watchdog: Option<PathBuf>,
}

impl ClusterOptions {
    /// A cluster that goes away, with nothing special.
    pub fn temporary(binaries: Binaries) -> Self {
        let (settings, hba) = (Vec::new(), Vec::new());
        Self {
            binaries,
            data: DataDir::Temporary,
            port: None,
            settings,
            hba,
            watchdog: None,
        }
    }

    /// Adds a server setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The major version that made a data directory.
pub(super) fn major_of(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}
