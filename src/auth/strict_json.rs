//! JSON objects of which every reader makes the same thing.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The words of serde_json's error when a key is there twice; see [`Unreadable::DuplicateKey`].
const DUPLICATE: &str = "duplicate key";

/// Why a document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Not JSON, not UTF-8, nested deeper than 128 levels, or followed by something else.
    NotJson,
    /// JSON, but no object.
    NotAnObject,
    /// An object, at whatever depth, holds a key twice. Readers differ on which one counts, so what was
    /// checked might not be what a policy in the database reads (RFC 7519, 4; RFC 8725, 2.4).
    DuplicateKey,
}

/// Reads one JSON object.
///
/// Not `serde_json::Value`'s own reader: that one keeps the last of two equal keys, and gives the key
/// `$serde_json::private::RawValue` a meaning of its own.
pub(super) fn parse_object(text: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    match serde_json::from_slice::<Strict>(text) {
        Ok(Strict(Value::Object(map))) => Ok(map),
        Ok(_) => Err(Unreadable::NotAnObject),
        Err(error) if error.to_string().starts_with(DUPLICATE) => Err(Unreadable::DuplicateKey),
        Err(_) => Err(Unreadable::NotJson),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictValue.deserialize(deserializer).map(Self)
    }
}

struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(StrictValue)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(StrictValue)?;
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"role":"a","role":"b"}"#,
            r#"{"role":"a","role":"a"}"#,
            r#"{"role":"a","r\u006fle":"b"}"#,
            r#"{"x":{"y":[{"z":1,"z":2}]}}"#,
        ] {
            assert_eq!(
                parse_object(text.as_bytes()),
                Err(Unreadable::DuplicateKey),
                "{text}"
            );
        }
        assert!(parse_object(br#"{"a":{"x":1},"b":{"x":1}}"#).is_ok());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["[]", "1", "\"x\"", "null"] {
            assert_eq!(
                parse_object(text.as_bytes()),
                Err(Unreadable::NotAnObject),
                "{text}"
            );
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        for text in [
            "",
            "{",
            "{}{}",
            "{} x",
            "{\"a\":1e999}",
            "{\"a\":01}",
            "{'a':1}",
            deep.as_str(),
        ] {
            assert_eq!(
                parse_object(text.as_bytes()),
                Err(Unreadable::NotJson),
                "{text:.40}"
            );
        }
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}"), Err(Unreadable::NotJson));
    }

    #[test]
    fn no_key_has_a_meaning_of_its_own() {
        let text = r#"{"role":{"$serde_json::private::RawValue":"\"admin\""}}"#;
        let map = parse_object(text.as_bytes()).unwrap();
        assert!(map.get("role").unwrap().is_object());
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(keys in proptest::collection::btree_set(".{0,6}", 0..6), n in any::<i64>(), f in -1e9f64..1e9, s in ".{0,9}") {
            let mut map = Map::new();
            for key in keys {
                map.insert(key, json!([n, f, s, null, true, {"deep": {"er": [s]}}]));
            }
            let text = serde_json::to_vec(&map).unwrap();
            prop_assert_eq!(parse_object(&text), Ok(serde_json::from_slice(&text).unwrap()));
        }
    }
}
