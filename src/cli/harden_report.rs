//! What `portcullis harden` says of a database.

use std::io::{self, Write};

use crate::harden::{Finding, Hardened, Kind, Undone};

/// Says what came of each finding.
pub(super) fn tell_hardened(name: &str, outcome: &Hardened) -> Result<(), String> {
    for finding in &outcome.mended {
        say(&format!("mended   {}: {}", finding.object, finding.problem));
    }
    for (finding, why) in &outcome.remaining {
        say(&format!(
            "remains  {}: {}: {why}",
            finding.object, finding.problem
        ));
    }
    for finding in &outcome.left {
        let what = if finding.kind == Kind::Gap {
            "gap     "
        } else {
            "advice  "
        };
        let fix = finding
            .fix
            .as_ref()
            .map_or_else(String::new, |fix| format!(" ({fix})"));
        say(&format!("{what} {}: {}{fix}", finding.object, finding.problem));
    }
    let (mended, remaining) = (outcome.mended.len(), outcome.remaining.len());
    let unchanged = if mended == 0 { "; nothing was changed" } else { "" };
    say(&format!(
        "done     database {name}: {mended} mended, {remaining} failed{unchanged}"
    ));
    let mut missing: Vec<&str> = outcome
        .remaining
        .iter()
        .map(|(finding, _)| finding.object.as_str())
        .collect();
    let gaps = outcome.left.iter().filter(|finding| finding.kind == Kind::Gap);
    missing.extend(gaps.map(|finding| finding.object.as_str()));
    missing.dedup();
    match wall_is_missing(&missing) {
        None => Ok(()),
        Some(what) => Err(format!("database {name}: {what}")),
    }
}

/// What the wall lacks. Whoever may call `set_config` is whoever it says.
fn wall_is_missing(objects: &[&str]) -> Option<String> {
    let first = objects.first()?;
    let identity = objects
        .iter()
        .find(|object| object.starts_with("pg_catalog.set_config("));
    let (named, why) = match identity {
        Some(named) => (
            named,
            ": end users may call what identity is set with, so the guard alone keeps them apart",
        ),
        None => (first, ""),
    };
    let more = match objects.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "the second wall is not there{why}; see {named}{more} above. What the server does not let this role change needs \
         the owner or a superuser"
    ))
}

pub(super) fn tell_undone(name: &str, outcome: &Undone) -> Result<(), String> {
    for skipped in &outcome.skipped {
        say(&format!("skipped  {skipped}"));
    }
    for (thing, why) in &outcome.remaining {
        say(&format!("remains  {thing}: {why}"));
    }
    let (restored, remaining) = (outcome.restored, outcome.remaining.len());
    say(&format!(
        "done     database {name}: {restored} put back, {remaining} failed"
    ));
    match remaining {
        0 => Ok(()),
        remaining => Err(format!(
            "database {name}: {remaining} things could not be put back; run it as the role that hardened it"
        )),
    }
}

/// The SQL that would run, to be read or piped into psql; advice as comments.
pub(super) fn print_script(name: &str, found: &[Finding]) {
    say(&format!("-- database {}", in_comment(name)));
    for finding in found {
        let about = in_comment(&format!("{}: {}", finding.object, finding.problem));
        match (finding.kind, &finding.fix) {
            (Kind::Mend, Some(fix)) => say(&format!("{fix}; -- {about}")),
            (kind, Some(fix)) => say(&format!("-- {}: {about}: {}", word(kind), in_comment(fix))),
            (kind, None) => say(&format!("-- {}: {about}", word(kind))),
        }
    }
}

fn word(kind: Kind) -> &'static str {
    if kind == Kind::Gap { "gap" } else { "advice" }
}

/// A name may hold a line break, which would end the comment.
fn in_comment(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

pub(super) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_comment() {
        assert_eq!(in_comment("a\nDROP TABLE t; --"), "a DROP TABLE t; --");
    }
}
