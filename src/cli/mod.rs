//! The command line: one file per command.

pub mod check;
mod check_budget;
mod check_patterns;
mod check_separation;
mod check_tls;
pub mod dev;
pub mod guard;
pub mod harden;
mod harden_all;
mod harden_report;
mod harden_tenants;
pub mod scram_secret;
pub mod serve;
pub mod token;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

/// A connection-pooling SQL proxy for PostgreSQL that runs every transaction as the end user
#[derive(Debug, Parser)]
#[command(version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the proxy
    Serve(serve::ServeOptions),
    /// Lists every mistake in the configuration, and whether servers, roles and key sets can be reached
    Check(check::CheckOptions),
    /// Makes databases hold by themselves what the guard keeps from end users, or takes that back
    Harden(harden::HardenOptions),
    /// Says what the guard thinks of a statement, and why
    Guard(guard::GuardOptions),
    /// Signs a token for development and tests
    Token(token::TokenArguments),
    /// Reads a password and prints the SCRAM secret that the users file keeps of it
    ScramSecret,
    /// Starts a private Postgres, two demo tenants and the proxy, and prints lines to paste
    Dev(dev::DevOptions),
    /// Stops a private Postgres whose starter is gone
    #[command(hide = true, name = crate::dev::watchdog::COMMAND)]
    DevWatchdog(dev::WatchdogOptions),
}

/// Runs the command that the command line names and returns the process's exit code.
pub fn main() -> ExitCode {
    let command = CommandLine::parse().command;
    let threads = match &command {
        Command::Serve(options) => options.threads,
        _ => None,
    };
    let runtime = match runtime(threads) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr(), "portcullis: cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match command {
        Command::Serve(options) => runtime.block_on(serve::run(options)),
        Command::Check(options) => runtime.block_on(check::run(options)),
        Command::Harden(options) => runtime.block_on(harden::run(options)),
        Command::Guard(options) => guard::main(&options),
        Command::Token(arguments) => token::run(&arguments),
        Command::ScramSecret => scram_secret::run(),
        Command::Dev(options) => runtime.block_on(dev::run(options, serve::run_quietly)),
        Command::DevWatchdog(options) => runtime.block_on(dev::watch(options)),
    }
}

/// The threads that serve clients. Half the cores by default: what a transaction costs is mostly the kernel's work on its
/// sockets, and that and the clients and servers of the same machine take the rest. More threads than that only pass
/// work among themselves.
fn runtime(threads: Option<NonZeroUsize>) -> io::Result<Runtime> {
    let cores = || available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = threads.map_or_else(|| cores().div_ceil(2), NonZeroUsize::get);
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
}
