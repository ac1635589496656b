//! What every transaction of a session begins with: its settings, and what is made of them.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use crate::base::limits;
use crate::base::memory::{Account, Charge, Full};
use crate::guard::Policy;
use crate::identity::BindingParts;
use crate::session::memory::opening::Opening;
use crate::session::memory::settings::{self, SessionSettings, Standing};
use crate::session::memory::statement::StatementCache;
use crate::session::{Identity, Pairs};

/// A session's settings, and what fits them as they are now.
pub(in crate::session) struct Setup {
    settings: SessionSettings,
    opening: Opening,
    /// Distinguishes what a text may mean when it is parsed, for sharing prepared statements.
    context: u64,
    /// What the settings are charged with.
    charge: Option<Box<Charge>>,
}

impl Setup {
    /// A session with these settings.
    pub(in crate::session) fn new(
        identity: &Identity,
        settings: SessionSettings,
        statements: &StatementCache,
    ) -> Self {
        Self {
            opening: opening_of(identity, &settings, statements),
            context: context_of(identity, &settings),
            settings,
            charge: None,
        }
    }

    /// What goes ahead of a transaction.
    pub(in crate::session) fn opening(&self) -> &Opening {
        &self.opening
    }

    /// What a text means when it is parsed (see [`crate::session::memory::statement::Statement::context`]).
    pub(in crate::session) fn context(&self) -> u64 {
        self.context
    }

    /// The settings as they are.
    pub(in crate::session) fn settings(&self) -> &SessionSettings {
        &self.settings
    }

    // ---- changes that wait for the end of their transaction ------------------------------------------

    /// The transaction that goes on gives a setting a value, or that of the server's default.
    pub(in crate::session) fn change(&mut self, name: Box<str>, value: Option<String>) {
        self.settings.change(name, value);
    }

    /// A savepoint has been set.
    pub(in crate::session) fn savepoint(&mut self, name: &str) {
        self.settings.pending().savepoint(name);
    }

    /// A savepoint has been released.
    pub(in crate::session) fn release(&mut self, name: &str) {
        self.settings.pending().release(name);
    }

    /// A savepoint has been returned to.
    pub(in crate::session) fn roll_back_to(&mut self, name: &str) {
        self.settings.pending().roll_back_to(name);
    }

    /// How many savepoints there are.
    pub(in crate::session) fn savepoints(&mut self) -> usize {
        self.settings.pending().savepoints()
    }

    /// The changes come to nothing.
    pub(in crate::session) fn rollback(&mut self) {
        self.settings.rollback();
    }

    // ---- changes to what is in force: each is followed by what is made of it --------------------------

    /// The changes are in force from now on. Returns whether there were any.
    pub(in crate::session) fn commit(&mut self, identity: &Identity, statements: &StatementCache) -> bool {
        let is_changed = self.settings.commit();
        self.follow(is_changed, identity, statements)
    }

    /// Every setting returns to its startup value. Returns whether any had another.
    pub(in crate::session) fn reset_all(&mut self, identity: &Identity, statements: &StatementCache) -> bool {
        let is_changed = self.settings.reset_all();
        self.follow(is_changed, identity, statements)
    }

    /// The startup values are others, under this policy.
    pub(in crate::session) fn restart(
        &mut self,
        startup: Pairs,
        policy: &Policy,
        identity: &Identity,
        statements: &StatementCache,
    ) {
        self.settings.restart(startup, policy);
        self.derive(identity, statements);
    }

    fn follow(&mut self, is_changed: bool, identity: &Identity, statements: &StatementCache) -> bool {
        if is_changed {
            self.derive(identity, statements);
            self.settle(identity.stay.account());
        }
        is_changed
    }

    fn derive(&mut self, identity: &Identity, statements: &StatementCache) {
        self.context = context_of(identity, &self.settings);
        self.opening = opening_of(identity, &self.settings, statements);
    }

    // ---- what the client is told ----------------------------------------------------------------------

    /// The server has reported a value.
    pub(in crate::session) fn reported(&mut self, name: &str, value: &str) {
        self.settings.reported(name, value);
    }

    /// What the client has to be told now.
    pub(in crate::session) fn due_reports(&mut self, place: Standing) -> Vec<(String, String)> {
        self.settings.due_reports(place)
    }

    // ---- memory ---------------------------------------------------------------------------------------

    /// Asks for so many bytes more of values that the session keeps.
    pub(in crate::session) fn ask(&mut self, account: &Arc<Account>, bytes: usize) -> Result<(), Full> {
        let wanted = self.settings.bytes() + bytes;
        if wanted <= limits::SETTINGS_UNASKED_BYTES {
            return Ok(());
        }
        self.charge
            .get_or_insert_with(|| Box::new(Charge::new(account)))
            .grow_to(wanted)
    }

    /// Whether the settings are charged with anything.
    pub(in crate::session) fn is_charged(&self) -> bool {
        self.charge.is_some()
    }

    /// The settings have changed: from now on they count as they are.
    pub(in crate::session) fn settle(&mut self, account: &Arc<Account>) {
        let bytes = self.settings.bytes();
        if bytes <= limits::SETTINGS_UNASKED_BYTES {
            self.charge = None;
            return;
        }
        self.charge
            .get_or_insert_with(|| Box::new(Charge::new(account)))
            .set(bytes);
    }
}

fn opening_of(identity: &Identity, settings: &SessionSettings, statements: &StatementCache) -> Opening {
    let parts = BindingParts {
        session: &settings.in_force(),
        search_path: identity.route.search_path.as_deref(),
        identity: &identity.values,
        role: &identity.route.role,
    };
    Opening::new(&parts, statements)
}

fn context_of(identity: &Identity, settings: &SessionSettings) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let in_force: Cow<'_, [(String, String)]> = settings.in_force();
    KEYS.hash_one((
        &identity.route.role,
        identity.route.search_path.as_deref(),
        in_force
            .iter()
            .filter(|(name, _)| settings::decides_meaning(name))
            .collect::<Vec<_>>(),
    ))
}
