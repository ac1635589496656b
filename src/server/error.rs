//! What can go wrong on the way to a usable server connection.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::base::{Fault, SqlState};

/// Why a server connection could not be opened. The text is for the log; clients get the [`Fault`].
#[derive(Debug, Error)]
pub enum ServerError {
    /// No socket: nobody listens, no route, no such host or file.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The socket failed or was closed before the login was done.
    #[error("connection lost during login: {0}")]
    Lost(#[source] io::Error),
    /// Connecting and logging in took longer than `server_connect_timeout`.
    #[error("no login within {0:?} (server_connect_timeout)")]
    Timeout(Duration),
    /// The TLS handshake failed, or the server is not who it should be.
    #[error("TLS handshake with the server: {0}")]
    Tls(#[source] io::Error),
    /// The server speaks no TLS, but must.
    #[error("the server does not support TLS, but sslmode requires it")]
    NoTls,
    /// The server's own error.
    #[error("the server refused the connection: {sqlstate} {message}")]
    Refused {
        /// The server's SQLSTATE.
        sqlstate: SqlState,
        /// The server's message; may name the login or the database.
        message: String,
    },
    /// The server asks for proof we cannot give, or cannot prove itself.
    #[error("authentication to the server: {0}")]
    Auth(Cow<'static, str>),
    /// The login's password is in a file that cannot be used.
    #[error("the login's password file {path}: {cause}", path = .path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: io::Error,
    },
    /// A setting the gateway relies on has another value.
    #[error("the server reports {name} = {found:?}, but {wanted:?} is required")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The value it must have.
        wanted: &'static str,
        /// The value it has; `None` if it was not reported.
        found: Option<Box<str>>,
    },
    /// A message that the protocol does not allow here.
    #[error("protocol violation by the server: {0}")]
    Protocol(Cow<'static, str>),
}

impl From<&ServerError> for Fault {
    /// What a client may know: no address, no login, no database name. Severity ERROR: a session that was
    /// already greeted may go on; during login the caller raises it to FATAL.
    fn from(error: &ServerError) -> Self {
        let lost = |message: Cow<'static, str>| Fault::error(SqlState::CONNECTION_FAILURE, message);
        match error {
            ServerError::Connect(cause) => {
                lost(format!("cannot reach the database server: {}", cause.kind()).into())
                    .with_hint("Check that the server is running and that its host and port are right.")
            }
            ServerError::Lost(cause) => {
                lost(format!("lost the connection to the database server: {}", cause.kind()).into())
                    .with_hint("Try again; the server may be restarting.")
            }
            ServerError::Tls(_) | ServerError::NoTls => {
                lost("the connection to the database server cannot be encrypted as required".into())
                    .with_hint("The operator finds the reason in the gateway's log.")
            }
            ServerError::Timeout(limit) => {
                lost(format!("the database server did not answer within {limit:?}").into())
                    .with_hint("Try again later; the limit is server_connect_timeout.")
            }
            ServerError::Refused { sqlstate, message } => refused(*sqlstate, message),
            ServerError::Auth(_) | ServerError::PasswordFile { .. } => login_failed(),
            ServerError::Setting { name, wanted, .. } => {
                lost(format!("the database server is not usable: {name} must be {wanted}").into())
            }
            ServerError::Protocol(_) => lost("the database server broke the protocol during login".into())
                .with_hint(
                    "Check that host and port belong to a PostgreSQL server; the log has the details.",
                ),
        }
    }
}

/// The server's own refusal. Its SQLSTATE is passed on where a client can act on it; its text only where it
/// cannot name a login or a database.
fn refused(sqlstate: SqlState, message: &str) -> Fault {
    match sqlstate.as_str() {
        // admin_shutdown, crash_shutdown, cannot_connect_now: "the database system is starting up" and the like.
        "57P01" | "57P02" | "57P03" => {
            Fault::error(sqlstate, message.to_owned()).with_hint("Try again in a moment.")
        }
        "53300" => Fault::error(sqlstate, "the database server has no free connections")
            .with_hint("Try again later; the pools' sizes together may exceed the server's max_connections."),
        "3D000" => Fault::error(sqlstate, "the database does not exist on its server")
            .with_hint("Check the tenant's placement."),
        code if code.starts_with("28") => login_failed(),
        code => Fault::error(
            SqlState::CONNECTION_FAILURE,
            format!("the database server refused the connection (SQLSTATE {code})"),
        )
        .with_hint("The gateway's log has the server's message."),
    }
}

/// A client must not learn which login is used, nor what is wrong with it.
fn login_failed() -> Fault {
    Fault::error(
        SqlState::CONNECTION_FAILURE,
        "the gateway's login to the database server failed",
    )
    .with_hint("The operator finds the reason in the gateway's log.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: &[u8], message: &str) -> Fault {
        let sqlstate = SqlState::from_bytes(code).unwrap();
        Fault::from(&ServerError::Refused {
            sqlstate,
            message: message.to_owned(),
        })
    }

    #[test]
    fn codes_a_client_can_act_on_are_passed_on() {
        for code in ["57P01", "57P03", "53300", "3D000"] {
            assert_eq!(fault(code.as_bytes(), "text").sqlstate.as_str(), code);
        }
        assert_eq!(
            fault(b"57P03", "the database system is starting up").message,
            "the database system is starting up"
        );
    }

    #[test]
    fn names_of_logins_and_databases_stay_inside() {
        for (code, message) in [
            ("28P01", "password authentication failed for user \"hidden\""),
            ("28000", "no pg_hba.conf entry for user \"hidden\""),
            ("53300", "too many connections for role \"hidden\""),
            ("3D000", "database \"hidden\" does not exist"),
            ("42501", "permission denied for database \"hidden\""),
        ] {
            let fault = fault(code.as_bytes(), message);
            assert!(!format!("{fault:?}").contains("hidden"), "{fault:?}");
        }
        assert_eq!(fault(b"28P01", "").sqlstate, SqlState::CONNECTION_FAILURE);
    }
}
