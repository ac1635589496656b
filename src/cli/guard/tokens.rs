//! `portcullis guard --tokens`: what the lexer sees, as JSON lines that can be compared with another lexer's.
//!
//! One line a token, in order: `kind`, `start` and `end` (bytes of the text, the end not included), `text` (decoded)
//! and `statement` (which one of the text it belongs to, null for a `;` between statements). A text that cannot be
//! read gives one line with `error`, `sqlstate` and `position` (in characters, from 1) and no tokens. With `--batch`
//! each line begins with `input`, the number of its text from 0.

use std::io::{self, BufRead, Write};

use serde::Serialize;

use crate::guard::{self, Limits, SeenToken};

#[derive(Serialize)]
struct TokenLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<usize>,
    kind: &'a str,
    start: usize,
    end: usize,
    text: &'a str,
    statement: Option<usize>,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<usize>,
    error: &'a str,
    sqlstate: &'a str,
    position: Option<u32>,
}

/// Prints the tokens of NUL-separated texts; true if all could be read.
///
/// # Errors
///
/// `texts` or `out` failed.
pub(super) fn batch(limits: &Limits, texts: &mut dyn BufRead, out: &mut impl Write) -> io::Result<bool> {
    let mut all_read = true;
    let mut text = Vec::new();
    for input in 0.. {
        text.clear();
        if texts.read_until(0, &mut text)? == 0 {
            break;
        }
        all_read &= print(
            limits,
            Some(input),
            text.strip_suffix(b"\0").unwrap_or(&text),
            out,
        )?;
    }
    Ok(all_read)
}

/// Prints the tokens of one text, the number of its input before them; true if it could be read.
///
/// # Errors
///
/// `out` failed.
pub(super) fn print(
    limits: &Limits,
    input: Option<usize>,
    text: &[u8],
    out: &mut impl Write,
) -> io::Result<bool> {
    match guard::tokens(text, limits) {
        Ok(tokens) => {
            for SeenToken {
                kind,
                start,
                end,
                text,
                statement,
            } in &tokens
            {
                let line = TokenLine {
                    input,
                    kind,
                    start: *start,
                    end: *end,
                    text,
                    statement: *statement,
                };
                write_line(&line, out)?;
            }
            Ok(true)
        }
        Err(refusal) => {
            let line = ErrorLine {
                input,
                error: &refusal.message,
                sqlstate: refusal.sqlstate.as_str(),
                position: refusal.position,
            };
            write_line(&line, out)?;
            Ok(false)
        }
    }
}

fn write_line(line: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_numbers_its_texts_and_says_what_cannot_be_read() {
        let mut out = Vec::new();
        let mut input = &b"SELECT U&\"\\0061\"\0'\0;$1\0"[..];
        assert!(!batch(&Limits::default(), &mut input, &mut out).unwrap());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"input":0,"kind":"word","start":0,"end":6,"text":"select","statement":0}"#,
                "\n",
                r#"{"input":0,"kind":"quoted_identifier","start":7,"end":16,"text":"a","statement":0}"#,
                "\n",
                r#"{"input":1,"error":"unterminated quoted string","sqlstate":"42601","position":1}"#,
                "\n",
                r#"{"input":2,"kind":"character","start":0,"end":1,"text":";","statement":null}"#,
                "\n",
                r#"{"input":2,"kind":"parameter","start":1,"end":3,"text":"$1","statement":0}"#,
                "\n",
            )
        );
    }

    #[test]
    fn one_text_has_no_number() {
        let mut out = Vec::new();
        assert!(print(&Limits::default(), None, b"a", &mut out).unwrap());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"kind\":\"word\",\"start\":0,\"end\":1,\"text\":\"a\",\"statement\":0}\n"
        );
    }
}
