//! Reads whole packets during a login, each within its bound.

use std::future::poll_fn;

use super::LoginError;
use crate::base::limits;
use crate::net::{Inbox, Stream};
use crate::wire::body::cstr;
use crate::wire::frame::{self, HEAD_BYTES};
use crate::wire::startup::{self, FirstPacket};
use crate::wire::tag::client as tag;

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
