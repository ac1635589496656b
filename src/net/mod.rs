//! Sockets: a stream that is TCP, TLS over it or a Unix socket, where it leads, and the buffers it is read into.

mod buffer;
mod descriptors;
mod gather;
mod stream;
pub mod tls;

pub use buffer::Inbox;
pub use descriptors::make_room;
pub use stream::{Endpoint, Stream};
