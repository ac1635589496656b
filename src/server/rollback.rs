//! Ending a transaction whose client is gone.

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;

use crate::base::DiscardReason;
use crate::base::limits::SERVER_CONTROL_BYTES;

use super::frame::FrameReader;
use super::message::Message;
use super::{Parameters, ServerConn, ServerError};

impl ServerConn {
    /// Rolls back the open transaction. Only for a connection whose replies have all been read: a reply
    /// that still comes is taken for a fault, so a half-read connection is never called clean.
    /// The caller bounds the time.
    ///
    /// # Errors
    /// Why the connection must be closed.
    ///
    /// # Cancel safety
    /// Not cancel safe: after a dropped rollback the connection must be closed.
    pub async fn roll_back(&mut self) -> Result<(), DiscardReason> {
        // A simple Query takes the place of the unnamed statement.
        self.unnamed = None;
        let mut request = BytesMut::new();
        frontend::query("ROLLBACK", &mut request).map_err(|_| DiscardReason::ProtocolViolation)?;
        self.stream
            .write_all(&request)
            .await
            .map_err(|_| DiscardReason::ServerGone)?;
        let flushed = self.stream.flush().await;
        flushed.map_err(|_| DiscardReason::ServerGone)?;
        let mut reader = FrameReader::new(SERVER_CONTROL_BYTES);
        let mut state = State::Asked;
        while state != State::Ready {
            let frame = reader
                .read(&mut self.stream)
                .await
                .map_err(|error| reason(&error))?;
            let message = Message::decode(&frame).map_err(|error| reason(&error))?;
            state = state.step(message, self.parameters())?;
        }
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
    Asked,
    Complete,
    Ready,
}

impl State {
    fn step(self, message: Message, at_login: &Parameters) -> Result<Self, DiscardReason> {
        match (self, message) {
            (Self::Asked, Message::CommandComplete { tag }) if tag == Bytes::from_static(b"ROLLBACK") => {
                Ok(Self::Complete)
            }
            (Self::Complete, Message::ReadyForQuery { status: b'I' }) => Ok(Self::Ready),
            (state, Message::NoticeResponse | Message::NotificationResponse) => Ok(state),
            // What the transaction had set locally goes back; anything else has leaked out of it.
            (state, Message::ParameterStatus { name, value }) => match at_login.get(&name) {
                Some(before) if *before == *value => Ok(state),
                _ => Err(DiscardReason::PinnedSetting),
            },
            (_, Message::ErrorResponse { .. }) => Err(DiscardReason::ServerGone),
            _ => Err(DiscardReason::ProtocolViolation),
        }
    }
}

/// Why a connection on which reading has failed must be closed.
pub(super) fn reason(error: &ServerError) -> DiscardReason {
    match error {
        ServerError::Lost(_) => DiscardReason::ServerGone,
        _ => DiscardReason::ProtocolViolation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(messages: Vec<Message>) -> Result<State, DiscardReason> {
        let mut at_login = Parameters::default();
        at_login.set("TimeZone".into(), "UTC".into());
        messages
            .into_iter()
            .try_fold(State::Asked, |state, message| state.step(message, &at_login))
    }

    fn complete(tag: &'static str) -> Message {
        Message::CommandComplete {
            tag: Bytes::from_static(tag.as_bytes()),
        }
    }

    fn time_zone(value: &str) -> Message {
        Message::ParameterStatus {
            name: "TimeZone".into(),
            value: value.into(),
        }
    }

    const IDLE: Message = Message::ReadyForQuery { status: b'I' };

    #[test]
    fn an_ordinary_rollback() {
        let messages = vec![
            Message::NoticeResponse,
            time_zone("UTC"),
            complete("ROLLBACK"),
            IDLE,
        ];
        assert_eq!(run(messages), Ok(State::Ready));
    }

    #[test]
    fn a_setting_that_stays_changed_is_not_reused() {
        assert_eq!(
            run(vec![time_zone("Mars/Olympus")]),
            Err(DiscardReason::PinnedSetting)
        );
    }

    #[test]
    fn a_reply_that_was_still_under_way_is_not_taken_for_ours() {
        for messages in [
            vec![IDLE],
            vec![complete("SELECT 1")],
            vec![complete("ROLLBACK"), Message::ReadyForQuery { status: b'T' }],
            vec![complete("ROLLBACK"), complete("ROLLBACK")],
        ] {
            assert_eq!(run(messages), Err(DiscardReason::ProtocolViolation));
        }
    }
}
