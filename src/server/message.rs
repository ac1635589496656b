//! The messages a server may send during login or in answer to ROLLBACK (PostgreSQL manual, 55.7).

use bytes::Bytes;

use crate::base::SqlState;
use crate::base::limits::CANCEL_KEY_BYTES;

use super::ServerError;
use super::frame::Frame;

/// A decoded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    AuthenticationOk,
    AuthenticationCleartextPassword,
    AuthenticationMd5Password {
        salt: [u8; 4],
    },
    AuthenticationSasl {
        mechanisms: Bytes,
    },
    AuthenticationSaslContinue(Bytes),
    AuthenticationSaslFinal(Bytes),
    /// Kerberos, GSSAPI, SSPI or something newer.
    AuthenticationOther(u32),
    BackendKeyData {
        pid: i32,
        secret: Bytes,
    },
    ParameterStatus {
        name: Box<str>,
        value: Box<str>,
    },
    CommandComplete {
        tag: Bytes,
    },
    ReadyForQuery {
        status: u8,
    },
    ErrorResponse {
        sqlstate: SqlState,
        message: String,
    },
    NoticeResponse,
    NotificationResponse,
}

impl Message {
    /// Decodes a message; every length inside it is checked, nothing may be left over.
    pub(super) fn decode(frame: &Frame) -> Result<Self, ServerError> {
        let body = &frame.body;
        let message = match frame.tag {
            b'R' => authentication(body),
            b'K' => key_data(body),
            b'S' => parameter_status(body),
            b'C' => body.strip_suffix(b"\0").map(|tag| Self::CommandComplete {
                tag: body.slice_ref(tag),
            }),
            b'Z' => match **body {
                [status] => Some(Self::ReadyForQuery { status }),
                _ => None,
            },
            b'E' => error_response(body),
            b'N' => Some(Self::NoticeResponse),
            b'A' => Some(Self::NotificationResponse),
            tag => {
                return Err(ServerError::Protocol(
                    format!("unexpected message '{}'", tag.escape_ascii()).into(),
                ));
            }
        };
        message.ok_or_else(|| {
            ServerError::Protocol(format!("malformed message '{}'", frame.tag.escape_ascii()).into())
        })
    }

    /// The message's name, for errors.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::AuthenticationOk => "AuthenticationOk",
            Self::AuthenticationCleartextPassword => "AuthenticationCleartextPassword",
            Self::AuthenticationMd5Password { .. } => "AuthenticationMD5Password",
            Self::AuthenticationSasl { .. } => "AuthenticationSASL",
            Self::AuthenticationSaslContinue(_) => "AuthenticationSASLContinue",
            Self::AuthenticationSaslFinal(_) => "AuthenticationSASLFinal",
            Self::AuthenticationOther(_) => "another authentication request",
            Self::BackendKeyData { .. } => "BackendKeyData",
            Self::ParameterStatus { .. } => "ParameterStatus",
            Self::CommandComplete { .. } => "CommandComplete",
            Self::ReadyForQuery { .. } => "ReadyForQuery",
            Self::ErrorResponse { .. } => "ErrorResponse",
            Self::NoticeResponse => "NoticeResponse",
            Self::NotificationResponse => "NotificationResponse",
        }
    }
}

/// The codes of `AUTH_REQ_*`, libpq's protocol.h.
fn authentication(body: &Bytes) -> Option<Message> {
    let (code, rest) = body.split_first_chunk::<4>()?;
    Some(match u32::from_be_bytes(*code) {
        0 if rest.is_empty() => Message::AuthenticationOk,
        3 if rest.is_empty() => Message::AuthenticationCleartextPassword,
        5 => Message::AuthenticationMd5Password {
            salt: rest.try_into().ok()?,
        },
        10 => Message::AuthenticationSasl {
            mechanisms: body.slice_ref(rest),
        },
        11 => Message::AuthenticationSaslContinue(body.slice_ref(rest)),
        12 => Message::AuthenticationSaslFinal(body.slice_ref(rest)),
        0 | 3 => return None,
        other => Message::AuthenticationOther(other),
    })
}

/// Four bytes of key in protocol 3.0; up to 256 since 3.2.
fn key_data(body: &Bytes) -> Option<Message> {
    let (pid, secret) = body.split_first_chunk::<4>()?;
    let length_ok = (4..=CANCEL_KEY_BYTES).contains(&secret.len());
    length_ok.then(|| Message::BackendKeyData {
        pid: i32::from_be_bytes(*pid),
        // A copy: a slice would keep the whole login buffer alive for as long as the connection.
        secret: Bytes::copy_from_slice(secret),
    })
}

fn parameter_status(body: &Bytes) -> Option<Message> {
    let (name, rest) = split_cstr(body)?;
    let (value, rest) = split_cstr(rest)?;
    let text = |bytes| std::str::from_utf8(bytes).ok().map(Into::into);
    rest.is_empty().then_some(())?;
    Some(Message::ParameterStatus {
        name: text(name)?,
        value: text(value)?,
    })
}

/// Fields by their letter (PostgreSQL manual, 55.8); only the code and the primary message are kept.
fn error_response(body: &Bytes) -> Option<Message> {
    let mut rest: &[u8] = body;
    let mut sqlstate = None;
    let mut message = String::new();
    while let Some((&field, tail)) = rest.split_first().filter(|(field, _)| **field != 0) {
        let (value, tail) = split_cstr(tail)?;
        match field {
            b'C' => sqlstate = SqlState::from_bytes(value),
            // Before the encoding is agreed on the server may speak its own.
            b'M' => message = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
        rest = tail;
    }
    (rest == [0]).then_some(())?;
    Some(Message::ErrorResponse {
        sqlstate: sqlstate?,
        message,
    })
}

fn split_cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(tag: u8, body: &[u8]) -> Result<Message, ServerError> {
        Message::decode(&Frame {
            tag,
            body: Bytes::copy_from_slice(body),
        })
    }

    #[test]
    fn well_formed_messages() {
        for (tag, body, message) in [
            (b'R', &b"\0\0\0\0"[..], Message::AuthenticationOk),
            (
                b'R',
                b"\0\0\0\x05abcd",
                Message::AuthenticationMd5Password { salt: *b"abcd" },
            ),
            (b'R', b"\0\0\0\x07", Message::AuthenticationOther(7)),
            (b'Z', b"I", Message::ReadyForQuery { status: b'I' }),
            (
                b'S',
                b"a\0b\0",
                Message::ParameterStatus {
                    name: "a".into(),
                    value: "b".into(),
                },
            ),
            (
                b'K',
                b"\0\0\x01\0wxyz",
                Message::BackendKeyData {
                    pid: 256,
                    secret: Bytes::from_static(b"wxyz"),
                },
            ),
        ] {
            assert_eq!(decode(tag, body).unwrap(), message);
        }
        let error = decode(b'E', b"SFATAL\0VFATAL\0C57P03\0Mstarting\0\0").unwrap();
        let sqlstate = SqlState::CANNOT_CONNECT_NOW;
        assert_eq!(
            error,
            Message::ErrorResponse {
                sqlstate,
                message: "starting".into()
            }
        );
    }

    #[test]
    fn malformed_messages() {
        let long_key = [0; 4 + CANCEL_KEY_BYTES + 1];
        for (tag, body) in [
            (b'R', &b""[..]),
            (b'R', b"\0\0\0\0x"),
            (b'R', b"\0\0\0\x05abc"),
            (b'K', b"\0\0\0\x01abc"),
            (b'K', &long_key),
            (b'Z', b""),
            (b'Z', b"II"),
            (b'S', b"a\0b"),
            (b'S', b"a\0b\0c"),
            (b'S', b"a\0\xff\0"),
            (b'C', b"ROLLBACK"),
            (b'E', b"C57P03\0Mx"),
            (b'E', b"Mno code\0\0"),
            (b'E', b"C57p03\0\0"),
            (b'D', b"\0\0"),
        ] {
            assert!(
                matches!(decode(tag, body), Err(ServerError::Protocol(_))),
                "{tag} {body:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(tag in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(tag, &body);
        }
    }
}
