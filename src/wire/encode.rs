//! Messages that Portcullis writes, appended to a buffer.
//!
//! What is written once per transaction or per login is encoded here; the rarer messages of the login come from
//! `pgwire`.

use bytes::BufMut;

use super::frame::HEAD_BYTES;
use super::tag::{client, server};

/// A transaction's state as ReadyForQuery reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Not in a transaction block.
    Idle,
    /// In a transaction block.
    InBlock,
    /// In a failed transaction block.
    Failed,
}

impl TransactionStatus {
    /// Reads the status byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InBlock),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    /// The status byte.
    pub fn as_byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InBlock => b'T',
            Self::Failed => b'E',
        }
    }
}

/// Parse with the type OIDs as the client sent them (count included).
pub fn parse(out: &mut Vec<u8>, name: &str, sql: &str, types: &[u8]) {
    put_head(out, client::PARSE, name.len() + 1 + sql.len() + 1 + types.len());
    put_cstr(out, name);
    put_cstr(out, sql);
    out.put_slice(types);
}

/// The count of an empty list, for [`parse`].
pub const NO_TYPES: &[u8] = &[0, 0];

/// Bind with text parameters and text results, all of them in this buffer.
///
/// More than 65,535 values cannot be encoded; the settings of a binding stay far below.
pub fn bind_text<V: AsRef<str>>(out: &mut Vec<u8>, portal: &str, statement: &str, values: &[V]) {
    let mut tail = Vec::new();
    text_values(&mut tail, values);
    bind_head(out, portal.as_bytes(), statement, tail.len());
    out.put_slice(&tail);
}

/// What follows the names in a Bind with text parameters and text results (see [`bind_head`]).
pub fn text_values<V: AsRef<str>>(out: &mut Vec<u8>, values: &[V]) {
    out.put_u16(0);
    out.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
    for value in values.iter().map(AsRef::as_ref) {
        out.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        out.put_slice(value.as_bytes());
    }
    out.put_u16(0);
}

/// The head of a Bind whose tail (formats, values, result formats) follows as the client sends it.
pub fn bind_head(out: &mut Vec<u8>, portal: &[u8], statement: &str, tail_len: usize) {
    put_head(out, client::BIND, portal.len() + statement.len() + 2 + tail_len);
    out.put_slice(portal);
    out.put_u8(0);
    put_cstr(out, statement);
}

/// Execute without a row limit.
pub fn execute(out: &mut Vec<u8>, portal: &str) {
    put_head(out, client::EXECUTE, portal.len() + 1 + 4);
    put_cstr(out, portal);
    out.put_u32(0);
}

/// Describe of a portal.
pub fn describe_portal(out: &mut Vec<u8>, portal: &str) {
    put_named(out, client::DESCRIBE, b'P', portal);
}

/// Describe of a prepared statement.
pub fn describe_statement(out: &mut Vec<u8>, name: &str) {
    put_named(out, client::DESCRIBE, b'S', name);
}

/// Close of a prepared statement.
pub fn close_statement(out: &mut Vec<u8>, name: &str) {
    put_named(out, client::CLOSE, b'S', name);
}

/// Close of a portal.
pub fn close_portal(out: &mut Vec<u8>, name: &str) {
    put_named(out, client::CLOSE, b'P', name);
}

/// Sync.
pub fn sync(out: &mut Vec<u8>) {
    put_head(out, client::SYNC, 0);
}

/// Flush.
pub fn flush(out: &mut Vec<u8>) {
    put_head(out, client::FLUSH, 0);
}

/// A frame whose body is at hand.
pub fn frame(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    put_head(out, tag, body.len());
    out.put_slice(body);
}

/// The head of a frame whose body follows.
pub fn put_head(out: &mut Vec<u8>, tag: u8, body_len: usize) {
    let [a, b, c, d] = u32::try_from(body_len + 4).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&[tag, a, b, c, d]);
}

/// ReadyForQuery.
pub fn ready(out: &mut Vec<u8>, status: TransactionStatus) {
    frame(out, server::READY, &[status.as_byte()]);
}

/// ParameterStatus.
pub fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    let body_len = name.len() + value.len() + 2;
    out.reserve(HEAD_BYTES + body_len);
    put_head(out, server::PARAMETER_STATUS, body_len);
    put_cstr(out, name);
    put_cstr(out, value);
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut Vec<u8>) {
    frame(out, server::AUTHENTICATION, &0_u32.to_be_bytes());
}

/// AuthenticationCleartextPassword.
pub fn ask_for_password(out: &mut Vec<u8>) {
    frame(out, server::AUTHENTICATION, &3_u32.to_be_bytes());
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut Vec<u8>, pid: i32, secret: &[u8]) {
    put_head(out, server::BACKEND_KEY_DATA, 4 + secret.len());
    out.extend_from_slice(&pid.to_be_bytes());
    out.extend_from_slice(secret);
}

/// CommandComplete.
pub fn command_complete(out: &mut Vec<u8>, command: &str) {
    put_head(out, server::COMMAND_COMPLETE, command.len() + 1);
    put_cstr(out, command);
}

fn put_named(out: &mut Vec<u8>, tag: u8, kind: u8, name: &str) {
    put_head(out, tag, 1 + name.len() + 1);
    out.put_u8(kind);
    put_cstr(out, name);
}

fn put_cstr(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::super::{body, frame};
    use super::*;

    #[test]
    fn what_is_encoded_decodes_again() {
        let mut out = Vec::new();
        #[expect(clippy::disallowed_methods, reason = "what is tested")]
        parse(&mut out, "p1", "SELECT 1", NO_TYPES);
        let head = frame::head(&out).unwrap().unwrap();
        assert_eq!(head.body_len + frame::HEAD_BYTES, out.len());
        let decoded = body::parse(&out[frame::HEAD_BYTES..]).unwrap();
        assert_eq!((decoded.name, decoded.sql), (&b"p1"[..], &b"SELECT 1"[..]));
    }

    #[test]
    fn bind_has_the_length_it_claims() {
        let mut out = Vec::new();
        bind_text(&mut out, "", "p7", &["a", "", "ünï"]);
        let head = frame::head(&out).unwrap().unwrap();
        assert_eq!(head.body_len + frame::HEAD_BYTES, out.len());
    }

    #[test]
    fn the_login_is_encoded_as_by_pgwire() {
        use pgwire::messages::Message as _;
        use pgwire::messages::startup::{Authentication, BackendKeyData, ParameterStatus, SecretKey};
        let mut ours = Vec::new();
        ask_for_password(&mut ours);
        authentication_ok(&mut ours);
        parameter_status(&mut ours, "TimeZone", "Europe/Zürich");
        let mut theirs = bytes::BytesMut::new();
        Authentication::CleartextPassword.encode(&mut theirs).unwrap();
        Authentication::Ok.encode(&mut theirs).unwrap();
        let status = ParameterStatus::new("TimeZone".to_owned(), "Europe/Zürich".to_owned());
        status.encode(&mut theirs).unwrap();
        for secret in [&[7; 4][..], &[9; 32]] {
            backend_key_data(&mut ours, -5, secret);
            let secret = SecretKey::Bytes(bytes::Bytes::copy_from_slice(secret));
            BackendKeyData::new(-5, secret).encode(&mut theirs).unwrap();
        }
        assert_eq!(ours, theirs);
    }
}
