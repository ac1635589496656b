//! Commands that concern the session alone: SET, RESET, DISCARD, DEALLOCATE and their like are answered or
//! translated here, and leave nothing on the server connection.

use crate::base::{Fault, SqlState, limits};
use crate::guard::{Action, Cleared, SetScope, SetSetting, SetValue};
use crate::session::Session;
use crate::session::link::LocalSetting;
use crate::session::link::effect::Effect;
use crate::session::linked::Linked;
use crate::session::memory::names::NameChange;
use crate::session::memory::setup::Setup;
use crate::session::memory::statement::WRITE_SETTING_AND_RETURN;
use crate::wire::replies::{Delivery, Own};

impl Session {
    /// Runs a session command in its turn.
    pub(in crate::session) fn session_command(&mut self, cleared: &Cleared) {
        if !matches!(cleared.action(), Action::Set(_)) {
            self.heed_failure();
        }
        match cleared.action() {
            Action::Set(setting) => self.set(setting, cleared.sql()),
            Action::SetDefaults(defaults) => self.set_defaults(defaults),
            Action::ResetAll => {
                self.reset_all();
                self.answer(Own::Command("RESET"), Effect::None);
            }
            Action::DiscardAll => self.discard_all(),
            Action::UnlistenAll => self.answer(Own::Command("UNLISTEN"), Effect::None),
            Action::CloseAll => self.close_all(cleared),
            Action::Deallocate(None) => {
                self.change_name(NameChange::RemoveAll);
                self.answer(Own::Command("DEALLOCATE ALL"), Effect::NameChanged);
            }
            Action::Deallocate(Some(name)) => self.deallocate(name),
            Action::Prepare(name) => self.prepare_in_sql(cleared, name),
            Action::Query
            | Action::CopyIn
            | Action::Call
            | Action::Begin
            | Action::SetTransaction
            | Action::Commit { .. }
            | Action::Rollback { .. }
            | Action::SetConfig(_)
            | Action::PrepareTransaction
            | Action::Savepoint(_)
            | Action::Release(_)
            | Action::RollbackTo(_)
            | Action::Execute(_)
            | Action::Utility => {}
        }
    }

    /// Whether all is known that a statement with this action builds on. A transaction that changes settings of
    /// the session has to end first, ours ahead of a BEGIN; until then the server is asked for its answers.
    pub(in crate::session) fn is_settled_for(&mut self, cleared: Option<&Cleared>) -> bool {
        let Some(mut linked) = self.linked() else {
            return true;
        };
        if let Some(cleared) = cleared
            && matches!(cleared.action(), Action::Begin)
            && linked.taken_over_by(cleared).is_none()
        {
            linked.commit_own_block();
        }
        if linked.link.block.has_unsettled_changes() {
            linked.link.wait_for_replies();
            return false;
        }
        true
    }

    /// A change of a setting becomes transaction-local on the server, is read back in the form the server
    /// gives it, and is kept with the session once the transaction commits.
    fn set(&mut self, setting: &SetSetting, sql: &str) {
        if let Err(fault) = self.check_change(setting) {
            self.fail(fault);
            return;
        }
        let Some(mut linked) = self.linked() else { return };
        if setting.scope() == SetScope::Session {
            linked.open_own_block();
        }
        match (setting.value(), setting.scope()) {
            (SetValue::Assign(_) | SetValue::Default, SetScope::Local) => {
                linked.set_locally(setting, Delivery::ForwardRows);
            }
            (SetValue::Assign(_), SetScope::Session) => {
                linked.set_locally(setting, Delivery::ForwardRows);
                linked.read_back(setting.name());
            }
            (SetValue::Default, SetScope::Session) => {
                linked.reset(setting.name());
                let is_reset = sql
                    .get(..5)
                    .is_some_and(|word| word.eq_ignore_ascii_case("RESET"));
                self.answer(Own::Command(if is_reset { "RESET" } else { "SET" }), Effect::None);
            }
        }
    }

    /// SET SESSION CHARACTERISTICS: several settings, one answer.
    fn set_defaults(&mut self, defaults: &[SetSetting]) {
        let Some(mut linked) = self.linked() else { return };
        linked.open_own_block();
        for (at, setting) in defaults.iter().enumerate() {
            if matches!(setting.value(), SetValue::Default) {
                continue;
            }
            let delivery = if at + 1 == defaults.len() {
                Delivery::ForwardRows
            } else {
                Delivery::Hide
            };
            linked.set_locally(setting, delivery);
            linked.read_back(setting.name());
        }
    }

    /// Whether the session can keep a change.
    fn check_change(&mut self, setting: &SetSetting) -> Result<(), Fault> {
        check_room(&self.setup, setting.name())?;
        if let (SetValue::Assign(assignment), SetScope::Session) = (setting.value(), setting.scope()) {
            self.ask_for_settings(assignment.len().min(limits::SESSION_SETTING_BYTES))?;
        }
        match setting.value() {
            SetValue::Assign(assignment)
                if setting.scope() == SetScope::Session
                    && assignment.len() > limits::SESSION_SETTING_BYTES =>
            {
                Err(Fault::error(
                    SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                    format!("value of parameter \"{}\" is too long to be kept", setting.name()),
                )
                .with_hint(format!(
                    "At most {} bytes; SET LOCAL has no such limit.",
                    limits::SESSION_SETTING_BYTES
                )))
            }
            SetValue::Assign(_) | SetValue::Default => Ok(()),
        }
    }

    /// RESET ALL: every setting of the session returns to its startup value, the identity stays.
    fn reset_all(&mut self) {
        if self.link.as_ref().is_none_or(|link| link.is_clean()) {
            if self.setup.reset_all(&self.identity, &self.shared.statements) {
                self.setup_has_changed();
            }
            return;
        }
        let Some(mut linked) = self.linked() else { return };
        for name in linked.setup.settings().changed() {
            linked.open_own_block();
            linked.reset(&name);
        }
    }

    fn discard_all(&mut self) {
        let in_block = self.link.as_ref().is_some_and(|link| link.block.is_open());
        if in_block {
            self.fail(Fault::error(
                SqlState::ACTIVE_SQL_TRANSACTION,
                "DISCARD ALL cannot run inside a transaction block",
            ));
            return;
        }
        self.reset_all();
        self.discard_server_state();
        self.change_name(NameChange::RemoveAll);
        self.answer(Own::Command("DISCARD ALL"), Effect::NameChanged);
    }

    /// CLOSE ALL: only a transaction can have cursors here.
    fn close_all(&mut self, cleared: &Cleared) {
        match &mut self.link {
            Some(link) if link.block.is_open() => {
                let warrant = link.warrant_for_any(self.setup.opening());
                link.run_once(cleared, Effect::None, warrant);
            }
            _ => self.answer(Own::Command("CLOSE CURSOR ALL"), Effect::None),
        }
    }

    fn deallocate(&mut self, name: &str) {
        if self.names.statement(name.as_bytes()).is_some() {
            self.change_name(NameChange::Remove(name.as_bytes().into()));
            self.answer(Own::Command("DEALLOCATE"), Effect::NameChanged);
        } else {
            self.fail(Fault::error(
                SqlState::INVALID_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            ));
        }
    }

    /// Changes that took effect without a server are in force from the next transaction on.
    pub(in crate::session) fn apply_own_changes(&mut self) {
        if self.setup.commit(&self.identity, &self.shared.statements) {
            self.setup_has_changed();
        }
    }
}

impl Linked<'_> {
    fn set_locally(&mut self, setting: &SetSetting, delivery: Delivery) {
        let warrant = self.warrant_for_any();
        self.link.setting_changes(setting.name());
        self.link
            .set_locally(&LocalSetting::of(setting), delivery, Effect::None, warrant);
    }

    /// Keeps what a setting is now with the session.
    fn read_back(&mut self, name: &str) {
        self.link.session_changes(name);
        self.link
            .read_back(name, &self.shared.statements.internal.read_setting);
    }

    /// Whether the session can keep what a query sets. Its block is opened ahead of it.
    pub(in crate::session) fn before_set_config(&mut self, names: &[Box<str>]) -> Result<(), Fault> {
        names.iter().try_for_each(|name| check_room(self.setup, name))?;
        let bytes = names.iter().map(|name| name.len()).sum();
        self.setup.ask(self.identity.stay.account(), bytes)?;
        self.open_own_block();
        Ok(())
    }

    /// Keeps what a query has set.
    pub(in crate::session) fn after_set_config(&mut self, names: &[Box<str>]) {
        for name in names {
            self.read_back(name);
        }
    }

    /// Returns one setting to its startup value, or to the server's default where the client gave none.
    fn reset(&mut self, name: &str) {
        let startup = self.setup.settings().startup_value(name).map(str::to_owned);
        let warrant = self.warrant_for_any();
        self.link.session_changes(name);
        let effect = Effect::SettingReset(name.into());
        match startup {
            Some(value) => {
                self.link.leave_role();
                self.link.run_internal(
                    &self.shared.statements.internal.write_setting,
                    WRITE_SETTING_AND_RETURN,
                    &[name, &value, self.identity.route.role.as_str()],
                    Delivery::Hide,
                    effect,
                );
            }
            None => {
                let default = LocalSetting::default_of(name);
                self.link.set_locally(&default, Delivery::Hide, effect, warrant);
            }
        }
    }
}

/// Whether one more setting may differ.
fn check_room(setup: &Setup, name: &str) -> Result<(), Fault> {
    if setup.settings().has_room_for(name) {
        return Ok(());
    }
    Err(Fault::error(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        "too many settings in one session",
    )
    .with_hint(format!("At most {} may differ.", limits::SESSION_SETTINGS)))
}

/// A setting's name as SQL: each part between its dots quoted.
pub(in crate::session) fn quoted(name: &str) -> String {
    let parts: Vec<String> = name
        .split('.')
        .map(|part| format!("\"{}\"", part.replace('"', "\"\"")))
        .collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_every_part_of_a_name() {
        assert_eq!(quoted("timezone"), "\"timezone\"");
        assert_eq!(quoted("app.a\"b"), "\"app\".\"a\"\"b\"");
    }
}
