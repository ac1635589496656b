//! What the running transaction has changed of its session's settings. A change counts when the transaction
//! commits, unless a savepoint takes it back before.
//!
//! The server is told of every change as of a SET LOCAL. What it would show after ROLLBACK TO may be a value
//! that the client meant for the transaction alone, so what the session keeps is reckoned here.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// A change to a setting; `None` resets it to its startup value.
pub(crate) type Change = (Box<str>, Option<String>);

/// Changes and the savepoints between them, as far as the server has confirmed them.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Oldest first; at most one a name since the newest savepoint.
    changes: Vec<Change>,
    /// Savepoints, outermost first.
    marks: Vec<Mark>,
}

/// Savepoints of one name that were set one after the other, without a change in between: drivers that set one
/// before each statement do not release them.
#[derive(Debug)]
struct Mark {
    /// Stands for the name.
    name: u64,
    /// How many there are.
    times: usize,
    /// How many changes came before them.
    changes: usize,
}

/// What a savepoint takes.
pub(crate) const SAVEPOINT_BYTES: usize = size_of::<Mark>();

impl Pending {
    /// About how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let value = |value: &Option<String>| value.as_ref().map_or(0, String::len);
        let changes = self
            .changes
            .iter()
            .map(|(name, new)| name.len() + value(new) + size_of::<Change>());
        changes.sum::<usize>() + self.marks.len() * SAVEPOINT_BYTES
    }

    /// How many changes are remembered.
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// How many savepoints are told apart.
    pub(crate) fn savepoints(&self) -> usize {
        self.marks.len()
    }

    /// Names of the settings that have changed, some perhaps twice.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().map(|(name, _)| &**name)
    }

    /// Takes note of a change.
    pub(crate) fn change(&mut self, name: Box<str>, value: Option<String>) {
        let from = self.marks.last().map_or(0, |mark| mark.changes);
        if let Some(at) = self.changes.iter().skip(from).position(|(n, _)| *n == name) {
            self.changes.remove(from + at);
        }
        self.changes.push((name, value));
    }

    /// SAVEPOINT.
    pub(crate) fn savepoint(&mut self, name: &str) {
        let (name, changes) = (hash(name), self.changes.len());
        match self.marks.last_mut() {
            Some(mark) if mark.name == name && mark.changes == changes => mark.times += 1,
            _ => self.marks.push(Mark {
                name,
                times: 1,
                changes,
            }),
        }
    }

    /// RELEASE: that savepoint and all after it are gone, the changes since stay.
    pub(crate) fn release(&mut self, name: &str) {
        let Some(at) = self.find(name) else { return };
        self.marks.truncate(at + 1);
        if let Some(mark) = self.marks.last_mut() {
            mark.times -= 1;
        }
        self.marks.pop_if(|mark| mark.times == 0);
        self.forget_overridden();
    }

    /// ROLLBACK TO: the changes since are undone; the savepoint stays, those after it are gone.
    pub(crate) fn roll_back_to(&mut self, name: &str) {
        let Some(at) = self.find(name) else { return };
        self.marks.truncate(at + 1);
        if let Some(mark) = self.marks.last() {
            self.changes.truncate(mark.changes);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.marks = Vec::new();
        self.changes = Vec::new();
    }

    /// The transaction has committed: what it has changed, oldest first.
    pub(crate) fn take(&mut self) -> Vec<Change> {
        self.marks = Vec::new();
        std::mem::take(&mut self.changes)
    }

    fn find(&self, name: &str) -> Option<usize> {
        let name = hash(name);
        self.marks.iter().rposition(|mark| mark.name == name)
    }

    /// Savepoints are gone: of the changes that none stands between any more, the newest of each setting counts.
    fn forget_overridden(&mut self) {
        let from = self.marks.last().map_or(0, |mark| mark.changes);
        for (name, value) in self.changes.split_off(from.min(self.changes.len())) {
            self.change(name, value);
        }
    }
}

/// Savepoints are told apart by hashes that no client can foresee: their names may be long, and many.
fn hash(name: &str) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One step of a transaction, and a model that keeps a full copy at each savepoint.
    #[derive(Clone, Debug)]
    enum Step {
        Change(u8, u8),
        Savepoint(u8),
        Release(u8),
        RollBackTo(u8),
    }

    #[derive(Default)]
    struct Model {
        values: Vec<(u8, u8)>,
        savepoints: Vec<(u8, Vec<(u8, u8)>)>,
    }

    impl Model {
        fn take(&mut self, step: &Step) {
            let find = |savepoints: &[(u8, _)], name| savepoints.iter().rposition(|(n, _)| *n == name);
            match *step {
                Step::Change(name, value) => {
                    self.values.retain(|(n, _)| *n != name);
                    self.values.push((name, value));
                }
                Step::Savepoint(name) => self.savepoints.push((name, self.values.clone())),
                Step::Release(name) => {
                    if let Some(at) = find(&self.savepoints, name) {
                        self.savepoints.truncate(at);
                    }
                }
                Step::RollBackTo(name) => {
                    if let Some(at) = find(&self.savepoints, name) {
                        self.savepoints.truncate(at + 1);
                        self.values = self.savepoints.last().unwrap().1.clone();
                    }
                }
            }
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4_u8, any::<u8>()).prop_map(|(name, value)| Step::Change(name, value)),
            (0..3_u8).prop_map(Step::Savepoint),
            (0..3_u8).prop_map(Step::Release),
            (0..3_u8).prop_map(Step::RollBackTo),
        ]
    }

    proptest! {
        #[test]
        fn savepoints_take_back_what_came_after_them(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut model, mut pending) = (Model::default(), Pending::default());
            for step in &steps {
                model.take(step);
                match step {
                    Step::Change(name, value) => {
                        pending.change(name.to_string().into(), Some(value.to_string()));
                    }
                    Step::Savepoint(name) => pending.savepoint(&name.to_string()),
                    Step::Release(name) => pending.release(&name.to_string()),
                    Step::RollBackTo(name) => pending.roll_back_to(&name.to_string()),
                }
                prop_assert!(pending.savepoints() <= model.savepoints.len());
                // What one savepoint covers is remembered once a name.
                prop_assert!(pending.len() <= 4 * (pending.savepoints() + 1));
            }
            let mut kept: Vec<(String, String)> = Vec::new();
            for (name, value) in pending.take() {
                kept.retain(|(n, _)| **n != *name);
                kept.push((name.into(), value.unwrap()));
            }
            kept.sort();
            let mut wanted: Vec<(String, String)> =
                model.values.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            wanted.sort();
            prop_assert_eq!(kept, wanted);
        }
    }

    #[test]
    fn savepoints_that_are_never_released_take_no_room() {
        let mut pending = Pending::default();
        for _ in 0..1_000 {
            pending.savepoint("autosave");
        }
        assert_eq!(pending.savepoints(), 1);
        pending.release("autosave");
        pending.change("a".into(), None);
        pending.roll_back_to("autosave");
        assert_eq!((pending.len(), pending.savepoints()), (0, 1));
    }
}
