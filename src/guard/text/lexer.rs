//! A lexer that reads SQL text exactly as PostgreSQL's `src/backend/parser/scan.l` does, versions 14 to 18.
//!
//! It assumes what Portcullis pins on every server connection: `client_encoding = UTF8` and
//! `standard_conforming_strings = on`. Where versions differ, the text is read as the newest version does if
//! every older one then fails with a syntax error, and refused otherwise (`SELECT 1FROM t`, valid only in 14).

mod comment;
mod cursor;
mod ident;
mod keyword;
mod number;
mod operator;
mod string;
mod token;
mod unicode;

pub(crate) use keyword::Kw;
pub(in crate::guard) use string::{digits, string_value};
pub(crate) use token::{LexError, LexErrorKind, Quote, Token, TokenKind};

use cursor::Cursor;

use super::working_memory::WorkingMemory;
use crate::guard::limits::Limits;

/// Splits a text into tokens, in as much memory as they need.
pub(crate) fn lex(text: &str, limits: &Limits) -> Result<Vec<Token>, LexError> {
    lex_in(&mut WorkingMemory::unbounded(), text, limits)
}

/// Splits a text into tokens. White space and comments are left out.
///
/// Takes time and memory linear in the text, and no recursion. The text must hold no NUL and be shorter
/// than 4 GiB; the caller's limit on statement length sees to both.
pub(in crate::guard) fn lex_in(
    memory: &mut WorkingMemory<'_>,
    text: &str,
    limits: &Limits,
) -> Result<Vec<Token>, LexError> {
    let mut cursor = Cursor::new(text, limits);
    let mut tokens = Vec::with_capacity(text.len().min(4096) / 4);
    let mut unicode_seen = false;
    while cursor.skip_space()? {
        if tokens.len() >= limits.tokens {
            return Err(cursor.fails(LexErrorKind::TooManyTokens, "too many tokens in one text"));
        }
        if tokens.len() == tokens.capacity() {
            memory
                .grow(&mut tokens, cursor.at, text.len(), limits.tokens)
                .map_err(|_| cursor.fails(LexErrorKind::NoRoom, "out of memory"))?;
        }
        let token = cursor.token()?;
        unicode_seen |= token.kind == TokenKind::Str(Quote::Unicode)
            || (token.kind == TokenKind::Quoted && !token.source(text).starts_with('"'));
        tokens.push(token);
    }
    if unicode_seen {
        unicode::decode(text, &mut tokens)?;
    }
    Ok(tokens)
}

impl Cursor<'_> {
    /// Reads the token that starts here. The caller has skipped white space and comments.
    fn token(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        match (self.peek(0), self.peek(1)) {
            (b'\'', _) => self.string(Quote::Standard, 1),
            (b'e' | b'E', b'\'') => self.string(Quote::Escape, 2),
            (b'u' | b'U', b'&') if self.peek(2) == b'\'' => self.string(Quote::Unicode, 3),
            (b'u' | b'U', b'&') if self.peek(2) == b'"' => self.quoted(3),
            (b'b' | b'B', b'\'') => self.bits(TokenKind::Bits),
            (b'x' | b'X', b'\'') => self.bits(TokenKind::Hex),
            (b'n' | b'N', b'\'') => {
                // scan.l returns the keyword NCHAR for the letter and then an ordinary string.
                self.at += 1;
                let mut token = self.made(TokenKind::Word, start);
                token.text = Some("nchar".into());
                Ok(token)
            }
            (b'"', _) => self.quoted(1),
            (b'$', _) => self.dollar(),
            (b'.', b'.') => Ok(self.take(2, TokenKind::Operator)),
            (b'.', b'0'..=b'9') | (b'0'..=b'9', _) => self.number(),
            (b':', b':' | b'=') => Ok(self.take(2, TokenKind::Operator)),
            (b @ (b',' | b'(' | b')' | b'[' | b']' | b'.' | b';' | b':'), _) => {
                Ok(self.take(1, TokenKind::Punct(b)))
            }
            (b, _) if ident::is_start(b) => Ok(self.word()),
            (b, _) if operator::is_op_char(b) => self.operator(),
            _ => Ok(self.take(1, TokenKind::Other)),
        }
    }
}

#[cfg(test)]
mod tests;
