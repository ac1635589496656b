//! Messages of the server whose beginning the client gets in other words.

use crate::session::Session;
use crate::session::answer::relay::{COUNT_BYTES, Goes, Passing, Trouble, UNASKED_BYTES};
use crate::wire::encode;
use crate::wire::frame::{HEAD_BYTES, Head};
use crate::wire::tag::server as tag;

impl Session {
    /// Only a session that keeps its connection can have asked for notifications. Drivers tell their own by the
    /// process in it, which is that of BackendKeyData to them.
    pub(super) fn delivery_of_notification(&self, head: Head, body: &[u8]) -> Result<Goes, Trouble> {
        if head.body_len > UNASKED_BYTES {
            return Err(Trouble::Malformed("NotificationResponse"));
        }
        let from = body.first_chunk().map(|pid| i32::from_be_bytes(*pid));
        Ok(match self.server_pid() {
            _ if !self.keeps() => Goes::Nowhere,
            own if own.is_some() && own == from => Goes::AsOwnNotification,
            _ => Goes::ToClient,
        })
    }

    /// Gives the client the beginning that takes the place of the server's, and says how long that is.
    pub(super) fn put_beginning(&mut self, head: Head, goes: Goes, passing: &mut Passing<'_>) -> usize {
        match goes {
            Goes::ToClient | Goes::Held | Goes::Nowhere => 0,
            Goes::AsFunctionResult => {
                // The same value, without the row's count of columns.
                passing.flush(&mut self.client.outbox);
                let length = head.body_len - COUNT_BYTES;
                encode::put_head(&mut self.client.outbox, tag::FUNCTION_RESULT, length);
                HEAD_BYTES + COUNT_BYTES
            }
            Goes::AsOwnNotification => {
                passing.flush(&mut self.client.outbox);
                encode::put_head(&mut self.client.outbox, tag::NOTIFICATION, head.body_len);
                let pid = self.ticket.pid().to_be_bytes();
                self.client.outbox.extend_from_slice(&pid);
                HEAD_BYTES + pid.len()
            }
        }
    }
}
