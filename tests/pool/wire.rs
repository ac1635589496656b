//! Just enough protocol to use a lease.

use bytes::BytesMut;
use portcullis::pool::Lease;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The answer to one simple Query.
#[derive(Debug)]
pub(crate) struct Reply {
    /// First column of each row.
    pub(crate) values: Vec<String>,
    /// SQLSTATE of the error, if there was one.
    pub(crate) error: Option<String>,
    /// Transaction status of ReadyForQuery.
    pub(crate) status: u8,
}

/// Sends a Query and reads to ReadyForQuery.
pub(crate) async fn query(lease: &mut Lease, sql: &str) -> Reply {
    send(lease, sql).await;
    let mut reply = Reply {
        values: Vec::new(),
        error: None,
        status: 0,
    };
    loop {
        let mut header = [0; 5];
        lease.stream.read_exact(&mut header).await.unwrap();
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize - 4;
        let mut body = vec![0; length];
        lease.stream.read_exact(&mut body).await.unwrap();
        match header[0] {
            b'D' => reply.values.push(String::from_utf8(body[6..].to_vec()).unwrap()),
            b'E' => {
                let code = body
                    .split(|byte| *byte == 0)
                    .find(|field| field.first() == Some(&b'C'))
                    .unwrap();
                reply.error = Some(String::from_utf8(code[1..].to_vec()).unwrap());
            }
            b'Z' => {
                reply.status = body[0];
                return reply;
            }
            _ => {}
        }
    }
}

/// Sends a Query and reads nothing.
pub(crate) async fn send(lease: &mut Lease, sql: &str) {
    let mut request = BytesMut::new();
    frontend::query(sql, &mut request).unwrap();
    lease.stream.write_all(&request).await.unwrap();
}

/// The backend's process id, asked of the server itself.
pub(crate) async fn backend(lease: &mut Lease) -> String {
    query(lease, "SELECT pg_backend_pid()").await.values.remove(0)
}
