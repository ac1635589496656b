//! Texts made of the pieces that lexers disagree about.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator of numbers (xorshift64*): the same seed gives the same texts on every machine.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// Seeds that are always tried, and one of the day.
pub(crate) fn seeds() -> Vec<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    vec![
        1,
        20_250_925,
        0xdead_beef,
        u64::from(now.subsec_nanos()) << 20 | now.as_secs(),
    ]
}

/// Character strings, with and without their traps.
pub(crate) const STRINGS: &[&str] = &[
    "''",
    "'a'",
    "'it''s'",
    "'\\'",
    "'a\\'",
    "';'",
    "'--'",
    "'/*'",
    "'$$'",
    "'\"'",
    "'a'\n'b'",
    "'a' \t\r '''b'",
    "'a'-- c'\n'b'",
    "'a' --\r'b'",
    "'a'\x0b\n'b'",
    "'a'\n--\n-- ;\n'b'",
    "E'a'",
    "E'\\''",
    "e'\\\\'",
    "E'a'\n'\\''",
    "E'a'\r'\\';'",
    "E'a' -- x\n '\\\\'",
    "E'\\x41\\101\\u0041\\U00000041'",
    "E'\\ud83d\\ude00'",
    "E'\\n\\t\\b\\f\\r\\v\\q'",
    "E'\\\n'",
    "E'''\\''''",
    "U&'\\0061'",
    "u&'\\+000061'",
    "U&'!0061' UESCAPE '!'",
    "U&'\\\\'",
    "U&'a'\n'\\0062'",
    "U&'\\d83d\\de00'",
    "U&'a''b' /* c */ UESCAPE /* d */ '*'",
    "$$a$$",
    "$$'$$",
    "$$;$$",
    "$a$ $$ $b$ $a$",
    "$ü$x$ü$",
    "$a1$--$a1$",
    "$_$/*$_$",
    "$$\\$$",
    "N'x'",
    "'\u{a0}'",
    "'ü\u{3000}'",
    "'\u{feff}'",
];

/// Names.
pub(crate) const NAMES: &[&str] = &[
    "a",
    "A",
    "Ab_1$",
    "_x",
    "ü",
    "Ü",
    "a$$b",
    "\"a\"",
    "\"A b\"",
    "\"a\"\"b\"",
    "\";\"",
    "\"--\"",
    "\"/*\"",
    "\"'\"",
    "U&\"\\0061\"",
    "u&\"!0041\" UESCAPE '!'",
    "U&\"a\"\"b\"",
    "\u{a0}",
    "\u{3000}x",
    "\u{200b}",
    "\u{feff}a",
    "\"select\"",
    "\"U&\"",
    "e",
    "u",
    "b1",
    "x1",
    "n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\"üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü\"",
];

/// Numbers, parameters and bit strings.
const NUMBERS: &[&str] = &[
    "1",
    "0",
    "1.",
    ".5",
    "1.5e3",
    "1e-5",
    "1E+5",
    "1_000",
    "1__0",
    "1_",
    "0x1F",
    "0X_f",
    "0b101",
    "0o17",
    "0x",
    "1..2",
    "1e",
    "1a",
    "1.e",
    "$1",
    "$1a",
    "$01",
    "B'01'",
    "b'0'\n'1'",
    "X'1f'",
    "x'\\'",
    "B''",
    "1e5e",
    "0b12",
    "123456789012345678901234567890",
];

/// Operators, and signs that are cut by comments.
const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "||", "+-", "-+", "@-", "@@", "<=", ">=", "<>", "!=", "::text", "->", "->>", "#>",
    "?", "?|", "&&", "|/", "!!", "~", "!~~*", "<->", "+/**/", "-/* */-", "*--\n", "=", "=-", "<-", "@--\n",
    "%", "^", "&", "|", "#", "`", "..", ":", ":=", "=>", "[1]", ".a", ".*",
];

/// White space, comments, and what only looks so.
const SPACE: &[&str] = &[
    " ",
    " ",
    " ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "/**/",
    "/* ; */",
    "/* ' */",
    "/* -- */",
    "/* /* */ */",
    "/*/**/*/",
    "-- x\n",
    "-- ;\n",
    "--'\r",
    "--\r\n",
    "--/*\n",
    "/* $$ */",
    "/*\n*/",
    "/***/",
    "/*/ */",
    "\u{a0}",
    "\u{feff}",
    "\u{2028}",
    "",
];

/// Words of the grammar, and what ends statements.
const WORDS: &[&str] = &[
    "SELECT",
    "select",
    "FROM",
    "WHERE",
    "AS",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "IS",
    "IN",
    "(",
    ")",
    ",",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "UNION",
    "ALL",
    "VALUES",
    "WITH",
    "LIMIT",
    "UESCAPE",
    "OPERATOR(pg_catalog.+)",
    "COLLATE",
    "CAST(",
    "ARRAY[",
    "]",
    ";",
    ";",
    "; COMMIT",
    "; SELECT 2",
    "COMMIT",
    "BEGIN ATOMIC",
    "$",
    "{",
    "\\",
    "'",
    "\"",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
];

/// Any pieces in any order.
pub(crate) fn soup(chance: &mut Chance) -> String {
    let mut text = String::from("SELECT ");
    for _ in 0..1 + chance.below(9) {
        let list = [STRINGS, NAMES, NUMBERS, OPERATORS, SPACE, SPACE, WORDS][chance.below(7)];
        text.push_str(chance.of(list));
    }
    text
}

/// Statements that mostly run, spelt in unusual ways.
pub(crate) fn spelt(chance: &mut Chance) -> String {
    const TEMPLATES: &[&str] = &[
        "SELECT %S AS %N",
        "SELECT %S , %S AS %N WHERE 1 = 1",
        "SELECT length ( %S ) + 1",
        "SELECT * FROM ( VALUES ( %S ) , ( %S ) ) AS %N",
        "WITH %N AS ( SELECT %S AS a ) SELECT * FROM %N",
        "INSERT INTO agreement VALUES ( 1 , %S )",
        "INSERT INTO agreement ( a , b ) SELECT 1 , %S RETURNING b AS %N",
        "UPDATE agreement SET b = %S WHERE a = 1",
        "DELETE FROM agreement WHERE b = %S",
        "WITH x AS ( DELETE FROM agreement RETURNING b ) SELECT * FROM x WHERE b <> %S",
        "SELECT %S INTO agreement_new",
        "SELECT 1 AS %N INTO TEMP agreement_new",
        "WITH x AS ( SELECT %S ) SELECT * INTO agreement_new FROM x",
        "CREATE TABLE agreement_new AS SELECT %S AS %N",
        "EXPLAIN ANALYZE CREATE TABLE agreement_new AS SELECT %S AS a",
        "EXPLAIN SELECT %S",
        "DO %S",
        "SELECT set_config ( 'role' , 'pg_monitor' , true ) , %S",
        "SELECT U&\"set\\005fconfig\" ( 'role' , 'pg_monitor' , false )",
        "SELECT g.ts_stat FROM unnest ( ARRAY [ %S ] ) AS g",
        "SET ROLE pg_monitor -- %N",
        "SET application_name = %S",
        "SELECT ( 1::bigint ) . pg_advisory_xact_lock , %S",
        "TABLE agreement",
        "LOCK agreement",
        "TRUNCATE agreement",
        "COMMENT ON TABLE agreement IS %S",
        "DECLARE %N CURSOR FOR SELECT %S",
        "MERGE INTO agreement t USING ( SELECT %S AS b ) u ON t.b = u.b WHEN MATCHED THEN DELETE",
    ];
    let mut text = String::new();
    for word in chance.of(TEMPLATES).split(' ') {
        match word {
            "%S" => text.push_str(chance.of(STRINGS)),
            "%N" => text.push_str(chance.of(NAMES)),
            word if chance.below(8) == 0 => text.push_str(&word.to_lowercase()),
            word => text.push_str(word),
        }
        text.push_str(if chance.below(3) == 0 {
            chance.of(SPACE)
        } else {
            " "
        });
    }
    if chance.below(6) == 0 {
        text.push_str(chance.of(&[";", "; COMMIT", "/* ; */", "-- ; COMMIT", ";;", "; --"]));
    }
    text
}
