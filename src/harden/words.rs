//! What can be seen of a piece of code without running it: the names and statements in its text.

use std::collections::HashSet;

use crate::guard::{self, Limits, SeenToken};

/// Something that code does by a statement rather than by naming an object, and needs a right for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Deed {
    Truncate,
    /// Makes a temporary object.
    Temporary,
    /// Makes a schema or what else needs CREATE on the database.
    CreateInDatabase,
    /// Makes an object in a schema, or renames or moves one.
    CreateInSchema,
    CreateTrigger,
    References,
    /// VACUUM, ANALYZE, REINDEX, CLUSTER, REFRESH or LOCK.
    Maintain,
    Update,
}

/// A text's names and deeds. Where it cannot be known, more rather than fewer.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Its names as the server spells them, and the words of its strings in lower case.
    names: HashSet<String>,
    deeds: HashSet<Deed>,
    /// What strings end with in code that puts statements together.
    beginnings: Vec<String>,
    /// Whether it runs statements that it has put together.
    is_dynamic: bool,
}

/// Words in a row.
struct Sentence {
    words: Vec<String>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The code itself: a reserved word means what it says.
    Code,
    /// A string with more than a word.
    Text,
    /// A string that is one word.
    Word,
}

impl Words {
    /// Reads a text in that language; of a language that is neither SQL nor PL/pgSQL every word of the text counts,
    /// comments and all.
    pub(super) fn read(language: &str, source: &str) -> Self {
        let mut words = Self::default();
        let limits = Limits {
            statements: usize::MAX,
            nesting: usize::MAX,
            ..Limits::default()
        };
        let tokens = match language {
            "sql" | "plpgsql" | "trigger" => guard::tokens(source.as_bytes(), &limits).ok(),
            _ => None,
        };
        let sentences = match tokens {
            Some(tokens) => words.sentences(&tokens),
            None => {
                words.is_dynamic = true;
                let words = split(source).map(str::to_lowercase).collect();
                vec![Sentence {
                    words,
                    place: Place::Text,
                }]
            }
        };
        words.is_dynamic |= language == "plpgsql" && words.names.contains("execute");
        words.is_dynamic &= language != "trigger";
        if !words.is_dynamic {
            words.beginnings.clear();
        }
        for sentence in &sentences {
            words.names.extend(sentence.words.iter().cloned());
        }
        if language != "trigger" {
            for sentence in &sentences {
                words.find_deeds(sentence, language);
            }
        }
        words
    }

    /// Whether it may use something of that name.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.names.contains(name)
            || self
                .beginnings
                .iter()
                .any(|beginning| name.starts_with(beginning.as_str()))
    }

    /// Whether it may do that.
    pub(super) fn does(&self, deed: Deed) -> bool {
        self.deeds.contains(&deed)
    }

    /// Whether it may do that to the table of that name.
    pub(super) fn does_to(&self, deed: Deed, table: &str) -> bool {
        self.does(deed) && (self.is_dynamic || self.mentions(table) || self.mentions(&table.to_lowercase()))
    }

    /// The code's own words, then those of each string.
    fn sentences(&mut self, tokens: &[SeenToken]) -> Vec<Sentence> {
        let mut own = Vec::new();
        let mut sentences = Vec::new();
        for token in tokens {
            match token.kind {
                "word" => own.push(token.text.clone()),
                "quoted_identifier" => {
                    self.names.insert(token.text.clone());
                    // Follows what it follows, and is no keyword.
                    own.push(String::new());
                }
                "string" | "escape_string" | "unicode_string" | "dollar_string" => {
                    let words: Vec<String> = split(&token.text).map(str::to_lowercase).collect();
                    if let Some(last) = words.last()
                        && last.contains('_')
                        && token.text.to_lowercase().ends_with(last.as_str())
                    {
                        self.beginnings.push(last.clone());
                    }
                    let is_word = words.first().is_some_and(|word| word.len() == token.text.len());
                    let place = if is_word { Place::Word } else { Place::Text };
                    sentences.push(Sentence { words, place });
                }
                _ => {}
            }
        }
        if own.iter().any(|word| word == "execute") {
            self.names.insert("execute".to_owned());
        }
        sentences.push(Sentence {
            words: own,
            place: Place::Code,
        });
        sentences
    }

    fn find_deeds(&mut self, sentence: &Sentence, language: &str) {
        let is_code = sentence.place == Place::Code;
        let about_itself = sentence.place == Place::Word && self.names.contains("tg_op");
        let word = |at: usize| sentence.words.get(at).map_or("", String::as_str);
        for (at, this) in sentence.words.iter().enumerate() {
            let before = at.checked_sub(1).map_or("", word);
            match this.as_str() {
                "create" => self.find_created(&sentence.words, at),
                "truncate" if !about_itself => self.add(Deed::Truncate),
                "update" => self.add(Deed::Update),
                "references" => self.add(Deed::References),
                "temp" | "temporary"
                    if matches!(before, "create" | "replace" | "into" | "local" | "global") =>
                {
                    self.add(Deed::Temporary);
                    self.add(Deed::CreateInSchema);
                }
                "pg_temp" => self.add(Deed::Temporary),
                "vacuum" | "analyze" | "analyse" | "reindex" | "cluster" | "refresh" | "lock" => {
                    self.add(Deed::Maintain);
                }
                "rename" | "schema" if sentence.words.iter().any(|word| word == "alter") => {
                    self.add(Deed::CreateInSchema);
                }
                // SELECT … INTO makes a table in SQL; in PL/pgSQL it sets a variable.
                "into" if !(matches!(before, "insert" | "merge") || is_code && language == "plpgsql") => {
                    self.add(Deed::CreateInSchema);
                }
                _ => {}
            }
        }
    }

    /// What a CREATE at that place makes: the words up to the first that names a kind of object.
    fn find_created(&mut self, words: &[String], at: usize) {
        let rest = words.iter().skip(at + 1).take(6).map(String::as_str);
        for word in rest {
            match word {
                "or" | "replace" | "local" | "global" | "unlogged" | "recursive" | "unique"
                | "constraint" | "trusted" | "procedural" | "materialized" | "foreign" | "text"
                | "search" | "event" | "access" | "operator" => {}
                "temp" | "temporary" => return self.add(Deed::Temporary),
                "schema" | "extension" | "publication" | "language" | "server" => {
                    return self.add(Deed::CreateInDatabase);
                }
                "trigger" => return self.add(Deed::CreateTrigger),
                "table" | "view" | "sequence" | "index" | "function" | "procedure" | "routine" | "type"
                | "domain" | "aggregate" | "collation" | "conversion" | "statistics" | "class" | "family"
                | "rule" | "policy" | "configuration" | "dictionary" | "parser" | "template" => {
                    return self.add(Deed::CreateInSchema);
                }
                _ => return,
            }
        }
        // The rest is put together elsewhere.
        if words.len() <= at + 6 && self.is_dynamic {
            for deed in [
                Deed::Temporary,
                Deed::CreateInDatabase,
                Deed::CreateTrigger,
                Deed::CreateInSchema,
            ] {
                self.add(deed);
            }
        }
    }

    fn add(&mut self, deed: Deed) {
        self.deeds.insert(deed);
    }
}

/// The words of a text, as names are written without quotes.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_seen_in_code_and_in_strings_and_not_in_comments() {
        for (language, source, sees) in [
            (
                "plpgsql",
                "BEGIN PERFORM pg_catalog.PG_NOTIFY('c', ''); END",
                true,
            ),
            ("plpgsql", "BEGIN PERFORM \"pg_notify\"('c', ''); END", true),
            (
                "plpgsql",
                "BEGIN EXECUTE 'select pg_notify(''c'', '''')'; END",
                true,
            ),
            ("plpgsql", "BEGIN EXECUTE E'select pg\\x5fnotify()'; END", true),
            ("plpgsql", "BEGIN EXECUTE 'select pg_' || 'notify(1)'; END", true),
            ("plpgsql", "BEGIN RETURN starts_with(t, 'pg_'); END", false),
            (
                "plpgsql",
                "BEGIN /* pg_notify */ RETURN 'pg_notifyx'; -- pg_notify\nEND",
                false,
            ),
            ("sql", "SELECT U&\"pg!005fnotify\" UESCAPE '!'('c', '')", true),
            ("plpython3u", "# plpy.execute(\"SELECT pg_notify('c')\")", true),
            ("plpython3u", "return 1", false),
        ] {
            assert_eq!(
                Words::read(language, source).mentions("pg_notify"),
                sees,
                "{source}"
            );
        }
    }

    #[test]
    fn deeds_are_seen_in_code_and_in_what_it_runs() {
        for (language, source, deed, sees) in [
            ("plpgsql", "BEGIN TRUNCATE t; END", Deed::Truncate, true),
            (
                "plpgsql",
                "BEGIN EXECUTE 'TRUNCATE ' || t; END",
                Deed::Truncate,
                true,
            ),
            (
                "plpgsql",
                "BEGIN IF TG_OP = 'TRUNCATE' THEN RETURN NULL; END IF; END",
                Deed::Truncate,
                false,
            ),
            (
                "plpgsql",
                "BEGIN CREATE TEMP TABLE t (a int); END",
                Deed::Temporary,
                true,
            ),
            (
                "plpgsql",
                "BEGIN CREATE OR REPLACE TEMPORARY VIEW v AS SELECT 1; END",
                Deed::Temporary,
                true,
            ),
            (
                "plpgsql",
                "BEGIN EXECUTE 'create ' || 'temp table t (a int)'; END",
                Deed::Temporary,
                true,
            ),
            ("sql", "SELECT temp FROM weather", Deed::Temporary, false),
            (
                "plpgsql",
                "BEGIN SELECT a INTO b FROM t; END",
                Deed::CreateInSchema,
                false,
            ),
            ("sql", "SELECT a INTO b FROM t", Deed::CreateInSchema, true),
            (
                "plpgsql",
                "BEGIN RAISE 'could not create a user'; END",
                Deed::CreateInSchema,
                false,
            ),
            (
                "plpgsql",
                "BEGIN CREATE UNIQUE INDEX ON t (a); END",
                Deed::CreateInSchema,
                true,
            ),
            (
                "plpgsql",
                "BEGIN EXECUTE format('CREATE SCHEMA %I', s); END",
                Deed::CreateInDatabase,
                true,
            ),
        ] {
            assert_eq!(
                Words::read(language, source).does(deed),
                sees,
                "{deed:?}: {source}"
            );
        }
        let read = |source| Words::read("plpgsql", source);
        assert!(read("BEGIN TRUNCATE a; END").does_to(Deed::Truncate, "a"));
        assert!(!read("BEGIN TRUNCATE a; END").does_to(Deed::Truncate, "b"));
        assert!(read("BEGIN EXECUTE format('TRUNCATE %I', a); END").does_to(Deed::Truncate, "b"));
    }
}
