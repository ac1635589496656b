//! Statements that fail while anybody else is connected to a database.

use super::script::Cleared;
use crate::base::DatabaseName;
use crate::guard::limits::Limits;
use crate::guard::reading::class::StatementClass;
use crate::guard::text::lexer::{self, Kw};
use crate::guard::text::statement::Statement;

/// The database that is copied where `CREATE DATABASE` names none (PostgreSQL manual, CREATE DATABASE).
const DEFAULT_TEMPLATE: &str = "template1";

/// The databases that a statement wants for itself, which the server waits for no longer than five seconds
/// (`CountOtherDBBackends`, procarray.c): the one that `DROP DATABASE` or `ALTER DATABASE` names, the template
/// of a `CREATE DATABASE`.
pub fn databases_wanted_alone(cleared: &Cleared) -> Vec<DatabaseName> {
    let concerned = matches!(
        cleared.class(),
        StatementClass::Create | StatementClass::Drop | StatementClass::Alter
    );
    if !concerned {
        return Vec::new();
    }
    let text = cleared.sql();
    let Ok(tokens) = lexer::lex(text, &Limits::default()) else {
        return Vec::new();
    };
    let statement = Statement {
        text,
        tokens: &tokens,
    };
    wanted(&statement).into_iter().map(DatabaseName::from).collect()
}

fn wanted<'a>(statement: &Statement<'a>) -> Option<&'a str> {
    if statement.kw(1) != Kw::Database {
        return None;
    }
    match statement.kw(0) {
        Kw::Create => Some(template(statement)),
        // DROP DATABASE [IF EXISTS] name: IF can name no database.
        Kw::Drop if statement.name(2) == Some("if") => statement.name(4),
        // ALTER DATABASE name RENAME TO, SET TABLESPACE; to the others it does no harm.
        Kw::Drop | Kw::Alter => statement.name(2),
        _ => None,
    }
}

/// CREATE DATABASE name [WITH] … TEMPLATE [=] template …; the template may be given as a string, too.
fn template<'a>(statement: &Statement<'a>) -> &'a str {
    let named = (3..statement.len()).find(|at| statement.name(*at) == Some("template"));
    named
        .map(|at| at + 1 + usize::from(statement.source(at + 1) == "="))
        .and_then(|at| statement.name(at))
        .unwrap_or(DEFAULT_TEMPLATE)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::guard::{Guard, Policy, Settings};

    #[test]
    fn knows_whom_a_statement_wants_alone() {
        let guard = Guard::new(Settings {
            default_policy: "trusted".to_owned(),
            ..Settings::default()
        });
        let policy = Arc::new(Policy::trusted());
        for (sql, wanted) in [
            ("DROP DATABASE one", Some("one")),
            (
                "drop database if exists \"Two words\" with (force)",
                Some("Two words"),
            ),
            ("DROP DATABASE /* x */ IF EXISTS U&\"\\0061\"", Some("a")),
            ("CREATE DATABASE fresh", Some("template1")),
            (
                "CREATE DATABASE fresh OWNER = me TEMPLATE = One ENCODING 'UTF8'",
                Some("one"),
            ),
            ("CREATE DATABASE fresh WITH TEMPLATE template0", Some("template0")),
            ("CREATE DATABASE fresh TEMPLATE DEFAULT", Some("default")),
            ("ALTER DATABASE one RENAME TO other", Some("one")),
            ("ALTER DATABASE one SET TABLESPACE elsewhere", Some("one")),
            ("DROP TABLE database", None),
            ("CREATE TABLE database (template int)", None),
            ("SELECT 'DROP DATABASE one'", None),
        ] {
            let script = guard.judge(&policy, sql.as_bytes()).expect("it is allowed");
            let found = databases_wanted_alone(&script.statements()[0]);
            assert_eq!(
                found,
                wanted.map(DatabaseName::from).into_iter().collect::<Vec<_>>(),
                "{sql}"
            );
        }
    }
}
