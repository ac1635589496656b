//! What the lexer sees in a text, for people and for comparing it with another lexer.

use super::limits::Limits;
use super::text::lexer::{self, Quote, Token, TokenKind};
use super::text::tokenized::Tokenized;
use super::verdict::denial::Denial;
use super::verdict::refusal::Refusal;

/// One token of a text, with what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenToken {
    /// What it is, as [`SeenToken::KINDS`] lists it.
    pub kind: &'static str,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// Names as the server spells them (folded, unquoted, cut to 63 bytes), strings without quotes, escapes
    /// and continuations; everything else as it is written.
    pub text: String,
    /// The statement it belongs to, from 0; `None` for a `;` between statements.
    pub statement: Option<usize>,
}

impl SeenToken {
    /// Every kind there is.
    pub const KINDS: &'static [&'static str] = &[
        "word",
        "quoted_identifier",
        "string",
        "escape_string",
        "unicode_string",
        "dollar_string",
        "bit_string",
        "hex_string",
        "integer",
        "float",
        "parameter",
        "operator",
        "character",
    ];
}

/// The tokens of a text in order, as the guard judges them.
///
/// # Errors
///
/// The refusal that the guard would give to anybody who sends this text: it cannot be read, or is beyond a
/// limit.
pub fn tokens(text: &[u8], limits: &Limits) -> Result<Vec<SeenToken>, Refusal> {
    let tokenized = Tokenized::read(text, limits).map_err(|error| Denial::from(error).refusal_of(text))?;
    let Tokenized { text, tokens, ranges } = tokenized;
    let mut ranges = ranges.into_iter().enumerate().peekable();
    let seen = tokens.iter().enumerate().map(|(at, token)| {
        while ranges.next_if(|(_, range)| range.end <= at).is_some() {}
        let statement = ranges.peek().filter(|(_, range)| range.contains(&at));
        SeenToken {
            kind: kind(token.kind),
            start: token.range().start,
            end: token.range().end,
            text: decoded(text, token),
            statement: statement.map(|(index, _)| *index),
        }
    });
    Ok(seen.collect())
}

fn kind(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Word => "word",
        TokenKind::Quoted => "quoted_identifier",
        TokenKind::Str(Quote::Standard) => "string",
        TokenKind::Str(Quote::Escape) => "escape_string",
        TokenKind::Str(Quote::Unicode) => "unicode_string",
        TokenKind::Str(Quote::Dollar) => "dollar_string",
        TokenKind::Bits => "bit_string",
        TokenKind::Hex => "hex_string",
        TokenKind::Integer => "integer",
        TokenKind::Float => "float",
        TokenKind::Param => "parameter",
        TokenKind::Operator => "operator",
        TokenKind::Punct(_) | TokenKind::Other => "character",
    }
}

fn decoded(text: &str, token: &Token) -> String {
    match token.kind {
        TokenKind::Word | TokenKind::Quoted => token.name(text).unwrap_or("").to_owned(),
        TokenKind::Str(_) => lexer::string_value(text, token).unwrap_or_default().into_owned(),
        TokenKind::Bits | TokenKind::Hex => lexer::digits(token.source(text)),
        _ => token.source(text).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<(&'static str, String, Option<usize>)> {
        tokens(text.as_bytes(), &Limits::default())
            .unwrap()
            .into_iter()
            .map(|token| (token.kind, token.text, token.statement))
            .collect()
    }

    #[test]
    fn tokens_carry_their_meaning() {
        for (text, kind, meaning) in [
            ("SeLeCt", "word", "select"),
            ("\"A\"\"b\"", "quoted_identifier", "A\"b"),
            ("U&\"\\0061\"", "quoted_identifier", "a"),
            ("'it''s'", "string", "it's"),
            ("E'a' -- c\n '\\'b'", "escape_string", "a'b"),
            ("U&'!0061' UESCAPE '!'", "unicode_string", "a"),
            ("$x$ $y$ $x$", "dollar_string", " $y$ "),
            ("B'01'\n'1'", "bit_string", "011"),
            ("x'1F'", "hex_string", "1F"),
            ("0x1_f", "integer", "0x1_f"),
            ("1.5e3", "float", "1.5e3"),
            ("$12", "parameter", "$12"),
            ("||/", "operator", "||/"),
            ("{", "character", "{"),
        ] {
            assert_eq!(seen(text), [(kind, meaning.to_owned(), Some(0))], "{text}");
            assert!(SeenToken::KINDS.contains(&kind));
        }
    }

    #[test]
    fn statements_are_counted_and_semicolons_are_between_them() {
        let statements: Vec<_> = seen(";a b;;c").into_iter().map(|token| token.2).collect();
        assert_eq!(statements, [None, Some(0), Some(0), None, None, Some(1)]);
        let nested = seen("CREATE RULE r AS ON INSERT TO t DO (a; b)");
        assert!(nested.iter().all(|token| token.2 == Some(0)));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        for (text, state, position) in [
            (&b"SELECT 'a"[..], "42601", Some(8)),
            (b"SELECT \xff", "22021", Some(8)),
            (b"a\0b", "22021", Some(2)),
            (b"1a", "42601", Some(1)),
        ] {
            let refusal = tokens(text, &Limits::default()).unwrap_err();
            assert_eq!(
                (refusal.sqlstate.as_str(), refusal.position),
                (state, position),
                "{text:?}"
            );
        }
    }
}
