//! `U&'…'` and `U&"…"`: their escapes, with the UESCAPE clause that may follow (`base_yylex` and
//! `str_udeescape` in src/backend/parser/parser.c).

use super::ident;
use super::keyword::Kw;
use super::string::{self, hex_value, is_high_surrogate, is_low_surrogate, joined_surrogates, string_value};
use super::token::{LexError, LexErrorKind, Quote, Token, TokenKind};

/// Decodes every `U&` token and folds its UESCAPE clause into it.
pub(super) fn decode(text: &str, tokens: &mut Vec<Token>) -> Result<(), LexError> {
    let mut folded: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.drain(..).peekable();
    while let Some(mut token) = rest.next() {
        if is_unicode(text, &token) {
            let mut escape = '\\';
            // Before the clause becomes part of the token.
            let raw = match &token.text {
                Some(content) => content.to_string(),
                None => string::value(token.source(text), Quote::Unicode).into_owned(),
            };
            if rest.next_if(|next| next.kw == Kw::Uescape).is_some() {
                let clause = rest.next().filter(|next| matches!(next.kind, TokenKind::Str(_)));
                let Some(clause) = clause.filter(|next| next.kind != TokenKind::Str(Quote::Unicode)) else {
                    return Err(syntax(
                        "UESCAPE must be followed by a simple string literal",
                        &token,
                    ));
                };
                escape = escape_char(text, &clause)
                    .ok_or_else(|| syntax("invalid Unicode escape character", &clause))?;
                token.end = clause.end;
            }
            token.text = Some(decoded(&raw, &token, escape)?.into());
        }
        folded.push(token);
    }
    drop(rest);
    *tokens = folded;
    Ok(())
}

fn is_unicode(text: &str, token: &Token) -> bool {
    match token.kind {
        TokenKind::Str(Quote::Unicode) => true,
        TokenKind::Quoted => !token.source(text).starts_with('"'),
        _ => false,
    }
}

fn syntax(message: &'static str, token: &Token) -> LexError {
    LexError {
        kind: LexErrorKind::Syntax,
        message,
        at: token.start as usize,
    }
}

/// The escape character of a UESCAPE clause (`check_uescapechar`): one byte that is no hexadecimal digit, plus
/// sign, quote or space.
fn escape_char(text: &str, clause: &Token) -> Option<char> {
    let value = string_value(text, clause)?;
    let mut chars = value.chars();
    let only = chars.next().filter(|c| c.is_ascii() && chars.next().is_none())?;
    let barred = only.is_ascii_hexdigit()
        || matches!(
            only,
            '+' | '\'' | '"' | ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'
        );
    (!barred).then_some(only)
}

/// The decoded text of one token.
fn decoded(raw: &str, token: &Token, escape: char) -> Result<String, LexError> {
    let mut out = String::with_capacity(raw.len());
    let mut high: Option<u32> = None;
    let mut at = 0;
    while let Some(next) = raw.get(at..).and_then(|rest| rest.chars().next()) {
        if next != escape || raw.get(at + 1..).is_some_and(|rest| rest.starts_with(escape)) {
            if high.is_some() {
                return Err(syntax("invalid Unicode surrogate pair", token));
            }
            out.push(next);
            at += next.len_utf8() * if next == escape { 2 } else { 1 };
            continue;
        }
        let long = raw.as_bytes().get(at + 1) == Some(&b'+');
        let (from, digits) = if long { (at + 2, 6) } else { (at + 1, 4) };
        let mut code = hex_value(raw, from, digits).ok_or_else(|| syntax("invalid Unicode escape", token))?;
        at = from + digits;
        match high.take() {
            Some(first) if is_low_surrogate(code) => code = joined_surrogates(first, code),
            None if is_high_surrogate(code) => {
                high = Some(code);
                continue;
            }
            Some(_) => return Err(syntax("invalid Unicode surrogate pair", token)),
            None => {}
        }
        match char::from_u32(code).filter(|c| *c != '\0') {
            Some(c) => out.push(c),
            None => return Err(syntax("invalid Unicode escape value", token)),
        }
    }
    if high.is_some() {
        return Err(syntax("invalid Unicode surrogate pair", token));
    }
    if token.kind == TokenKind::Quoted {
        out.truncate(ident::clipped(&out).len());
    }
    Ok(out)
}
