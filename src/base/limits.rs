//! Every maximum in one place, each with its reason. What a user may change is a config key instead.

use std::time::Duration;

/// Largest startup packet. Postgres allows 10,000 bytes (`MAX_STARTUP_PACKET_LENGTH`, pqcomm.h).
pub const STARTUP_PACKET_BYTES: usize = 10_000;

/// Largest token. Identity providers stay below 8 KiB; headers of common gateways stop at 16 KiB.
pub const TOKEN_BYTES: usize = 16 * 1024;

/// Largest authentication message: a token and its terminator.
pub const PASSWORD_MESSAGE_BYTES: usize = TOKEN_BYTES + 16;

/// Largest message of any kind: `PQ_LARGE_MESSAGE_LIMIT` (libpq.h), one byte under 1 GiB.
pub const MESSAGE_BYTES: usize = 0x3fff_ffff;

/// Largest key of a CancelRequest (protocol 3.2; PostgreSQL manual, 54.7).
pub const CANCEL_KEY_BYTES: usize = 256;

/// Longest name of a prepared statement or portal. Drivers stay below 100 bytes.
pub const CLIENT_NAME_BYTES: usize = 1024;

/// Named prepared statements one client may hold; beyond it Parse is refused with 53400.
pub const CLIENT_STATEMENTS: usize = 5_000;

/// Replies awaited from the server at one time. Beyond it the client's pipeline is read no further
/// until the server has answered.
pub const REPLIES_IN_FLIGHT: usize = 4_096;

/// Settings one session may keep.
pub const SESSION_SETTINGS: usize = 64;

/// Bytes of one session setting's value.
pub const SESSION_SETTING_BYTES: usize = 4_096;

/// Size of the buffers that are borrowed while bytes are in flight.
pub const BUFFER_BYTES: usize = 16 * 1024;

/// Clients that have not logged in yet and are served at one time on top of `max_client_conn`.
pub const PENDING_LOGINS: usize = 1_000;

/// How long a CancelRequest may take to reach the server.
pub const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
