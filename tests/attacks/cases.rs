//! The table of statements, `cases.txt`.

/// One attack by a statement.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Whether it has an effect where nobody judges it.
    pub(crate) works: bool,
}

/// A file that no attack may bring about.
pub(crate) fn forbidden_file() -> String {
    let folder = std::env::temp_dir();
    format!("{}/portcullis-attack-{}", folder.display(), std::process::id())
}

/// Every case in the order of the file.
pub(crate) fn cases() -> Vec<Case> {
    let lines = include_str!("cases.txt").lines();
    lines
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (name, text) = line
                .split_once(" :: ")
                .unwrap_or_else(|| panic!("no `::` in: {line}"));
            let text = text
                .replace('⏎', "\n")
                .replace('␍', "\r")
                .replace('⇥', "\t")
                .replace('␌', "\u{c}")
                .replace('␋', "\u{b}")
                .replace("PATH", &forbidden_file());
            Case {
                name: name.trim_start_matches("! ").to_owned(),
                text,
                works: name.starts_with('!'),
            }
        })
        .collect()
}
