//! A lexer that reads SQL text exactly as PostgreSQL's `src/backend/parser/scan.l` does, versions 14 to 18.
//!
//! It assumes what Portcullis pins on every server connection: `client_encoding = UTF8` and
//! `standard_conforming_strings = on`. Where versions differ, the text is read as the newest version does if
//! every older one then fails with a syntax error, and refused otherwise (`SELECT 1FROM t`, valid only in 14).

mod comment;
mod ident;
mod keyword;
mod number;
mod operator;
mod string;
mod unicode;

use std::borrow::Cow;
use std::ops::Range;

pub(crate) use keyword::Kw;
pub(super) use string::digits;

use super::Limits;
use super::room::Room;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// An unquoted identifier or keyword.
    Word,
    /// A quoted identifier, `"…"` or `U&"…"`.
    Quoted,
    /// A character string.
    Str(Quote),
    /// `B'…'`
    Bits,
    /// `X'…'`
    Hex,
    /// An integer in any base.
    Integer,
    /// A number with a point or an exponent.
    Float,
    /// `$1`
    Param,
    /// An operator that is not a single character of [`TokenKind::Punct`]; also `::`, `:=`, `..`, `=>`.
    Operator,
    /// One of ``,()[].;:+-*/%^<>=``, which the grammar knows by themselves.
    Punct(u8),
    /// A byte that no rule of the grammar accepts, such as `{` or a lone `$`.
    Other,
}

/// How a character string is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quote {
    /// `'…'`
    Standard,
    /// `E'…'`
    Escape,
    /// `U&'…'`
    Unicode,
    /// `$tag$…$tag$`
    Dollar,
}

/// One token. Offsets are bytes of the text that was lexed.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) kw: Kw,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The decoded text where it differs from the source: of identifiers (folded, unquoted, truncated)
    /// and of `U&'…'` strings. A keyword's is its own ([`Kw::text`]); other strings are decoded on demand by
    /// [`string_value`].
    text: Option<Box<str>>,
}

impl Token {
    /// The bytes of the source it covers.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Its source text.
    pub(crate) fn source<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.range()).unwrap_or("")
    }

    /// Its name as the server sees it, if it is an identifier or a keyword.
    pub(crate) fn name<'a>(&'a self, text: &'a str) -> Option<&'a str> {
        match self.kind {
            TokenKind::Word | TokenKind::Quoted => Some(match &self.text {
                Some(decoded) => decoded,
                None => self.kw.text().unwrap_or_else(|| self.source(text)),
            }),
            _ => None,
        }
    }

    /// Whether it is this single character of the grammar's own.
    pub(crate) fn is_punct(&self, byte: u8) -> bool {
        self.kind == TokenKind::Punct(byte)
    }
}

/// Why a text cannot be lexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LexError {
    pub(crate) kind: LexErrorKind,
    /// What is wrong, in the server's words where it has some.
    pub(crate) message: &'static str,
    /// Byte offset of where it is wrong.
    pub(crate) at: usize,
}

/// The two ways a text can fail to lex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LexErrorKind {
    /// The server would raise a syntax error as well.
    Syntax,
    /// Reading it would cost the server more than we let a client cost it.
    TooComplex,
    /// It has more tokens than the limit.
    TooManyTokens,
    /// There is no memory for its tokens now.
    NoRoom,
}

/// Splits a text into tokens, in as much memory as they need.
pub(crate) fn lex(text: &str, limits: &Limits) -> Result<Vec<Token>, LexError> {
    lex_in(&mut Room::unbounded(), text, limits)
}

/// Splits a text into tokens. White space and comments are left out.
///
/// Takes time and memory linear in the text, and no recursion. The text must hold no NUL and be shorter
/// than 4 GiB; the caller's limit on statement length sees to both.
pub(super) fn lex_in(room: &mut Room<'_>, text: &str, limits: &Limits) -> Result<Vec<Token>, LexError> {
    let mut cursor = Cursor {
        text,
        bytes: text.as_bytes(),
        at: 0,
        lookahead: 0,
        limits,
    };
    let mut tokens = Vec::with_capacity(text.len().min(4096) / 4);
    let mut unicode_seen = false;
    while cursor.skip_space()? {
        if tokens.len() >= limits.tokens {
            return Err(cursor.fails(LexErrorKind::TooManyTokens, "too many tokens in one text"));
        }
        if tokens.len() == tokens.capacity() {
            room.grow(&mut tokens, cursor.at, text.len(), limits.tokens)
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

/// The value of a character string token, as the server would read it.
///
/// Octal and hexadecimal escapes that do not make UTF-8 give U+FFFD, which equals no word we look for.
pub(crate) fn string_value<'a>(text: &'a str, token: &'a Token) -> Option<Cow<'a, str>> {
    let TokenKind::Str(quote) = token.kind else {
        return None;
    };
    Some(match &token.text {
        Some(decoded) => Cow::Borrowed(decoded),
        None => string::value(token.source(text), quote),
    })
}

/// Where the lexer stands in the text.
struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Bytes the server's lexer reads and throws back, so far.
    lookahead: usize,
    limits: &'a Limits,
}

impl Cursor<'_> {
    /// The byte `ahead` of here; 0 past the end, as a text holds no NUL.
    fn peek(&self, ahead: usize) -> u8 {
        self.byte(self.at + ahead)
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// The first offset at or after `from` whose byte `stop` accepts, or the end of the text.
    fn find(&self, from: usize, stop: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        rest.iter()
            .position(|b| stop(*b))
            .map_or(self.bytes.len(), |n| from + n)
    }

    /// A token from `start` to here.
    fn made(&self, kind: TokenKind, start: usize) -> Token {
        Token {
            kind,
            kw: Kw::None,
            start: offset(start),
            end: offset(self.at),
            text: None,
        }
    }

    fn syntax(&self, message: &'static str, at: usize) -> LexError {
        LexError {
            kind: LexErrorKind::Syntax,
            message,
            at,
        }
    }

    fn too_complex(&self, message: &'static str, at: usize) -> LexError {
        LexError {
            at,
            ..self.fails(LexErrorKind::TooComplex, message)
        }
    }

    /// Reading stops here.
    fn fails(&self, kind: LexErrorKind, message: &'static str) -> LexError {
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
    fn charge(&mut self, bytes: usize, at: usize) -> Result<(), LexError> {
        self.lookahead += bytes;
        if self.lookahead > 2 * self.bytes.len() + self.limits.lookahead_bytes {
            return Err(self.too_complex("too many operators or comments without a space between them", at));
        }
        Ok(())
    }

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

    fn take(&mut self, bytes: usize, kind: TokenKind) -> Token {
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
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
