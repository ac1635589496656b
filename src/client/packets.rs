//! Reads whole packets during a login, each within its bound.

use std::future::poll_fn;
use std::io;

use tokio::io::AsyncWriteExt as _;

use super::LoginError;
use crate::base::limits;
use crate::net::tls::{ALPN, Acceptor};
use crate::net::{Inbox, Stream};
use crate::wire::body::cstr;
use crate::wire::frame::{self, HEAD_BYTES};
use crate::wire::startup::{self, FirstPacket};
use crate::wire::tag::client as tag;

/// The first byte of a TLS handshake: a record's content type (RFC 8446, 5.1). A packet's first byte is the
/// highest of its length, which is always 0.
const HANDSHAKE: u8 = 22;

/// A client connection during login.
pub(super) struct Packets {
    pub(super) stream: Stream,
    pub(super) inbox: Inbox,
    heard: bool,
}

impl Packets {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            inbox: Inbox::default(),
            heard: false,
        }
    }

    /// The next packet without a type byte. Cancel safe: what has come stays in the inbox.
    pub(super) async fn first_packet(&mut self) -> Result<FirstPacket, LoginError> {
        loop {
            if let Some(len) = startup::packet_len(self.inbox.bytes())?
                && let Some(packet) = self.inbox.bytes().get(..len)
            {
                let decoded = startup::decode(packet)?;
                self.inbox.consume(len);
                return Ok(decoded);
            }
            self.fill().await?;
        }
    }

    /// The password. Not cancel safe: half a password is lost with the call.
    pub(super) async fn password(&mut self) -> Result<Vec<u8>, LoginError> {
        let head = loop {
            if let Some(head) = frame::head(self.inbox.bytes())? {
                break head;
            }
            self.fill().await?;
        };
        if head.tag != tag::PASSWORD {
            return Err(LoginError::NotAPassword(head.tag));
        }
        if head.body_len > limits::PASSWORD_MESSAGE_BYTES {
            return Err(LoginError::PasswordTooLong(head.body_len));
        }
        self.inbox.consume(HEAD_BYTES);
        let mut body = Vec::new();
        while body.len() < head.body_len {
            let here = self.inbox.bytes();
            let take = here.len().min(head.body_len - body.len());
            body.extend_from_slice(here.get(..take).unwrap_or_default());
            self.inbox.consume(take);
            if body.len() < head.body_len {
                self.fill().await?;
            }
        }
        match cstr(&body) {
            Some((password, [])) => Ok(password.to_vec()),
            _ => Err(LoginError::BadPassword),
        }
    }

    /// Writes everything. Not cancel safe.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Whether the client begins with a TLS handshake rather than with a packet of ours. For the very first
    /// bytes alone. Cancel safe.
    pub(super) async fn begins_with_handshake(&self) -> Result<bool, LoginError> {
        Ok(self.stream.peek().await? == Some(HANDSHAKE))
    }

    /// Grants an SSLRequest. What came behind it in clear text could have been slipped in by anybody on the
    /// way, and is refused rather than taken for the client's own (CVE-2021-23222).
    ///
    /// Not cancel safe: the socket is closed.
    pub(super) async fn grant_tls(&mut self, acceptor: &Acceptor) -> Result<(), LoginError> {
        if !self.inbox.is_empty() {
            return Err(LoginError::BytesBeforeHandshake);
        }
        self.send(b"S").await?;
        self.handshake(acceptor).await
    }

    /// Takes a handshake that came without an SSLRequest. Such a client must name the protocol, so that
    /// another protocol's client cannot be talked into speaking to us (ALPACA; PostgreSQL manual, 55.2.10).
    ///
    /// Not cancel safe: the socket is closed.
    pub(super) async fn take_direct_tls(&mut self, acceptor: &Acceptor) -> Result<(), LoginError> {
        self.handshake(acceptor).await?;
        if self.stream.protocol() == Some(ALPN) {
            Ok(())
        } else {
            Err(LoginError::DirectWithoutAlpn)
        }
    }

    async fn handshake(&mut self, acceptor: &Acceptor) -> Result<(), LoginError> {
        let plain = std::mem::replace(&mut self.stream, Stream::Closed);
        self.stream = acceptor.accept(plain).await.map_err(LoginError::Handshake)?;
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), LoginError> {
        match poll_fn(|cx| self.inbox.poll_fill(&mut self.stream, cx)).await? {
            0 if self.heard => Err(LoginError::Gone),
            0 => Err(LoginError::NothingSaid),
            _ => {
                self.heard = true;
                Ok(())
            }
        }
    }
}
