//! Cuts the tokens of a text into statements.

use std::ops::Range;

use super::lexer::{Kw, Token};
use crate::guard::limits::Limits;

/// Why a text cannot be cut into statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guard) enum SplitError {
    /// Parentheses or brackets nest beyond the limit; at which byte.
    TooDeep { at: usize },
    /// More statements than the limit, which is `most`; at which byte.
    TooMany { at: usize, most: usize },
}

/// The token ranges of a text's statements, empty ones left out.
///
/// A `;` separates statements unless it stands in parentheses (`CREATE RULE … DO (a; b)`) or in the
/// `BEGIN ATOMIC … END` body of a function. Where this errs, it errs to one statement where the server sees
/// a syntax error: the server's Parse refuses a text with two statements.
pub(in crate::guard) fn split(tokens: &[Token], limits: &Limits) -> Result<Vec<Range<usize>>, SplitError> {
    let mut statements = Vec::new();
    let mut start = 0;
    let mut depth = 0_usize;
    let mut body = Body::default();
    for (at, token) in tokens.iter().enumerate() {
        if token.is_punct(b'(') || token.is_punct(b'[') {
            depth += 1;
            if depth > limits.nesting {
                return Err(SplitError::TooDeep {
                    at: token.range().start,
                });
            }
        } else if token.is_punct(b')') || token.is_punct(b']') {
            depth = depth.saturating_sub(1);
        } else if token.is_punct(b';') && depth == 0 && body.depth == 0 {
            close(&mut statements, tokens, start..at, limits)?;
            start = at + 1;
            body = Body::default();
        } else if depth == 0 && token.kw != Kw::None {
            body.see(
                token.kw,
                at - start,
                tokens.get(at + 1).map_or(Kw::None, |next| next.kw),
            );
        }
    }
    close(&mut statements, tokens, start..tokens.len(), limits)?;
    Ok(statements)
}

fn close(
    statements: &mut Vec<Range<usize>>,
    tokens: &[Token],
    range: Range<usize>,
    limits: &Limits,
) -> Result<(), SplitError> {
    let Some(first) = tokens.get(range.clone()).and_then(<[Token]>::first) else {
        return Ok(());
    };
    if statements.len() >= limits.statements {
        return Err(SplitError::TooMany {
            at: first.range().start,
            most: limits.statements,
        });
    }
    statements.push(range);
    Ok(())
}

/// Follows `CREATE [OR REPLACE] FUNCTION|PROCEDURE … BEGIN ATOMIC … END`, as psql does.
#[derive(Default)]
struct Body {
    /// Whether the statement creates a routine.
    routine: bool,
    created: bool,
    /// BEGIN ATOMIC and CASE that await their END.
    depth: usize,
}

impl Body {
    fn see(&mut self, kw: Kw, at: usize, next: Kw) {
        match kw {
            Kw::Create if at == 0 => self.created = true,
            Kw::Function | Kw::Procedure if self.created && (at == 1 || at == 3) => self.routine = true,
            Kw::Begin if self.routine && (next == Kw::Atomic || self.depth > 0) => self.depth += 1,
            Kw::Case if self.depth > 0 => self.depth += 1,
            Kw::End if self.depth > 0 => self.depth -= 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::text::lexer::lex;

    fn statements(text: &str) -> Vec<String> {
        let limits = Limits::default();
        let tokens = lex(text, &limits).unwrap();
        let ranges = split(&tokens, &limits).unwrap();
        let source = |range: Range<usize>| {
            let (first, last) = (&tokens[range.start], &tokens[range.end - 1]);
            text[first.start as usize..last.end as usize].to_owned()
        };
        ranges.into_iter().map(source).collect()
    }

    #[test]
    fn semicolons_separate_and_empty_statements_vanish() {
        assert_eq!(
            statements(";; select 1 ;; -- x\n; select ';' ; "),
            ["select 1", "select ';'"]
        );
        assert!(statements(" ; /* ; */ ;").is_empty());
    }

    #[test]
    fn semicolons_in_parentheses_and_atomic_bodies_do_not() {
        let rule = "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)";
        assert_eq!(statements(rule), [rule]);
        let function = "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; \
                        SELECT 2; END";
        assert_eq!(
            statements(&format!("{function}; SELECT 3")),
            [function, "SELECT 3"]
        );
    }

    #[test]
    fn an_ordinary_begin_is_no_body() {
        assert_eq!(statements("BEGIN; SELECT 1; END"), ["BEGIN", "SELECT 1", "END"]);
        assert_eq!(statements("CREATE TABLE function (begin int); COMMIT").len(), 2);
    }

    #[test]
    fn limits_hold() {
        let limits = Limits {
            statements: 2,
            nesting: 3,
            ..Limits::default()
        };
        let cut = |text: &str| split(&lex(text, &limits).unwrap(), &limits);
        assert_eq!(cut("aa;b;c"), Err(SplitError::TooMany { at: 5, most: 2 }));
        assert_eq!(cut(" ((([1])))"), Err(SplitError::TooDeep { at: 4 }));
        assert!(cut("((1));((2));;;").is_ok());
    }
}
