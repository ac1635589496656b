//! What one role may do: read from `policies/*.toml`, checked, immutable.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use super::StatementClass;
use super::class::{ClassSet, Grant};

/// What one role may do. Immutable.
#[derive(Debug)]
pub struct Policy {
    /// Tells policies apart in the verdict cache, also two of one name after a reload.
    id: u64,
    name: Box<str>,
    trusted: bool,
    statements: ClassSet,
    denied_functions: NameSet,
    denied_relations: NameSet,
    denied_schemas: NameSet,
    settable: NameSet,
}

/// One mistake in a policy's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyMistake {
    /// The key it concerns; empty if the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    trusted: bool,
    #[serde(default)]
    statements: Vec<String>,
    #[serde(default)]
    denied_statements: Vec<String>,
    #[serde(default)]
    explain: bool,
    #[serde(default)]
    denied_functions: Vec<String>,
    #[serde(default)]
    denied_relations: Vec<String>,
    #[serde(default)]
    denied_schemas: Vec<String>,
    #[serde(default)]
    settable: Vec<String>,
}

impl Policy {
    /// Reads a policy from TOML.
    ///
    /// # Errors
    ///
    /// Every mistake of the text at once, each with its key. A text that is not TOML or has an unknown key is
    /// one mistake without a key.
    pub fn parse(source: &str) -> Result<Self, Vec<PolicyMistake>> {
        let file: File = toml::from_str(source).map_err(|error| {
            vec![PolicyMistake {
                key: String::new(),
                message: error.message().to_owned(),
            }]
        })?;
        let mut mistakes = Vec::new();
        let mut mistake = |key: &str, message: String| {
            mistakes.push(PolicyMistake {
                key: key.to_owned(),
                message,
            });
        };
        if file.name.is_empty() {
            mistake("name", "must not be empty".to_owned());
        }
        let mut statements = ClassSet::default();
        for text in &file.statements {
            match StatementClass::parse(text) {
                _ if file.trusted => {
                    mistake(
                        "statements",
                        format!("{text:?}: a trusted policy has every statement; use denied_statements"),
                    );
                }
                None => mistake("statements", format!("{text:?} is no class of statements")),
                Some(class) if matches!(class.grant(), Grant::Trusted) => {
                    mistake("statements", format!("{class} needs a trusted policy"));
                }
                Some(class) if matches!(class.grant(), Grant::Never) => {
                    mistake(
                        "statements",
                        format!("{class} cannot be allowed: it does not work in transaction mode"),
                    );
                }
                Some(class) => statements.insert(class),
            }
        }
        for class in StatementClass::ALL {
            if file.trusted && class.grant() != Grant::Never || class.grant() == Grant::Always {
                statements.insert(*class);
            }
        }
        if file.explain {
            statements.insert(StatementClass::Explain);
        }
        for text in &file.denied_statements {
            match StatementClass::parse(text) {
                None => mistake("denied_statements", format!("{text:?} is no class of statements")),
                Some(class) if class.grant() == Grant::Always => {
                    mistake(
                        "denied_statements",
                        format!("{class} cannot be denied: sessions need it to end what they began"),
                    );
                }
                Some(class) => statements.remove(class),
            }
        }
        let mut names = |key: &str, texts: &[String]| {
            let (names, bad) = NameSet::parse(texts);
            for text in bad {
                mistake(
                    key,
                    format!("{text:?} is no name: write name, schema.name, or a prefix that ends in *"),
                );
            }
            names
        };
        let policy = Self {
            id: next_id(),
            denied_functions: names("denied_functions", &file.denied_functions),
            denied_relations: names("denied_relations", &file.denied_relations),
            denied_schemas: names("denied_schemas", &file.denied_schemas),
            settable: names("settable", &lowered(&file.settable)),
            name: file.name.into(),
            trusted: file.trusted,
            statements,
        };
        if mistakes.is_empty() {
            Ok(policy)
        } else {
            Err(mistakes)
        }
    }

    /// The default for end users, `policies/end_user.toml`.
    pub fn end_user() -> Self {
        Self::built_in("end_user", include_str!("../../policies/end_user.toml"))
    }

    /// For roles that administer, `policies/trusted.toml`.
    pub fn trusted() -> Self {
        Self::built_in("trusted", include_str!("../../policies/trusted.toml"))
    }

    /// For roles that only read, `policies/read_only.toml`.
    pub fn read_only() -> Self {
        Self::built_in("read_only", include_str!("../../policies/read_only.toml"))
    }

    /// A policy that allows nothing but transaction control.
    pub fn nothing(name: &str) -> Self {
        let mut statements = ClassSet::default();
        for class in StatementClass::ALL
            .iter()
            .filter(|class| class.grant() == Grant::Always)
        {
            statements.insert(*class);
        }
        Self {
            id: next_id(),
            name: name.into(),
            trusted: false,
            statements,
            denied_functions: NameSet::default(),
            denied_relations: NameSet::default(),
            denied_schemas: NameSet::default(),
            settable: NameSet::default(),
        }
    }

    /// A policy whose text is part of the program: a test sees to it that it parses.
    fn built_in(name: &str, source: &str) -> Self {
        Self::parse(source).unwrap_or_else(|_| Self::nothing(name))
    }

    /// Whether the role administers: it has every statement that can work here.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The policy's name, as configuration refers to it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn allows(&self, class: StatementClass) -> bool {
        self.statements.contains(class)
    }

    pub(super) fn denies_function(&self, schema: Option<&str>, name: &str) -> bool {
        self.denied_functions.has(schema, name)
    }

    pub(super) fn denies_relation(&self, schema: Option<&str>, name: &str) -> bool {
        self.denied_relations.has(schema, name)
    }

    pub(super) fn denies_schema(&self, schema: &str) -> bool {
        self.denied_schemas.has(None, schema)
    }

    /// Whether any relation or schema is denied at all.
    pub(super) fn has_denied_relations(&self) -> bool {
        !self.denied_relations.is_empty() || !self.denied_schemas.is_empty()
    }

    /// Whether a session may change the setting, its name in lower case.
    pub(super) fn may_set(&self, name: &str) -> bool {
        self.trusted || self.settable.has_whole(name)
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn lowered(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// Names, `schema.name`s, and prefixes written `name*`, all as the server spells them.
#[derive(Debug, Default)]
pub(super) struct NameSet {
    names: HashSet<Box<str>>,
    prefixes: Vec<Box<str>>,
    /// Whether some name carries a schema, so that the joined name is worth building.
    qualified: bool,
}

impl NameSet {
    /// The set, and the texts that are no names.
    pub(super) fn parse(texts: &[String]) -> (Self, Vec<&String>) {
        let mut set = Self::default();
        let mut bad = Vec::new();
        for text in texts {
            let name = text.strip_suffix('*').unwrap_or(text);
            if name.is_empty() || name.contains('*') || name.chars().any(char::is_control) {
                bad.push(text);
                continue;
            }
            set.qualified |= name.contains('.');
            if name.len() < text.len() {
                set.prefixes.push(name.into());
            } else {
                set.names.insert(name.into());
            }
        }
        (set, bad)
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.prefixes.is_empty()
    }

    /// Whether the name is in the set by itself or with its schema. A name without schema matches entries of
    /// every schema: where it resolves to is the server's to know.
    fn has(&self, schema: Option<&str>, name: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        if self.has_whole(name) {
            return true;
        }
        if !self.qualified {
            return false;
        }
        match schema {
            Some(schema) => self.has_whole(&format!("{schema}.{name}")),
            None => {
                let ends_so = |entry: &str| entry.rsplit_once('.').is_some_and(|(_, last)| last == name);
                let begins_so = |entry: &str| {
                    entry
                        .rsplit_once('.')
                        .is_some_and(|(_, last)| name.starts_with(last))
                };
                self.names.iter().any(|entry| ends_so(entry))
                    || self.prefixes.iter().any(|entry| begins_so(entry))
            }
        }
    }

    /// Whether exactly this text is in the set.
    pub(super) fn has_whole(&self, name: &str) -> bool {
        self.names.contains(name) || self.prefixes.iter().any(|prefix| name.starts_with(&**prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_policies_parse() {
        for (policy, trusted) in [
            (Policy::end_user(), false),
            (Policy::trusted(), true),
            (Policy::read_only(), false),
        ] {
            assert_eq!(policy.is_trusted(), trusted, "{}", policy.name());
            assert!(
                policy.allows(StatementClass::Select),
                "{} fell back to nothing",
                policy.name()
            );
        }
        assert!(!Policy::end_user().allows(StatementClass::Explain));
        assert!(!Policy::read_only().allows(StatementClass::Insert));
        assert!(Policy::trusted().allows(StatementClass::Create));
        assert!(!Policy::nothing("x").allows(StatementClass::Select));
        assert!(Policy::nothing("x").allows(StatementClass::Rollback));
    }

    #[test]
    fn every_mistake_is_listed_with_its_key() {
        let mistakes = Policy::parse(
            "name = ''\nstatements = ['SELECT', 'SELEKT', 'CREATE', 'LISTEN']\n\
             denied_statements = ['ROLLBACK']\ndenied_functions = ['', 'a*b']\nsettable = ['*']",
        )
        .unwrap_err();
        let keys: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "name",
                "statements",
                "statements",
                "statements",
                "denied_statements",
                "denied_functions",
                "denied_functions",
                "settable"
            ]
        );
        assert!(Policy::parse("nam = 'x'").is_err());
        assert!(Policy::parse("name = 'x'\ntrusted = true\nstatements = ['SELECT']").is_err());
    }

    #[test]
    fn names_match_with_and_without_schema() {
        let texts = ["secrets", "app.keys", "audit_*", "s.log_*"].map(String::from);
        let (set, bad) = NameSet::parse(&texts);
        assert!(bad.is_empty());
        for (schema, name, wanted) in [
            (None, "secrets", true),
            (Some("any"), "secrets", true),
            (Some("app"), "keys", true),
            (None, "keys", true),
            (Some("other"), "keys", false),
            (Some("x"), "audit_log", true),
            (None, "log_1", true),
            (Some("t"), "log_1", false),
            (None, "todos", false),
        ] {
            assert_eq!(set.has(schema, name), wanted, "{schema:?} {name}");
        }
    }
}
