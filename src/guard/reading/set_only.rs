//! Queries that do nothing but set and read settings: `SELECT set_config('jit', 'off', false) AS jit`.
//!
//! They are bound as the login role, so nothing of an application's may run while they are: names in them are sent with
//! their schema, lest a function or an operator of the same name be nearer on the search path or fit better.

use crate::guard::text::lexer::{Kw, TokenKind};
use crate::guard::text::statement::Statement;

/// Longest query looked at, in tokens. Drivers set a handful of settings at a time.
const TOKENS: usize = 200;

/// A query of this kind with the schema of every function and operator in its text.
#[derive(Debug)]
pub struct Qualified {
    sql: Box<str>,
    changes: Box<[Change]>,
}

/// Something put into the text, in characters of the changed text from 1.
#[derive(Debug)]
struct Change {
    at: usize,
    added: usize,
    taken: usize,
}

/// What has to be put into a text so that every name carries its schema.
#[derive(Debug, Default)]
pub(in crate::guard) struct Schemas(Vec<Insertion>);

/// A text to put at a byte of the whole text, in the place of so many bytes.
#[derive(Debug)]
struct Insertion {
    at: usize,
    text: &'static str,
    taken: usize,
}

impl Qualified {
    /// Qualifies a statement, which begins at this byte of its whole text. It is the text as the guard has edited it: a
    /// `set_config` for the session must not come back to life.
    pub(in crate::guard) fn new(sql: &str, start: usize, schemas: &Schemas) -> Self {
        let (mut text, mut changes, mut written) = (String::new(), Vec::new(), 0);
        let mut copy = |text: &mut String, to: usize| {
            text.push_str(sql.get(written..to).unwrap_or_default());
            written = to;
        };
        for insertion in &schemas.0 {
            let at = insertion.at.saturating_sub(start);
            copy(&mut text, at);
            changes.push(Change {
                at: text.chars().count() + 1,
                added: insertion.text.len(),
                taken: insertion.taken,
            });
            text.push_str(insertion.text);
            copy(&mut String::new(), at + insertion.taken);
        }
        copy(&mut text, sql.len());
        Self {
            sql: text.into(),
            changes: changes.into(),
        }
    }

    /// The text to send in the place of the client's.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The position in the client's statement for one in this text, both in characters from 1.
    pub fn position_of(&self, at: usize) -> usize {
        let mut longer = 0;
        for change in &self.changes {
            if at <= change.at {
                break;
            }
            if at < change.at + change.added {
                return change.at - longer;
            }
            longer += change.added - change.taken;
        }
        at.saturating_sub(longer)
    }
}

impl Schemas {
    /// Sees that one of these functions, which is named at `at`, carries its schema: which it is, and the token of its own
    /// name. `None` if it is none of them.
    fn function(
        &mut self,
        statement: &Statement<'_>,
        at: usize,
        known: &[&'static str],
    ) -> Option<(&'static str, usize)> {
        let qualified = statement.name(at) == Some("pg_catalog") && statement.is_punct(at + 1, b'.');
        let last = if qualified { at + 2 } else { at };
        let name = statement.name(last)?;
        let name = known.iter().find(|known| **known == name)?;
        if !qualified {
            self.put(statement, at, "pg_catalog.", 0);
        }
        Some((name, last))
    }

    fn put(&mut self, statement: &Statement<'_>, token: usize, text: &'static str, taken: usize) {
        self.0.push(Insertion {
            at: statement.offset(token),
            text,
            taken,
        });
    }
}

/// If the query is a list of calls of `set_config` and `current_setting` with constants and parameters for
/// arguments, and nothing else (no relation, no other function, no operator), what qualifies every name in it. Such a
/// query may be bound as the login role, which alone may call `set_config` in a hardened database. `None` where in
/// doubt.
pub(in crate::guard) fn only_sets(statement: &Statement<'_>) -> Option<Schemas> {
    if statement.kw(0) != Kw::Select || statement.len() > TOKENS {
        return None;
    }
    let mut schemas = Schemas::default();
    let (mut at, mut sets) = (1, false);
    loop {
        let (name, last) = schemas.function(statement, at, &["set_config", "current_setting"])?;
        sets |= name == "set_config";
        at = behind_arguments(statement, last + 1)?;
        if statement.kw(at) == Kw::As && statement.name(at + 1).is_some() {
            at += 2;
        }
        if at == statement.len() || is_one_setting(statement, at, &mut schemas) {
            return sets.then_some(schemas);
        }
        if !statement.is_punct(at, b',') {
            return None;
        }
        at += 1;
    }
}

/// `FROM pg_show_all_settings() WHERE name = 'bytea_output'`: pgAdmin sets what the server knows.
fn is_one_setting(statement: &Statement<'_>, from: usize, schemas: &mut Schemas) -> bool {
    if statement.kw(from) != Kw::From || statement.len() < from + 8 {
        return false;
    }
    let Some((_, at)) = schemas.function(statement, from + 1, &["pg_show_all_settings"]) else {
        return false;
    };
    let is_so = statement.is_punct(at + 1, b'(')
        && statement.is_punct(at + 2, b')')
        && statement.name(at + 3) == Some("where")
        && statement.name(at + 4) == Some("name")
        && statement.source(at + 5) == "="
        && statement.is_string(at + 6)
        && statement.len() == at + 7;
    if is_so {
        schemas.put(statement, at + 5, "OPERATOR(pg_catalog.=)", 1);
    }
    is_so
}

/// Where the call whose parenthesis is at `open` ends, if its arguments are all constants or parameters.
fn behind_arguments(statement: &Statement<'_>, open: usize) -> Option<usize> {
    if !statement.is_punct(open, b'(') {
        return None;
    }
    let mut at = open + 1;
    while is_constant(statement, at) {
        if statement.is_punct(at + 1, b')') {
            return Some(at + 2);
        }
        if !statement.is_punct(at + 1, b',') {
            return None;
        }
        at += 2;
    }
    None
}

fn is_constant(statement: &Statement<'_>, at: usize) -> bool {
    // By source: a quoted "true" is a column.
    let is_bool = |source: &str| source.eq_ignore_ascii_case("true") || source.eq_ignore_ascii_case("false");
    match statement.get(at).map(|token| token.kind) {
        Some(TokenKind::Param) => true,
        Some(TokenKind::Word) => is_bool(statement.source(at)),
        Some(_) => statement.is_string(at),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::limits::Limits;
    use crate::guard::text::lexer;

    fn qualified(text: &str) -> Option<Qualified> {
        let tokens = lexer::lex(text, &Limits::default()).unwrap();
        let statement = Statement {
            text,
            tokens: &tokens,
        };
        let (first, last) = (statement.get(0)?, statement.get(statement.len() - 1)?);
        let (start, end) = (first.range().start, last.range().end);
        Some(Qualified::new(&text[start..end], start, &only_sets(&statement)?))
    }

    #[test]
    fn every_name_gets_its_schema() {
        for (text, sent) in [
            (
                " SELECT current_setting('ä') AS a, SET_CONFIG('jit', $1, true), pg_catalog.set_config('x', 'y', false) -- c",
                "SELECT pg_catalog.current_setting('ä') AS a, pg_catalog.SET_CONFIG('jit', $1, true), pg_catalog.set_config('x', 'y', false)",
            ),
            (
                "SELECT \"set_config\"('a','b',false) FROM pg_show_all_settings() WHERE name = 'a'",
                "SELECT pg_catalog.\"set_config\"('a','b',false) FROM pg_catalog.pg_show_all_settings() WHERE name OPERATOR(pg_catalog.=) 'a'",
            ),
        ] {
            assert_eq!(qualified(text).unwrap().sql(), sent);
        }
        for text in [
            "SELECT app.set_config('a', 'b', true)",
            "SELECT set_config('a', 1, true)",
        ] {
            assert!(qualified(text).is_none(), "{text}");
        }
    }

    #[test]
    fn positions_are_those_of_the_text_that_came() {
        let text = "SELECT current_setting('ä') AS a, set_config('jit', $1, true) FROM pg_show_all_settings() WHERE name = 'b'";
        let qualified = qualified(text).unwrap();
        let find = |text: &str, word: &str| text.get(..text.find(word).unwrap()).unwrap().chars().count() + 1;
        for word in [
            "SELECT", "'ä'", "AS a", "'jit'", "$1", "FROM", "() WHERE", "name", "'b'",
        ] {
            let ours = find(qualified.sql(), word);
            assert_eq!(qualified.position_of(ours), find(text, word), "{word}");
        }
        for (ours, theirs) in [
            ("pg_catalog.current", "current"),
            ("pg_catalog.set", "set_config"),
            ("OPERATOR", "="),
        ] {
            let at = find(qualified.sql(), ours);
            assert_eq!(qualified.position_of(at), find(text, theirs), "{ours}");
            assert_eq!(qualified.position_of(at + 1), find(text, theirs), "{ours}");
        }
    }
}
