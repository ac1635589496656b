//! Is this statement allowed? Two layers: our own lexer, then facts from the grammar.
//!
//! 1. `text` reads text exactly as PostgreSQL does and finds the statements; `reading` says what each is and what it
//!    writes; `rules` holds that, and every name, decoded, against the role's `policy`. This layer decides, and it fails
//!    closed: what it does not know is refused.
//! 2. `reading::facts` runs `sqlparser`'s grammar over the same tokens. It refines what a policy's lists deny.
//!
//! Nothing here does I/O or waits. A verdict is cached by policy and text.

mod cache;
mod learn;
mod limits;
mod policy;
mod reading;
mod rules;
mod text;
mod tokens;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use learn::{Registration, registrations};
pub use limits::Limits;
pub use policy::fingerprint::Fingerprint;
pub use policy::policy::{Ceilings, Policy, PolicyMistake, ReadFile};
pub use policy::reserved::reserved_functions;
pub use policy::timeouts::Timeouts;
pub use reading::action::{Action, SetScope, SetSetting, SetValue, StatementName};
pub use reading::class::StatementClass;
pub use reading::facts::Facts;
pub use reading::set_only::Qualified;
pub use rules::settings::quieter;
pub use tokens::{SeenToken, tokens};
pub use verdict::auto_prepare::RepeatedTexts;
pub use verdict::database::databases_wanted_alone;
pub use verdict::refusal::Refusal;
pub use verdict::script::{Cleared, Form, PreparedQuery, Script, Template};

use parking_lot::RwLock;

use crate::base::limits::LONG_TEXT_BYTES;
use crate::base::memory::{Account, Charge};
use crate::base::{PoolMode, RoleName};
use crate::tenant::Schemas;
use cache::verdict_cache::{VerdictCache, Whose};
use policy::roles::Roles;
use reading::{facts, leading_keywords, prepared};
use rules::judge::judge;
use rules::query::Rules;
use rules::scope::{self, Scope};
use rules::settings::Settable;
use text::statement::Statement;
use text::tokenized::Tokenized;
use text::working_memory::WorkingMemory;
use verdict::allowed::edited;
use verdict::denial::Denial;

/// What the guard is made from.
#[derive(Debug)]
pub struct Settings {
    /// Every policy that may be named.
    pub policies: Vec<Policy>,
    /// The policy of each role that does not have the default.
    pub by_role: HashMap<RoleName, String>,
    /// The policy of every other role. If it is not among `policies`, those roles may do nothing.
    pub default_policy: String,
    /// Settings that carry the caller's identity; one that ends in `*` stands for all that begin so.
    pub identity_settings: Vec<String>,
    /// Memory for the verdict cache, in bytes; 0 for none.
    pub cache_bytes: u64,
    /// Whether scripts say what they can be prepared as ([`Script::template`]).
    pub repeated_texts: RepeatedTexts,
    /// Bounds on texts.
    pub limits: Limits,
}

impl Default for Settings {
    /// The built-in policies, `end_user` for every role, 32 MiB of verdicts.
    fn default() -> Self {
        Self {
            policies: vec![Policy::end_user(), Policy::read_only(), Policy::trusted()],
            by_role: HashMap::new(),
            default_policy: "end_user".to_owned(),
            identity_settings: Vec::new(),
            cache_bytes: 32 << 20,
            repeated_texts: RepeatedTexts::default(),
            limits: Limits::default(),
        }
    }
}

/// Who asks for a verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    /// The schemas that its texts may name; `None` for all.
    pub schemas: Option<&'a Schemas>,
    /// Whom the memory is charged to that a long text takes while it is judged; `None` for nobody.
    pub account: Option<&'a Arc<Account>>,
}

/// Judges statements. Shared by all sessions.
#[derive(Debug)]
pub struct Guard {
    roles: RwLock<Roles>,
    /// Counts changes to `roles`.
    version: AtomicU64,
    settable: Settable,
    cache: VerdictCache,
    limits: Limits,
}

impl Guard {
    /// Makes a guard. A policy that is named but missing is replaced by one that allows nothing.
    pub fn new(settings: Settings) -> Self {
        Self {
            roles: RwLock::new(Roles::new(
                settings.policies,
                settings.by_role,
                settings.default_policy,
            )),
            version: AtomicU64::new(0),
            settable: Settable::new(&settings.identity_settings),
            cache: VerdictCache::new(settings.cache_bytes, settings.repeated_texts),
            limits: settings.limits,
        }
    }

    /// The policy of a role: its own, or the default; for sessions in transaction mode.
    pub fn policy_for(&self, role: &RoleName) -> Arc<Policy> {
        self.policy_in(PoolMode::Transaction, role)
    }

    /// The same for sessions in any mode.
    pub fn policy_in(&self, mode: PoolMode, role: &RoleName) -> Arc<Policy> {
        self.roles.read().of(mode, role)
    }

    /// The policy of that name.
    pub fn policy(&self, name: &str) -> Option<Arc<Policy>> {
        self.roles.read().named(name)
    }

    /// Puts a policy in the place of the one of its name. Verdicts of the old one are not asked for any more.
    pub fn replace(&self, policy: Policy) {
        self.roles.write().put(policy);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Grows whenever a policy is replaced: as long as it is the same, so is [`Guard::policy_for`].
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Judges a text for nobody in particular: one that may name every schema.
    ///
    /// # Errors
    ///
    /// As [`Guard::judge_for`].
    pub fn judge(&self, policy: &Arc<Policy>, text: &[u8]) -> Result<Arc<Script>, Arc<Refusal>> {
        self.judge_for(Asker::default(), policy, text)
    }

    /// Judges a whole simple-Query string or the text of one Parse. The text may hold several statements. A trusted
    /// policy's may name all schemas in any case.
    ///
    /// # Errors
    ///
    /// The refusal of the first statement that may not run; then none of the text may. 53200 if there is no room now for
    /// what a long text takes while it is judged.
    pub fn judge_for(
        &self,
        asker: Asker<'_>,
        policy: &Arc<Policy>,
        text: &[u8],
    ) -> Result<Arc<Script>, Arc<Refusal>> {
        if text.len() > self.limits.text_bytes.min(1 << 30) {
            return Err(Arc::new(self.too_long(text.len())));
        }
        let account = asker.account.filter(|_| text.len() >= LONG_TEXT_BYTES);
        let Some(schemas) = asker.schemas.filter(|_| !policy.is_trusted()) else {
            return self.judge_in(account, policy, Scope::Everywhere, text);
        };
        // Most texts are the same to all tenants: their verdicts are kept once.
        match self.judge_in(account, policy, Scope::Someones, text) {
            Err(refusal) if refusal.rule == scope::ASKED => {
                self.judge_in(account, policy, Scope::Of(schemas), text)
            }
            verdict => verdict,
        }
    }

    /// Whether the verdict on a text is known without reading it.
    pub fn knows(&self, asker: Asker<'_>, policy: &Policy, text: &[u8]) -> bool {
        let kept = |scope: Scope<'_>| self.cache.get(Whose::new(policy, scope), text);
        let Some(schemas) = asker.schemas.filter(|_| !policy.is_trusted()) else {
            return kept(Scope::Everywhere).is_some();
        };
        match kept(Scope::Someones) {
            Some(Err(refusal)) if refusal.rule == scope::ASKED => kept(Scope::Of(schemas)).is_some(),
            verdict => verdict.is_some(),
        }
    }

    fn judge_in(
        &self,
        account: Option<&Arc<Account>>,
        policy: &Arc<Policy>,
        scope: Scope<'_>,
        text: &[u8],
    ) -> Result<Arc<Script>, Arc<Refusal>> {
        let whose = Whose::new(policy, scope);
        self.cache.get_or_judge(whose, text, |text| {
            let judged = self.judge_text(account.map(Charge::new), policy, scope, text);
            judged
                .map(Arc::new)
                .map_err(|denial| Arc::new(denial.refusal_of(text)))
        })
    }

    /// The finer facts of each statement of a text, for people; `None` for a statement that the grammar does
    /// not know or that is too large to parse. Empty if the text cannot be read at all.
    pub fn facts(&self, text: &[u8]) -> Vec<Option<Facts>> {
        let Ok(tokenized) = Tokenized::read(text, &self.limits) else {
            return Vec::new();
        };
        tokenized
            .statements()
            .map(|statement| facts::read(&statement))
            .collect()
    }

    fn too_long(&self, bytes: usize) -> Refusal {
        let message = format!(
            "statement of {bytes} bytes is longer than the limit of {}",
            self.limits.text_bytes
        );
        Denial::limit(message)
            .hint("Send large values as parameters or by COPY.")
            .refusal("")
    }

    fn judge_text(
        &self,
        mut charge: Option<Charge>,
        policy: &Policy,
        scope: Scope<'_>,
        text: &[u8],
    ) -> Result<Script, Denial> {
        let mut memory = WorkingMemory::charged(charge.as_mut());
        let limits = Limits {
            tokens: self.limits.tokens.min(policy.max_tokens()),
            ..self.limits
        };
        let tokenized = Tokenized::read_in(&mut memory, text, &limits)?;
        let statements: Vec<Statement<'_>> = tokenized.statements().collect();
        memory.parse(facts::most_parsed(&statements))?;
        let rules = Rules {
            policy,
            settable: &self.settable,
            scope,
        };
        let mut allowed = Vec::with_capacity(statements.len());
        let mut edits = Vec::new();
        let mut form = Form::Known;
        for (at, statement) in statements.iter().enumerate() {
            let mut verdict = judge(&rules, statement, statements.get(at + 1..).unwrap_or_default())?;
            if matches!(verdict.action, Action::Utility) && statements.len() > 1 {
                return Err(Denial::unsupported(
                    "statement.sole",
                    format!("{} must be sent by itself", verdict.class),
                )
                .class(verdict.class)
                .at(statement.offset(0)));
            }
            let matters = form == Form::Known && statements.len() > 1 && !verdict.action.is_control();
            if matters && facts::read(statement).is_none() {
                form = Form::Unknown;
            }
            edits.append(&mut verdict.edits);
            let prepared = match verdict.action {
                Action::Prepare(_) => prepared::prepared_query(statement),
                _ => None,
            };
            let prepared = prepared.map(|query| (query, prepared::declared_types(statement)));
            allowed.push((statement.range(), verdict, prepared));
        }
        let text: Arc<str> = edited(tokenized.text, &edits).into();
        let cleared = allowed.into_iter().map(|(range, verdict, prepared)| {
            let cleared = Cleared::new(Arc::clone(&text), range, verdict);
            match prepared {
                Some((query, types)) => cleared.with_prepared(
                    policy.id(),
                    query.range(),
                    leading_keywords::classify(&query).0,
                    types,
                ),
                None => cleared,
            }
        });
        let cleared = cleared.collect();
        Ok(Script::new(policy.id(), text, cleared, form).written_as(tokenized.text))
    }
}

#[cfg(test)]
mod tests;
