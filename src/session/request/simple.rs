//! The simple query protocol. A Query is judged whole and then re-issued statement by statement as Parse,
//! Bind, Describe, Execute under one Sync: the identity can travel ahead of each, and the server's Parse
//! refuses a text that holds two statements (design: a structural wall).

use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use crate::base::{Event, Fault, VerdictKind, limits};
use crate::guard::{Action, Asker, Cleared, Policy, Refusal, Script, SetScope, StatementClass};
use crate::session::answer::wording::Wording;
use crate::session::link::ScriptRest;
use crate::session::link::effect::Effect;
use crate::session::linked::Linked;
use crate::session::memory::holding::Judged;
use crate::session::memory::statement;
use crate::session::request::inbound::{Inbound, Outcome};
use crate::session::request::judging::Turned;
use crate::session::request::pending_message::Found;
use crate::session::request::repeated::Repeated;
use crate::session::request::session_role::Stand;
use crate::session::request::syntax_check::Whole;
use crate::session::teller::Teller;
use crate::session::{Session, Shared};
use crate::wire::replies::Own;

impl Session {
    /// Query.
    pub(in crate::session) fn query(&mut self, text: &[u8], turned: Option<Turned>) -> Outcome {
        if let Some(link) = self.link.as_mut().filter(|link| link.batch.is_open()) {
            // Extended messages without a Sync come before. Had one of them failed, the server would skip
            // this Query: their replies decide.
            if !link.replies.is_empty() {
                link.wait_for_replies();
                return Outcome::Blocked;
            }
        }
        // As the server: a simple query takes the unnamed statement away (PostgreSQL manual, 54.2.3).
        self.names.forget_unnamed();
        match self.judge(text, turned) {
            Ok(script) => self.run_query(script),
            Err(fault) => self.fail_query(fault),
        }
    }

    /// A Query that may run.
    pub(in crate::session) fn run_query(&mut self, script: Arc<Script>) -> Outcome {
        if self.needs_server(&script) && self.link.is_none() {
            return Outcome::Lease(Found::Verdict(Judged::new(self.account(), script)));
        }
        if let [cleared] = script.statements() {
            match self.take_stand(Some(cleared.action())) {
                Stand::Taken => {}
                Stand::Awaited => return Outcome::Role(Judged::new(self.account(), script)),
                Stand::Refused(fault) => return self.fail_query(fault),
            }
        }
        if script.statements().is_empty() {
            self.answer(Own::EmptyQuery, Effect::None);
            self.end_batch();
        } else {
            match self.ask_about_whole(&script) {
                Whole::Sound => self.run_script(script, 0),
                Whole::Asked => {}
            }
        }
        Outcome::Done
    }

    /// Sends a script's statements from `next` on, and the Sync behind the last. COPY FROM STDIN stops it:
    /// what follows is sent when the copy has ended, since the server would take it for copy data. So does the
    /// end of a transaction that changes settings of the session, since what follows is to run with them.
    pub(in crate::session) fn run_script(&mut self, script: Arc<Script>, mut next: usize) {
        if let Some(mut linked) = self.linked() {
            if next == 0 && wants_block(&script) {
                linked.open_own_block();
            }
            linked.link.look_for_sequences(script.statements());
        }
        while let Some(cleared) = script.statements().get(next) {
            if !self.is_settled_for(Some(cleared))
                && let Some(link) = &mut self.link
            {
                link.script = Some(ScriptRest::new(self.identity.stay.account(), script, next));
                return;
            }
            if let Err(fault) = self.ask_to_send(cleared) {
                self.fail(fault);
                break;
            }
            next += 1;
            self.run_statement(&script, cleared);
            self.settle_upstream();
            if let (Action::CopyIn, Some(link)) = (cleared.action(), &mut self.link) {
                link.flush();
                link.script = Some(ScriptRest::new(self.identity.stay.account(), script, next));
                return;
            }
        }
        self.end_batch();
    }

    /// A script has failed at the statement that held it up: its Sync is sent, once no message of the client
    /// is half sent.
    pub(in crate::session) fn end_failed_script(&mut self) {
        if matches!(self.inbound, Inbound::Forward(_)) {
            return;
        }
        if let Some(link) = self.link.as_mut().filter(|link| link.batch.has_failed())
            && link.script.take().is_some()
        {
            self.end_batch();
        }
    }

    /// The statement that held up a script is over: the rest follows.
    pub(in crate::session) fn resume_script(&mut self) {
        if let Some(rest) = self.link.as_mut().and_then(|link| link.script.take()) {
            self.run_script(rest.script, rest.next);
        }
    }

    fn run_statement(&mut self, script: &Arc<Script>, cleared: &Cleared) {
        let action = cleared.action();
        let repeated = self.repeated(script);
        if let Some(link) = &mut self.link {
            link.word(match &repeated {
                Some(repeated) => repeated.wording(cleared),
                None => Wording::of(cleared),
            });
        }
        if let Action::Execute(name) = action {
            self.execute_in_sql(cleared, name);
            return;
        }
        if statement::is_session_command(Some(action)) {
            self.session_command(cleared);
            return;
        }
        let run = self
            .linked()
            .map(|linked| linked.run_cleared(cleared, repeated.as_ref()));
        if let Some(Err(fault)) = run {
            self.fail(fault);
        }
    }

    /// Whether a script needs a server connection: not if it only concerns the session.
    fn needs_server(&self, script: &Script) -> bool {
        script.statements().iter().any(|cleared| {
            !statement::is_session_command(Some(cleared.action()))
                || matches!(
                    cleared.action(),
                    Action::Set(_) | Action::SetDefaults(_) | Action::Prepare(_)
                )
                || (matches!(cleared.action(), Action::DiscardAll) && self.kept.is_here())
        })
    }

    /// Asks the guard about a text. If it had to wait for that, `turned` says what came of it.
    pub(in crate::session) fn judge(
        &self,
        text: &[u8],
        turned: Option<Turned>,
    ) -> Result<Arc<Script>, Fault> {
        let _turn = turned.transpose().map_err(|fault| *fault)?;
        self.check_tenure()?;
        self.shared.judge(self.teller(), self.asker(), &self.policy, text)
    }

    /// What the guard has to know of a session besides its policy.
    pub(in crate::session) fn asker(&self) -> Asker<'_> {
        Asker {
            schemas: self.identity.route.schemas.as_ref(),
            account: Some(self.account()),
        }
    }
}

impl Linked<'_> {
    /// Runs a statement that the server runs.
    fn run_cleared(mut self, cleared: &Cleared, repeated: Option<&Repeated>) -> Result<(), Fault> {
        if self.take_over_block(cleared, b"") {
            return Ok(());
        }
        if let Some(fault) = self.misses_block(cleared) {
            return Err(fault);
        }
        let warrant = self.warrant(Some(cleared.action()));
        let effect = self.before_execution(cleared, b"")?;
        if let Some(qualified) = cleared.only_sets() {
            let role = &self.identity.route.role;
            self.link.run_setting(qualified, role, effect, warrant);
        } else if let Some(repeated) = repeated {
            self.link.run_prepared(repeated, cleared, effect, warrant);
        } else {
            self.link.run_once(cleared, effect, warrant);
        }
        self.after_execution(cleared.action());
        Ok(())
    }
}

impl Shared {
    /// The guard's verdict on a text, taken note of.
    pub(in crate::session) fn judge(
        &self,
        teller: Teller<'_>,
        asker: Asker<'_>,
        policy: &Arc<Policy>,
        text: &[u8],
    ) -> Result<Arc<Script>, Fault> {
        let verdict = aside(text.len(), || self.guard.judge_for(asker, policy, text));
        match verdict {
            Ok(script) => {
                for cleared in script.statements() {
                    teller.tell(&Event::Verdict {
                        kind: VerdictKind::Allow,
                        class: cleared.class().as_str(),
                    });
                }
                Ok(script)
            }
            Err(refusal) => {
                teller.tell(&Event::Verdict {
                    kind: VerdictKind::Refuse,
                    class: refusal.class.as_str(),
                });
                Err(fault_of(&refusal))
            }
        }
    }
}

/// Does work on a text of so many bytes. Where that may take milliseconds, other sessions' tasks go to another thread
/// meanwhile.
fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_others =
        || Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= limits::LONG_TEXT_BYTES && has_others() {
        block_in_place(work)
    } else {
        work()
    }
}

/// Whether a string of several statements must run in a block, opened by us where the client has none. For the
/// server such a string is one (`BeginImplicitTransactionBlock`, xact.c), which some statements insist on; a batch
/// of the extended protocol is none until its second statement, if at all. A string that controls transactions
/// itself is left as it is: what it says of the implicit block would be said of ours.
fn wants_block(script: &Script) -> bool {
    let insists = |cleared: &Cleared| {
        matches!(cleared.class(), StatementClass::Declare | StatementClass::Lock)
            || match cleared.action() {
                Action::SetTransaction | Action::PrepareTransaction => true,
                Action::Set(setting) => setting.scope() == SetScope::Local,
                _ => false,
            }
    };
    let controls =
        |cleared: &Cleared| cleared.action().is_control() && *cleared.action() != Action::PrepareTransaction;
    let statements = script.statements();
    statements.len() > 1 && statements.iter().any(insists) && !statements.iter().any(controls)
}

fn fault_of(refusal: &Refusal) -> Fault {
    let mut fault = Fault::error(refusal.sqlstate, refusal.message.clone());
    fault.hint = refusal.hint.clone().map(Into::into);
    fault.position = refusal.position;
    fault
}
