//! The command line: one file per command.

pub mod token;

use std::process::ExitCode;

/// Runs the command that the command line names and returns the process's exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
