//! A session that has a server connection: what needs one can only be asked of this.

use std::sync::Arc;

use crate::base::{Fault, SqlState, limits};
use crate::guard::{Action, Cleared, StatementClass, databases_wanted_alone};
use crate::session::link::effect::Effect;
use crate::session::link::warrant::{ParseWarrant, Warrant};
use crate::session::link::{Left, Link, Opener};
use crate::session::memory::pending::SAVEPOINT_BYTES;
use crate::session::memory::setup::Setup;
use crate::session::memory::statement::{self, BEGIN, COMMIT};
use crate::session::request::policy::InForce;
use crate::session::{Identity, Session, Shared};
use crate::wire::replies::{Delivery, Own};

/// A session's server connection, and the parts of the session that decide what is sent on it.
pub(super) struct Linked<'s> {
    pub(super) link: &'s mut Link,
    pub(super) setup: &'s mut Setup,
    pub(super) shared: &'s Arc<Shared>,
    pub(super) identity: &'s Identity,
    policy: &'s InForce,
}

impl Session {
    /// The session with its server connection; `None` while it has none.
    pub(super) fn linked(&mut self) -> Option<Linked<'_>> {
        Some(Linked {
            link: self.link.as_deref_mut()?,
            setup: &mut self.setup,
            shared: &self.shared,
            identity: &self.identity,
            policy: &self.policy,
        })
    }
}

impl Linked<'_> {
    /// The right to run a statement.
    pub(super) fn warrant(&mut self, action: Option<&Action>) -> Warrant {
        self.link.warrant(action, self.setup.opening())
    }

    /// The right to have a statement read.
    pub(super) fn parse_warrant(&mut self, action: Option<&Action>) -> ParseWarrant {
        self.link.parse_warrant(action, self.setup.opening())
    }

    /// The right to run any statement.
    pub(super) fn warrant_for_any(&mut self) -> Warrant {
        self.link.warrant_for_any(self.setup.opening())
    }

    /// Opens a transaction block of our own, unless one is open.
    pub(super) fn open_own_block(&mut self) {
        let link = &mut *self.link;
        if !link.block.is_open() {
            link.block.opens_ours();
            let begin = &self.shared.statements.internal.begin;
            link.run_internal(begin, BEGIN, &[], Delivery::Hide, Effect::None);
        }
    }

    /// Whether a block of our own is open that has not failed.
    fn has_own_block(&self) -> bool {
        self.link.block.is_ours() && !self.link.batch.has_failed()
    }

    /// Commits the block of our own, if one is open.
    pub(super) fn commit_own_block(&mut self) {
        if self.has_own_block() {
            self.link.transaction_ends(Opener::Nobody);
            let ended = Effect::TransactionEnded(Opener::Nobody);
            let commit = &self.shared.statements.internal.commit;
            self.link.run_internal(commit, COMMIT, &[], Delivery::Hide, ended);
        }
    }

    /// The tag of a BEGIN that makes the block of our own the client's: to the server too, what came before it in the same
    /// string or pipeline is part of its transaction (`BeginTransactionBlock`, xact.c). Not where it names modes:
    /// our block has a snapshot, which is too late for them.
    pub(super) fn taken_over_by(&self, cleared: &Cleared) -> Option<&'static str> {
        let takes_over = matches!(cleared.action(), Action::Begin) && self.has_own_block();
        takes_over.then(|| begin_tag(cleared.sql())).flatten()
    }

    /// Runs such a BEGIN, of which the server need not hear. Returns whether it was one.
    pub(super) fn take_over_block(&mut self, cleared: &Cleared, portal: &[u8]) -> bool {
        let Some(tag) = self.taken_over_by(cleared) else {
            return false;
        };
        self.link.block.opens_clients();
        self.link.portals.close(portal);
        self.link.answer(Own::Command(tag), Effect::BlockBegan);
        true
    }

    /// What insists on a transaction block finds one behind the prelude on newer servers, and would be lost at
    /// the Sync: it fails as it does by itself (`RequireTransactionBlock`, xact.c).
    pub(super) fn misses_block(&self, cleared: &Cleared) -> Option<Fault> {
        let what = match cleared.class() {
            // One WITH HOLD needs no block. A word of the query is as good: then the server decides.
            StatementClass::Declare if !cleared.sql().to_ascii_lowercase().contains("hold") => {
                "DECLARE CURSOR"
            }
            StatementClass::Lock => "LOCK TABLE",
            _ => return None,
        };
        (!self.link.block.is_open()).then(|| {
            Fault::error(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                format!("{what} can only be used in transaction blocks"),
            )
        })
    }

    /// Keeps account of what executing a portal does to the transaction. Called right before it is sent; an
    /// error is what the client gets instead.
    pub(super) fn before_execution(&mut self, cleared: &Cleared, portal: &[u8]) -> Result<Effect, Fault> {
        match cleared.action() {
            Action::Call => self.open_own_block(),
            Action::SetConfig(names) => self.before_set_config(names)?,
            Action::Begin => self.commit_own_block(),
            Action::Savepoint(_) if self.setup.savepoints() >= limits::SAVEPOINTS => {
                return Err(too_many_savepoints());
            }
            Action::Savepoint(_) => self.setup.ask(self.identity.stay.account(), SAVEPOINT_BYTES)?,
            _ => {}
        }
        self.note_alteration(cleared);
        self.make_way(cleared);
        let link = &mut *self.link;
        Ok(match cleared.action() {
            Action::Begin => {
                link.put_modes(&self.setup.opening().modes);
                link.block.opens_clients();
                link.portals.close(portal);
                Effect::BlockBegan
            }
            Action::SetTransaction => {
                link.put_modes(&self.setup.opening().modes);
                Effect::None
            }
            Action::Commit { chain } | Action::Rollback { chain } => {
                let next = if *chain { Opener::Client } else { Opener::Nobody };
                link.transaction_ends(next);
                Effect::TransactionEnded(next)
            }
            Action::PrepareTransaction => {
                link.transaction_ends(Opener::Nobody);
                Effect::TransactionEnded(Opener::Nobody)
            }
            Action::Savepoint(name) => Effect::SavepointSet(name.clone()),
            Action::Release(name) => Effect::SavepointReleased(name.clone()),
            Action::RollbackTo(name) => Effect::RolledBackTo(name.clone()),
            Action::Query
            | Action::CopyIn
            | Action::Call
            | Action::Set(_)
            | Action::SetDefaults(_)
            | Action::SetConfig(_)
            | Action::ResetAll
            | Action::DiscardAll
            | Action::UnlistenAll
            | Action::CloseAll
            | Action::Deallocate(_)
            | Action::Prepare(_)
            | Action::Execute(_)
            | Action::Utility => Effect::None,
        })
    }

    /// The same, right after it was sent.
    pub(super) fn after_execution(&mut self, action: &Action) {
        match action {
            Action::SetConfig(names) => self.after_set_config(names),
            Action::CopyIn => self.link.batch.asks_for_copy(),
            _ => {}
        }
    }

    /// A statement is about to be sent. If it fails while others are connected to a database, our own idle
    /// connections shall not be those others.
    fn make_way(&mut self, cleared: &Cleared) {
        for database in databases_wanted_alone(cleared) {
            let server = &self.identity.pool.key().server;
            self.shared.pools.leave_database(server, &database);
        }
    }

    /// A statement is about to be sent. If it changes shapes, statements prepared before it do not serve what
    /// comes behind it, and those that others prepare before it is committed do not serve what comes then. If it
    /// runs code that nobody has judged, the connection is made as new before it serves others.
    pub(super) fn note_alteration(&mut self, cleared: &Cleared) {
        let class = cleared.class();
        let left = match class {
            StatementClass::Load => Left::ForGood,
            _ if cleared.marks_connection() => Left::ForGood,
            StatementClass::Do => Left::ByCode,
            // An end user calls a procedure of the application's, which answers for it as for its functions.
            StatementClass::Call if self.policy.is_trusted() => Left::ByCode,
            _ => Left::Nothing,
        };
        self.link.traces.leave(left);
        if statement::alters_shapes(class) {
            self.link.traces.alter_shapes();
            self.shared.statements.renew();
        }
    }
}

fn too_many_savepoints() -> Fault {
    Fault::error(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        "too many savepoints in one transaction",
    )
    .with_hint(format!(
        "At most {} may be set at a time. Release those that are not needed.",
        limits::SAVEPOINTS
    ))
}

/// The tag of a BEGIN without modes; `None` for any other, or one with a comment in it.
fn begin_tag(sql: &str) -> Option<&'static str> {
    let words: Vec<String> = sql.split_whitespace().map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["begin"] | ["begin", "work" | "transaction"] => Some("BEGIN"),
        ["start", "transaction"] => Some("START TRANSACTION"),
        _ => None,
    }
}
