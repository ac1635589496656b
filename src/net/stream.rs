//! One connected socket, whatever its kind.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::unconstrained;
use tokio_rustls::TlsStream;

/// How long a connection may be silent before the other side is asked whether it is still there: shorter than
/// what common load balancers forget a connection after (350 s and more).
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// Time between such questions; the system gives up after its own number of them (9 on Linux).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Where a Postgres server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host name or address, and a port.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket's path, e.g. `/run/postgresql/.s.PGSQL.5432`.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A connected socket. Small packets leave at once (TCP_NODELAY), and a peer that has vanished without a word
/// is found out (SO_KEEPALIVE).
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP. What was written has left only after a flush.
    Tls(Box<TlsStream<TcpStream>>),
    /// TCP that the reactor does not watch ([`Stream::rest`]).
    Resting(std::net::TcpStream),
    /// No socket: the other end is in this process.
    #[cfg(any(test, feature = "in-process"))]
    Pipe(super::Pipe),
    /// No socket: it went into a handshake that has not succeeded. Reads as ended, takes no bytes.
    Closed,
}

impl Stream {
    /// Connects to an endpoint. Cancel safe: a dropped attempt leaves nothing behind.
    pub async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp { host, port } => Self::from_tcp(TcpStream::connect((host.as_str(), *port)).await?),
            Endpoint::Unix(path) => {
                #[cfg(any(test, feature = "in-process"))]
                if let Some(pipe) = super::pipe::connect(path) {
                    return Ok(Self::Pipe(pipe?));
                }
                Ok(Self::Unix(UnixStream::connect(path).await?))
            }
        }
    }

    /// Takes a connected TCP socket.
    pub fn from_tcp(socket: TcpStream) -> io::Result<Self> {
        set_options(&SockRef::from(&socket))?;
        Ok(Self::Tcp(socket))
    }

    /// Readies a listener for [`Stream::accepted`].
    pub fn ready_listener(listener: &TcpListener) -> io::Result<()> {
        set_options(&SockRef::from(listener))
    }

    /// Takes a socket that a ready listener has accepted. On Linux it has the listener's options already
    /// (tcp(7), socket(7)), which saves four system calls for each client.
    pub fn accepted(socket: TcpStream) -> io::Result<Self> {
        if cfg!(target_os = "linux") {
            Ok(Self::Tcp(socket))
        } else {
            Self::from_tcp(socket)
        }
    }

    /// The peer's address, for TCP.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.peer_addr().ok(),
            Self::Tls(tls) => tls.get_ref().0.peer_addr().ok(),
            Self::Resting(socket) => socket.peer_addr().ok(),
            #[cfg(any(test, feature = "in-process"))]
            Self::Pipe(_) => None,
            Self::Unix(_) | Self::Closed => None,
        }
    }

    /// Takes a plain TCP socket off the reactor, so that nobody is woken by what arrives. It comes back when it is
    /// used, but for [`Stream::try_read`] and [`Stream::try_write`]. Says whether it rests.
    pub fn rest(&mut self) -> bool {
        if let Self::Tcp(_) = self
            && let Self::Tcp(socket) = std::mem::replace(self, Self::Closed)
        {
            // Without its place on the reactor the socket is lost: whoever reads next is told so.
            *self = socket.into_std().map_or(Self::Closed, Self::Resting);
        }
        self.is_resting()
    }

    /// Whether the reactor does not watch the socket ([`Stream::rest`]).
    pub fn is_resting(&self) -> bool {
        matches!(self, Self::Resting(_))
    }

    /// Has the reactor watch the socket again, if it rests.
    #[cold]
    fn resume(&mut self) -> io::Result<&mut Self> {
        if let Self::Resting(_) = self
            && let Self::Resting(socket) = std::mem::replace(self, Self::Closed)
        {
            *self = Self::Tcp(TcpStream::from_std(socket)?);
        }
        Ok(self)
    }

    /// Whether nobody on the way can read along.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The protocol that both sides have agreed on by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        let Self::Tls(tls) = self else { return None };
        tls.get_ref().1.alpn_protocol()
    }

    /// The certificate the peer has shown, in DER form.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        let Self::Tls(tls) = self else { return None };
        Some(tls.get_ref().1.peer_certificates()?.first()?)
    }

    /// The first byte that waits in a TCP socket, which stays there; `None` at the end of the stream and for
    /// other sockets. Cancel safe.
    pub async fn peek(&self) -> io::Result<Option<u8>> {
        let Self::Tcp(socket) = self else {
            return Ok(None);
        };
        let mut byte = [0; 1];
        Ok((socket.peek(&mut byte).await? == 1).then_some(byte[0]))
    }

    /// Ready when something may have arrived: bytes, or the end of the stream. Reads nothing, and with TLS does not
    /// look at what has been decrypted already.
    pub fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ready = match self {
            Self::Tcp(socket) => socket.poll_read_ready(cx),
            Self::Unix(socket) => socket.poll_read_ready(cx),
            Self::Tls(tls) => tls.get_ref().0.poll_read_ready(cx),
            #[cfg(any(test, feature = "in-process"))]
            Self::Pipe(pipe) => return pipe.poll_arrival(cx),
            Self::Resting(_) => match self.resume() {
                Ok(stream) => return stream.poll_arrival(cx),
                Err(_) => return Poll::Ready(()),
            },
            Self::Closed => return Poll::Ready(()),
        };
        // What is wrong with the socket is said when it is read.
        ready.map(drop)
    }

    /// Reads what is there without waiting; [`io::ErrorKind::WouldBlock`] if nothing is. Plain sockets ask
    /// the runtime's record of readiness before they ask the kernel, and need no waker.
    pub fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(bytes),
            Self::Unix(socket) => socket.try_read(bytes),
            Self::Tls(tls) => {
                let mut buf = ReadBuf::new(bytes);
                at_once(|cx| Pin::new(&mut **tls).poll_read(cx, &mut buf))?;
                Ok(buf.filled().len())
            }
            Self::Resting(socket) => socket.read(bytes),
            #[cfg(any(test, feature = "in-process"))]
            Self::Pipe(pipe) => pipe.try_read(bytes),
            Self::Closed => Ok(0),
        }
    }

    /// Writes what the socket takes without waiting; [`io::ErrorKind::WouldBlock`] if that is nothing.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bytes),
            Self::Unix(socket) => socket.try_write(bytes),
            Self::Tls(tls) => at_once(|cx| Pin::new(&mut **tls).poll_write(cx, bytes)),
            Self::Resting(socket) => socket.write(bytes),
            #[cfg(any(test, feature = "in-process"))]
            Self::Pipe(pipe) => pipe.try_write(bytes),
            Self::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes to a client what the kernel takes at this moment, whether or not it has said that there is room again;
    /// [`io::ErrorKind::WouldBlock`] if that is nothing. With TLS, what has been encrypted before goes first.
    pub fn write_unasked(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => SockRef::from(&*socket).send(bytes),
            Self::Unix(socket) => SockRef::from(&*socket).send(bytes),
            Self::Resting(socket) => socket.write(bytes),
            #[cfg(any(test, feature = "in-process"))]
            Self::Pipe(pipe) => pipe.try_write(bytes),
            Self::Tls(tls) => match &mut **tls {
                TlsStream::Server(tls) => {
                    let (socket, session) = tls.get_mut();
                    let socket = SockRef::from(&*socket);
                    let mut socket = &*socket;
                    while session.wants_write() {
                        session.write_tls(&mut socket)?;
                    }
                    let taken = session.writer().write(bytes)?;
                    // What does not leave now has been taken all the same.
                    while session.wants_write() && session.write_tls(&mut socket).is_ok() {}
                    Ok(taken)
                }
                TlsStream::Client(_) => Err(io::ErrorKind::WouldBlock.into()),
            },
            Self::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Drops what has arrived by now, up to so many bytes: a socket that is closed with unread bytes in it takes back what
    /// was sent. Of TLS nothing is decrypted any more.
    pub fn drop_arrived(&mut self, most: usize) {
        let mut dropped = [0; 4096];
        for _ in 0..most.div_ceil(dropped.len()) {
            let read = match self {
                Self::Tcp(socket) => (&*SockRef::from(&*socket)).read(&mut dropped),
                Self::Unix(socket) => (&*SockRef::from(&*socket)).read(&mut dropped),
                Self::Tls(tls) => (&*SockRef::from(tls.get_ref().0)).read(&mut dropped),
                Self::Resting(socket) => socket.read(&mut dropped),
                #[cfg(any(test, feature = "in-process"))]
                Self::Pipe(pipe) => pipe.try_read(&mut dropped),
                Self::Closed => return,
            };
            if !matches!(read, Ok(1..)) {
                return;
            }
        }
    }
}

fn set_options(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_TIME)
            .with_interval(KEEPALIVE_INTERVAL),
    )
}

/// Polls once, with nobody to wake, outside of the task's budget.
fn at_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
    let once = pin!(unconstrained(std::future::poll_fn(|cx| poll(cx))));
    match once.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        match stream {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
            Self::Resting(_) => Pin::new(stream.resume()?).poll_read(cx, buf),
            #[cfg(any(test, feature = "in-process"))]
            Self::Pipe(pipe) => pipe.poll_read(cx, buf),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        match stream {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
            Self::Resting(_) => Pin::new(stream.resume()?).poll_write(cx, bytes),
            #[cfg(any(test, feature = "in-process"))]
            Self::Pipe(pipe) => pipe.poll_write(cx, bytes),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Unix(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
            // A plain socket keeps nothing back.
            #[cfg(any(test, feature = "in-process"))]
            Self::Pipe(_) => Poll::Ready(Ok(())),
            Self::Resting(_) | Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        match stream {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
            Self::Resting(_) => Pin::new(stream.resume()?).poll_shutdown(cx),
            #[cfg(any(test, feature = "in-process"))]
            Self::Pipe(pipe) => {
                pipe.shut_down();
                Poll::Ready(Ok(()))
            }
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_sockets_have_the_options_of_connected_ones() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Stream::ready_listener(&listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let Stream::Tcp(socket) = Stream::accepted(listener.accept().await.unwrap().0).unwrap() else {
            panic!("a TCP socket");
        };
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_TIME);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
    }
}
