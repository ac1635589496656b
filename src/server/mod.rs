//! One connection to a Postgres server: connect, log in, its prepared statements, rollback, cancel, close.

mod cancel;
mod conn;
mod connect;
mod encrypt;
mod error;
mod frame;
mod login;
mod message;
mod parameters;
mod password;
mod prepared;
mod reset;
mod rollback;

pub use cancel::CancelKey;
pub use conn::ServerConn;
pub use connect::Target;
pub use error::ServerError;
pub use parameters::Parameters;
pub use password::Password;
pub use prepared::PreparedSet;
