//! Reads the few messages of a login or a rollback, one at a time, within bounds.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::base::limits::SERVER_CONTROL_MESSAGE_BYTES;

use super::ServerError;

/// One message of the server: its type byte and what follows the length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) tag: u8,
    pub(super) body: Bytes,
}

/// Splits the server's bytes into messages. Not for the data path: it buffers whole messages, and only
/// small ones.
#[derive(Debug)]
pub(super) struct FrameReader {
    buffer: BytesMut,
    /// Bytes the server may still send.
    budget: usize,
}

impl FrameReader {
    /// A reader for an exchange in which the server sends at most `budget_bytes`.
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::with_capacity(1024),
            budget: budget_bytes,
        }
    }

    /// Whether every byte read so far belongs to a message that was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next message. Cancel safe: bytes that arrived stay in the reader.
    ///
    /// # Errors
    /// [`ServerError::Lost`] if the stream ends or fails, [`ServerError::Protocol`] if a bound is exceeded.
    pub(super) async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<Frame, ServerError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(frame);
            }
            self.buffer.reserve(1024);
            let read = stream
                .read_buf(&mut self.buffer)
                .await
                .map_err(ServerError::Lost)?;
            if read == 0 {
                return Err(ServerError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            self.budget = self
                .budget
                .checked_sub(read)
                .ok_or(ServerError::Protocol("too many bytes".into()))?;
        }
    }

    /// The next message, if all of it has arrived. The length is judged before the body is awaited.
    fn take(&mut self) -> Result<Option<Frame>, ServerError> {
        let &[tag, a, b, c, d, ..] = &*self.buffer else {
            return Ok(None);
        };
        let body = match (u32::from_be_bytes([a, b, c, d]) as usize).checked_sub(4) {
            Some(body) if body <= SERVER_CONTROL_MESSAGE_BYTES => body,
            _ => {
                let tag = tag.escape_ascii();
                return Err(ServerError::Protocol(
                    format!("message '{tag}' has an impossible length").into(),
                ));
            }
        };
        if self.buffer.len() < HEADER_BYTES + body {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some(Frame {
            tag,
            body: self.buffer.split_to(body).freeze(),
        }))
    }
}

/// Type byte and length word (PostgreSQL manual, 55.1).
const HEADER_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8], chunk: usize, budget: usize) -> (Vec<Frame>, ServerError) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut chunks = tokio::io::BufReader::with_capacity(chunk, bytes);
            let mut reader = FrameReader::new(budget);
            let mut frames = Vec::new();
            loop {
                match reader.read(&mut chunks).await {
                    Ok(frame) => frames.push(frame),
                    Err(error) => return (frames, error),
                }
            }
        })
    }

    #[test]
    fn impossible_lengths_are_refused_before_the_body_arrives() {
        for length in [[0, 0, 0, 0], [0, 0, 0, 3], [0xff; 4], *b"TTP/"] {
            let bytes = [b"H", &length[..]].concat();
            assert!(
                matches!(read_all(&bytes, 64, 100), (frames, ServerError::Protocol(_)) if frames.is_empty())
            );
        }
    }

    #[test]
    fn a_server_that_never_stops_is_cut_off() {
        let notices = b"N\0\0\0\x05\0".repeat(50);
        let (frames, error) = read_all(&notices, 64, 120);
        assert!(
            frames.len() <= 20 && matches!(error, ServerError::Protocol(_)),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(
            messages in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..10),
            chunk in 1_usize..30,
        ) {
            let mut bytes = Vec::new();
            for (tag, body) in &messages {
                bytes.push(*tag);
                bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
                bytes.extend_from_slice(body);
            }
            let (frames, error) = read_all(&bytes, chunk, usize::MAX);
            let read = frames.iter().map(|frame| (frame.tag, frame.body.to_vec())).collect::<Vec<_>>();
            prop_assert_eq!(read, messages);
            prop_assert!(matches!(error, ServerError::Lost(_)));
        }
    }
}
