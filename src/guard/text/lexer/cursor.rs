//! Where the lexer stands in a text, and the bounds on what it reads twice.

use super::keyword::Kw;
use super::token::{LexError, LexErrorKind, Token, TokenKind};
use crate::guard::limits::Limits;

/// Where the lexer stands in the text.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Bytes the server's lexer reads and throws back, so far.
    lookahead: usize,
    pub(super) limits: &'a Limits,
}

impl<'a> Cursor<'a> {
    /// At the start of a text.
    pub(super) fn new(text: &'a str, limits: &'a Limits) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            lookahead: 0,
            limits,
        }
    }

    /// The byte `ahead` of here; 0 past the end, as a text holds no NUL.
    pub(super) fn peek(&self, ahead: usize) -> u8 {
        self.byte(self.at + ahead)
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// The first offset at or after `from` whose byte `stop` accepts, or the end of the text.
    pub(super) fn find(&self, from: usize, stop: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        rest.iter()
            .position(|b| stop(*b))
            .map_or(self.bytes.len(), |n| from + n)
    }

    /// A token from `start` to here.
    pub(super) fn made(&self, kind: TokenKind, start: usize) -> Token {
        Token {
            kind,
            kw: Kw::None,
            start: offset(start),
            end: offset(self.at),
            text: None,
        }
    }

    pub(super) fn syntax(&self, message: &'static str, at: usize) -> LexError {
        LexError {
            kind: LexErrorKind::Syntax,
            message,
            at,
        }
    }

    pub(super) fn too_complex(&self, message: &'static str, at: usize) -> LexError {
        LexError {
            at,
            ..self.fails(LexErrorKind::TooComplex, message)
        }
    }

    /// Reading stops here.
    pub(super) fn fails(&self, kind: LexErrorKind, message: &'static str) -> LexError {
        LexError {
            kind,
            message,
            at: self.at,
        }
    }

    /// Counts bytes that the server's lexer matches and then throws back (`yyless`).
    ///
    /// It matches the whole run of operator characters at each comment start and each operator, so that
    /// 200 kB of `/**/` cost it half a minute and 200 kB of `+` two minutes of one core, which
    /// `statement_timeout` does not end.
    pub(super) fn charge(&mut self, bytes: usize, at: usize) -> Result<(), LexError> {
        self.lookahead += bytes;
        if self.lookahead > 2 * self.bytes.len() + self.limits.lookahead_bytes {
            return Err(self.too_complex("too many operators or comments without a space between them", at));
        }
        Ok(())
    }

    pub(super) fn take(&mut self, bytes: usize, kind: TokenKind) -> Token {
        let start = self.at;
        self.at += bytes;
        self.made(kind, start)
    }
}

/// An offset as tokens keep it. Texts are bounded far below 4 GiB.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// White space outside of literals (`space` in scan.l). The vertical tab counts since PostgreSQL 16 and is a
/// syntax error before.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

pub(super) fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
