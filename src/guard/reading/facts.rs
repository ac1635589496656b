//! The finer facts of a statement, from `sqlparser`'s grammar over our own tokens.
//!
//! They refine what a policy's lists deny: a name that the tokens show may be a column. They never overrule
//! what the tokens decide, and their absence costs accuracy, never safety.

mod convert;

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FromTable, ObjectName, Query, Statement as Ast, TableFactor, TableObject, TableWithJoins, Visit,
    Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::guard::text::statement::Statement;

/// Deepest nesting of parentheses that is parsed: the grammar recurses.
const PARSED_NESTING: usize = 64;

/// Most tokens that are parsed: a chain of operators becomes a tree as deep as it is long.
const PARSED_TOKENS: usize = 4_096;

/// Longest statement that is parsed.
const PARSED_BYTES: usize = 256 * 1024;

/// What a statement reads, writes and calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Functions called, as written, with their schema where one is given.
    pub functions: Vec<String>,
    /// Relations named, written ones included.
    pub relations: Vec<String>,
    /// Relations named that are no name of a WITH query where they stand. A relation that is written to never
    /// is such a name.
    pub tables: Vec<String>,
    /// Relations written to, also inside a WITH.
    pub written: Vec<String>,
    /// Whether some UPDATE or DELETE has no WHERE.
    pub unfiltered_write: bool,
    /// What rows of tables and sub-selects are called: aliases, or the tables' own names.
    pub row_sources: Vec<String>,
    /// Names that are followed by a list of columns: of WITH queries and aliases.
    pub column_lists: Vec<String>,
    /// What results of functions in FROM are called, as far as they have a name.
    pub function_sources: Vec<String>,
}

/// Functions that are called without parentheses, also in FROM (`func_expr_common_subexpr` of gram.y).
const BARE_FUNCTIONS: &[&str] = &[
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "system_user",
    "user",
];

/// The most tokens of these statements that are parsed at a time.
pub(in crate::guard) fn most_parsed(statements: &[Statement<'_>]) -> usize {
    let parsed = statements.iter().map(Statement::len);
    parsed.filter(|len| *len <= PARSED_TOKENS).max().unwrap_or(0)
}

/// The facts of a statement; `None` if the grammar does not know it or it is too large to parse.
pub(in crate::guard) fn read(statement: &Statement<'_>) -> Option<Facts> {
    parse(statement, Vec::new())
}

/// The facts of expressions, as if they were selected.
pub(in crate::guard) fn read_selected(expressions: &Statement<'_>) -> Option<Facts> {
    parse(
        expressions,
        vec![TokenWithSpan::wrap(Token::make_keyword("SELECT"))],
    )
}

/// The facts of a statement behind these tokens.
fn parse(statement: &Statement<'_>, mut tokens: Vec<TokenWithSpan>) -> Option<Facts> {
    if statement.len() > PARSED_TOKENS
        || statement.range().len() > PARSED_BYTES
        || nesting(statement) > PARSED_NESTING
    {
        return None;
    }
    let dialect = PostgreSqlDialect {};
    tokens.append(&mut convert::tokens(statement));
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let ast = parser.parse_statement().ok()?;
    if parser.peek_token().token != Token::EOF {
        return None;
    }
    let mut collector = Collector::default();
    let _ = ast.visit(&mut collector);
    let mut facts = collector.facts;
    for list in [
        &mut facts.functions,
        &mut facts.relations,
        &mut facts.tables,
        &mut facts.written,
        &mut facts.row_sources,
        &mut facts.column_lists,
        &mut facts.function_sources,
    ] {
        list.sort_unstable();
        list.dedup();
    }
    Some(facts)
}

fn nesting(statement: &Statement<'_>) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for at in 0..statement.len() {
        if statement.is_punct(at, b'(') || statement.is_punct(at, b'[') {
            depth += 1;
            deepest = deepest.max(depth);
        } else if statement.is_punct(at, b')') || statement.is_punct(at, b']') {
            depth = depth.saturating_sub(1);
        }
    }
    deepest
}

#[derive(Default)]
struct Collector {
    facts: Facts,
    /// The queries around what is being visited, the innermost last.
    scopes: Vec<Scope>,
    /// The next relation is the name of a function in FROM, which the grammar takes for a table with arguments.
    function_ahead: bool,
}

/// What a query's WITH names.
#[derive(Default)]
struct Scope {
    /// Names that can be used now.
    names: Vec<String>,
    /// Names that can be used once their query is over, with that query's address.
    ahead: Vec<(usize, String)>,
}

impl Scope {
    /// The scope of a query: in `WITH RECURSIVE` each query sees all names, else those before its own.
    fn of(query: &Query) -> Self {
        let mut scope = Self::default();
        let Some(with) = &query.with else { return scope };
        for cte in &with.cte_tables {
            let name = cte.alias.name.value.clone();
            if with.recursive {
                scope.names.push(name);
            } else {
                scope.ahead.push((address(&cte.query), name));
            }
        }
        scope
    }
}

/// Tells apart the queries of one tree.
fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Collector {
    fn written(&mut self, tables: &[TableWithJoins]) {
        for table in tables {
            self.written_factor(&table.relation);
        }
    }

    fn written_factor(&mut self, table: &TableFactor) {
        if let TableFactor::Table { name, .. } = table {
            self.facts.written.push(joined(name));
        }
    }

    /// Takes note of what the rows of a FROM item are called.
    fn source(&mut self, factor: &TableFactor) {
        let (alias, own, is_function) = match factor {
            TableFactor::Table {
                name, alias, args, ..
            } => {
                let own = last(name);
                let is_bare = name.0.len() == 1 && BARE_FUNCTIONS.contains(&&*own);
                (alias, own, args.is_some() || is_bare)
            }
            TableFactor::Derived { alias, .. } | TableFactor::NestedJoin { alias, .. } => {
                (alias, String::new(), false)
            }
            TableFactor::Function { name, alias, .. } => (alias, last(name), true),
            TableFactor::UNNEST { alias, .. } => (alias, "unnest".to_owned(), true),
            TableFactor::TableFunction { alias, .. }
            | TableFactor::JsonTable { alias, .. }
            | TableFactor::OpenJsonTable { alias, .. }
            | TableFactor::XmlTable { alias, .. } => (alias, String::new(), true),
            // No form of PostgreSQL's.
            _ => return,
        };
        if let Some(alias) = alias.as_ref().filter(|alias| !alias.columns.is_empty()) {
            self.facts.column_lists.push(alias.name.value.clone());
        }
        let source = alias.as_ref().map_or(own, |alias| alias.name.value.clone());
        if is_function {
            self.facts.function_sources.push(source);
        } else {
            self.facts.row_sources.push(source);
        }
    }
}

impl Visitor for Collector {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = joined(relation);
        let is_function = std::mem::take(&mut self.function_ahead);
        let is_with_name =
            relation.0.len() == 1 && self.scopes.iter().any(|scope| scope.names.contains(&name));
        if !is_with_name && !is_function {
            self.facts.tables.push(name.clone());
        }
        self.facts.relations.push(name);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.source(factor);
        self.function_ahead = matches!(factor, TableFactor::Table { args: Some(_), .. });
        match factor {
            TableFactor::Table {
                name, args: Some(_), ..
            }
            | TableFactor::Function { name, .. } => {
                self.facts.functions.push(joined(name));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.facts.functions.push(joined(&function.name));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let listed = with.filter(|cte| !cte.alias.columns.is_empty());
        self.facts
            .column_lists
            .extend(listed.map(|cte| cte.alias.name.value.clone()));
        self.scopes.push(Scope::of(query));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        if let Some(outer) = self.scopes.last_mut()
            && let Some(at) = outer.ahead.iter().position(|(of, _)| *of == address(query))
        {
            let (_, name) = outer.ahead.swap_remove(at);
            outer.names.push(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Ast) -> ControlFlow<()> {
        match statement {
            Ast::Insert(insert) => {
                if let TableObject::TableName(name) = &insert.table {
                    self.facts.written.push(joined(name));
                    // Its own name, and that of the row which could not be inserted.
                    self.facts.row_sources.extend([last(name), "excluded".to_owned()]);
                }
                if let Some(alias) = &insert.table_alias {
                    self.facts.row_sources.push(alias.alias.value.clone());
                }
            }
            Ast::Update(update) => {
                self.written(std::slice::from_ref(&update.table));
                self.facts.unfiltered_write |= update.selection.is_none();
            }
            Ast::Delete(delete) => {
                let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
                self.written(tables);
                self.facts.unfiltered_write |= delete.selection.is_none();
            }
            Ast::Call(function) => self.facts.functions.push(joined(&function.name)),
            Ast::Merge(merge) => self.written_factor(&merge.table),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The last part of a name.
fn last(name: &ObjectName) -> String {
    let part = name.0.last().and_then(|part| part.as_ident());
    part.map_or_else(String::new, |ident| ident.value.clone())
}

/// A name's parts joined by points, as the server spells them: the tokens were folded before.
fn joined(name: &ObjectName) -> String {
    let parts: Vec<&str> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.as_str())
        .collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::limits::Limits;
    use crate::guard::text::lexer::lex;

    fn facts(text: &str) -> Option<Facts> {
        let tokens = lex(text, &Limits::default()).unwrap();
        read(&Statement {
            text,
            tokens: &tokens,
        })
    }

    #[test]
    fn reads_writes_and_calls_are_found() {
        let found =
            facts("WITH x AS (DELETE FROM app.a RETURNING id) SELECT Count(*) FROM x JOIN \"B\" b ON f(b.y)")
                .unwrap();
        assert_eq!(found.functions, ["count", "f"]);
        assert!(found.relations.contains(&"B".to_owned()) && found.relations.contains(&"app.a".to_owned()));
        assert_eq!(found.written, ["app.a"]);
        assert!(found.unfiltered_write);
        assert_eq!(
            facts("SELECT 1 FROM generate_series(1, 2)").unwrap().functions,
            ["generate_series"]
        );
        assert!(!facts("UPDATE t SET a = 1 WHERE b").unwrap().unfiltered_write);
    }

    #[test]
    fn a_name_of_with_is_no_table_where_it_can_be_used() {
        for (text, tables) in [
            ("WITH x AS (SELECT 1) SELECT * FROM x, t", vec!["t"]),
            (
                "WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT 1 FROM x",
                vec!["y"],
            ),
            (
                "WITH RECURSIVE x AS (SELECT * FROM y), y AS (SELECT 1) SELECT 1 FROM x",
                vec![],
            ),
            (
                "SELECT (WITH x AS (SELECT 1) SELECT 1 FROM x), (SELECT 1 FROM x)",
                vec!["x"],
            ),
            (
                "WITH x AS (SELECT 1) SELECT (SELECT 1 FROM x) FROM s.x",
                vec!["s.x"],
            ),
            ("WITH x AS (SELECT 1 FROM x) SELECT 1 FROM x", vec!["x"]),
            (
                "WITH x AS (WITH y AS (SELECT 1) SELECT * FROM y) SELECT 1 FROM x, y",
                vec!["y"],
            ),
        ] {
            assert_eq!(facts(text).unwrap().tables, tables, "{text}");
        }
        let found = facts("WITH x AS (SELECT 1) DELETE FROM x WHERE true").unwrap();
        assert_eq!(found.written, ["x"]);
    }

    #[test]
    fn our_tokens_are_what_is_parsed() {
        let found =
            facts("SELECT U&\"set\\005fconfig\"('a', E'b\\'' \n 'c', $1::text, $$d$$, x'1f', 1e3)").unwrap();
        assert_eq!(found.functions, ["set_config"]);
    }

    #[test]
    fn what_is_too_large_or_unknown_has_no_facts() {
        assert_eq!(facts("SELECT 1 +"), None);
        assert_eq!(
            facts(&format!("SELECT {}1{}", "(".repeat(65), ")".repeat(65))),
            None
        );
        assert_eq!(facts(&format!("SELECT 1{}", "+1".repeat(4_000))), None);
        // A deep tree within the limits needs no more stack than a small thread has.
        let _ = facts(&format!("SELECT 1{}", "+1".repeat(2_000)));
        let _ = facts(&format!("SELECT {}1", "- ".repeat(4_000)));
        let _ = facts(&format!("SELECT {}true", "NOT ".repeat(4_000)));
        let _ = facts(&format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_000)));
    }
}
