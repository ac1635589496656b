//! Identifiers and keywords.

use super::cursor::Cursor;
use super::keyword::Kw;
use super::token::{LexError, Token, TokenKind};

/// Longest identifier in bytes: `NAMEDATALEN - 1` (pg_config_manual.h).
const NAME_BYTES: usize = 63;

/// `ident_start` of scan.l: every byte of a multi-byte character counts as a letter.
pub(super) const fn is_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// `ident_cont` of scan.l. By table: this is asked of most bytes of most statements.
pub(super) fn is_continued(byte: u8) -> bool {
    CONTINUED.get(usize::from(byte)).copied().unwrap_or(false)
}

static CONTINUED: [bool; 256] = continued();

#[expect(
    clippy::indexing_slicing,
    reason = "runs at compile time, where a bad index is a build error"
)]
const fn continued() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        let character = byte as u8;
        table[byte] = is_start(character) || character.is_ascii_digit() || character == b'$';
        byte += 1;
    }
    table
}

impl Cursor<'_> {
    /// Reads an unquoted word: folded to lower case (ASCII alone) and cut to 63 bytes, as
    /// `downcase_truncate_identifier` does.
    pub(super) fn word(&mut self) -> Token {
        let start = self.at;
        self.at = self.find(start, |b| !is_continued(b));
        let mut token = self.made(TokenKind::Word, start);
        let source = token.source(self.text);
        token.kw = Kw::lookup(source.as_bytes());
        let is_plain = token.kw != Kw::None || !source.bytes().any(|b| b.is_ascii_uppercase());
        if !is_plain || source.len() > NAME_BYTES {
            token.text = Some(clipped(&source.to_ascii_lowercase()).into());
        }
        token
    }

    /// Reads `"…"` or `U&"…"`, whose opening takes `prefix` bytes. The escapes of the latter are decoded
    /// later, when a UESCAPE clause may have been seen.
    pub(super) fn quoted(&mut self, prefix: usize) -> Result<Token, LexError> {
        let start = self.at;
        let from = start + prefix;
        let mut at = from;
        let mut doubled = false;
        loop {
            at = self.find(at, |b| b == b'"');
            if at >= self.bytes.len() {
                return Err(self.syntax("unterminated quoted identifier", start));
            }
            if self.byte(at + 1) != b'"' {
                break;
            }
            doubled = true;
            at += 2;
        }
        if at == from {
            return Err(self.syntax("zero-length delimited identifier", start));
        }
        self.at = at + 1;
        let mut token = self.made(TokenKind::Quoted, start);
        let content = self.text.get(from..at).unwrap_or("");
        let content = if doubled {
            content.replace("\"\"", "\"")
        } else {
            content.to_owned()
        };
        token.text = Some(if prefix == 1 {
            clipped(&content).into()
        } else {
            content.into()
        });
        Ok(token)
    }
}

/// Cuts a name to 63 bytes without splitting a character (`truncate_identifier`, `pg_mbcliplen`).
pub(super) fn clipped(name: &str) -> &str {
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or(name)
}
