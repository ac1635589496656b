//! White space and comments.

use super::cursor::{Cursor, is_newline, is_space};
use super::operator;
use super::token::LexError;

impl Cursor<'_> {
    /// Skips white space and comments; false at the end of the text.
    pub(super) fn skip_space(&mut self) -> Result<bool, LexError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b, _) if is_space(b) => self.at += 1,
                (b'-', b'-') => self.at = self.find(self.at, is_newline),
                (b'/', b'*') => self.block_comment()?,
                _ => return Ok(self.at < self.bytes.len()),
            }
        }
    }

    /// Skips `/* … */`, which nests (scan.l, state `xc`).
    fn block_comment(&mut self) -> Result<(), LexError> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    if depth > self.limits.comment_depth {
                        return Err(self.too_complex("comments nest too deeply", self.at));
                    }
                    // The server's rule takes all operator characters that follow and puts them back.
                    let run = self.find(self.at, |b| !operator::is_op_char(b)) - self.at;
                    self.charge(run, start)?;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ if self.at >= self.bytes.len() => {
                    return Err(self.syntax("unterminated /* comment", start));
                }
                _ => self.at = self.find(self.at + 1, |b| matches!(b, b'/' | b'*')),
            }
        }
    }
}
