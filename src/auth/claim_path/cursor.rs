//! Reading a claim path from left to right.

use super::{ClaimPathError, Step};

/// Not `/` and not `.`: an unquoted URL would silently be read as several steps. `:` is in, for
/// `cognito:groups` and its like.
pub(super) fn is_bare(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | ':')
}

/// A place in the text of a path.
pub(super) struct Cursor<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, offset: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn advance(&mut self, over: char) {
        self.offset += over.len_utf8();
    }

    pub(super) fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.advance(wanted);
        }
        there
    }

    pub(super) fn unexpected(&self, found: char) -> ClaimPathError {
        ClaimPathError::Unexpected {
            found,
            offset: self.offset,
        }
    }

    pub(super) fn bare_name(&mut self) -> Result<String, ClaimPathError> {
        let rest = self.rest();
        let end = rest.find(|c| !is_bare(c)).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        if name.is_empty() {
            return Err(self
                .peek()
                .map_or(ClaimPathError::EndsEarly, |found| self.unexpected(found)));
        }
        self.offset += end;
        Ok(name.to_owned())
    }

    /// What follows a `[`, up to and with its `]`.
    pub(super) fn bracketed(&mut self) -> Result<Step, ClaimPathError> {
        let step = match self.peek() {
            None => return Err(ClaimPathError::EndsEarly),
            Some(quote @ ('\'' | '"')) => {
                self.advance(quote);
                Step::Name(self.quoted_name(quote)?)
            }
            Some(found) => {
                let rest = self.rest();
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let digits = rest.get(..end).unwrap_or_default();
                if digits.is_empty() {
                    return Err(self.unexpected(found));
                }
                self.offset += end;
                Step::Index(digits.parse().map_err(|_| ClaimPathError::IndexOutOfRange)?)
            }
        };
        match self.peek() {
            Some(']') => {
                self.advance(']');
                Ok(step)
            }
            Some(found) => Err(self.unexpected(found)),
            None => Err(ClaimPathError::EndsEarly),
        }
    }

    fn quoted_name(&mut self, quote: char) -> Result<String, ClaimPathError> {
        let mut name = String::new();
        while let Some(found) = self.peek() {
            self.advance(found);
            if found == quote {
                return Ok(name);
            }
            if found != '\\' {
                name.push(found);
                continue;
            }
            match self.peek() {
                Some(escaped @ ('\\' | '\'' | '"')) => {
                    self.advance(escaped);
                    name.push(escaped);
                }
                Some(other) => return Err(self.unexpected(other)),
                None => break,
            }
        }
        Err(ClaimPathError::EndsEarly)
    }
}
