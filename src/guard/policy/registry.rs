//! Registered statements: the only ones that roles of such a policy may run, next to named functions.

use std::collections::HashSet;

use serde::Deserialize;
use toml::Spanned;

use super::fingerprint::{Fingerprint, Normalised, plain_call};
use super::names::NameSet;
use crate::guard::limits::Limits;
use crate::guard::reading::class::{Grant, StatementClass};
use crate::guard::text::statement::Statement;
use crate::guard::text::tokenized::Tokenized;

/// Fingerprints of statements, and functions that may be called by themselves.
#[derive(Debug)]
pub(in crate::guard) struct Registered {
    statements: HashSet<Fingerprint>,
    functions: NameSet,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    statement: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fingerprint: Spanned<String>,
    /// A statement of this fingerprint, for people; checked.
    example: Option<String>,
    /// How often it was seen when it was learnt, for people.
    #[serde(rename = "count")]
    _count: Option<u64>,
}

impl Registered {
    /// No statements yet.
    pub(in crate::guard) fn new(functions: NameSet) -> Self {
        Self {
            statements: HashSet::new(),
            functions,
        }
    }

    /// Takes the statements of a registry's text. Returns every mistake in it.
    pub(in crate::guard) fn read(&mut self, text: &str) -> Vec<String> {
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => return vec![error.message().to_owned()],
        };
        let mut mistakes = Vec::new();
        for entry in file.statement {
            let before = text.get(..entry.fingerprint.span().start).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let given = entry.fingerprint.get_ref();
            let Some(fingerprint) = Fingerprint::parse(given) else {
                mistakes.push(format!(
                    "line {line}: {given:?} is no fingerprint: 32 hexadecimal digits"
                ));
                continue;
            };
            match entry.example.as_deref().map(fingerprints) {
                None => {}
                Some(Some(found)) if found == [fingerprint] => {}
                Some(Some(found)) if found.len() == 1 => {
                    mistakes.push(format!("line {line}: the example's fingerprint is another one"));
                    continue;
                }
                Some(_) => {
                    mistakes.push(format!("line {line}: the example is not one statement"));
                    continue;
                }
            }
            self.statements.insert(fingerprint);
        }
        mistakes
    }

    /// Whether a statement may run: its fingerprint is listed, or it is one call of a named function.
    pub(in crate::guard) fn has(&self, statement: &Statement<'_>, fingerprint: Fingerprint) -> bool {
        self.statements.contains(&fingerprint) || self.is_named_call(statement)
    }

    fn is_named_call(&self, statement: &Statement<'_>) -> bool {
        let Some((from, end)) = plain_call(statement) else {
            return false;
        };
        let schema = match end - from {
            1 => None,
            3 => statement.name(from),
            _ => return false,
        };
        statement
            .name(end - 1)
            .is_some_and(|name| self.functions.admits(schema, name))
    }
}

/// Whether statements of a class have to be registered: all but those that concern the session or its transaction,
/// or read on from a cursor whose statement was registered.
pub(in crate::guard) fn concerns(class: StatementClass) -> bool {
    use StatementClass as C;
    class.grant() != Grant::Always
        && !matches!(
            class,
            C::Show | C::Set | C::Reset | C::SetConstraints | C::Fetch | C::Move
        )
}

/// The fingerprints of a text's statements; `None` if it cannot be read.
fn fingerprints(text: &str) -> Option<Vec<Fingerprint>> {
    let tokenized = Tokenized::read(text.as_bytes(), &Limits::default()).ok()?;
    let fingerprint = |statement| Normalised::new(&statement).fingerprint();
    Some(tokenized.statements().map(fingerprint).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_of_a_registry_is_listed_with_its_line() {
        let good = fingerprints("SELECT 1").unwrap()[0];
        let text = format!(
            "[[statement]]\nfingerprint = \"{good}\"\nexample = \"SELECT $1\"\ncount = 3\n\
             [[statement]]\nfingerprint = \"{good}\"\nexample = \"SELECT a\"\n\
             [[statement]]\nfingerprint = \"xyz\"\n\
             [[statement]]\nfingerprint = \"{good}\"\nexample = \"SELECT 1; SELECT 2\"\n"
        );
        let mut registered = Registered::new(NameSet::default());
        let mistakes = registered.read(&text);
        let lines: Vec<&str> = mistakes.iter().filter_map(|m| m.split(':').next()).collect();
        assert_eq!(lines, ["line 6", "line 9", "line 11"], "{mistakes:?}");
        assert!(registered.statements.contains(&good));
        assert_eq!(registered.read("statement = 3").len(), 1);
        assert_eq!(registered.read("[[statement]]\nfinger = 1").len(), 1);
    }
}
