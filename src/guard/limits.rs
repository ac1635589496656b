//! Bounds on texts.

/// Bounds on texts, checked before any work that grows faster than the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in bytes. At most 1 GiB has effect.
    pub text_bytes: usize,
    /// Most tokens in one text; each takes 32 bytes while it is judged.
    pub tokens: usize,
    /// Most statements in one text.
    pub statements: usize,
    /// Deepest nesting of parentheses and brackets. The server's own parser gives up near 10,000.
    pub nesting: usize,
    /// Deepest nesting of comments: the server reads nested ones in quadratic time.
    pub comment_depth: usize,
    /// Bytes that the server's lexer may read twice, on top of twice the length of the text.
    pub lookahead_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 64 << 20,
            tokens: 2_000_000,
            statements: 1_000,
            nesting: 1_000,
            comment_depth: 64,
            lookahead_bytes: 64 << 10,
        }
    }
}
