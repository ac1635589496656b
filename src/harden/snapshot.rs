//! Rights, attributes and memberships as they are at one time, and what differs between two times.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

/// The query that reads them.
const RIGHTS: &str = include_str!("../../policies/sql/rights.sql");

/// What a right or attribute belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Thing {
    /// What GRANT calls it; see `policies/sql/rights.sql`.
    pub(super) kind: String,
    /// Its name, as SQL writes it.
    pub(super) object: String,
    /// The column, the member, or whose default privileges they are, as SQL writes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) part: String,
    /// Who granted a membership, from PostgreSQL 16 on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) grantor: String,
}

/// What it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum State {
    /// Rights in the order that the server keeps them in.
    Rights(Vec<Right>),
    /// Attributes that are on or off.
    Attributes(BTreeMap<String, bool>),
}

/// One right that one role has from another: grantee, grantor, privilege, whether the grantee may give it on. The grantee
/// PUBLIC is ''.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Right(
    pub(super) String,
    pub(super) String,
    pub(super) String,
    pub(super) bool,
);

/// One thing that has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    #[serde(flatten)]
    pub(super) thing: Thing,
    pub(super) before: State,
    pub(super) after: State,
    /// Whether it had no entry of its own before: the order of rights is then nobody's.
    pub(super) was_initial: bool,
}

/// Everything at one time.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    entries: BTreeMap<Thing, Entry>,
}

#[derive(Debug)]
struct Entry {
    owner: String,
    state: State,
    initial: State,
}

/// Why a snapshot cannot be taken or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error(transparent)]
    Server(#[from] tokio_postgres::Error),
    #[error("the server's list of rights cannot be read: {0}")]
    Text(#[from] serde_json::Error),
}

impl Snapshot {
    /// As things are now.
    ///
    /// Cancel safe: it changes nothing.
    pub(super) async fn take(client: &Client) -> Result<Self, SnapshotError> {
        let mut entries = BTreeMap::new();
        for row in client.query(RIGHTS, &[]).await? {
            let kind: String = row.try_get("kind")?;
            let owner: String = row.try_get("owner")?;
            let thing = Thing {
                grantor: if kind == "MEMBERSHIP" {
                    owner.clone()
                } else {
                    String::new()
                },
                kind,
                object: row.try_get("object")?,
                part: row.try_get("part")?,
            };
            let entry = Entry {
                owner,
                state: serde_json::from_str(row.try_get("rights")?)?,
                initial: serde_json::from_str(row.try_get("initial")?)?,
            };
            entries.insert(thing, entry);
        }
        Ok(Self { entries })
    }

    /// What has changed from this to a later time.
    pub(super) fn changes(&self, later: &Self) -> Vec<Change> {
        let mut things: Vec<&Thing> = self.entries.keys().chain(later.entries.keys()).collect();
        things.sort();
        things.dedup();
        let changes = things.into_iter().filter_map(|thing| {
            let (then, now) = (self.entries.get(thing), later.entries.get(thing));
            let initial = &then.or(now)?.initial;
            let state = |entry: Option<&Entry>| entry.map_or(initial, |entry| &entry.state).clone();
            let (before, after) = (state(then), state(now));
            (before != after).then(|| Change {
                thing: thing.clone(),
                before,
                after,
                was_initial: then.is_none(),
            })
        });
        changes.collect()
    }

    /// The state of a thing and who owns it; `None` where it has nothing of its own.
    pub(super) fn of(&self, thing: &Thing) -> Option<(&State, &str)> {
        let entry = self.entries.get(thing)?;
        Some((&entry.state, &entry.owner))
    }
}
