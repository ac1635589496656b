//! Opening a server connection: socket, login, checks.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::base::DatabaseName;
use crate::base::limits::{SERVER_CONTROL_BYTES, SERVER_STATEMENT_BYTES};
use crate::net::tls::{Connector, server_end_point};
use crate::net::{Endpoint, Stream};

use super::encrypt::encrypt;
use super::frame::FrameReader;
use super::login::{LoggedIn, Login, Step};
use super::message::Message;
use super::password;
use super::{CancelKey, Password, PreparedSet, ServerConn, ServerError};

/// Where to connect and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server's socket.
    pub endpoint: Endpoint,
    /// TLS to it; `None` for clear text. Not used over a Unix socket, as with libpq.
    pub tls: Option<Arc<Connector>>,
    /// The login role.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// The database.
    pub database: DatabaseName,
    /// The time for connecting and logging in together.
    pub connect_timeout: Duration,
    /// How many named statements the connection may hold.
    pub prepared_statements: usize,
}

impl ServerConn {
    /// Connects, logs in and checks the settings the gateway relies on.
    ///
    /// # Errors
    /// See [`ServerError`]; `connect_timeout` bounds the whole.
    ///
    /// # Cancel safety
    /// A dropped attempt closes its socket and leaves nothing behind.
    pub async fn connect(target: &Target) -> Result<Self, ServerError> {
        Self::connect_with(target, &[]).await
    }

    /// The same with `more` parameters in the startup packet. What they mean is the caller's affair: a connection that
    /// is not like the others of its pool must not get into it.
    ///
    /// # Errors
    /// As [`ServerConn::connect`].
    ///
    /// # Cancel safety
    /// As [`ServerConn::connect`].
    pub async fn connect_with(target: &Target, more: &[(String, String)]) -> Result<Self, ServerError> {
        timeout(target.connect_timeout, async {
            match &target.password {
                Password::Absent | Password::Known(_) => open(target, more).await,
                Password::InFile(path) => {
                    let password = Password::Known(password::read(path).await?);
                    let target = Target {
                        password,
                        ..target.clone()
                    };
                    open(&target, more).await
                }
            }
        })
        .await
        .unwrap_or(Err(ServerError::Timeout(target.connect_timeout)))
    }
}

async fn open(target: &Target, more: &[(String, String)]) -> Result<ServerConn, ServerError> {
    let stream = Stream::connect(&target.endpoint)
        .await
        .map_err(ServerError::Connect)?;
    // A host name may lead to several servers: a cancel must reach the one that runs the query.
    let endpoint = match stream.peer_addr() {
        Some(peer) => Endpoint::Tcp {
            host: peer.ip().to_string(),
            port: peer.port(),
        },
        None => target.endpoint.clone(),
    };
    let mut stream = match (&target.tls, &target.endpoint) {
        (Some(tls), Endpoint::Tcp { host, .. }) => encrypt(stream, tls, host).await?,
        (None, _) | (_, Endpoint::Unix(_)) => stream,
    };
    let mut reader = FrameReader::new(SERVER_CONTROL_BYTES);
    let LoggedIn {
        parameters,
        pid,
        secret,
    } = log_in(target, more, &mut stream, &mut reader).await?;
    parameters.check_pinned()?;
    let mut cancel_key = CancelKey::new(endpoint, pid, secret);
    if stream.is_encrypted()
        && let (Some(tls), Endpoint::Tcp { host, .. }) = (&target.tls, &target.endpoint)
    {
        cancel_key = cancel_key.over_tls(Arc::clone(tls), host);
    }
    Ok(ServerConn::new(
        stream,
        parameters,
        cancel_key,
        PreparedSet::new(target.prepared_statements, SERVER_STATEMENT_BYTES),
    ))
}

async fn log_in(
    target: &Target,
    more: &[(String, String)],
    stream: &mut Stream,
    reader: &mut FrameReader,
) -> Result<LoggedIn, ServerError> {
    let mut out = BytesMut::new();
    let channel = stream.peer_certificate().and_then(server_end_point);
    let mut login = Login::start(target, more, channel, &mut out)?;
    loop {
        if !out.is_empty() {
            stream.write_all(&out).await.map_err(ServerError::Lost)?;
            stream.flush().await.map_err(ServerError::Lost)?;
            out.clear();
        }
        let message = Message::decode(&reader.read(stream).await?)?;
        match login.step(message, &mut out)? {
            Step::More(next) => login = next,
            Step::Done(mut logged_in) => {
                // A notice or a changed setting may ride behind ReadyForQuery; nothing may stay unread.
                while !reader.is_empty() {
                    logged_in.take_late(Message::decode(&reader.read(stream).await?)?)?;
                }
                return Ok(logged_in);
            }
        }
    }
}
