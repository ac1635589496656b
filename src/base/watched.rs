//! Files that may change while the process runs, and what was made of them.
//!
//! Everything here blocks on the file system: call it from a thread that may.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

/// What a file looked like: enough to notice that it was written, replaced, or may be read now by somebody who could not.
/// A link is followed, so that the switched links of a mounted Kubernetes secret are noticed too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// When its content and when anything about it has changed: seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// What the file looks like now.
    ///
    /// # Errors
    /// It cannot be looked at; most often it is not there.
    pub fn of(path: &Path) -> io::Result<Self> {
        let seen = fs::metadata(path)?;
        Ok(Self {
            device: seen.dev(),
            inode: seen.ino(),
            size: seen.size(),
            modified: (seen.mtime(), seen.mtime_nsec()),
            changed: (seen.ctime(), seen.ctime_nsec()),
        })
    }
}

/// Files that something is made of, and what each looked like just before it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(Vec<(PathBuf, Option<Stamp>)>);

impl Seen {
    /// Notes a file that is about to be read. Ahead of the reading: a file that changes meanwhile is then read again.
    pub fn note(&mut self, path: &Path) {
        self.0.push((path.to_owned(), Stamp::of(path).ok()));
    }

    /// Whether any of the files looks different now.
    pub fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, seen)| Stamp::of(path).ok() != *seen)
    }

    /// The same files as they look now.
    #[must_use]
    pub fn again(&self) -> Self {
        let mut now = Self::default();
        self.0.iter().for_each(|(path, _)| now.note(path));
        now
    }
}

/// Makes something of files, and notes each file ahead of reading it.
type Make<T, E> = dyn Fn(&mut Seen) -> Result<T, E> + Send + Sync;

/// Something made of files, made again when they change. Its readers hold on to what they have got.
pub struct Watched<T, E> {
    make: Box<Make<T, E>>,
    current: RwLock<Arc<T>>,
    seen: Mutex<Seen>,
}

impl<T, E> Watched<T, E> {
    /// Makes it for the first time.
    ///
    /// # Errors
    /// As `make`.
    pub fn new(make: impl Fn(&mut Seen) -> Result<T, E> + Send + Sync + 'static) -> Result<Self, E> {
        let mut seen = Seen::default();
        let made = make(&mut seen)?;
        Ok(Self {
            make: Box::new(make),
            current: RwLock::new(Arc::new(made)),
            seen: Mutex::new(seen),
        })
    }

    /// The same of a list of files that is known beforehand.
    ///
    /// # Errors
    /// As `make`.
    pub fn of(
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        Self::new(move |seen| {
            files.iter().for_each(|path| seen.note(path));
            make()
        })
    }

    /// The files that it was made of.
    pub fn files(&self) -> Vec<PathBuf> {
        let seen = self.seen.lock();
        seen.0.iter().map(|(path, _)| path.clone()).collect()
    }

    /// What was made last.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.current.read())
    }

    /// Makes it again if a file has changed, and says whether one had.
    ///
    /// # Errors
    /// As `make`. What was made before stays, and the next call tries again.
    pub fn refresh(&self) -> Result<bool, E> {
        let mut seen = self.seen.lock();
        if !seen.have_changed() {
            return Ok(false);
        }
        let mut now = Seen::default();
        let made = Arc::new((self.make)(&mut now)?);
        *self.current.write() = made;
        *seen = now;
        Ok(true)
    }
}

/// The last failure that was told, so that one that comes with every look is told once.
#[derive(Debug, Default)]
pub struct Told(Option<String>);

impl Told {
    /// Whether the outcome of a look is worth telling: a change, or a failure that is not that of the look before.
    pub fn is_news(&mut self, outcome: &Result<bool, String>) -> bool {
        let error = outcome.as_ref().err();
        let news = match error {
            Some(_) => error != self.0.as_ref(),
            None => *outcome == Ok(true),
        };
        self.0 = error.cloned();
        news
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// The numbers in all of a folder's files.
    fn sum(folder: &Path, names: &'static [&str]) -> Result<Watched<u32, String>, String> {
        let folder = folder.to_owned();
        Watched::new(move |seen| {
            let numbers = names.iter().map(|name| {
                let path = folder.join(name);
                seen.note(&path);
                let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
                text.parse::<u32>().map_err(|error| error.to_string())
            });
            numbers.sum()
        })
    }

    #[test]
    fn a_change_of_any_file_counts_and_a_mistake_leaves_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        fs::write(path("a"), "1").unwrap();
        fs::write(path("b"), "2").unwrap();
        let watched = sum(folder.path(), &["a", "b"]).unwrap();
        assert_eq!((*watched.get(), watched.refresh()), (3, Ok(false)));
        fs::write(path("b"), "40").unwrap();
        assert_eq!((watched.refresh(), *watched.get()), (Ok(true), 41));
        fs::write(path("a"), "one").unwrap();
        assert!(watched.refresh().is_err() && watched.refresh().is_err());
        assert_eq!(*watched.get(), 41);
        fs::remove_file(path("a")).unwrap();
        assert!(watched.refresh().is_err());
        fs::write(path("a"), "1").unwrap();
        assert_eq!((watched.refresh(), *watched.get()), (Ok(true), 41));
        assert_eq!(watched.refresh(), Ok(false));
    }

    #[test]
    fn a_switched_link_and_new_permissions_are_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        fs::write(path("old"), "1").unwrap();
        fs::write(path("new"), "2").unwrap();
        symlink(path("old"), path("a")).unwrap();
        let watched = sum(folder.path(), &["a"]).unwrap();
        symlink(path("new"), path("next")).unwrap();
        fs::rename(path("next"), path("a")).unwrap();
        assert_eq!((watched.refresh(), *watched.get()), (Ok(true), 2));
        // The clock of the file system may not have moved on since the file was made.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::set_permissions(path("new"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(watched.refresh(), Ok(true));
    }

    #[test]
    fn the_same_failure_is_told_once() {
        let mut told = Told::default();
        let outcomes = [
            (Ok(false), false),
            (Err("a".to_owned()), true),
            (Err("a".to_owned()), false),
            (Err("b".to_owned()), true),
            (Ok(false), false),
            (Err("b".to_owned()), true),
            (Ok(true), true),
        ];
        for (outcome, news) in outcomes {
            assert_eq!(told.is_news(&outcome), news, "{outcome:?}");
        }
    }
}
