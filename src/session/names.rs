//! The client's names for prepared statements. A change counts when the server has confirmed it.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use super::Session;
use super::holding::Holding;
use super::judging::Turned;
use super::statement::Statement;
use crate::base::{Fault, SqlState, limits};
use crate::guard::Script;
use crate::wire::body::Parse;

/// As many statements, and changes to their names, as an ordinary session has at a time. The memory for more is given up
/// with them.
pub(super) const ORDINARY: usize = 64;

/// A change to the client's statement names.
pub(super) enum NameChange {
    /// Parse.
    Set(Box<[u8]>, Holding),
    /// Close, DEALLOCATE.
    Remove(Box<[u8]>),
    /// DEALLOCATE ALL, which leaves the unnamed statement.
    RemoveAll,
}

impl NameChange {
    /// Bytes that count against what a session may prepare.
    pub(super) fn bytes(&self) -> usize {
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
    pub(super) fn judge_statement(
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
    pub(super) fn statement_of(&self, message: &Parse<'_>, script: Arc<Script>) -> Arc<Statement> {
        let statements = &self.shared.statements;
        if !message.name.is_empty() {
            statements.named(&script, message.types, self.context)
        } else if self.repeats(&script) {
            statements.repeated(&script, message.types, self.context)
        } else {
            statements.unnamed(script, message.types, self.context)
        }
    }

    pub(super) fn check_new_name(&self, name: &[u8], bytes: usize) -> Result<(), Fault> {
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
        if self.statements.len() + self.names.len() >= limits::CLIENT_STATEMENTS {
            return Err(too_many("prepared statements"));
        }
        let pending: usize = self.names.iter().map(NameChange::bytes).sum();
        if self.statement_bytes + pending + bytes > limits::CLIENT_STATEMENT_BYTES {
            return Err(Fault::error(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                "the prepared statements of this session are too long together",
            )
            .with_hint("Close those that are not needed, or use the unnamed statement."));
        }
        Ok(())
    }

    /// The statement that a name means after all that the client has sent so far.
    pub(super) fn statement(&self, name: &[u8]) -> Option<Arc<Statement>> {
        let newest = self.names.iter().rev().find_map(|change| match change {
            NameChange::Set(changed, holding) if **changed == *name => Some(Some(holding)),
            NameChange::Remove(changed) if **changed == *name => Some(None),
            NameChange::RemoveAll if !name.is_empty() => Some(None),
            NameChange::Set(..) | NameChange::Remove(_) | NameChange::RemoveAll => None,
        });
        let found = match newest {
            Some(found) => found,
            None if name.is_empty() => self.unnamed.as_ref(),
            None => self.statements.get(name),
        };
        found.map(Holding::statement).cloned()
    }

    /// What a statement is behind the batch that has prepared it: an unnamed one of which server connections keep the text
    /// is the client's own there, since an error of one that is kept might no longer be mended ([`super::repeated`]).
    pub(super) fn outside_its_batch(&mut self, name: &[u8], statement: Arc<Statement>) -> Arc<Statement> {
        let of_batch =
            |change: &NameChange| matches!(change, NameChange::Set(changed, _) if changed.is_empty());
        if !name.is_empty() || !statement.is_repeated() || self.names.iter().any(of_batch) {
            return statement;
        }
        let own = self.shared.statements.as_unnamed(&statement, self.context);
        self.unnamed = Some(self.hold_again(b"", Arc::clone(&own)));
        own
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        if let Some(link) = &mut self.link {
            link.note_name(change.bytes_in_flight());
        }
        self.names.push_back(change);
    }

    /// The oldest change to the names has happened on the server.
    pub(super) fn apply_name_change(&mut self) {
        match self.names.pop_front() {
            Some(NameChange::Set(name, holding)) if name.is_empty() => self.unnamed = Some(holding),
            Some(NameChange::Set(name, holding)) => {
                let named = name.len();
                self.statement_bytes += holding.statement().bytes() + named;
                let replaced = self.statements.insert(name, holding);
                self.statement_bytes -= replaced.map_or(0, |held| held.statement().bytes() + named);
            }
            Some(NameChange::Remove(name)) if name.is_empty() => self.unnamed = None,
            Some(NameChange::Remove(name)) => {
                let removed = self.statements.remove(&name);
                if self.statements.capacity() > ORDINARY
                    && self.statements.len() < self.statements.capacity() / 4
                {
                    self.statements.shrink_to(2 * self.statements.len());
                }
                self.statement_bytes -= removed.map_or(0, |held| held.statement().bytes() + name.len());
            }
            Some(NameChange::RemoveAll) => {
                self.statements = HashMap::default();
                self.statement_bytes = 0;
            }
            None => {}
        }
        if self.names.is_empty() {
            self.names.shrink_to(ORDINARY);
        }
    }
}

/// Stands for a client's name of a statement, for what must not cost an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameHash(u32);

impl Session {
    /// What stands for a name.
    pub(super) fn hash_name(&self, name: &[u8]) -> NameHash {
        let hash = self.statements.hasher().hash_one(name);
        NameHash(u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default())
    }

    /// The client's name that this stands for; `None` for the unnamed statement, or one that is no more.
    pub(super) fn hashed_name(&self, hash: NameHash) -> Option<&[u8]> {
        let mut names = self.statements.keys();
        names
            .find(|name| self.hash_name(name) == hash)
            .map(|name| &**name)
    }
}

/// The error when a session keeps too many of something.
pub(super) fn too_many(what: &'static str) -> Fault {
    Fault::error(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        format!("too many {what} in one session"),
    )
    .with_hint(format!(
        "At most {} may exist at a time.",
        limits::CLIENT_STATEMENTS
    ))
}
