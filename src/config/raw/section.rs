//! One table of a TOML file, which knows the keys it was asked for.

use std::cell::RefCell;
use std::time::Duration;

use toml::de::DeTable;

use super::super::duration::LONGEST;
use super::super::{Mistake, suggest};
use super::{Effective, Item, Notes, Origin, Show, Source};

/// A table, or the absence of one: then every key has its default.
///
/// When it is dropped, the keys that nobody asked for are noted as mistakes.
pub(in super::super) struct Section<'s> {
    notes: &'s Notes,
    source: &'s Source,
    key: String,
    table: Option<&'s DeTable<'s>>,
    offset: Option<usize>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'s> Section<'s> {
    /// A table at a key path; an empty path is the top of the file.
    pub(in super::super) fn new(
        notes: &'s Notes,
        source: &'s Source,
        key: String,
        table: Option<&'s DeTable<'s>>,
        offset: Option<usize>,
    ) -> Self {
        Self {
            notes,
            source,
            key,
            table,
            offset,
            asked: RefCell::default(),
        }
    }

    /// The path of a key in this table.
    pub(in super::super) fn path(&self, key: &str) -> String {
        let plain = !key.is_empty()
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let key = if plain { key.to_owned() } else { key.show() };
        if self.key.is_empty() {
            key
        } else {
            format!("{}.{key}", self.key)
        }
    }

    /// The value of a key, if it is there.
    pub(in super::super) fn get(&self, key: &'static str) -> Option<Item<'s>> {
        self.asked.borrow_mut().push(key);
        self.table.and_then(|table| table.get(key)).map(|value| Item {
            notes: self.notes,
            source: self.source,
            key: self.path(key),
            value,
        })
    }

    /// The value of a key that must be there.
    pub(in super::super) fn need(&self, key: &'static str) -> Option<Item<'s>> {
        let item = self.get(key);
        if item.is_none() {
            self.mistake(key, "is missing");
        }
        item
    }

    /// A value, or its default where the key is absent or wrong; kept for the description.
    pub(in super::super) fn or<T: Show>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Item<'s>) -> Option<T>,
    ) -> T {
        let given = self.get(key).and_then(|item| read(&item));
        let origin = if given.is_some() {
            Origin::Given
        } else {
            Origin::Default
        };
        let value = given.unwrap_or(default);
        self.record(key, value.show(), origin);
        value
    }

    /// A value that may be absent; kept for the description if it is there.
    pub(in super::super) fn maybe<T: Show>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Item<'s>) -> Option<T>,
    ) -> Option<T> {
        let given = self.get(key).and_then(|item| read(&item))?;
        self.record(key, given.show(), Origin::Given);
        Some(given)
    }

    /// A value that must be there; kept for the description.
    pub(in super::super) fn required<T: Show>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Item<'s>) -> Option<T>,
    ) -> Option<T> {
        let given = self.need(key).and_then(|item| read(&item))?;
        self.record(key, given.show(), Origin::Given);
        Some(given)
    }

    /// A number with a default.
    pub(in super::super) fn count(&self, key: &'static str, default: usize, min: usize, max: usize) -> usize {
        self.or(key, default, |item| item.count(min, max))
    }

    /// `true` or `false`, with a default.
    pub(in super::super) fn flag(&self, key: &'static str, default: bool) -> bool {
        self.or(key, default, Item::flag)
    }

    /// A time of at least a millisecond, with a default in seconds.
    pub(in super::super) fn time(&self, key: &'static str, default_s: u64) -> Duration {
        self.or(key, Duration::from_secs(default_s), |item| {
            item.duration(Duration::from_millis(1), LONGEST)
        })
    }

    /// A time that may be none at all, with a default in seconds.
    pub(in super::super) fn time_or_zero(&self, key: &'static str, default_s: u64) -> Duration {
        self.or(key, Duration::from_secs(default_s), |item| {
            item.duration(Duration::ZERO, LONGEST)
        })
    }

    /// A time limit where 0 stands for none.
    pub(in super::super) fn limit(&self, key: &'static str, default_s: u64) -> Option<Duration> {
        let time = self.time_or_zero(key, default_s);
        (!time.is_zero()).then_some(time)
    }

    /// A table below this one; an absent one has all defaults.
    pub(in super::super) fn section(&self, key: &'static str) -> Section<'s> {
        self.get(key)
            .and_then(|item| item.section())
            .unwrap_or_else(|| Section::new(self.notes, self.source, self.path(key), None, self.offset))
    }

    /// The tables of an array of tables; empty if it is absent.
    pub(in super::super) fn sections(&self, key: &'static str) -> Vec<Section<'s>> {
        let Some(item) = self.get(key) else {
            return Vec::new();
        };
        // Only what stands at the top of a file is ever read in pieces.
        let before = match self.key.is_empty() {
            true => self.source.before.elements(key),
            false => 0,
        };
        item.elements_after(before)
            .iter()
            .filter_map(Item::section)
            .collect()
    }

    /// Every value of a table whose keys are names of the user's choice.
    pub(in super::super) fn named(&self, key: &'static str) -> Vec<(String, Item<'s>)> {
        let Some(item) = self.get(key) else {
            return Vec::new();
        };
        item.values().unwrap_or_default()
    }

    /// Whether a key is there.
    pub(in super::super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Whether no mistake has been noted so far about a key or anything below it.
    pub(in super::super) fn is_clean(&self, key: &str) -> bool {
        let path = self.path(key);
        let inside = |key: &str| {
            key.strip_prefix(&path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        !self
            .notes
            .mistakes
            .borrow()
            .iter()
            .any(|mistake| inside(&mistake.key))
    }

    /// Notes a mistake about a key, which may be absent.
    pub(in super::super) fn mistake(&self, key: &str, message: impl Into<String>) {
        let mistake = self.note(key, message.into());
        self.notes.mistakes.borrow_mut().push(mistake);
    }

    /// Notes a mistake that belongs to no one place of the file, under a whole key path.
    pub(in super::super) fn mistake_path(&self, path: &str, message: impl Into<String>) {
        self.notes.mistakes.borrow_mut().push(Mistake {
            key: path.to_owned(),
            ..Mistake::of_file(&self.source.path, message)
        });
    }

    /// Notes a warning about a key, which may be absent.
    pub(in super::super) fn warning(&self, key: &str, message: impl Into<String>) {
        let warning = self.note(key, message.into());
        self.notes.warnings.borrow_mut().push(warning);
    }

    /// Keeps a value for the description.
    pub(in super::super) fn record(&self, key: &str, value: String, origin: Origin) {
        self.record_path(&self.path(key), value, origin);
    }

    /// Keeps a value for the description, under a whole key path.
    pub(in super::super) fn record_path(&self, path: &str, value: String, origin: Origin) {
        self.notes.effective.borrow_mut().push(Effective {
            key: path.to_owned(),
            value,
            origin,
        });
    }

    fn note(&self, key: &str, message: String) -> Mistake {
        let own = self
            .table
            .and_then(|table| table.get(key))
            .map(|value| value.span().start);
        Mistake {
            file: self.source.path.clone(),
            line: own.or(self.offset).map(|offset| self.source.line(offset)),
            key: self.path(key),
            message,
        }
    }
}

impl<'s> Item<'s> {
    /// The values of a table whose keys are names of the user's choice.
    fn values(&self) -> Option<Vec<(String, Item<'s>)>> {
        // The section is only a reader of paths here: its keys are all asked for.
        let section = self.section()?;
        let table = section.table?;
        let values = table
            .iter()
            .map(|(name, value)| {
                let item = Item {
                    key: section.path(name.get_ref()),
                    value,
                    ..self.clone()
                };
                (name.get_ref().to_string(), item)
            })
            .collect();
        section.all_asked();
        Some(values)
    }
}

impl Section<'_> {
    fn all_asked(mut self) {
        self.table = None;
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let Some(table) = self.table else {
            return;
        };
        let mut asked = self.asked.take();
        asked.sort_unstable();
        asked.dedup();
        for key in table.keys() {
            let name: &str = key.get_ref();
            if asked.contains(&name) {
                continue;
            }
            let hint = suggest::nearest(name, asked.iter().copied()).map_or_else(
                || format!("known here: {}", asked.join(", ")),
                |near| format!("did you mean {near}?"),
            );
            let mut mistake = self.note(name, format!("unknown key; {hint}"));
            mistake.line = Some(self.source.line(key.span().start));
            self.notes.mistakes.borrow_mut().push(mistake);
        }
    }
}
