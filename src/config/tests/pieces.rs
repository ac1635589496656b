//! A tenants file is read in pieces: nobody must be able to tell.

use std::fmt::Write as _;

use super::*;

/// What comes of a tenants file: tenants, patterns and databases, or every mistake.
fn loaded(tenants: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("tenants.toml", tenants);
    let text = SMALL.replace(
        "[[tenants.tenant]]\nname = \"acme\"",
        "[tenants]\nfile = \"tenants.toml\"",
    );
    let path = folder.path().join("portcullis.toml");
    match Config::parse(text, &path, environment) {
        Ok(config) => {
            let mut places: Vec<String> = config.tenants.tenants.iter().map(|t| format!("{t:?}")).collect();
            places.sort_unstable();
            let mut databases: Vec<String> = config
                .tenants
                .databases
                .iter()
                .map(|d| format!("{d:?}"))
                .collect();
            databases.sort_unstable();
            format!("{places:#?}\n{databases:#?}\n{:#?}", config.tenants.patterns)
        }
        Err(error) => error.to_string().replace(&*folder.path().to_string_lossy(), ""),
    }
}

/// The same file, but for a comment that keeps it from being cut.
fn whole(tenants: &str) -> String {
    let last = tenants.rfind("\n[[tenant]]\n").unwrap();
    let (before, after) = tenants.split_at(last);
    loaded(&format!(
        "{before}\n[[tenant]] # as a whole{}",
        &after["\n[[tenant]]".len()..]
    ))
}

fn fleet(count: usize, entry: impl Fn(usize) -> String) -> String {
    let mut text = "# Our tenants\n\n".to_owned();
    for number in 0..count {
        let _ = writeln!(text, "[[tenant]]\n{}", entry(number));
    }
    text
}

#[test]
fn all_that_is_listed_is_there() {
    let text = fleet(9_000, |number| {
        let own = format!("name = \"t{number}\"\n# a comment [[tenant]]\n");
        match number % 1_000 {
            1 => format!("{own}[[pattern]]\nmatch = \"p{number}_*\"\ndatabase = \"d_{{tenant}}\"\n"),
            2 | 999 => format!("{own}[[database]]\nname = \"d{number}\"\n"),
            _ => own,
        }
    });
    let found = loaded(&text);
    assert!(
        found.contains("t8999") && found.contains("d8999"),
        "{}",
        &found[..2_000]
    );
    assert!(found == whole(&text));
}

#[test]
fn mistakes_are_said_where_they_are() {
    let text = fleet(9_000, |number| match number {
        10 | 8_990 => "name = \"twice\"".to_owned(),
        4_000 => format!("name = \"t{number}\"\nshard = 1"),
        6_000 => format!("name = \"t{number}\"\nshared = \"yes\""),
        7_000 => "[[database]]\nname = \"t3\"\n[[tenant]]\nname = \"t7000\"".to_owned(),
        _ => format!("name = \"t{number}\""),
    });
    let found = loaded(&text);
    assert_eq!(found.lines().count(), 5, "{found}");
    for part in [
        "/tenants.toml:8005: tenant[4000].shard: unknown key",
        "tenant[6000].shared: must be true or false",
        "database[0].name: t3 is the name of a [[tenant]] as well",
        "tenant[8991].name: twice is there twice",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
    let (same, whole) = (found.lines().nth(1).unwrap(), whole(&text));
    assert!(whole.contains(same), "{same} in {whole}");
}

#[test]
fn what_looks_like_a_beginning_is_none_within_a_text() {
    // Texts so long that each cut falls into one.
    let long = "\n[[tenant]]\nname = 'u'".repeat(5_000);
    let text = fleet(9, |number| format!("name = \"t{number}\"\nschema = '''{long}'''"));
    let found = loaded(&text);
    assert_eq!(
        found.matches("must not contain control characters").count(),
        9,
        "{found}"
    );
    assert_eq!(found, whole(&text));
}

#[test]
fn what_is_no_toml_is_said_with_its_line() {
    let text = fleet(9_000, |number| match number {
        8_000 => "name = t8000".to_owned(),
        _ => format!("name = \"t{number}\""),
    });
    assert!(
        loaded(&text).starts_with("/tenants.toml:16004: not valid TOML"),
        "{}",
        loaded(&text)
    );
    assert_eq!(loaded(&text), whole(&text));
}

#[test]
fn other_shapes_are_read_as_a_whole() {
    let many = fleet(5_000, |number| format!("name = \"t{number}\""));
    for (text, part) in [
        (
            format!("{many}[tenant.place]\nserver = \"main\"\n"),
            "tenant[4999].place: unknown key",
        ),
        (
            format!("{many}[pattern]\nmatch = \"x*\"\n[[pattern]]\nmatch = \"y*\"\n"),
            "not valid TOML",
        ),
        (format!("tenant = []\n{many}"), "not valid TOML"),
        (format!("{many}[[tenent]]\nname = \"x\"\n"), "tenent: unknown key"),
        (String::new(), "nothing to connect to"),
        ("[[tenant]]".to_owned(), "tenant[0].name: is missing"),
        ("tenant = [{ name = \"one\" }]".to_owned(), "one"),
    ] {
        let found = loaded(&text);
        assert!(
            found.contains(part),
            "{part} in {}",
            found.get(..500).unwrap_or(&found)
        );
    }
}
