//! Operators, and where a comment or a trailing sign cuts them.

use super::cursor::Cursor;
use super::token::{LexError, Token, TokenKind};

/// Longest operator in bytes: `NAMEDATALEN - 1`.
const OPERATOR_BYTES: usize = 63;

/// `op_chars` of scan.l.
pub(super) fn is_op_char(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

/// Characters that let an operator end in `+` or `-`.
fn keeps_trailing_sign(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%'
    )
}

impl Cursor<'_> {
    /// Reads an operator; the caller has made sure that no comment starts here.
    pub(super) fn operator(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        let run_end = self.find(start, |b| !is_op_char(b));
        let run = self.bytes.get(start..run_end).unwrap_or_default();
        let comment = run.windows(2).position(|pair| matches!(pair, b"/*" | b"--"));
        let mut bytes = comment.unwrap_or(run.len());
        let before = |end: usize| run.get(..end).unwrap_or_default();
        let is_signed = |end: usize| end > 1 && matches!(before(end).last(), Some(b'+' | b'-'));
        let qualifies = |end: usize| before(end).iter().any(|b| keeps_trailing_sign(*b));
        if is_signed(bytes) && !qualifies(bytes - 1) {
            while is_signed(bytes) {
                bytes -= 1;
            }
        }
        let kind = match run.first() {
            Some(&b @ (b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'<' | b'>' | b'=')) if bytes == 1 => {
                TokenKind::Punct(b)
            }
            _ if bytes > OPERATOR_BYTES => return Err(self.syntax("operator too long", start)),
            _ => TokenKind::Operator,
        };
        let thrown_back = run.len() - bytes;
        self.charge(thrown_back, start)?;
        Ok(self.take(bytes, kind))
    }
}
