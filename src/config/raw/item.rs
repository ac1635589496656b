//! One value of a TOML file, at its key path.

use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::super::{Mistake, duration};
use super::{Notes, Section, Source};
use crate::auth::json::{Json, Number};

/// One value with its place. Reading it as a wrong type notes a mistake and gives `None`.
#[derive(Clone)]
pub(in super::super) struct Item<'s> {
    pub(super) notes: &'s Notes,
    pub(super) source: &'s Source,
    pub(super) key: String,
    pub(super) value: &'s Spanned<DeValue<'s>>,
}

impl<'s> Item<'s> {
    /// The path of its key.
    pub(in super::super) fn key(&self) -> &str {
        &self.key
    }

    /// Where mistakes are noted.
    pub(in super::super) fn notes(&self) -> &'s Notes {
        self.notes
    }

    /// Notes a mistake of another file, which this value names.
    pub(in super::super) fn note_mistake(&self, mistake: Mistake) {
        self.notes.mistakes.borrow_mut().push(mistake);
    }

    /// Notes a mistake about it.
    pub(in super::super) fn mistake(&self, message: impl Into<String>) {
        self.notes.mistakes.borrow_mut().push(self.note(message.into()));
    }

    /// A string that is not empty and holds no control characters.
    pub(in super::super) fn text(&self) -> Option<String> {
        let text = self.any_text()?;
        if text.is_empty() {
            self.mistake("must not be empty");
            return None;
        }
        if text.chars().any(char::is_control) {
            self.mistake("must not contain control characters");
            return None;
        }
        Some(text)
    }

    /// Any string.
    pub(in super::super) fn any_text(&self) -> Option<String> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => self.wrong_type("a string", other),
        }
    }

    /// A string that is one of a few.
    pub(in super::super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.mistake(format!("must be {}, not {text:?}", words.join(" or ")));
        }
        found.map(|(_, choice)| *choice)
    }

    /// `true` or `false`.
    pub(in super::super) fn flag(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => self.wrong_type("true or false", other),
        }
    }

    /// A whole number from `min` to `max`.
    pub(in super::super) fn count(&self, min: usize, max: usize) -> Option<usize> {
        let DeValue::Integer(digits) = self.value.get_ref() else {
            return self.wrong_type("a whole number", self.value.get_ref());
        };
        let number = i128::from_str_radix(digits.as_str(), digits.radix()).ok();
        let fits = number
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| (min..=max).contains(number));
        if fits.is_none() {
            self.mistake(format!("must be from {min} to {max}"));
        }
        fits
    }

    /// A time from `min` to `max`: seconds as a number, or a string with a unit.
    pub(in super::super) fn duration(&self, min: Duration, max: Duration) -> Option<Duration> {
        let read = match self.value.get_ref() {
            DeValue::String(text) => duration::parse(text),
            DeValue::Float(float) => float.as_str().parse().ok().and_then(duration::from_seconds),
            DeValue::Integer(digits) if digits.radix() == 10 => {
                digits.as_str().parse().ok().and_then(duration::from_seconds)
            }
            _ => None,
        };
        let fits = read.filter(|time| (min..=max).contains(time));
        if fits.is_none() {
            self.mistake(format!(
                "must be a time from {} to {}: seconds as a number, or text such as \"500ms\", \"15s\", \"5m\", \"1h\"",
                duration::show(min),
                duration::show(max)
            ));
        }
        fits
    }

    /// A path, resolved against the file's folder.
    pub(in super::super) fn path(&self) -> Option<PathBuf> {
        Some(self.source.resolve(&self.text()?))
    }

    /// A table.
    pub(in super::super) fn section(&self) -> Option<Section<'s>> {
        match self.value.get_ref() {
            DeValue::Table(table) => Some(Section::new(
                self.notes,
                self.source,
                self.key.clone(),
                Some(table),
                Some(self.value.span().start),
            )),
            other => self.wrong_type("a table", other),
        }
    }

    /// The value of a key, if it is a table that has it. Nothing is noted, and the key still has to be asked for.
    pub(in super::super) fn child(&self, key: &str) -> Option<Item<'s>> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return None;
        };
        table.get(key).map(|value| Item {
            key: format!("{}.{key}", self.key),
            value,
            ..self.clone()
        })
    }

    /// The value as JSON; dates and times have no place in it.
    pub(in super::super) fn json(&self) -> Option<Json> {
        let json = json(self.value.get_ref());
        if json.is_none() {
            self.mistake("must hold what JSON can: texts, numbers, true, false, arrays and tables");
        }
        json
    }

    /// Whether it is a table.
    pub(in super::super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// Whether it is a table that holds tables and nothing else.
    pub(in super::super) fn holds_only_tables(&self) -> bool {
        match self.value.get_ref() {
            DeValue::Table(table) => {
                !table.is_empty() && table.values().all(|value| value.get_ref().is_table())
            }
            _ => false,
        }
    }

    /// The elements of an array; anything else stands for an array of itself.
    pub(in super::super) fn elements(&self) -> Vec<Item<'s>> {
        self.elements_after(0)
    }

    /// The elements of an array of which `before` elements are elsewhere.
    pub(super) fn elements_after(&self, before: usize) -> Vec<Item<'s>> {
        match self.value.get_ref() {
            DeValue::Array(array) => array
                .iter()
                .enumerate()
                .map(|(index, value)| Item {
                    key: format!("{}[{}]", self.key, before + index),
                    value,
                    ..self.clone()
                })
                .collect(),
            _ => vec![self.clone()],
        }
    }

    /// The strings of an array, or the one string; those that are none are noted and left out.
    pub(in super::super) fn texts(&self) -> Vec<String> {
        self.elements().iter().filter_map(Item::text).collect()
    }

    fn note(&self, message: String) -> Mistake {
        Mistake {
            file: self.source.path.clone(),
            line: Some(self.source.line(self.value.span().start)),
            key: self.key.clone(),
            message,
        }
    }

    fn wrong_type<T>(&self, wanted: &str, got: &DeValue<'_>) -> Option<T> {
        let got = match got {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.mistake(format!("must be {wanted}, not {got}"));
        None
    }
}

fn json(value: &DeValue<'_>) -> Option<Json> {
    Some(match value {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(digits) if digits.radix() != 10 => {
            Json::from(u64::from_str_radix(digits.as_str(), digits.radix()).ok()?)
        }
        // To the letter: it may say who somebody is. `inf` and `nan` are no JSON.
        DeValue::Integer(digits) => number(digits.as_str())?,
        DeValue::Float(digits) => number(digits.as_str())?,
        DeValue::Boolean(flag) => Json::Bool(*flag),
        DeValue::Datetime(_) => return None,
        DeValue::Array(array) => Json::Array(
            array
                .iter()
                .map(|value| json(value.get_ref()))
                .collect::<Option<_>>()?,
        ),
        DeValue::Table(table) => {
            let entries = table
                .iter()
                .map(|(key, value)| Some((key.get_ref().to_string(), json(value.get_ref())?)));
            Json::Object(entries.collect::<Option<_>>()?)
        }
    })
}

/// A number of TOML, which may begin with a plus sign.
fn number(text: &str) -> Option<Json> {
    Number::parse(text.strip_prefix('+').unwrap_or(text)).map(Json::Number)
}
