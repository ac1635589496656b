//! A server's ErrorResponse in the client's words: positions and names are those of the text that the client
//! has sent, not of the one that the server was given (PostgreSQL manual, 54.8, fields `P` and `M`).

use bytes::BufMut as _;

use super::body::cstr;
use super::encode;
use super::tag::server as tag;

/// Appends an error with its position and, in its words, a name replaced. `body` is that of the whole message.
pub fn error(out: &mut Vec<u8>, body: &[u8], position: impl Fn(usize) -> usize, name: Option<(&str, &str)>) {
    let mut reworded = Vec::with_capacity(body.len() + 16);
    let mut rest = body;
    while let [code, tail @ ..] = rest
        && let Some((value, next)) = cstr(tail)
        && *code != 0
    {
        reworded.put_u8(*code);
        let text = std::str::from_utf8(value);
        match (code, text, name) {
            (b'P', Ok(digits), _) if let Ok(at) = digits.parse() => {
                reworded.put_slice(position(at).to_string().as_bytes());
            }
            (b'M' | b'D' | b'H' | b'W', Ok(text), Some((ours, theirs))) => {
                reworded.put_slice(text.replace(ours, theirs).as_bytes());
            }
            _ => reworded.put_slice(value),
        }
        reworded.put_u8(0);
        rest = next;
    }
    reworded.put_slice(rest);
    encode::frame(out, tag::ERROR, &reworded);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::HEAD_BYTES;

    #[test]
    fn a_position_and_a_name_are_the_clients() {
        let mut out = Vec::new();
        let body = b"SERROR\0C42601\0Mwrong number of parameters for \"p9\"\0P17\0L1\0\0";
        error(&mut out, body, |at| at + 5, Some(("p9", "plan")));
        assert_eq!(
            out.get(HEAD_BYTES..),
            Some(&b"SERROR\0C42601\0Mwrong number of parameters for \"plan\"\0P22\0L1\0\0"[..])
        );
    }

    #[test]
    fn what_has_no_position_stays() {
        for body in [
            &b"SERROR\0CXX000\0M\xff\0\0"[..],
            b"\0",
            b"",
            b"Sno end",
            b"Px\0\0",
        ] {
            let mut out = Vec::new();
            error(&mut out, body, |at| at + 5, Some(("p9", "plan")));
            assert_eq!(out.get(HEAD_BYTES..), Some(body));
        }
    }
}
