//! What texts that come again and again can be prepared as: one statement for all that differ in their whole numbers
//! alone, with parameters in the place of these.
//!
//! A parameter of type `integer` means what a whole number means where its value alone matters. It does not in `ORDER BY 1`,
//! in `varchar(10)`, or where an expression has to be the same as another (`GROUP BY a + 1`). So only places are taken
//! that are known: what a column is compared with, set to or filled with, and LIMIT. A statement with a number anywhere
//! else is sent as it stands.

use std::ops::Range;

use sqlparser::ast::{
    BinaryOperator, Expr, InTarget, LimitClause, Query, SetExpr, Statement as Ast, UnaryOperator, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::guard::reading::class::StatementClass;

/// Longest number that is a parameter: it fits `integer`, as which the grammar reads it too.
const DIGITS: usize = 9;

/// Most parameters.
const NUMBERS: usize = 100;

/// Longest name that is not cut (`NAMEDATALEN`), which the server says each time it reads the text.
const NAME_BYTES: usize = 63;

/// What becomes of texts that come again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RepeatedTexts {
    /// The server reads them each time, as the client has asked.
    #[default]
    ParsedEachTime,
    /// They are prepared on each server connection that runs them.
    Prepared,
}

/// The text with parameters in the place of its numbers, if each stands where that makes no difference.
pub(in crate::guard) fn text_of(text: &str, numbers: &[Range<usize>]) -> Option<String> {
    if numbers.is_empty() || numbers.len() > NUMBERS || is_read_anew(text) || has_parameter(text) {
        return None;
    }
    let mut template = String::with_capacity(text.len() + numbers.len());
    let mut written = 0;
    for (number, range) in (1..).zip(numbers) {
        template.push_str(text.get(written..range.start)?);
        template.push_str(&format!("${number}"));
        written = range.end;
    }
    template.push_str(text.get(written..)?);
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, &template).ok()?;
    let [statement] = statements.as_slice() else {
        return None;
    };
    let mut places = Places::default();
    places.look_through(statement);
    (places.found == numbers.len()).then_some(template)
}

/// Whether all of a text's numbers can be values of parameters.
pub(in crate::guard) fn fit(numbers: &[Range<usize>]) -> bool {
    numbers.iter().all(|number| number.len() <= DIGITS)
}

/// Whether a statement of this class can be prepared behind the client's back.
pub(in crate::guard) fn is_plain(class: StatementClass) -> bool {
    matches!(
        class,
        StatementClass::Select | StatementClass::Insert | StatementClass::Update | StatementClass::Delete
    )
}

/// Whether a text says more each time that the server reads it than what it does: a name that is cut, with a notice, or a
/// literal, which can mean another thing later (`'now'::timestamptz`, `'somebody'::regrole`).
pub(in crate::guard) fn is_read_anew(text: &str) -> bool {
    let is_between = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_';
    has_literal(text) || text.split(is_between).any(|word| word.len() > NAME_BYTES)
}

/// Whether there may be a literal in quotes. A `$` ahead of a digit begins none: no tag does with one (`scan.l`,
/// `dolq_start`).
fn has_literal(text: &str) -> bool {
    let begins_none = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    text.contains('\'') || text.split('$').skip(1).any(|rest| !begins_none(rest))
}

/// Whether there may be a parameter of the client's.
pub(in crate::guard) fn has_parameter(text: &str) -> bool {
    text.contains('$')
}

/// Counts the parameters in places where a number is a value and nothing else.
#[derive(Default)]
struct Places {
    found: usize,
}

impl Places {
    fn look_through(&mut self, statement: &Ast) {
        match statement {
            Ast::Query(query) => self.query(query),
            Ast::Insert(insert) if insert.on.is_none() => {
                if let Some(query) = &insert.source
                    && let SetExpr::Values(values) = &*query.body
                {
                    let rows = values.rows.iter().flat_map(|row| &row.content);
                    rows.for_each(|value| self.value(value));
                }
            }
            Ast::Update(update) => {
                for assignment in &update.assignments {
                    self.value(&assignment.value);
                }
                self.condition(update.selection.as_ref());
            }
            Ast::Delete(delete) => self.condition(delete.selection.as_ref()),
            _ => {}
        }
    }

    fn query(&mut self, query: &Query) {
        if let SetExpr::Select(select) = &*query.body {
            self.condition(select.selection.as_ref());
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
            let offset = offset.as_ref().map(|offset| &offset.value);
            for count in [limit.as_ref(), offset].into_iter().flatten() {
                self.found += usize::from(is_parameter(count));
            }
        }
    }

    fn condition(&mut self, condition: Option<&Expr>) {
        match condition {
            Some(Expr::Nested(nested)) => self.condition(Some(nested)),
            Some(Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            }) => self.condition(Some(expr)),
            Some(Expr::BinaryOp { left, op, right }) => match op {
                BinaryOperator::And | BinaryOperator::Or => {
                    self.condition(Some(left));
                    self.condition(Some(right));
                }
                BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq => self.compared([left, right]),
                _ => {}
            },
            Some(Expr::In {
                expr,
                target: InTarget::List(list),
                ..
            }) if is_column(expr) => {
                list.iter().for_each(|value| self.value(value));
            }
            Some(Expr::Between { expr, low, high, .. }) if is_column(expr) => {
                self.value(low);
                self.value(high);
            }
            _ => {}
        }
    }

    /// One side must be a column: what is compared has a type then, whatever the other side is.
    fn compared(&mut self, sides: [&Expr; 2]) {
        let [left, right] = sides;
        if is_column(left) {
            self.value(right);
        } else if is_column(right) {
            self.value(left);
        }
    }

    /// A number by itself, or columns and numbers reckoned with.
    fn value(&mut self, value: &Expr) {
        match value {
            Expr::Nested(nested) => self.value(nested),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => self.value(expr),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply,
                right,
            } if is_column(left) || is_column(right) => {
                self.value(left);
                self.value(right);
            }
            value => self.found += usize::from(is_parameter(value)),
        }
    }
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn is_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::cache::shape;

    fn template_of(text: &str) -> Option<String> {
        let mut reading = shape::ShapeReader::default();
        assert!(reading.read(text.as_bytes()), "{text}");
        text_of(text, &reading.numbers)
    }

    #[test]
    fn values_become_parameters() {
        for (text, template) in [
            ("SELECT a FROM t WHERE b = 5", "SELECT a FROM t WHERE b = $1"),
            (
                "SELECT a FROM t WHERE (b=-5 OR NOT 7<t.c) AND d IN (1,2) LIMIT 10 OFFSET 20;",
                "SELECT a FROM t WHERE (b=-$1 OR NOT $2<t.c) AND d IN ($3,$4) LIMIT $5 OFFSET $6;",
            ),
            (
                "SELECT a FROM t WHERE b BETWEEN 1 AND 20 ORDER BY a",
                "SELECT a FROM t WHERE b BETWEEN $1 AND $2 ORDER BY a",
            ),
            (
                "UPDATE t SET a = a + 1, b = (7) WHERE c <> 8",
                "UPDATE t SET a = a + $1, b = ($2) WHERE c <> $3",
            ),
            (
                "INSERT INTO t (a, b) VALUES (1, -2), (3, now())",
                "INSERT INTO t (a, b) VALUES ($1, -$2), ($3, now())",
            ),
            ("DELETE FROM t WHERE a >= 00", "DELETE FROM t WHERE a >= $1"),
        ] {
            assert_eq!(template_of(text).as_deref(), Some(template), "{text}");
        }
    }

    #[test]
    fn a_number_that_is_more_than_a_value_keeps_the_text_as_it_is() {
        for text in [
            "SELECT 1",
            "SELECT a FROM t WHERE b = 5 ORDER BY 1",
            "SELECT a + 1 FROM t WHERE b = 5 GROUP BY a + 1",
            "SELECT DISTINCT ON (1) a FROM t WHERE b = 5",
            "SELECT a FROM t WHERE b = 5::int8",
            "SELECT a FROM t WHERE b = CAST(c AS varchar(10))",
            "SELECT a FROM t WHERE b = f(5)",
            "SELECT a FROM t WHERE 1 = 1",
            "SELECT a FROM t WHERE b % 10 = 5",
            "SELECT a FROM t WHERE b[1] = 5",
            "SELECT a FROM t JOIN u ON t.a = 5",
            "SELECT a FROM t WHERE b = (SELECT 5)",
            "SELECT a FROM t WHERE b = 5 UNION SELECT 6",
            "SELECT a FROM t GROUP BY a HAVING a = 5",
            "SELECT a FROM t WHERE b = 5 FETCH FIRST 3 ROWS ONLY",
            "SELECT a FROM (SELECT a FROM t WHERE b = 5) u",
            "SELECT a FROM t WHERE b = CASE WHEN c = 1 THEN 2 ELSE 3 END",
            "SELECT a FROM t WHERE b = 5 AND EXISTS (SELECT a FROM u WHERE c = 5)",
            "INSERT INTO t (a) VALUES (5) ON CONFLICT (a) DO UPDATE SET a = 6",
            "INSERT INTO t (a) SELECT a FROM u WHERE b = 5",
            "INSERT INTO t (a) VALUES (f(5))",
            "UPDATE t SET a = 5 RETURNING a + 1",
            "UPDATE t SET a = 5 FROM (SELECT 6) u",
            "DELETE FROM t USING u WHERE t.a = u.a + 1 AND f(2)",
            "CALL p(5)",
        ] {
            assert_eq!(template_of(text), None, "{text}");
        }
    }

    #[test]
    fn what_the_server_reads_anew_is_told() {
        assert!(!is_read_anew(&format!(
            "SELECT a.{0}, {0} FROM t",
            "b".repeat(NAME_BYTES)
        )));
        assert!(is_read_anew(&format!(
            "SELECT {} FROM t",
            "b".repeat(NAME_BYTES + 1)
        )));
    }

    #[test]
    fn parameters_are_no_literals() {
        for text in [
            "SELECT a FROM t WHERE b = $1 AND c = $22",
            "SELECT a$b, a$1 FROM t",
        ] {
            assert_eq!(is_read_anew(text), text.contains("a$b"), "{text}");
        }
        for text in [
            "SELECT $$now$$",
            "SELECT $now$now$now$",
            "SELECT $1$$now$$",
            "SELECT 'now'",
            "SELECT $é$now$é$",
            "SELECT $",
        ] {
            assert!(is_read_anew(text), "{text}");
        }
    }

    #[test]
    fn a_text_with_parameters_of_the_clients_gets_none_of_ours() {
        for text in [
            "SELECT $1 FROM t WHERE b = 5",
            "SELECT a FROM t WHERE b = $1 LIMIT 5",
        ] {
            let number = text.len() - 1..text.len();
            assert_eq!(text_of(text, &[number]), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_may_not_be_integers_do_not_fit() {
        let fits = |text: &str| {
            let mut reading = shape::ShapeReader::default();
            assert!(reading.read(text.as_bytes()));
            fit(&reading.numbers)
        };
        assert!(fits("SELECT a FROM t WHERE b = 999999999"));
        assert!(!fits("SELECT a FROM t WHERE b = 2147483648"));
    }
}
