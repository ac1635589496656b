//! Cancelling what a server connection runs.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::base::limits::{CANCEL_KEY_BYTES, CANCEL_TIMEOUT};
use crate::net::tls::Connector;
use crate::net::{Endpoint, Stream};

use super::encrypt::encrypt;

/// The key with which one server connection's query can be cancelled, and where to send it.
#[derive(Clone)]
pub struct CancelKey {
    endpoint: Endpoint,
    /// How the session is encrypted, and the name its server was checked against.
    tls: Option<(Arc<Connector>, Box<str>)>,
    pid: i32,
    secret: Bytes,
}

impl CancelKey {
    /// A key as BackendKeyData carries it (at most [`CANCEL_KEY_BYTES`]), for the server at `endpoint`.
    pub fn new(endpoint: Endpoint, pid: i32, secret: Bytes) -> Self {
        Self {
            endpoint,
            tls: None,
            pid,
            secret,
        }
    }

    /// The key of a session that is encrypted: its cancel request is, too.
    pub(super) fn over_tls(self, tls: Arc<Connector>, host: &str) -> Self {
        Self {
            tls: Some((tls, host.into())),
            ..self
        }
    }

    /// The backend's process id, for logs.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a CancelRequest over a socket of its own and waits until the server closes it: by then the
    /// signal has been sent (`ProcessCancelRequestPacket` runs before the child exits). The server never says
    /// whether it matched.
    ///
    /// # Errors
    /// The socket failed, or [`CANCEL_TIMEOUT`] passed ([`io::ErrorKind::TimedOut`]).
    ///
    /// # Cancel safety
    /// Dropping it may leave the request unsent or sent; nothing else is affected.
    pub async fn send(&self) -> io::Result<()> {
        timeout(CANCEL_TIMEOUT, self.send_unbounded())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn send_unbounded(&self) -> io::Result<()> {
        let mut stream = Stream::connect(&self.endpoint).await?;
        if let Some((tls, host)) = &self.tls {
            stream = encrypt(stream, tls, host).await.map_err(io::Error::other)?;
            if !stream.is_encrypted() {
                return Err(io::Error::other("the server no longer supports TLS"));
            }
        }
        stream.write_all(&self.request()).await?;
        stream.flush().await?;
        let mut scrap = [0; 64];
        loop {
            match stream.read(&mut scrap).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // The server may close without reading all; the request had landed by then.
                // Encrypted, it may close without saying so.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
                    ) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// CancelRequest (PostgreSQL manual, 55.7): length, request code, process id, key.
    fn request(&self) -> BytesMut {
        // The login refuses longer keys; cut, an impossible one cannot overflow the length.
        let secret = self.secret.slice(..self.secret.len().min(CANCEL_KEY_BYTES));
        let length = 12 + secret.len();
        let mut request = BytesMut::with_capacity(length);
        request.put_u32(length as u32);
        request.put_u32(CANCEL_REQUEST_CODE);
        request.put_i32(self.pid);
        request.put_slice(&secret);
        request
    }
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey")
            .field("endpoint", &self.endpoint)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// `CANCEL_REQUEST_CODE`, pqcomm.h.
const CANCEL_REQUEST_CODE: u32 = 80_877_102;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &'static [u8]) -> CancelKey {
        CancelKey::new(Endpoint::Unix("/nowhere".into()), 258, Bytes::from_static(secret))
    }

    #[test]
    fn the_request_follows_the_protocol() {
        assert_eq!(
            &*key(b"\x01\x02\x03\x04").request(),
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\x01\x02\x01\x02\x03\x04"
        );
        assert_eq!(key(&[7; 32]).request().len(), 44);
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert!(!format!("{:?}", key(b"hush")).contains("hush"));
    }
}
