//! SET and RESET: which setting, for how long, to what.

use super::action::{SetScope, SetSetting, SetValue};
use super::transaction;
use crate::guard::text::lexer::{Kw, TokenKind};
use crate::guard::text::statement::Statement;

/// What a SET or RESET statement changes (`VariableSetStmt`, `VariableResetStmt` of gram.y).
#[derive(Debug, PartialEq, Eq)]
pub(in crate::guard) enum SetStatement {
    /// One setting, with its value if that is a single word or literal.
    Change {
        setting: SetSetting,
        value: Option<String>,
        /// Token at which its name begins.
        at: usize,
    },
    /// `RESET ALL`
    ResetAll,
    /// `SET TRANSACTION` modes
    Transaction,
    /// `SET TRANSACTION SNAPSHOT`
    Snapshot,
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION`: the settings that hold the modes, each once.
    Characteristics(Box<[SetSetting]>),
    /// `SET CONSTRAINTS`
    Constraints,
    /// Not formed as the grammar has it.
    Malformed,
}

/// Reads a statement whose first token is SET or RESET.
pub(in crate::guard) fn read(statement: &Statement<'_>) -> SetStatement {
    let change = if statement.kw(0) == Kw::Reset {
        return reset(statement).unwrap_or(SetStatement::Malformed);
    } else {
        set(statement)
    };
    change.unwrap_or(SetStatement::Malformed)
}

fn reset(statement: &Statement<'_>) -> Option<SetStatement> {
    let end = statement.len();
    let name: Box<str> = match (statement.kw(1), end) {
        (Kw::All, 2) => return Some(SetStatement::ResetAll),
        (Kw::Time, 3) if statement.kw(2) == Kw::Zone => "timezone".into(),
        (Kw::Session, 3) if statement.kw(2) == Kw::Authorization => "session_authorization".into(),
        (Kw::Transaction, 4) if statement.kws(2, &[Kw::Isolation, Kw::Level]) => {
            "transaction_isolation".into()
        }
        _ if statement.after_name(1) == end => setting_name(statement, 1, end)?,
        _ => return None,
    };
    let setting = SetSetting {
        name,
        scope: SetScope::Session,
        value: SetValue::Default,
    };
    Some(SetStatement::Change {
        setting,
        value: None,
        at: 1,
    })
}

fn set(statement: &Statement<'_>) -> Option<SetStatement> {
    let mut at = 1;
    let mut scope = SetScope::Session;
    // LOCAL and SESSION can also be the (first part of the) setting's name.
    if !begins_assignment(statement, 2) {
        match statement.kw(1) {
            Kw::Local => (scope, at) = (SetScope::Local, 2),
            Kw::Session if !statement.kws(2, &[Kw::Authorization]) => at = 2,
            _ => {}
        }
    }
    if !begins_assignment(statement, at + 1) {
        return special(statement, at, scope);
    }
    let end = statement.after_name(at);
    let name = setting_name(statement, at, end)?;
    if statement.kw(end) != Kw::To && !statement.is_punct(end, b'=') {
        return None;
    }
    let values = end + 1;
    if statement.kw(values) == Kw::Default && values + 1 == statement.len() {
        return Some(changed(at, name, scope, SetValue::Default, None));
    }
    let text = value_list(statement, values)?;
    let quoted: Vec<String> = name
        .split('.')
        .map(|part| format!("\"{}\"", part.replace('"', "\"\"")))
        .collect();
    let assign = format!("{} TO {text}", quoted.join("."));
    let single = single_value(statement, values);
    Some(changed(at, name, scope, SetValue::Assign(assign.into()), single))
}

/// Whether `TO`, `=` or a further part of a name stands at `at`, so that what precedes it is a name.
fn begins_assignment(statement: &Statement<'_>, at: usize) -> bool {
    statement.kw(at) == Kw::To || statement.is_punct(at, b'=') || statement.is_punct(at, b'.')
}

/// The forms of SET that have a grammar of their own.
fn special(statement: &Statement<'_>, at: usize, scope: SetScope) -> Option<SetStatement> {
    let rest = at + 1;
    let to_end = statement.len().checked_sub(rest)?;
    let named = |name: &str, from: usize, value: SetValue| {
        changed(at, name.into(), scope, value, single_value(statement, from))
    };
    let assign =
        |prefix: &str, from: usize| SetValue::Assign(format!("{prefix} {}", sources(statement, from)).into());
    Some(match statement.kw(at) {
        Kw::Time if statement.kw(rest) == Kw::Zone => match statement.kw(rest + 1) {
            Kw::Default | Kw::Local if to_end == 2 => named("timezone", rest + 1, SetValue::Default),
            _ if is_zone(statement, rest + 1) => named("timezone", rest + 1, assign("TIME ZONE", rest + 1)),
            _ => return None,
        },
        Kw::Names if to_end == 0 => named("client_encoding", rest, SetValue::Default),
        Kw::Names if to_end == 1 && statement.kw(rest) == Kw::Default => {
            named("client_encoding", rest, SetValue::Default)
        }
        Kw::Names if to_end == 1 && statement.is_string(rest) => {
            named("client_encoding", rest, assign("NAMES", rest))
        }
        Kw::Schema if to_end == 1 && statement.is_string(rest) => {
            named("search_path", rest, assign("SCHEMA", rest))
        }
        Kw::Xml if to_end == 2 && statement.kw(rest) == Kw::Option && statement.name(rest + 1).is_some() => {
            named("xmloption", rest + 1, assign("XML", rest))
        }
        Kw::Role if to_end == 1 => named("role", rest, assign("ROLE", rest)),
        Kw::Session if statement.kw(rest) == Kw::Authorization && to_end == 2 => {
            named("session_authorization", rest + 1, assign("SESSION", rest))
        }
        Kw::Characteristics if statement.kw(1) == Kw::Session && at == 2 => {
            if !statement.kws(rest, &[Kw::As, Kw::Transaction]) {
                return None;
            }
            SetStatement::Characteristics(defaults(&transaction::modes(statement, rest + 2)?))
        }
        Kw::Transaction if at == 1 || scope == SetScope::Local || statement.kw(1) == Kw::Session => {
            match statement.kw(rest) {
                Kw::Snapshot if to_end == 2 => SetStatement::Snapshot,
                _ if transaction::modes(statement, rest).is_some() => SetStatement::Transaction,
                _ => return None,
            }
        }
        Kw::Constraints if at == 1 => SetStatement::Constraints,
        _ => return None,
    })
}

fn changed(
    at: usize,
    name: Box<str>,
    scope: SetScope,
    value: SetValue,
    single: Option<String>,
) -> SetStatement {
    SetStatement::Change {
        setting: SetSetting { name, scope, value },
        value: single,
        at,
    }
}

/// The session's defaults for transaction modes; of those that are named twice the last counts, as with the
/// server.
fn defaults(modes: &[transaction::Mode]) -> Box<[SetSetting]> {
    let mut settings: Vec<SetSetting> = Vec::new();
    for (mode, value) in modes {
        let name: Box<str> = format!("default_{mode}").into();
        settings.retain(|known| known.name != name);
        let assign = format!("\"{name}\" TO '{value}'");
        settings.push(SetSetting {
            name,
            scope: SetScope::Session,
            value: SetValue::Assign(assign.into()),
        });
    }
    settings.into()
}

/// The setting's name: its parts joined by points, in lower case even where quoted, as `guc_name_compare`
/// has it.
fn setting_name(statement: &Statement<'_>, from: usize, end: usize) -> Option<Box<str>> {
    let mut name = String::new();
    for at in from..end {
        match statement.name(at) {
            Some(part) => name.push_str(&part.to_ascii_lowercase()),
            None => name.push('.'),
        }
    }
    (!name.is_empty() && !name.ends_with('.')).then(|| name.into())
}

/// The values from `at` to the end as SQL text, if they are words, strings and numbers with commas between
/// them (`var_list`).
fn value_list(statement: &Statement<'_>, mut at: usize) -> Option<String> {
    let mut text = String::new();
    loop {
        if statement.is_punct(at, b'+') || statement.is_punct(at, b'-') {
            text.push_str(statement.source(at));
            at += 1;
            if !is_number(statement, at) {
                return None;
            }
        } else if !(statement.is_string(at) || statement.name(at).is_some() || is_number(statement, at)) {
            return None;
        }
        text.push_str(statement.source(at));
        at += 1;
        if at == statement.len() {
            return Some(text);
        }
        if !statement.is_punct(at, b',') {
            return None;
        }
        text.push_str(", ");
        at += 1;
    }
}

fn is_number(statement: &Statement<'_>, at: usize) -> bool {
    matches!(
        statement.get(at).map(|token| token.kind),
        Some(TokenKind::Integer | TokenKind::Float)
    )
}

/// Whether a `zone_value` stands from `at` to the end: words, strings, numbers, signs and parentheses.
fn is_zone(statement: &Statement<'_>, at: usize) -> bool {
    let is_part = |at: usize| {
        statement.is_string(at)
            || statement.name(at).is_some()
            || is_number(statement, at)
            || [b'+', b'-', b'(', b')']
                .iter()
                .any(|b| statement.is_punct(at, *b))
    };
    at < statement.len() && (at..statement.len()).all(is_part)
}

/// The sources of the tokens from `at` on with one space between them: whatever comments stood there are gone.
fn sources(statement: &Statement<'_>, at: usize) -> String {
    let sources: Vec<&str> = (at..statement.len()).map(|at| statement.source(at)).collect();
    sources.join(" ")
}

/// The value at `at` if it is the last token: a string's value, or a word in lower case.
fn single_value(statement: &Statement<'_>, at: usize) -> Option<String> {
    if at + 1 != statement.len() {
        return None;
    }
    match statement.string(at) {
        Some(value) => Some(value.into_owned()),
        None => Some(statement.name(at).unwrap_or(statement.source(at)).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::limits::Limits;
    use crate::guard::text::lexer::lex;

    fn change(text: &str) -> Option<(String, bool, String)> {
        let tokens = lex(text, &Limits::default()).unwrap();
        match read(&Statement {
            text,
            tokens: &tokens,
        }) {
            SetStatement::Change { setting, .. } => Some((
                setting.name.into(),
                setting.scope == SetScope::Local,
                match setting.value {
                    SetValue::Assign(text) => text.into(),
                    SetValue::Default => "-".into(),
                },
            )),
            _ => None,
        }
    }

    /// Text, name, whether it is local, and the value to send (`-` for the default).
    const SPELLINGS: &[(&str, &str, bool, &str)] = &[
        (
            "SET TimeZone TO 'UTC'",
            "timezone",
            false,
            "\"timezone\" TO 'UTC'",
        ),
        (
            "SET SESSION a = b, 'c', -1.5",
            "a",
            false,
            "\"a\" TO b, 'c', -1.5",
        ),
        (
            "SET LOCAL \"Work_Mem\" = 64",
            "work_mem",
            true,
            "\"work_mem\" TO 64",
        ),
        ("SET U&\"rol\\0065\" = x", "role", false, "\"role\" TO x"),
        ("SET role.x TO 1", "role.x", false, "\"role\".\"x\" TO 1"),
        (
            "SET session.user_id TO 1",
            "session.user_id",
            false,
            "\"session\".\"user_id\" TO 1",
        ),
        (
            "SET local.a.b TO 1",
            "local.a.b",
            false,
            "\"local\".\"a\".\"b\" TO 1",
        ),
        ("SET ROLE none", "role", false, "ROLE none"),
        ("SET LOCAL ROLE 'x'", "role", true, "ROLE 'x'"),
        (
            "SET SESSION AUTHORIZATION DEFAULT",
            "session_authorization",
            false,
            "SESSION AUTHORIZATION DEFAULT",
        ),
        (
            "SET LOCAL SESSION AUTHORIZATION x",
            "session_authorization",
            true,
            "SESSION AUTHORIZATION x",
        ),
        (
            "SET SESSION SESSION AUTHORIZATION x",
            "session_authorization",
            false,
            "SESSION AUTHORIZATION x",
        ),
        ("SET TIME ZONE -- c\n 'UTC'", "timezone", false, "TIME ZONE 'UTC'"),
        (
            "SET TIME ZONE INTERVAL '+1' HOUR TO MINUTE",
            "timezone",
            false,
            "TIME ZONE INTERVAL '+1' HOUR TO MINUTE",
        ),
        ("SET LOCAL TIME ZONE LOCAL", "timezone", true, "-"),
        ("SET NAMES 'utf8'", "client_encoding", false, "NAMES 'utf8'"),
        ("SET NAMES", "client_encoding", false, "-"),
        ("SET SCHEMA 'x'", "search_path", false, "SCHEMA 'x'"),
        (
            "SET XML OPTION DOCUMENT",
            "xmloption",
            false,
            "XML OPTION DOCUMENT",
        ),
        ("SET a TO DEFAULT", "a", false, "-"),
        ("RESET ROLE", "role", false, "-"),
        ("RESET SESSION AUTHORIZATION", "session_authorization", false, "-"),
        ("RESET TIME ZONE", "timezone", false, "-"),
        ("RESET app.\"User\"", "app.user", false, "-"),
    ];

    #[test]
    fn every_spelling_names_its_setting() {
        for &(text, name, local, value) in SPELLINGS {
            assert_eq!(change(text), Some((name.into(), local, value.into())), "{text}");
        }
    }

    #[test]
    fn the_other_forms_are_told_apart() {
        for (text, wanted) in [
            (
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY NOT DEFERRABLE",
                SetStatement::Transaction,
            ),
            ("SET LOCAL TRANSACTION READ WRITE", SetStatement::Transaction),
            ("SET TRANSACTION SNAPSHOT 'x'", SetStatement::Snapshot),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE, ISOLATION LEVEL READ COMMITTED READ ONLY",
                SetStatement::Characteristics(
                    [
                        ("default_transaction_isolation", "read committed"),
                        ("default_transaction_read_only", "on"),
                    ]
                    .map(|(name, value)| SetSetting {
                        name: name.into(),
                        scope: SetScope::Session,
                        value: SetValue::Assign(format!("\"{name}\" TO '{value}'").into()),
                    })
                    .into(),
                ),
            ),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION",
                SetStatement::Malformed,
            ),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY,",
                SetStatement::Malformed,
            ),
            ("SET SESSION CHARACTERISTICS READ ONLY", SetStatement::Malformed),
            ("SET CONSTRAINTS ALL DEFERRED", SetStatement::Constraints),
            ("RESET ALL", SetStatement::ResetAll),
            ("SET", SetStatement::Malformed),
            ("SET a", SetStatement::Malformed),
            ("SET a TO (SELECT 1)", SetStatement::Malformed),
            ("SET a TO 'x' 'y'", SetStatement::Malformed),
            ("SET a FROM CURRENT", SetStatement::Malformed),
            ("SET TRANSACTION", SetStatement::Malformed),
            ("RESET ALL x", SetStatement::Malformed),
            ("SET TIME ZONE", SetStatement::Malformed),
        ] {
            let tokens = lex(text, &Limits::default()).unwrap();
            assert_eq!(
                read(&Statement {
                    text,
                    tokens: &tokens
                }),
                wanted,
                "{text}"
            );
        }
    }
}
