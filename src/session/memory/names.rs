//! The client's names for prepared statements. A change counts when the server has confirmed it.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::base::memory::Asked;
use crate::base::{Fault, SqlState, limits};
use crate::guard::Script;
use crate::session::Session;
use crate::session::memory::holding::{Holding, hold_again, hold_if};
use crate::session::memory::statement::Statement;
use crate::session::request::judging::Turned;
use crate::wire::body::Parse;

/// As many statements, and changes to their names, as an ordinary session has at a time. The memory for more is given up
/// with them.
const ORDINARY: usize = 64;

/// The client's statements by the names that it has given them.
#[derive(Default)]
pub(in crate::session) struct Names {
    named: HashMap<Box<[u8]>, Holding, RandomState>,
    /// Bytes of their texts and names.
    bytes: usize,
    unnamed: Option<Holding>,
    /// Changes that the server has not confirmed, the oldest first.
    changes: VecDeque<NameChange>,
}

/// A change to the client's statement names.
pub(in crate::session) enum NameChange {
    /// Parse.
    Set(Box<[u8]>, Holding),
    /// Close, DEALLOCATE.
    Remove(Box<[u8]>),
    /// DEALLOCATE ALL, which leaves the unnamed statement.
    RemoveAll,
}

impl NameChange {
    /// Bytes that count against what a session may prepare.
    fn bytes(&self) -> usize {
        match self {
            Self::Set(name, _) if name.is_empty() => 0,
            Self::Set(name, holding) => holding.statement().bytes() + name.len(),
            Self::Remove(_) | Self::RemoveAll => 0,
        }
    }

    /// Bytes that are kept until the server has confirmed it, and nobody else counts.
    fn bytes_in_flight(&self) -> usize {
        match self {
            Self::Set(name, holding) if name.is_empty() => holding.statement().bytes(),
            Self::Set(name, _) | Self::Remove(name) => name.len(),
            Self::RemoveAll => 0,
        }
    }
}

impl Session {
    /// What the guard says of a statement to be prepared.
    pub(in crate::session) fn judge_statement(
        &self,
        message: &Parse<'_>,
        turned: Option<Turned>,
    ) -> Result<Arc<Script>, Fault> {
        let script = self.judge(message.sql, turned)?;
        if script.statements().len() > 1 {
            return Err(Fault::error(
                SqlState::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        Ok(script)
    }

    /// The statement that a Parse makes of what it was judged to be.
    pub(in crate::session) fn statement_of(
        &self,
        message: &Parse<'_>,
        script: Arc<Script>,
    ) -> Arc<Statement> {
        let statements = &self.shared.statements;
        if !message.name.is_empty() {
            statements.named(&script, message.types, self.setup.context())
        } else if self.repeats(&script) {
            statements.repeated(&script, message.types, self.setup.context())
        } else {
            statements.unnamed(script, message.types, self.setup.context())
        }
    }

    /// What a statement is behind the batch that has prepared it: an unnamed one of which server connections keep the text
    /// is the client's own there, since an error of one that is kept might no longer be mended ([`crate::session::request::repeated`]).
    pub(in crate::session) fn outside_its_batch(
        &mut self,
        name: &[u8],
        statement: Arc<Statement>,
    ) -> Arc<Statement> {
        if !name.is_empty() || !statement.is_repeated() || self.names.prepares_unnamed() {
            return statement;
        }
        let own = self
            .shared
            .statements
            .as_unnamed(&statement, self.setup.context());
        self.names
            .replace(b"", hold_again(self.account(), b"", Arc::clone(&own)));
        own
    }

    /// Keeps a statement under a name of the client's.
    ///
    /// # Errors
    /// There is no room for it.
    pub(in crate::session) fn hold(&self, name: &[u8], statement: Arc<Statement>) -> Result<Holding, Fault> {
        let asked = match self.names.is_little(name, statement.bytes()) {
            true => Asked::No,
            false => Asked::Yes,
        };
        Ok(hold_if(self.account(), name, statement, asked)?)
    }

    pub(in crate::session) fn change_name(&mut self, change: NameChange) {
        if let Some(link) = &mut self.link {
            link.note_name(change.bytes_in_flight());
        }
        self.names.change(change);
    }
}

impl Names {
    /// Whether a text of so many bytes may have this name.
    ///
    /// # Errors
    /// The name is taken, or there are too many.
    pub(in crate::session) fn check_new(&self, name: &[u8], bytes: usize) -> Result<(), Fault> {
        if name.is_empty() {
            return Ok(());
        }
        if self.statement(name).is_some() {
            return Err(Fault::error(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!(
                    "prepared statement \"{}\" already exists",
                    String::from_utf8_lossy(name)
                ),
            ));
        }
        if self.named.len() + self.changes.len() >= limits::CLIENT_STATEMENTS {
            return Err(too_many("prepared statements"));
        }
        if self.bytes_to_be() + bytes > limits::CLIENT_STATEMENT_BYTES {
            return Err(Fault::error(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                "the prepared statements of this session are too long together",
            )
            .with_hint("Close those that are not needed, or use the unnamed statement."));
        }
        Ok(())
    }

    /// Whether a statement of so many bytes has a name and fits into what a session has without being asked.
    fn is_little(&self, name: &[u8], bytes: usize) -> bool {
        !name.is_empty() && self.bytes_to_be() + bytes + name.len() <= limits::STATEMENTS_UNASKED_BYTES
    }

    /// Bytes of texts and names once all changes are confirmed, as if none took any away.
    fn bytes_to_be(&self) -> usize {
        self.bytes + self.changes.iter().map(NameChange::bytes).sum::<usize>()
    }

    /// The statement that a name means after all that the client has sent so far.
    pub(in crate::session) fn statement(&self, name: &[u8]) -> Option<Arc<Statement>> {
        let newest = self.changes.iter().rev().find_map(|change| match change {
            NameChange::Set(changed, holding) if **changed == *name => Some(Some(holding)),
            NameChange::Remove(changed) if **changed == *name => Some(None),
            NameChange::RemoveAll if !name.is_empty() => Some(None),
            NameChange::Set(..) | NameChange::Remove(_) | NameChange::RemoveAll => None,
        });
        let found = match newest {
            Some(found) => found,
            None if name.is_empty() => self.unnamed.as_ref(),
            None => self.named.get(name),
        };
        found.map(Holding::statement).cloned()
    }

    /// Whether the client has sent a Parse of the unnamed statement that is not confirmed.
    fn prepares_unnamed(&self) -> bool {
        let of_batch =
            |change: &NameChange| matches!(change, NameChange::Set(changed, _) if changed.is_empty());
        self.changes.iter().any(of_batch)
    }

    /// Puts the same statement in another form in the place of a confirmed one.
    pub(in crate::session) fn replace(&mut self, name: &[u8], holding: Holding) {
        if name.is_empty() {
            self.unnamed = Some(holding);
        } else if let Some(kept) = self.named.get_mut(name) {
            *kept = holding;
        }
    }

    /// The unnamed statement is gone.
    pub(in crate::session) fn forget_unnamed(&mut self) {
        self.unnamed = None;
    }

    /// The client changes a name: that counts when the server has confirmed it.
    fn change(&mut self, change: NameChange) {
        self.changes.push_back(change);
    }

    /// The server has failed where the oldest change was due, if `is_due`: none of the changes happens.
    pub(in crate::session) fn fail_changes(&mut self, is_due: bool) {
        if let Some(NameChange::Set(name, _)) = self.changes.front().filter(|_| is_due)
            && name.is_empty()
        {
            // A Parse that fails takes the old unnamed statement away (`exec_parse_message`, postgres.c).
            self.unnamed = None;
        }
        self.changes.clear();
        self.changes.shrink_to(ORDINARY);
    }

    /// The oldest change has happened on the server.
    pub(in crate::session) fn apply_change(&mut self) {
        match self.changes.pop_front() {
            Some(NameChange::Set(name, holding)) if name.is_empty() => self.unnamed = Some(holding),
            Some(NameChange::Set(name, holding)) => {
                let named = name.len();
                self.bytes += holding.statement().bytes() + named;
                let replaced = self.named.insert(name, holding);
                self.bytes -= replaced.map_or(0, |held| held.statement().bytes() + named);
            }
            Some(NameChange::Remove(name)) if name.is_empty() => self.unnamed = None,
            Some(NameChange::Remove(name)) => {
                let removed = self.named.remove(&name);
                if self.named.capacity() > ORDINARY && self.named.len() < self.named.capacity() / 4 {
                    self.named.shrink_to(2 * self.named.len());
                }
                self.bytes -= removed.map_or(0, |held| held.statement().bytes() + name.len());
            }
            Some(NameChange::RemoveAll) => {
                self.named = HashMap::default();
                self.bytes = 0;
            }
            None => {}
        }
        if self.changes.is_empty() {
            self.changes.shrink_to(ORDINARY);
        }
    }

    /// What stands for a name.
    pub(in crate::session) fn hash(&self, name: &[u8]) -> NameHash {
        let hash = self.named.hasher().hash_one(name);
        NameHash(u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default())
    }

    /// The client's name that this stands for; `None` for the unnamed statement, or one that is no more.
    pub(in crate::session) fn of_hash(&self, hash: NameHash) -> Option<&[u8]> {
        let mut names = self.named.keys();
        names.find(|name| self.hash(name) == hash).map(|name| &**name)
    }
}

/// Stands for a client's name of a statement, for what must not cost an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct NameHash(u32);

/// The error when a session keeps too many of something.
pub(in crate::session) fn too_many(what: &'static str) -> Fault {
    Fault::error(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        format!("too many {what} in one session"),
    )
    .with_hint(format!(
        "At most {} may exist at a time.",
        limits::CLIENT_STATEMENTS
    ))
}
