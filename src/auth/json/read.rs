//! Reading JSON of which every reader makes the same thing (RFC 8259).

use super::{Json, Number, Object};

/// How deep arrays and objects may nest: as deep as `serde_json` reads, and far deeper than any token.
const DEPTH: usize = 128;

/// Why a document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::auth) enum Unreadable {
    /// Not JSON, not UTF-8, half a surrogate pair in a string, nested deeper than 128 levels, or followed by something
    /// else.
    NotJson,
    /// JSON, but no object.
    NotAnObject,
    /// An object, at whatever depth, holds a key twice. Readers differ on which one counts, so what was
    /// checked might not be what a policy in the database reads (RFC 7519, 4; RFC 8725, 2.4).
    DuplicateKey,
}

/// Reads one object.
pub(in crate::auth) fn parse_object(text: &[u8]) -> Result<Object, Unreadable> {
    match parse(text)? {
        Json::Object(object) => Ok(object),
        _ => Err(Unreadable::NotAnObject),
    }
}

/// Reads one value.
pub(super) fn parse(text: &[u8]) -> Result<Json, Unreadable> {
    let text = std::str::from_utf8(text).map_err(|_| Unreadable::NotJson)?;
    let mut reader = Reader { rest: text };
    let value = reader.value(DEPTH)?;
    reader.skip_white_space();
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(Unreadable::NotJson)
    }
}

/// The bytes of the number that `text` begins with.
pub(super) fn number_length(text: &[u8]) -> Option<usize> {
    let byte = |at: usize| text.get(at).copied();
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(byte(0) == Some(b'-'));
    at += match (byte(at), digits(at)) {
        (_, 0) => return None,
        // A zero stands alone; what follows it makes the text no number.
        (Some(b'0'), _) => 1,
        (_, count) => count,
    };
    if byte(at) == Some(b'.') {
        at += match digits(at + 1) {
            0 => return None,
            count => 1 + count,
        };
    }
    if matches!(byte(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(byte(at + 1), Some(b'+' | b'-')));
        at += match digits(at + 1 + sign) {
            0 => return None,
            count => 1 + sign + count,
        };
    }
    Some(at)
}

/// What is still to be read.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_white_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Skips white space, and this text if it follows.
    fn take(&mut self, wanted: &str) -> bool {
        self.skip_white_space();
        let after = self.rest.strip_prefix(wanted);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Unreadable> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(Unreadable::NotJson)
        }
    }

    /// Any value, in which arrays and objects may nest so deep.
    fn value(&mut self, depth: usize) -> Result<Json, Unreadable> {
        if self.take("\"") {
            return self.text().map(Json::Text);
        }
        if self.take("[") {
            return self.array(depth.checked_sub(1).ok_or(Unreadable::NotJson)?);
        }
        if self.take("{") {
            return self.object(depth.checked_sub(1).ok_or(Unreadable::NotJson)?);
        }
        for (word, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
        ] {
            if self.take(word) {
                return Ok(value);
            }
        }
        let length = number_length(self.rest.as_bytes()).ok_or(Unreadable::NotJson)?;
        let (number, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(Json::Number(Number(number.into())))
    }

    fn array(&mut self, depth: usize) -> Result<Json, Unreadable> {
        let mut values = Vec::new();
        if self.take("]") {
            return Ok(Json::Array(values));
        }
        loop {
            values.push(self.value(depth)?);
            if self.take("]") {
                return Ok(Json::Array(values));
            }
            self.expect(",")?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, Unreadable> {
        let mut object = Object::new();
        if self.take("}") {
            return Ok(Json::Object(object));
        }
        loop {
            self.expect("\"")?;
            let key = self.text()?;
            self.expect(":")?;
            let value = self.value(depth)?;
            // Equal once escapes are read: `"\u0061"` is `"a"`.
            if object.insert(key, value).is_some() {
                return Err(Unreadable::DuplicateKey);
            }
            if self.take("}") {
                return Ok(Json::Object(object));
            }
            self.expect(",")?;
        }
    }

    /// A string, behind its first quote.
    fn text(&mut self) -> Result<String, Unreadable> {
        let mut text = String::new();
        loop {
            let end = self
                .rest
                .find(|c: char| matches!(c, '"' | '\\' | '\0'..='\u{1f}'))
                .ok_or(Unreadable::NotJson)?;
            let (plain, rest) = self.rest.split_at(end);
            text.push_str(plain);
            if let Some(rest) = rest.strip_prefix('"') {
                self.rest = rest;
                return Ok(text);
            }
            // Control characters are written as escapes (RFC 8259, 7).
            self.rest = rest.strip_prefix('\\').ok_or(Unreadable::NotJson)?;
            text.push(self.escape()?);
        }
    }

    /// What an escape stands for, behind its `\`.
    fn escape(&mut self) -> Result<char, Unreadable> {
        let mut characters = self.rest.chars();
        let named = characters.next().ok_or(Unreadable::NotJson)?;
        self.rest = characters.as_str();
        Ok(match named {
            '"' | '\\' | '/' => named,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            _ => return Err(Unreadable::NotJson),
        })
    }

    /// The character of `\uXXXX`, or of the pair of surrogates that begins there.
    fn unicode(&mut self) -> Result<char, Unreadable> {
        let first = self.four_digits()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        // Half a pair stands for nothing, here as in the database.
        let after = self.rest.strip_prefix("\\u").ok_or(Unreadable::NotJson)?;
        self.rest = after;
        let second = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
            return Err(Unreadable::NotJson);
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(Unreadable::NotJson)
    }

    fn four_digits(&mut self) -> Result<u32, Unreadable> {
        let (digits, rest) = self.rest.split_at_checked(4).ok_or(Unreadable::NotJson)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Unreadable::NotJson);
        }
        self.rest = rest;
        u32::from_str_radix(digits, 16).map_err(|_| Unreadable::NotJson)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::object;
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"role":"a","role":"b"}"#,
            r#"{"role":"a","role":"a"}"#,
            r#"{"role":"a","r\u006fle":"b"}"#,
            r#"{"x":{"y":[{"z":1,"z":2}]}}"#,
            r#"{"\ud83d\ude00":1,"😀":2}"#,
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
        for text in [
            "",
            "{",
            "{}{}",
            "{} x",
            "\u{feff}{}",
            "{\u{a0}}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":1e}",
            "{\"a\":NaN}",
            "{\"a\":1_0}",
            "{\"a\":0x1}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\"}",
            "{\"a\":[1,]}",
            "{\"a\":[,1]}",
            "{\"a\":tru}",
            "{\"a\":True}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\0\"}",
            "{\"a\":\"\\x41\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\\u+123\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\udc00\"}",
            "{\"a\":\"\\ud800\\u0061\"}",
            "{\"a\":\"\\ud800x\"}",
            "{\"a\":\"\\udc00\\ud800\"}",
            "{\"\\ud800\":1}",
            "{\"a\":\"x}",
            "// c\n{}",
        ] {
            assert_eq!(
                parse_object(text.as_bytes()),
                Err(Unreadable::NotJson),
                "{text:.40}"
            );
        }
        for bytes in [
            &b"{\"a\":\"\xff\"}"[..],
            b"{\"a\":\"\xed\xa0\x80\"}",
            b"{\"a\":\"\xc0\x80\"}",
        ] {
            assert_eq!(parse_object(bytes), Err(Unreadable::NotJson));
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(DEPTH).as_bytes()).is_ok());
        for depth in [DEPTH + 1, 1_000_000] {
            assert_eq!(parse(nested(depth).as_bytes()), Err(Unreadable::NotJson));
            assert_eq!(
                parse("{\"a\":".repeat(depth).as_bytes()),
                Err(Unreadable::NotJson)
            );
        }
    }

    #[test]
    fn no_key_has_a_meaning_of_its_own() {
        for key in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
            let text = format!("{{\"role\":{{\"{key}\":\"1\"}}}}");
            let read = parse_object(text.as_bytes()).unwrap();
            assert!(matches!(read.get("role"), Some(Json::Object(_))));
        }
    }

    /// Numbers as the grammar has them.
    const NUMBER: &str = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";

    /// JSON with white space and escapes in it, and things that are nearly JSON.
    const DOCUMENT: &str = "[ \\t\\n]?(\\{\"(a|\\\\u0061|\\\\n|b)\" ?: ?(-?[0-9]{1,3}(\\.[0-9])?(e[+-]?[0-9])?|\"(\\\\[a-z\"/]|\\\\ud83d\\\\ude00|\\\\u[0-9a-e]{4}|[ -~])?\"|\\[(1|\\{\\}|,){0,3}\\]|true|null)[ ,]?(\"c\":0)?\\}|[\\[\\]{}\":,0-9]{0,6})";

    proptest! {
        #[test]
        fn a_number_is_its_own_text(text in NUMBER) {
            let read = parse_object(format!("{{\"sub\": {text} }}").as_bytes()).unwrap();
            prop_assert_eq!(read.get("sub").unwrap().to_string(), text);
        }

        #[test]
        fn reads_what_serde_json_reads(text in DOCUMENT) {
            let known: Result<Value, _> = serde_json::from_str(&text);
            match (parse(text.as_bytes()), known) {
                (Ok(read), Ok(known)) => prop_assert_eq!(serde_json::from_str::<Value>(&read.to_string()).unwrap(), known),
                (Err(Unreadable::DuplicateKey), Ok(_)) | (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{text}: {ours:?}, {theirs:?}"),
            }
        }

        #[test]
        fn what_is_written_reads_back(keys in proptest::collection::btree_set(".{0,6}", 0..6), n in any::<i64>(), s in any::<String>()) {
            let mut map = serde_json::Map::new();
            for key in keys {
                map.insert(key, serde_json::json!([n, s, null, true, {"deep": {"er": [s]}}]));
            }
            let read = object(Value::Object(map));
            prop_assert_eq!(parse_object(Json::Object(read.clone()).to_string().as_bytes()), Ok(read));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "\\PC{0,40}") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
        }
    }
}
