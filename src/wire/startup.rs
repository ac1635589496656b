//! The first packet of a connection (PostgreSQL manual, 54.2 and 54.7; `ProcessStartupPacket`, postmaster.c).

use thiserror::Error;

use super::body::cstr;
use crate::base::limits;

/// Minor protocol versions: 3.2 brought longer cancel keys.
pub const NEWEST_MINOR: u16 = 2;

const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
/// The type byte of Terminate, which is no length that a packet can have.
const TERMINATE: u8 = super::tag::client::TERMINATE;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;

/// A first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstPacket {
    /// The client asks whether TLS is spoken here.
    SslRequest,
    /// The client asks for GSSAPI encryption.
    GssEncRequest,
    /// The client asks to cancel a running query.
    Cancel(CancelRequest),
    /// The client wants a session.
    Startup(Startup),
}

/// A request to cancel the query that runs under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRequest {
    /// Process id part of the key.
    pub pid: i32,
    /// Secret part of the key: 4 bytes in protocol 3.0, up to 256 in 3.2.
    pub secret: Vec<u8>,
}

/// A request for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The minor version asked for; the major one is 3.
    pub minor: u16,
    /// Parameters in the order they came, `_pq_.` options among them.
    pub parameters: Vec<(String, String)>,
}

impl Startup {
    /// The last value given for a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The version both sides speak.
    pub fn negotiated_minor(&self) -> u16 {
        // 3.1 was never a version; Postgres answers it with 3.0 (`pq_getmsg` of `ProcessStartupPacket`).
        if self.minor >= NEWEST_MINOR {
            NEWEST_MINOR
        } else {
            0
        }
    }

    /// Protocol options we do not know, which NegotiateProtocolVersion lists.
    pub fn unknown_options(&self) -> Vec<String> {
        self.parameters
            .iter()
            .filter(|(key, _)| key.starts_with("_pq_."))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

/// SASLInitialResponse: the mechanism that the client has chosen, and what it says first.
#[derive(Clone, PartialEq, Eq)]
pub struct SaslInitial {
    /// The mechanism's name as it was sent.
    pub mechanism: Vec<u8>,
    /// The first message; `None` if the client wants to be asked for it (RFC 4422, 3.3).
    pub message: Option<Vec<u8>>,
}

/// A SASLInitialResponse that is none.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("invalid SASLInitialResponse")]
pub struct BadSaslInitial;

/// Decodes the body of a SASLInitialResponse (PostgreSQL manual, 54.7).
pub fn sasl_initial(body: &[u8]) -> Result<SaslInitial, BadSaslInitial> {
    let (mechanism, rest) = cstr(body).ok_or(BadSaslInitial)?;
    let (length, message) = rest.split_first_chunk::<4>().ok_or(BadSaslInitial)?;
    let message = match i32::from_be_bytes(*length) {
        -1 if message.is_empty() => None,
        length if usize::try_from(length) == Ok(message.len()) => Some(message.to_vec()),
        _ => return Err(BadSaslInitial),
    };
    Ok(SaslInitial {
        mechanism: mechanism.to_vec(),
        message,
    })
}

/// A first packet that is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadFirstPacket {
    /// Its length cannot be.
    #[error("invalid length of startup packet")]
    Length,
    /// A Terminate instead of it: a client that has thought better of it, to whom the server says nothing
    /// (`ProcessStartupPacket`, postmaster.c).
    #[error("the client left before its startup packet")]
    Terminate,
    /// A CancelRequest without a proper key, which is never answered.
    #[error("invalid length of cancel request packet")]
    CancelLength,
    /// Its form is broken.
    #[error("invalid startup packet layout: {0}")]
    Layout(&'static str),
    /// Its protocol is another.
    #[error("unsupported frontend protocol {0}.{1}: server supports 3.0 to 3.2")]
    Version(u16, u16),
}

/// The length of the packet that `bytes` begins with, itself included; `None` while it is incomplete.
pub fn packet_len(bytes: &[u8]) -> Result<Option<usize>, BadFirstPacket> {
    let [a, b, c, d, ..] = *bytes else {
        return Ok(None);
    };
    if [a, b, c, d] == [TERMINATE, 0, 0, 0] {
        return Err(BadFirstPacket::Terminate);
    }
    match usize::try_from(u32::from_be_bytes([a, b, c, d])) {
        Ok(len) if (8..=limits::STARTUP_PACKET_BYTES).contains(&len) => Ok(Some(len)),
        _ => Err(BadFirstPacket::Length),
    }
}

/// Decodes a whole first packet, its length included.
pub fn decode(packet: &[u8]) -> Result<FirstPacket, BadFirstPacket> {
    let Some((code, rest)) = packet.get(4..).and_then(<[u8]>::split_first_chunk::<4>) else {
        return Err(BadFirstPacket::Length);
    };
    match u32::from_be_bytes(*code) {
        SSL_REQUEST if rest.is_empty() => Ok(FirstPacket::SslRequest),
        GSSENC_REQUEST if rest.is_empty() => Ok(FirstPacket::GssEncRequest),
        SSL_REQUEST | GSSENC_REQUEST => Err(BadFirstPacket::Length),
        CANCEL_REQUEST => cancel(rest),
        _ => startup(*code, rest),
    }
}

fn cancel(rest: &[u8]) -> Result<FirstPacket, BadFirstPacket> {
    match rest.split_first_chunk::<4>() {
        Some((pid, secret)) if (4..=limits::CANCEL_KEY_BYTES).contains(&secret.len()) => {
            Ok(FirstPacket::Cancel(CancelRequest {
                pid: i32::from_be_bytes(*pid),
                secret: secret.to_vec(),
            }))
        }
        _ => Err(BadFirstPacket::CancelLength),
    }
}

fn startup([a, b, c, d]: [u8; 4], mut rest: &[u8]) -> Result<FirstPacket, BadFirstPacket> {
    let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    if major != 3 {
        return Err(BadFirstPacket::Version(major, minor));
    }
    let mut parameters = Vec::new();
    loop {
        let (name, after) = cstr(rest).ok_or(BadFirstPacket::Layout("expected terminator as last byte"))?;
        if name.is_empty() {
            break if after.is_empty() {
                Ok(FirstPacket::Startup(Startup { minor, parameters }))
            } else {
                Err(BadFirstPacket::Layout("bytes follow the terminator"))
            };
        }
        let (value, after) = cstr(after).ok_or(BadFirstPacket::Layout("a parameter has no value"))?;
        parameters.push((text(name)?, text(value)?));
        rest = after;
    }
}

fn text(bytes: &[u8]) -> Result<String, BadFirstPacket> {
    String::from_utf8(bytes.to_vec()).map_err(|_| BadFirstPacket::Layout("a parameter is not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(code: [u8; 4], rest: &[u8]) -> Vec<u8> {
        let mut packet = u32::try_from(8 + rest.len()).unwrap().to_be_bytes().to_vec();
        packet.extend(code);
        packet.extend(rest);
        packet
    }

    #[test]
    fn decodes_a_startup() {
        let bytes = packet([0, 3, 0, 0], b"user\0alice\0database\0acme\0\0");
        assert_eq!(packet_len(&bytes), Ok(Some(bytes.len())));
        let FirstPacket::Startup(startup) = decode(&bytes).unwrap() else {
            panic!("not a startup")
        };
        assert_eq!(startup.get("user"), Some("alice"));
        assert_eq!(startup.get("database"), Some("acme"));
        assert_eq!(startup.negotiated_minor(), 0);
    }

    #[test]
    fn greased_versions_are_negotiated_down() {
        let bytes = packet([0, 3, 0x27, 0x0f], b"user\0a\0_pq_.test\0x\0\0");
        let FirstPacket::Startup(startup) = decode(&bytes).unwrap() else {
            panic!("not a startup")
        };
        assert_eq!((startup.minor, startup.negotiated_minor()), (9999, 2));
        assert_eq!(startup.unknown_options(), ["_pq_.test"]);
    }

    #[test]
    fn refuses_what_is_malformed() {
        assert_eq!(packet_len(&[0, 0, 0, 7]), Err(BadFirstPacket::Length));
        assert_eq!(packet_len(&[0xff; 4]), Err(BadFirstPacket::Length));
        assert_eq!(
            decode(&packet([0, 2, 0, 0], b"\0")),
            Err(BadFirstPacket::Version(2, 0))
        );
        assert!(decode(&packet([0, 3, 0, 0], b"user\0alice")).is_err());
        assert!(decode(&packet([0, 3, 0, 0], b"user\0alice\0\0x")).is_err());
        assert!(decode(&packet(CANCEL_REQUEST.to_be_bytes(), &[0; 6])).is_err());
    }

    #[test]
    fn decodes_the_first_sasl_message() {
        let initial = |message: Option<&[u8]>| {
            Ok(SaslInitial {
                mechanism: b"SCRAM-SHA-256".to_vec(),
                message: message.map(<[u8]>::to_vec),
            })
        };
        let decoded = |rest: &[u8]| sasl_initial(&[b"SCRAM-SHA-256\0", rest].concat());
        assert!(decoded(&[0, 0, 0, 2, b'n', b',']) == initial(Some(b"n,")));
        assert!(decoded(&[0, 0, 0, 0]) == initial(Some(b"")));
        assert!(decoded(&[0xff; 4]) == initial(None));
        for bad in [
            &b""[..],
            &[0, 0, 0],
            &[0, 0, 0, 1],
            &[0, 0, 0, 1, 2, 3],
            &[0xff, 0xff, 0xff, 0xff, 1],
            &[0xff, 0xff, 0xff, 0xfe],
            &[0x7f, 0xff, 0xff, 0xff, 1],
        ] {
            assert!(decoded(bad) == Err(BadSaslInitial), "{bad:?}");
        }
        assert!(sasl_initial(b"SCRAM").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = sasl_initial(&bytes);
            let _ = packet_len(&bytes);
            let _ = decode(&bytes);
        }
    }
}
