//! PREPARE, EXECUTE and DEALLOCATE as the grammar has them (`PrepareStmt`, `ExecuteStmt`, `DeallocateStmt`, gram.y).

use super::action::{Action, StatementName};
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;

/// The query of a PREPARE.
pub(in crate::guard) fn prepared_query<'a>(statement: &Statement<'a>) -> Option<Statement<'a>> {
    let as_at = if statement.is_punct(2, b'(') {
        statement.closing(2) + 1
    } else {
        2
    };
    let query = statement.from(as_at + 1);
    (statement.kw(as_at) == Kw::As && query.len() > 0).then_some(query)
}

/// The OIDs of the types that a PREPARE declares; `None` if one is not of the server's own.
pub(in crate::guard) fn declared_types(statement: &Statement<'_>) -> Option<Box<[u32]>> {
    if !statement.is_punct(2, b'(') {
        return Some(Box::default());
    }
    let mut types = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    let mut at = 3;
    let end = statement.closing(2);
    while at <= end {
        if at == end || statement.is_punct(at, b',') {
            types.push(oid_of(&words.join(" "))?);
            words.clear();
        } else if statement.is_punct(at, b'(') && !words.is_empty() {
            // A length or precision, which no parameter has.
            if words == ["float"] {
                return None;
            }
            at = statement.closing(at);
        } else if statement
            .source(at)
            .starts_with(|first: char| first.is_ascii_alphabetic())
        {
            words.push(statement.name(at)?);
        } else {
            return None;
        }
        at += 1;
    }
    Some(types.into())
}

/// Types by the names of gram.y and pg_type.dat; their OIDs never change.
fn oid_of(name: &str) -> Option<u32> {
    Some(match name {
        "bool" | "boolean" => 16,
        "bytea" => 17,
        "name" => 19,
        "int8" | "bigint" => 20,
        "int2" | "smallint" => 21,
        "int4" | "int" | "integer" => 23,
        "text" => 25,
        "oid" => 26,
        "json" => 114,
        "float4" | "real" => 700,
        "float8" | "float" | "double precision" => 701,
        "unknown" => 705,
        "inet" => 869,
        "bpchar" | "char" | "character" => 1042,
        "varchar" | "character varying" | "char varying" => 1043,
        "date" => 1082,
        "time" | "time without time zone" => 1083,
        "timestamp" | "timestamp without time zone" => 1114,
        "timestamptz" | "timestamp with time zone" => 1184,
        "interval" => 1186,
        "timetz" | "time with time zone" => 1266,
        "numeric" | "decimal" | "dec" => 1700,
        "uuid" => 2950,
        "jsonb" => 3802,
        _ => return None,
    })
}

/// `DEALLOCATE [PREPARE] { name | ALL }`
pub(in crate::guard) fn deallocate(statement: &Statement<'_>) -> Option<Action> {
    let at = if statement.kw(1) == Kw::Prepare && statement.len() == 3 {
        2
    } else {
        1
    };
    if at + 1 != statement.len() {
        return None;
    }
    if statement.kw(at) == Kw::All {
        return Some(Action::Deallocate(None));
    }
    statement
        .name(at)
        .map(|name| Action::Deallocate(Some(name.into())))
}

/// The token that names the statement that EXECUTE runs. `CREATE TABLE` takes its rows from what follows its
/// first AS outside parentheses; everything else between them is a name, a list or an option.
pub(in crate::guard) fn executed_name(statement: &Statement<'_>) -> Option<usize> {
    if statement.kw(0) == Kw::Execute {
        return Some(1);
    }
    if statement.kw(0) != Kw::Create || !(1..4).any(|at| statement.kw(at) == Kw::Table) {
        return None;
    }
    let mut depth = 0_usize;
    for at in 1..statement.len() {
        if statement.is_punct(at, b'(') {
            depth += 1;
        } else if statement.is_punct(at, b')') {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && statement.kw(at) == Kw::As {
            return (statement.kw(at + 1) == Kw::Execute).then_some(at + 2);
        }
    }
    None
}

/// The name at a token, and where it stands in the statement.
pub(in crate::guard) fn statement_name(statement: &Statement<'_>, at: usize) -> Option<StatementName> {
    let range = statement.get(at)?.range();
    let start = statement.offset(0);
    Some(StatementName {
        name: statement.name(at)?.into(),
        place: range.start.checked_sub(start)?..range.end.checked_sub(start)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::limits::Limits;
    use crate::guard::text::lexer;

    fn types(text: &str) -> Option<Box<[u32]>> {
        let tokens = lexer::lex(text, &Limits::default()).expect(text);
        declared_types(&Statement {
            text,
            tokens: &tokens,
        })
    }

    #[test]
    fn the_servers_own_types_are_known() {
        let known: [(&str, &[u32]); 5] = [
            ("PREPARE p AS SELECT 1", &[]),
            ("PREPARE p (int, TEXT) AS SELECT 1", &[23, 25]),
            (
                "PREPARE p (double  precision, character varying(10)) AS SELECT 1",
                &[701, 1043],
            ),
            ("PREPARE p (timestamp (3) with time zone) AS SELECT 1", &[1184]),
            ("PREPARE p (numeric(10, 2), unknown) AS SELECT 1", &[1700, 705]),
        ];
        for (text, oids) in known {
            assert_eq!(types(text).as_deref(), Some(oids), "{text}");
        }
        for text in [
            "PREPARE p (mood) AS SELECT 1",
            "PREPARE p (int[]) AS SELECT 1",
            "PREPARE p (\"char\") AS SELECT 1",
            "PREPARE p (pg_catalog.int4) AS SELECT 1",
            "PREPARE p (float(20)) AS SELECT 1",
            "PREPARE p (int, ) AS SELECT 1",
            "PREPARE p () AS SELECT 1",
            "PREPARE p (setof int) AS SELECT 1",
            "PREPARE p (t.a%TYPE) AS SELECT 1",
        ] {
            assert_eq!(types(text), None, "{text}");
        }
    }

    #[test]
    fn the_statement_that_a_table_is_made_of_is_found() {
        for (text, at) in [
            ("EXECUTE p", Some(1)),
            ("CREATE TABLE t AS EXECUTE p", Some(4 + 1)),
            ("CREATE UNLOGGED TABLE t (a) AS EXECUTE p (1)", Some(9)),
            ("CREATE TABLE t WITH (a = 1) AS EXECUTE p", Some(11)),
            ("CREATE TABLE t AS SELECT a AS execute FROM p", None),
            ("CREATE TRIGGER t AFTER INSERT ON x EXECUTE FUNCTION f()", None),
            ("SELECT 1 AS execute", None),
        ] {
            let tokens = lexer::lex(text, &Limits::default()).expect(text);
            let statement = Statement {
                text,
                tokens: &tokens,
            };
            assert_eq!(executed_name(&statement), at, "{text}");
        }
    }
}
