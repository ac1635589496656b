//! Which operating-system account Postgres runs as: it refuses to run as root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::DevError;

/// Accounts to run Postgres as when started as root, in order of preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// An account to drop to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// Its name, or its number where it has none.
    pub(super) name: String,
    /// Its user id.
    pub(super) uid: u32,
    /// Its primary group.
    pub(super) gid: u32,
}

impl Account {
    /// The account to drop to: none unless this process is root. Data that exists already is served by its owner.
    pub(super) fn choose(existing_data: &Path) -> Result<Option<Self>, DevError> {
        if id(&["-u"]) != Some(0) {
            return Ok(None);
        }
        if let Ok(found) = fs::metadata(existing_data)
            && found.uid() != 0
        {
            let owner = found.uid();
            return Ok(Some(Self {
                name: owner.to_string(),
                uid: owner,
                gid: found.gid(),
            }));
        }
        let named = |name: &&str| {
            let (uid, gid) = (id(&["-u", name])?, id(&["-g", name])?);
            Some(Self {
                name: (*name).to_owned(),
                uid,
                gid,
            })
        };
        UNPRIVILEGED
            .iter()
            .find_map(named)
            .ok_or(DevError::NoAccount)
            .map(Some)
    }
}

/// A command that will run as `account` (as ourselves when there is none), deaf to the terminal's Ctrl-C and
/// to libpq's environment.
pub(super) fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    // Its own process group: a Ctrl-C at the terminal is for us, and we stop the server in order.
    command.stdin(Stdio::null()).process_group(0);
    // On macOS the postmaster refuses to start without a locale; messages should be English in any case.
    command.env("LC_ALL", "C");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    if let Some(account) = account {
        // Setting the user as root also drops every supplementary group (std::os::unix::process).
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// What `id` prints: it asks the same name services as the system does, which /etc/passwd alone does not.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    parse_id(&String::from_utf8_lossy(&output.stdout))
}

/// macOS shows the id of `nobody` as -2.
fn parse_id(text: &str) -> Option<u32> {
    let text = text.trim();
    text.parse::<u32>()
        .ok()
        .or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_printed() {
        assert_eq!(parse_id("101\n"), Some(101));
        assert_eq!(parse_id("-2\n"), Some(4_294_967_294));
        assert_eq!(parse_id(""), None);
        assert_eq!(parse_id("id: 'x': no such user"), None);
    }

    #[test]
    fn data_is_served_by_its_owner_and_never_by_root() {
        let folder = tempfile::tempdir().unwrap();
        let chosen = Account::choose(folder.path()).unwrap();
        match id(&["-u"]) {
            Some(0) => {
                assert_ne!(chosen.expect("an account").uid, 0);
                std::os::unix::fs::chown(folder.path(), Some(4242), Some(4243)).unwrap();
                let owner = Account::choose(folder.path()).unwrap().expect("an account");
                assert_eq!((owner.uid, owner.gid), (4242, 4243));
            }
            _ => assert_eq!(chosen, None),
        }
    }
}
