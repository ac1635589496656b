//! The policy's file: keys, defaults, and every mistake.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    Ceilings, END_USER_TOKENS, Lists, Policy, PolicyMistake, ReadFile, RequireWhere, TRUSTED_TOKENS,
};
use crate::guard::policy::names::NameSet;
use crate::guard::policy::registry::Registered;
use crate::guard::policy::reserved::Reserved;
use crate::guard::policy::timeouts::{self, Timeouts};
use crate::guard::reading::class::{ClassSet, Grant, StatementClass};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    trusted: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    statements: Vec<String>,
    #[serde(default)]
    denied_statements: Vec<String>,
    #[serde(default)]
    explain: bool,
    allowed_functions: Option<Vec<String>>,
    #[serde(default)]
    denied_functions: Vec<String>,
    #[serde(default)]
    own_functions: Vec<String>,
    allowed_relations: Option<Vec<String>>,
    #[serde(default)]
    denied_relations: Vec<String>,
    allowed_schemas: Option<Vec<String>>,
    #[serde(default)]
    denied_schemas: Vec<String>,
    #[serde(default)]
    settable: Vec<String>,
    require_where: Option<toml::Value>,
    max_rows: Option<i64>,
    max_row_bytes: Option<i64>,
    max_tokens: Option<i64>,
    statement_timeout: Option<String>,
    lock_timeout: Option<String>,
    idle_in_transaction_session_timeout: Option<String>,
    registered_statements: Option<Vec<String>>,
    registered_functions: Option<Vec<String>>,
}

/// Which statements of the classes that are allowed may run.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// All.
    #[default]
    Open,
    /// Those that are registered.
    Registered,
}

impl Policy {
    /// Reads a policy from TOML. One that names other files is a mistake; see [`Policy::parse_with`].
    ///
    /// # Errors
    ///
    /// Every mistake of the text at once, each with its key. A text that is not TOML or has an unknown key is
    /// one mistake without a key.
    pub fn parse(source: &str) -> Result<Self, Vec<PolicyMistake>> {
        Self::parse_with(source, &mut |_| Err("files cannot be named here".to_owned()))
    }

    /// Reads a policy from TOML, and with `read` the files that it names.
    ///
    /// # Errors
    ///
    /// As [`Policy::parse`], those of the other files included.
    pub fn parse_with(source: &str, read: ReadFile<'_>) -> Result<Self, Vec<PolicyMistake>> {
        parse(source, read)
    }

    /// The default for end users, `policies/end_user.toml`.
    pub fn end_user() -> Self {
        Self::built_in("end_user", include_str!("../../../../policies/end_user.toml"))
    }

    /// For roles that administer, `policies/trusted.toml`.
    pub fn trusted() -> Self {
        Self::built_in("trusted", include_str!("../../../../policies/trusted.toml"))
    }

    /// For roles that only read, `policies/read_only.toml`.
    pub fn read_only() -> Self {
        Self::built_in("read_only", include_str!("../../../../policies/read_only.toml"))
    }

    /// A policy whose text is part of the program: a test sees to it that it parses.
    fn built_in(name: &str, source: &str) -> Self {
        Self::parse(source).unwrap_or_else(|_| Self::nothing(name))
    }
}

fn parse(source: &str, read: ReadFile<'_>) -> Result<Policy, Vec<PolicyMistake>> {
    let file: File = toml::from_str(source).map_err(|error| {
        vec![PolicyMistake {
            key: String::new(),
            message: error.message().to_owned(),
        }]
    })?;
    let mut mistakes = Mistakes(Vec::new());
    if file.name.is_empty() {
        mistakes.add("name", "must not be empty".to_owned());
    }
    let policy = Policy {
        statements: statements(&file, &mut mistakes),
        functions: Lists {
            allowed: allowed(
                "allowed_functions",
                file.allowed_functions.as_deref(),
                &mut mistakes,
            ),
            denied: names("denied_functions", &file.denied_functions, &mut mistakes),
        },
        relations: Lists {
            allowed: allowed(
                "allowed_relations",
                file.allowed_relations.as_deref(),
                &mut mistakes,
            ),
            denied: names("denied_relations", &file.denied_relations, &mut mistakes),
        },
        schemas: Lists {
            allowed: allowed("allowed_schemas", file.allowed_schemas.as_deref(), &mut mistakes),
            denied: names("denied_schemas", &file.denied_schemas, &mut mistakes),
        },
        own_functions: own_functions(&file.own_functions, &mut mistakes),
        settable: settable(&file.settable, &mut mistakes),
        require_where: require_where(file.require_where.as_ref(), &mut mistakes),
        ceilings: Ceilings {
            rows: ceiling("max_rows", file.max_rows, &mut mistakes),
            bytes: ceiling("max_row_bytes", file.max_row_bytes, &mut mistakes),
        },
        max_tokens: tokens(&file, &mut mistakes),
        timeouts: time_limits(&file, &mut mistakes),
        registered: registered(&file, read, &mut mistakes).map(Arc::new),
        name: file.name.into(),
        trusted: file.trusted,
        ..Policy::empty()
    };
    if mistakes.0.is_empty() {
        Ok(policy)
    } else {
        Err(mistakes.0)
    }
}

/// The mistakes found so far.
struct Mistakes(Vec<PolicyMistake>);

impl Mistakes {
    fn add(&mut self, key: &str, message: String) {
        self.0.push(PolicyMistake {
            key: key.to_owned(),
            message,
        });
    }
}

/// The classes that a file gives, with those that nobody can be denied.
fn statements(file: &File, mistakes: &mut Mistakes) -> ClassSet {
    let mut statements = ClassSet::default();
    for text in &file.statements {
        let message = match StatementClass::parse(text) {
            _ if file.trusted => {
                format!("{text:?}: a trusted policy has every statement; use denied_statements")
            }
            None => format!("{text:?} is no class of statements"),
            Some(class) if class.grant() == Grant::Trusted => format!("{class} needs a trusted policy"),
            Some(class) if class.grant() == Grant::Never => {
                format!("{class} cannot be allowed: it does not work when server connections are shared")
            }
            Some(class) => {
                statements.insert(class);
                continue;
            }
        };
        mistakes.add("statements", message);
    }
    for class in StatementClass::ALL {
        if (file.trusted && class.grant() != Grant::Never) || class.grant() == Grant::Always {
            statements.insert(*class);
        }
    }
    if file.explain {
        statements.insert(StatementClass::Explain);
    }
    for text in &file.denied_statements {
        let message = match StatementClass::parse(text) {
            None => format!("{text:?} is no class of statements"),
            Some(class) if class.grant() == Grant::Always => {
                format!("{class} cannot be denied: sessions need it to end what they began")
            }
            Some(class) => {
                statements.remove(class);
                continue;
            }
        };
        mistakes.add("denied_statements", message);
    }
    statements
}

/// Settings by name, in lower case.
fn settable(texts: &[String], mistakes: &mut Mistakes) -> NameSet {
    let texts: Vec<String> = texts.iter().map(|name| name.to_ascii_lowercase()).collect();
    let set = names("settable", &texts, mistakes);
    for prefix in set.dotted_prefixes() {
        let message = format!(
            "\"{prefix}*\": a prefix cannot hold a point, since a session could make up new settings without end, which \
             the server never frees: list each by name"
        );
        mistakes.add("settable", message);
    }
    set
}

fn names(key: &str, texts: &[String], mistakes: &mut Mistakes) -> NameSet {
    let (names, bad) = NameSet::parse(texts);
    for text in bad {
        let message = format!("{text:?} is no name: write name, schema.name, or a prefix that ends in *");
        mistakes.add(key, message);
    }
    names
}

fn allowed(key: &str, texts: Option<&[String]>, mistakes: &mut Mistakes) -> Option<NameSet> {
    texts.map(|texts| names(key, texts, mistakes))
}

/// Names of functions that are the application's own although they are reserved: each a whole name, and with its schema
/// unless the name alone cannot mean a function of PostgreSQL's or of an extension's.
fn own_functions(texts: &[String], mistakes: &mut Mistakes) -> NameSet {
    for text in texts {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text.as_str()),
        };
        let is_schema = name == "*" && schema.is_some_and(|schema| Reserved::list().is_schema(schema));
        let message = if name.ends_with('*') && !is_schema {
            format!("{text:?} is a prefix: name each function")
        } else if schema.is_some_and(|schema| schema == "pg_catalog" || schema == "information_schema") {
            format!("{text:?} is PostgreSQL's own")
        } else if schema.is_none() && (name == "set_config" || Reserved::list().is_anywhere(name)) {
            format!("{text:?} needs its schema, in calls as well: without one, it may be another function")
        } else {
            continue;
        };
        mistakes.add("own_functions", message);
    }
    names("own_functions", texts, mistakes)
}

fn require_where(value: Option<&toml::Value>, mistakes: &mut Mistakes) -> RequireWhere {
    let list = |value: &toml::Value| -> Option<Vec<String>> {
        let texts = value.as_array()?.iter();
        texts.map(|text| text.as_str().map(str::to_owned)).collect()
    };
    match value {
        None | Some(toml::Value::Boolean(false)) => RequireWhere::Never,
        Some(toml::Value::Boolean(true)) => RequireWhere::Always,
        Some(value) => match list(value) {
            Some(texts) => RequireWhere::Of(names("require_where", &texts, mistakes)),
            None => {
                mistakes.add(
                    "require_where",
                    "must be true, false or a list of relations".to_owned(),
                );
                RequireWhere::Always
            }
        },
    }
}

fn ceiling(key: &str, value: Option<i64>, mistakes: &mut Mistakes) -> Option<u64> {
    let value = value?;
    let most = u64::try_from(value).ok().filter(|most| *most > 0);
    if most.is_none() {
        mistakes.add(
            key,
            format!("{value} is no ceiling: give at least 1, or leave the key out"),
        );
    }
    most
}

fn tokens(file: &File, mistakes: &mut Mistakes) -> usize {
    let default = match file.trusted {
        true => TRUSTED_TOKENS,
        false => END_USER_TOKENS,
    };
    let Some(value) = file.max_tokens else {
        return default;
    };
    let most = usize::try_from(value).ok();
    most.filter(|most| (1..=TRUSTED_TOKENS).contains(most))
        .unwrap_or_else(|| {
            mistakes.add(
                "max_tokens",
                format!("{value}: must be from 1 to {TRUSTED_TOKENS}"),
            );
            default
        })
}

fn time_limits(file: &File, mistakes: &mut Mistakes) -> Timeouts {
    let values = [
        &file.statement_timeout,
        &file.lock_timeout,
        &file.idle_in_transaction_session_timeout,
    ];
    let limits = timeouts::NAMES.iter().zip(values).filter_map(|(name, value)| {
        let value = value.as_deref()?;
        match timeouts::read(value) {
            Some(limit) if limit.as_millis() > 0 && value.trim().ends_with(char::is_alphabetic) => {
                Some((*name, limit))
            }
            _ => {
                let message = format!(
                    "{value:?} is no time limit: write a number and a unit, such as \"30s\" or \"5min\""
                );
                mistakes.add(name, message);
                None
            }
        }
    });
    Timeouts::new(limits.collect())
}

/// The registered statements and functions, if the mode asks for them.
fn registered(file: &File, read: ReadFile<'_>, mistakes: &mut Mistakes) -> Option<Registered> {
    let given = [
        ("registered_statements", &file.registered_statements),
        ("registered_functions", &file.registered_functions),
    ];
    if file.mode == Mode::Open {
        for (key, _) in given.iter().filter(|(_, value)| value.is_some()) {
            mistakes.add(key, "has no effect unless mode = \"registered\"".to_owned());
        }
        return None;
    }
    if given.iter().all(|(_, value)| value.is_none()) {
        mistakes.add(
            "mode",
            "nothing is registered: give registered_statements or registered_functions".to_owned(),
        );
    }
    let functions = file.registered_functions.as_deref().unwrap_or_default();
    let mut registered = Registered::new(names("registered_functions", functions, mistakes));
    for path in file.registered_statements.iter().flatten() {
        match read(path) {
            Ok(text) => {
                for message in registered.read(&text) {
                    mistakes.add("registered_statements", format!("{path}: {message}"));
                }
            }
            Err(message) => mistakes.add("registered_statements", message),
        }
    }
    Some(registered)
}
