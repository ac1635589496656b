//! The password of a login, where it is known and where each connection has to look for it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::ServerError;
use crate::base::Secret;

/// Longest password file, in bytes.
const PASSWORD_BYTES: u64 = 64 * 1024;

/// What a login proves itself with.
#[derive(Clone, Debug)]
pub enum Password {
    /// Nothing: the server trusts us.
    Absent,
    /// This.
    Known(Secret),
    /// What a file holds at the moment of the login, so that a fleet's passwords are neither read at start nor kept.
    InFile(PathBuf),
}

/// The password that a file holds now.
///
/// # Errors
/// [`ServerError::PasswordFile`]: the file cannot be read, is empty, or is no file of a password.
///
/// # Cancel safety
/// Cancel safe: nothing is changed.
pub(super) async fn read(path: &Path) -> Result<Secret, ServerError> {
    let asked = path.to_owned();
    let read = tokio::task::spawn_blocking(move || text_of(&asked)).await;
    read.unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|cause| ServerError::PasswordFile {
            path: path.to_owned(),
            cause,
        })
}

impl Password {
    /// The password as it is now, if there is one. Blocks on the file system.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or is no file of a password.
    pub fn look_up(&self) -> io::Result<Option<Secret>> {
        match self {
            Self::Absent => Ok(None),
            Self::Known(secret) => Ok(Some(secret.clone())),
            Self::InFile(path) => text_of(path).map(Some),
        }
    }
}

/// The text of a file without the line break that an editor or `echo` ends it with.
fn text_of(path: &Path) -> io::Result<Secret> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(PASSWORD_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.is_empty() || bytes.len() as u64 > PASSWORD_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("holds no password of 1 to {PASSWORD_BYTES} bytes"),
        ));
    }
    Ok(Secret::new(bytes))
}
