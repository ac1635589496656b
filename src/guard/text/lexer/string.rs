//! Character strings, bit strings, dollar quotes and parameters.

use std::borrow::Cow;

use super::cursor::{Cursor, is_newline, is_space};
use super::ident;
use super::token::{LexError, Quote, Token, TokenKind};

impl Cursor<'_> {
    /// Reads a string whose opening takes `prefix` bytes, with its continuations over line breaks: those keep
    /// the rules of the first part, so that `E'a'` and `'\''` on the next line are one string.
    pub(super) fn string(&mut self, quote: Quote, prefix: usize) -> Result<Token, LexError> {
        let start = self.at;
        self.at += prefix;
        loop {
            match self.peek(0) {
                b'\'' if self.peek(1) == b'\'' => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    match self.continuation() {
                        Some(at) => self.at = at,
                        None => return Ok(self.made(TokenKind::Str(quote), start)),
                    }
                }
                b'\\' if quote == Quote::Escape => self.escape(start)?,
                _ if self.at >= self.bytes.len() => {
                    return Err(self.syntax("unterminated quoted string", start));
                }
                _ => self.at = self.find(self.at + 1, |b| matches!(b, b'\'' | b'\\')),
            }
        }
    }

    /// Reads `B'…'` or `X'…'`: no doubled quotes and no escapes (states `xb` and `xh`), but continuations.
    pub(super) fn bits(&mut self, kind: TokenKind) -> Result<Token, LexError> {
        let start = self.at;
        self.at += 2;
        loop {
            self.at = self.find(self.at, |b| b == b'\'');
            if self.at >= self.bytes.len() {
                return Err(self.syntax("unterminated bit string literal", start));
            }
            self.at += 1;
            match self.continuation() {
                Some(at) => self.at = at,
                None => return Ok(self.made(kind, start)),
            }
        }
    }

    /// Just after a closing quote: where the string goes on, if white space with a line break and another
    /// quote follow (`quotecontinue`). Line comments count as white space here, block comments do not.
    fn continuation(&self) -> Option<usize> {
        let mut at = self.at;
        let mut newline = false;
        loop {
            match (self.byte(at), self.byte(at + 1)) {
                (b'\'', _) => return newline.then_some(at + 1),
                (b, _) if is_space(b) => {
                    newline |= is_newline(b);
                    at += 1;
                }
                (b'-', b'-') => at = self.find(at, is_newline),
                _ => return None,
            }
        }
    }

    /// Skips one backslash escape of an E string and checks the ones the lexer itself refuses.
    fn escape(&mut self, start: usize) -> Result<(), LexError> {
        match self.peek(1) {
            b'u' | b'U' => {
                let first = self.unicode_escape(start)?;
                if is_low_surrogate(first) {
                    return Err(self.syntax("invalid Unicode surrogate pair", start));
                }
                if is_high_surrogate(first) {
                    if self.peek(0) != b'\\' || !matches!(self.peek(1), b'u' | b'U') {
                        return Err(self.syntax("invalid Unicode surrogate pair", start));
                    }
                    if !is_low_surrogate(self.unicode_escape(start)?) {
                        return Err(self.syntax("invalid Unicode surrogate pair", start));
                    }
                } else if char::from_u32(first).is_none_or(|c| c == '\0') {
                    return Err(self.syntax("invalid Unicode escape value", start));
                }
                Ok(())
            }
            // A backslash before the end of the text: the next turn finds the string unterminated.
            0 => {
                self.at += 1;
                Ok(())
            }
            // Octal and hexadecimal digits cannot be a quote or a backslash: skipping the first is enough.
            _ => {
                self.at += 2;
                Ok(())
            }
        }
    }

    /// Skips `\uXXXX` or `\UXXXXXXXX` and returns its value.
    fn unicode_escape(&mut self, start: usize) -> Result<u32, LexError> {
        let digits = if self.peek(1) == b'u' { 4 } else { 8 };
        let from = self.at + 2;
        match hex_value(self.text, from, digits) {
            Some(value) => {
                self.at = from + digits;
                Ok(value)
            }
            None => Err(self.syntax("invalid Unicode escape", start)),
        }
    }

    /// Reads what starts with `$`: a parameter, a dollar-quoted string, or a character of no meaning.
    pub(super) fn dollar(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        if self.peek(1).is_ascii_digit() {
            self.at = self.find(start + 1, |b| !b.is_ascii_digit());
            if ident::is_start(self.peek(0)) {
                return Err(self.syntax("trailing junk after parameter", start));
            }
            return Ok(self.made(TokenKind::Param, start));
        }
        let Some(tag) = dollar_tag(self.text, start) else {
            return Ok(self.take(1, TokenKind::Other));
        };
        let from = start + tag.len();
        // The first occurrence of the tag ends it, whatever other tags lie between (state `xdolq`).
        match self.text.get(from..).and_then(|rest| rest.find(tag)) {
            Some(length) => {
                self.at = from + length + tag.len();
                Ok(self.made(TokenKind::Str(Quote::Dollar), start))
            }
            None => Err(self.syntax("unterminated dollar-quoted string", start)),
        }
    }
}

/// The `$tag$` that starts at `start`, if there is one (`dolqdelim`).
fn dollar_tag(text: &str, start: usize) -> Option<&str> {
    let rest = text.get(start..)?;
    let tag = rest
        .get(1..)?
        .bytes()
        .position(|b| !ident::is_continued(b) || b == b'$')?;
    let delimiter = rest.get(..tag + 2)?;
    delimiter.ends_with('$').then_some(delimiter)
}

pub(super) fn is_high_surrogate(code: u32) -> bool {
    (0xd800..0xdc00).contains(&code)
}

pub(super) fn is_low_surrogate(code: u32) -> bool {
    (0xdc00..0xe000).contains(&code)
}

/// The code point of a surrogate pair.
pub(super) fn joined_surrogates(high: u32, low: u32) -> u32 {
    0x1_0000 + ((high & 0x3ff) << 10) + (low & 0x3ff)
}

/// The value of exactly `digits` hexadecimal digits at `from`.
pub(super) fn hex_value(text: &str, from: usize, digits: usize) -> Option<u32> {
    let digits = text.get(from..from + digits)?;
    let all_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    all_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// The value of a character string token, as the server would read it.
///
/// Octal and hexadecimal escapes that do not make UTF-8 give U+FFFD, which equals no word we look for.
pub(in crate::guard) fn string_value<'a>(text: &'a str, token: &'a Token) -> Option<Cow<'a, str>> {
    let TokenKind::Str(quote) = token.kind else {
        return None;
    };
    Some(match &token.text {
        Some(decoded) => Cow::Borrowed(decoded),
        None => value(token.source(text), quote),
    })
}

/// The value of a string literal from its source.
pub(super) fn value(source: &str, quote: Quote) -> Cow<'_, str> {
    match quote {
        Quote::Dollar => {
            let tag = dollar_tag(source, 0).map_or(0, str::len);
            Cow::Borrowed(source.get(tag..source.len().saturating_sub(tag)).unwrap_or(""))
        }
        Quote::Standard | Quote::Unicode => {
            let content = source.split_once('\'').map_or("", |(_, rest)| rest);
            let content = content.strip_suffix('\'').unwrap_or(content);
            match content.contains('\'') {
                false => Cow::Borrowed(content),
                true => Cow::Owned(String::from_utf8_lossy(&unquoted(content, Quote::Standard)).into_owned()),
            }
        }
        Quote::Escape => {
            let content = source.get(2..source.len().saturating_sub(1)).unwrap_or("");
            Cow::Owned(String::from_utf8_lossy(&unquoted(content, quote)).into_owned())
        }
    }
}

/// The digits of a bit string from its source, its continuations joined.
pub(in crate::guard) fn digits(source: &str) -> String {
    let content = source.get(2..source.len().saturating_sub(1)).unwrap_or("");
    String::from_utf8_lossy(&unquoted(content, Quote::Standard)).into_owned()
}

/// Decodes doubled quotes, continuations and escapes between the outer quotes of a valid literal.
fn unquoted(content: &str, quote: Quote) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let bytes = content.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'\'' if byte(at + 1) == b'\'' => {
                out.push(b'\'');
                at += 2;
            }
            // A single quote inside is the end of one part: the next part begins at the next quote that is
            // not within a line comment.
            b'\'' => at = part_after(bytes, at + 1),
            b'\\' if quote == Quote::Escape => at += escaped(content, at, &mut out),
            _ => {
                out.push(b);
                at += 1;
            }
        }
    }
    out
}

/// The offset just after the quote that opens the next part of a continued literal.
fn part_after(bytes: &[u8], mut at: usize) -> usize {
    let mut comment = false;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'\'' if !comment => return at + 1,
            b'-' => comment = true,
            b if is_newline(b) => comment = false,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Decodes the escape at `at` of an E string; returns how many bytes of the source it takes.
fn escaped(content: &str, at: usize, out: &mut Vec<u8>) -> usize {
    let byte = |ahead: usize| content.as_bytes().get(at + ahead).copied().unwrap_or(0);
    let run = |max: usize, is_digit: fn(u8) -> bool| (0..max).take_while(|n| is_digit(byte(1 + n))).count();
    let number = |from: usize, digits: usize, radix: u32| {
        let digits = content.get(at + from..at + from + digits).unwrap_or("0");
        u32::from_str_radix(digits, radix).unwrap_or(0)
    };
    let mut push = |c: u8| out.push(c);
    match byte(1) {
        b'0'..=b'7' => {
            let digits = run(3, |b| matches!(b, b'0'..=b'7'));
            push((number(1, digits, 8) & 0xff) as u8);
            1 + digits
        }
        b'x' if byte(2).is_ascii_hexdigit() => {
            let digits = 1 + usize::from(byte(3).is_ascii_hexdigit());
            push(number(2, digits, 16) as u8);
            2 + digits
        }
        b @ (b'u' | b'U') => {
            let digits = if b == b'u' { 4 } else { 8 };
            let mut code = number(2, digits, 16);
            let mut taken = 2 + digits;
            if is_high_surrogate(code) {
                let digits = if byte(taken + 1) == b'u' { 4 } else { 8 };
                code = joined_surrogates(code, number(taken + 2, digits, 16));
                taken += 2 + digits;
            }
            let decoded = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
            taken
        }
        b => {
            push(match b {
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                // `\v` is a vertical tab since PostgreSQL 16 and a v before. As a v no name hides in it: one with a
                // vertical tab means nothing to any server.
                other => other,
            });
            2
        }
    }
}
