//! Making a server connection as new after a session that kept it, and having the server show that it is.

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;

use crate::base::DiscardReason;
use crate::base::limits::SERVER_CONTROL_BYTES;

use super::frame::{Frame, FrameReader};
use super::message::Message;
use super::rollback::reason;
use super::{Parameters, ServerConn};

/// What is left of a session, one row for each thing; none on a connection that is as new. `DISCARD ALL` clears
/// all of it but the temporary schema, which lasts as long as the connection (namespace.c): one that has made
/// temporary objects is never as new. Every name carries its schema. Settings that nobody has declared (`app.x`)
/// are not listed by the server; `RESET ALL` leaves them empty. The modes of a transaction are set anew at its start
/// (`StartTransaction`, xact.c), whatever was set before.
const LEFT: &str = "\
SELECT 'listens' FROM pg_catalog.pg_listening_channels() \
UNION ALL SELECT 'advisory lock' FROM pg_catalog.pg_lock_status() \
  WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND locktype OPERATOR(pg_catalog.=) 'advisory' \
UNION ALL SELECT 'temporary schema' WHERE pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0 \
UNION ALL SELECT 'cursor' FROM pg_catalog.pg_cursors \
UNION ALL SELECT 'prepared statement' FROM pg_catalog.pg_prepared_statements \
UNION ALL SELECT 'role' WHERE current_user OPERATOR(pg_catalog.<>) session_user \
UNION ALL SELECT 'setting' FROM pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'session' \
  AND name NOT IN ('transaction_deferrable', 'transaction_isolation', 'transaction_read_only')";

impl ServerConn {
    /// Discards all that a session has left and has the server list what is there still. Only for a connection
    /// that owes no reply and has no transaction open; notifications may be under way.
    /// The caller bounds the time.
    ///
    /// # Errors
    /// Why the connection must be closed; [`DiscardReason::Unclean`] if something is left.
    ///
    /// # Cancel safety
    /// Not cancel safe: after a dropped reset the connection must be closed.
    pub async fn reset(&mut self) -> Result<(), DiscardReason> {
        let mut request = BytesMut::new();
        for sql in ["DISCARD ALL", LEFT] {
            frontend::query(sql, &mut request).map_err(|_| DiscardReason::ProtocolViolation)?;
        }
        let written = self.stream.write_all(&request).await;
        written.map_err(|_| DiscardReason::ServerGone)?;
        let flushed = self.stream.flush().await;
        flushed.map_err(|_| DiscardReason::ServerGone)?;
        let mut reader = FrameReader::new(SERVER_CONTROL_BYTES);
        let mut state = State::Asked;
        while state != State::Ready {
            let frame = reader.read(&mut self.stream).await;
            state = state.step(&frame.map_err(|error| reason(&error))?, self.parameters())?;
        }
        self.forget_session();
        if reader.is_empty() {
            Ok(())
        } else {
            Err(DiscardReason::ProtocolViolation)
        }
    }
}

/// How far the server's answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// DISCARD ALL is out.
    Asked,
    Discarded,
    /// ReadyForQuery has come; the list is next.
    Idle,
    /// RowDescription has come, and no row.
    Listed,
    /// The list was empty.
    Empty,
    Ready,
}

impl State {
    fn step(self, frame: &Frame, at_login: &Parameters) -> Result<Self, DiscardReason> {
        match (self, frame.tag) {
            (Self::Idle, b'T') => return Ok(Self::Listed),
            (Self::Listed, b'D') => return Err(DiscardReason::Unclean),
            _ => {}
        }
        match (self, Message::decode(frame).map_err(|error| reason(&error))?) {
            (Self::Asked, Message::CommandComplete { tag }) if tag == Bytes::from_static(b"DISCARD ALL") => {
                Ok(Self::Discarded)
            }
            (Self::Discarded, Message::ReadyForQuery { status: b'I' }) => Ok(Self::Idle),
            (Self::Listed, Message::CommandComplete { tag }) if tag == Bytes::from_static(b"SELECT 0") => {
                Ok(Self::Empty)
            }
            (Self::Empty, Message::ReadyForQuery { status: b'I' }) => Ok(Self::Ready),
            // Those of channels that the session has listened to.
            (Self::Asked, Message::NotificationResponse) => Ok(self),
            (state, Message::NoticeResponse) => Ok(state),
            // What goes back goes back to what the login has said.
            (state, Message::ParameterStatus { name, value }) => match at_login.get(&name) {
                Some(before) if *before == *value => Ok(state),
                _ => Err(DiscardReason::PinnedSetting),
            },
            // Its last words: operator intervention, class 57.
            (_, Message::ErrorResponse { sqlstate, .. }) if sqlstate.as_str().starts_with("57P") => {
                Err(DiscardReason::ServerGone)
            }
            (_, Message::ErrorResponse { .. }) => Err(DiscardReason::Unclean),
            _ => Err(DiscardReason::ProtocolViolation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(frames: &[(u8, &'static [u8])]) -> Result<State, DiscardReason> {
        let mut at_login = Parameters::default();
        at_login.set("TimeZone".into(), "UTC".into());
        frames.iter().try_fold(State::Asked, |state, (tag, body)| {
            let body = Bytes::from_static(body);
            state.step(&Frame { tag: *tag, body }, &at_login)
        })
    }

    const DISCARDED: (u8, &[u8]) = (b'C', b"DISCARD ALL\0");
    const IDLE: (u8, &[u8]) = (b'Z', b"I");
    const HEAD: (u8, &[u8]) = (b'T', b"\0\0");

    #[test]
    fn nothing_is_left() {
        let heard = (b'A', &b"\0\0\0\x01c\0\0"[..]);
        let reported = (b'S', &b"TimeZone\0UTC\0"[..]);
        let frames = [
            heard,
            reported,
            DISCARDED,
            IDLE,
            HEAD,
            (b'C', b"SELECT 0\0"),
            IDLE,
        ];
        assert_eq!(run(&frames), Ok(State::Ready));
    }

    #[test]
    fn anything_else_is_not_reused() {
        use DiscardReason::{PinnedSetting, ProtocolViolation, Unclean};
        let error = (b'E', &b"SERROR\0VERROR\0C25001\0Min a block\0\0"[..]);
        let row = (b'D', &b"\0\x01\0\0\0\x04role"[..]);
        for (frames, why) in [
            (vec![DISCARDED, IDLE, HEAD, row], Unclean),
            (vec![error], Unclean),
            (vec![DISCARDED, IDLE, error], Unclean),
            (vec![DISCARDED, (b'Z', b"T")], ProtocolViolation),
            (
                vec![DISCARDED, IDLE, HEAD, (b'C', b"SELECT 1\0")],
                ProtocolViolation,
            ),
            (vec![DISCARDED, (b'A', b"\0\0\0\x01c\0\0")], ProtocolViolation),
            (vec![(b'C', b"SELECT 1\0")], ProtocolViolation),
            (vec![(b'S', b"TimeZone\0Mars\0")], PinnedSetting),
        ] {
            assert_eq!(run(&frames), Err(why), "{frames:?}");
        }
    }
}
