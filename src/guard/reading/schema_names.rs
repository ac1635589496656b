//! Where a statement names a schema.
//!
//! Of a dotted name, the grammar (gram.y) takes the part before the last for a schema wherever a relation, a function,
//! a type, an operator or a collation stands. In an expression it is a column of something that FROM has named
//! before, and no schema is looked into: `a.b` there means a column of `a` and nothing else
//! (`transformColumnRef`, parse_expr.c). Which of the two it is follows from what stands before the name and from the
//! clause it is in. Only what surely is a column counts as one: after an operator, after a word that none but an
//! expression follows, and after a parenthesis or a comma outside FROM. A word that is no reserved one may be a name
//! itself, so it counts with its surroundings alone.

use crate::guard::text::lexer::{Kw, TokenKind};
use crate::guard::text::statement::Statement;

/// What the tokens of a statement are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guard) enum Content {
    /// A query, or something around one, with expressions.
    Query,
    /// Names of relations or types alone: LOCK, TRUNCATE, the target of COPY.
    Names,
}

/// Tells `named` the token of every schema that a statement names.
///
/// # Errors
///
/// The first that `named` returns.
pub(in crate::guard) fn each_schema<E>(
    statement: &Statement<'_>,
    reading: Content,
    mut named: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(statement, reading);
    let mut at = 0;
    while at < statement.len() {
        match statement.get(at).map(|token| token.kind) {
            Some(TokenKind::Punct(b'(')) => reader.open(at),
            Some(TokenKind::Punct(b'[')) => reader.levels.push(Level::new(Clause::Expressions)),
            Some(TokenKind::Punct(b')' | b']')) => reader.close(),
            Some(TokenKind::Word | TokenKind::Quoted) if statement.is_punct(at + 1, b'.') => {
                let name = Dotted::read(statement, at);
                if !is_after_point(statement, at) {
                    for schema in reader.schemas(&name).into_iter().flatten() {
                        named(schema)?;
                    }
                }
                // What follows a point after a parenthesis picks fields.
                at = name.end;
                continue;
            }
            Some(TokenKind::Word) => reader.word(at),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// A name with points in it.
struct Dotted {
    /// Its first token.
    first: usize,
    /// How many names it is made of.
    parts: usize,
    end_of: End,
    /// The token behind it.
    end: usize,
}

/// What a dotted name ends in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Name,
    /// `.*`
    Star,
    /// A point and an operator, or what no name has.
    Other,
}

impl Dotted {
    fn read(statement: &Statement<'_>, first: usize) -> Self {
        let mut last = first;
        let mut parts = 1;
        while statement.is_punct(last + 1, b'.') && statement.name(last + 2).is_some() {
            last += 2;
            parts += 1;
        }
        let (end_of, end) = if !statement.is_punct(last + 1, b'.') {
            (End::Name, last + 1)
        } else if statement.is_punct(last + 2, b'*') {
            (End::Star, last + 3)
        } else {
            (End::Other, last + 2)
        };
        Self {
            first,
            parts,
            end_of,
            end,
        }
    }

    /// The token of a part, counted from the last one.
    fn part_from_end(&self, back: usize) -> Option<usize> {
        let part = self.parts.checked_sub(back + 1)?;
        Some(self.first + 2 * part)
    }
}

/// What the tokens between two parentheses are, as far as they have been read.
struct Level {
    clause: Clause,
    opener: Opener,
    /// What the parenthesis that has been closed last was.
    closed: Opener,
}

/// What commas separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    /// Expressions, or plain names.
    Expressions,
    /// The items of FROM and of USING: what is first in one is a relation or a function.
    Sources,
    /// Names of relations or types.
    Names,
}

/// What an opening parenthesis stands behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Opener {
    #[default]
    Other,
    /// `extract (`, `substring (`, `trim (`, `overlay (`: a FROM in there is no clause.
    Excerpt,
    /// `AS (`, `MATERIALIZED (`: where a query of WITH begins.
    With,
    /// Behind the closing one an expression begins: `DISTINCT ON (…)`, `RETURNING WITH (…)`, `OPERATOR(…)`.
    Prefix,
}

impl Level {
    fn new(clause: Clause) -> Self {
        Self {
            clause,
            opener: Opener::Other,
            closed: Opener::Other,
        }
    }
}

struct Reader<'s, 'a> {
    statement: &'s Statement<'a>,
    levels: Vec<Level>,
}

impl<'s, 'a> Reader<'s, 'a> {
    fn new(statement: &'s Statement<'a>, reading: Content) -> Self {
        let clause = match reading {
            Content::Query => Clause::Expressions,
            Content::Names => Clause::Names,
        };
        let levels = vec![Level::new(clause)];
        Self { statement, levels }
    }

    fn clause(&self) -> Clause {
        self.levels.last().map_or(Clause::Names, |level| level.clause)
    }

    fn turn_to(&mut self, clause: Clause) {
        if let Some(level) = self.levels.last_mut() {
            level.clause = clause;
        }
    }

    /// The unquoted word at `at` as the server folds it; empty for anything else, and for a label, which any word may
    /// be.
    fn bare(&self, at: Option<usize>) -> &'a str {
        match at {
            Some(at) if !self.statement.is_label(at) => unquoted(self.statement, at),
            _ => "",
        }
    }

    fn open(&mut self, at: usize) {
        let statement = self.statement;
        let before = at.checked_sub(1);
        let word = self.bare(before);
        let clause = match self.clause() {
            _ if word == "only" => Clause::Sources,
            Clause::Names if word == "copy" => Clause::Expressions,
            Clause::Names => Clause::Names,
            Clause::Sources if before.is_some_and(|before| self.begins_source(before)) => Clause::Sources,
            Clause::Sources | Clause::Expressions => Clause::Expressions,
        };
        let opener = match word {
            "extract" | "substring" | "trim" | "overlay" => Opener::Excerpt,
            "on" if self.bare(at.checked_sub(2)) == "distinct" => Opener::Prefix,
            "with" if self.bare(at.checked_sub(2)) == "returning" => Opener::Prefix,
            // Not where an item of a list begins: that may be a function of this name.
            "operator"
                if !at
                    .checked_sub(2)
                    .is_some_and(|before| begins_item(statement, before)) =>
            {
                Opener::Prefix
            }
            _ if before.is_some_and(|before| begins_with_query(statement, before)) => Opener::With,
            _ => Opener::Other,
        };
        self.levels.push(Level {
            opener,
            ..Level::new(clause)
        });
    }

    fn close(&mut self) {
        if self.levels.len() > 1
            && let Some(closed) = self.levels.pop()
            && let Some(level) = self.levels.last_mut()
        {
            level.closed = closed.opener;
        }
    }

    /// Whether a relation may follow the token at `at` within FROM.
    fn begins_source(&self, at: usize) -> bool {
        self.statement.is_punct(at, b',')
            || self.statement.is_punct(at, b'(')
            || matches!(self.bare(Some(at)), "join" | "lateral" | "using")
            || (self.bare(Some(at)) == "from" && !self.is_in_expression(at))
    }

    /// Whether the FROM at `at` belongs to an expression: `IS [NOT] DISTINCT FROM`, `extract(year FROM d)`.
    fn is_in_expression(&self, at: usize) -> bool {
        let back = |count: usize| self.bare(at.checked_sub(count));
        let is_compared = back(1) == "distinct" && (back(2) == "is" || (back(2) == "not" && back(3) == "is"));
        is_compared
            || self
                .levels
                .last()
                .is_some_and(|level| level.opener == Opener::Excerpt)
    }

    /// Whether a RETURNING here is a clause: in JSON functions it is followed by a type.
    fn may_return_rows(&self) -> bool {
        match self.levels.as_slice() {
            [_] => true,
            [.., level] => level.opener == Opener::With,
            [] => false,
        }
    }

    /// Takes note of a word that may begin a clause. What ends FROM must not be a word that could be a name in it.
    fn word(&mut self, at: usize) {
        let statement = self.statement;
        let before = at.checked_sub(1);
        match (self.bare(Some(at)), self.clause()) {
            ("select", _) => {
                // `INSERT INTO trim (SELECT … FROM …)`
                if let Some(level) = self
                    .levels
                    .last_mut()
                    .filter(|level| level.opener == Opener::Excerpt)
                {
                    level.opener = Opener::Other;
                }
                self.turn_to(Clause::Expressions);
            }
            ("where", Clause::Names) => self.turn_to(Clause::Expressions),
            ("from", Clause::Expressions) if !self.is_in_expression(at) => self.turn_to(Clause::Sources),
            // `ORDER BY a USING <`
            ("using", Clause::Expressions) if !is_operator(statement, at + 1) => {
                self.turn_to(Clause::Sources)
            }
            ("group" | "order", Clause::Sources) if statement.kw(at + 1) == Kw::By => {
                self.turn_to(Clause::Expressions);
            }
            ("returning", Clause::Sources) if self.may_return_rows() => self.turn_to(Clause::Expressions),
            // Anywhere else it may be an alias.
            ("values", Clause::Sources)
                if before.is_some_and(|before| statement.is_punct(before, b'('))
                    && statement.is_punct(at + 1, b'(') =>
            {
                self.turn_to(Clause::Expressions);
            }
            ("set", Clause::Sources)
                if self.bare(before) == "update" && self.bare(at.checked_sub(2)) == "do" =>
            {
                self.turn_to(Clause::Expressions);
            }
            _ => {}
        }
    }

    /// The tokens of a dotted name that are schemas, or must be taken for some.
    fn schemas(&self, name: &Dotted) -> [Option<usize>; 2] {
        let statement = self.statement;
        let is_called = statement.is_punct(name.end, b'(') || statement.is_string(name.end);
        let in_operator = self.bare(name.first.checked_sub(2)) == "operator"
            && name.first > 0
            && statement.is_punct(name.first - 1, b'(');
        if name.end_of == End::Other || in_operator {
            return [name.part_from_end(0), None];
        }
        if is_called || !self.is_column(name.first) {
            let star = (name.end_of == End::Star)
                .then(|| name.part_from_end(0))
                .flatten();
            return [name.part_from_end(1), star];
        }
        // `schema.relation.column`; a column's fields where it is set.
        let parts = name.parts + usize::from(name.end_of == End::Star);
        let is_set = statement.is_punct(name.end, b'=')
            && name
                .first
                .checked_sub(1)
                .is_some_and(|before| statement.is_punct(before, b',') || self.bare(Some(before)) == "set");
        if parts < 3 || is_set {
            return [None, None];
        }
        let back = if name.end_of == End::Star { 1 } else { 2 };
        [name.part_from_end(back), None]
    }

    /// Whether the dotted name that begins at `at` is surely a column, or fields of one.
    fn is_column(&self, at: usize) -> bool {
        let statement = self.statement;
        let Some(before) = at.checked_sub(1) else {
            return false;
        };
        let clause = self.clause();
        match statement.get(before).map(|token| token.kind) {
            _ if clause == Clause::Names => false,
            Some(TokenKind::Punct(b'(' | b',')) => clause == Clause::Expressions,
            Some(TokenKind::Punct(b')')) => {
                let level = self.levels.last();
                level.is_some_and(|level| level.closed == Opener::Prefix)
            }
            Some(TokenKind::Punct(byte)) => matches!(
                byte,
                b'[' | b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b':'
            ),
            Some(TokenKind::Operator) => !matches!(statement.source(before), "::" | ".."),
            Some(TokenKind::Word) => self.begins_expression(before),
            _ => false,
        }
    }

    /// Whether nothing but an expression follows the word at `at`.
    fn begins_expression(&self, at: usize) -> bool {
        let statement = self.statement;
        let earlier = at.checked_sub(1);
        let word_before = self.bare(earlier);
        // Where a list of columns with types may begin, the word may be one of these columns.
        let may_be_name = earlier.is_none_or(|earlier| begins_item(statement, earlier));
        match self.bare(Some(at)) {
            // Reserved: no name of anything.
            "select" | "distinct" | "all" | "where" | "and" | "or" | "not" | "on" | "when" | "then"
            | "else" | "case" | "having" | "like" | "ilike" | "to" | "in" | "symmetric" | "asymmetric"
            | "both" | "leading" | "trailing" | "placing" | "variadic" | "default" | "limit" | "offset"
            | "for" => true,
            "from" => self.is_in_expression(at),
            "returning" => self.may_return_rows(),
            "by" => matches!(word_before, "order" | "group" | "partition"),
            "zone" => word_before == "time",
            "ref" => word_before == "by",
            "value" => word_before == "by" || earlier.is_some_and(|earlier| statement.is_string(earlier)),
            "between" | "escape" | "passing" | "set" => !may_be_name,
            "document" | "content" => {
                let outer = self.levels.iter().rev().nth(1);
                outer.is_some_and(|outer| outer.clause == Clause::Expressions)
                    && earlier.is_some_and(|earlier| statement.is_punct(earlier, b'('))
                    && matches!(self.bare(at.checked_sub(2)), "xmlparse" | "xmlserialize")
            }
            _ => false,
        }
    }
}

/// Whether the token at `at` is the `AS` or `AS [NOT] MATERIALIZED` of a WITH.
fn begins_with_query(statement: &Statement<'_>, at: usize) -> bool {
    let kw = |back: usize| at.checked_sub(back).map_or(Kw::None, |at| statement.kw(at));
    match kw(0) {
        Kw::As => true,
        Kw::Materialized => kw(1) == Kw::As || (kw(1) == Kw::Not && kw(2) == Kw::As),
        _ => false,
    }
}

/// Whether an item of a list, such as a column with its type, may begin behind the token at `at`.
fn begins_item(statement: &Statement<'_>, at: usize) -> bool {
    statement.is_punct(at, b'(')
        || statement.is_punct(at, b',')
        || matches!(statement.name(at), Some("columns" | "collate"))
}

fn is_after_point(statement: &Statement<'_>, at: usize) -> bool {
    at > 0 && statement.is_punct(at - 1, b'.')
}

/// The name of an unquoted word; empty for anything else.
fn unquoted<'a>(statement: &Statement<'a>, at: usize) -> &'a str {
    match statement.get(at).map(|token| token.kind) {
        Some(TokenKind::Word) => statement.name(at).unwrap_or(""),
        _ => "",
    }
}

fn is_operator(statement: &Statement<'_>, at: usize) -> bool {
    match statement.get(at).map(|token| token.kind) {
        Some(TokenKind::Operator) => true,
        Some(TokenKind::Punct(byte)) => matches!(byte, b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'/'),
        Some(TokenKind::Word) => unquoted(statement, at) == "operator" && statement.is_punct(at + 1, b'('),
        _ => false,
    }
}
