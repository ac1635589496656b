//! The policy that a session follows, and how it comes to follow one that was changed.

use std::ops::Deref;
use std::sync::Arc;

use crate::base::{Fault, PoolMode, RoleName};
use crate::guard::{Guard, Policy};
use crate::session::memory::holding::hold_again;
use crate::session::memory::settings::SessionSettings;
use crate::session::memory::statement::Statement;
use crate::session::{Pairs, Session};

/// The policy in force.
pub(in crate::session) struct InForce {
    policy: Arc<Policy>,
    /// The guard's version when it was looked up.
    version: u64,
}

impl InForce {
    /// A role's policy.
    pub(in crate::session) fn new(guard: &Guard, mode: PoolMode, role: &RoleName) -> Self {
        // The version first: a policy that changes in between is looked up again.
        let version = guard.version();
        Self {
            policy: guard.policy_in(mode, role),
            version,
        }
    }

    /// Whether no policy has changed since it was looked up.
    fn is_newest(&self, guard: &Guard) -> bool {
        self.version == guard.version()
    }

    /// Looks it up again. Returns whether it is another now.
    fn renew(&mut self, guard: &Guard, mode: PoolMode, role: &RoleName) -> bool {
        let now = Self::new(guard, mode, role);
        let old = std::mem::replace(self, now);
        old.policy.id() != self.policy.id()
    }
}

impl Deref for InForce {
    type Target = Arc<Policy>;

    fn deref(&self) -> &Arc<Policy> {
        &self.policy
    }
}

impl Session {
    /// Takes the role's policy anew if policies were changed. Called between transactions alone.
    pub(in crate::session) fn follow_policy(&mut self) {
        let guard = &self.shared.guard;
        let is_between = self.link.as_ref().is_none_or(|link| link.is_clean());
        if self.policy.is_newest(guard) || !is_between {
            return;
        }
        let role = self.identity.principal.role();
        if !self.policy.renew(guard, self.identity.route.mode, role) {
            return;
        }
        let startup = bounded(&self.identity.startup, &self.policy);
        let statements = &self.shared.statements;
        self.setup
            .restart(startup, &self.policy, &self.identity, statements);
        self.setup_has_changed();
    }

    /// The statement that a name means, judged again if it was cleared under a policy that has changed since.
    ///
    /// # Errors
    ///
    /// It may not run any more.
    pub(in crate::session) fn cleared_statement(
        &mut self,
        name: &[u8],
    ) -> Result<Option<Arc<Statement>>, Fault> {
        let Some(statement) = self.names.statement(name) else {
            return Ok(None);
        };
        self.check_tenure()?;
        if statement.policy() == self.policy.id() {
            return Ok(Some(self.outside_its_batch(name, statement)));
        }
        let script = self.judge(statement.written().as_bytes(), None)?;
        let again = self.shared.statements.judged_again(&statement, script);
        let holding = hold_again(self.account(), name, Arc::clone(&again));
        self.names.replace(name, holding);
        Ok(Some(again))
    }
}

/// A session's startup settings within the policy's time limits, names in order.
pub(in crate::session) fn bounded(startup: &Pairs, policy: &Policy) -> Pairs {
    let mut settings = Arc::clone(startup);
    for (name, value) in policy
        .timeouts()
        .in_force(|name| SessionSettings::value_of(startup, name))
    {
        SessionSettings::put(Arc::make_mut(&mut settings), name, value);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_values_are_kept_within_the_limits_and_in_order() {
        let policy = Policy::parse(
            "name = 'p'\nstatement_timeout = '30s'\nlock_timeout = '2s'\n\
             idle_in_transaction_session_timeout = '1min'",
        )
        .unwrap();
        let pairs = |pairs: &[(&str, &str)]| {
            let owned = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            Pairs::new(owned.collect())
        };
        let startup = pairs(&[
            ("datestyle", "ISO"),
            ("lock_timeout", "0"),
            ("statement_timeout", "1s"),
        ]);
        assert_eq!(
            bounded(&startup, &policy),
            pairs(&[
                ("datestyle", "ISO"),
                ("idle_in_transaction_session_timeout", "60000ms"),
                ("lock_timeout", "2000ms"),
                ("statement_timeout", "1000ms"),
            ])
        );
    }
}
