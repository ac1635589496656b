//! Sockets: a stream that is TCP or a Unix socket, where it leads, and the buffers it is read into.

mod buffer;
mod stream;

pub use buffer::Inbox;
pub use stream::{Endpoint, Stream};
