//! What the session has to do with a statement.

use std::ops::Range;

/// What the session has to do with an allowed statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs under the caller's identity.
    Query,
    /// `COPY … FROM STDIN`: runs under the caller's identity, then takes data from the client.
    CopyIn,
    /// `CALL` or `DO`: must run inside a transaction block, so that a COMMIT inside it fails.
    Call,
    /// `BEGIN` or `START TRANSACTION`, with any options.
    Begin,
    /// Sets a characteristic of the transaction: must go ahead of the identity, which takes a snapshot.
    SetTransaction,
    /// `COMMIT` or `END`.
    Commit {
        /// `AND CHAIN`: a new transaction begins at once, without identity.
        chain: bool,
    },
    /// `ROLLBACK` or `ABORT`.
    Rollback {
        /// `AND CHAIN`: a new transaction begins at once, without identity.
        chain: bool,
    },
    /// `PREPARE TRANSACTION`: ends the transaction here, to be finished by whoever names it.
    PrepareTransaction,
    /// `SAVEPOINT name`, the name as the server sees it.
    Savepoint(Box<str>),
    /// `RELEASE [SAVEPOINT] name`
    Release(Box<str>),
    /// `ROLLBACK TO [SAVEPOINT] name`
    RollbackTo(Box<str>),
    /// `SET` or `RESET` of one setting that the role may change.
    Set(SetSetting),
    /// `SET SESSION CHARACTERISTICS`: the modes of transactions to come, as settings of the session; at least
    /// one.
    SetDefaults(Box<[SetSetting]>),
    /// A query whose `set_config` calls set these for the session, in lower case. Its text says `true` where
    /// the client said `false`, so that they end with the transaction; what they are is to be read back.
    SetConfig(Box<[Box<str>]>),
    /// `RESET ALL`
    ResetAll,
    /// `DISCARD ALL`
    DiscardAll,
    /// `UNLISTEN`, of one channel or all: nothing is ever listened to.
    UnlistenAll,
    /// `CLOSE ALL`
    CloseAll,
    /// `DEALLOCATE name`, the name as the server sees it, or `DEALLOCATE ALL` as `None`.
    Deallocate(Option<Box<str>>),
    /// `PREPARE name … AS query` ([`Cleared::prepared`](crate::guard::Cleared::prepared)).
    Prepare(StatementName),
    /// `EXECUTE name …`, also in `CREATE TABLE … AS` and `EXPLAIN`: runs under the caller's identity, with the
    /// server's name in the place of the client's.
    Execute(StatementName),
    /// Refuses to run in a transaction block (`VACUUM`, `CREATE DATABASE`, `COMMIT PREPARED`, …): trusted roles
    /// alone, and always the sole statement of its text.
    Utility,
}

impl Action {
    /// Whether it is transaction control, which the guard has read to its last token.
    pub fn is_control(&self) -> bool {
        matches!(
            self,
            Self::Begin
                | Self::Commit { .. }
                | Self::Rollback { .. }
                | Self::PrepareTransaction
                | Self::Savepoint(_)
                | Self::Release(_)
                | Self::RollbackTo(_)
        )
    }
}

/// A client's name of a prepared statement within the text of another statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementName {
    /// The name as the server sees it.
    pub name: Box<str>,
    /// The bytes of [`Cleared::sql`](crate::guard::Cleared::sql) that spell it.
    pub place: Range<usize>,
}

/// A change to one setting. Only the guard makes one: its value is a part of a cleared text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSetting {
    pub(in crate::guard) name: Box<str>,
    pub(in crate::guard) scope: SetScope,
    pub(in crate::guard) value: SetValue,
}

impl SetSetting {
    /// The setting's name in lower case, as the server compares names without regard to case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long it lasts.
    pub fn scope(&self) -> SetScope {
        self.scope
    }

    /// What it becomes.
    pub fn value(&self) -> &SetValue {
        &self.value
    }
}

/// How long a `SET` lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetScope {
    /// For the session: `SET`, `SET SESSION`, `RESET`.
    Session,
    /// To the end of the transaction: `SET LOCAL`.
    Local,
}

/// What a `SET` sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// SQL text that can follow `SET LOCAL `, such as `"timezone" TO 'UTC'` or `TIME ZONE 'UTC'`. It holds
    /// no comment outside a literal and is made of whole tokens.
    Assign(Box<str>),
    /// `RESET x` or `SET x TO DEFAULT`.
    Default,
}
