//! A command that runs beside the proxy: `portcullis dev --exec`.

use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::postmaster::signal;
use super::{StopReason, StopSignals};

/// How long the command has to end after it was told to.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A running shell command.
#[derive(Debug)]
pub struct Script {
    child: Child,
    group: Option<u32>,
}

impl Script {
    /// Starts `sh -c line` with more environment variables.
    ///
    /// # Errors
    /// When there is no shell or no process to be had.
    pub fn start(line: &str, variables: impl IntoIterator<Item = (String, String)>) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).envs(variables).kill_on_drop(true);
        // A group of its own can be ended as a whole. At a terminal the command must stay in ours, or it could not
        // read what is typed; Ctrl-C reaches it directly then.
        let own_group = !io::stdin().is_terminal();
        if own_group {
            command.process_group(0);
        }
        let child = command.spawn()?;
        let group = if own_group { child.id() } else { None };
        Ok(Self { child, group })
    }

    /// Its process group, where it has one of its own.
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// Waits for its end and gives its exit code: 128 and the signal's number if one killed it, or if `stop`
    /// had it ended. What it started in the background is ended too.
    ///
    /// # Errors
    /// When the system cannot wait for it.
    ///
    /// Not cancel safe: dropped, it kills the shell alone.
    pub async fn finish(mut self, stop: &mut StopSignals) -> io::Result<u8> {
        let code = loop {
            tokio::select! {
                status = self.child.wait() => break exit_code(status?),
                // At a terminal the command had the same Ctrl-C and may want to live on, as psql does.
                reason = stop.next() => if reason != StopReason::Interrupt || self.group.is_some() {
                    self.end(reason).await;
                    break reason.exit_code();
                }
            }
        };
        if let Some(group) = self.group {
            signal(&format!("-{group}"), "KILL");
        }
        Ok(code)
    }

    async fn end(&mut self, reason: StopReason) {
        let target = match (self.group, self.child.id()) {
            (Some(group), _) => format!("-{group}"),
            (None, Some(pid)) => pid.to_string(),
            (None, None) => return,
        };
        signal(
            &target,
            if reason == StopReason::Interrupt {
                "INT"
            } else {
                "TERM"
            },
        );
        if timeout(END_LIMIT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn code_of(line: &str) -> u8 {
        let mut stop = StopSignals::listen().unwrap();
        let variables = [("PORTCULLIS_PORT".to_owned(), "6432".to_owned())];
        Script::start(line, variables)
            .unwrap()
            .finish(&mut stop)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_exit_code_is_the_commands_own() {
        assert_eq!(code_of("exit 0").await, 0);
        assert_eq!(code_of("exit 7").await, 7);
        assert_eq!(code_of("kill -TERM $$").await, 143);
        assert_eq!(code_of("test \"$PORTCULLIS_PORT\" = 6432").await, 0);
    }

    #[tokio::test]
    async fn what_it_leaves_in_the_background_is_ended() {
        if io::stdin().is_terminal() {
            return; // There it shares our group, which must not be ended.
        }
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        assert_eq!(
            code_of(&format!("sleep 60 & echo $! > {}", pid.display())).await,
            0
        );
        let pid = std::fs::read_to_string(&pid).unwrap();
        for _ in 0..100 {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the background process still runs");
    }
}
