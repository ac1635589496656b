//! The command line: one file per command.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the command line does not call it yet")
)]
mod guard;

use std::process::ExitCode;

/// Runs the command that the command line names and returns the process's exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
