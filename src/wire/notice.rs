//! ErrorResponse and NoticeResponse: writing ours, reading the server's (PostgreSQL manual, 54.8).

use bytes::BytesMut;
use pgwire::messages::Message;
use pgwire::messages::response::ErrorResponse;

use super::body::cstr;
use crate::base::{Fault, SqlState};

/// Bytes of an error's body that hold its severity and SQLSTATE: the server writes them first
/// (`send_message_to_frontend`, elog.c), and localised severities stay short.
pub const PREFIX_BYTES: usize = 128;

/// Appends a NoticeResponse.
pub fn notice(out: &mut Vec<u8>, fault: &Fault) {
    let start = out.len();
    error(out, fault);
    // Nothing else tells the two apart (PostgreSQL manual, 54.7).
    if let Some(tag) = out.get_mut(start) {
        *tag = super::tag::server::NOTICE;
    }
}

/// Appends an ErrorResponse.
pub fn error(out: &mut Vec<u8>, fault: &Fault) {
    let mut fields = vec![
        (b'S', fault.severity.as_str().to_owned()),
        (b'V', fault.severity.as_str().to_owned()),
        (b'C', fault.sqlstate.to_string()),
        (b'M', without_nul(&fault.message)),
    ];
    fields.extend(fault.detail.as_deref().map(|d| (b'D', without_nul(d))));
    fields.extend(fault.hint.as_deref().map(|h| (b'H', without_nul(h))));
    fields.extend(fault.position.map(|p| (b'P', p.to_string())));
    let mut frame = BytesMut::new();
    // Encoding can only fail for a message over 2 GiB; our texts are bounded.
    if ErrorResponse::new(fields).encode(&mut frame).is_ok() {
        out.extend_from_slice(&frame);
    }
}

/// What the first bytes of a server's error tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorPrefix {
    /// The SQLSTATE.
    pub sqlstate: SqlState,
    /// Whether the server ends the connection: FATAL or PANIC.
    pub ends_connection: bool,
}

/// Reads severity and SQLSTATE from the start of an error's body.
pub fn prefix(body: &[u8]) -> ErrorPrefix {
    let mut found = ErrorPrefix {
        sqlstate: SqlState::INTERNAL_ERROR,
        ends_connection: false,
    };
    let mut rest = body;
    while let [code, tail @ ..] = rest {
        let Some((value, next)) = cstr(tail) else { break };
        match code {
            b'V' => found.ends_connection = matches!(value, b"FATAL" | b"PANIC"),
            b'C' => {
                found.sqlstate = SqlState::from_bytes(value).unwrap_or(SqlState::INTERNAL_ERROR);
                break;
            }
            _ => {}
        }
        rest = next;
    }
    found
}

/// A server's error as one that ends the session: for errors at login.
pub fn fault(body: &[u8]) -> Fault {
    let mut fault = Fault::fatal(prefix(body).sqlstate, "the server refused without a reason");
    let mut rest = body;
    while let [code, tail @ ..] = rest {
        let Some((value, next)) = cstr(tail) else { break };
        let text = String::from_utf8_lossy(value).into_owned();
        match code {
            b'M' => fault.message = text.into(),
            b'D' => fault.detail = Some(text.into()),
            b'H' => fault.hint = Some(text.into()),
            _ => {}
        }
        rest = next;
    }
    fault
}

/// Whether a server's error says that a text holds several statements, so that it has read all of it
/// (`exec_parse_message`, postgres.c; field `R` of PostgreSQL manual, 54.8).
pub fn is_of_several(body: &[u8]) -> bool {
    prefix(body).sqlstate == SqlState::SYNTAX_ERROR && routine(body) == Some(b"exec_parse_message")
}

/// Whether a server's error says that a statement returns other columns than when it was prepared
/// (`RevalidateCachedQuery`, plancache.c). No function can raise this by itself.
pub fn is_of_changed_columns(body: &[u8]) -> bool {
    prefix(body).sqlstate == SqlState::FEATURE_NOT_SUPPORTED
        && routine(body) == Some(b"RevalidateCachedQuery")
}

/// The server's own function that has raised an error.
fn routine(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body;
    while let [code, tail @ ..] = rest {
        let (value, next) = cstr(tail)?;
        if *code == b'R' {
            return Some(value);
        }
        rest = next;
    }
    None
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    #[test]
    fn an_error_says_all_it_has() {
        let fault = Fault::fatal(SqlState::INVALID_PASSWORD, "no").with_hint("try\0again");
        let mut out = Vec::new();
        error(&mut out, &fault);
        assert_eq!(
            &out[frame::HEAD_BYTES..],
            b"SFATAL\0VFATAL\0C28P01\0Mno\0Htryagain\0\0"
        );
        let read = prefix(&out[frame::HEAD_BYTES..]);
        assert_eq!(read.sqlstate, SqlState::INVALID_PASSWORD);
        assert!(read.ends_connection);
    }

    /// A client has other ways to the same SQLSTATE: `date_trunc('timezone', now())`.
    #[test]
    fn changed_columns_are_told_from_what_a_client_can_provoke() {
        let changed =
            b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0RRevalidateCachedQuery\0\0";
        assert!(is_of_changed_columns(changed));
        assert!(!is_of_changed_columns(
            b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0Rtimestamp_trunc\0\0"
        ));
        assert!(!is_of_changed_columns(
            b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0\0"
        ));
        assert!(!is_of_changed_columns(
            b"SERROR\0VERROR\0C42501\0Mno\0RRevalidateCachedQuery\0\0"
        ));
    }

    #[test]
    fn a_localised_severity_does_not_matter() {
        let read = prefix(b"SFEHLER\0VERROR\0C42501\0Mnein\0\0");
        assert_eq!(read.sqlstate, SqlState::INSUFFICIENT_PRIVILEGE);
        assert!(!read.ends_connection);
    }
}
