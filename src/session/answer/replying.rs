//! How a message is answered without the server: at once, or in its turn while the server answers others.

use crate::base::{Fault, SqlState};
use crate::session::link::effect::Effect;
use crate::session::memory::settings::Standing;
use crate::session::request::inbound::Outcome;
use crate::session::{Session, Skipping};
use crate::wire::body::BadBody;
use crate::wire::encode::TransactionStatus;
use crate::wire::replies::Own;
use crate::wire::tag::client as tag;

impl Session {
    /// Fails the message at hand, which belongs to the extended protocol.
    pub(in crate::session) fn refuse(&mut self, fault: Fault) -> Outcome {
        self.fail(fault);
        Outcome::Done
    }

    /// Gives the replies of our own whose turn has come. In the middle of a message of the server's they wait for its end.
    pub(in crate::session) fn give_own_replies(&mut self) {
        if !self.answers.is_between_frames() {
            return;
        }
        while let Some((own, effect)) = self.link.as_mut().and_then(|link| link.replies.take_own()) {
            own.put(&mut self.client.outbox);
            self.apply(effect, &[]);
        }
    }

    /// Gives a reply of our own: in its turn while a server takes part, at once otherwise.
    pub(in crate::session) fn answer(&mut self, own: Own, effect: Effect) {
        match &mut self.link {
            Some(link) if !link.is_clean() => link.answer(own, effect),
            _ => {
                own.put(&mut self.client.outbox);
                if let Effect::NameChanged = effect {
                    self.names.apply_change();
                }
            }
        }
    }

    /// Fails the statement at hand. Within a transaction or a pipeline the server is made to fail at the
    /// same place; otherwise the client is told at once. Afterwards the client's messages are skipped to
    /// its next Sync.
    pub(in crate::session) fn fail(&mut self, fault: Fault) {
        match &mut self.link {
            Some(link) if !link.is_clean() => link.poison(fault),
            _ => self.say(&fault),
        }
        self.skipping = Skipping::ToSync;
    }

    /// A message whose body has not its form: an error, and the session goes on, as with Postgres.
    pub(in crate::session) fn bad_body(&mut self, tag: u8, bad: BadBody) -> Outcome {
        self.fail_message(tag, Fault::error(SqlState::PROTOCOL_VIOLATION, bad.to_string()));
        Outcome::Done
    }

    /// Fails the message at hand. One after which no Sync has to come ends its batch.
    pub(in crate::session) fn fail_message(&mut self, tag: u8, fault: Fault) {
        self.fail(fault);
        if matches!(tag, tag::QUERY | tag::FUNCTION_CALL) {
            self.end_batch();
        }
    }

    /// Fails the Query or FunctionCall at hand.
    pub(in crate::session) fn fail_query(&mut self, fault: Fault) -> Outcome {
        self.fail_message(tag::QUERY, fault);
        Outcome::Done
    }

    /// Ends the batch: by the server where it takes part, by ourselves where it does not.
    pub(in crate::session) fn end_batch(&mut self) {
        self.skipping = Skipping::No;
        match self.linked() {
            Some(mut linked) if !linked.link.is_clean() => {
                linked.commit_own_block();
                linked.link.sync();
            }
            _ => {
                self.apply_own_changes();
                self.say_reports(Standing::Outside);
                self.say_ready(TransactionStatus::Idle);
                self.check_in_if_done();
            }
        }
    }
}
