//! A policy in a file: read at start, and again when the file or one that it names has changed.

use std::path::{Path, PathBuf};

use super::{Mistake, files};
use crate::base::Seen;
use crate::guard::Policy;

/// A policy's file, as it was when it was read last.
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    /// What the configuration knows of the policy: another file must not change it.
    name: String,
    trusted: bool,
    /// The file itself, and those that it names.
    seen: Seen,
}

/// Why a file makes no policy.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It cannot be read: why not, with its path.
    Unreadable(String),
    /// Every mistake in it and in the files that it names.
    Mistaken(Vec<Mistake>),
}

impl PolicyFile {
    /// Reads a policy. Blocks on the file system.
    ///
    /// # Errors
    /// The file cannot be read, or every mistake in it and in those that it names.
    pub(super) fn load(path: &Path) -> Result<(Self, Policy), Unusable> {
        let (seen, policy) = read(path);
        let policy = policy?;
        let file = Self {
            path: path.to_owned(),
            name: policy.name().to_owned(),
            trusted: policy.is_trusted(),
            seen,
        };
        Ok((file, policy))
    }

    /// The policy's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the policy again if its files have changed; `None` if they have not. Blocks on the file system.
    ///
    /// # Errors
    /// As when it was read first, or that its name or its trust has changed: the configuration was checked with
    /// those. The files count as unchanged until they change again.
    pub fn refresh(&mut self) -> Option<Result<Policy, Vec<Mistake>>> {
        if !self.seen.have_changed() {
            return None;
        }
        let (seen, policy) = read(&self.path);
        self.seen = seen;
        let policy = policy.map_err(|unusable| match unusable {
            Unusable::Unreadable(message) => vec![Mistake::of_file(&self.path, message)],
            Unusable::Mistaken(mistakes) => mistakes,
        });
        Some(policy.and_then(|policy| {
            let mistake = |message: String| Err(vec![Mistake::of_file(&self.path, message)]);
            if policy.name() != self.name {
                return mistake(format!(
                    "its name was {:?}: a new name needs a restart",
                    self.name
                ));
            }
            if policy.is_trusted() != self.trusted {
                return mistake("whether it is trusted cannot change without a restart".to_owned());
            }
            Ok(policy)
        }))
    }
}

/// The files read, and the policy they make. Each is looked at before it is read: one that changes meanwhile is read
/// again.
fn read(path: &Path) -> (Seen, Result<Policy, Unusable>) {
    let mut seen = Seen::default();
    seen.note(path);
    let text = match files::read_text(path, files::SMALL) {
        Ok(text) => text,
        Err(message) => return (seen, Err(Unusable::Unreadable(message))),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut other = |name: &str| {
        let path = folder.join(name);
        seen.note(&path);
        files::read_text(&path, files::REGISTRY)
    };
    let policy = Policy::parse_with(&text, &mut other).map_err(|mistakes| {
        let mistakes = mistakes.into_iter().map(|mistake| Mistake {
            key: mistake.key,
            ..Mistake::of_file(path, mistake.message)
        });
        Unusable::Mistaken(mistakes.collect())
    });
    (seen, policy)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn changes_are_noticed_in_every_file_and_mistakes_leave_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        let registry = folder.path().join("registered.toml");
        let text = "name = 'p'\nmode = 'registered'\nregistered_statements = ['registered.toml']\n";
        fs::write(&path, text).unwrap();
        fs::write(&registry, "").unwrap();
        let (mut file, policy) = PolicyFile::load(&path).unwrap();
        assert_eq!((file.name(), policy.name()), ("p", "p"));
        assert!(file.refresh().is_none());
        // Another length: the time alone may be too coarse to tell.
        fs::write(&registry, "# nothing\n").unwrap();
        assert!(matches!(file.refresh(), Some(Ok(_))));
        fs::write(
            &registry,
            "[[statement]]\nfingerprint = 'x'\n[[statement]]\nfingerprint = 'yy'\n",
        )
        .unwrap();
        let mistakes = file.refresh().unwrap().unwrap_err();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(file.refresh().is_none(), "told once");
        fs::write(&registry, "").unwrap();
        assert!(matches!(file.refresh(), Some(Ok(_))));
        for bad in [
            "name = 'other'",
            "name = 'p'\ntrusted = true",
            "name = 'p'\nnonsense = 1",
            "[",
        ] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(file.refresh(), Some(Err(_))), "{bad}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(file.refresh(), Some(Err(_))));
        fs::write(&path, text).unwrap();
        assert!(matches!(file.refresh(), Some(Ok(_))));
    }
}
