//! Sockets: a stream that is TCP, TLS over it or a Unix socket, where it leads, and the buffers it is read into.

mod buffer;
mod gather;
mod stream;
pub mod tls;

pub use buffer::Inbox;
pub use stream::{Endpoint, Stream};
