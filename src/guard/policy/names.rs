//! Sets of names as policies write them.

use std::collections::HashSet;

/// Names, `schema.name`s, and prefixes written `name*`, all as the server spells them.
#[derive(Clone, Debug, Default)]
pub(in crate::guard) struct NameSet {
    names: HashSet<Box<str>>,
    prefixes: Vec<Box<str>>,
    /// Whether some name carries a schema, so that the joined name is worth building.
    qualified: bool,
}

impl NameSet {
    /// The set, and the texts that are no names.
    pub(in crate::guard) fn parse(texts: &[String]) -> (Self, Vec<&String>) {
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

    pub(in crate::guard) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.prefixes.is_empty()
    }

    /// Whether the name is in the set by itself or with its schema. A name without schema matches entries of
    /// every schema: where it resolves to is the server's to know.
    pub(in crate::guard) fn has(&self, schema: Option<&str>, name: &str) -> bool {
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

    /// Whether a set of what is allowed has this very name: an entry without schema stands for a name without
    /// schema, or in `pg_catalog`, which is searched first; an entry with one for a name with that schema alone.
    pub(in crate::guard) fn admits(&self, schema: Option<&str>, name: &str) -> bool {
        // A point inside a quoted name must not be taken for one between two names.
        if name.contains('.') || schema.is_some_and(|schema| schema.contains('.')) {
            return false;
        }
        let bare = || {
            self.names.contains(name)
                || self
                    .prefixes
                    .iter()
                    .any(|prefix| !prefix.contains('.') && name.starts_with(&**prefix))
        };
        let qualified = |schema: &str| {
            let joined = format!("{schema}.{name}");
            self.names.contains(joined.as_str())
                || self
                    .prefixes
                    .iter()
                    .any(|prefix| prefix.contains('.') && joined.starts_with(&**prefix))
        };
        match schema {
            None => bare(),
            Some(schema) => qualified(schema) || (schema == "pg_catalog" && bare()),
        }
    }

    /// Whether the set has a setting of this name. A prefix stands for the server's own settings: a name with a point in
    /// it is one that anybody can make up, and has to be there by itself.
    pub(in crate::guard) fn has_setting(&self, name: &str) -> bool {
        self.names.contains(name) || (!name.contains('.') && self.has_whole(name))
    }

    /// The prefixes that hold a point.
    pub(in crate::guard) fn dotted_prefixes(&self) -> impl Iterator<Item = &str> {
        let prefixes = self.prefixes.iter().map(|prefix| &**prefix);
        prefixes.filter(|prefix| prefix.contains('.'))
    }

    /// Whether exactly this text is in the set.
    pub(in crate::guard) fn has_whole(&self, name: &str) -> bool {
        self.names.contains(name) || self.prefixes.iter().any(|prefix| name.starts_with(&**prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_is_allowed_is_matched_exactly() {
        let texts = ["lower", "app.f", "json_*", "api.*", "a*"].map(String::from);
        let (set, bad) = NameSet::parse(&texts);
        assert!(bad.is_empty());
        for (schema, name, wanted) in [
            (None, "lower", true),
            (Some("pg_catalog"), "lower", true),
            (Some("evil"), "lower", false),
            (Some("app"), "f", true),
            (None, "f", false),
            (None, "app.f", false),
            (Some("api"), "any", true),
            (None, "json_agg", true),
            (Some("x"), "json_agg", false),
            (Some("audit"), "g", false),
            (None, "abs", true),
        ] {
            assert_eq!(set.admits(schema, name), wanted, "{schema:?} {name}");
        }
    }
}
