//! The command line: one file per command.

#[allow(dead_code, reason = "called once the command line is wired")]
mod guard;

use std::process::ExitCode;

/// Runs the command that the command line names and returns the process's exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
