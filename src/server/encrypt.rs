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

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::tls::{ConnectorSettings, SslMode};

    /// What comes of a server that answers so and then closes.
    async fn outcome(mode: SslMode, answer: &'static [u8]) -> Result<bool, ServerError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            socket.read_exact(&mut request).await.unwrap();
            assert_eq!(request, SSL_REQUEST);
            socket.write_all(answer).await.unwrap();
            // Until the other side has had enough.
            let _ = socket.read(&mut [0; 1024]).await;
        });
        let settings = ConnectorSettings {
            mode,
            ca_file: None,
            identity: None,
        };
        let tls = Connector::new(settings).unwrap().unwrap();
        let stream = Stream::from_tcp(TcpStream::connect(address).await.unwrap()).unwrap();
        let outcome = encrypt(stream, &tls, "localhost").await;
        let outcome = outcome.map(|stream| stream.is_encrypted());
        server.await.unwrap();
        outcome
    }

    #[tokio::test]
    async fn only_prefer_goes_on_in_clear_text() {
        assert!(matches!(outcome(SslMode::Prefer, b"N").await, Ok(false)));
        assert!(matches!(
            outcome(SslMode::Require, b"N").await,
            Err(ServerError::NoTls)
        ));
    }

    #[tokio::test]
    async fn what_comes_behind_the_answer_is_not_believed() {
        for mode in [SslMode::Prefer, SslMode::Require] {
            for answer in [&b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"[..], b"S"] {
                let outcome = outcome(mode, answer).await;
                assert!(matches!(outcome, Err(ServerError::Tls(_))), "{outcome:?}");
            }
            let outcome = outcome(mode, b"E\0\0\0\x05\0").await;
            assert!(matches!(outcome, Err(ServerError::Protocol(_))), "{outcome:?}");
        }
    }
}
