//! Turning a fresh socket to a server into TLS (PostgreSQL manual, 55.2.10).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::net::Stream;
use crate::net::tls::Connector;

use super::ServerError;

/// SSLRequest (PostgreSQL manual, 55.7): length and code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Asks for TLS and handshakes. The stream stays as it is where the server speaks none and none is needed.
///
/// Not cancel safe: the socket is closed.
pub(super) async fn encrypt(mut stream: Stream, tls: &Connector, host: &str) -> Result<Stream, ServerError> {
    stream.write_all(&SSL_REQUEST).await.map_err(ServerError::Lost)?;
    // Exactly one byte: what somebody has slipped in behind it goes into the handshake, which then fails
    // (CVE-2021-23222).
    match stream.read_u8().await.map_err(ServerError::Lost)? {
        b'S' => tls.connect(stream, host).await.map_err(ServerError::Tls),
        b'N' if tls.allows_plaintext() => Ok(stream),
        b'N' => Err(ServerError::NoTls),
        other => {
            let other = other.escape_ascii();
            Err(ServerError::Protocol(
                format!("SSLRequest was answered by '{other}'").into(),
            ))
        }
    }
}
