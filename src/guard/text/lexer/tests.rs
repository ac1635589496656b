//! Each rule of scan.l by example, and what must hold for any text.

use proptest::prelude::*;

use super::*;

/// Kind and decoded text of every token, or the error.
fn read(text: &str) -> Result<Vec<(TokenKind, String)>, &'static str> {
    let tokens = lex(text, &Limits::default()).map_err(|error| error.message)?;
    let decoded = |token: &Token| match (token.name(text), string_value(text, token)) {
        (Some(name), _) => name.to_owned(),
        (None, Some(value)) => value.into_owned(),
        (None, None) => token.source(text).to_owned(),
    };
    Ok(tokens.iter().map(|token| (token.kind, decoded(token))).collect())
}

fn texts(text: &str) -> Vec<String> {
    read(text).unwrap().into_iter().map(|(_, text)| text).collect()
}

fn only(text: &str) -> (TokenKind, String) {
    let mut all = read(text).unwrap();
    assert_eq!(all.len(), 1, "{text} gave {all:?}");
    all.pop().unwrap()
}

fn error(text: &str) -> &'static str {
    read(text).expect_err(text)
}

#[test]
fn words_fold_in_ascii_alone_and_are_cut_to_63_bytes() {
    assert_eq!(
        texts("SELECT ÀB $1 a$$ _x9"),
        ["select", "Àb", "$1", "a$$", "_x9"]
    );
    let long = "a".repeat(62) + "éx";
    assert_eq!(only(&long).1, "a".repeat(62));
    assert_eq!(only(&format!("\"{long}\"")).1, "a".repeat(62));
    assert_eq!(only(&format!("{}b", "A".repeat(63))).1, "a".repeat(63));
}

#[test]
fn unicode_spaces_are_letters() {
    assert_eq!(
        texts("a\u{a0}b c\u{3000}d e\u{200b}"),
        ["a\u{a0}b", "c\u{3000}d", "e\u{200b}"]
    );
    assert_eq!(texts("a\u{b}b\u{c}c\td\re"), ["a", "b", "c", "d", "e"]);
}

#[test]
fn quoted_identifiers_keep_case_and_double_quotes() {
    assert_eq!(only(r#""A""b c""#), (TokenKind::Quoted, "A\"b c".into()));
    assert_eq!(error(r#""""#), "zero-length delimited identifier");
    assert_eq!(error(r#""abc"#), "unterminated quoted identifier");
}

#[test]
fn unicode_identifiers_and_strings_are_decoded() {
    assert_eq!(
        only(r#"U&"set\005fconfig""#),
        (TokenKind::Quoted, "set_config".into())
    );
    assert_eq!(
        only(
            r#"u&"d!0061t!+000061" /* c */ UESCAPE -- d
        '!'"#
        ),
        (TokenKind::Quoted, "data".into())
    );
    assert_eq!(only(r"U&'\0041\\''' uescape '\'").1, "A\\'");
    assert_eq!(only(r"U&'\D83D\DE00'").1, "😀");
    assert_eq!(only(r"U&'d#0061' UESCAPE $$#$$").1, "da");
    assert_eq!(texts("U & \"a\""), ["u", "&", "a"]);
    assert_eq!(texts("U&a"), ["u", "&", "a"]);
    assert_eq!(error(r"U&'\00'"), "invalid Unicode escape");
    assert_eq!(error(r"U&'\D83D'"), "invalid Unicode surrogate pair");
    assert_eq!(error(r"U&'\DE00'"), "invalid Unicode escape value");
    assert_eq!(error(r"U&'\0000'"), "invalid Unicode escape value");
    assert_eq!(error(r"U&'a' UESCAPE 'a'"), "invalid Unicode escape character");
    assert_eq!(
        error(r"U&'a' UESCAPE x"),
        "UESCAPE must be followed by a simple string literal"
    );
}

#[test]
fn standard_strings_know_no_backslash() {
    assert_eq!(only(r"'a\'"), (TokenKind::Str(Quote::Standard), r"a\".into()));
    assert_eq!(only("'it''s'").1, "it's");
    assert_eq!(texts("'a' 'b'"), ["a", "b"]);
    assert_eq!(only("'a'\n'b'").1, "ab");
    assert_eq!(only("'a' -- x'\r -- y\n 'b'").1, "ab");
    assert_eq!(texts("'a' /* \n */ 'b'"), ["a", "b"]);
    assert_eq!(texts("'a' - \n 'b'"), ["a", "-", "b"]);
    assert_eq!(error("'a"), "unterminated quoted string");
    assert_eq!(error("'a'\n'"), "unterminated quoted string");
}

#[test]
fn escape_strings_keep_their_rules_over_line_breaks() {
    assert_eq!(
        only(r"E'a\'b\\\n\x41\101\u0042'"),
        (TokenKind::Str(Quote::Escape), "a'b\\\nAAB".into())
    );
    assert_eq!(only("e'a'\n'\\'; COMMIT; -- '").1, "a'; COMMIT; -- ");
    assert_eq!(only(r"E'\uD83D\uDE00'").1, "😀");
    assert_eq!(only("E'\\é'").1, "é");
    assert_eq!(only(r"E'\xff'").1, "\u{fffd}");
    assert_eq!(error(r"E'\'"), "unterminated quoted string");
    assert_eq!(error(r"E'\"), "unterminated quoted string");
    assert_eq!(error(r"E'\u004'"), "invalid Unicode escape");
    assert_eq!(error(r"E'\uD83Dx'"), "invalid Unicode surrogate pair");
    assert_eq!(error(r"E'\uDE00'"), "invalid Unicode surrogate pair");
    assert_eq!(error(r"E'\u0000'"), "invalid Unicode escape value");
}

#[test]
fn bit_strings_have_neither_escapes_nor_doubled_quotes() {
    assert_eq!(only("B'01'").0, TokenKind::Bits);
    assert_eq!(only("x'1F'\n'2'").0, TokenKind::Hex);
    assert_eq!(texts(r"x'\'; COMMIT"), [r"x'\'", ";", "commit"]);
    assert_eq!(texts("b'1''0'"), ["b'1'", "0"]);
    assert_eq!(texts("N'a'"), ["nchar", "a"]);
}

#[test]
fn dollar_quotes_end_at_their_own_tag() {
    assert_eq!(only("$$a'b$$"), (TokenKind::Str(Quote::Dollar), "a'b".into()));
    assert_eq!(only("$é$ $$ $e$ $é$").1, " $$ $e$ ");
    assert_eq!(only("$a$x$b$a$").1, "x$b");
    assert_eq!(only("$a$$$a$").1, "$");
    assert_eq!(texts("a$$ $$b$$"), ["a$$", "b"]);
    assert_eq!(texts("$1 $2"), ["$1", "$2"]);
    assert_eq!(texts("$a b"), ["$", "a", "b"]);
    assert_eq!(error("$a$ $A$"), "unterminated dollar-quoted string");
    assert_eq!(error("$1a"), "trailing junk after parameter");
}

#[test]
fn comments_nest_and_line_comments_end_at_either_line_break() {
    assert_eq!(texts("a /* /* b */ c */ d"), ["a", "d"]);
    assert_eq!(texts("a -- b\rc"), ["a", "c"]);
    assert_eq!(texts("a -- b\nc -- d"), ["a", "c"]);
    assert_eq!(texts("a /*/ b */ c"), ["a", "c"]);
    assert_eq!(texts("a /*+***/ c"), ["a", "c"]);
    assert_eq!(error("/* /* */"), "unterminated /* comment");
    assert_eq!(
        error(&("/*".repeat(65) + &"*/".repeat(65))),
        "comments nest too deeply"
    );
    assert!(read(&("/*".repeat(64) + &"*/".repeat(64))).unwrap().is_empty());
}

#[test]
fn operators_are_cut_at_comments_and_trailing_signs() {
    for (text, wanted) in [
        ("a+/* */b", vec!["a", "+", "b"]),
        ("a=-1", vec!["a", "=", "-", "1"]),
        ("a<=-1", vec!["a", "<=", "-", "1"]),
        ("a?-b", vec!["a", "?-", "b"]),
        ("a@--b", vec!["a", "@"]),
        ("a*-+-b", vec!["a", "*", "-", "+", "-", "b"]),
        ("a||/b", vec!["a", "||/", "b"]),
        ("a::b:=c..d", vec!["a", "::", "b", ":=", "c", "..", "d"]),
        ("a:::b", vec!["a", "::", ":", "b"]),
        ("a=>b!=c<>d", vec!["a", "=>", "b", "!=", "c", "<>", "d"]),
        ("a~!@#%^&|`?b", vec!["a", "~!@#%^&|`?", "b"]),
        ("{}\\", vec!["{", "}", "\\"]),
    ] {
        assert_eq!(texts(text), wanted, "{text}");
    }
    assert_eq!(only("-").0, TokenKind::Punct(b'-'));
    assert_eq!(only("|").0, TokenKind::Operator);
    assert_eq!(error(&"@".repeat(64)), "operator too long");
}

#[test]
fn numbers_of_every_form() {
    use TokenKind::{Float, Integer};
    for (text, kind) in [
        ("1", Integer),
        ("1_000", Integer),
        ("0x1F_ff", Integer),
        ("0O17", Integer),
        ("0b_1_0", Integer),
        ("1.", Float),
        (".5", Float),
        ("1.5e-3", Float),
        ("1e10", Float),
        ("1_0.5_5e1_0", Float),
    ] {
        assert_eq!(only(text).0, kind, "{text}");
    }
    assert_eq!(texts("1..10"), ["1", "..", "10"]);
    assert_eq!(texts("1.5.3"), ["1.5", ".3"]);
    assert_eq!(texts("a.1"), ["a", ".1"]);
    for text in [
        "1a", "1.a", "1_", "1__0", "1e", "1e+", "0x1g", "0b12", "1.5e3x", "1é",
    ] {
        assert_eq!(error(text), "trailing junk after numeric literal", "{text}");
    }
    assert_eq!(error("0x"), "invalid hexadecimal integer");
    assert_eq!(error("0o8"), "invalid octal integer");
    assert_eq!(error("0b2"), "invalid binary integer");
}

#[test]
fn what_would_cost_the_server_quadratic_time_is_refused() {
    let message = "too many operators or comments without a space between them";
    assert_eq!(error(&format!("select 1 {}", "/**/".repeat(50_000))), message);
    assert_eq!(error(&format!("select 1 {} 1", "+".repeat(200_000))), message);
    assert_eq!(error(&format!("select {}", "/**/+".repeat(50_000))), message);
    assert!(read(&"/* a */ ".repeat(50_000)).unwrap().is_empty());
    assert!(read(&format!("/{}/", "*".repeat(100_000))).unwrap().is_empty());
    assert_eq!(read(&"- ".repeat(50_000)).unwrap().len(), 50_000);
}

#[test]
fn errors_say_where() {
    let at = |text: &str| lex(text, &Limits::default()).unwrap_err().at;
    assert_eq!(at("select 'é' || 'x"), 15);
    assert_eq!(at("select \"\""), 7);
    assert_eq!(at("a /* b"), 2);
}

#[test]
fn the_number_of_tokens_is_bounded() {
    let limits = Limits {
        tokens: 3,
        ..Limits::default()
    };
    assert!(lex("a b c", &limits).is_ok());
    assert_eq!(
        lex("a b c d", &limits).unwrap_err().kind,
        LexErrorKind::TooManyTokens
    );
}

/// Text made of the pieces that matter to a lexer.
fn sql_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("$".to_owned()),
        Just("$a$".to_owned()),
        Just("$$".to_owned()),
        Just("E'".to_owned()),
        Just("U&'".to_owned()),
        Just("U&\"".to_owned()),
        Just("x'".to_owned()),
        Just("N'".to_owned()),
        Just("/*".to_owned()),
        Just("*/".to_owned()),
        Just("--".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just(" ".to_owned()),
        Just("UESCAPE".to_owned()),
        Just("'!'".to_owned()),
        Just("\\u0041".to_owned()),
        Just("\\D83D".to_owned()),
        Just("é".to_owned()),
        Just("\u{3000}".to_owned()),
        Just(";".to_owned()),
        Just("0x".to_owned()),
        Just("1e".to_owned()),
        "[a-z0-9_.+=<>@|()-]{1,4}",
        ".{0,3}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().replace('\0', ""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Tokens are in order and apart, and what lies between them is white space and comments alone.
    #[test]
    fn tokens_partition_the_text(text in sql_like()) {
        let Ok(tokens) = lex(&text, &Limits::default()) else { return Ok(()) };
        let mut end = 0;
        for token in &tokens {
            let range = token.range();
            prop_assert!(end <= range.start && range.start < range.end, "{range:?} in {text:?}");
            let gap = &text[end..range.start];
            prop_assert!(lex(gap, &Limits::default()).is_ok_and(|tokens| tokens.is_empty()), "gap {gap:?}");
            end = range.end;
        }
        prop_assert!(lex(&text[end..], &Limits::default()).is_ok_and(|tokens| tokens.is_empty()));
    }

    /// Each token read by itself is the same token: nothing depends on what stood before.
    #[test]
    fn tokens_stand_alone(text in sql_like()) {
        let Ok(tokens) = lex(&text, &Limits::default()) else { return Ok(()) };
        for token in &tokens {
            let source = token.source(&text);
            if token.name(&text) == Some("nchar") {
                continue;
            }
            let again = lex(source, &Limits::default()).unwrap();
            prop_assert_eq!(again.len(), 1);
            prop_assert_eq!(again[0].kind, token.kind);
            prop_assert_eq!(again[0].name(source), token.name(&text));
            prop_assert_eq!(string_value(source, &again[0]), string_value(&text, token));
        }
    }

    #[test]
    fn any_text_is_lexed_or_refused(text in any::<String>()) {
        let text = text.replace('\0', "");
        if let Err(error) = lex(&text, &Limits::default()) {
            prop_assert!(error.at <= text.len());
        }
    }
}
