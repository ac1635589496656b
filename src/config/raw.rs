//! Raw TOML, read key by key: every reading notes its mistakes and goes on.
//!
//! serde stops at the first mistake; these readers do not, and they know which keys were asked for, so
//! that a key nobody asked for is a mistake as well. What was read, given or default, is kept for
//! [`Config::describe`](super::Config::describe).

mod item;
mod pieces;
mod section;

pub(super) use item::Item;
pub(super) use section::Section;

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeTable;

use super::{Mistake, duration};
use pieces::Place;

/// A file's name and text, or a piece of its text.
pub(super) struct Source {
    pub(super) path: PathBuf,
    text: String,
    before: Place,
}

impl Source {
    /// A whole file.
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        Self {
            path,
            text,
            before: Place::default(),
        }
    }

    /// Parses the file; its syntax errors are noted with line and column.
    pub(super) fn parse(&self, notes: &Notes) -> Option<Spanned<DeTable<'_>>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        for error in &errors {
            let offset = error.span().map(|span| span.start);
            let column =
                offset.map_or_else(String::new, |offset| format!(" (column {})", self.column(offset)));
            notes.mistakes.borrow_mut().push(Mistake {
                file: self.path.clone(),
                line: offset.map(|offset| self.line(offset)),
                key: String::new(),
                message: format!("not valid TOML: {}{column}", error.message().replace('\n', ", ")),
            });
        }
        errors.is_empty().then_some(table)
    }

    /// Where a path in this file leads: relative paths start at the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn line(&self, offset: usize) -> usize {
        self.before.lines + self.up_to(offset).bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    fn column(&self, offset: usize) -> usize {
        let before = self.up_to(offset);
        before.rsplit('\n').next().unwrap_or(before).chars().count() + 1
    }

    fn up_to(&self, offset: usize) -> &str {
        self.text.get(..offset).unwrap_or(&self.text)
    }
}

/// Looks up an environment variable.
pub(super) type Environment = fn(&str) -> Option<OsString>;

/// What reading and checking have found so far, and where secrets of the environment come from.
pub(super) struct Notes {
    pub(super) environment: Environment,
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<Mistake>>,
    effective: RefCell<Vec<Effective>>,
}

/// One key's value in force.
#[derive(Clone, Debug)]
pub(super) struct Effective {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file.
    Given,
    /// The key is absent.
    Default,
}

impl Notes {
    /// Nothing found yet.
    pub(super) fn new(environment: Environment) -> Self {
        Self {
            environment,
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
            effective: RefCell::default(),
        }
    }

    /// Mistakes by file and line, warnings, and values in force.
    pub(super) fn finish(self) -> (Vec<Mistake>, Vec<Mistake>, Vec<Effective>) {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        mistakes.dedup();
        (mistakes, self.warnings.into_inner(), self.effective.into_inner())
    }
}

/// How a value in force is shown.
pub(super) trait Show {
    /// The value as TOML would have it.
    fn show(&self) -> String;
}

impl Show for str {
    fn show(&self) -> String {
        toml::Value::from(self).to_string()
    }
}

impl Show for String {
    fn show(&self) -> String {
        self.as_str().show()
    }
}

impl Show for bool {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for u64 {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for usize {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for u16 {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for Duration {
    fn show(&self) -> String {
        duration::show(*self).show()
    }
}

impl Show for PathBuf {
    fn show(&self) -> String {
        self.to_string_lossy().show()
    }
}

impl<T: Show> Show for Vec<T> {
    fn show(&self) -> String {
        let values: Vec<String> = self.iter().map(Show::show).collect();
        format!("[{}]", values.join(", "))
    }
}
