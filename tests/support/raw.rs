//! A small blocking client that says exactly the bytes it is told to and reads frames back.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

#[allow(unused_imports, reason = "each test binary uses its part")]
pub(crate) use super::messages::{
    Frame, bind, close, describe, execute, flush, function_call, message, parse, password_message, query,
    startup, sync, untagged,
};
use super::trace::Peer;

/// Protocol 3.0 (PostgreSQL manual, 54.7, StartupMessage).
pub(crate) const VERSION_3_0: u32 = 0x0003_0000;
/// Protocol 3.2, of PostgreSQL 18.
pub(crate) const VERSION_3_2: u32 = 0x0003_0002;
/// SSLRequest, GSSENCRequest and CancelRequest (same section).
pub(crate) const SSL_REQUEST: u32 = 80_877_103;
pub(crate) const GSSENC_REQUEST: u32 = 80_877_104;
pub(crate) const CANCEL_REQUEST: u32 = 80_877_102;

/// Longer than anything a test waits for on purpose.
const PATIENCE: Duration = Duration::from_secs(40);

/// One connection.
pub(crate) struct RawClient {
    socket: Socket,
    /// What the greeting said.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Process id and key of the greeting, as a CancelRequest wants them.
    pub(crate) cancel_key: Vec<u8>,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why a login did not end in ReadyForQuery.
#[derive(Debug)]
pub(crate) enum Unready {
    /// The server said so.
    Refused(Frame),
    /// The socket failed or closed.
    Closed(io::Error),
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(bytes),
            Self::Unix(socket) => socket.read(bytes),
        }
    }
}

impl RawClient {
    /// A TCP connection to 127.0.0.1 on which nothing has been said.
    pub(crate) fn connect(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("the proxy accepts");
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::on(Socket::Tcp(socket))
    }

    /// A TCP connection to any address.
    pub(crate) fn connect_to(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("the proxy accepts");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::on(Socket::Tcp(socket))
    }

    /// A session that has logged in with a password; panics if it may not.
    pub(crate) fn login(port: u16, user: &str, database: &str, password: &str) -> Self {
        let options = [("user", user), ("database", database)];
        Self::try_login(port, &options, Some(password))
            .unwrap_or_else(|why| panic!("login: {}", why.describe()))
    }

    /// Logs in with these startup parameters; without a password the request for one is answered by
    /// an empty one, as libpq cannot do but other drivers do.
    pub(crate) fn try_login(
        port: u16,
        options: &[(&str, &str)],
        password: Option<&str>,
    ) -> Result<Self, Unready> {
        let mut client = Self::connect(port);
        client.send(&startup(VERSION_3_0, options));
        client.finish_login(password)?;
        Ok(client)
    }

    /// A superuser's session over the Unix socket of a test cluster; panics if it fails.
    pub(crate) fn superuser(folder: &Path, port: u16, database: &str) -> Self {
        Self::try_superuser(folder, port, database)
            .unwrap_or_else(|why| panic!("superuser: {}", why.describe()))
    }

    /// The same, for waiting until the cluster is up.
    pub(crate) fn try_superuser(folder: &Path, port: u16, database: &str) -> Result<Self, Unready> {
        Self::try_unix(folder, port, "postgres", database)
    }

    /// A session of any user over the Unix socket of a test cluster, where all are trusted.
    pub(crate) fn try_unix(folder: &Path, port: u16, user: &str, database: &str) -> Result<Self, Unready> {
        let mut client = Self::unix(folder, port).map_err(Unready::Closed)?;
        client.send(&startup(VERSION_3_0, &[("user", user), ("database", database)]));
        client.finish_login(None)?;
        Ok(client)
    }

    /// A connection over the Unix socket of a test cluster.
    pub(crate) fn to_unix(folder: &Path, port: u16) -> Self {
        Self::unix(folder, port).expect("the server accepts")
    }

    fn unix(folder: &Path, port: u16) -> io::Result<Self> {
        let socket = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}")))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::on(Socket::Unix(socket)))
    }

    /// Answers password requests and reads up to the first ReadyForQuery.
    pub(crate) fn finish_login(&mut self, password: Option<&str>) -> Result<(), Unready> {
        loop {
            let frame = self.try_read().map_err(Unready::Closed)?;
            match frame.tag {
                b'R' if frame.body == [0, 0, 0, 3] => self.send(&password_message(password.unwrap_or(""))),
                b'R' if frame.body == [0, 0, 0, 0] => {}
                b'S' => {
                    let text = String::from_utf8(frame.body).unwrap();
                    let mut parts = text.split('\0');
                    let name = parts.next().unwrap().to_owned();
                    self.parameters.insert(name, parts.next().unwrap().to_owned());
                }
                b'K' => self.cancel_key = frame.body,
                b'Z' => return Ok(()),
                b'E' => return Err(Unready::Refused(frame)),
                b'N' | b'v' => {}
                _ => panic!("during login: {frame:?}"),
            }
        }
    }

    /// Writes bytes as they are. A peer that has closed is no error here: reading will tell.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = match &mut self.socket {
            Socket::Tcp(socket) => socket.write_all(bytes),
            Socket::Unix(socket) => socket.write_all(bytes),
        };
    }

    /// Reads one byte, as the answer to SSLRequest is.
    pub(crate) fn read_byte(&mut self) -> u8 {
        let mut byte = [0];
        self.socket.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// The next message; panics on a closed or silent connection.
    pub(crate) fn read(&mut self) -> Frame {
        self.try_read()
            .unwrap_or_else(|why| panic!("expected a message: {why}"))
    }

    /// The next message.
    pub(crate) fn try_read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 5];
        self.socket.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; length as usize - 4];
        self.socket.read_exact(&mut body)?;
        Ok(Frame { tag: head[0], body })
    }

    /// Messages up to and with the next ReadyForQuery, or up to the end of the connection.
    pub(crate) fn until_ready(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Ok(frame) = self.try_read() {
            let done = frame.tag == b'Z';
            frames.push(frame);
            if done {
                break;
            }
        }
        frames
    }

    /// The first error of what comes up to the next ReadyForQuery.
    pub(crate) fn read_error(&mut self) -> Frame {
        let frames = self.until_ready();
        let error = frames.iter().find(|frame| frame.tag == b'E');
        error.unwrap_or_else(|| panic!("{frames:?}")).clone()
    }

    /// Whether the server has closed the connection, after whatever it still says.
    pub(crate) fn is_closed(&mut self) -> bool {
        loop {
            match self.try_read() {
                Ok(_) => {}
                Err(why) => {
                    return !matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        }
    }

    /// How long a read may take from now on.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        match &self.socket {
            Socket::Tcp(socket) => socket.set_read_timeout(Some(patience)).unwrap(),
            Socket::Unix(socket) => socket.set_read_timeout(Some(patience)).unwrap(),
        }
    }

    /// Runs one Query; the first column of its rows, NULL as `NULL`, or its error.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Vec<String>, Frame> {
        self.send(&query(sql));
        let frames = self.until_ready();
        if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
            return Err(error.clone());
        }
        assert!(
            frames.last().is_some_and(|frame| frame.tag == b'Z'),
            "closed during: {sql}"
        );
        let rows = frames.iter().filter(|frame| frame.tag == b'D');
        Ok(rows
            .map(|frame| frame.row().remove(0).unwrap_or_else(|| "NULL".to_owned()))
            .collect())
    }

    /// The same for a query that must succeed.
    pub(crate) fn values(&mut self, sql: &str) -> Vec<String> {
        self.query(sql)
            .unwrap_or_else(|error| panic!("{sql}: {} {:?}", error.sqlstate(), error.field('M')))
    }

    /// The single value of a query that must succeed.
    pub(crate) fn value(&mut self, sql: &str) -> String {
        let mut values = self.values(sql);
        assert_eq!(values.len(), 1, "{sql}: {values:?}");
        values.remove(0)
    }

    /// The SQLSTATE of a query that must fail.
    pub(crate) fn sqlstate(&mut self, sql: &str) -> String {
        match self.query(sql) {
            Ok(values) => panic!("{sql}: expected an error, got {values:?}"),
            Err(error) => error.sqlstate(),
        }
    }

    /// Takes one byte of what there is to read.
    pub(crate) fn sip(&mut self) {
        let _ = self.socket.read(&mut [0]);
    }

    /// Vanishes: no Terminate, the socket just closes.
    pub(crate) fn vanish(self) {
        match &self.socket {
            Socket::Tcp(socket) => drop(socket.shutdown(Shutdown::Both)),
            Socket::Unix(socket) => drop(socket.shutdown(Shutdown::Both)),
        }
    }

    /// The same connection once more, for a thread that sends while another reads.
    pub(crate) fn second_half(&self) -> Self {
        Self::on(match &self.socket {
            Socket::Tcp(socket) => Socket::Tcp(socket.try_clone().unwrap()),
            Socket::Unix(socket) => Socket::Unix(socket.try_clone().unwrap()),
        })
    }

    /// Closes the sending half only.
    pub(crate) fn half_close(&self) {
        match &self.socket {
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Write).unwrap(),
            Socket::Unix(socket) => socket.shutdown(Shutdown::Write).unwrap(),
        }
    }

    fn on(socket: Socket) -> Self {
        Self {
            socket,
            parameters: BTreeMap::new(),
            cancel_key: Vec::new(),
        }
    }
}

impl Peer for RawClient {
    fn send(&mut self, bytes: &[u8]) {
        self.send(bytes);
    }

    fn try_read(&mut self) -> io::Result<Frame> {
        self.try_read()
    }
}

impl Unready {
    /// The SQLSTATE it was refused with; panics if the connection just closed.
    pub(crate) fn sqlstate(&self) -> String {
        match self {
            Self::Refused(frame) => frame.sqlstate(),
            Self::Closed(why) => panic!("closed without an error: {why}"),
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Refused(frame) => format!(
                "{} {} (hint: {})",
                frame.sqlstate(),
                frame.field('M').unwrap_or_default(),
                frame.field('H').unwrap_or_default()
            ),
            Self::Closed(why) => format!("closed: {why}"),
        }
    }
}

/// Sends a CancelRequest for a key as the greeting gave it, and waits until the proxy has closed.
pub(crate) fn cancel(port: u16, key: &[u8]) {
    let mut client = RawClient::connect(port);
    client.send(&untagged(CANCEL_REQUEST, key));
    let mut rest = Vec::new();
    let _ = client.socket.read_to_end(&mut rest);
    assert!(rest.is_empty(), "a CancelRequest has no answer: {rest:?}");
}
