//! SQLSTATE codes that Portcullis itself raises (PostgreSQL manual, appendix A).

use std::fmt;

/// A five-character SQLSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

macro_rules! sqlstates {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl SqlState {
            $($(#[$doc])* pub const $name: Self = Self(*$code);)*

            /// Every code that Portcullis itself raises.
            pub const OWN: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

sqlstates! {
    /// The statement or feature cannot work in transaction mode.
    FEATURE_NOT_SUPPORTED = b"0A000";
    /// The server could not be reached, or the connection to it was lost.
    CONNECTION_FAILURE = b"08006";
    /// A message that the protocol does not allow here.
    PROTOCOL_VIOLATION = b"08P01";
    /// Portal does not exist.
    INVALID_CURSOR_NAME = b"34000";
    /// Prepared statement does not exist.
    INVALID_STATEMENT_NAME = b"26000";
    /// A parameter value that is not acceptable.
    INVALID_PARAMETER_VALUE = b"22023";
    /// Bytes that are not valid in the encoding.
    CHARACTER_NOT_IN_REPERTOIRE = b"22021";
    /// A command that cannot run inside a transaction block.
    ACTIVE_SQL_TRANSACTION = b"25001";
    /// A command that can only run inside a transaction block.
    NO_ACTIVE_SQL_TRANSACTION = b"25P01";
    /// A transaction sat idle too long.
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = b"25P03";
    /// The token or the requested identity does not permit the login.
    INVALID_AUTHORIZATION = b"28000";
    /// The password (token) is wrong.
    INVALID_PASSWORD = b"28P01";
    /// The database (tenant) does not exist.
    INVALID_CATALOG_NAME = b"3D000";
    /// Syntax error, also of text that cannot be lexed.
    SYNTAX_ERROR = b"42601";
    /// A name that is cut.
    NAME_TOO_LONG = b"42622";
    /// The guard refuses the statement.
    INSUFFICIENT_PRIVILEGE = b"42501";
    /// A prepared statement of that name exists already.
    DUPLICATE_PREPARED_STATEMENT = b"42P05";
    /// A tenant may not hold more memory now.
    OUT_OF_MEMORY = b"53200";
    /// A limit of Portcullis or of the tenant is reached.
    TOO_MANY_CONNECTIONS = b"53300";
    /// The configured limit of something else than connections is exceeded.
    CONFIGURATION_LIMIT_EXCEEDED = b"53400";
    /// A statement or message is larger or more complex than the limits allow.
    PROGRAM_LIMIT_EXCEEDED = b"54000";
    /// A statement nests too deeply.
    STATEMENT_TOO_COMPLEX = b"54001";
    /// A query was cancelled on request of the user.
    QUERY_CANCELED = b"57014";
    /// Shutting down, or the session's token or client certificate has expired.
    ADMIN_SHUTDOWN = b"57P01";
    /// The server cannot take connections now.
    CANNOT_CONNECT_NOW = b"57P03";
    /// The session was idle too long.
    IDLE_SESSION_TIMEOUT = b"57P05";
    /// A defect of Portcullis.
    INTERNAL_ERROR = b"XX000";
}

impl SqlState {
    /// A code as a server sent it; `None` unless it is five ASCII letters or digits.
    pub fn from_bytes(code: &[u8]) -> Option<Self> {
        let code: [u8; 5] = code.try_into().ok()?;
        code.iter()
            .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
            .then_some(Self(code))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
