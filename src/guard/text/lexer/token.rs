//! Tokens, and why a text has none.

use std::ops::Range;

use super::keyword::Kw;

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
    /// [`string_value`](super::string_value).
    pub(super) text: Option<Box<str>>,
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
