//! One statement of a text: its tokens, with the questions the guard asks of them.

use std::borrow::Cow;
use std::ops::Range;

use super::lexer::{Kw, Token, TokenKind, string_value};

/// The tokens of one statement, without the `;`. Never empty.
#[derive(Clone, Copy)]
pub(in crate::guard) struct Statement<'a> {
    pub(in crate::guard) text: &'a str,
    pub(in crate::guard) tokens: &'a [Token],
}

impl<'a> Statement<'a> {
    pub(in crate::guard) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(in crate::guard) fn get(&self, at: usize) -> Option<&'a Token> {
        self.tokens.get(at)
    }

    /// The keyword at `at`; `Kw::None` for anything else and past the end.
    pub(in crate::guard) fn kw(&self, at: usize) -> Kw {
        self.get(at).map_or(Kw::None, |token| token.kw)
    }

    /// Whether the keywords at `at` are these, in this order.
    pub(in crate::guard) fn kws(&self, at: usize, wanted: &[Kw]) -> bool {
        wanted.iter().enumerate().all(|(n, kw)| self.kw(at + n) == *kw)
    }

    pub(in crate::guard) fn is_punct(&self, at: usize, byte: u8) -> bool {
        self.get(at).is_some_and(|token| token.is_punct(byte))
    }

    /// The name at `at` as the server sees it, if there is an identifier or keyword.
    pub(in crate::guard) fn name(&self, at: usize) -> Option<&'a str> {
        self.get(at).and_then(|token| token.name(self.text))
    }

    /// The value of the character string at `at`.
    pub(in crate::guard) fn string(&self, at: usize) -> Option<Cow<'a, str>> {
        self.get(at).and_then(|token| string_value(self.text, token))
    }

    pub(in crate::guard) fn is_string(&self, at: usize) -> bool {
        matches!(
            self.get(at),
            Some(Token {
                kind: TokenKind::Str(_),
                ..
            })
        )
    }

    /// The source of the token at `at`.
    pub(in crate::guard) fn source(&self, at: usize) -> &'a str {
        self.get(at).map_or("", |token| token.source(self.text))
    }

    /// The statement from token `at` on.
    pub(in crate::guard) fn from(&self, at: usize) -> Statement<'a> {
        Statement {
            text: self.text,
            tokens: self.tokens.get(at..).unwrap_or_default(),
        }
    }

    /// Byte offset of the token at `at`, or of the end of the statement.
    pub(in crate::guard) fn offset(&self, at: usize) -> usize {
        match (self.get(at), self.tokens.last()) {
            (Some(token), _) => token.start as usize,
            (None, Some(last)) => last.end as usize,
            (None, None) => 0,
        }
    }

    /// The bytes of the text it covers.
    pub(in crate::guard) fn range(&self) -> Range<usize> {
        match (self.tokens.first(), self.tokens.last()) {
            (Some(first), Some(last)) => first.start as usize..last.end as usize,
            _ => 0..0,
        }
    }

    /// Whether the word at `at` is a column label or an attribute, where every keyword may stand. The `AS` before it may
    /// be one itself: `SELECT t.as FROM …`, `SELECT 1 AS as FROM …`.
    pub(in crate::guard) fn is_label(&self, at: usize) -> bool {
        let before = self.tokens.get(..at).unwrap_or_default();
        // No more of them follow each other in a statement.
        let words = before.iter().rev().take(4);
        let run = words.take_while(|token| token.kw == Kw::As).count();
        let is_point = |back: usize| at.checked_sub(back).is_some_and(|at| self.is_punct(at, b'.'));
        is_point(1) || (run - usize::from(run > 0 && is_point(run + 1))) % 2 == 1
    }

    /// The index of the parenthesis that closes the one at `open`, or the statement's length.
    pub(in crate::guard) fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for at in open..self.len() {
            if self.is_punct(at, b'(') {
                depth += 1;
            } else if self.is_punct(at, b')') {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        self.len()
    }

    /// The index just after the possibly qualified name that starts at `at`; `at` itself if none does.
    pub(in crate::guard) fn after_name(&self, at: usize) -> usize {
        let mut end = at;
        while self.name(end).is_some() {
            end += 1;
            if !self.is_punct(end, b'.') {
                break;
            }
            end += 1;
        }
        end
    }

    /// The schema and the last part of the possibly qualified name that starts at `at`.
    pub(in crate::guard) fn qualified_name(&self, at: usize) -> (Option<&str>, Option<&str>) {
        let end = self.after_name(at);
        let schema = (end >= at + 3).then(|| self.name(end - 3)).flatten();
        (schema, end.checked_sub(1).and_then(|last| self.name(last)))
    }
}
