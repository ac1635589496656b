//! One server connection: connect, log in, prepared statements, cancel.
