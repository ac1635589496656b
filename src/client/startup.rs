//! The startup packet's parameters: which concern the login, which are settings of the session.

use super::LoginError;
use crate::base::{Fault, Severity, SqlState};
use crate::guard::{self, Action, Asker, Guard, Policy};
use crate::session::ReplicationKind;
use crate::tenant::Schemas;
use crate::wire::startup::Startup;
use std::borrow::Cow;
use std::sync::Arc;

/// What a client calls itself.
pub(super) const APPLICATION_NAME: &str = "application_name";

/// Most bytes of a name (`NAMEDATALEN`, pg_config_manual.h).
const NAME_BYTES: usize = 63;

/// Settings a client asks for at startup, names folded, each once, the last one winning.
pub(super) fn settings(
    startup: &Startup,
    guard: &Guard,
    policy: &Arc<Policy>,
    schemas: Option<&Schemas>,
) -> Result<Vec<(String, String)>, LoginError> {
    let requested = requested(startup)?;
    let mut settings: Vec<(String, String)> = Vec::with_capacity(requested.len() + 1);
    for (name, value) in requested {
        let name = name.to_ascii_lowercase();
        if name == "client_encoding" {
            check_encoding(&value)?;
            continue;
        }
        let name = permitted(&name, &value, guard, policy, schemas)?;
        settings.retain(|(known, _)| *known != name);
        let value = guard::quieter(policy, &name, &value).map_or(value.into_owned(), str::to_owned);
        settings.push((name, value));
    }
    if !settings.iter().any(|(name, _)| name == APPLICATION_NAME) {
        // The server connection has a name of our own, which is not the client's.
        settings.push((APPLICATION_NAME.to_owned(), String::new()));
    }
    settings.sort();
    Ok(settings)
}

/// What the server says of a name that it cuts (`truncate_identifier`, scansup.c); `None` if it cuts nothing.
pub(super) fn truncation(settings: &[(String, String)]) -> Option<Fault> {
    let (_, name) = settings.iter().find(|(name, _)| name == APPLICATION_NAME)?;
    let kept = name.get(..name.floor_char_boundary(NAME_BYTES))?;
    (kept.len() < name.len()).then(|| Fault {
        severity: Severity::Notice,
        ..Fault::error(
            SqlState::NAME_TOO_LONG,
            format!("identifier \"{name}\" will be truncated to \"{kept}\""),
        )
    })
}

/// Which kind of replication the client has come for, if it has. The words are those of a flag of the server
/// (`parse_bool_with_len`, bool.c), and `database` (`ProcessStartupPacket`); of several the last one counts.
pub(super) fn replication(startup: &Startup) -> Result<Option<ReplicationKind>, LoginError> {
    let said = startup
        .parameters
        .iter()
        .rev()
        .find(|(name, _)| name == "replication");
    let Some((_, value)) = said else { return Ok(None) };
    if value == "database" {
        return Ok(Some(ReplicationKind::Database));
    }
    match value.to_ascii_lowercase().as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Ok(Some(ReplicationKind::Physical)),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Ok(None),
        _ => Err(LoginError::Parameter(Box::new(
            Fault::fatal(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("invalid value for parameter \"replication\": \"{value}\""),
            )
            .with_hint("Valid values are: \"false\", 0, \"true\", 1, \"database\"."),
        ))),
    }
}

/// Name and value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Parameters that are not settings (PostgreSQL manual, 54.7, StartupMessage).
fn requested(startup: &Startup) -> Result<Vec<Pair<'_>>, LoginError> {
    let mut settings = Vec::with_capacity(startup.parameters.len());
    for (name, value) in &startup.parameters {
        match name.as_str() {
            "user" | "database" => {}
            // Asked for by `replication`.
            "replication" => {}
            "options" => {
                let more = command_line(value)?.into_iter();
                settings.extend(more.map(|(name, value)| (Cow::Owned(name), Cow::Owned(value))));
            }
            protocol if protocol.starts_with("_pq_.") => {}
            _ => settings.push((Cow::Borrowed(name.as_str()), Cow::Borrowed(value.as_str()))),
        }
    }
    Ok(settings)
}

/// `-c name=value` and `--name=value`, words split at white space that no backslash escapes
/// (`pg_split_opts`, postinit.c).
fn command_line(options: &str) -> Result<Vec<(String, String)>, LoginError> {
    let mut settings = Vec::new();
    let mut words = split(options).into_iter();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("--") {
            Some(assignment) => Some(assignment.to_owned()),
            None => match word.strip_prefix("-c") {
                Some("") => words.next(),
                Some(assignment) => Some(assignment.to_owned()),
                None => None,
            },
        };
        let pair = assignment.as_deref().and_then(|text| text.split_once('='));
        let Some((name, value)) = pair else {
            // A mistyped `-c portcullis.token …` must not show the token.
            let shown = if options.to_ascii_lowercase().contains("portcullis") {
                "(not shown)"
            } else {
                &word
            };
            return Err(LoginError::Parameter(Box::new(
                Fault::fatal(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("invalid command-line argument in startup options: {shown}"),
                )
                .with_hint("Only -c name=value and --name=value are understood."),
            )));
        };
        // As the server: dashes in a long option's name stand for underscores (`ParseLongOption`, guc.c).
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

/// The words of `options`.
pub(super) fn split(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_ascii_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The text that [`split`] makes these words of.
pub(super) fn requoted(words: &[String]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        for c in word.chars() {
            if c == '\\' || c.is_ascii_whitespace() {
                text.push('\\');
            }
            text.push(c);
        }
    }
    text
}

/// The SET of a setting, each part of its name in quotes.
fn set_statement(name: &str, value: &str) -> String {
    const WORDS: usize = "SET \"\" TO ''".len();
    let mut statement = String::with_capacity(WORDS + name.len() + value.len());
    statement.push_str("SET \"");
    for c in name.chars() {
        match c {
            '.' => statement.push_str("\".\""),
            '"' => statement.push_str("\"\""),
            c => statement.push(c),
        }
    }
    statement.push_str("\" TO '");
    for c in value.chars() {
        match c {
            '\'' => statement.push_str("''"),
            c => statement.push(c),
        }
    }
    statement.push('\'');
    statement
}

/// Asks the guard as if the client had sent a SET, so that startup and SET follow one list.
fn permitted(
    name: &str,
    value: &str,
    guard: &Guard,
    policy: &Arc<Policy>,
    schemas: Option<&Schemas>,
) -> Result<String, LoginError> {
    let asker = Asker {
        schemas,
        account: None,
    };
    match guard.judge_for(asker, policy, set_statement(name, value).as_bytes()) {
        Ok(script) => match script.statements() {
            [cleared] => match cleared.action() {
                Action::Set(setting) => Ok(setting.name().to_owned()),
                _ => Err(refused(name, None)),
            },
            _ => Err(refused(name, None)),
        },
        Err(refusal) => Err(refused(name, refusal.hint.clone())),
    }
}

fn refused(name: &str, hint: Option<String>) -> LoginError {
    let fault = Fault::fatal(
        SqlState::INSUFFICIENT_PRIVILEGE,
        format!("parameter \"{name}\" cannot be set at startup"),
    );
    LoginError::Parameter(Box::new(match hint {
        Some(hint) => fault.with_hint(hint),
        None => fault.with_hint("Remove it from the connection's options."),
    }))
}

/// Everything is UTF-8 here: text in another encoding could hide its meaning from the guard.
fn check_encoding(value: &str) -> Result<(), LoginError> {
    let plain: String = value
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    // SQL_ASCII means that nothing is converted, which is what happens.
    if matches!(plain.as_str(), "utf8" | "unicode" | "sqlascii" | "") {
        return Ok(());
    }
    Err(LoginError::Parameter(Box::new(
        Fault::fatal(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("client_encoding \"{value}\" is not supported"),
        )
        .with_hint("Use client_encoding=UTF8; Portcullis reads and passes on text as UTF-8 alone."),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_options_as_the_server_does() {
        let settings = command_line(r"-c search_path=a\ b --time-zone=UTC  -cgeqo=off").unwrap();
        let expected = [("search_path", "a b"), ("time_zone", "UTC"), ("geqo", "off")];
        let settings: Vec<_> = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(settings, expected);
        for bad in ["-d 5", "-c", "-c x", "--x", "role=x"] {
            assert!(command_line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_set_quotes_what_it_is_given() {
        assert_eq!(set_statement("geqo", "off"), "SET \"geqo\" TO 'off'");
        assert_eq!(
            set_statement("a\".b", "x'; RESET ROLE; --"),
            "SET \"a\"\"\".\"b\" TO 'x''; RESET ROLE; --'"
        );
        assert_eq!(set_statement(".", ""), "SET \"\".\"\" TO ''");
    }

    #[test]
    fn other_encodings_are_refused() {
        for good in ["UTF8", "utf-8", "'utf-8'", "UNICODE", "SQL_ASCII"] {
            assert!(check_encoding(good).is_ok(), "{good}");
        }
        for bad in ["SJIS", "GBK", "LATIN1", "utf16"] {
            assert!(check_encoding(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn replication_is_read_as_the_server_does() {
        let kind = |values: &[&str]| {
            let named = |value: &&str| ("replication".to_owned(), (*value).to_owned());
            replication(&Startup {
                minor: 0,
                parameters: values.iter().map(named).collect(),
            })
        };
        for off in [&[][..], &["off"], &["FALSE"], &["n"], &["0"], &["database", "no"]] {
            assert!(matches!(kind(off), Ok(None)), "{off:?}");
        }
        for on in [&["true"][..], &["On"], &["1"], &["y"], &["database", "yes"]] {
            assert!(matches!(kind(on), Ok(Some(ReplicationKind::Physical))), "{on:?}");
        }
        assert!(matches!(kind(&["database"]), Ok(Some(ReplicationKind::Database))));
        for bad in ["", "o", "Database", "truely", "2"] {
            assert!(matches!(kind(&[bad]), Err(LoginError::Parameter(_))), "{bad}");
        }
    }
}
