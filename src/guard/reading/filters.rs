//! Whether the condition of a write picks rows of the relation, as far as its tokens tell: it must name a column of
//! it, in each arm of an OR and in some arm of an AND, or be `false`. `WHERE true`, `1 = 1 OR …` and `ON true` mean
//! all of them.
//!
//! A column that is compared with itself is not seen through: this is against mistakes and against statements that
//! say plainly that they mean all rows.

use crate::guard::text::lexer::{Kw, TokenKind};
use crate::guard::text::statement::Statement;

/// Reserved words, and words of operators: none of them is a column where a condition expects one (`reserved_keyword`
/// and `type_func_name_keyword` of gram.y).
const NO_COLUMNS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "between",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "desc",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "fetch",
    "for",
    "from",
    "full",
    "group",
    "having",
    "ilike",
    "in",
    "inner",
    "intersect",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "then",
    "trailing",
    "true",
    "union",
    "using",
    "values",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

/// Longest condition whose parentheses are looked into, in tokens: what turns out to be no group is read again.
const LONGEST: usize = 4_096;

/// A condition within a statement.
pub(in crate::guard) struct Condition<'s, 'a> {
    statement: &'s Statement<'a>,
    /// What columns of the written relation are qualified by.
    relation: &'s str,
}

impl<'s, 'a> Condition<'s, 'a> {
    /// Conditions of a write to the relation whose name begins at token `target`.
    pub(in crate::guard) fn of(statement: &'s Statement<'a>, target: usize) -> Self {
        let end = statement.after_name(target);
        let mut at = end;
        while statement.is_punct(at, b')') || statement.is_punct(at, b'*') {
            at += 1;
        }
        let alias = match statement.kw(at) {
            Kw::As => statement.name(at + 1),
            Kw::Set | Kw::Using | Kw::Where => None,
            _ => statement
                .name(at)
                .filter(|_| word(statement, at) != Some("returning")),
        };
        let name = end.checked_sub(1).and_then(|last| statement.name(last));
        Self {
            statement,
            relation: alias.or(name).unwrap_or(""),
        }
    }

    /// Whether the condition that begins at token `at` picks rows.
    pub(in crate::guard) fn picks(&self, at: usize) -> bool {
        self.any_of(at).0
    }

    /// Arms of OR: each has to pick. Returns where they end, too.
    fn any_of(&self, mut at: usize) -> (bool, usize) {
        let mut picks = true;
        loop {
            let (arm, end) = self.all_of(at);
            picks &= arm;
            if self.statement.kw(end) != Kw::Or {
                return (picks, end);
            }
            at = end + 1;
        }
    }

    /// Arms of AND: one is enough. The AND of BETWEEN does no harm.
    fn all_of(&self, mut at: usize) -> (bool, usize) {
        let mut picks = false;
        loop {
            let (arm, end) = self.one(at);
            picks |= arm;
            if self.statement.kw(end) != Kw::And {
                return (picks, end);
            }
            at = end + 1;
        }
    }

    /// What stands between AND and OR.
    fn one(&self, mut at: usize) -> (bool, usize) {
        let statement = self.statement;
        // It picks none, and mappers say so for an empty list. Numbers are not looked at: texts that differ in them share a
        // verdict.
        if matches!(word(statement, at), Some("false" | "null")) && self.ends_at(at + 1) {
            return (true, at + 1);
        }
        while statement.kw(at) == Kw::Not {
            at += 1;
        }
        let is_group = statement.is_punct(at, b'(') && !begins_query(statement, at + 1);
        if is_group && statement.len() - at <= LONGEST {
            let (picks, end) = self.any_of(at + 1);
            if statement.is_punct(end, b')') && self.ends_at(end + 1) {
                return (picks, end + 1);
            }
        }
        let mut picks = false;
        // Parentheses and CASEs around the token, and the parenthesis of a query.
        let (mut depth, mut query) = (0_usize, None);
        while at < statement.len() {
            if depth == 0 && self.ends_at(at) {
                break;
            }
            if statement.is_punct(at, b'(') {
                depth += 1;
                query = query.or_else(|| begins_query(statement, at + 1).then_some(depth));
            } else if statement.is_punct(at, b')') || statement.kw(at) == Kw::End {
                query = query.filter(|query| *query != depth);
                depth = depth.saturating_sub(1);
            } else if statement.kw(at) == Kw::Case {
                depth += 1;
            } else {
                picks |= self.is_column(at, query.is_some());
            }
            at += 1;
        }
        (picks, at)
    }

    /// Whether token `at` can follow a condition, or one of its arms.
    fn ends_at(&self, at: usize) -> bool {
        at >= self.statement.len()
            || self.statement.is_punct(at, b')')
            || matches!(self.statement.kw(at), Kw::And | Kw::Or | Kw::Then)
            || matches!(word(self.statement, at), Some("returning" | "when"))
    }

    /// Whether token `at` is the last part of a column's name. Inside a query it has to be one of the written relation,
    /// or to stand beside an operator.
    fn is_column(&self, at: usize, in_query: bool) -> bool {
        let statement = self.statement;
        let is_operator = |at: Option<usize>| {
            at.and_then(|at| statement.get(at)).is_some_and(|token| {
                matches!(
                    token.kind,
                    TokenKind::Operator | TokenKind::Punct(b'<' | b'>' | b'=')
                )
            })
        };
        let before = at.checked_sub(1);
        if before.is_some_and(|before| statement.is_punct(before, b'.')) {
            // `t.*` names all of them.
            let is_star = statement.is_punct(at, b'*');
            let is_name = statement.name(at).is_some() && !statement.is_punct(at + 1, b'.');
            let qualifier = at.checked_sub(2).and_then(|before| statement.name(before));
            return (is_star || is_name) && qualifier.is_none_or(|qualifier| qualifier == self.relation);
        }
        let is_name = statement.name(at).is_some()
            && !word(statement, at).is_some_and(|word| NO_COLUMNS.contains(&word))
            && !statement.is_punct(at + 1, b'(')
            && !statement.is_punct(at + 1, b'.')
            && !statement.is_string(at + 1)
            && !before.is_some_and(|before| self.makes_no_column(before, at));
        is_name && (!in_query || is_operator(before) || is_operator(Some(at + 1)))
    }

    /// Whether a word behind token `before` is no column: a type, or part of `IS UNKNOWN`, `AT TIME ZONE`.
    fn makes_no_column(&self, before: usize, at: usize) -> bool {
        let statement = self.statement;
        let is_not = statement.kw(before) == Kw::Not && before > 0;
        statement.source(before) == "::"
            || statement.kw(before) == Kw::As
            || word(statement, before) == Some("is")
            || (is_not && word(statement, before - 1) == Some("is"))
            || (statement.kw(at) == Kw::Time && statement.kw(at + 1) == Kw::Zone)
            || (statement.kw(at) == Kw::Zone && statement.kw(before) == Kw::Time)
            || (word(statement, at) == Some("at") && matches!(statement.kw(at + 1), Kw::Time | Kw::Local))
    }
}

/// What a MERGE does to rows of its relation that no condition picks: the token of the WHEN that does it. `target` is
/// where the relation's name begins.
pub(in crate::guard) fn unpicked_when(statement: &Statement<'_>, target: usize) -> Option<usize> {
    let condition = Condition::of(statement, target);
    let (mut on, mut at, mut cases) = (None, target, 0_usize);
    let mut picked_by_on = None;
    while at < statement.len() && !statement.is_punct(at, b')') {
        match (statement.kw(at), word(statement, at)) {
            (Kw::Case, _) => cases += 1,
            (Kw::End, _) => cases = cases.saturating_sub(1),
            (Kw::On, _) if picked_by_on.is_none() => on = Some(at + 1),
            (_, Some("when")) if cases == 0 => {
                // The last ON ahead of the first WHEN: those before it belong to joins of the source.
                let by_on = *picked_by_on.get_or_insert_with(|| on.is_some_and(|on| condition.picks(on)));
                if changes_unpicked(statement, &condition, at, by_on) {
                    return Some(at);
                }
            }
            _ if statement.is_punct(at, b'(') => at = statement.closing(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether the WHEN at token `at` updates or deletes rows that neither ON nor its own condition picks.
fn changes_unpicked(
    statement: &Statement<'_>,
    condition: &Condition<'_, '_>,
    at: usize,
    by_on: bool,
) -> bool {
    let is_not = statement.kw(at + 1) == Kw::Not;
    let mut next = at + 2 + usize::from(is_not);
    let by_source = statement.kw(next) == Kw::By && statement.name(next + 1) == Some("source");
    if statement.kw(next) == Kw::By {
        next += 2;
    }
    let mut picks = by_on && !by_source;
    if statement.kw(next) == Kw::And {
        let (own, end) = condition.any_of(next + 1);
        picks |= own;
        next = end;
    }
    statement.kw(next) == Kw::Then && matches!(statement.kw(next + 1), Kw::Update | Kw::Delete) && !picks
}

/// Whether a query begins at token `at`, which stands behind a parenthesis.
fn begins_query(statement: &Statement<'_>, at: usize) -> bool {
    matches!(statement.kw(at), Kw::Select | Kw::With | Kw::Values | Kw::Table)
}

/// The unquoted word at token `at`.
fn word<'a>(statement: &Statement<'a>, at: usize) -> Option<&'a str> {
    let is_word = statement
        .get(at)
        .is_some_and(|token| token.kind == TokenKind::Word);
    statement.name(at).filter(|_| is_word)
}
