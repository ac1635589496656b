//! A second process that clears up when the first one cannot: when it was killed, or crashed.
//!
//! The first process holds the watchdog's standard input and tells it, a line at a time, what has been started.
//! End of input without `done` means that the first process is gone: the watchdog then stops what is
//! left and removes the temporary folder.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::DevError;
use super::error::while_doing;
use super::folder::{RUN_PREFIX, remove};
use super::postmaster::{LockFile, now_s, signal, stop_foreign};

/// The command that a watchdog process is started with: `<program> dev-watchdog --data D [--remove R]`.
pub const COMMAND: &str = "dev-watchdog";

/// How long the watchdog looks for a postmaster that was being started when the first process died, and how
/// long it tries to remove the folder.
const PATIENCE: Duration = Duration::from_secs(2);
const REMOVE_LIMIT: Duration = Duration::from_secs(10);

/// The first process's side: the watchdog runs as long as this lives, and is told.
#[derive(Debug)]
pub(super) struct Watchdog {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts `program` as a watchdog over the data directory `data` and the folder `run`, which it is to remove.
    pub(super) fn start(program: &Path, data: &Path, run: &Path) -> Result<Self, DevError> {
        let mut command = Command::new(program);
        command
            .arg(COMMAND)
            .arg("--data")
            .arg(data)
            .arg("--remove")
            .arg(run);
        // A group of its own, so that Ctrl-C does not reach it; no share in our output, so that a reader of ours
        // does not wait for it.
        command.process_group(0).current_dir("/");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command
            .spawn()
            .map_err(while_doing(|| format!("start {}", program.display())))?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Tells it the postmaster's process id.
    pub(super) fn note_postmaster(&mut self, pid: u32) {
        self.tell(&format!("postmaster {pid}"));
    }

    /// Tells it of a process group that must not outlive us.
    pub(super) fn note_group(&mut self, group: u32) {
        self.tell(&format!("group {group}"));
    }

    /// Tells it that nothing is left to do, and waits until it has ended.
    pub(super) fn dismiss(mut self) {
        self.tell("done");
        self.pipe = None;
        let _ = self.child.wait();
    }

    /// A watchdog that has died cannot be told anything; the first process still clears up by itself.
    fn tell(&mut self, line: &str) {
        if let Some(pipe) = &mut self.pipe {
            let _ = writeln!(pipe, "{line}").and_then(|()| pipe.flush());
        }
    }
}

/// What the watchdog process is to watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The data directory of the postmaster.
    pub data: PathBuf,
    /// The temporary folder that goes away with it.
    pub remove: PathBuf,
}

impl Watch {
    /// Reads `input` to its end and clears up unless it was told that there is nothing to do. Blocks; the whole of
    /// a watchdog process, which must ignore the signals that end the first one.
    pub fn run(&self, input: impl io::Read) {
        let began_s = now_s();
        let Some(left) = Left::read(input) else {
            return;
        };
        if let Some(group) = left.group {
            signal(&format!("-{group}"), "TERM");
        }
        if let Some(lock) = self.find_postmaster(left.postmaster, began_s) {
            stop_foreign(&self.data, lock.pid, lock.started_s);
        }
        if let Some(group) = left.group {
            signal(&format!("-{group}"), "KILL");
        }
        // Whatever the arguments say: only a folder that this program makes is removed.
        let name = self.remove.file_name().unwrap_or_default();
        if name.to_string_lossy().starts_with(RUN_PREFIX) {
            let _ = remove(&self.remove, REMOVE_LIMIT);
        }
    }

    /// The postmaster as its own lock file names it. A file from before this watchdog began is an earlier crash's, and
    /// its process id may be anybody's by now. A postmaster that was just being started may take a
    /// moment to write the file; one that has been announced and has removed it again has ended.
    fn find_postmaster(&self, announced: Option<u32>, began_s: u64) -> Option<LockFile> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lock = LockFile::read(&self.data);
            let fits = |lock: &LockFile| {
                // The clock is read in whole seconds on both sides.
                lock.started_s + 1 >= began_s && announced.is_none_or(|pid| pid == lock.pid)
            };
            if let Some(found) = lock.filter(fits) {
                return Some(found);
            }
            if Instant::now() >= deadline {
                return None;
            }
            sleep(Duration::from_millis(50));
        }
    }
}

/// What the first process has left behind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    postmaster: Option<u32>,
    group: Option<u32>,
}

impl Left {
    /// Reads to the end of input; nothing is left when the first process said so.
    fn read(input: impl io::Read) -> Option<Self> {
        let mut left = Self::default();
        for line in BufReader::new(input).lines().map_while(Result::ok) {
            match line.split_once(' ') {
                Some(("postmaster", pid)) => left.postmaster = pid.parse().ok(),
                Some(("group", group)) => left.group = group.parse().ok().filter(|group| *group > 1),
                _ if line == "done" => return None,
                _ => {}
            }
        }
        Some(left)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_done_means_that_nothing_is_left() {
        let left = |postmaster, group| Some(Left { postmaster, group });
        assert_eq!(Left::read(&b"postmaster 7\ndone\n"[..]), None);
        assert_eq!(Left::read(&b""[..]), left(None, None));
        assert_eq!(Left::read(&b"postmaster 7\n"[..]), left(Some(7), None));
        assert_eq!(
            Left::read(&b"postmaster 7\ngroup 9\npostmaster 8\n"[..]),
            left(Some(8), Some(9))
        );
        assert_eq!(Left::read(&b"group 0\n"[..]), left(None, None));
        assert_eq!(Left::read(&b"group 1\n"[..]), left(None, None));
        assert_eq!(Left::read(&b"\xff\n"[..]), left(None, None));
    }

    #[test]
    fn a_folder_that_is_not_ours_stays() {
        let ours = tempfile::Builder::new().prefix(RUN_PREFIX).tempdir().unwrap();
        let other = tempfile::Builder::new()
            .prefix("somebody-elses-")
            .tempdir()
            .unwrap();
        for (folder, goes) in [(&ours, true), (&other, false)] {
            let watch = Watch {
                data: folder.path().to_owned(),
                remove: folder.path().to_owned(),
            };
            watch.run(&b"done\n"[..]);
            assert!(folder.path().exists(), "told that nothing is left");
            watch.run(&b""[..]);
            assert_eq!(!folder.path().exists(), goes);
        }
        fs::create_dir_all(ours.path()).unwrap();
    }

    #[test]
    fn an_earlier_crash_names_nobody() {
        let data = tempfile::tempdir().unwrap();
        let watch = Watch {
            data: data.path().to_owned(),
            remove: data.path().to_owned(),
        };
        let began_s = now_s();
        let write = |pid: u32, started_s: u64| {
            fs::write(
                data.path().join("postmaster.pid"),
                format!("{pid}\n/data\n{started_s}\n"),
            )
            .unwrap();
        };
        write(7, began_s);
        assert_eq!(
            watch.find_postmaster(Some(7), began_s).map(|lock| lock.pid),
            Some(7)
        );
        assert_eq!(watch.find_postmaster(None, began_s).map(|lock| lock.pid), Some(7));
        assert_eq!(watch.find_postmaster(Some(8), began_s), None);
        write(7, began_s - 60);
        assert_eq!(watch.find_postmaster(Some(7), began_s), None);
    }
}
