//! Servers that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::net::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A scripted server: reads the startup packet, says its piece, then what comes after.
pub(crate) struct Fake {
    pub(crate) endpoint: Endpoint,
    accepted: Arc<AtomicUsize>,
}

/// What a fake server does after its piece.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Close,
    Hang,
}

impl Fake {
    pub(crate) async fn start(piece: Vec<u8>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(play(socket, piece.clone(), then));
            }
        });
        Self {
            endpoint: Endpoint::Tcp {
                host: "127.0.0.1".into(),
                port,
            },
            accepted,
        }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

async fn play(mut socket: TcpStream, piece: Vec<u8>, then: Then) {
    let length = socket.read_u32().await.unwrap();
    let mut startup = vec![0; length as usize - 4];
    socket.read_exact(&mut startup).await.unwrap();
    socket.write_all(&piece).await.unwrap();
    if matches!(then, Then::Hang) {
        let mut scrap = Vec::new();
        // Until the other side gives up.
        let _ = socket.read_to_end(&mut scrap).await;
    }
}

/// One message of the server.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

/// An ErrorResponse.
pub(crate) fn error(sqlstate: &str, text: &str) -> Vec<u8> {
    message(
        b'E',
        format!("SFATAL\0VFATAL\0C{sqlstate}\0M{text}\0\0").as_bytes(),
    )
}

/// A whole login without a password, with these settings.
pub(crate) fn greeting(settings: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = message(b'R', &[0; 4]);
    for (name, value) in settings {
        bytes.extend(message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    bytes.extend(message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]));
    bytes.extend(message(b'Z', b"I"));
    bytes
}

/// The settings the gateway insists on.
pub(crate) const PINNED: [(&str, &str); 3] = [
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("integer_datetimes", "on"),
];
