//! Is this statement allowed? Two layers: our own lexer, then facts from the grammar.
//!
//! 1. `lexer` reads text exactly as PostgreSQL does; `split`, `classify` and `query` find the statements, what
//!    each is and what it writes; `calls` sees every name, decoded. This layer decides, and it fails closed:
//!    what it does not know is refused.
//! 2. `facts` runs `sqlparser`'s grammar over the same tokens. It refines what a policy's lists deny.
//!
//! Nothing here does I/O or waits. A verdict is cached by policy and text.

mod bare;
mod cache;
mod calls;
mod class;
mod classify;
mod copy;
mod database;
mod denial;
mod facts;
mod filters;
mod fingerprint;
mod lexer;
mod names;
mod places;
mod policy;
mod prepare;
mod query;
mod registry;
mod relations;
mod reserved;
mod result_list;
mod roles;
mod room;
mod rules;
mod scope;
mod setting;
mod settings;
mod shape;
mod shared;
mod split;
mod statement;
mod template;
mod temporary;
mod timeouts;
mod tokens;
mod transaction;
mod verdict;
mod words;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use bare::Qualified;
pub use class::StatementClass;
pub use database::databases_wanted_alone;
pub use facts::Facts;
pub use fingerprint::Fingerprint;
pub use policy::{Ceilings, Policy, PolicyMistake, ReadFile};
pub use registry::{Registration, registrations};
pub use reserved::reserved_functions;
pub use settings::quieter;
pub use template::{RepeatedTexts, Template};
pub use timeouts::Timeouts;
pub use tokens::{SeenToken, tokens};
pub use verdict::{
    Action, Cleared, Form, PreparedQuery, Refusal, Script, SetScope, SetSetting, SetValue, StatementName,
};

use parking_lot::RwLock;

use crate::base::limits::LONG_TEXT_BYTES;
use crate::base::memory::{Account, Charge};
use crate::base::{PoolMode, RoleName};
use crate::tenant::Schemas;
use cache::{VerdictCache, Whose};
use calls::MakeLocal;
use denial::Denial;
use roles::Roles;
use room::Room;
use rules::Rules;
use scope::Scope;
use settings::Settable;
use statement::Statement;

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

/// Bounds on texts, checked before any work that grows faster than the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in bytes. At most 1 GiB has effect.
    pub text_bytes: usize,
    /// Most tokens in one text; each takes 32 bytes while it is judged.
    pub tokens: usize,
    /// Most statements in one text.
    pub statements: usize,
    /// Deepest nesting of parentheses and brackets. The server's own parser gives up near 10,000.
    pub nesting: usize,
    /// Deepest nesting of comments: the server reads nested ones in quadratic time.
    pub comment_depth: usize,
    /// Bytes that the server's lexer may read twice, on top of twice the length of the text.
    pub lookahead_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 64 << 20,
            tokens: 2_000_000,
            statements: 1_000,
            nesting: 1_000,
            comment_depth: 64,
            lookahead_bytes: 64 << 10,
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
        self.cache
            .get_or_judge(whose, text, |text| match read_text(text) {
                Err(denial) => Err(Arc::new(denial.refusal(&String::from_utf8_lossy(text)))),
                Ok(text) => match self.judge_text(account.map(Charge::new), policy, scope, text) {
                    Ok(script) => Ok(Arc::new(script)),
                    Err(denial) => Err(Arc::new(denial.refusal(text))),
                },
            })
    }

    /// The finer facts of each statement of a text, for people; `None` for a statement that the grammar does
    /// not know or that is too large to parse. Empty if the text cannot be read at all.
    pub fn facts(&self, text: &[u8]) -> Vec<Option<Facts>> {
        let Ok(text) = read_text(text) else {
            return Vec::new();
        };
        let Ok(tokens) = lexer::lex(text, &self.limits) else {
            return Vec::new();
        };
        let Ok(ranges) = split::split(&tokens, &self.limits) else {
            return Vec::new();
        };
        let statement = |range| Statement {
            text,
            tokens: tokens.get(range).unwrap_or_default(),
        };
        ranges
            .into_iter()
            .map(|range| facts::read(&statement(range)))
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
        text: &str,
    ) -> Result<Script, Denial> {
        let mut room = Room::charged(charge.as_mut());
        let limits = Limits {
            tokens: self.limits.tokens.min(policy.max_tokens()),
            ..self.limits
        };
        let tokens = lexer::lex_in(&mut room, text, &limits)?;
        let ranges =
            split::split(&tokens, &self.limits).map_err(|error| error.denial(text, &tokens, &self.limits))?;
        let rules = Rules {
            policy,
            settable: &self.settable,
            scope,
        };
        let mut allowed = Vec::with_capacity(ranges.len());
        let mut edits = Vec::new();
        let mut form = Form::Known;
        let statements = ranges.iter().map(|range| Statement {
            text,
            tokens: tokens.get(range.clone()).unwrap_or_default(),
        });
        let statements: Vec<_> = statements.collect();
        room.parse(facts::most_parsed(&statements))?;
        for (at, statement) in statements.iter().enumerate() {
            let mut verdict = rules.judge(statement, statements.get(at + 1..).unwrap_or_default())?;
            if matches!(verdict.action, Action::Utility) && ranges.len() > 1 {
                return Err(Denial::unsupported(
                    "statement.sole",
                    format!("{} must be sent by itself", verdict.class),
                )
                .class(verdict.class)
                .at(statement.offset(0)));
            }
            let matters = form == Form::Known && ranges.len() > 1 && !verdict.action.is_control();
            if matters && facts::read(statement).is_none() {
                form = Form::Unknown;
            }
            edits.append(&mut verdict.edits);
            let prepared = match verdict.action {
                Action::Prepare(_) => prepare::prepared_query(statement),
                _ => None,
            };
            let prepared = prepared.map(|query| (query, prepare::declared_types(statement)));
            allowed.push((statement.range(), verdict, prepared));
        }
        let text: Arc<str> = edited(text, &edits).into();
        let cleared = allowed.into_iter().map(|(range, verdict, prepared)| {
            let cleared = Cleared::new(Arc::clone(&text), range, verdict);
            match prepared {
                Some((query, types)) => {
                    cleared.with_prepared(policy.id(), query.range(), classify::classify(&query).0, types)
                }
                None => cleared,
            }
        });
        let cleared = cleared.collect();
        Ok(Script::new(policy.id(), text, cleared, form))
    }
}

/// The text as UTF-8 without NUL.
fn read_text(text: &[u8]) -> Result<&str, Denial> {
    let read = std::str::from_utf8(text).map_err(|error| {
        Denial::encoding("invalid byte sequence for encoding \"UTF8\"").at(error.valid_up_to())
    })?;
    match read.find('\0') {
        Some(at) => Err(Denial::encoding("invalid byte sequence for encoding \"UTF8\": 0x00").at(at)),
        None => Ok(read),
    }
}

/// The text with its edits, none of which changes its length.
fn edited(text: &str, edits: &[MakeLocal]) -> String {
    let mut edited = text.to_owned();
    for MakeLocal { at, .. } in edits {
        edited.replace_range(*at..*at + "false".len(), "true ");
    }
    edited
}

#[cfg(test)]
mod tests;
