//! Claims as policies in the database read them.

use std::fmt;

use super::json::{self, Json, Number, Object};
use super::{AuthError, ClaimPath};

/// Most digits of a `numeric` before its decimal point, and behind it (PostgreSQL manual, 8.1).
const NUMERIC_DIGITS: (i64, i64) = (131_072, 16_383);

/// Claims that the database can hold, as text and as `jsonb`: a policy that casts the claims document does so for
/// every statement of the session, and fails for each if it cannot be read. A proof value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Object);

/// What the database cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstorable {
    /// The character U+0000, which no text of PostgreSQL can have (22P05), in a key or a string.
    Nul,
    /// A number beyond the range of `numeric` (22003), which `jsonb` keeps numbers as.
    Number,
}

impl Claims {
    /// Looks at every key and value.
    ///
    /// # Errors
    /// The first thing that the database cannot hold.
    pub fn new(claims: Object) -> Result<Self, Unstorable> {
        check_object(&claims)?;
        Ok(Self(claims))
    }

    /// The claims.
    pub fn object(&self) -> &Object {
        &self.0
    }

    /// The document as JSON, its `role` replaced.
    pub fn document(&self, role: &str) -> String {
        let role = Json::from(role);
        let claims = self.0.iter().map(|(key, value)| (key.as_str(), value));
        let others = claims.filter(|(key, _)| *key != "role");
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = json::write_object(&mut text, others.chain([("role", &role)]));
        text
    }

    /// Puts names at a path, several as an array; where something is there already, or in the way, that stands.
    /// Names with U+0000 are left out.
    pub(super) fn add(&mut self, path: &ClaimPath, names: &[&str]) {
        let names: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| !name.contains('\0'))
            .collect();
        if let (None, Some(value)) = (path.find(&self.0), json::one_or_several(&names)) {
            let _ = path.assign(&mut self.0, value);
        }
    }
}

impl fmt::Display for Unstorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nul => "the character U+0000",
            Self::Number => "a number that is out of range",
        })
    }
}

impl From<Unstorable> for AuthError {
    fn from(what: Unstorable) -> Self {
        Self::Unstorable(what)
    }
}

fn check_object(object: &Object) -> Result<(), Unstorable> {
    object.iter().try_for_each(|(key, value)| {
        check_text(key)?;
        check(value)
    })
}

fn check(value: &Json) -> Result<(), Unstorable> {
    match value {
        Json::Null | Json::Bool(_) => Ok(()),
        Json::Number(number) if is_numeric(number) => Ok(()),
        Json::Number(_) => Err(Unstorable::Number),
        Json::Text(text) => check_text(text),
        Json::Array(values) => values.iter().try_for_each(check),
        Json::Object(object) => check_object(object),
    }
}

fn check_text(text: &str) -> Result<(), Unstorable> {
    if text.contains('\0') {
        Err(Unstorable::Nul)
    } else {
        Ok(())
    }
}

/// Whether `numeric` holds a number: by how many digits it has around its point once the exponent has moved that
/// (`set_var_from_str` and `make_result`, numeric.c). Zeros that are left out when it is read count all the same.
fn is_numeric(number: &Number) -> bool {
    let text = number.as_str().trim_start_matches('-');
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let count = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX);
    // An exponent that is no i32 is beyond any range.
    let Ok(exponent) = exponent.parse::<i32>().map(i64::from) else {
        return false;
    };
    let (before, behind) = NUMERIC_DIGITS;
    count(whole).saturating_add(exponent) <= before && count(fraction).saturating_sub(exponent) <= behind
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::json::object;
    use super::*;

    fn claims(text: &str) -> Result<Claims, Unstorable> {
        match Json::parse(text) {
            Some(Json::Object(object)) => Claims::new(object),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_the_database_cannot_hold_is_found_wherever_it_is() {
        for text in [
            r#"{"sub":"a\u0000"}"#,
            r#"{"a\u0000b":1}"#,
            r#"{"x":[{"y":{"z":["ok","\u0000"]}}]}"#,
            r#"{"x":[{"\u0000":null}]}"#,
        ] {
            assert_eq!(claims(text), Err(Unstorable::Nul), "{text}");
        }
        for number in [
            "1e200000",
            "-1E131072",
            "1e-16384",
            "0e-16384",
            "1.5e-16383",
            "1e99999999999",
            "1e-99999999999",
        ] {
            for text in [
                format!("{{\"x\":{number}}}"),
                format!("{{\"x\":[{{\"y\":{number}}}]}}"),
            ] {
                assert_eq!(claims(&text), Err(Unstorable::Number), "{text}");
            }
        }
        for good in [
            r#"{}"#,
            r#"{"x":"\\u0000"}"#,
            r#"{"x":1e400}"#,
            r#"{"x":9e131071}"#,
            r#"{"x":1e-16383}"#,
        ] {
            assert!(claims(good).is_ok(), "{good}");
        }
        let long = "9".repeat(10_000);
        assert!(claims(&format!("{{\"x\":{long}}}")).is_ok());
    }

    #[test]
    fn the_document_has_one_role() {
        let claims = Claims::new(object(json!({"sub": "u", "role": ["a", "b"], "x": {"role": 1}}))).unwrap();
        assert_eq!(
            claims.document("a\""),
            r#"{"sub":"u","x":{"role":1},"role":"a\""}"#
        );
        assert_eq!(Claims::default().document("r"), r#"{"role":"r"}"#);
    }
}
