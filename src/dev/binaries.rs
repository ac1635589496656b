//! Finding the machine's own PostgreSQL server binaries.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::DevError;

/// The oldest major version that Portcullis serves.
const OLDEST_MAJOR: u32 = 14;

/// Where distributions put server binaries; `*` stands for any one name. Debian and Ubuntu, PGDG on Fedora and
/// its kin, Fedora and Arch themselves, Homebrew on either processor, Postgres.app, MacPorts, FreeBSD.
const USUAL_FOLDERS: [&str; 9] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/opt/local/lib/postgresql*/bin",
    "/usr/local/pgsql/bin",
    "/usr/local/bin",
];

/// A PostgreSQL version, e.g. 15.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The part that decides whether data fits.
    pub major: u32,
    /// The bug-fix release; 0 for development and beta builds.
    pub minor: u32,
}

impl Version {
    /// As `server_version_num` has it: 150018.
    pub fn num(self) -> u32 {
        self.major * 10_000 + self.minor
    }

    /// Reads what `postgres --version` prints, e.g. `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(printed: &str) -> Option<Self> {
        let (_, rest) = printed.split_once("(PostgreSQL) ")?;
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let major = digits(rest);
        let minor = rest
            .get(major.len()..)?
            .strip_prefix('.')
            .map(digits)
            .unwrap_or_default();
        Some(Self {
            // Five digits leave room in `num`.
            major: major.parse().ok().filter(|n| *n < 10_000)?,
            minor: minor.parse().ok().filter(|n| *n < 10_000).unwrap_or(0),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A folder that holds `postgres` and `initdb`, and their version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    version: Version,
}

impl Binaries {
    /// The newest binaries of this machine: PATH, `pg_config --bindir`, then the usual folders.
    ///
    /// # Errors
    /// [`DevError::NoBinaries`], or [`DevError::TooOld`] when there are only old ones.
    pub fn find() -> Result<Self, DevError> {
        newest(Self::all())
    }

    /// Every usable pair of binaries on this machine, newest first.
    pub fn all() -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for folder in candidate_folders() {
            if let Ok(binaries) = Self::probe(&folder)
                && !found.contains(&binaries)
            {
                found.push(binaries);
            }
        }
        // Stable: of two equal versions the one found first stays first.
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.version));
        found
    }

    /// The binaries of major version `major`, where this machine has them.
    pub fn find_major(major: u32) -> Option<Self> {
        Self::all()
            .into_iter()
            .find(|binaries| binaries.version.major == major)
    }

    /// The binaries in one folder.
    ///
    /// # Errors
    /// [`DevError::BadBinaries`] or [`DevError::TooOld`].
    pub fn in_folder(folder: &Path) -> Result<Self, DevError> {
        newest(vec![Self::probe(folder)?])
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version that `postgres --version` gave.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The path of one program, which need not exist.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Resolves symbolic links first: /usr/local/bin/postgres is often a link to one version's folder, where the
    /// other programs are.
    fn probe(folder: &Path) -> Result<Self, DevError> {
        let bad = |reason: String| DevError::BadBinaries {
            folder: folder.to_owned(),
            reason,
        };
        let postgres =
            fs::canonicalize(folder.join("postgres")).map_err(|e| bad(format!("postgres: {e}")))?;
        let folder = postgres.parent().unwrap_or(folder);
        if !folder.join("initdb").is_file() {
            return Err(bad("initdb is missing".to_owned()));
        }
        let output = Command::new(&postgres)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        let output = output.map_err(|e| bad(format!("postgres does not run: {e}")))?;
        let version = Version::parse(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            bad(format!("`postgres --version` gives no version {}", said.trim()))
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            version,
        })
    }
}

/// The first of a list sorted newest first, if it is new enough.
fn newest(sorted: Vec<Binaries>) -> Result<Binaries, DevError> {
    let first = sorted.into_iter().next().ok_or(DevError::NoBinaries)?;
    if first.version.major < OLDEST_MAJOR {
        return Err(DevError::TooOld {
            folder: first.folder,
            found: first.version,
        });
    }
    Ok(first)
}

/// Every folder worth a look, in the order of discovery, without repeats.
fn candidate_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path).filter(|folder| folder.is_absolute()));
    }
    let config = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .output();
    if let Ok(config) = config {
        folders.push(PathBuf::from(String::from_utf8_lossy(&config.stdout).trim()));
    }
    for pattern in USUAL_FOLDERS {
        folders.extend(expand(Path::new(pattern)));
    }
    let mut unique: Vec<PathBuf> = Vec::new();
    for folder in folders {
        if !unique.contains(&folder) {
            unique.push(folder);
        }
    }
    unique
}

/// The folders that an absolute path with at most one `*` per component stands for.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        match text.split_once('*') {
            None => paths.iter_mut().for_each(|path| path.push(component)),
            Some((before, after)) => {
                paths = paths
                    .iter()
                    .flat_map(|path| matching(path, before, after))
                    .collect();
            }
        }
    }
    paths
}

fn matching(folder: &Path, before: &str, after: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let fits = |name: &str| {
        name.strip_prefix(before)
            .is_some_and(|rest| rest.ends_with(after))
    };
    entries
        .flatten()
        .filter(|entry| fits(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn version(major: u32, minor: u32) -> Version {
        Version { major, minor }
    }

    fn fake(folder: &Path, printed: &str) {
        fs::create_dir_all(folder).unwrap();
        for name in ["postgres", "initdb"] {
            let path = folder.join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{printed}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            // Another test's child may have inherited the open file for the moment before its exec.
            assert!(
                (0..1000).any(|_| Command::new(&path).output().is_ok()),
                "{path:?} does not run"
            );
        }
    }

    #[test]
    fn versions_are_read_as_every_packager_prints_them() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(Version::parse(debian), Some(version(15, 18)));
        assert_eq!(
            Version::parse("postgres (PostgreSQL) 18.4\n"),
            Some(version(18, 4))
        );
        assert_eq!(
            Version::parse("postgres (PostgreSQL) 19devel"),
            Some(version(19, 0))
        );
        assert_eq!(
            Version::parse("postgres (PostgreSQL) 18beta1"),
            Some(version(18, 0))
        );
        assert_eq!(Version::parse("postgres (PostgreSQL) "), None);
        assert_eq!(Version::parse("postgres (PostgreSQL) 99999999999.1"), None);
        assert_eq!(Version::parse("psql 15"), None);
        assert_eq!(version(15, 18).num(), 150_018);
    }

    #[test]
    fn a_link_leads_to_the_folder_of_its_version() {
        let root = tempfile::tempdir().unwrap();
        fake(&root.path().join("16"), "postgres (PostgreSQL) 16.2");
        fs::create_dir(root.path().join("links")).unwrap();
        std::os::unix::fs::symlink(
            root.path().join("16/postgres"),
            root.path().join("links/postgres"),
        )
        .unwrap();
        let found = Binaries::in_folder(&root.path().join("links")).unwrap();
        assert_eq!(found.version(), version(16, 2));
        assert!(found.program("initdb").is_file());
    }

    #[test]
    fn what_is_missing_or_too_old_is_said() {
        let root = tempfile::tempdir().unwrap();
        let missing = Binaries::in_folder(root.path()).unwrap_err();
        assert!(matches!(missing, DevError::BadBinaries { .. }), "{missing}");
        fake(&root.path().join("13"), "postgres (PostgreSQL) 13.14");
        let old = Binaries::in_folder(&root.path().join("13")).unwrap_err();
        assert!(old.to_string().contains("13.14"), "{old}");
        fs::remove_file(root.path().join("13/initdb")).unwrap();
        let half = Binaries::in_folder(&root.path().join("13")).unwrap_err();
        assert!(half.to_string().contains("initdb"), "{half}");
    }

    #[test]
    fn patterns_stand_for_every_folder_that_fits() {
        let root = tempfile::tempdir().unwrap();
        for name in ["pgsql-14", "pgsql-17", "other"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let mut found = expand(&root.path().join("pgsql-*/bin"));
        found.sort();
        let expected: Vec<_> = ["pgsql-14/bin", "pgsql-17/bin"]
            .iter()
            .map(|p| root.path().join(p))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(
            expand(&root.path().join("plain")),
            vec![root.path().join("plain")]
        );
    }

    #[test]
    fn the_newest_comes_first() {
        let all = Binaries::all();
        assert!(all.is_sorted_by(|a, b| a.version >= b.version), "{all:?}");
    }
}
