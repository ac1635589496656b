//! Which rights that a fix takes away the database's own code needs.

use super::code::{Code, Piece};
use super::words::Deed;
use super::{Finding, Kind};
use crate::guard::{self, Limits, SeenToken};

/// A finding as it stands, or, where code needs some of what its fix takes: the rest of it, and advice that says
/// which code needs what.
pub(super) fn spared(finding: Finding, code: &Code) -> Vec<Finding> {
    let is_about_end_users = finding.kind == Kind::Mend && !finding.rule.starts_with("login.");
    let Some(fix) = finding.fix.as_deref().filter(|_| is_about_end_users) else {
        return vec![finding];
    };
    let needed: Vec<(String, &Piece)> = takings(fix)
        .iter()
        .flat_map(|taking| {
            let needed = |privilege: &String| Some((privilege.clone(), taking.needed_by(privilege, code)?));
            taking.privileges.iter().filter_map(needed).collect::<Vec<_>>()
        })
        .collect();
    let Some((_, first)) = needed.first() else {
        return vec![finding];
    };
    let names: Vec<&str> = needed.iter().map(|(privilege, _)| privilege.as_str()).collect();
    let advice = Finding {
        rule: finding.rule.clone(),
        kind: Kind::Advice,
        object: finding.object.clone(),
        problem: format!(
            "{}, which stays: {} needs {}",
            finding.problem,
            first.label,
            names.join(", ").to_uppercase()
        ),
        fix: None,
    };
    let rest = without(fix, &names).map(|fix| Finding {
        fix: Some(fix),
        ..finding
    });
    rest.into_iter().chain([advice]).collect()
}

/// What one REVOKE takes.
#[derive(Debug, PartialEq, Eq)]
struct Taking {
    /// In lower case.
    privileges: Vec<String>,
    /// `routine`, `table`, `schema` and so on; `tables` and the like of default privileges.
    kind: String,
    /// The object's name without its schema.
    name: String,
}

impl Taking {
    fn needed_by<'a>(&self, privilege: &str, code: &'a Code) -> Option<&'a Piece> {
        let deed = match (self.kind.as_str(), privilege) {
            ("database", "temporary" | "temp") => return code.find(|words| words.does(Deed::Temporary)),
            ("database", "create") => return code.find(|words| words.does(Deed::CreateInDatabase)),
            ("schema", "create") => return code.find(|words| words.does(Deed::CreateInSchema)),
            ("sequence" | "sequences", "update") => return code.find(|words| words.mentions("setval")),
            ("table" | "tables", "truncate") => Deed::Truncate,
            ("table" | "tables", "trigger") => Deed::CreateTrigger,
            ("table" | "tables", "references") => Deed::References,
            ("table" | "tables", "maintain") => Deed::Maintain,
            ("table", "update") => Deed::Update,
            _ => return code.find(|words| words.mentions(&self.name)),
        };
        match self.kind.as_str() {
            "tables" => code.find(|words| words.does(deed)),
            _ => code.find(|words| words.does_to(deed, &self.name)),
        }
    }
}

/// A statement of a fix, cut at the list of privileges.
struct Parts<'a> {
    verb: &'a str,
    /// Up to the list and its end.
    head: &'a str,
    privileges: Vec<&'a str>,
    /// From ON on.
    tail: &'a str,
    /// The tokens behind ON.
    object: &'a [SeenToken],
}

fn takings(fix: &str) -> Vec<Taking> {
    each(fix, |_, parts| {
        let parts = parts.filter(|parts| parts.verb == "revoke")?;
        let kinds = [
            "table",
            "tables",
            "sequence",
            "sequences",
            "routine",
            "routines",
            "function",
            "procedure",
            "schema",
            "schemas",
            "database",
            "language",
            "type",
            "types",
            "parameter",
        ];
        let mut object = parts.object.iter().peekable();
        let kind = object.next_if(|token| token.kind == "word" && kinds.contains(&token.text.as_str()));
        let mut name = "";
        for token in object {
            match token.kind {
                "quoted_identifier" => name = &token.text,
                "word" if token.text != "from" => name = &token.text,
                "character" if token.text == "." => {}
                _ => break,
            }
        }
        Some(Taking {
            privileges: parts
                .privileges
                .iter()
                .map(|privilege| privilege.to_lowercase())
                .collect(),
            kind: kind.map_or_else(|| "table".to_owned(), |kind| kind.text.clone()),
            name: name.to_owned(),
        })
    })
}

/// The fix without these privileges; `None` if it then takes nothing.
fn without(fix: &str, needed: &[&str]) -> Option<String> {
    let mut takes = false;
    let statements = each(fix, |text, parts| {
        let Some(parts) = parts else {
            return Some(text.to_owned());
        };
        let kept: Vec<&str> = parts
            .privileges
            .iter()
            .filter(|privilege| !needed.contains(&privilege.to_lowercase().as_str()))
            .copied()
            .collect();
        takes |= parts.verb == "revoke" && !kept.is_empty();
        (!kept.is_empty()).then(|| format!("{}{} {}", parts.head, kept.join(", "), parts.tail))
    });
    takes.then(|| statements.join("; "))
}

/// Calls with each statement of a fix: its text, and its parts where it gives or takes privileges ON something.
fn each<T>(fix: &str, mut read: impl FnMut(&str, Option<Parts<'_>>) -> Option<T>) -> Vec<T> {
    let Ok(tokens) = guard::tokens(fix.as_bytes(), &Limits::default()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for statement in tokens.chunk_by(|a, b| a.statement == b.statement) {
        if let [first, ..] = statement
            && let [.., last] = statement
            && first.statement.is_some()
        {
            let text = fix.get(first.start..last.end).unwrap_or_default();
            found.extend(read(text, parts(fix, statement, last.end)));
        }
    }
    found
}

fn parts<'a>(fix: &'a str, statement: &'a [SeenToken], end: usize) -> Option<Parts<'a>> {
    let word = |wanted: &[&str]| {
        let is_wanted = |token: &SeenToken| token.kind == "word" && wanted.contains(&token.text.as_str());
        statement.iter().position(is_wanted)
    };
    let (verb, on) = (word(&["revoke", "grant"])?, word(&["on"])?);
    let (start, verb) = (statement.first()?.start, statement.get(verb)?);
    let list = fix.get(verb.end..statement.get(on)?.start)?;
    let names = list.trim_start();
    let head = fix.get(start..verb.end + (list.len() - names.len()))?;
    Some(Parts {
        verb: verb.text.as_str(),
        head,
        privileges: names.split(',').map(str::trim).collect(),
        tail: fix.get(statement.get(on)?.start..end)?,
        object: statement.get(on + 1..)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mend(rule: &str, fix: &str) -> Finding {
        Finding {
            rule: rule.to_owned(),
            kind: Kind::Mend,
            object: "o".to_owned(),
            problem: "p".to_owned(),
            fix: Some(fix.to_owned()),
        }
    }

    #[test]
    fn what_a_fix_takes_is_read_from_it() {
        for (fix, privileges, kind, name) in [
            (
                "REVOKE EXECUTE ON ROUTINE pg_catalog.set_config(text, text, boolean) FROM PUBLIC",
                "execute",
                "routine",
                "set_config",
            ),
            (
                "REVOKE UPDATE ON pg_catalog.pg_settings FROM a",
                "update",
                "table",
                "pg_settings",
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA s REVOKE TRIGGER, MAINTAIN ON TABLES FROM \"a b\"",
                "trigger,maintain",
                "tables",
                "",
            ),
            (
                "REVOKE TRUNCATE ON TABLE public.\"A; b\" FROM PUBLIC; GRANT TRUNCATE ON TABLE public.\"A; b\" TO o",
                "truncate",
                "table",
                "A; b",
            ),
        ] {
            let taken = takings(fix);
            let [taking] = taken.as_slice() else {
                panic!("{taken:?}");
            };
            assert_eq!(
                (
                    taking.privileges.join(",").as_str(),
                    taking.kind.as_str(),
                    taking.name.as_str()
                ),
                (privileges, kind, name),
                "{fix}"
            );
        }
        assert_eq!(takings("REVOKE r FROM l; ALTER ROLE r NOINHERIT"), []);
    }

    #[test]
    fn only_what_is_needed_stays() {
        let code = Code::of("BEGIN CREATE TEMP TABLE t (a int); PERFORM pg_notify('a', 'b'); END");
        let fix =
            "REVOKE TEMPORARY, CREATE ON DATABASE d FROM PUBLIC; GRANT CREATE, TEMPORARY ON DATABASE d TO o";
        let both = spared(mend("database.temporary", fix), &code);
        let [rest, advice] = both.as_slice() else {
            panic!("{both:?}");
        };
        assert_eq!(
            rest.fix.as_deref(),
            Some("REVOKE CREATE ON DATABASE d FROM PUBLIC; GRANT CREATE ON DATABASE d TO o")
        );
        assert_eq!(
            (advice.kind, advice.problem.as_str()),
            (Kind::Advice, "p, which stays: function f() needs TEMPORARY")
        );
        let notify = "REVOKE EXECUTE ON ROUTINE pg_catalog.pg_notify(text, text) FROM PUBLIC; \
                      GRANT EXECUTE ON ROUTINE pg_catalog.pg_notify(text, text) TO o";
        let all = spared(mend("function.reserved", notify), &code);
        assert!(all.iter().all(|finding| finding.kind == Kind::Advice), "{all:?}");
        let untouched = spared(mend("login.grants", notify), &code);
        assert!(untouched.iter().all(|finding| finding.kind == Kind::Mend));
    }
}
