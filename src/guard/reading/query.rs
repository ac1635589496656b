//! What a query does, from its tokens alone: its verbs, their targets, and whether it creates a table.
//!
//! SELECT, TABLE, INTO, AS and WITH are reserved words; INSERT, UPDATE, DELETE and MERGE are not, so that a
//! column may bear such a name. They count only where the grammar expects a query to begin: first in the
//! statement, first in parentheses, or after the list of a WITH.

use super::class::StatementClass;
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;

/// A query and every query inside it.
#[derive(Debug)]
pub(in crate::guard) struct Query {
    /// What the outermost query is.
    pub(in crate::guard) class: StatementClass,
    /// Every writing verb at any depth.
    pub(in crate::guard) writes: Vec<Write>,
    /// Whether it reads by SELECT, VALUES or TABLE at any depth.
    pub(in crate::guard) reads: bool,
    /// The INTO that makes it SELECT INTO.
    pub(in crate::guard) into: Option<usize>,
}

/// One INSERT, UPDATE, DELETE or MERGE.
#[derive(Debug)]
pub(in crate::guard) struct Write {
    pub(in crate::guard) class: StatementClass,
    /// Where the name of the written relation begins; `None` for `ON CONFLICT DO UPDATE`.
    pub(in crate::guard) target: Option<usize>,
    /// Where the condition begins: behind its WHERE.
    pub(in crate::guard) filter: Option<usize>,
}

/// One pair of parentheses, or the statement itself.
#[derive(Default)]
struct Level {
    /// A token of this level has been seen.
    begun: bool,
    /// It began with WITH and its verb is still to come.
    with: bool,
    /// Its verb decides what the whole statement is.
    is_main: bool,
    /// It began with UPDATE and a name; SET will tell whether that is a statement or a column.
    update_target: Option<usize>,
    /// Its verb's place among the writes, if it is a writing one.
    write: Option<usize>,
}

/// Reads the tokens of a statement that begins with a query; `None` if none of its verbs can be made out.
pub(in crate::guard) fn read(statement: &Statement<'_>) -> Option<Query> {
    let mut reader = Reader {
        statement,
        class: None,
        writes: Vec::new(),
        reads: false,
        into: None,
        insert_into: None,
        levels: vec![Level {
            is_main: true,
            ..Level::default()
        }],
    };
    for at in 0..statement.len() {
        reader.see(at);
    }
    Some(Query {
        class: reader.class?,
        writes: reader.writes,
        reads: reader.reads,
        into: reader.into,
    })
}

struct Reader<'s, 'a> {
    statement: &'s Statement<'a>,
    class: Option<StatementClass>,
    writes: Vec<Write>,
    reads: bool,
    into: Option<usize>,
    /// The INTO of the INSERT or MERGE that has just been seen.
    insert_into: Option<usize>,
    levels: Vec<Level>,
}

impl Reader<'_, '_> {
    fn see(&mut self, at: usize) {
        let statement = self.statement;
        if statement.is_punct(at, b'(') {
            let opens_main = self.opens_main(at);
            if let Some(level) = self.levels.last_mut() {
                level.begun = true;
                level.with &= !opens_main;
            }
            self.levels.push(Level {
                is_main: opens_main,
                ..Level::default()
            });
            return;
        }
        if statement.is_punct(at, b')') {
            if self.levels.len() > 1 {
                self.levels.pop();
            }
            return;
        }
        let Some(level) = self.levels.last_mut() else {
            return;
        };
        let first = !std::mem::replace(&mut level.begun, true);
        let kw = statement.kw(at);
        if kw == Kw::None || statement.is_label(at) {
            return;
        }
        match kw {
            Kw::With if first => level.with = true,
            Kw::Set if !level.with => {
                if let Some(target) = level.update_target.take() {
                    level.write = Some(self.writes.len());
                    self.writes.push(Write {
                        class: StatementClass::Update,
                        target: Some(target),
                        filter: None,
                    });
                }
            }
            Kw::Into if self.insert_into != Some(at) => self.into = self.into.or(Some(at)),
            Kw::Update if at > 0 && statement.kw(at - 1) == Kw::Do => {
                self.writes.push(Write {
                    class: StatementClass::Update,
                    target: None,
                    filter: None,
                });
            }
            Kw::Where => {
                if let Some(write) = level.write.and_then(|at| self.writes.get_mut(at)) {
                    write.filter = Some(at + 1);
                }
            }
            _ if first || (level.with && !is_cte_word(statement, at)) => self.verb(at),
            Kw::Select => self.reads = true,
            _ => {}
        }
    }

    /// Whether the parenthesis at `at` holds the statement's own query: `(SELECT …)`, `WITH … (SELECT …)`.
    fn opens_main(&self, at: usize) -> bool {
        let after_list = at > 0 && self.statement.is_punct(at - 1, b')');
        match self.levels.last() {
            Some(level) => level.is_main && (!level.begun || (level.with && after_list)),
            None => false,
        }
    }

    /// Takes the keyword at `at` as the verb of its level, if it is one.
    fn verb(&mut self, at: usize) {
        let statement = self.statement;
        let class = match (statement.kw(at), statement.kw(at + 1)) {
            (Kw::Select | Kw::Table, _) => StatementClass::Select,
            (Kw::Values, _) if statement.is_punct(at + 1, b'(') => StatementClass::Select,
            (Kw::Insert, Kw::Into) => StatementClass::Insert,
            (Kw::Merge, Kw::Into) => StatementClass::Merge,
            (Kw::Delete, Kw::From) => StatementClass::Delete,
            (Kw::Update, _) if statement.name(at + 1).is_some() => StatementClass::Update,
            _ => return,
        };
        let Some(level) = self.levels.last_mut() else {
            return;
        };
        level.with = false;
        if level.is_main && self.class.is_none() {
            self.class = Some(class);
        }
        let verb_words = if class == StatementClass::Update { 1 } else { 2 };
        let target = after_only(statement, at + verb_words);
        match class {
            StatementClass::Select => self.reads = true,
            StatementClass::Update => level.update_target = Some(target),
            _ => {
                level.write = Some(self.writes.len());
                self.writes.push(Write {
                    class,
                    target: Some(target),
                    filter: None,
                });
            }
        }
        if matches!(class, StatementClass::Insert | StatementClass::Merge) {
            self.insert_into = Some(at + 1);
        }
    }
}

/// Whether the word at `at` names something in the list of a WITH: a query, or a column of SEARCH or CYCLE.
fn is_cte_word(statement: &Statement<'_>, at: usize) -> bool {
    let before = at.saturating_sub(1);
    statement.is_punct(before, b',')
        || matches!(
            statement.kw(before),
            Kw::With | Kw::Recursive | Kw::By | Kw::Set | Kw::Using | Kw::To | Kw::Default
        )
}

/// Steps over `ONLY` and a parenthesis after it.
pub(in crate::guard) fn after_only(statement: &Statement<'_>, at: usize) -> usize {
    if statement.kw(at) != Kw::Only {
        return at;
    }
    at + 1 + usize::from(statement.is_punct(at + 1, b'('))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::limits::Limits;
    use crate::guard::text::lexer::lex;

    fn query(text: &str) -> (String, Vec<String>, bool) {
        let tokens = lex(text, &Limits::default()).unwrap();
        let statement = Statement {
            text,
            tokens: &tokens,
        };
        let Some(query) = read(&statement) else {
            return ("?".into(), Vec::new(), false);
        };
        let write = |write: &Write| {
            let target = write.target.and_then(|at| statement.name(at)).unwrap_or("-");
            format!("{} {target}", write.class)
        };
        (
            query.class.to_string(),
            query.writes.iter().map(write).collect(),
            query.into.is_some(),
        )
    }

    #[test]
    fn the_class_is_that_of_the_outermost_query() {
        for (text, class) in [
            ("SELECT 1", "SELECT"),
            ("((SELECT 1) UNION SELECT 2) ORDER BY 1", "SELECT"),
            ("TABLE t", "SELECT"),
            ("VALUES (1)", "SELECT"),
            ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT"),
            ("WITH a AS (SELECT 1) (SELECT * FROM a)", "SELECT"),
            (
                "WITH a (x) AS (SELECT 1), b AS MATERIALIZED (SELECT 2) INSERT INTO t SELECT 1",
                "INSERT",
            ),
            (
                "WITH insert AS (SELECT 1), update AS (SELECT 2) DELETE FROM t",
                "DELETE",
            ),
            (
                "WITH RECURSIVE a AS (SELECT 1) SEARCH DEPTH FIRST BY x SET y UPDATE t SET a = 1",
                "UPDATE",
            ),
            (
                "WITH a AS (SELECT 1) MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
                "MERGE",
            ),
            ("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", "SELECT"),
            ("WITH a AS (SELECT 1)", "?"),
        ] {
            assert_eq!(query(text).0, class, "{text}");
        }
    }

    #[test]
    fn writes_are_seen_at_any_depth() {
        for (text, writes) in [
            (
                "WITH a AS (DELETE FROM ONLY s.t RETURNING *) SELECT * FROM a",
                vec!["DELETE s"],
            ),
            (
                "WITH a AS (WITH b AS (UPDATE t SET x = 1 RETURNING *) SELECT 1) SELECT 1",
                vec!["UPDATE t"],
            ),
            (
                "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
                vec!["INSERT t", "UPDATE -"],
            ),
            ("UPDATE ONLY (t) SET a = 1", vec!["UPDATE t"]),
            (
                "SELECT (update), (delete), (update IS NULL), insert FROM t FOR UPDATE",
                vec![],
            ),
            (
                "SELECT delete FROM t WHERE merge = 1 AND t.update = (t.insert)",
                vec![],
            ),
        ] {
            assert_eq!(query(text).1, writes, "{text}");
        }
    }

    #[test]
    fn select_into_is_told_from_insert_into() {
        for text in [
            "SELECT * INTO t FROM u",
            "SELECT insert INTO t FROM u",
            "SELECT (1) insert INTO t",
            "WITH a AS (SELECT 1) SELECT merge INTO t",
            "WITH RECURSIVE a AS (SELECT 1) SEARCH DEPTH FIRST BY x SET y SELECT insert INTO t",
            "WITH a AS (SELECT 1) (SELECT insert INTO t)",
            "(SELECT 1 INTO t)",
            "SELECT 1 AS into INTO t",
            "INSERT INTO t SELECT 1 INTO u",
            "SELECT t.* INTO u FROM t",
            "SELECT t.as INTO u FROM t",
            "SELECT 1 AS as INTO u",
            "SELECT (t).as INTO u FROM t",
        ] {
            assert!(query(text).2, "{text}");
        }
        for text in [
            "INSERT INTO t VALUES (1)",
            "SELECT 1 AS into, t.into, \"into\" FROM t",
            "WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a",
            "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
            "MERGE INTO t USING u ON true WHEN NOT MATCHED THEN INSERT VALUES (1)",
        ] {
            assert!(!query(text).2, "{text}");
        }
    }
}
