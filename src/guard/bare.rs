//! Queries that do nothing but set and read settings: `SELECT set_config('jit', 'off', false) AS jit`.
//!
//! They are bound as the login role, so nothing of an application's may run while they are: names in them are sent with
//! their schema, lest a function or an operator of the same name be nearer on the search path or fit better.

use super::lexer::{Kw, TokenKind};
use super::reserved::{Called, Notation, Reserved, SearchPath};
use super::statement::Statement;

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

impl Qualified {
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

/// The text of a query being qualified.
struct Writer<'s, 'a> {
    statement: &'s Statement<'a>,
    sql: String,
    changes: Vec<Change>,
    /// The byte of the whole text up to which it is written.
    written: usize,
}

impl Writer<'_, '_> {
    /// Writes the text up to a token, and this ahead of it, or in its place.
    fn put(&mut self, token: usize, text: &str, taken: usize) {
        let offset = self.statement.offset(token);
        self.copy_to(offset);
        self.changes.push(Change {
            at: self.sql.chars().count() + 1,
            added: text.len(),
            taken,
        });
        self.sql.push_str(text);
        self.written = offset + taken;
    }

    fn copy_to(&mut self, offset: usize) {
        let text = self.statement.text.get(self.written..offset);
        self.sql.push_str(text.unwrap_or_default());
        self.written = offset;
    }

    /// Whether the function that is named at `at` carries its schema; the token of its own name.
    fn function(&mut self, at: usize) -> usize {
        if self.statement.name(at) == Some("pg_catalog") && self.statement.is_punct(at + 1, b'.') {
            return at + 2;
        }
        self.put(at, "pg_catalog.", 0);
        at
    }
}

/// If the query is a list of calls of `set_config` and `current_setting` with constants and parameters for
/// arguments, and nothing else (no relation, no other function, no operator), its text with every name qualified. Such
/// a query may be bound as the login role, which alone may call `set_config` in a hardened database. `None` where in
/// doubt.
pub(super) fn only_sets(statement: &Statement<'_>) -> Option<Qualified> {
    if statement.kw(0) != Kw::Select || statement.len() > TOKENS {
        return None;
    }
    let mut writer = Writer {
        statement,
        sql: String::new(),
        changes: Vec::new(),
        written: statement.offset(0),
    };
    let (mut at, mut sets) = (1, false);
    loop {
        at = writer.function(at);
        match statement.name(at) {
            Some("set_config") => sets = true,
            Some("current_setting") => {}
            _ => return None,
        }
        at = behind_arguments(statement, at + 1)?;
        if statement.kw(at) == Kw::As && statement.name(at + 1).is_some() {
            at += 2;
        }
        if at == statement.len() || is_one_setting(&mut writer, at) {
            break;
        }
        if !statement.is_punct(at, b',') {
            return None;
        }
        at += 1;
    }
    let end = statement.get(statement.len() - 1)?.range().end;
    writer.copy_to(end);
    sets.then(|| Qualified {
        sql: writer.sql.into(),
        changes: writer.changes.into(),
    })
}

/// `FROM pg_show_all_settings() WHERE name = 'bytea_output'`: pgAdmin sets what the server knows.
fn is_one_setting(writer: &mut Writer<'_, '_>, from: usize) -> bool {
    let statement = writer.statement;
    if statement.kw(from) != Kw::From || statement.len() < from + 8 {
        return false;
    }
    let at = writer.function(from + 1);
    let is_so = statement.name(at) == Some("pg_show_all_settings")
        && statement.is_punct(at + 1, b'(')
        && statement.is_punct(at + 2, b')')
        && statement.name(at + 3) == Some("where")
        && statement.name(at + 4) == Some("name")
        && statement.source(at + 5) == "="
        && statement.is_string(at + 6)
        && statement.len() == at + 7;
    if is_so {
        writer.put(at + 5, "OPERATOR(pg_catalog.=)", 1);
    }
    is_so
}

/// Whether the statement asks for the last value that its connection has drawn from a sequence: another client's,
/// on a connection that clients share. By name, wherever it stands.
pub(super) fn reads_sequences(statement: &Statement<'_>) -> bool {
    (0..statement.len()).any(|at| matches!(statement.name(at), Some("lastval" | "currval")))
}

/// Whether the statement may leave what no reset takes back, such as a seed of `random()`: by the names of functions that
/// do, wherever they stand; in the text of a DO as well.
pub(super) fn leaves_state(statement: &Statement<'_>) -> bool {
    let (list, is_code) = (Reserved::list(), statement.kw(0) == Kw::Do);
    (0..statement.len()).any(|at| {
        let schema = at.checked_sub(2).and_then(|schema| statement.name(schema));
        let called = |name| Called {
            schema: schema.filter(|_| statement.is_punct(at - 1, b'.')),
            name,
            notation: Notation::Call,
            search_path: SearchPath::OfOperator,
        };
        statement
            .name(at)
            .is_some_and(|name| list.leaves_state(called(name)))
            || (is_code && list.names_state(statement.source(at)))
    })
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
    use super::super::{Limits, lexer};
    use super::*;

    fn qualified(text: &str) -> Option<Qualified> {
        let tokens = lexer::lex(text, &Limits::default()).unwrap();
        only_sets(&Statement {
            text,
            tokens: &tokens,
        })
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
