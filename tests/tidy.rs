//! The house rules that a compiler does not know: which way imports go, how long files and functions
//! grow, that every error code has a use. Run it alone with `cargo test --test tidy`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "tidy/source.rs"]
mod source;

use source::{Source, sources, words};

/// The layers, lowest first. A module may import modules of a lower rank; modules of the same rank never
/// import each other. `ARCHITECTURE.md` draws the same picture.
const RANKS: &[(&str, u32)] = &[
    ("base", 0),
    ("wire", 1),
    ("net", 2),
    ("auth", 3),
    ("server", 3),
    ("tenant", 4),
    ("guard", 5),
    ("identity", 5),
    ("pool", 5),
    ("session", 6),
    ("client", 7),
    ("observe", 8),
    ("admin", 9),
    ("config", 10),
    ("app", 11),
    ("harden", 11),
    ("dev", 12),
    ("cli", 13),
];

/// Lines of code (no comments, no blanks, no tests) a file may have.
const FILE_LINES: usize = 400;

/// Lines a function may have, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Files that are longer, reviewed, with the length they had then. They may shrink, not grow.
const LONG_FILES: &[(&str, usize)] = &[];

/// Functions that are longer, reviewed: file, name, length.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// Stops the test with every finding at once.
fn report(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

fn rank(module: &str) -> Option<u32> {
    RANKS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, rank)| *rank)
}

/// The arrows of one file that do not go down.
fn wrong_arrows(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(from) = module.first().copied() else {
        return Vec::new();
    };
    let Some(from_rank) = rank(from) else {
        return vec![format!("{}: module `{from}` has no rank", source.path)];
    };
    source
        .arrows()
        .into_iter()
        .filter(|(_, to)| to != from)
        // A name that is no module is an item of the crate's root; lib.rs has none but modules.
        .filter(|(_, to)| rank(to).is_none_or(|to_rank| to_rank >= from_rank))
        .map(|(line, to)| format!("{}:{line}: `{from}` must not import `{to}`", source.path))
        .collect()
}

#[test]
fn imports_go_down() {
    let files = sources();
    let findings = files
        .iter()
        .filter(|source| !matches!(source.path.as_str(), "src/lib.rs" | "src/main.rs"))
        .flat_map(wrong_arrows)
        .collect();
    report("an import goes up the layers (or sideways)", findings);
}

#[test]
fn every_layer_exists() {
    let files = sources();
    let lib = files.iter().find(|source| source.path == "src/lib.rs").unwrap();
    let declared: Vec<&str> = lib
        .code
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut findings: Vec<String> = declared
        .iter()
        .filter(|name| rank(name).is_none())
        .map(|name| format!("src/lib.rs: module `{name}` has no rank in tests/tidy.rs"))
        .collect();
    let gone = RANKS.iter().filter(|(name, _)| !declared.contains(name));
    findings.extend(
        gone.map(|(name, _)| format!("tests/tidy.rs ranks `{name}`, which src/lib.rs does not declare")),
    );
    report("modules and ranks differ", findings);
}

#[test]
fn every_file_says_what_it_is() {
    let findings = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}: does not begin with a `//! ` line", source.path))
        .collect();
    report("a file without its docstring", findings);
}

#[test]
fn files_stay_short() {
    let files = sources();
    let mut findings = Vec::new();
    for source in &files {
        let lines = source.code_lines();
        let reviewed = LONG_FILES.iter().find(|(path, _)| *path == source.path);
        let bound = reviewed.map_or(FILE_LINES, |(_, lines)| *lines);
        if lines > bound {
            findings.push(format!("{}: {lines} lines of code, at most {bound}", source.path));
        } else if reviewed.is_some() && lines < bound {
            findings.push(format!(
                "{}: now {lines} lines: lower its entry in LONG_FILES",
                source.path
            ));
        }
    }
    for (path, _) in LONG_FILES {
        if !files.iter().any(|source| source.path == *path) {
            findings.push(format!("{path}: gone: drop its entry in LONG_FILES"));
        }
    }
    report(
        "find the part with a name of its own and give it a file",
        findings,
    );
}

#[test]
fn functions_stay_short() {
    let mut findings = Vec::new();
    let mut used = 0;
    for source in &sources() {
        for function in source.functions() {
            let reviewed = LONG_FUNCTIONS
                .iter()
                .find(|(path, name, _)| *path == source.path && *name == function.name);
            used += usize::from(reviewed.is_some());
            let bound = reviewed.map_or(FUNCTION_LINES, |(_, _, lines)| *lines);
            let place = format!("{}:{}: {}", source.path, function.line, function.name);
            if function.lines > bound {
                findings.push(format!("{place}: {} lines, at most {bound}", function.lines));
            } else if reviewed.is_some() && function.lines < bound {
                findings.push(format!("{place}: now {} lines: lower its entry", function.lines));
            }
        }
    }
    if used != LONG_FUNCTIONS.len() {
        findings.push("LONG_FUNCTIONS names a function that is gone (or one that occurs twice)".to_owned());
    }
    report(
        "find the part with a name of its own and make it a function",
        findings,
    );
}

#[test]
fn every_sqlstate_has_a_use() {
    let files = sources();
    let declaring = "src/base/sqlstate.rs";
    let table = files.iter().find(|source| source.path == declaring).unwrap();
    // `NAME = b"12345";` lines; the literal is blanked in `code`.
    let names: Vec<&str> = table
        .code
        .lines()
        .filter_map(|line| line.trim().split_once(" = ").map(|(name, _)| name))
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert!(
        names.len() > 10,
        "the table of codes is not where it was: {names:?}"
    );
    let findings = names
        .iter()
        .filter(|name| {
            let elsewhere = files.iter().filter(|source| source.path != declaring);
            !elsewhere
                .flat_map(|source| words(&source.product))
                .any(|(_, word)| word == **name)
        })
        .map(|name| format!("SqlState::{name} is used nowhere"))
        .collect();
    report("an error code that nothing raises", findings);
}

#[test]
fn nothing_is_left_open() {
    let mut findings = Vec::new();
    for source in &sources() {
        for banned in [
            ".unwrap()",
            "todo!(",
            "unimplemented!(",
            "dbg!(",
            "#[allow(",
            "#![allow(",
        ] {
            for (at, _) in source.product.match_indices(banned) {
                let line = 1 + source.product[..at].matches('\n').count();
                findings.push(format!("{}:{line}: `{banned}`", source.path));
            }
        }
        for (at, _) in source.text.match_indices("#[expect(") {
            let attribute: String = source.text[at..].chars().take_while(|c| *c != ']').collect();
            if !attribute.contains("reason") && source.code[at..].starts_with("#[expect(") {
                let line = 1 + source.text[..at].matches('\n').count();
                findings.push(format!("{}:{line}: `#[expect]` without a reason", source.path));
            }
        }
    }
    report(
        "outside tests: an error to return, or an #[expect] with its reason",
        findings,
    );
}

mod the_reader {
    use super::{Source, wrong_arrows};

    fn guard(text: &str) -> Source {
        Source::new("src/guard/lexer.rs", text)
    }

    #[test]
    fn sees_arrows_that_go_up_or_sideways() {
        let up = [
            "use crate::session::Session;",
            "use crate::{base::Fault, pool};",
            "fn f() { crate::client::run() }",
            "use super::super::pool::Pool;",
            "use crate::\n    session;",
            "use crate::nothing::X;",
        ];
        for text in up {
            assert_eq!(wrong_arrows(&guard(text)).len(), 1, "{text}");
        }
        let down = [
            "use crate::base::Fault;",
            "use crate::guard::Policy;",
            "use crate::{base::{self, Fault}, tenant::Route};",
            "/// [`crate::session`]",
            "const X: &str = \"crate::session\";",
            "use super::token::Token;",
            "pub(crate) fn f() {}",
        ];
        for text in down {
            assert_eq!(wrong_arrows(&guard(text)), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn blanks_literals_and_comments_only() {
        let source =
            guard("let a = '\\''; let b = \"{ // \"; /* { /* */ */ fn f<'a>(x: &'a str) { r#\"}\"# }");
        assert_eq!(source.functions().len(), 1);
        assert_eq!(source.functions()[0].lines, 1);
        assert!(source.code.contains("&'a str"));
        assert!(!source.code.contains("//"));
    }

    #[test]
    fn cuts_tests_out() {
        let source = guard(
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { x.unwrap() }\n}\n#[cfg(test)]\nmod c;\nfn d() {}\n",
        );
        let names: Vec<String> = source.functions().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["a", "d"]);
        assert_eq!(source.code_lines(), 2);
    }

    #[test]
    fn measures_functions() {
        let source = guard("trait T { fn a(&self); }\nfn b() -> [u8; 2] {\n  if x {\n  }\n}\n");
        let functions = source.functions();
        assert_eq!(functions.len(), 1);
        assert_eq!(
            (functions[0].name.as_str(), functions[0].line, functions[0].lines),
            ("b", 2, 4)
        );
    }
}
