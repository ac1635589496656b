//! Every maximum in one place, each with its reason. What a user may change is a config key instead.

use std::time::Duration;

/// What a session may hold without being asked: its task and socket (8 KiB), and a buffer that half a message waits in.
/// Beyond what the budget sets apart for sessions it is charged to their tenants.
pub const SESSION_BYTES: usize = 24 * 1024;

/// The same for a session's TLS: keys, and half a record in each direction (rustls).
pub const TLS_BYTES: usize = 24 * 1024;

/// Claims, identity and startup settings of one session that are not counted. Most have some hundred bytes.
pub const SESSION_OWN_BYTES: usize = 4 * 1024;

/// Names and texts of prepared statements that any session may have, whatever its tenant holds.
pub const STATEMENTS_UNASKED_BYTES: usize = 16 * 1024;

/// What a session keeps of one prepared statement beside name and text, about.
pub const STATEMENT_ENTRY_BYTES: usize = 256;

/// Values that a session has SET, and its savepoints, that are not counted.
pub const SETTINGS_UNASKED_BYTES: usize = 8 * 1024;

/// Names and texts of open portals that are not counted. A transaction has few at a time.
pub const PORTALS_UNASKED_BYTES: usize = 64 * 1024;

/// Names and texts that replies under way are waited for, for one server connection. Beyond it the client's pipeline is
/// read no further until all of them have come.
pub const NAMES_IN_FLIGHT_BYTES: usize = 256 * 1024;

/// Bytes of a login's message that are not counted. A token has some 1 KiB.
pub const LOGIN_UNASKED_BYTES: usize = 4 * 1024;

/// Smallest budget of memory: less would refuse what drivers send every day.
pub const MEMORY_BUDGET_MIN: usize = 16 << 20;

/// Largest budget of memory: more than any machine has.
pub const MEMORY_BUDGET_MAX: usize = 1 << 46;

/// Largest startup packet. Postgres allows 10,000 bytes (`MAX_STARTUP_PACKET_LENGTH`, pqcomm.h).
pub const STARTUP_PACKET_BYTES: usize = 10_000;

/// Largest token. Identity providers stay below 8 KiB; headers of common gateways stop at 16 KiB.
pub const TOKEN_BYTES: usize = 16 * 1024;

/// Largest authentication message: a token and its terminator.
pub const PASSWORD_MESSAGE_BYTES: usize = TOKEN_BYTES + 16;

/// Largest message of a SCRAM exchange (`PG_MAX_SASL_MESSAGE_LENGTH`, auth-scram.c).
pub const SASL_MESSAGE_BYTES: usize = 1024;

/// Largest message of an OAUTHBEARER exchange: a token and what is around it.
pub const BEARER_MESSAGE_BYTES: usize = TOKEN_BYTES + 1024;

/// What is still read, and dropped, from a client that was refused at login, so that it comes to read why: a
/// socket that is closed with unread bytes in it takes back what was sent.
pub const REFUSED_BYTES: usize = 64 * 1024;

/// Largest message of any kind: `PQ_LARGE_MESSAGE_LIMIT` (libpq.h), one byte under 1 GiB.
pub const MESSAGE_BYTES: usize = 0x3fff_ffff;

/// Largest key of a CancelRequest (protocol 3.2; PostgreSQL manual, 54.7).
pub const CANCEL_KEY_BYTES: usize = 256;

/// Longest name of a prepared statement or portal. Drivers stay below 100 bytes.
pub const CLIENT_NAME_BYTES: usize = 1024;

/// Named prepared statements one client may hold; beyond it Parse is refused with 53400.
pub const CLIENT_STATEMENTS: usize = 5_000;

/// Bytes of text that the named prepared statements of one client may have in all; beyond it Parse is refused
/// with 53400.
pub const CLIENT_STATEMENT_BYTES: usize = 16 << 20;

/// Bytes of text that the prepared statements of one server connection may have in all, beside their number
/// (`server_prepared_statements`); the least recently used ones make room. The server keeps trees and plans of them
/// in each of its processes, some ten times as large: what fits here costs it some 40 MB. The two hundred statements
/// of an ordinary application are a tenth of it.
pub const SERVER_STATEMENT_BYTES: usize = 4 << 20;

/// Memory for all prepared statements that sessions share, texts included. One that is pushed out stays with the
/// sessions that have it; the next to prepare its text has it under a new name.
pub const SHARED_STATEMENT_BYTES: u64 = 64 << 20;

/// Memory for those of them that no client has prepared: texts that the guard keeps, or their shapes.
pub const REPEATED_STATEMENT_BYTES: u64 = 4 << 20;

/// Memory for preludes. Deployments have one for each set of settings that their drivers make.
pub const PRELUDE_BYTES: u64 = 4 << 20;

/// Memory for what servers show for the settings that clients begin with. Drivers send the same few; a client that
/// makes up new ones pays for its own question to the server each time.
pub const CANONICAL_BYTES: u64 = 4 << 20;

/// Replies awaited from the server at one time. Beyond it the client's pipeline is read no further
/// until the server has answered.
pub const REPLIES_IN_FLIGHT: usize = 4_096;

/// Largest batch of a client's messages that is kept until it is answered, to be sent again if the server's
/// prepared statement turns out to be stale. What drivers send for one statement is far smaller.
pub const REPLAYED_BATCH_BYTES: usize = 8 * 1024;

/// How long what a client has asked for may go on after it has said Terminate and closed its socket. Nobody can
/// cancel it any more, and others wait for its server connection.
pub const WORK_AFTER_GOODBYE: Duration = Duration::from_secs(5);

/// Settings one session may keep.
pub const SESSION_SETTINGS: usize = 64;

/// Bytes of what a SET of the session assigns; beyond it SET is refused with 53400. The server's own form of a
/// value, with quotes and blanks of its own, must still fit a buffer (`BUFFER_BYTES`).
pub const SESSION_SETTING_BYTES: usize = 6_000;

/// Changes to settings of the session that one transaction may remember: those that its savepoints can take back
/// count for each of them. Beyond it SET is refused with 53400.
pub const PENDING_SETTINGS: usize = 128;

/// Savepoints of one transaction, those aside that have the same name as the one before them. Beyond it SAVEPOINT
/// is refused with 53400; a server has long become slow by then.
pub const SAVEPOINTS: usize = 10_000;

/// Size of the buffers that are borrowed while bytes are in flight.
pub const BUFFER_BYTES: usize = 16 * 1024;

/// Size of the buffers that bulk is read into: rows and copy data of some megabytes and more. Twice as much saves little.
pub const BULK_BUFFER_BYTES: usize = 64 * 1024;

/// Work of a session on its client's messages and its server's answers before others may go first: see [`UNIT_BYTES`].
/// Some 200 microseconds at most, which is what as many new texts take to judge.
pub const WORK_PER_TURN: u32 = 8;

/// Work that the sessions of a tenant do in a millisecond without waiting for turns. As much as 8,000 simple statements
/// a second need.
pub const WORK_PER_MILLISECOND: i64 = 16;

/// Work that verifying a token counts as.
pub const TOKEN_WORK: u32 = 8;

/// Work that accepting or closing a socket counts as.
pub const SOCKET_WORK: u32 = 4;

/// Bytes of messages that count as one unit of work; each message counts as one more.
pub const UNIT_BYTES: usize = 512;

/// A statement from this many bytes on is judged beside other sessions' work: the guard may take a millisecond, where
/// to move the others to another thread takes a fraction of that.
pub const LONG_TEXT_BYTES: usize = 16 * 1024;

/// Connections that the kernel has taken for us and we have not: what comes in a tenth of a second of a storm of logins.
/// The kernel has a limit of its own (`net.core.somaxconn`, 4,096 on Linux).
pub const LISTEN_BACKLOG: u32 = 4_096;

/// How long a CancelRequest may take to reach the server.
pub const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest message of a server's login, or of its answer to ROLLBACK. libpq holds every message that is not
/// data to 30,000 bytes (`VALID_LONG_MESSAGE_TYPE`, fe-protocol3.c).
pub const SERVER_CONTROL_MESSAGE_BYTES: usize = 30_000;

/// All bytes a server may send during one login or one rollback: some 20 settings, a few notices.
pub const SERVER_CONTROL_BYTES: usize = 256 * 1024;

/// How long the rollback of a transaction whose client is gone may take before the connection is closed.
pub const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long making a server connection as new may take before it is closed instead: DISCARD ALL and one query
/// take a millisecond or two.
pub const RESET_TIMEOUT: Duration = Duration::from_secs(5);

/// Logins under way at one time in one pool: enough to grow fast, too few to be a storm.
pub const CONNECTS_PER_POOL: usize = 4;

/// How long a pool keeps its last connection while it has clients for it and another pool of the server waits
/// for its first: long enough to pay for the login that the change costs.
pub const POOL_TENURE: Duration = Duration::from_millis(50);

/// By how much its weight may make that longer.
pub const POOL_TENURE_WEIGHT: u32 = 8;

/// Shortest back-off after a failed login to a server, whatever `server_login_retry` says.
pub const SERVER_LOGIN_RETRY_MIN: Duration = Duration::from_millis(100);

/// Longest back-off after failed logins to a server, unless `server_login_retry` is longer: a server that
/// is up again is noticed within this time.
pub const SERVER_LOGIN_RETRY_MAX: Duration = Duration::from_secs(5);

/// Idle server connections looked at for one that last served the wanted role. Bounds the time under the
/// pool's lock.
pub const ROLE_AFFINITY_SCAN: usize = 16;

/// Pools held at one time. Each is a few hundred bytes; empty ones are dropped after `POOL_UNUSED`.
pub const POOLS: usize = 65_536;

/// Pools whose connections are opened at start-up and kept, for tenants with a rank. More would be a storm of
/// logins rather than a warm start.
pub const WARM_POOLS: usize = 1_024;

/// How long an empty pool that nobody holds is kept.
pub const POOL_UNUSED: Duration = Duration::from_secs(60);
