//! JSON that keeps what it was written as: a number is its own text, so that two numbers are never taken for one.
//!
//! `serde_json::Value` holds what is no 64-bit integer as a float: `110169484474386276334` and `…335` would be the
//! same user. Its feature `arbitrary_precision` would mend that for every crate at once, and give the key
//! `$serde_json::private::Number` in a token a meaning of its own.

mod read;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

pub(super) use read::{Unreadable, parse_object};

/// An object; keys in the order of their bytes, each once.
pub type Object = BTreeMap<String, Json>;

/// A JSON value (RFC 8259).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it was written.
    Number(Number),
    /// A string, escapes read.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// The text of a JSON number (RFC 8259, 6): `1`, `1.0` and `1e0` differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(Box<str>);

impl Json {
    /// Reads one value; `None` if the text is not JSON, nests deeper than 128 levels, or has an object that holds a
    /// key twice.
    pub fn parse(text: &str) -> Option<Self> {
        read::parse(text.as_bytes()).ok()
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The string, or the number as it was written.
    pub fn as_name(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number.as_str()),
            _ => None,
        }
    }
}

impl Number {
    /// The number, if the whole text is one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_whole = read::number_length(text.as_bytes()) == Some(text.len());
        is_whole.then(|| Self(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest float; infinite if it is out of range.
    pub fn as_f64(&self) -> f64 {
        // Every JSON number is a float to Rust.
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Whether it is written as a whole number: digits, and nothing but a minus sign that means something.
    pub fn is_integer(&self) -> bool {
        let digits = self.0.strip_prefix('-').unwrap_or(&self.0);
        digits.bytes().all(|byte| byte.is_ascii_digit()) && &*self.0 != "-0"
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(Number(number.to_string().into()))
    }
}

/// One text, or an array of several; `None` for none.
pub fn one_or_several<T: AsRef<str>>(texts: &[T]) -> Option<Json> {
    match texts {
        [] => None,
        [one] => Some(Json::from(one.as_ref())),
        several => Some(Json::Array(
            several.iter().map(|text| Json::from(text.as_ref())).collect(),
        )),
    }
}

impl fmt::Display for Json {
    /// JSON without white space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => f.write_str(number.as_str()),
            Self::Text(text) => write_text(f, text),
            Self::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    f.write_char(if index == 0 { '[' } else { ',' })?;
                    value.fmt(f)?;
                }
                f.write_str(if values.is_empty() { "[]" } else { "]" })
            }
            Self::Object(object) => write_object(f, object.iter().map(|(key, value)| (key.as_str(), value))),
        }
    }
}

/// Writes an object of these entries.
pub(super) fn write_object<'a, W: fmt::Write>(
    out: &mut W,
    entries: impl Iterator<Item = (&'a str, &'a Json)>,
) -> fmt::Result {
    out.write_char('{')?;
    for (index, (key, value)) in entries.enumerate() {
        if index > 0 {
            out.write_char(',')?;
        }
        write_text(out, key)?;
        write!(out, ":{value}")?;
    }
    out.write_char('}')
}

fn write_text<W: fmt::Write>(out: &mut W, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(out, "\\{character}")?,
            '\0'..='\u{1f}' => write!(out, "\\u{:04x}", u32::from(character))?,
            other => out.write_char(other)?,
        }
    }
    out.write_char('"')
}

#[cfg(test)]
impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Self::parse(&value.to_string()).unwrap()
    }
}

#[cfg(test)]
impl PartialEq<serde_json::Value> for Json {
    fn eq(&self, other: &serde_json::Value) -> bool {
        let other = Self::from(other.clone());
        *self == other
    }
}

/// The object that a test writes with `json!`.
#[cfg(test)]
pub(crate) fn object(value: serde_json::Value) -> Object {
    match Json::from(value) {
        Json::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json_without_white_space() {
        let text = " {\"b\" : [ 1.50 , -0, 1E400 ,[],{} ],\n\"a\":\"\\u0061\\n\\\"\\\\\\u0000\u{e9}\\ud83d\\ude00\", \"c\":[null,true,false]} ";
        assert_eq!(
            Json::parse(text).unwrap().to_string(),
            "{\"a\":\"a\\u000a\\\"\\\\\\u0000\u{e9}\u{1f600}\",\"b\":[1.50,-0,1E400,[],{}],\"c\":[null,true,false]}"
        );
    }

    #[test]
    fn whole_numbers_are_told_by_how_they_are_written() {
        for (text, is_integer) in [
            ("0", true),
            ("42", true),
            ("-1", true),
            ("110169484474386276334", true),
            ("-0", false),
            ("42.0", false),
            ("4.2e1", false),
            ("42E0", false),
        ] {
            assert_eq!(Number::parse(text).unwrap().is_integer(), is_integer, "{text}");
        }
        for text in [
            "", "-", "01", "+1", "1.", ".5", "1e", "0x1", "NaN", "1 ", " 1", "1_0",
        ] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }
}
