//! What a statement is apart from the values in it: its tokens as the server reads them, without white space,
//! comments and literals.
//!
//! Two statements have one fingerprint if and only if (collisions of SHA-256 apart) their tokens are the same once
//! * names are folded and unquoted as the server does, keywords told from quoted names of the same letters,
//! * every literal and parameter, with a sign that stands before a number where only a value can, is one mark,
//! * lists of such marks in `IN (…)` and `ARRAY[…]` are as good as one mark, and further rows of `VALUES` or of
//!   `IN ((…), …)` that repeat the row before as good as none.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

use crate::guard::text::keyword_list;
use crate::guard::text::lexer::{Kw, Token, TokenKind};
use crate::guard::text::statement::Statement;

/// The first 128 bits of a hash over a statement's normalised tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A normalised token.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// A literal or a parameter.
    Value,
    /// An unquoted keyword, folded.
    Keyword(Cow<'a, str>),
    /// A name as the server sees it.
    Name(Cow<'a, str>),
    /// A quoted name that would be a keyword without its quotes.
    QuotedKeyword(Cow<'a, str>),
    /// An operator or a character of the grammar's own.
    Sign(&'a str),
}

/// A statement without its values.
#[derive(Debug)]
pub(in crate::guard) struct Normalised<'a>(Vec<Piece<'a>>);

impl<'a> Normalised<'a> {
    pub(in crate::guard) fn new(statement: &Statement<'a>) -> Self {
        let mut pieces: Vec<Piece<'a>> = Vec::with_capacity(statement.len());
        for at in 0..statement.len() {
            if let Some(token) = statement.get(at)
                && !is_sign_of_number(statement, at)
            {
                pieces.push(piece(statement.text, token));
            }
        }
        Self(collapsed(pieces))
    }

    pub(in crate::guard) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for piece in &self.0 {
            let (tag, text) = match piece {
                Piece::Value => (b'v', ""),
                Piece::Keyword(word) => (b'k', &**word),
                Piece::Name(name) => (b'n', &**name),
                Piece::QuotedKeyword(name) => (b'q', &**name),
                Piece::Sign(sign) => (b's', *sign),
            };
            hash.update([tag]);
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Fingerprint(first)
    }

    /// SQL of this fingerprint, its values replaced by `$1`, `$2`, ….
    pub(in crate::guard) fn text(&self) -> String {
        let mut text = String::new();
        let mut values = 0;
        for (at, piece) in self.0.iter().enumerate() {
            if at > 0 && self.is_spaced(at) {
                text.push(' ');
            }
            // Writing to a String cannot fail.
            let _ = match piece {
                Piece::Value => {
                    values += 1;
                    write!(text, "${values}")
                }
                Piece::Name(name) if !is_plain(name) => write!(text, "\"{}\"", name.replace('"', "\"\"")),
                Piece::QuotedKeyword(name) => write!(text, "\"{name}\""),
                Piece::Keyword(word) | Piece::Name(word) => write!(text, "{word}"),
                Piece::Sign(sign) => write!(text, "{sign}"),
            };
        }
        text
    }

    /// Whether a space belongs before the piece at `at`.
    fn is_spaced(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.0.get(before));
        !matches!(
            (before, self.0.get(at)),
            (Some(Piece::Sign("(" | "[" | "." | "::")), _)
                | (_, Some(Piece::Sign(")" | "]" | "[" | "." | "::" | "," | ";")))
                | (Some(Piece::Name(_)), Some(Piece::Sign("(")))
        )
    }
}

fn piece<'a>(text: &'a str, token: &Token) -> Piece<'a> {
    let name = || match token.name(text) {
        Some(name) => Cow::Owned(name.to_owned()),
        None => Cow::Borrowed(""),
    };
    match token.kind {
        TokenKind::Str(_)
        | TokenKind::Bits
        | TokenKind::Hex
        | TokenKind::Integer
        | TokenKind::Float
        | TokenKind::Param => Piece::Value,
        TokenKind::Word if token.name(text).is_some_and(keyword_list::is_keyword) => Piece::Keyword(name()),
        TokenKind::Quoted if token.name(text).is_some_and(keyword_list::is_keyword) => {
            Piece::QuotedKeyword(name())
        }
        TokenKind::Word | TokenKind::Quoted => Piece::Name(name()),
        TokenKind::Operator | TokenKind::Punct(_) | TokenKind::Other => Piece::Sign(token.source(text)),
    }
}

/// Whether a plus or minus sign at `at` belongs to the number after it: what stands before it is a sign itself,
/// and none that a value can end in.
fn is_sign_of_number(statement: &Statement<'_>, at: usize) -> bool {
    let is_sign = |at: usize| statement.is_punct(at, b'-') || statement.is_punct(at, b'+');
    let is_number = |at: usize| {
        matches!(
            statement.get(at).map(|token| token.kind),
            Some(TokenKind::Integer | TokenKind::Float)
        )
    };
    let opens_value = |before: usize| match statement.get(before).map(|token| token.kind) {
        Some(TokenKind::Punct(byte)) => matches!(byte, b'(' | b'[' | b',' | b'=' | b'<' | b'>'),
        Some(TokenKind::Operator) => {
            matches!(statement.source(before), "<=" | ">=" | "<>" | "!=" | "=>" | ":=")
        }
        _ => false,
    };
    is_sign(at) && is_number(at + 1) && at.checked_sub(1).is_some_and(opens_value)
}

/// Whether a name reads as itself without quotes.
fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    chars.next().is_some_and(first) && chars.all(|c| first(c) || c.is_ascii_digit())
}

/// Makes one value of every list of values after IN or ARRAY, and one row of rows that repeat after VALUES or IN.
fn collapsed(pieces: Vec<Piece<'_>>) -> Vec<Piece<'_>> {
    let mut out: Vec<Piece<'_>> = Vec::with_capacity(pieces.len());
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        let rest = pieces.get(at + 1..).unwrap_or_default();
        let taken = match piece {
            Piece::Keyword(word) if word == "in" => list(rest, "(", ")").or_else(|| {
                let open = rest.first().filter(|first| **first == Piece::Sign("("))?;
                let (kept, taken) = rows(rest.get(1..)?)?;
                Some(([std::slice::from_ref(open), kept].concat(), taken + 1))
            }),
            Piece::Keyword(word) if word == "array" => list(rest, "[", "]"),
            Piece::Keyword(word) if word == "values" => {
                rows(rest).map(|(kept, taken)| (kept.to_vec(), taken))
            }
            _ => None,
        };
        out.push(piece.clone());
        at += 1;
        if let Some((kept, taken)) = taken {
            out.extend(kept);
            at += taken;
        }
    }
    out
}

/// The pieces that stand for `( value, … )` at the start of `rest`, and how many it takes.
fn list<'a>(rest: &[Piece<'a>], open: &'a str, close: &'a str) -> Option<(Vec<Piece<'a>>, usize)> {
    if rest.first() != Some(&Piece::Sign(open)) {
        return None;
    }
    let mut at = 1;
    loop {
        if rest.get(at) != Some(&Piece::Value) {
            return None;
        }
        at += 2;
        match rest.get(at - 1) {
            Some(Piece::Sign(",")) => {}
            Some(Piece::Sign(sign)) if *sign == close => {
                return Some((vec![Piece::Sign(open), Piece::Value, Piece::Sign(close)], at));
            }
            _ => return None,
        }
    }
}

/// The first row of values at the start of `rest`, and how many pieces it and all that repeat it take.
fn rows<'p, 'a>(rest: &'p [Piece<'a>]) -> Option<(&'p [Piece<'a>], usize)> {
    if rest.first() != Some(&Piece::Sign("(")) {
        return None;
    }
    let end = rest.iter().position(|piece| *piece == Piece::Sign(")"))? + 1;
    let row = rest.get(..end)?;
    let is_simple = |piece: &Piece<'_>| match piece {
        Piece::Value | Piece::Sign(",") => true,
        Piece::Keyword(word) => matches!(&**word, "default" | "null" | "true" | "false"),
        _ => false,
    };
    if !row.get(1..end - 1)?.iter().all(is_simple) {
        return None;
    }
    let mut taken = end;
    while rest.get(taken) == Some(&Piece::Sign(",")) && rest.get(taken + 1..taken + 1 + end) == Some(row) {
        taken += end + 1;
    }
    Some((row, taken))
}

/// Whether a statement is one call of a function or procedure with values alone: `SELECT f(…)`,
/// `SELECT * FROM f(…)`, `CALL f(…)`. Returns where its name begins and ends.
pub(in crate::guard) fn plain_call(statement: &Statement<'_>) -> Option<(usize, usize)> {
    let from = match statement.kw(0) {
        Kw::Select if statement.is_punct(1, b'*') && statement.kw(2) == Kw::From => 3,
        Kw::Select | Kw::Call => 1,
        _ => return None,
    };
    let open = statement.after_name(from);
    let is_name = open > from && !statement.is_punct(open - 1, b'.');
    if !is_name || !statement.is_punct(open, b'(') || statement.closing(open) + 1 != statement.len() {
        return None;
    }
    let is_cast = |at: usize| statement.source(at) == "::";
    let is_value = |at: usize| match statement.get(at).map(|token| token.kind) {
        Some(TokenKind::Word | TokenKind::Quoted) => {
            is_cast(at - 1)
                || matches!(statement.source(at + 1), "=>" | ":=")
                || matches!(
                    statement.source(at).to_ascii_lowercase().as_str(),
                    "true" | "false" | "null" | "array" | "variadic"
                )
        }
        Some(TokenKind::Operator) => is_cast(at) || matches!(statement.source(at), "=>" | ":="),
        Some(TokenKind::Punct(byte)) => matches!(byte, b',' | b'-' | b'+' | b'[' | b']'),
        Some(TokenKind::Other) | None => false,
        Some(_) => true,
    };
    (open + 1..statement.len() - 1)
        .all(is_value)
        .then_some((from, open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::limits::Limits;
    use crate::guard::text::lexer::lex;

    fn normal(text: &str) -> (String, String) {
        let tokens = lex(text, &Limits::default()).unwrap();
        let normalised = Normalised::new(&Statement {
            text,
            tokens: &tokens,
        });
        (normalised.text(), normalised.fingerprint().to_string())
    }

    fn same(a: &str, b: &str) -> bool {
        normal(a).1 == normal(b).1
    }

    #[test]
    fn values_space_comments_and_case_make_no_difference() {
        for (a, b) in [
            (
                "SELECT a FROM t WHERE b = 'x'",
                "select A /* c */ from  T where \"b\"=$1 -- d",
            ),
            ("SELECT 1", "SELECT E'a'\n'\\''"),
            ("SELECT a = -1", "SELECT a = 5"),
            ("SELECT f(-1.5, +2)", "SELECT f($1, $2)"),
            (
                "SELECT * FROM t WHERE a IN (1, 2, 3)",
                "SELECT * FROM t WHERE a IN ('x')",
            ),
            ("SELECT ARRAY[1, 2]", "SELECT ARRAY[$1]"),
            (
                "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'), (3, $1)",
                "INSERT INTO t (a, b) VALUES ($1, $2)",
            ),
            (
                "SELECT 1 WHERE (a, b) IN ((1, 2), (3, 4))",
                "SELECT 1 WHERE (a, b) IN ((1, 2))",
            ),
            ("SELECT U&\"\\0061\"", "SELECT a"),
            ("SELECT $$a$$", "SELECT X'1f'"),
        ] {
            assert!(same(a, b), "{a}\n{b}\n{:?}\n{:?}", normal(a), normal(b));
        }
    }

    #[test]
    fn everything_else_does() {
        for (a, b) in [
            ("SELECT user", "SELECT \"user\""),
            ("SELECT a", "SELECT \"A\""),
            ("SELECT a - 1", "SELECT a 1"),
            ("SELECT a.b", "SELECT a b"),
            ("SELECT 'a' 'b'", "SELECT 'a'"),
            ("SELECT a IN (1, b)", "SELECT a IN (1)"),
            ("SELECT a IN (1, 2) OR true", "SELECT a IN (1, 2)"),
            ("INSERT INTO t VALUES (1, 2), (1)", "INSERT INTO t VALUES (1, 2)"),
            ("INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES (1)"),
            ("SELECT NULL", "SELECT 1"),
            ("SELECT f(1, 2)", "SELECT f(1)"),
            ("SELECT \"a.b\"", "SELECT a.b"),
            ("SELECT \"a\"\"b\"", "SELECT \"a\", \"b\""),
            ("DELETE FROM t WHERE a = 1", "DELETE FROM t"),
        ] {
            assert!(!same(a, b), "{a}\n{b}");
        }
    }

    #[test]
    fn the_normalised_text_has_the_same_fingerprint() {
        for text in [
            "SELECT \"Weird\"\"Name\", \"user\", count(*), a[1:2]::text[], x -> 'y' ->> -1 FROM s.t WHERE a @> '{}'",
            "INSERT INTO t VALUES (1, DEFAULT), (2, DEFAULT) ON CONFLICT (a) DO UPDATE SET b = excluded.b || 'x'",
            "SELECT - -1, 1 - -1, ~ 1, (- 1), N'x', U&'!0061' UESCAPE '!'",
            "SELECT f(a => 1, b := 2), \"ü\", ü, \"1a\"",
        ] {
            let (normalised, fingerprint) = normal(text);
            assert_eq!(normal(&normalised), (normalised.clone(), fingerprint), "{text}");
        }
        assert_eq!(
            normal("select  A.b, Count( * ) from t where x in (1,2) and y::text = 'z'").0,
            "select a.b, count(*) from t where x in ($1) and y::text = $2"
        );
    }

    #[test]
    fn fingerprints_are_read_as_they_are_written() {
        let (_, text) = normal("SELECT 1");
        assert_eq!(Fingerprint::parse(&text).unwrap().to_string(), text);
        for bad in ["", "12", "+0000000000000000000000000000000", &"g".repeat(32)] {
            assert_eq!(Fingerprint::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn plain_calls_have_values_alone() {
        let is_call = |text: &str| {
            let tokens = lex(text, &Limits::default()).unwrap();
            plain_call(&Statement {
                text,
                tokens: &tokens,
            })
            .is_some()
        };
        for text in [
            "SELECT f()",
            "SELECT * FROM app.f($1, 'x'::uuid, -1, NULL, b => true)",
            "CALL p(ARRAY[1, 2]::int[])",
        ] {
            assert!(is_call(text), "{text}");
        }
        for text in [
            "SELECT f(a)",
            "SELECT f(g(1))",
            "SELECT f((SELECT 1))",
            "SELECT f(1), g(1)",
            "SELECT f(1) FROM t",
            "SELECT f(1)(2)",
            "SELECT * FROM f(1), t",
            "SELECT f(\"null\")",
            "SELECT f(current_user)",
            "SELECT f(1 + 1 || x)",
            "INSERT INTO f(a)",
            "SELECT f(x.y => 1)",
        ] {
            assert!(!is_call(text), "{text}");
        }
    }
}
