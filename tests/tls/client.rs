//! A raw protocol client over TLS.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::support::people::Person;
use crate::support::raw::{Frame, SSL_REQUEST, VERSION_3_0, password_message, query, startup, untagged};

/// How a client asks for TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// SSLRequest.
    Request,
    /// Without asking.
    Direct,
}

/// A connection after its handshake.
pub(crate) struct TlsClient(StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    /// Connects and handshakes for `localhost`.
    pub(crate) fn connect(port: u16, way: Way, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        if way == Way::Request {
            socket.write_all(&untagged(SSL_REQUEST, b"")).unwrap();
            let mut answer = [0; 1];
            socket.read_exact(&mut answer)?;
            assert_eq!(answer, *b"S");
        }
        let name = "localhost".try_into().unwrap();
        let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        connection.complete_io(&mut socket)?;
        Ok(Self(StreamOwned::new(connection, socket)))
    }

    /// The certificate the proxy has shown.
    pub(crate) fn shown(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// Whether the handshake was a short one.
    pub(crate) fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Logs in; the error if it may not.
    pub(crate) fn login(&mut self, who: &Person) -> io::Result<Result<(), Frame>> {
        let parameters = [("user", who.name.as_str()), ("database", who.tenant.as_str())];
        self.send(&startup(VERSION_3_0, &parameters))?;
        self.send(&password_message(&who.token()))?;
        loop {
            let frame = self.read()?;
            match frame.tag {
                b'Z' => return Ok(Ok(())),
                b'E' => return Ok(Err(frame)),
                _ => {}
            }
        }
    }

    /// The first value of a query.
    pub(crate) fn value(&mut self, sql: &str) -> String {
        self.send(&query(sql)).unwrap();
        let mut value = None;
        loop {
            let frame = self.read().unwrap();
            match frame.tag {
                b'D' => value = frame.row().remove(0),
                b'Z' => return value.expect("a row"),
                b'E' => panic!("{frame:?}"),
                _ => {}
            }
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    pub(crate) fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body)?;
        Ok(Frame { tag: head[0], body })
    }
}
