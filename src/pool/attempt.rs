//! A login under way for a pool.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::server::{ServerConn, ServerError};

use super::Pool;

/// One login that the books count as connecting. Dropped before its end it counts as failed, so the books
/// stay right even when the runtime drops its task.
pub(super) struct Attempt {
    pool: Arc<Pool>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

impl Attempt {
    /// Starts a login in a task of its own: a client that goes away does not waste it.
    pub(super) fn start(pool: Arc<Pool>) {
        let attempt = Self {
            pool,
            state: State::Open,
        };
        // Outside a runtime it is dropped, and so has failed.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(attempt.run());
        }
    }

    async fn run(mut self) {
        let outcome = ServerConn::connect(self.pool.target()).await;
        self.state = State::Ended;
        match outcome {
            Ok(server) => self.pool.connected(server),
            Err(error) => self.pool.connect_failed(error),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.state == State::Open {
            self.pool
                .connect_failed(ServerError::Lost(io::Error::other("the login was given up")));
        }
    }
}
