//! `portcullis serve`: the proxy, until a signal ends it.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::app;
use crate::base::{DrainHandle, Phase};
use crate::config::Config;
use crate::observe;

/// Exit code of a configuration with mistakes, as for a wrong command line.
pub(crate) const BAD_CONFIG: u8 = 2;

/// How long the last log lines may take to be written.
const LOG_LIMIT: Duration = Duration::from_secs(2);

/// What the command line of `portcullis serve` says.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeOptions {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "portcullis.toml")]
    pub config: PathBuf,
    /// Seconds that running transactions may take after SIGTERM or SIGINT; a second signal ends them at once
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub shutdown_timeout: u64,
    /// Threads that serve clients [default: half the cores]
    #[arg(long, value_name = "NUMBER")]
    pub threads: Option<NonZeroUsize>,
}

/// Serves until a signal says stop.
///
/// Not cancel safe: dropped, it cuts off everybody.
pub async fn run(options: ServeOptions) -> ExitCode {
    let config = match load(&options.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(error) = observe::init(&config.log) {
        return complain(&format!("cannot set up logging: {error}"));
    }
    for warning in &config.warnings {
        tracing::warn!(key = %warning.key, "{}", warning.message);
    }
    let (handle, drain) = DrainHandle::new();
    // On a thread that serves clients as well: from this one each new client would be handed over with a wake-up.
    let proxy = tokio::spawn(app::run(config, drain));
    let outcome = tokio::select! {
        outcome = proxy => match outcome {
            Ok(outcome) => outcome,
            Err(error) => return complain(&error.to_string()),
        },
        outcome = stop_on_signal(handle, Duration::from_secs(options.shutdown_timeout)) => match outcome {
            Ok(()) => Ok(()),
            Err(error) => return complain(&format!("cannot listen for signals: {error}")),
        },
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    };
    observe::flush(LOG_LIMIT);
    code
}

/// Reads a configuration; every mistake goes to standard error.
pub(crate) fn load(path: &Path) -> Result<Config, ExitCode> {
    Config::load(path).map_err(|error| {
        let mut stderr = io::stderr().lock();
        for mistake in &error.mistakes {
            let _ = writeln!(stderr, "portcullis: {mistake}");
        }
        ExitCode::from(BAD_CONFIG)
    })
}

/// Drains on the first signal, stops on the second or when time is up. Ends only with an error: what it waits
/// for ends the proxy first.
async fn stop_on_signal(handle: DrainHandle, limit: Duration) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("shutting down: waiting for running transactions");
    handle.advance(Phase::Draining);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = sleep(limit) => {}
    }
    handle.advance(Phase::Stopping);
    std::future::pending().await
}

fn complain(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "portcullis: {message}");
    ExitCode::FAILURE
}

/// Serves with a configuration file until the drain says stop, logging only what its `[log]` asks for.
pub(crate) async fn run_quietly(config: PathBuf, drain: crate::base::Drain) -> Result<(), String> {
    let config = Config::load(&config).map_err(|error| error.to_string())?;
    observe::init(&config.log).map_err(|error| error.to_string())?;
    app::run(config, drain).await.map_err(|error| error.to_string())
}
