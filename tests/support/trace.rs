//! Golden traces: an exchange as text, one message a line. `F` lines are sent, `B` lines are what must
//! come back; runs of `F` lines leave in one packet.
//!
//! ```text
//! F Parse s "SELECT $1::text"
//! F Bind "" s "a b"
//! F Execute "" 0
//! F Sync
//! B ParseComplete
//! B BindComplete
//! B DataRow "a b"
//! B CommandComplete "SELECT 1"
//! B ReadyForQuery I
//! ```
//! An error's line may end after its SQLSTATE, its position or its words. A token `_` on a `B` line stands for any one value; `F Flush` and waiting in between are spelled out.

use std::io;

use super::messages::{self, Frame};

/// Who a trace is played against.
pub(crate) trait Peer {
    /// Sends bytes as they are.
    fn send(&mut self, bytes: &[u8]);

    /// The next message.
    fn try_read(&mut self) -> io::Result<Frame>;
}

/// Plays a trace; panics with both sides where they part.
pub(crate) fn play(client: &mut impl Peer, trace: &str) {
    let mut packet = Vec::new();
    let mut seen = String::new();
    for line in trace.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(message) = line.strip_prefix("F ") {
            packet.extend_from_slice(&encode(&tokens(message)));
        } else if let Some(expected) = line.strip_prefix("B ") {
            client.send(&std::mem::take(&mut packet));
            let got = client
                .try_read()
                .map_or_else(|why| vec![format!("(nothing: {why})")], |frame| render(&frame));
            let expected_tokens = tokens(expected);
            let may_say_more = matches!(
                got.first().map(String::as_str),
                Some("ErrorResponse" | "NoticeResponse")
            );
            let same = (got.len() == expected_tokens.len()
                || (may_say_more && got.len() > expected_tokens.len()))
                && got
                    .iter()
                    .zip(&expected_tokens)
                    .all(|(got, expected)| expected == "_" || got == expected);
            assert!(
                same,
                "the trace so far:\n{seen}expected: B {expected}\ngot:      B {}",
                got.join(" ")
            );
        } else {
            panic!("a line of a trace begins with F or B: {line}");
        }
        seen.push_str(line);
        seen.push('\n');
    }
    client.send(&packet);
}

/// A message from the server as tokens. An error is its severity and SQLSTATE; a line may leave out what follows,
/// its position (`-` for none) and its words.
pub(crate) fn render(frame: &Frame) -> Vec<String> {
    let name = match frame.tag {
        b'1' => "ParseComplete",
        b'2' => "BindComplete",
        b'3' => "CloseComplete",
        b'A' => "NotificationResponse",
        b'C' => return vec!["CommandComplete".into(), text(&frame.body)],
        b'D' => {
            let values = frame
                .row()
                .into_iter()
                .map(|value| value.unwrap_or_else(|| "NULL".into()));
            return std::iter::once("DataRow".to_owned()).chain(values).collect();
        }
        b'E' | b'N' => {
            let name = if frame.tag == b'E' {
                "ErrorResponse"
            } else {
                "NoticeResponse"
            };
            let severity = frame.field('V').or_else(|| frame.field('S')).unwrap_or_default();
            let position = frame.field('P').unwrap_or_else(|| "-".into());
            let words = frame.field('M').unwrap_or_default();
            return vec![name.into(), severity, frame.sqlstate(), position, words];
        }
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'I' => "EmptyQueryResponse",
        b'K' => "BackendKeyData",
        b'R' => "Authentication",
        b'S' => {
            let mut parts = frame.body.split(|byte| *byte == 0);
            let mut part = || text(parts.next().unwrap_or_default());
            return vec!["ParameterStatus".into(), part(), part()];
        }
        b'T' => {
            return std::iter::once("RowDescription".to_owned())
                .chain(columns(frame))
                .collect();
        }
        b'V' => {
            let value = frame
                .body
                .get(4..)
                .filter(|_| !frame.body.starts_with(&[0xff; 4]));
            let value = value.map_or_else(|| "NULL".to_owned(), text);
            return vec!["FunctionCallResponse".into(), value];
        }
        b'Z' => return vec!["ReadyForQuery".into(), text(&frame.body)],
        b'c' => "CopyDone",
        b'd' => return vec!["CopyData".into(), text(&frame.body)],
        b'n' => "NoData",
        b's' => "PortalSuspended",
        b't' => {
            let oids = frame.body[2..].chunks(4).map(|oid| {
                let oid: [u8; 4] = oid.try_into().unwrap();
                u32::from_be_bytes(oid).to_string()
            });
            return std::iter::once("ParameterDescription".to_owned())
                .chain(oids)
                .collect();
        }
        b'v' => "NegotiateProtocolVersion",
        _ => "(unknown)",
    };
    vec![name.to_owned()]
}

/// Tokens as a line of a trace has them.
pub(crate) fn spell(tokens: &[String]) -> String {
    let spelled = tokens.iter().map(|token| {
        if token.is_empty() || token.contains([' ', '"', '\\', '\n', '\t']) {
            let token = token.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{}\"", token.replace('\n', "\\n").replace('\t', "\\t"))
        } else {
            token.clone()
        }
    });
    spelled.collect::<Vec<_>>().join(" ")
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()
}

fn columns(frame: &Frame) -> Vec<String> {
    let mut rest = &frame.body[2..];
    let mut names = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        names.push(text(&rest[..end]));
        // Table, column, type, size, modifier, format: 18 bytes.
        rest = &rest[end + 19..];
    }
    names
}

/// Splits at spaces; `"…"` keeps them, with `\n`, `\t`, `\"` and `\\` inside.
pub(crate) fn tokens(line: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(first) = chars.next() {
        if first == ' ' {
            continue;
        }
        let mut token = String::new();
        if first == '"' {
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => token.push(match chars.next().unwrap() {
                        'n' => '\n',
                        't' => '\t',
                        other => other,
                    }),
                    other => token.push(other),
                }
            }
        } else {
            token.push(first);
            while let Some(c) = chars.next_if(|c| *c != ' ') {
                token.push(c);
            }
        }
        tokens.push(token);
    }
    tokens
}

/// The bytes of one message, written as in a trace.
pub(crate) fn encode_line(line: &str) -> Vec<u8> {
    encode(&tokens(line))
}

fn encode(tokens: &[String]) -> Vec<u8> {
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u32>().unwrap();
    match tokens.as_slice() {
        ["Query", sql] => messages::query(sql),
        ["Parse", name, sql, types @ ..] => {
            let types: Vec<u32> = types.iter().map(|oid| number(oid)).collect();
            messages::parse(name, sql, &types)
        }
        ["Bind", portal, statement, values @ ..] => {
            let values: Vec<Option<&[u8]>> = values
                .iter()
                .map(|value| (*value != "NULL").then_some(value.as_bytes()))
                .collect();
            messages::bind(portal, statement, &values)
        }
        ["Describe", kind, name] => messages::describe(kind.chars().next().unwrap(), name),
        ["Close", kind, name] => messages::close(kind.chars().next().unwrap(), name),
        ["Execute", portal, limit] => messages::execute(portal, number(limit)),
        ["Sync"] => messages::sync(),
        ["Flush"] => messages::flush(),
        ["FunctionCall", oid, values @ ..] => messages::function_call(number(oid), values),
        ["CopyData", text] => messages::message(b'd', text.as_bytes()),
        ["CopyDone"] => messages::message(b'c', &[]),
        ["CopyFail", why] => messages::message(b'f', &[why.as_bytes(), &[0]].concat()),
        ["Terminate"] => messages::message(b'X', &[]),
        _ => panic!("not a message of a trace: {tokens:?}"),
    }
}
