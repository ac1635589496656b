//! The one event type: logic emits it; metrics, log and audit consume it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{DatabaseName, LoginName, RoleName, ServerName, SqlState, TenantName};

/// Something worth counting or logging. Carries no token, no secret and no statement text.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A client's socket was accepted.
    ClientAccepted,
    /// A client's socket was closed.
    ClientClosed {
        /// Why.
        end: ClientEnd,
        /// Whether it had logged in.
        authenticated: bool,
    },
    /// A session began.
    LoggedIn {
        /// The role its transactions run as.
        role: &'a RoleName,
        /// Its tenant, where it has one.
        tenant: Option<&'a TenantName>,
    },
    /// A login was refused.
    LoginRefused {
        /// The SQLSTATE the client was given.
        sqlstate: SqlState,
        /// Why, without the token.
        reason: &'a str,
    },
    /// The guard has judged a statement.
    Verdict {
        /// Allow or refuse.
        kind: VerdictKind,
        /// The statement's class, e.g. `SELECT`.
        class: &'static str,
    },
    /// An error was sent to a client, the server's or our own.
    ErrorSent {
        /// Its SQLSTATE.
        sqlstate: SqlState,
    },
    /// A client got a server connection from its pool.
    CheckedOut {
        /// How long it waited.
        waited: Duration,
    },
    /// A server connection came back from a client.
    CheckedIn {
        /// What became of it.
        verdict: CheckIn,
    },
    /// A server transaction ended.
    TransactionDone {
        /// From the checkout to the check-in.
        took: Duration,
        /// Bytes from client to server.
        bytes_in: u64,
        /// Bytes from server to client.
        bytes_out: u64,
    },
    /// A server connection was opened and has logged in.
    ServerOpened {
        /// The server.
        server: &'a ServerName,
        /// The database.
        database: &'a DatabaseName,
        /// The login.
        login: &'a LoginName,
    },
    /// A server connection was closed.
    ServerClosed {
        /// Why.
        reason: DiscardReason,
    },
    /// A server connection could not be opened.
    ServerConnectFailed {
        /// The server.
        server: &'a ServerName,
        /// What went wrong, without secrets.
        reason: &'a str,
    },
    /// A client began to wait for a server connection.
    WaitBegan {
        /// Clients that wait in the same pool, this one included.
        place: usize,
        /// What it waits for.
        reason: WaitReason,
    },
    /// A client stopped waiting, with a server connection or without.
    WaitEnded,
    /// A client was not let wait, or was sent away while it waited, as too many do.
    WaitShed,
    /// A CancelRequest arrived.
    CancelRequested {
        /// Whether its key matched a running query.
        matched: bool,
    },
    /// A key set was fetched, or could not be.
    KeysRefreshed {
        /// The issuer.
        issuer: &'a str,
        /// What went wrong, if anything.
        error: Option<&'a str>,
    },
    /// A changed policy was put into force, or could not be; the latter once for each reason.
    PolicyReloaded {
        /// Its name.
        policy: &'a str,
        /// What is wrong with its files, if anything.
        error: Option<&'a str>,
    },
    /// Changed certificates were put into force, or could not be; the latter once for each reason.
    CertificatesReloaded {
        /// Their files.
        files: &'a str,
        /// What is wrong with them, if anything.
        error: Option<&'a str>,
    },
    /// A changed tenants file was put into force, or could not be; the latter once for each change.
    TenantsReloaded {
        /// The file.
        file: &'a str,
        /// What is wrong with it, if anything.
        error: Option<&'a str>,
    },
    /// A changed users file was put into force, or could not be; the latter once for each reason.
    UsersReloaded {
        /// The file.
        file: &'a str,
        /// What is wrong with it, if anything.
        error: Option<&'a str>,
    },
}

/// What keeps a client waiting for a server connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// The pool has as many connections as it may, all in use.
    Pool,
    /// The server has as many connections as it may, none idle.
    Server,
    /// The client's tenant holds as many connections as it may.
    Cap,
    /// What is left is kept for the floors of other tenants.
    Floor,
    /// A connection is being opened, or will be as soon as a login may begin.
    Connecting,
}

impl WaitReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Pool, Self::Server, Self::Cap, Self::Floor, Self::Connecting];

    /// The reason as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Server => "server",
            Self::Cap => "cap",
            Self::Floor => "floor",
            Self::Connecting => "connecting",
        }
    }
}

/// What the guard decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictKind {
    /// The statement may run.
    Allow,
    /// It may not.
    Refuse,
}

/// What becomes of a server connection when its lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckIn {
    /// Idle and clean: the next client may have it.
    Reuse,
    /// In a transaction whose client is gone: rolled back first.
    Rollback,
    /// Idle, and its session is over: made as new first, or closed if that cannot be shown.
    Reset,
    /// Closed.
    Discard(DiscardReason),
}

/// Why a server connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscardReason {
    /// Its client vanished while replies were outstanding.
    ClientGone,
    /// The server closed it or the socket failed.
    ServerGone,
    /// The server sent something the protocol does not allow here.
    ProtocolViolation,
    /// A pinned setting changed under us.
    PinnedSetting,
    /// A cancel was sent for it, so a late signal might still arrive.
    Cancelled,
    /// Older than `server_lifetime`.
    Lifetime,
    /// Idle for longer than `server_idle_timeout`.
    Idle,
    /// Idle, and another pool of its server needed the room.
    Evicted,
    /// A statement wants its database for itself.
    DatabaseChanges,
    /// A time limit ended the transaction.
    Timeout,
    /// An answer grew beyond the policy's ceiling.
    Ceiling,
    /// Its lease was dropped without check-in.
    Dropped,
    /// A trusted session is done with it: what such a session can leave is not all known, or no reset takes it away.
    SessionEnded,
    /// A reset left something of its session on it.
    Unclean,
    /// Portcullis is shutting down.
    Shutdown,
}

impl DiscardReason {
    /// The reason as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::ServerGone => "server_gone",
            Self::ProtocolViolation => "protocol_violation",
            Self::PinnedSetting => "pinned_setting",
            Self::Cancelled => "cancelled",
            Self::Lifetime => "lifetime",
            Self::Idle => "idle",
            Self::Evicted => "evicted",
            Self::DatabaseChanges => "database_changes",
            Self::Timeout => "timeout",
            Self::Ceiling => "ceiling",
            Self::Dropped => "dropped",
            Self::SessionEnded => "session_ended",
            Self::Unclean => "unclean",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Why a client connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    /// It said Terminate, or closed between transactions.
    Terminated,
    /// It vanished in the middle of something.
    Vanished,
    /// It was refused at login.
    Refused,
    /// It broke the protocol.
    ProtocolViolation,
    /// Its token expired.
    Expired,
    /// The tenant directory does not have its tenant where it was any more.
    Displaced,
    /// A time limit ended it.
    Timeout,
    /// An answer inside a transaction block grew beyond the policy's ceiling.
    Ceiling,
    /// It did not read what its tenant has no memory for.
    OutOfMemory,
    /// The server connection failed under it.
    ServerGone,
    /// It was a CancelRequest.
    CancelRequest,
    /// Portcullis is shutting down.
    Shutdown,
}

impl From<ClientEnd> for DiscardReason {
    /// Why the server connection of a session that ends so is closed, where it has to be.
    fn from(end: ClientEnd) -> Self {
        match end {
            ClientEnd::Terminated | ClientEnd::Vanished | ClientEnd::OutOfMemory => Self::ClientGone,
            ClientEnd::ServerGone => Self::ServerGone,
            ClientEnd::Expired | ClientEnd::Timeout => Self::Timeout,
            ClientEnd::Ceiling => Self::Ceiling,
            ClientEnd::Shutdown => Self::Shutdown,
            ClientEnd::Displaced => Self::SessionEnded,
            ClientEnd::Refused | ClientEnd::ProtocolViolation | ClientEnd::CancelRequest => Self::ClientGone,
        }
    }
}

impl ClientEnd {
    /// The reason as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminated => "terminated",
            Self::Vanished => "vanished",
            Self::Refused => "refused",
            Self::ProtocolViolation => "protocol_violation",
            Self::Expired => "expired",
            Self::Displaced => "displaced",
            Self::Timeout => "timeout",
            Self::Ceiling => "ceiling",
            Self::OutOfMemory => "out_of_memory",
            Self::ServerGone => "server_gone",
            Self::CancelRequest => "cancel_request",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Whose session an event is of, for consumers that meter or audit. Asked for when it is wanted: it costs nothing else.
pub trait Who {
    /// Its tenant, where it has one.
    fn tenant(&self) -> Option<&TenantName>;

    /// The role that its token names.
    fn role(&self) -> &RoleName;

    /// Its token's subject, where that has one. It may be a person: never a label of a metric, nor in the ordinary log.
    fn subject(&self) -> Option<&str>;
}

/// A consumer of events. Called on the data path: must not block.
pub trait Observe: Send + Sync {
    /// Takes note of one event, and of whose session it is of; `None` for what is of no session, or of one that has not
    /// logged in.
    fn observe(&self, event: &Event<'_>, who: Option<&dyn Who>);
}

/// What a scrape of the operators' endpoint shows: it can be rendered by whoever serves it without knowing
/// who counts.
pub trait Exposition: Send + Sync {
    /// The media type of [`Exposition::render`].
    fn content_type(&self) -> &'static str;

    /// Every figure as text. Takes about a millisecond per thousand series, so not for a thread that
    /// carries traffic. An error is a defect, told to the log and not to the client.
    fn render(&self) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>>;
}

/// Where events go: a handle that is cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<dyn Observe>);

impl Events {
    /// Sends events to one consumer.
    pub fn new(consumer: Arc<dyn Observe>) -> Self {
        Self(consumer)
    }

    /// Drops every event: for tests and one-shot commands.
    pub fn none() -> Self {
        struct Nobody;
        impl Observe for Nobody {
            fn observe(&self, _: &Event<'_>, _: Option<&dyn Who>) {}
        }
        Self(Arc::new(Nobody))
    }

    /// Emits one event that is of no session.
    pub fn emit(&self, event: &Event<'_>) {
        self.0.observe(event, None);
    }

    /// Emits one event of a session.
    pub fn emit_of(&self, event: &Event<'_>, who: &dyn Who) {
        self.0.observe(event, Some(who));
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
