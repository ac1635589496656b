//! Temporary objects: whether a statement makes one, and whether it is gone when the transaction that makes it ends. A
//! trusted role may make those on a server connection that is shared: all that stays is the connection's temporary
//! schema, empty.

use super::class::StatementClass as C;
use super::leading_keywords::classify;
use super::query::Query;
use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;

/// The schema that stands for each connection's own (PostgreSQL manual, `search_path`).
const SCHEMA: &str = "pg_temp";

/// The token that makes a CREATE or SELECT INTO temporary: TEMP, TEMPORARY, or the schema `pg_temp`.
pub(in crate::guard) fn temporary_word(
    statement: &Statement<'_>,
    class: C,
    query: Option<&Query>,
) -> Option<usize> {
    let schema = |from: usize| {
        (from..statement.len()).find(|at| {
            statement
                .name(*at)
                .is_some_and(|name| name.starts_with("pg_temp"))
                && statement.is_punct(at + 1, b'.')
        })
    };
    let is_word = |at: &usize| matches!(statement.kw(*at), Kw::Temp | Kw::Temporary);
    match class {
        C::Create => {
            // CREATE [OR REPLACE] [GLOBAL | LOCAL] TEMP …: the words before the kind of object.
            let noise =
                |at: &usize| matches!(statement.kw(*at), Kw::Or | Kw::Replace | Kw::Global | Kw::Local);
            let word = (1..statement.len()).find(|at| !noise(at)).filter(is_word);
            word.or_else(|| schema(1))
        }
        C::SelectInto => {
            let into = query?.into?;
            let words = into + 1..(into + 3).min(statement.len());
            words
                .into_iter()
                .find(is_word)
                .or_else(|| schema(into + 1).filter(|at| *at <= into + 2))
        }
        _ => None,
    }
}

/// Whether its words alone show that the end of the transaction, or a statement behind it in the same text, takes
/// away what a statement makes.
pub(in crate::guard) fn ends_with_transaction(statement: &Statement<'_>, behind: &[Statement<'_>]) -> bool {
    drops_itself(statement) || is_dropped_behind(statement, behind)
}

/// `CREATE [GLOBAL | LOCAL] TEMP TABLE … ON COMMIT DROP …` (`OnCommitOption`, gram.y; nothing else has these three
/// words in a row). What depends on the table goes with it (`PreCommit_on_commit_actions`, tablecmds.c).
fn drops_itself(statement: &Statement<'_>) -> bool {
    let mut at = 1 + usize::from(matches!(statement.kw(1), Kw::Global | Kw::Local));
    let temporary = matches!(statement.kw(at), Kw::Temp | Kw::Temporary);
    if statement.kw(0) != Kw::Create || !temporary || statement.kw(at + 1) != Kw::Table {
        return false;
    }
    while at < statement.len() {
        if statement.kws(at, &[Kw::On, Kw::Commit, Kw::Drop]) {
            return true;
        }
        at = past(statement, at);
    }
    false
}

/// Sequelize's `findOrCreate` makes `CREATE OR REPLACE FUNCTION pg_temp.name(OUT …) …`, calls it, and drops it with
/// `DROP FUNCTION IF EXISTS pg_temp.name()`, all in one text. A text in which no transaction ends has run to its
/// last statement or is rolled back. The function takes no arguments, so that the name tells which is dropped.
fn is_dropped_behind(statement: &Statement<'_>, behind: &[Statement<'_>]) -> bool {
    if statement.kw(0) != Kw::Create {
        return false;
    }
    let words = 1 + 2 * usize::from(statement.kws(1, &[Kw::Or, Kw::Replace]));
    let Some((name, parameters)) = function(statement, words) else {
        return false;
    };
    if !only_puts_out(statement, parameters) {
        return false;
    }
    let keeps_transaction = |later: &&Statement<'_>| {
        !matches!(
            classify(later).0,
            C::Begin | C::Commit | C::Rollback | C::Savepoint | C::Release | C::RollbackTo | C::Call | C::Do
        )
    };
    let mut behind = behind.iter().take_while(keeps_transaction);
    behind.any(|later| drops(later, name))
}

/// Whether the statement drops the function of this name that takes no arguments; of several, the first counts.
fn drops(statement: &Statement<'_>, wanted: &str) -> bool {
    statement.kw(0) == Kw::Drop
        && function(statement, 1).is_some_and(|(name, arguments)| {
            name == wanted
                && statement.is_punct(arguments, b'(')
                && statement.closing(arguments) == arguments + 1
        })
}

/// The name of the temporary function whose kind is named at `at`, and the token behind it.
fn function<'a>(statement: &Statement<'a>, at: usize) -> Option<(&'a str, usize)> {
    if statement.kw(at) != Kw::Function {
        return None;
    }
    let exists = statement.name(at + 1) == Some("if") && statement.name(at + 2) == Some("exists");
    let schema = at + if exists { 3 } else { 1 };
    let name = statement.name(schema + 2)?;
    let ours = statement.name(schema) == Some(SCHEMA) && statement.is_punct(schema + 1, b'.');
    ours.then_some((name, schema + 3))
}

/// Whether each of the parameters in the parentheses at `open`, if there are any, begins with OUT.
fn only_puts_out(statement: &Statement<'_>, open: usize) -> bool {
    let close = statement.closing(open);
    if !statement.is_punct(open, b'(') || close == open + 1 {
        return close == open + 1;
    }
    let mut at = open + 1;
    let mut begins = true;
    while at < close {
        if begins && statement.kw(at) != Kw::Out {
            return false;
        }
        begins = statement.is_punct(at, b',');
        at = past(statement, at);
    }
    !begins
}

/// The token behind the one at `at`, or behind the parentheses that open there.
fn past(statement: &Statement<'_>, at: usize) -> usize {
    let opens = statement.is_punct(at, b'(');
    1 + if opens { statement.closing(at) } else { at }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::guard::{Guard, Policy, Settings};

    fn allows(policy: Policy, sql: &str) -> bool {
        let guard = Guard::new(Settings::default());
        guard.judge(&Arc::new(policy), sql.as_bytes()).is_ok()
    }

    #[test]
    fn what_goes_with_its_transaction() {
        for sql in [
            "CREATE TEMP TABLE t (a int DEFAULT (1), b text) ON COMMIT DROP",
            "create local temporary table if not exists t (like u including all) with (fillfactor = 50) on commit drop",
            "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1",
            "BEGIN; CREATE TEMP TABLE t (a int) ON /* */ COMMIT DROP; INSERT INTO t VALUES (1); COMMIT",
            "CREATE OR REPLACE FUNCTION pg_temp.testfunc(OUT response \"authors\", OUT caught text) RETURNS RECORD AS \
             $f$ BEGIN INSERT INTO authors VALUES (1) RETURNING * INTO response; END $f$ LANGUAGE plpgsql; \
             SELECT (testfunc.response).\"id\", testfunc.caught FROM pg_temp.testfunc(); \
             DROP FUNCTION IF EXISTS pg_temp.testfunc();",
            "CREATE FUNCTION pg_temp.f(OUT a numeric(10, 2)) AS 'SELECT 1' LANGUAGE sql; DROP FUNCTION pg_temp.f()",
            "CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1; DROP FUNCTION pg_temp.f() CASCADE",
        ] {
            assert!(allows(Policy::trusted(), sql), "{sql}");
            assert!(!allows(Policy::end_user(), sql), "{sql}");
            assert!(!allows(Policy::read_only(), sql), "{sql}");
        }
    }

    #[test]
    fn what_may_stay() {
        let made = "CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1";
        let drop = "DROP FUNCTION pg_temp.f()";
        let scripts = [
            format!("{made}; SELECT 1"),
            format!("{drop}; {made}"),
            format!("{made}; {drop}; {made}"),
            format!("{made}; COMMIT; {drop}"),
            format!("BEGIN; {made}; ROLLBACK TO s; {drop}"),
            format!("{made}; DO ''; {drop}"),
            format!("{made}; DROP FUNCTION pg_temp.f(int)"),
            format!("{made}; DROP FUNCTION pg_temp.\"F\"()"),
            format!("{made}; DROP FUNCTION public.f()"),
            format!("{made}; DROP FUNCTION public.f(), pg_temp.f()"),
            format!("{made}; SELECT 'DROP FUNCTION pg_temp.f()'"),
            format!("CREATE FUNCTION pg_temp.f(int) RETURNS int RETURN 1; {drop}"),
            format!("CREATE FUNCTION pg_temp.f(OUT a int, b int) AS 'SELECT 1' LANGUAGE sql; {drop}"),
            format!("CREATE FUNCTION pg_temp.f(\"out\" int) RETURNS int RETURN 1; {drop}"),
            format!("CREATE FUNCTION pg_temp.f(VARIADIC a int[]) RETURNS int RETURN 1; {drop}"),
            format!("CREATE PROCEDURE pg_temp.f() AS '' LANGUAGE sql; {drop}"),
            format!("CREATE VIEW pg_temp.f AS SELECT 1; {drop}"),
        ];
        let tables = [
            "CREATE TEMP TABLE t (a int)",
            "CREATE TEMP TABLE t (a int) ON COMMIT PRESERVE ROWS",
            "CREATE TEMP TABLE t (a int) ON COMMIT DELETE ROWS",
            "CREATE TEMP TABLE t AS SELECT 'ON COMMIT DROP'",
            "CREATE TEMP TABLE t AS SELECT \"on\" \"commit\" \"drop\" FROM u",
            "CREATE TEMP TABLE t (a int CHECK (ON COMMIT DROP))",
            "CREATE TEMP VIEW v AS SELECT 1",
            "CREATE TEMP SEQUENCE s",
            "CREATE TABLE pg_temp.t (a int) ON COMMIT DROP",
            "SELECT 1 AS a INTO TEMP t",
            "EXPLAIN ANALYZE CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1",
        ];
        for sql in scripts.iter().map(String::as_str).chain(tables) {
            assert!(!allows(Policy::trusted(), sql), "{sql}");
        }
    }
}
