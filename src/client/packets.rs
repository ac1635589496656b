//! Reads whole packets during a login, each within its bound.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::LoginError;
use super::waiting_room::Place;
use crate::base::limits;
use crate::base::memory::{Account, Budget, Charge, Holder};
use crate::net::tls::{ALPN, Accepted, Acceptor};
use crate::net::{Inbox, Stream};
use crate::wire::frame::{self, HEAD_BYTES};
use crate::wire::startup::{self, FirstPacket, SaslInitial};
use crate::wire::tag::client as tag;

/// The first byte of a TLS handshake: a record's content type (RFC 8446, 5.1). A packet's first byte is the
/// highest of its length, which is always 0.
const HANDSHAKE: u8 = 22;

/// A client connection during login.
pub(super) struct Packets {
    pub(super) stream: Stream,
    /// Where it comes from.
    pub(super) address: SocketAddr,
    pub(super) inbox: Inbox,
    /// What a login over this channel is bound to, where it can be.
    pub(super) end_point: Option<Arc<[u8]>>,
    heard: bool,
    place: Arc<Place>,
    budget: Arc<Budget>,
    /// That of its address.
    account: Option<Arc<Account>>,
    /// What a long message is charged with, to the client's address.
    charge: Option<Charge>,
}

impl Packets {
    pub(super) fn new(stream: Stream, address: SocketAddr, place: Place, budget: &Arc<Budget>) -> Self {
        Self {
            stream,
            address,
            inbox: Inbox::default(),
            end_point: None,
            heard: false,
            place: Arc::new(place),
            budget: Arc::clone(budget),
            account: None,
            charge: None,
        }
    }

    /// Its place among those who have not logged in.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The account of its address, which lasts as long as one of its clients logs in.
    pub(super) fn account(&mut self) -> &Arc<Account> {
        let (budget, ip) = (&self.budget, self.address.ip());
        self.account
            .get_or_insert_with(|| budget.account(Holder::address(ip)))
    }

    /// The login is over: its place is free, and here is what goes on.
    pub(super) fn into_parts(self) -> (Stream, Inbox) {
        (self.stream, self.inbox)
    }

    /// The next packet without a type byte. Cancel safe: what has come stays in the inbox.
    pub(super) async fn first_packet(&mut self) -> Result<FirstPacket, LoginError> {
        loop {
            if let Some(len) = startup::packet_len(self.inbox.bytes())?
                && let Some(packet) = self.inbox.bytes().get(..len)
            {
                let decoded = startup::decode(packet)?;
                self.inbox.consume(len);
                self.place.get_on();
                self.charge = None;
                return Ok(decoded);
            }
            // Half a packet waits in as little as it needs, or in a buffer.
            self.inbox.park();
            if self.inbox.bytes().len() > limits::LOGIN_UNASKED_BYTES {
                self.ask(limits::BUFFER_BYTES)?;
            }
            self.fill().await?;
        }
    }

    /// Asks for the memory of a long message, if it is one.
    fn ask(&mut self, bytes: usize) -> Result<(), LoginError> {
        if bytes <= limits::LOGIN_UNASKED_BYTES {
            return Ok(());
        }
        let account = Arc::clone(self.account());
        let charge = self.charge.get_or_insert_with(|| Charge::new(&account));
        Ok(charge.grow_to(bytes)?)
    }

    /// The password. Not cancel safe: half a password is lost with the call.
    pub(super) async fn password(&mut self) -> Result<Vec<u8>, LoginError> {
        let mut password = self
            .proof(limits::PASSWORD_MESSAGE_BYTES, LoginError::PasswordTooLong)
            .await?;
        match password.pop() {
            Some(0) if !password.contains(&0) => Ok(password),
            _ => Err(LoginError::BadPassword),
        }
    }

    /// The first message of a SASL exchange. Not cancel safe, as [`Packets::password`].
    pub(super) async fn sasl_initial(&mut self, limit: usize) -> Result<SaslInitial, LoginError> {
        Ok(startup::sasl_initial(
            &self.proof(limit, LoginError::SaslTooLong).await?,
        )?)
    }

    /// A further message of a SASL exchange. Not cancel safe, as [`Packets::password`].
    pub(super) async fn sasl_response(&mut self, limit: usize) -> Result<Vec<u8>, LoginError> {
        self.proof(limit, LoginError::SaslTooLong).await
    }

    /// The body of a message with which a client proves who it is.
    async fn proof(
        &mut self,
        limit: usize,
        too_long: fn(usize) -> LoginError,
    ) -> Result<Vec<u8>, LoginError> {
        let head = loop {
            if let Some(head) = frame::head(self.inbox.bytes())? {
                break head;
            }
            self.inbox.park();
            self.fill().await?;
        };
        match head.tag {
            tag::PASSWORD => {}
            tag::TERMINATE => return Err(LoginError::Gone),
            other => return Err(LoginError::NotAPassword(other)),
        }
        if head.body_len > limit {
            return Err(too_long(head.body_len));
        }
        self.inbox.consume(HEAD_BYTES);
        let mut body = Vec::new();
        while body.len() < head.body_len {
            let here = self.inbox.bytes();
            let take = here.len().min(head.body_len - body.len());
            body.extend_from_slice(here.get(..take).unwrap_or_default());
            self.inbox.consume(take);
            if body.len() < head.body_len {
                self.ask(body.capacity())?;
                self.fill().await?;
            }
        }
        self.place.get_on();
        self.charge = None;
        Ok(body)
    }

    /// Reads what still comes and drops it, up to the end of the stream or a bound. Cancel safe: nobody wants it.
    pub(super) async fn drop_rest(&mut self) {
        let mut rest = (&mut self.stream).take(limits::REFUSED_BYTES as u64);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
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
        let accepted = acceptor.accept(plain).await.map_err(LoginError::Handshake)?;
        let Accepted {
            stream,
            end_point,
            objection,
        } = accepted;
        self.stream = stream;
        self.end_point = end_point;
        self.place.get_on();
        match objection {
            None => Ok(()),
            Some(error) => Err(LoginError::Certificate(error.to_string())),
        }
    }

    async fn fill(&mut self) -> Result<(), LoginError> {
        match poll_fn(|cx| self.inbox.poll_fill(&mut self.stream, cx)).await? {
            0 if self.heard => Err(LoginError::Gone),
            0 => Err(LoginError::NothingSaid),
            _ => {
                if !std::mem::replace(&mut self.heard, true) {
                    self.place.get_on();
                }
                Ok(())
            }
        }
    }
}
