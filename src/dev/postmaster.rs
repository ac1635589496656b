//! One running postmaster: start it, wait until it accepts, stop it for certain.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::DevError;
use super::error::while_doing;

/// How long a start may take: a kept folder may have to recover from a crash first.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often a start or a stop is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The same for a process that is not our child: each look costs a shell.
const FOREIGN_POLL: Duration = Duration::from_millis(100);

/// The signals that stop a postmaster and how long each is given: fast shutdown, immediate shutdown, kill
/// (PostgreSQL manual, 19.5).
const STOP_STEPS: [(&str, Duration); 3] = [
    ("INT", Duration::from_secs(10)),
    ("QUIT", Duration::from_secs(5)),
    ("KILL", Duration::from_secs(5)),
];

/// Bytes of a log that an error shows.
const LOG_TAIL_BYTES: i64 = 2_000;

/// A postmaster that is a child of this process.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Child,
    data: PathBuf,
    started_s: u64,
}

impl Postmaster {
    /// Starts `command`, whose data directory is `data`. It does not accept connections yet.
    pub(super) fn spawn(mut command: Command, data: &Path) -> Result<Self, DevError> {
        let started_s = now_s();
        let child = command
            .spawn()
            .map_err(while_doing(|| "start Postgres".to_owned()))?;
        Ok(Self {
            child,
            data: data.to_owned(),
            started_s,
        })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it accepts connections; `log` is what an error shows.
    pub(super) fn await_ready(&mut self, log: &Path) -> Result<(), DevError> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(lock) = LockFile::read(&self.data)
                && lock.pid == self.pid()
                && lock.started_s >= self.started_s
                && lock.ready
            {
                return Ok(());
            }
            if self.has_ended() {
                return Err(DevError::Start { log: tail(log) });
            }
            if Instant::now() >= deadline {
                return Err(DevError::StartTimeout {
                    limit_s: START_LIMIT.as_secs(),
                    log: tail(log),
                });
            }
            sleep(POLL);
        }
    }

    /// Whether the process has ended, for whatever reason.
    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Stops it: in order, then at once, then by force. Returns when it has ended, or after 20 s at most.
    pub(super) fn stop(&mut self) {
        self.stop_from("INT");
    }

    /// Stops it as a crash would: no checkpoint, recovery on the next start.
    pub(super) fn stop_at_once(&mut self) {
        self.stop_from("QUIT");
    }

    fn stop_from(&mut self, first: &str) {
        for (name, patience) in STOP_STEPS.iter().skip_while(|(name, _)| *name != first) {
            if self.has_ended() {
                return;
            }
            // Before it has been waited for, a child's process id cannot belong to anybody else.
            signal(&self.pid().to_string(), name);
            let deadline = Instant::now() + *patience;
            while Instant::now() < deadline {
                if self.has_ended() {
                    return;
                }
                sleep(POLL);
            }
        }
    }
}

/// Stops a postmaster that is not our child. Before every signal it checks that `data` still names the same
/// postmaster, so that a process id that has been given away since is left alone.
pub(super) fn stop_foreign(data: &Path, pid: u32, started_s: u64) {
    let ours = || LockFile::read(data).is_some_and(|lock| lock.pid == pid && lock.started_s == started_s);
    for (name, patience) in STOP_STEPS {
        let deadline = Instant::now() + patience;
        if !ours() || !signal(&pid.to_string(), name) {
            return;
        }
        while Instant::now() < deadline {
            if !ours() || !signal(&pid.to_string(), "0") {
                return;
            }
            sleep(FOREIGN_POLL);
        }
    }
}

/// Sends a signal to a process id, or to a group when the id is negative; says whether there was one. The shell's
/// own `kill` is there even where no `kill` program is installed.
pub(super) fn signal(target: &str, name: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", name, target]);
    shell
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

/// What `postmaster.pid` says (src/include/utils/pidfile.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LockFile {
    /// Line 1.
    pub(super) pid: u32,
    /// Line 3, seconds since 1970.
    pub(super) started_s: u64,
    /// Line 8 says that it accepts connections.
    pub(super) ready: bool,
}

impl LockFile {
    /// Reads it, if it is there and complete enough to name a process.
    pub(super) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let started_s = lines.nth(1)?.trim().parse().ok()?;
        let ready = lines.nth(4).is_some_and(|status| status.trim() == "ready");
        Some(Self {
            pid,
            started_s,
            ready,
        })
    }
}

/// Seconds since 1970, as `postmaster.pid` counts them.
pub(super) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_secs())
}

/// The end of a log file, whatever of it can be read.
pub(super) fn tail(log: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let _ = file
            .seek(SeekFrom::End(-LOG_TAIL_BYTES))
            .or_else(|_| file.seek(SeekFrom::Start(0)));
        let _ = file.take(LOG_TAIL_BYTES.unsigned_abs()).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    if text.is_empty() {
        format!("nothing in {}", log.display())
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "4242\n/data\n1766000000\n5433\n/run/socket\n127.0.0.1\n  1234567  65540\nready   \n";

    #[test]
    fn the_lock_file_names_its_postmaster() {
        let lock = LockFile {
            pid: 4242,
            started_s: 1_766_000_000,
            ready: true,
        };
        assert_eq!(LockFile::parse(READY), Some(lock));
        let starting = READY.replace("ready   ", "starting");
        assert_eq!(
            LockFile::parse(&starting),
            Some(LockFile { ready: false, ..lock })
        );
        let early = "4242\n/data\n1766000000\n";
        assert_eq!(LockFile::parse(early), Some(LockFile { ready: false, ..lock }));
        assert_eq!(LockFile::parse("4242\n/data\n"), None);
        assert_eq!(LockFile::parse("-1\n/data\n1\n"), None);
        assert_eq!(LockFile::parse(""), None);
    }

    #[test]
    fn a_process_named_by_a_stale_lock_file_is_left_alone() {
        let data = tempfile::tempdir().unwrap();
        let mut bystander = Command::new("sleep").arg("30").spawn().unwrap();
        let pid = bystander.id();
        fs::write(
            data.path().join("postmaster.pid"),
            format!("{pid}\n/data\n1000\n"),
        )
        .unwrap();
        stop_foreign(data.path(), pid, 2000);
        stop_foreign(data.path(), pid + 1, 1000);
        assert!(bystander.try_wait().unwrap().is_none(), "it must still run");
        let reaper = std::thread::spawn(move || bystander.wait().unwrap());
        stop_foreign(data.path(), pid, 1000);
        assert!(!reaper.join().unwrap().success(), "it must have been stopped");
    }

    #[test]
    fn the_tail_of_a_log_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(tail(&log).starts_with("nothing in"));
        fs::write(&log, "short\n").unwrap();
        assert_eq!(tail(&log), "short");
        fs::write(&log, "x".repeat(100_000) + "end").unwrap();
        let end = tail(&log);
        assert!(end.len() <= 2_000 && end.ends_with("end"));
    }
}
