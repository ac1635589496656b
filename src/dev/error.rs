//! What can go wrong while a private Postgres is found, started, seeded and stopped.

use std::io;
use std::path::PathBuf;

/// Why `portcullis dev` or a test cluster could not do its work. Each text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// No folder with `postgres` and `initdb` was found.
    #[error(
        "no PostgreSQL server binaries found (postgres, initdb): install them with \
         `apt install postgresql` (Debian, Ubuntu), `dnf install postgresql-server` (Fedora) or \
         `brew install postgresql` (macOS), or name their folder with --pg-bin"
    )]
    NoBinaries,
    /// The folder that was named does not hold usable binaries.
    #[error("no usable PostgreSQL server binaries in {folder}: {reason}")]
    BadBinaries {
        /// The folder.
        folder: PathBuf,
        /// What is missing or did not run.
        reason: String,
    },
    /// Binaries were found, all of them too old.
    #[error(
        "PostgreSQL {found} in {folder} is too old: 14 or newer is needed (name another folder with --pg-bin)"
    )]
    TooOld {
        /// Where the newest of them is.
        folder: PathBuf,
        /// Its version.
        found: super::Version,
    },
    /// The kept data was made by another major version.
    #[error(
        "the data in {folder} was made by PostgreSQL {data}, the binaries are {binaries}: \
         name those of {data} with --pg-bin, or another folder with --data"
    )]
    VersionMismatch {
        /// The kept folder.
        folder: PathBuf,
        /// Major version of the data.
        data: u32,
        /// Version of the binaries.
        binaries: super::Version,
    },
    /// The configuration that the demonstration has written for itself cannot be used.
    #[error("the demonstration's own configuration has mistakes: {0}")]
    Config(String),
    /// Started as root, and there is no account to run Postgres as.
    #[error("Postgres does not run as root, and there is no account `postgres` or `nobody` to run it as")]
    NoAccount,
    /// The account that Postgres runs as cannot get to a folder.
    #[error(
        "Postgres runs as `{account}`, which may not enter {folder} (needed for {wanted}): \
         choose another place with {remedy}, or let it through with `chmod o+x {folder}`"
    )]
    Unreachable {
        /// The account's name.
        account: String,
        /// The folder that it may not enter.
        folder: PathBuf,
        /// What lies beneath it.
        wanted: PathBuf,
        /// The option or variable that chooses another place.
        remedy: &'static str,
    },
    /// `initdb` failed.
    #[error("initdb failed: {output}")]
    Init {
        /// The end of what it printed.
        output: String,
    },
    /// Postgres ended while it was starting.
    #[error("Postgres did not start: {log}")]
    Start {
        /// The end of its log.
        log: String,
    },
    /// Postgres did not accept connections in time.
    #[error("Postgres did not accept connections within {limit_s} s: {log}")]
    StartTimeout {
        /// How long it was given, in seconds.
        limit_s: u64,
        /// The end of its log.
        log: String,
    },
    /// Something about files, folders, ports or processes.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done, as the rest of "cannot …".
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The private Postgres refused a statement of ours, or the connection to it was lost.
    #[error("cannot {doing}: {}", database_text(source))]
    Database {
        /// What was being done, as the rest of "cannot …".
        doing: String,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// A database of the demonstration could not be hardened.
    #[error("cannot harden the database {database}: {source}")]
    Harden {
        /// The database.
        database: &'static str,
        /// Why.
        source: crate::harden::HardenError,
    },
    /// The proxy's port is in use.
    #[error("port {port} on 127.0.0.1 is taken: choose another with --port (0 picks a free one)")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The demonstration's token could not be signed.
    #[error("cannot sign a demonstration token: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
}

/// Wraps an I/O error with what was being done: `map_err(while_doing(|| "read x".to_owned()))`.
pub(super) fn while_doing<D: FnOnce() -> String>(doing: D) -> impl FnOnce(io::Error) -> DevError {
    move |source| DevError::Io {
        doing: doing(),
        source,
    }
}

/// The server's own words where there are any: the outer error says only "db error".
fn database_text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}
