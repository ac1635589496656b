//! How much a transaction may return under its policy.

use crate::base::{CheckIn, ClientEnd, DiscardReason, Fault, PoolMode, SqlState};
use crate::guard::{Ceilings, Policy};
use crate::session::request::inbound::Inbound;
use crate::session::{Session, Skipping};
use crate::wire::encode::TransactionStatus;
use crate::wire::frame::{HEAD_BYTES, Head};
use crate::wire::tag::server as tag;

/// What the client was given in the transaction that runs now.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::session) struct Tally {
    rows: u64,
    bytes: u64,
}

impl Tally {
    /// Takes note of a message for the client. Returns whether it goes beyond the ceilings.
    ///
    /// All that can carry what tables hold counts, by bytes: rows, copy data, and the text of notices and errors. A
    /// notice counts as a row as well, since a loop can raise one for each; an error is the last of its statement.
    pub(in crate::session) fn exceeds(&mut self, ceilings: Ceilings, head: Head) -> bool {
        self.rows += match head.tag {
            tag::DATA_ROW | tag::COPY_DATA | tag::NOTICE => 1,
            tag::ERROR => 0,
            _ => return false,
        };
        self.bytes += (HEAD_BYTES + head.body_len) as u64;
        ceilings.rows.is_some_and(|most| self.rows > most)
            || ceilings.bytes.is_some_and(|most| self.bytes > most)
    }

    /// The transaction is over, and with it the count.
    pub(in crate::session) fn settle(&mut self) {
        *self = Self::default();
    }
}

impl Session {
    /// An answer has grown beyond the policy's ceiling: the server connection is closed, which cancels what it
    /// runs. Outside a transaction block the session goes on; a block is lost with its connection, and with it
    /// the session ends. Returns the end, if it is one.
    pub(in crate::session) fn cut_answer(&mut self) -> Option<ClientEnd> {
        let link = self.link.take()?;
        self.ticket.slot().end();
        self.tally.settle();
        self.names.fail_changes(false);
        self.setup.rollback();
        // A session that keeps its connection is nothing without it.
        let goes_on = self.identity.route.mode == PoolMode::Transaction
            && !link.block.is_or_becomes_clients()
            && link.is_past_copy()
            && !matches!(self.inbound, Inbound::Forward(_));
        let is_synced = link.batch.is_synced() || link.script.is_some();
        link.end().check_in(CheckIn::Discard(DiscardReason::Ceiling));
        self.clock.is_idle_from(tokio::time::Instant::now());
        let fault = too_much(&self.policy);
        if !goes_on {
            self.say(&Fault::fatal(fault.0, fault.1).with_hint(HINT));
            return Some(ClientEnd::Ceiling);
        }
        self.say(&Fault::error(fault.0, fault.1).with_hint(HINT));
        if is_synced {
            self.skipping = Skipping::No;
            self.say_ready(TransactionStatus::Idle);
        } else {
            self.skipping = Skipping::ToSync;
        }
        None
    }
}

const HINT: &str = "Ask for fewer rows, with LIMIT or in transactions of their own. If the statement wrote, look whether it took effect.";

fn too_much(policy: &Policy) -> (SqlState, String) {
    let Ceilings { rows, bytes } = policy.ceilings();
    let parts = [
        rows.map(|rows| format!("{rows} rows")),
        bytes.map(|bytes| format!("{bytes} bytes")),
    ];
    let most: Vec<String> = parts.into_iter().flatten().collect();
    let message = format!(
        "a transaction may return at most {} under the policy \"{}\"",
        most.join(" or "),
        policy.name()
    );
    (SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_data_is_counted_until_the_transaction_ends() {
        let ceilings = Ceilings {
            rows: Some(2),
            bytes: Some(40),
        };
        let mut tally = Tally::default();
        let mut exceeds = |tag, body_len| tally.exceeds(ceilings, Head { tag, body_len });
        assert!(!exceeds(tag::DATA_ROW, 5) && !exceeds(tag::COPY_DATA, 5));
        for neutral in [tag::PORTAL_SUSPENDED, tag::COMMAND_COMPLETE, tag::READY] {
            assert!(!exceeds(neutral, 1_000));
        }
        assert!(!exceeds(tag::ERROR, 9) && exceeds(tag::NOTICE, 1));
        tally.settle();
        let mut exceeds = |tag, body_len| tally.exceeds(ceilings, Head { tag, body_len });
        assert!(!exceeds(tag::DATA_ROW, 20) && exceeds(tag::ERROR, 20));
    }
}
