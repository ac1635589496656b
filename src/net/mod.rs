//! Sockets: a stream that is TCP, TLS over it or a Unix socket, where it leads, and the buffers it is read into.

mod buffer;
mod descriptors;
mod gather;
#[cfg(any(test, feature = "in-process"))]
mod pipe;
mod stream;
pub mod tls;

pub use buffer::Inbox;
pub use descriptors::make_room;
#[cfg(any(test, feature = "in-process"))]
pub use pipe::{Pipe, PipeListener};
pub use stream::{Endpoint, Stream};
