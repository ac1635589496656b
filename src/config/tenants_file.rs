//! The tenants file: read at start, and again when it has changed.

use std::path::{Path, PathBuf};

use super::Mistake;
use super::check::tenants::Frame;
use crate::base::{Look, Seen};
use crate::tenant::Settings;

/// The tenants file, as it was when it was read last, and what it has to fit: the configuration that the process runs by.
#[derive(Debug)]
pub struct TenantsFile {
    path: PathBuf,
    seen: Seen,
    /// What it looked like at the last look, if that was not as when it was read.
    changing: Option<Seen>,
    frame: Frame,
}

impl TenantsFile {
    /// A file that looked like this when it was read.
    pub(super) fn new(path: PathBuf, seen: Seen, frame: Frame) -> Self {
        Self {
            path,
            seen,
            changing: None,
            frame,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory again if the file has changed; `None` if it has not, or is still being written: at a look
    /// between others it has to look as it did at the one before. Blocks on the file system.
    ///
    /// # Errors
    /// As when it was read first. It counts as unchanged until it changes again.
    pub fn refresh(&mut self, look: Look) -> Option<Result<Settings, Vec<Mistake>>> {
        let now = self.seen.again();
        if now == self.seen {
            self.changing = None;
            return None;
        }
        let before = self.changing.replace(now.clone());
        if look == Look::Round && before.as_ref() != Some(&now) {
            return None;
        }
        let read = self.frame.read(&self.path);
        // Half of what was there before and half of what is there now may be a file as well.
        if now.have_changed() {
            return None;
        }
        self.seen = now;
        Some(read)
    }
}
