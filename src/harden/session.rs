//! An ordinary client's session that keeps what the server warns of.

use std::future::poll_fn;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Socket};

/// The most warnings that are kept for one statement.
const WARNINGS: usize = 100;

/// A connection with the task that drives it. Dropping it ends the connection.
pub struct Session {
    client: Client,
    warnings: Arc<Mutex<Vec<String>>>,
    driver: JoinHandle<()>,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// The server's, or that of the connection.
    ///
    /// Cancel safe: a connection that nobody gets is closed.
    pub async fn open<T>(config: &Config, tls: T) -> Result<Self, tokio_postgres::Error>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let (client, mut connection) = config.connect(tls).await?;
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&warnings);
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let mut kept = kept.lock();
                    if notice.severity() == "WARNING" && kept.len() < WARNINGS {
                        kept.push(notice.message().to_owned());
                    }
                }
            }
        });
        Ok(Self {
            client,
            warnings,
            driver,
        })
    }

    /// What asks the server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the server has warned of since it was asked last.
    pub(super) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock())
    }

    /// Waits until the server has been told, so that a database is not still in use afterwards.
    ///
    /// Cancel safe: the connection ends in any case.
    pub async fn close(self) {
        drop(self.client);
        let _ = self.driver.await;
    }
}
