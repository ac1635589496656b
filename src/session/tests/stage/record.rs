//! What a scripted server has seen.

use std::collections::BTreeMap;

/// Seen by all connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Every text that came in Parse.
    pub(crate) parsed: Vec<String>,
    /// Every text that came in Query.
    pub(crate) queries: Vec<String>,
    /// Statements that were bound or run as nobody, or as somebody else than whose they are.
    pub(crate) unbound: Vec<String>,
    /// How often something was bound or run as somebody.
    pub(crate) witnessed: usize,
    /// Messages that no client of a server may send.
    pub(crate) faults: Vec<String>,
    /// Cancel requests, by process.
    pub(crate) cancels: BTreeMap<u32, usize>,
    /// Connections that have been made.
    pub(crate) connections: u32,
}

/// The role that every client of the stage has.
pub(crate) const ROLE: &str = "authenticated";

/// Who may be on stage. A text with somebody's name in it is theirs.
pub(crate) const PEOPLE: [(&str, &str); 3] = [("alice", "acme"), ("bob", "globex"), ("carol", "acme")];

impl Record {
    /// Something that reads or writes data was done as this user, under this role.
    pub(crate) fn witness(&mut self, what: &str, text: &str, role: Option<String>, user: &str) {
        self.witnessed += 1;
        let owner = PEOPLE.iter().find(|(name, _)| text.contains(name));
        let is_theirs = owner.is_none_or(|(name, _)| *name == user);
        if role.as_deref() != Some(ROLE) || user.is_empty() || !is_theirs {
            self.unbound
                .push(format!("{what} as {role:?} of {user:?}: {text}"));
        }
    }
}
