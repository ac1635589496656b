//! Folders of a cluster: who may enter them, and how they go away.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::DevError;
use super::account::{Account, command};
use super::error::while_doing;

/// What the name of every temporary folder begins with; nothing else is ever removed.
pub(super) const RUN_PREFIX: &str = "portcullis-dev-";

/// Longest path of a Unix socket: 104 bytes with its terminator on macOS and the BSDs, 108 on Linux (sys/un.h).
const SOCKET_PATH_BYTES: usize = 103;

/// Makes the folder that holds this run's files. Other accounts may pass through it only when Postgres runs as one.
pub(super) fn temporary(account: Option<&Account>) -> Result<TempDir, DevError> {
    let mode = if account.is_some() { 0o711 } else { 0o700 };
    let mut builder = tempfile::Builder::new();
    builder
        .prefix(RUN_PREFIX)
        .permissions(fs::Permissions::from_mode(mode));
    let preferred = std::env::temp_dir();
    let base = if socket_fits(&preferred) {
        preferred
    } else {
        PathBuf::from("/tmp")
    };
    builder
        .tempdir_in(&base)
        .map_err(while_doing(|| format!("make a folder in {}", base.display())))
}

/// Makes a folder that belongs to the server alone. One that exists already is left as it is.
pub(super) fn private(path: &Path, account: Option<&Account>) -> Result<(), DevError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(e) => return Err(while_doing(|| format!("make {}", path.display()))(e)),
    }
    if let Some(account) = account {
        let give = chown(path, Some(account.uid), Some(account.gid));
        give.map_err(while_doing(|| {
            format!("give {} to {}", path.display(), account.name)
        }))?;
    }
    Ok(())
}

/// Writes a file that only we may read, in place of one that is there.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), DevError> {
    let doing = || format!("write {}", path.display());
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(while_doing(doing)(e)),
        _ => {}
    }
    // Made anew: the mode of a file that exists is not changed by opening it.
    let file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(while_doing(doing))
}

/// Checks that the server's account can get to `path`, and names the folder that stops it.
pub(super) fn reachable(
    path: &Path,
    account: Option<&Account>,
    remedy: &'static str,
) -> Result<(), DevError> {
    let Some(account) = account else {
        return Ok(());
    };
    if enters(path, account) {
        return Ok(());
    }
    let mut folders: Vec<&Path> = path.ancestors().collect();
    folders.reverse();
    let closed = folders
        .into_iter()
        .find(|folder| !enters(folder, account))
        .unwrap_or(path);
    Err(DevError::Unreachable {
        account: account.name.clone(),
        folder: closed.to_owned(),
        wanted: path.to_owned(),
        remedy,
    })
}

/// Removes a folder and all in it, again and again until `limit`: a server that was killed has children that
/// write for a moment longer.
pub(super) fn remove(path: &Path, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if Instant::now() >= deadline => return Err(e),
            Err(_) => sleep(Duration::from_millis(50)),
        }
    }
}

/// Asks the system itself by trying: mode bits alone would miss access lists and security modules.
fn enters(folder: &Path, account: &Account) -> bool {
    let mut shell = command(Path::new("sh"), Some(account));
    shell
        .args(["-c", "cd \"$1\" 2>/dev/null", "sh"])
        .arg(folder)
        .current_dir("/");
    shell.status().is_ok_and(|status| status.success())
}

fn socket_fits(base: &Path) -> bool {
    let longest = base.join(RUN_PREFIX).join("123456/socket/.s.PGSQL.65535");
    longest.as_os_str().len() <= SOCKET_PATH_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_base_has_no_room_for_the_socket() {
        assert!(socket_fits(Path::new("/tmp")));
        assert!(socket_fits(Path::new(
            "/var/folders/xx/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy/T"
        )));
        assert!(!socket_fits(Path::new(&format!("/{}", "d".repeat(90)))));
    }

    #[test]
    fn removing_what_is_gone_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c"), "x").unwrap();
        remove(folder.path(), Duration::ZERO).unwrap();
        assert!(!folder.path().exists());
        remove(folder.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn a_private_folder_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        private(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        private(&path, None).unwrap();
    }

    #[test]
    fn a_private_file_is_closed_to_others_even_if_it_was_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "a longer old text").unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_folder_that_stops_the_account_is_named() {
        let base = tempfile::tempdir().unwrap();
        let Some(account) = Account::choose(Path::new("/nonexistent")).unwrap() else {
            return; // Not root: nobody to drop to, so nothing to check.
        };
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let closed = base.path().join("closed");
        fs::create_dir_all(closed.join("deep/deeper")).unwrap();
        reachable(&closed.join("deep"), Some(&account), "--data").unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let error = reachable(&closed.join("deep/deeper"), Some(&account), "--data").unwrap_err();
        let DevError::Unreachable { folder, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(folder, &closed);
        assert!(error.to_string().contains("chmod o+x"), "{error}");
    }
}
