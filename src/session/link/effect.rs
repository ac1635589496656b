//! What a reply means for the session once it has come.

use std::sync::Arc;

use crate::base::Fault;
use crate::session::answer::wording::Wording;
use crate::session::link::Opener;
use crate::session::memory::names::NameHash;
use crate::session::memory::statement::Statement;

/// The consequence of one reply.
#[derive(Debug)]
pub(crate) enum Effect {
    /// None.
    None,
    /// The server has prepared the statement of this id; and then the rest.
    Prepared(u64, Box<Effect>),
    /// The server has closed the evicted statement of this id.
    Evicted(u64),
    /// The server has used this prepared statement.
    Uses(Arc<Statement>),
    /// The same, for a portal: the oldest unconfirmed change to the portals has happened. The client has named
    /// the statement by a name of this hash, if it has named it at all.
    Bound(Arc<Statement>, Option<NameHash>),
    /// The client's oldest pending change to its statement names has happened.
    NameChanged,
    /// The oldest unconfirmed change to the portals has happened.
    PortalChanged,
    /// A transaction block has been opened by the client; its portal has run what it cannot run again.
    BlockBegan,
    /// A transaction has ended: its CommandComplete says whether it committed. Then this block is open.
    TransactionEnded(Opener),
    /// The session's setting has this name; its value was captured.
    SettingRead(Box<str>),
    /// The session's setting was reset to the server's default.
    SettingReset(Box<str>),
    /// From here on the server's errors concern this text; `None`: as they are.
    Worded(Option<Box<Wording>>),
    /// The server has read a whole string.
    WholeRead,
    /// What others have drawn from sequences on this connection is forgotten.
    SequencesForgotten,
    /// A savepoint of this name has been set.
    SavepointSet(Box<str>),
    /// It has been released.
    SavepointReleased(Box<str>),
    /// It has been returned to.
    RolledBackTo(Box<str>),
    /// The error that comes in place of this reply is ours to word.
    Refused(Box<Fault>),
}
