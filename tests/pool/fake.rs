//! Servers that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use portcullis::net::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A scripted server: reads the startup packet and says its first piece; says the next whenever it hears
/// something; takes down whatever it hears.
pub(crate) struct Fake {
    pub(crate) endpoint: Endpoint,
    accepted: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// What a fake server does after its last piece.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Close,
    Hang,
}

impl Fake {
    pub(crate) async fn start(piece: Vec<u8>, then: Then) -> Self {
        Self::start_with(vec![piece], then).await
    }

    pub(crate) async fn start_with(pieces: Vec<Vec<u8>>, then: Then) -> Self {
        Self::start_for(usize::MAX, pieces, then).await
    }

    /// Says its pieces to so many clients, and to those that come after them nothing at all.
    pub(crate) async fn start_for(clients: usize, pieces: Vec<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Endpoint::Tcp {
            host: "127.0.0.1".into(),
            port,
        };
        let fake = Self {
            endpoint,
            accepted: Arc::default(),
            heard: Arc::default(),
        };
        let (accepted, heard) = (Arc::clone(&fake.accepted), Arc::clone(&fake.heard));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (pieces, then) = if accepted.fetch_add(1, Ordering::SeqCst) < clients {
                    (pieces.clone(), then)
                } else {
                    (Vec::new(), Then::Hang)
                };
                tokio::spawn(play(socket, pieces, then, Arc::clone(&heard)));
            }
        });
        fake
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// All it heard after startup packets.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.lock().clone()
    }
}

async fn play(mut socket: TcpStream, pieces: Vec<Vec<u8>>, then: Then, heard: Arc<Mutex<Vec<u8>>>) {
    let length = socket.read_u32().await.unwrap();
    let mut startup = vec![0; length as usize - 4];
    socket.read_exact(&mut startup).await.unwrap();
    let mut pieces = pieces.into_iter();
    loop {
        if let Some(piece) = pieces.next() {
            socket.write_all(&piece).await.unwrap();
        }
        if let (Then::Close, 0) = (then, pieces.len()) {
            return;
        }
        let mut bytes = [0; 1024];
        // Until the other side gives up.
        let Ok(read @ 1..) = socket.read(&mut bytes).await else {
            return;
        };
        heard.lock().extend_from_slice(&bytes[..read]);
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
