//! Where in the claims a value is: a small part of JSONPath (RFC 9535), names and indexes only.

mod cursor;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::json::{Json, Object};
use cursor::{Cursor, is_bare};

/// Longest path in bytes. Namespaced claims are URLs, so a few hundred bytes are real.
const PATH_BYTES: usize = 1024;

/// Most steps in a path: far more than any claims document nests.
const PATH_STEPS: usize = 32;

/// A path to one claim: `sub`, `$.app_metadata.role`, `$['https://example.com/claims'].role`, `roles[0]`.
///
/// A bare name is made of letters, digits, `_`, `-` and `:`; any other name is written in brackets and
/// quotes, where `\` escapes a quote or another `\`. Indexes count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

/// Why a text is no claim path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClaimPathError {
    /// Nothing but `$`, or nothing at all.
    #[error("a claim path needs the name of a claim, e.g. sub or $.app_metadata.role")]
    Empty,
    /// The path begins with an index, but the claims are an object.
    #[error("a claim path begins with a name, not with an index")]
    IndexFirst,
    /// A character that stands for nothing here; the offset is in bytes.
    #[error("unexpected {found:?} at byte {offset}; write unusual names as $['name']")]
    Unexpected {
        /// The character.
        found: char,
        /// Where it is.
        offset: usize,
    },
    /// The text stops in the middle of a step.
    #[error("the path ends too early; a `.` is followed by a name and a `[` is closed by a `]`")]
    EndsEarly,
    /// An index too large to count with.
    #[error("an index is out of range")]
    IndexOutOfRange,
    /// Longer, or of more steps, than any real claim.
    #[error("the path is longer than {PATH_BYTES} bytes or {PATH_STEPS} steps")]
    TooLong,
    /// Assigning through something that is neither an object nor absent.
    #[error("the path leads through a value that is no object")]
    NotAnObject,
}

impl ClaimPath {
    /// The path to a claim at the top of the document, whatever characters its name has.
    pub fn named(claim: impl Into<String>) -> Self {
        Self(vec![Step::Name(claim.into())])
    }

    /// Parses a path. Errors name the byte at fault.
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        if text.len() > PATH_BYTES {
            return Err(ClaimPathError::TooLong);
        }
        let mut cursor = Cursor::new(text);
        let mut steps = Vec::new();
        let rooted = cursor.take('$');
        if cursor.peek().is_none() {
            return Err(ClaimPathError::Empty);
        }
        if !rooted && cursor.peek() != Some('[') {
            steps.push(Step::Name(cursor.bare_name()?));
        }
        while let Some(found) = cursor.peek() {
            let step = match found {
                '.' => {
                    cursor.advance(found);
                    Step::Name(cursor.bare_name()?)
                }
                '[' => {
                    cursor.advance(found);
                    cursor.bracketed()?
                }
                _ => return Err(cursor.unexpected(found)),
            };
            steps.push(step);
            if steps.len() > PATH_STEPS {
                return Err(ClaimPathError::TooLong);
            }
        }
        match steps.first() {
            Some(Step::Name(_)) => Ok(Self(steps)),
            Some(Step::Index(_)) => Err(ClaimPathError::IndexFirst),
            None => Err(ClaimPathError::Empty),
        }
    }

    /// The value at this path, if it is there. A JSON `null` is a value.
    pub fn find<'a>(&self, claims: &'a Object) -> Option<&'a Json> {
        let (Step::Name(first), rest) = self.0.split_first()? else {
            return None;
        };
        rest.iter()
            .try_fold(claims.get(first)?, |value, step| match (step, value) {
                (Step::Name(name), Json::Object(object)) => object.get(name),
                (Step::Index(index), Json::Array(values)) => values.get(*index),
                _ => None,
            })
    }

    /// Puts a value at this path and makes the objects on the way; for signing development tokens.
    ///
    /// # Errors
    /// [`ClaimPathError::NotAnObject`] if the path has an index or something else is in the way.
    pub fn assign(&self, claims: &mut Object, value: Json) -> Result<(), ClaimPathError> {
        let names: Option<Vec<&String>> = self
            .0
            .iter()
            .map(|step| match step {
                Step::Name(name) => Some(name),
                Step::Index(_) => None,
            })
            .collect();
        let names = names.ok_or(ClaimPathError::NotAnObject)?;
        let (last, way) = names.split_last().ok_or(ClaimPathError::Empty)?;
        let mut object = claims;
        for name in way {
            let value = object
                .entry((*name).clone())
                .or_insert_with(|| Json::Object(Object::new()));
            let Json::Object(next) = value else {
                return Err(ClaimPathError::NotAnObject);
            };
            object = next;
        }
        object.insert((*last).clone(), value);
        Ok(())
    }
}

impl FromStr for ClaimPath {
    type Err = ClaimPathError;

    fn from_str(text: &str) -> Result<Self, ClaimPathError> {
        Self::parse(text)
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.0 {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Name(name) if !name.is_empty() && name.chars().all(is_bare) => write!(f, ".{name}")?,
                Step::Name(name) => {
                    let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
                    write!(f, "['{escaped}']")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::json::object;
    use super::*;

    #[test]
    fn finds_what_the_path_names() {
        let claims = object(json!({
            "sub": "u1",
            "app_metadata": {"role": "member"},
            "https://example.com/x": {"role": "deep"},
            "cognito:groups": ["a", "b"],
            "it's": 1, "": 2, "a.b": 3, "zilch": null,
        }));
        for (path, expected) in [
            ("sub", Some(json!("u1"))),
            ("$.sub", Some(json!("u1"))),
            ("$['sub']", Some(json!("u1"))),
            ("['sub']", Some(json!("u1"))),
            ("app_metadata.role", Some(json!("member"))),
            ("$.app_metadata[\"role\"]", Some(json!("member"))),
            ("$['https://example.com/x'].role", Some(json!("deep"))),
            ("cognito:groups[1]", Some(json!("b"))),
            ("cognito:groups[2]", None),
            ("cognito:groups.a", None),
            ("sub[0]", None),
            ("sub.x", None),
            ("$['it\\'s']", Some(json!(1))),
            ("$['']", Some(json!(2))),
            ("$['a.b']", Some(json!(3))),
            ("a.b", None),
            ("zilch", Some(Value::Null)),
        ] {
            let parsed = ClaimPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(parsed.find(&claims), expected.map(Json::from).as_ref(), "{path}");
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        use ClaimPathError::*;
        for (path, expected) in [
            ("", Empty),
            ("$", Empty),
            ("$.", EndsEarly),
            ("a.", EndsEarly),
            ("a[", EndsEarly),
            ("a[0", EndsEarly),
            ("a['b", EndsEarly),
            ("a['b\\", EndsEarly),
            ("$[0]", IndexFirst),
            ("a[99999999999999999999]", IndexOutOfRange),
            (
                "$sub",
                Unexpected {
                    found: 's',
                    offset: 1,
                },
            ),
            (
                "a..b",
                Unexpected {
                    found: '.',
                    offset: 2,
                },
            ),
            (
                "a[-1]",
                Unexpected {
                    found: '-',
                    offset: 2,
                },
            ),
            (
                "a[*]",
                Unexpected {
                    found: '*',
                    offset: 2,
                },
            ),
            (
                "a['b'x]",
                Unexpected {
                    found: 'x',
                    offset: 5,
                },
            ),
            (
                "a['\\n']",
                Unexpected {
                    found: 'n',
                    offset: 4,
                },
            ),
            (
                "https://example.com/role",
                Unexpected {
                    found: '/',
                    offset: 6,
                },
            ),
            (
                "a b",
                Unexpected {
                    found: ' ',
                    offset: 1,
                },
            ),
        ] {
            assert_eq!(ClaimPath::parse(path), Err(expected), "{path}");
        }
        assert_eq!(ClaimPath::parse(&"a".repeat(PATH_BYTES + 1)), Err(TooLong));
        assert_eq!(
            ClaimPath::parse(&format!("a{}", "[0]".repeat(PATH_STEPS))),
            Err(TooLong)
        );
        assert!(ClaimPath::parse(&format!("a{}", "[0]".repeat(PATH_STEPS - 1))).is_ok());
    }

    #[test]
    fn assigns_through_objects_and_nothing_else() {
        let mut claims = object(json!({"a": {"x": 1}, "s": "text"}));
        let assign = |claims: &mut _, path| ClaimPath::parse(path).unwrap().assign(claims, json!(7).into());
        assert_eq!(assign(&mut claims, "a.b.c"), Ok(()));
        assert_eq!(assign(&mut claims, "new"), Ok(()));
        assert_eq!(assign(&mut claims, "s.t"), Err(ClaimPathError::NotAnObject));
        assert_eq!(assign(&mut claims, "a[0]"), Err(ClaimPathError::NotAnObject));
        assert_eq!(assign(&mut claims, "l[0].x"), Err(ClaimPathError::NotAnObject));
        assert_eq!(
            claims,
            object(json!({"a": {"x": 1, "b": {"c": 7}}, "s": "text", "new": 7}))
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}|[$.\\[\\]'\"\\\\a0]{0,20}") {
            let _ = ClaimPath::parse(&text);
        }

        #[test]
        fn what_is_printed_reads_back(
            first in ".{0,8}",
            rest in proptest::collection::vec(prop_oneof![
                ".{0,8}".prop_map(Step::Name),
                "[$.\\[\\]'\"\\\\a]{0,6}".prop_map(Step::Name),
                any::<usize>().prop_map(Step::Index),
            ], 0..5),
        ) {
            let mut steps = vec![Step::Name(first)];
            steps.extend(rest);
            let path = ClaimPath(steps);
            prop_assert_eq!(ClaimPath::parse(&path.to_string()), Ok(path));
        }

        #[test]
        fn what_was_assigned_is_found(names in proptest::collection::vec(".{0,8}", 1..5)) {
            let path = ClaimPath(names.into_iter().map(Step::Name).collect());
            let mut claims = Object::new();
            path.assign(&mut claims, Json::from("here")).unwrap();
            prop_assert_eq!(path.find(&claims), Some(&Json::from("here")));
        }
    }
}
