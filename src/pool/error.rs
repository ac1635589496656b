//! Why a server connection could not be had.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::base::{Fault, LoginName, ServerName, SqlState};
use crate::server::ServerError;

/// Why a pool or a server connection could not be had. Cheap to clone: one failed connect may answer many
/// waiting clients.
#[derive(Clone, Debug, Error)]
pub enum PoolError {
    /// No such server is configured.
    #[error("server {0:?} is not configured")]
    UnknownServer(ServerName),
    /// No such login is configured.
    #[error("login {0:?} is not configured")]
    UnknownLogin(LoginName),
    /// As many pools as may exist do exist.
    #[error("too many pools")]
    TooManyPools,
    /// No server connection became free in time.
    #[error("no server connection became free within {0:?} (query_wait_timeout)")]
    WaitTimeout(Duration),
    /// There is no server connection and none can be opened.
    #[error(transparent)]
    Server(Arc<ServerError>),
    /// Portcullis is shutting down.
    #[error("shutting down")]
    Closed,
}

impl From<&PoolError> for Fault {
    /// What a client may know. Severity ERROR: the session may go on; during login the caller raises it.
    fn from(error: &PoolError) -> Self {
        match error {
            PoolError::UnknownServer(_) | PoolError::UnknownLogin(_) => Fault::error(
                SqlState::INTERNAL_ERROR,
                "the route leads to a server or login that is not configured",
            )
            .with_hint("Check the tenant's placement and the role's login with `portcullis check`."),
            PoolError::TooManyPools => Fault::error(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                "too many databases are in use at one time",
            )
            .with_hint("Try again in a minute; pools that nobody uses are closed."),
            PoolError::WaitTimeout(limit) => Fault::error(
                SqlState::TOO_MANY_CONNECTIONS,
                format!("no server connection became free within {limit:?}"),
            )
            .with_hint(
                "Try again, keep transactions short, or raise default_pool_size or query_wait_timeout.",
            ),
            PoolError::Server(error) => Fault::from(&**error),
            PoolError::Closed => Fault::error(SqlState::ADMIN_SHUTDOWN, "the gateway is shutting down")
                .with_hint("Connect again."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_names_the_settings_that_help() {
        let fault = Fault::from(&PoolError::WaitTimeout(Duration::from_secs(30)));
        assert_eq!(fault.sqlstate, SqlState::TOO_MANY_CONNECTIONS);
        let hint = fault.hint.unwrap();
        assert!(hint.contains("default_pool_size") && hint.contains("query_wait_timeout"));
        assert!(fault.message.contains("30s"));
    }

    #[test]
    fn names_from_the_configuration_stay_inside() {
        for error in [
            PoolError::UnknownServer("hidden".into()),
            PoolError::UnknownLogin("hidden".into()),
        ] {
            assert!(!format!("{:?}", Fault::from(&error)).contains("hidden"));
        }
    }
}
