//! Children that end when the test process ends, however it ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A shell that holds the other end of a pipe to this process. When the pipe closes (this process is
/// gone, even by SIGKILL) it ends the child and removes its folder.
pub(crate) struct Leash(Child);

/// Asks politely first, for at most ten seconds; `$1` is the process, `$2` the signal, `$3` the folder.
const SCRIPT: &str = r#"
read -r _ignored
kill -"$2" "$1" 2>/dev/null
for _try in $(seq 100); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
kill -KILL "$1" 2>/dev/null
[ -z "$3" ] || rm -rf "$3"
"#;

impl Leash {
    /// Puts the process `pid` on a leash: `signal` ends it, then `folder` goes.
    pub(crate) fn new(pid: u32, signal: &str, folder: Option<&Path>) -> Self {
        use std::os::unix::process::CommandExt as _;
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "leash", &pid.to_string(), signal])
            .arg(folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C reaches the foreground group; the leash must outlive it.
            .process_group(0)
            .spawn()
            .expect("sh is there");
        Self(child)
    }
}

impl Drop for Leash {
    /// Takes the leash off without ending the process it holds: its owner has done that, and the
    /// number may belong to another process by now.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
