//! Sockets: a stream that is TCP or a Unix socket, and where it leads.

mod stream;

pub use stream::{Endpoint, Stream};
