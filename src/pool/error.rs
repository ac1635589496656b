//! Why a server connection could not be had.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::base::{Fault, LoginName, ServerName, SqlState, WaitReason};
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
    #[error("no server connection became free within {limit:?} (query_wait_timeout): {}", .reason.as_str())]
    WaitTimeout {
        /// How long it waited.
        limit: Duration,
        /// What it waited for in the end.
        reason: WaitReason,
    },
    /// Too many clients wait for the server already.
    #[error("too many clients wait for a server connection (max_waiting)")]
    Overloaded,
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
            PoolError::WaitTimeout { limit, reason } => timed_out(*limit, *reason),
            PoolError::Overloaded => Fault::error(
                SqlState::TOO_MANY_CONNECTIONS,
                "too many clients are waiting for a server connection",
            )
            .with_hint("Try again in a moment, with fewer connections at one time."),
            PoolError::Server(error) => Fault::from(&**error),
            PoolError::Closed => Fault::error(SqlState::ADMIN_SHUTDOWN, "the gateway is shutting down")
                .with_hint("Connect again."),
        }
    }
}

/// What would have helped.
fn timed_out(limit: Duration, reason: WaitReason) -> Fault {
    let (message, hint) = match reason {
        WaitReason::Pool => (
            "no server connection became free",
            "Try again, keep transactions short, or raise default_pool_size or query_wait_timeout.",
        ),
        WaitReason::Server => (
            "no server connection became free",
            "Try again, keep transactions short, or raise the server's max_connections or query_wait_timeout.",
        ),
        WaitReason::Cap => (
            "all server connections that this tenant may have are in use",
            "The limit is the tenant's own: cap and burst of its plan, or max_tenant_server_conn (three quarters of a \
             pool that tenants share, unless it is set). Use fewer connections at one time, or keep transactions short.",
        ),
        WaitReason::Floor => (
            "no server connection became free",
            "What is left is kept for other tenants (floor of their plans). Try again, keep transactions short, or \
             raise default_pool_size or the server's max_connections.",
        ),
        WaitReason::Connecting => (
            "no server connection could be opened",
            "Try again; the server may be slow to accept logins.",
        ),
    };
    let message = format!("{message} within {limit:?}");
    Fault::error(SqlState::TOO_MANY_CONNECTIONS, message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_vain_names_the_settings_that_help() {
        let fault = |reason| {
            let limit = Duration::from_secs(30);
            Fault::from(&PoolError::WaitTimeout { limit, reason })
        };
        let cap = fault(WaitReason::Cap).hint.unwrap();
        assert!(cap.contains("max_tenant_server_conn") && !cap.contains("default_pool_size"));
        assert!(
            fault(WaitReason::Server)
                .hint
                .unwrap()
                .contains("max_connections")
        );
        let fault = fault(WaitReason::Pool);
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
