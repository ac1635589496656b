//! Numbers. Junk after a number is an error since PostgreSQL 15; for 14 we refuse it all the same.

use super::cursor::Cursor;
use super::ident;
use super::token::{LexError, Token, TokenKind};

impl Cursor<'_> {
    /// Reads an integer or a decimal number; here is a digit, or a point with a digit after it.
    pub(super) fn number(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X' | b'o' | b'O' | b'b' | b'B') {
            return self.based_integer();
        }
        let mut kind = TokenKind::Integer;
        if self.peek(0) != b'.' {
            self.digits();
        }
        // `1..10` is an integer and two points (rule `numericfail`).
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            kind = TokenKind::Float;
            self.at += 1;
            if self.peek(0).is_ascii_digit() {
                self.digits();
            }
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if !self.peek(1 + sign).is_ascii_digit() {
                return Err(self.syntax("trailing junk after numeric literal", start));
            }
            kind = TokenKind::Float;
            self.at += 1 + sign;
            self.digits();
        }
        if ident::is_start(self.peek(0)) {
            return Err(self.syntax("trailing junk after numeric literal", start));
        }
        Ok(self.made(kind, start))
    }

    /// `decinteger`: digits with single underscores between them.
    fn digits(&mut self) {
        loop {
            self.at += 1;
            let next = usize::from(self.peek(0) == b'_');
            if !self.peek(next).is_ascii_digit() {
                return;
            }
            self.at += next;
        }
    }

    /// `0x1F`, `0o17`, `0b101`: at least one digit, each with an underscore before it or not.
    fn based_integer(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        let (is_digit, message): (fn(u8) -> bool, _) = match self.peek(1) {
            b'x' | b'X' => (|b| b.is_ascii_hexdigit(), "invalid hexadecimal integer"),
            b'o' | b'O' => (|b| matches!(b, b'0'..=b'7'), "invalid octal integer"),
            _ => (|b| matches!(b, b'0' | b'1'), "invalid binary integer"),
        };
        self.at += 2;
        let from = self.at;
        loop {
            let skip = usize::from(self.peek(0) == b'_');
            if !is_digit(self.peek(skip)) {
                break;
            }
            self.at += skip + 1;
        }
        if self.at == from {
            return Err(self.syntax(message, start));
        }
        if ident::is_continued(self.peek(0)) {
            return Err(self.syntax("trailing junk after numeric literal", start));
        }
        Ok(self.made(TokenKind::Integer, start))
    }
}
