//! Texts that differ in their whole numbers alone share a verdict: applications and tools that write values into their
//! statements would otherwise have each of them read anew.
//!
//! No rule looks at the value of a number, so what is judged is the same. What is a number is told without the lexer, from
//! texts only in which nothing else can hold digits: without quotes, dollars, backslashes, comments and bytes beyond
//! ASCII.

use std::ops::Range;
use std::sync::Arc;

use crate::guard::verdict::script::{Lone, Script};

/// Longest text that is looked at. A longer one is worth being read.
const TEXT_BYTES: usize = 1024;

/// What a byte means for the bytes beside it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// White space, operators, punctuation: a number may stand beside it.
    Other,
    /// Belongs to the word or the number beside it.
    Word,
    Digit,
    /// May begin something in which digits are no numbers, or end it.
    Doubtful,
}

/// A text's shape.
#[derive(Debug, Default)]
pub(in crate::guard) struct ShapeReader {
    /// The text with a `0` in the place of each whole number.
    pub(in crate::guard) shape: Vec<u8>,
    /// The bytes of the text that are whole numbers.
    pub(in crate::guard) numbers: Vec<Range<usize>>,
}

impl ShapeReader {
    /// Reads a text. Says whether it has a shape that is not the text itself.
    pub(in crate::guard) fn read(&mut self, text: &[u8]) -> bool {
        self.shape.clear();
        self.numbers.clear();
        if text.len() > TEXT_BYTES {
            return false;
        }
        let mut at = 0;
        let mut written = 0;
        while let Some(kind) = kind_at(text, at) {
            let start = at;
            at += 1;
            match kind {
                Kind::Doubtful => return false,
                Kind::Other if matches!(text.get(start..=at), Some(b"--" | b"/*")) => return false,
                Kind::Other => {}
                // To the end of the word, or of a number that is not whole: its digits are no numbers.
                Kind::Word => {
                    while matches!(kind_at(text, at), Some(Kind::Word | Kind::Digit)) {
                        at += 1;
                    }
                }
                Kind::Digit => {
                    while kind_at(text, at) == Some(Kind::Digit) {
                        at += 1;
                    }
                    if matches!(kind_at(text, at), None | Some(Kind::Other)) {
                        self.shape
                            .extend_from_slice(text.get(written..start).unwrap_or_default());
                        self.shape.push(b'0');
                        self.numbers.push(start..at);
                        written = at;
                    }
                }
            }
        }
        self.shape
            .extend_from_slice(text.get(written..).unwrap_or_default());
        !self.numbers.is_empty()
    }
}

fn kind_at(text: &[u8], at: usize) -> Option<Kind> {
    /// Of every byte.
    #[expect(
        clippy::indexing_slicing,
        reason = "done by the compiler, which would refuse it"
    )]
    const KINDS: [Kind; 256] = {
        let mut kinds = [Kind::Doubtful; 256];
        let mut byte = 0;
        while byte < kinds.len() {
            kinds[byte] = kind_of(byte as u8);
            byte += 1;
        }
        kinds
    };
    KINDS.get(usize::from(*text.get(at)?)).copied()
}

const fn kind_of(byte: u8) -> Kind {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'.' => Kind::Word,
        b'0'..=b'9' => Kind::Digit,
        b'\t' | b'\n' | b'\r' | 0x0c | b' ' => Kind::Other,
        b',' | b'(' | b')' | b'[' | b']' | b';' | b':' => Kind::Other,
        b'=' | b'<' | b'>' | b'+' | b'-' | b'*' | b'/' | b'%' => Kind::Other,
        _ => Kind::Doubtful,
    }
}

/// The verdict on all texts of one shape: one query that is sent as it stands.
#[derive(Clone, Debug)]
pub(in crate::guard) struct Shape {
    /// What the verdict is on.
    pub(in crate::guard) lone: Lone,
    /// Bytes of white space ahead of the statement, and behind it, with `;`.
    pub(in crate::guard) ahead: usize,
    pub(in crate::guard) behind: usize,
    /// What they can be prepared as.
    pub(in crate::guard) template: Option<Arc<Script>>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guard::{Guard, Policy, RepeatedTexts, Settings};

    fn shape_of(text: &str) -> Option<String> {
        let mut reading = ShapeReader::default();
        reading
            .read(text.as_bytes())
            .then(|| String::from_utf8(reading.shape).unwrap())
    }

    #[test]
    fn whole_numbers_count_alike_wherever_they_stand() {
        for (text, shape) in [
            ("SELECT 1", "SELECT 0"),
            (
                "SELECT 12,345 FROM t2 WHERE a=-7 LIMIT 10;",
                "SELECT 0,0 FROM t2 WHERE a=-0 LIMIT 0;",
            ),
            ("SELECT a[3], (42)::int8", "SELECT a[0], (0)::int8"),
            ("SELECT 007", "SELECT 0"),
            // No whole numbers, left as they are.
            (
                "SELECT 1.5, 1e3, 0x1F, 1_000, .5, 5., t1.c2, 3",
                "SELECT 1.5, 1e3, 0x1F, 1_000, .5, 5., t1.c2, 0",
            ),
            ("SELECT 1..2, 8", "SELECT 1..2, 0"),
            ("SELECT 1a, 2", "SELECT 1a, 0"),
        ] {
            assert_eq!(shape_of(text).as_deref(), Some(shape), "{text}");
        }
    }

    #[test]
    fn what_may_hold_digits_that_are_no_numbers_has_no_shape() {
        for text in [
            "SELECT '1', 2",
            "SELECT \"1\", 2",
            "SELECT $1, 2",
            "SELECT $$ 1 $$, 2",
            "SELECT 1 -- 2",
            "SELECT 1 /* 2 */",
            "SELECT \\1, 2",
            "SELECT ä 1",
            "SELECT 1\0",
            "SELECT 1\x0b",
            "SELECT a",
            "",
        ] {
            assert_eq!(shape_of(text), None, "{text}");
        }
        assert_eq!(shape_of(&format!("SELECT {}1", " ".repeat(TEXT_BYTES))), None);
    }

    fn word() -> impl Strategy<Value = String> {
        let words = [
            "SELECT",
            "FROM",
            "WHERE",
            "t",
            "t2",
            "now()",
            "set_config",
            "pg_sleep(",
            ")",
            "(",
            ",",
            "=",
            "-",
            "+",
            ";",
            " ",
            "INSERT INTO t VALUES",
            "UPDATE t SET a =",
            "DELETE FROM t",
            "LIMIT",
            "BEGIN",
            "DROP",
            "::",
            "[",
            "]",
            "<",
            ">",
            "1.5",
            "1e2",
            "0x1f",
            "lastval()",
            "EXECUTE s",
            "FETCH",
            "ORDER BY",
            "\n",
            "/",
            "*",
            "AS",
            "INTO",
            "_",
            ".",
        ];
        prop_oneof![
            2 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
            1 => Just("#".to_owned()),
        ]
    }

    fn filled(words: &[String], separator: &str, numbers: &[u32]) -> String {
        let mut numbers = numbers.iter().cycle();
        let words = words.iter().map(|word| match word.as_str() {
            "#" => numbers.next().unwrap().to_string(),
            word => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(separator)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// What a guard has learnt from other texts of a shape is what one says that has learnt nothing.
        #[test]
        fn texts_of_one_shape_have_one_verdict(
            words in prop::collection::vec(word(), 1..12),
            separator in prop_oneof![Just(" "), Just("")],
            numbers in prop::collection::vec(any::<u32>(), 4),
            others in prop::collection::vec(any::<u32>(), 4),
        ) {
            let (text, other) = (filled(&words, separator, &numbers), filled(&words, separator, &others));
            let policy = Arc::new(Policy::end_user());
            let learned = Guard::new(Settings { repeated_texts: RepeatedTexts::Prepared, ..Settings::default() });
            for _ in 0..3 {
                let _ = learned.judge(&policy, other.as_bytes());
                let _ = learned.judge(&policy, filled(&words, separator, &[7, 8, 9]).as_bytes());
            }
            let fresh = Guard::new(Settings { cache_bytes: 0, ..Settings::default() });
            let told = |guard: &Guard| guard.judge(&policy, text.as_bytes()).map(|script| {
                let statements = script.statements().iter();
                let statements = statements.map(|one| (
                    one.sql().to_owned(), one.start(), one.class(), one.action().clone(),
                    [one.marks_connection(), one.only_sets().is_some(), one.reads_sequences()],
                ));
                (script.text().to_owned(), script.policy(), script.form(), statements.collect::<Vec<_>>())
            });
            prop_assert_eq!(told(&learned), told(&fresh));
        }
    }
}
