//! A text read to its statements: UTF-8, tokens, and where each statement begins and ends.

use std::ops::Range;

use super::lexer::{self, LexError, Token};
use super::split::{self, SplitError};
use super::statement::Statement;
use super::working_memory::WorkingMemory;
use crate::guard::limits::Limits;

/// A text with its tokens, cut into statements.
pub(in crate::guard) struct Tokenized<'a> {
    pub(in crate::guard) text: &'a str,
    pub(in crate::guard) tokens: Vec<Token>,
    /// The tokens of each statement.
    pub(in crate::guard) ranges: Vec<Range<usize>>,
}

/// Why a text cannot be read.
#[derive(Debug)]
pub(in crate::guard) enum TextError {
    /// It is no UTF-8 without NUL: what is wrong, in the server's words, and at which byte.
    Encoding { message: &'static str, at: usize },
    /// It cannot be cut into tokens.
    Lex(LexError),
    /// It cannot be cut into statements.
    Split(SplitError),
}

impl<'a> Tokenized<'a> {
    /// Reads a text in as much memory as it needs.
    pub(in crate::guard) fn read(text: &'a [u8], limits: &Limits) -> Result<Self, TextError> {
        Self::read_in(&mut WorkingMemory::unbounded(), text, limits)
    }

    /// Reads a text.
    pub(in crate::guard) fn read_in(
        memory: &mut WorkingMemory<'_>,
        text: &'a [u8],
        limits: &Limits,
    ) -> Result<Self, TextError> {
        let text = utf8(text)?;
        let tokens = lexer::lex_in(memory, text, limits).map_err(TextError::Lex)?;
        let ranges = split::split(&tokens, limits).map_err(TextError::Split)?;
        Ok(Self { text, tokens, ranges })
    }

    /// Its statements in order.
    pub(in crate::guard) fn statements(&self) -> impl Iterator<Item = Statement<'_>> {
        self.ranges.iter().map(|range| Statement {
            text: self.text,
            tokens: self.tokens.get(range.clone()).unwrap_or_default(),
        })
    }
}

/// The text as UTF-8 without NUL.
fn utf8(text: &[u8]) -> Result<&str, TextError> {
    let read = std::str::from_utf8(text).map_err(|error| TextError::Encoding {
        message: "invalid byte sequence for encoding \"UTF8\"",
        at: error.valid_up_to(),
    })?;
    match read.find('\0') {
        Some(at) => Err(TextError::Encoding {
            message: "invalid byte sequence for encoding \"UTF8\": 0x00",
            at,
        }),
        None => Ok(read),
    }
}
