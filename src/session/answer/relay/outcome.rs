//! What an answer of the server changes here: completions, errors, the end of a batch.

use crate::base::{ClientEnd, Event, SqlState};
use crate::session::answer::relay::{Goes, Held, Passing, Trouble};
use crate::session::answer::wording;
use crate::session::link::effect::Effect;
use crate::session::link::{Healing, Left, Link};
use crate::session::memory::names::NameHash;
use crate::session::memory::settings::Standing;
use crate::session::memory::statement::Statement;
use crate::session::{Session, Skipping};
use crate::wire::encode::TransactionStatus;
use crate::wire::notice;
use crate::wire::replies::{Delivery, Entry};
use crate::wire::tag::server as tag;

impl Session {
    /// A reply has come in full: its consequences. `body` is that of the CommandComplete, where it is one.
    pub(in crate::session) fn apply(&mut self, effect: Effect, body: &[u8]) {
        match effect {
            Effect::None
            | Effect::Evicted(_)
            | Effect::Uses(_)
            | Effect::SequencesForgotten
            | Effect::WholeRead
            | Effect::Refused(_) => {}
            Effect::Prepared(_, then) => self.apply(*then, body),
            Effect::NameChanged => self.names.apply_change(),
            Effect::PortalChanged | Effect::Bound(..) => {
                if let Some(link) = &mut self.link {
                    link.portals.confirm();
                }
            }
            Effect::BlockBegan => {
                if let Some(link) = &mut self.link {
                    link.portals.confirm();
                    link.block.has_opened();
                }
            }
            Effect::TransactionEnded(next) => {
                self.tally.settle();
                if let Some(link) = &mut self.link {
                    link.block.has_ended(next);
                }
                // The end of a failed transaction is answered with ROLLBACK. A prepared one has let go of its
                // settings, whatever becomes of it (PostgreSQL manual, PREPARE TRANSACTION).
                if body.starts_with(b"COMMIT") || body.starts_with(b"PREPARE TRANSACTION") {
                    self.apply_own_changes();
                } else {
                    self.setup.rollback();
                }
            }
            Effect::SettingRead(name) => {
                if let Some(value) = self.answers.captured.take() {
                    self.setup.change(name, Some(value));
                    self.setup.settle(self.identity.stay.account());
                }
            }
            Effect::SettingReset(name) => self.setup.change(name, None),
            Effect::Worded(wording) => {
                if let Some(link) = &mut self.link {
                    link.words.are(wording);
                }
            }
            Effect::SavepointSet(name) => self.setup.savepoint(&name),
            Effect::SavepointReleased(name) => self.setup.release(&name),
            Effect::RolledBackTo(name) => self.setup.roll_back_to(&name),
        }
    }

    /// An error: the server skips to the next Sync, and so do we. `body` is what has come of its `body_len` bytes.
    pub(super) fn on_error(
        &mut self,
        body: &[u8],
        body_len: usize,
        passing: &mut Passing<'_>,
    ) -> Result<Goes, Trouble> {
        let error = notice::prefix(body);
        if error.ends_connection {
            self.answers.ending = Some(ClientEnd::ServerGone);
        }
        let link = self.link.as_mut().ok_or(Trouble::Malformed("ErrorResponse"))?;
        link.forget_unnamed();
        let mut skipped = link.replies.fail();
        if error.sqlstate == SqlState::INVALID_STATEMENT_NAME
            && skipped.first().is_some_and(|entry| link.should_know(entry))
        {
            // Somebody's code has closed what is kept here (DEALLOCATE ALL in a function): nobody can tell what else.
            link.traces.leave(Left::ForGood);
        }
        if let Some(Effect::WholeRead) = skipped.first().map(|entry| &entry.effect)
            && link.whole_is_sound(body)
        {
            return Ok(Goes::Nowhere);
        }
        if is_stale(error.sqlstate, skipped.first())
            && link.heals(body, &mut skipped, &self.shared.statements)
        {
            self.answers.held = Held::default();
            return Ok(Goes::Nowhere);
        }
        self.answers
            .held
            .give(tag::ERROR, passing, &mut self.client.outbox);
        link.batch.fails();
        link.drop_copy();
        link.portals.fail();
        let failed = skipped.first().map(|entry| &entry.effect);
        self.names
            .fail_changes(matches!(failed, Some(Effect::NameChanged)));
        self.answers.captured = None;
        link.note_skipped(&skipped);
        if link.acting.becomes_role() {
            let is_ours = skipped
                .first()
                .is_none_or(|entry| entry.delivery == Delivery::Hide);
            if is_ours && !error.ends_connection {
                self.stand_refused(body);
                return Ok(Goes::Nowhere);
            }
            // The Sync behind it is ours.
            self.skipping = Skipping::ToSync;
        } else if link.batch.is_open() && link.script.is_none() {
            self.skipping = Skipping::ToSync;
        }
        // The server's last words are about more than what it was asked.
        let is_of_one = !skipped.is_empty() && !error.ends_connection;
        let failed = is_of_one.then(|| skipped.swap_remove(0).effect);
        let is_whole = body.len() == body_len;
        Ok(self.word_error(failed.as_ref(), error.sqlstate, is_whole.then_some(body), passing))
    }

    /// Gives the client an error in the words that fit what it has sent. `body` is missing where not all of it
    /// has come.
    fn word_error(
        &mut self,
        failed: Option<&Effect>,
        sqlstate: SqlState,
        body: Option<&[u8]>,
        passing: &mut Passing<'_>,
    ) -> Goes {
        if let Some(Effect::Refused(fault)) = failed {
            passing.flush(&mut self.client.outbox);
            self.say(fault);
            return Goes::Nowhere;
        }
        self.teller().tell(&Event::ErrorSent { sqlstate });
        let Some(body) = body else {
            return Goes::ToClient;
        };
        if let Some(wording) = self.link.as_ref().and_then(|link| link.words.wording()) {
            passing.flush(&mut self.client.outbox);
            wording.put_error(&mut self.client.outbox, body);
            return Goes::Nowhere;
        }
        // "bind message supplies 1 parameters, but prepared statement "…" requires 2" (`exec_bind_message`).
        if let Some(Effect::Bound(statement, Some(name))) = failed
            && sqlstate == SqlState::PROTOCOL_VIOLATION
            && let Some(name) = self.name_in_error(statement, *name)
        {
            passing.flush(&mut self.client.outbox);
            wording::put_bind_error(&mut self.client.outbox, body, statement, &name);
            return Goes::Nowhere;
        }
        Goes::ToClient
    }

    /// The client's name of the statement that a Bind has failed for, where the server has it by another.
    fn name_in_error(&self, statement: &Statement, hash: NameHash) -> Option<Vec<u8>> {
        if statement.is_repeated() {
            return Some(Vec::new());
        }
        self.names.of_hash(hash).map(<[u8]>::to_vec)
    }

    /// The failure of a batch that nobody has heard of is over: sends it again.
    fn heal(&mut self, healing: Healing) {
        if let Some(mut linked) = self.linked() {
            let warrant = linked.warrant_for_any();
            let link = linked.link;
            link.prepare_statement(
                &healing.statement,
                Delivery::Hide,
                Effect::None,
                warrant.to_parse(),
            );
            link.send_again(healing);
        }
    }

    pub(super) fn on_ready(&mut self, body: &[u8], passing: &mut Passing<'_>) -> Result<Goes, Trouble> {
        let link = self.link.as_mut().ok_or(Trouble::Malformed("ReadyForQuery"))?;
        let delivery = link.replies.advance(tag::READY)?.delivery;
        let status = body.first().copied().and_then(TransactionStatus::from_byte);
        let status = status.ok_or(Trouble::Malformed("ReadyForQuery"))?;
        // A second attempt is at the same text.
        if !link.is_healing() {
            link.words.forget();
        }
        link.forget_batch();
        let errored = link.batch.is_answered();
        let place = match status {
            TransactionStatus::Failed if !link.block.is_clients() => {
                // The client has opened no block, so it shall see none: ours is rolled back behind its back.
                if link.block.is_undone() {
                    return Err(Trouble::Malformed("answer to ROLLBACK"));
                }
                link.roll_back();
                return Ok(Goes::Nowhere);
            }
            TransactionStatus::Idle => {
                self.tally.settle();
                if link.acting.settle_role(errored).is_err() {
                    return Err(Trouble::Malformed("answer to SET ROLE NONE"));
                }
                link.forget_transaction(self.setup.context());
                if link.traces.take_altered_shapes() {
                    self.shared.statements.renew();
                }
                self.setup.rollback();
                if link.acting.is_role() && delivery == Delivery::Forward {
                    link.block.is_told(status);
                    link.leave_standing();
                    return Ok(Goes::Nowhere);
                }
                Standing::Outside
            }
            TransactionStatus::InBlock | TransactionStatus::Failed => {
                link.stay_in_block(errored);
                if status == TransactionStatus::Failed || link.acting.bound().is_none() {
                    Standing::Bare
                } else {
                    Standing::InTransaction
                }
            }
        };
        link.block.is_told(status);
        if let Some(healing) = link.take_healing() {
            self.heal(healing);
            return Ok(Goes::Nowhere);
        }
        if status != TransactionStatus::Idle {
            // Where the connection goes back, the check-in looks at the clock.
            self.clock.is_idle_from(tokio::time::Instant::now());
        }
        if delivery == Delivery::Hide {
            link.whole_is_read();
            return Ok(Goes::Nowhere);
        }
        if self.setup.settings().has_reports() {
            passing.flush(&mut self.client.outbox);
            self.say_reports(place);
        }
        Ok(Goes::ToClient)
    }
}

impl Link {}

/// Whether an error at Bind or Describe may say that the statement was prepared for tables or types that are no
/// more: "cached plan must not change result type" is 0A000 (`RevalidateCachedQuery`, plancache.c), "cache
/// lookup failed for type" is XX000 (`getTypeInputInfo`, lsyscache.c).
///
/// The client's unnamed statement would have been read at this moment: parameters of other types, values that do not
/// fit them and names that are gone (classes 08, 22 and 42) are to be those of now.
fn is_stale(sqlstate: SqlState, failed: Option<&Entry<Effect>>) -> bool {
    let is_unnamed = || match failed.map(|entry| &entry.effect) {
        Some(Effect::Uses(statement) | Effect::Bound(statement, Some(_))) => statement.is_repeated(),
        _ => false,
    };
    let is_of_types = || {
        ["08", "22", "42"]
            .iter()
            .any(|class| sqlstate.as_str().starts_with(class))
    };
    matches!(
        sqlstate,
        SqlState::FEATURE_NOT_SUPPORTED | SqlState::INTERNAL_ERROR
    ) || (is_unnamed() && is_of_types())
}
