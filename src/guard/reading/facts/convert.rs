//! Our tokens as `sqlparser` wants them.

use sqlparser::ast::DollarQuotedString;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::guard::text::lexer::{Kw, Quote, TokenKind};
use crate::guard::text::statement::Statement;

/// Every token of the statement, but `ONLY` and its parentheses: the grammar takes `ONLY (t)` for a function's call.
pub(super) fn tokens(statement: &Statement<'_>) -> Vec<TokenWithSpan> {
    let mut tokens = Vec::with_capacity(statement.len());
    let mut at = 0;
    // The parenthesis behind `ONLY (t`.
    let mut close = None;
    while at < statement.len() {
        if let Some(name) = behind_only(statement, at) {
            close = (name > at + 1).then(|| statement.after_name(name));
            at = name;
        }
        if close.take_if(|close| *close == at).is_some() {
            at += 1;
            continue;
        }
        let (token, taken) = token(statement, at);
        tokens.push(TokenWithSpan::wrap(token));
        at += taken;
    }
    tokens
}

/// Where the name of the relation begins that an ONLY at `at` belongs to. The word is reserved: besides, it ends
/// `FETCH FIRST ROW ONLY` and stands as a label.
fn behind_only(statement: &Statement<'_>, at: usize) -> Option<usize> {
    let before = at.checked_sub(1)?;
    if statement.kw(at) != Kw::Only
        || statement.is_label(at)
        || matches!(statement.name(before), Some("row" | "rows"))
    {
        return None;
    }
    let name = at + 1 + usize::from(statement.is_punct(at + 1, b'('));
    let is_whole = name == at + 1 || statement.is_punct(statement.after_name(name), b')');
    (statement.name(name).is_some() && is_whole).then_some(name)
}

/// The token at `at`, and how many of ours it takes.
fn token(statement: &Statement<'_>, at: usize) -> (Token, usize) {
    let Some(ours) = statement.get(at) else {
        return (Token::EOF, 1);
    };
    let source = statement.source(at);
    let string = |at: usize| {
        statement
            .string(at)
            .map_or_else(String::new, |value| value.into_owned())
    };
    let token = match ours.kind {
        // `N'…'` reaches us as the keyword NCHAR and a string.
        TokenKind::Word if source.len() == 1 && statement.name(at) == Some("nchar") => {
            return (Token::NationalStringLiteral(string(at + 1)), 2);
        }
        TokenKind::Word => Token::make_word(statement.name(at).unwrap_or(source), None),
        TokenKind::Quoted => Token::make_word(statement.name(at).unwrap_or(source), Some('"')),
        TokenKind::Str(Quote::Standard | Quote::Unicode) => Token::SingleQuotedString(string(at)),
        TokenKind::Str(Quote::Escape) => Token::EscapedStringLiteral(string(at)),
        TokenKind::Str(Quote::Dollar) => Token::DollarQuotedString(DollarQuotedString {
            value: string(at),
            tag: None,
        }),
        TokenKind::Bits => Token::SingleQuotedByteStringLiteral(bits(source)),
        TokenKind::Hex => Token::HexStringLiteral(bits(source)),
        TokenKind::Integer | TokenKind::Float => Token::Number(source.to_owned(), false),
        TokenKind::Param => Token::Placeholder(source.to_owned()),
        TokenKind::Punct(byte) => punct(byte),
        TokenKind::Operator => operator(source),
        TokenKind::Other => Token::Char(source.chars().next().unwrap_or('?')),
    };
    (token, 1)
}

/// The digits between the quotes of a bit string.
fn bits(source: &str) -> String {
    source
        .chars()
        .filter(char::is_ascii_hexdigit)
        .skip(usize::from(source.starts_with(['b', 'B'])))
        .collect()
}

fn punct(byte: u8) -> Token {
    match byte {
        b',' => Token::Comma,
        b'(' => Token::LParen,
        b')' => Token::RParen,
        b'[' => Token::LBracket,
        b']' => Token::RBracket,
        b'.' => Token::Period,
        b';' => Token::SemiColon,
        b':' => Token::Colon,
        b'+' => Token::Plus,
        b'-' => Token::Minus,
        b'*' => Token::Mul,
        b'/' => Token::Div,
        b'%' => Token::Mod,
        b'^' => Token::Caret,
        b'<' => Token::Lt,
        b'>' => Token::Gt,
        b'=' => Token::Eq,
        other => Token::Char(char::from(other)),
    }
}

fn operator(source: &str) -> Token {
    match source {
        "::" => Token::DoubleColon,
        ":=" => Token::Assignment,
        "=>" => Token::RArrow,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "<>" | "!=" => Token::Neq,
        "||" => Token::StringConcat,
        "&" => Token::Ampersand,
        "|" => Token::Pipe,
        "#" => Token::Sharp,
        "~" => Token::Tilde,
        "~*" => Token::TildeAsterisk,
        "!~" => Token::ExclamationMarkTilde,
        "!~*" => Token::ExclamationMarkTildeAsterisk,
        "~~" => Token::DoubleTilde,
        "~~*" => Token::DoubleTildeAsterisk,
        "!~~" => Token::ExclamationMarkDoubleTilde,
        "!~~*" => Token::ExclamationMarkDoubleTildeAsterisk,
        "<<" => Token::ShiftLeft,
        ">>" => Token::ShiftRight,
        "&&" => Token::Overlap,
        "!" => Token::ExclamationMark,
        "!!" => Token::DoubleExclamationMark,
        "@" => Token::AtSign,
        "|/" => Token::PGSquareRoot,
        "||/" => Token::PGCubeRoot,
        "^@" => Token::CaretAt,
        "->" => Token::Arrow,
        "->>" => Token::LongArrow,
        "#>" => Token::HashArrow,
        "#>>" => Token::HashLongArrow,
        "#-" => Token::HashMinus,
        "@>" => Token::AtArrow,
        "<@" => Token::ArrowAt,
        "@?" => Token::AtQuestion,
        "@@" => Token::AtAt,
        "?" => Token::Question,
        "?&" => Token::QuestionAnd,
        "?|" => Token::QuestionPipe,
        "<->" => Token::TwoWayArrow,
        other => Token::CustomBinaryOperator(other.to_owned()),
    }
}
