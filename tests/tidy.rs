//! The house rules that a compiler does not know: which way imports go, how long files and functions
//! grow, that every error code has a use. Run it alone with `cargo test --test tidy`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "tidy/doors.rs"]
mod doors;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/source.rs"]
mod source;

use rooms::Layer;
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

/// The layers that are ordered inside as well.
const ORDERED: &[Layer] = &[Layer {
    name: "guard",
    rooms: &[
        ("limits", 0),
        ("text", 1),
        ("reading", 2),
        ("policy", 3),
        ("verdict", 4),
        ("rules", 5),
        ("cache", 6),
        ("tokens", 7),
        ("learn", 7),
    ],
}];

/// Modules that decide and do not wait: they know no runtime.
const WITHOUT_RUNTIME: &[&str] = &["src/wire/", "src/guard/", "src/identity/", "src/pool/accounting/"];

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
fn rooms_of_a_layer_have_ranks() {
    let files = sources();
    let findings = ORDERED
        .iter()
        .flat_map(|layer| [layer.unknown_rooms(&files), layer.wrong_arrows(&files)].concat())
        .collect();
    report("an import goes up inside a layer (or sideways)", findings);
}

#[test]
fn files_of_a_layer_make_no_loop() {
    let files = sources();
    let findings = ORDERED.iter().flat_map(|layer| layer.loops(&files)).collect();
    report(
        "files import each other in a loop: move what they share to a file of its own",
        findings,
    );
}

#[test]
fn what_decides_knows_no_runtime() {
    let files = sources();
    let mut findings = Vec::new();
    for folder in WITHOUT_RUNTIME {
        let inside = files.iter().filter(|source| source.path.starts_with(folder));
        let inside: Vec<&Source> = inside.collect();
        assert!(!inside.is_empty(), "{folder} is gone");
        for source in inside {
            findings.extend(
                words(&source.code)
                    .filter(|(_, word)| *word == "tokio")
                    .map(|(at, _)| {
                        format!("{}:{}", source.path, 1 + source.code[..at].matches('\n').count())
                    }),
            );
        }
    }
    report("a module that decides uses tokio", findings);
}

#[test]
fn sessions_tell_whose_they_are() {
    let files = sources();
    let teller = "src/session/teller.rs";
    assert!(
        files.iter().any(|source| source.path == teller),
        "{teller} is gone"
    );
    let others = files
        .iter()
        .filter(|source| source.path.starts_with("src/session") && source.path != teller);
    let mut findings = Vec::new();
    for source in others {
        let emits = words(&source.code).filter(|(_, word)| matches!(*word, "emit" | "emit_of"));
        findings.extend(
            emits.map(|(at, _)| format!("{}:{}", source.path, 1 + source.code[..at].matches('\n').count())),
        );
    }
    report("an event leaves the session without its teller", findings);
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
    use super::rooms::Layer;
    use super::{Source, wrong_arrows};

    const LAYER: Layer = Layer {
        name: "guard",
        rooms: &[("text", 1), ("rules", 2), ("tokens", 2)],
    };

    /// Files of a layer, each with its text.
    fn layer(files: &[(&str, &str)]) -> Vec<Source> {
        let source = |(path, text): &(&str, &str)| Source::new(&format!("src/guard/{path}.rs"), text);
        files.iter().map(source).collect()
    }

    #[test]
    fn sees_arrows_inside_a_layer() {
        for (path, text) in [
            ("text/lexer", "use crate::guard::rules::judge;"),
            ("text/lexer", "use super::super::rules::{judge as j};"),
            ("text/lexer", "fn f() { crate::guard::rules::judge::f() }"),
            (
                "text/lexer",
                "use crate::guard::{text::split, rules::judge as j};",
            ),
            ("text/lexer", "use crate::guard::Policy;"),
            ("text/lexer", "use super::super::Policy;"),
            ("rules/judge", "use crate::guard::tokens::tokens;"),
        ] {
            let others = [
                ("mod", ""),
                ("text/split", ""),
                ("rules/mod", ""),
                ("rules/judge", ""),
                ("tokens", ""),
            ];
            let mut files = layer(&others);
            files.retain(|source| source.path != format!("src/guard/{path}.rs"));
            files.extend(layer(&[(path, text)]));
            assert_eq!(LAYER.wrong_arrows(&files).len(), 1, "{text}");
        }
        let down = layer(&[
            (
                "mod",
                "mod rules; mod text; use rules::judge; pub use text::split::f;",
            ),
            ("text/mod", "pub(in crate::guard) mod split;"),
            (
                "text/split",
                "#[cfg(test)]\nmod tests { use crate::guard::rules::judge; }",
            ),
            (
                "rules/judge",
                "use crate::guard::text::split; use super::prepare::f; use crate::base::Fault;",
            ),
            ("rules/prepare", ""),
        ]);
        assert_eq!(LAYER.wrong_arrows(&down), Vec::<String>::new());
        assert_eq!(LAYER.loops(&down), Vec::<String>::new());
        assert_eq!(
            LAYER.unknown_rooms(&down),
            ["`guard/tokens` has a rank and is gone"]
        );
        let unknown = layer(&[("text", "x"), ("rules", "x"), ("tokens", "x"), ("attic/box", "x")]);
        assert_eq!(LAYER.unknown_rooms(&unknown), ["`guard/attic` has no rank"]);
    }

    #[test]
    fn sees_loops_of_files() {
        for (a, b) in [
            ("use super::split::f;", "use super::lexer::g;"),
            ("use super::split::f;", "fn f() { super::lexer::g() }"),
            // By way of what the room passes on.
            ("use super::f;", ""),
            // A file and one in its folder.
            ("mod split; use split::f;", ""),
        ] {
            let mut files = layer(&[
                (
                    "text/mod",
                    "mod lexer; mod split; pub use split::f; pub use lexer::g;",
                ),
                ("text/lexer", a),
                ("text/split", b),
            ]);
            if a.starts_with("mod ") {
                files = layer(&[("text/lexer", a), ("text/lexer/split", "use super::g;")]);
            }
            assert_eq!(LAYER.loops(&files).len(), 1, "{a} {b}");
        }
    }

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

/// A text reaches a server cleared and with its warrant, or not at all.
#[test]
fn no_other_way_to_the_server_compiles() {
    assert_eq!(doors::found(), doors::wanted());
}
