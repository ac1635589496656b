//! The statements that put back what a change has changed, and nothing else that has changed since.

use std::collections::BTreeMap;

use super::snapshot::{Change, Right, State, Thing};
use super::sql::quoted;

/// The statements that take a thing from its state now to where it would be without the change. Empty if it is there.
pub(super) fn statements(change: &Change, now: &State, owner: &str) -> Vec<String> {
    match (&change.before, &change.after, now) {
        (State::Rights(before), State::Rights(after), State::Rights(now)) => {
            rights(change, &Held::of(before), &Held::of(after), &Held::of(now), owner)
        }
        (State::Attributes(before), State::Attributes(after), State::Attributes(now)) => {
            attributes(&change.thing, before, after, now)
        }
        _ => Vec::new(),
    }
}

/// Who has rights from whom: grantee and grantor.
type Pair = (String, String);

/// A list of rights: pairs in the server's order, each with its privileges and whether they may be given on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held(Vec<(Pair, BTreeMap<String, bool>)>);

impl Held {
    fn of(rights: &[Right]) -> Self {
        let mut held = Self(Vec::new());
        for Right(grantee, grantor, privilege, grantable) in rights {
            held.put(&(grantee.clone(), grantor.clone()), privilege, Some(*grantable));
        }
        held
    }

    fn get(&self, pair: &Pair) -> Option<&BTreeMap<String, bool>> {
        self.0
            .iter()
            .find(|(of, _)| of == pair)
            .map(|(_, privileges)| privileges)
    }

    fn grantable(&self, pair: &Pair, privilege: &str) -> Option<bool> {
        self.get(pair)?.get(privilege).copied()
    }

    /// As the server does it: a pair without rights is dropped, a new one comes last.
    fn put(&mut self, pair: &Pair, privilege: &str, grantable: Option<bool>) {
        let Some(grantable) = grantable else {
            if let Some((_, privileges)) = self.0.iter_mut().find(|(of, _)| of == pair) {
                privileges.remove(privilege);
            }
            self.0.retain(|(_, privileges)| !privileges.is_empty());
            return;
        };
        if !self.0.iter().any(|(of, _)| of == pair) {
            self.0.push((pair.clone(), BTreeMap::new()));
        }
        if let Some((_, privileges)) = self.0.iter_mut().find(|(of, _)| of == pair) {
            privileges.insert(privilege.to_owned(), grantable);
        }
    }

    fn order(&self) -> Vec<&Pair> {
        self.0.iter().map(|(pair, _)| pair).collect()
    }
}

fn rights(change: &Change, before: &Held, after: &Held, now: &Held, owner: &str) -> Vec<String> {
    let mut target = now.clone();
    let mut script = Script {
        thing: &change.thing,
        owner,
        statements: Vec::new(),
    };
    for (pair, privileges) in before.0.iter().chain(&after.0) {
        for privilege in privileges.keys() {
            let wanted = before.grantable(pair, privilege);
            let left = after.grantable(pair, privilege);
            // Somebody else has changed it since.
            if wanted == left || target.grantable(pair, privilege) != left {
                continue;
            }
            target.put(pair, privilege, wanted);
            script.put(pair, privilege, left, wanted);
        }
    }
    if !change.was_initial {
        script.reorder(before, &target);
    }
    script.statements
}

/// Statements about the rights on one thing.
struct Script<'a> {
    thing: &'a Thing,
    owner: &'a str,
    statements: Vec<String>,
}

impl Script<'_> {
    fn put(&mut self, pair: &Pair, privilege: &str, from: Option<bool>, to: Option<bool>) {
        match (from, to) {
            (_, None) => self.say(pair, "REVOKE", privilege, ""),
            (Some(true), Some(false)) => self.say(pair, "REVOKE GRANT OPTION FOR", privilege, ""),
            (_, Some(true)) => self.say(pair, "GRANT", privilege, " WITH GRANT OPTION"),
            (_, Some(false)) => self.say(pair, "GRANT", privilege, ""),
        }
    }

    fn say(&mut self, (grantee, grantor): &Pair, verb: &str, privilege: &str, options: &str) {
        let grantee = if grantee.is_empty() {
            "PUBLIC".to_owned()
        } else {
            quoted(grantee)
        };
        let preposition = if verb == "GRANT" { "TO" } else { "FROM" };
        let Thing {
            kind, object, part, ..
        } = self.thing;
        let statement = match kind.as_str() {
            "COLUMN" => {
                format!("{verb} {privilege} ({part}) ON TABLE {object} {preposition} {grantee}{options}")
            }
            "DEFAULT PRIVILEGES" => {
                format!(
                    "ALTER DEFAULT PRIVILEGES {part} {verb} {privilege} ON {object} {preposition} {grantee}{options}"
                )
            }
            _ => format!("{verb} {privilege} ON {kind} {object} {preposition} {grantee}{options}"),
        };
        // The owner's grants are made in the owner's name by whoever may.
        self.statements.push(if grantor == self.owner {
            statement
        } else {
            format!("SET LOCAL ROLE {}; {statement}; RESET ROLE", quoted(grantor))
        });
    }

    /// `pg_dump` writes grants in the server's order: those that are not where they were are given anew.
    fn reorder(&mut self, before: &Held, target: &Held) {
        let mut wanted: Vec<&Pair> = before
            .order()
            .into_iter()
            .filter(|pair| target.get(pair).is_some())
            .collect();
        let later: Vec<&Pair> = target
            .order()
            .into_iter()
            .filter(|pair| !wanted.contains(pair))
            .collect();
        wanted.extend(later);
        let has = target.order();
        let Some(first) = wanted.iter().zip(&has).position(|(wanted, has)| wanted != has) else {
            return;
        };
        let late = wanted.get(first..).unwrap_or_default();
        for pair in late {
            for privilege in target.get(pair).into_iter().flatten().map(|(name, _)| name) {
                self.put(pair, privilege, Some(false), None);
            }
        }
        for pair in late {
            for (privilege, grantable) in target.get(pair).into_iter().flatten() {
                self.put(pair, privilege, None, Some(*grantable));
            }
        }
    }
}

fn attributes(
    thing: &Thing,
    before: &BTreeMap<String, bool>,
    after: &BTreeMap<String, bool>,
    now: &BTreeMap<String, bool>,
) -> Vec<String> {
    let Thing {
        kind,
        object,
        part,
        grantor,
    } = thing;
    let granted_by = if grantor.is_empty() {
        String::new()
    } else {
        format!(" GRANTED BY {grantor}")
    };
    if kind == "MEMBERSHIP" && before.is_empty() {
        let is_there = now == after;
        return is_there
            .then(|| format!("REVOKE {object} FROM {part}{granted_by}"))
            .into_iter()
            .collect();
    }
    let differing = before
        .iter()
        .filter(|(name, value)| after.get(*name) != Some(*value) && now.get(*name) == after.get(*name));
    let differing: Vec<(&str, bool)> = differing.map(|(name, value)| (name.as_str(), *value)).collect();
    let each = |clause: fn(&str, bool) -> String| -> Vec<String> {
        differing
            .iter()
            .map(|(name, value)| clause(name, *value))
            .collect()
    };
    match (kind.as_str(), differing.is_empty()) {
        (_, true) => Vec::new(),
        ("ROLE", _) => {
            let clauses = each(|name, value| format!("{}{name}", if value { "" } else { "NO" }));
            vec![format!("ALTER ROLE {object} {}", clauses.join(" "))]
        }
        ("MEMBERSHIP", _) if grantor.is_empty() => each(|_, value| value.to_string())
            .into_iter()
            .map(|value| match value.as_str() {
                "true" => format!("GRANT {object} TO {part} WITH ADMIN OPTION"),
                _ => format!("REVOKE ADMIN OPTION FOR {object} FROM {part}"),
            })
            .collect(),
        ("MEMBERSHIP", _) => {
            let clauses = each(|name, value| format!("{name} {}", if value { "TRUE" } else { "FALSE" }));
            vec![format!(
                "GRANT {object} TO {part} WITH {}{granted_by}",
                clauses.join(", ")
            )]
        }
        ("ROW SECURITY", _) => {
            let clauses = each(|name, value| match (name, value) {
                ("FORCE", true) => "FORCE ROW LEVEL SECURITY".to_owned(),
                ("FORCE", false) => "NO FORCE ROW LEVEL SECURITY".to_owned(),
                (_, true) => "ENABLE ROW LEVEL SECURITY".to_owned(),
                (_, false) => "DISABLE ROW LEVEL SECURITY".to_owned(),
            });
            vec![format!("ALTER TABLE {object} {}", clauses.join(", "))]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(kind: &str, object: &str) -> Thing {
        Thing {
            kind: kind.to_owned(),
            object: object.to_owned(),
            part: String::new(),
            grantor: String::new(),
        }
    }

    fn state(json: &str) -> State {
        serde_json::from_str(json).unwrap()
    }

    fn undone(thing: Thing, [before, after, now]: [&str; 3], was_initial: bool) -> Vec<String> {
        let change = Change {
            thing,
            before: state(before),
            after: state(after),
            was_initial,
        };
        statements(&change, &state(now), "o")
    }

    #[test]
    fn rights_come_back_and_what_was_given_since_stays() {
        let before = r#"[["","o","EXECUTE",false],["o","o","EXECUTE",false]]"#;
        let after = r#"[["o","o","EXECUTE",false],["k","o","EXECUTE",false]]"#;
        let now = r#"[["o","o","EXECUTE",false],["k","o","EXECUTE",false],["new","o","EXECUTE",true]]"#;
        assert_eq!(
            undone(thing("ROUTINE", "s.f()"), [before, after, now], true),
            [
                "GRANT EXECUTE ON ROUTINE s.f() TO PUBLIC",
                "REVOKE EXECUTE ON ROUTINE s.f() FROM \"k\""
            ]
        );
        assert_eq!(
            undone(thing("ROUTINE", "s.f()"), [before, after, before], true),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_order_of_grants_comes_back() {
        let before = r#"[["o","o","SELECT",false],["a","o","SELECT",false],["b","o","SELECT",true]]"#;
        let after = r#"[["o","o","SELECT",false],["b","o","SELECT",true]]"#;
        assert_eq!(
            undone(thing("TABLE", "s.t"), [before, after, after], false),
            [
                "GRANT SELECT ON TABLE s.t TO \"a\"",
                "REVOKE SELECT ON TABLE s.t FROM \"a\"",
                "REVOKE SELECT ON TABLE s.t FROM \"b\"",
                "GRANT SELECT ON TABLE s.t TO \"a\"",
                "GRANT SELECT ON TABLE s.t TO \"b\" WITH GRANT OPTION",
            ]
        );
    }

    #[test]
    fn each_kind_has_its_statement() {
        let mut column = thing("COLUMN", "s.t");
        column.part = "c".to_owned();
        let given = r#"[["a","x","SELECT",false]]"#;
        assert_eq!(
            undone(column, [given, "[]", "[]"], false),
            ["SET LOCAL ROLE \"x\"; GRANT SELECT (c) ON TABLE s.t TO \"a\"; RESET ROLE"]
        );
        let mut defaults = thing("DEFAULT PRIVILEGES", "TABLES");
        defaults.part = "FOR ROLE o".to_owned();
        assert_eq!(
            undone(defaults, [r#"[["a","o","TRIGGER",false]]"#, "[]", "[]"], false),
            ["ALTER DEFAULT PRIVILEGES FOR ROLE o GRANT TRIGGER ON TABLES TO \"a\""]
        );
        assert_eq!(
            undone(
                thing("ROLE", "l"),
                [
                    r#"{"INHERIT":true}"#,
                    r#"{"INHERIT":false}"#,
                    r#"{"INHERIT":false}"#
                ],
                false
            ),
            ["ALTER ROLE l INHERIT"]
        );
        let mut membership = thing("MEMBERSHIP", "r");
        membership.part = "l".to_owned();
        let [yes, no] = [r#"{"ADMIN":true}"#, r#"{"ADMIN":false}"#];
        assert_eq!(
            undone(membership.clone(), [yes, no, no], false),
            ["GRANT r TO l WITH ADMIN OPTION"]
        );
        membership.grantor = "g".to_owned();
        let [yes, no] = [
            r#"{"ADMIN":false,"INHERIT":true}"#,
            r#"{"ADMIN":false,"INHERIT":false}"#,
        ];
        assert_eq!(
            undone(membership, [yes, no, no], false),
            ["GRANT r TO l WITH INHERIT TRUE GRANTED BY g"]
        );
    }
}
