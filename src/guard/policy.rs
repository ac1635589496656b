//! What one role may do: read from `policies/*.toml`, checked, immutable.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use super::StatementClass;
use super::class::{ClassSet, Grant};
use super::names::NameSet;
use crate::base::PoolMode;

/// What one role may do. Immutable.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Tells policies apart in the verdict cache, also two of one name after a reload.
    id: u64,
    name: Box<str>,
    trusted: bool,
    /// How long its sessions keep a server connection, which decides what can work at all.
    mode: PoolMode,
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
        let mut mistakes = Mistakes(Vec::new());
        if file.name.is_empty() {
            mistakes.add("name", "must not be empty".to_owned());
        }
        let statements = statements(&file, &mut mistakes);
        let mut names = |key: &str, texts: &[String]| {
            let (names, bad) = NameSet::parse(texts);
            for text in bad {
                let message =
                    format!("{text:?} is no name: write name, schema.name, or a prefix that ends in *");
                mistakes.add(key, message);
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
            mode: PoolMode::Transaction,
            statements,
        };
        if mistakes.0.is_empty() {
            Ok(policy)
        } else {
            Err(mistakes.0)
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
            mode: PoolMode::Transaction,
            statements,
            denied_functions: NameSet::default(),
            denied_relations: NameSet::default(),
            denied_schemas: NameSet::default(),
            settable: NameSet::default(),
        }
    }

    /// The same policy for sessions that keep their server connection.
    pub(super) fn in_session_mode(&self) -> Self {
        Self {
            id: next_id(),
            mode: PoolMode::Session,
            ..self.clone()
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

    /// How long its sessions keep a server connection.
    pub(super) fn mode(&self) -> PoolMode {
        self.mode
    }

    pub(super) fn allows(&self, class: StatementClass) -> bool {
        self.statements.contains(class) && (class.grant() != Grant::Session || self.mode == PoolMode::Session)
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

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn lowered(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
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
            "name = ''\nstatements = ['SELECT', 'SELEKT', 'CREATE', 'COMMIT PREPARED']\n\
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
}
