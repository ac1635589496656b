//! Which settings a session may change.

use std::collections::HashSet;
use std::time::Duration;

use super::transaction_mode::keeps_connection;
use crate::guard::policy::names::NameSet;
use crate::guard::policy::policy::Policy;
use crate::guard::reading::action::{SetScope, SetSetting, SetValue};
use crate::guard::verdict::denial::Denial;

/// Settings by which the server knows who the caller is.
const IDENTITY: &[&str] = &["role", "session_authorization"];

/// Prefixes that PostgREST and its kin keep claims under; helper functions still read the old names.
const LEGACY_CLAIMS: &str = "request.jwt.";

/// Settings that hold for transactions to come. Whoever may say BEGIN READ ONLY may have it as a default.
const DEFAULTS: &[&str] = &[
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
];

/// Settings of the running transaction: SET sends them ahead of the identity.
const CHARACTERISTICS: &[&str] = &[
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
];

/// Settings that are pinned because the guard reads text by them, and the one value that may be set.
const ENCODING: &str = "client_encoding";
const STRINGS: &str = "standard_conforming_strings";

/// Which messages the server sends to the client. Those below NOTICE are the server's own: they name the statements that
/// we prepare, and what `log_statement` and its kin write goes to a client that asks for LOG.
const MESSAGES: &str = "client_min_messages";

/// The levels that are (`client_message_level_options`, guc_tables.c).
const SERVERS_OWN: &[&str] = &["debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log"];

/// What an end user gets in their place.
const QUIET: &str = "notice";

/// Seeds `random()` of the server connection, for whoever comes next too: no reset takes it back.
const SEED: &str = "seed";

/// Knows the settings that carry the caller's identity.
#[derive(Debug)]
pub(in crate::guard) struct Settable {
    identity: NameSet,
    identity_names: HashSet<Box<str>>,
}

/// What becomes of a SET that is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::guard) enum SetKind {
    /// The session keeps it.
    Setting(SetSetting),
    /// It is a characteristic of the transaction.
    Transaction,
}

impl Settable {
    /// Takes the names of the identity settings; one that ends in `*` reserves every name that begins so.
    pub(in crate::guard) fn new(identity_settings: &[String]) -> Self {
        let names: Vec<String> = identity_settings
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let (identity, bad) = NameSet::parse(&names);
        // Whatever is no name at all is still compared as it stands.
        let identity_names = bad.into_iter().map(|name| name.as_str().into()).collect();
        Self {
            identity,
            identity_names,
        }
    }

    /// Whether it is a characteristic of the running transaction, which no session can keep.
    pub(in crate::guard) fn is_characteristic(&self, name: &str) -> bool {
        CHARACTERISTICS.contains(&name)
    }

    /// Whether the setting changes how the guard has to read text.
    pub(in crate::guard) fn is_pinned(&self, name: &str) -> bool {
        name == ENCODING || name == STRINGS
    }

    /// Judges a SET or RESET of one setting.
    pub(in crate::guard) fn judge(
        &self,
        policy: &Policy,
        mut setting: SetSetting,
        value: Option<&str>,
    ) -> Result<SetKind, Denial> {
        if self.is_characteristic(&setting.name) {
            return Ok(SetKind::Transaction);
        }
        self.judge_name(policy, &setting.name)?;
        limit(policy, &mut setting, value)?;
        if let Some(quiet) = value.and_then(|value| quieter(policy, &setting.name, value)) {
            setting.value = SetValue::Assign(format!("{MESSAGES} TO {quiet}").into());
        }
        if &*setting.name == ENCODING {
            pin(
                &mut setting,
                value.is_some_and(is_utf8),
                "client_encoding TO 'UTF8'",
                "UTF8",
            )?;
        } else if &*setting.name == STRINGS {
            pin(
                &mut setting,
                value.is_some_and(is_on),
                "standard_conforming_strings TO on",
                "on",
            )?;
        }
        Ok(SetKind::Setting(setting))
    }

    /// Judges the name of a setting, in lower case.
    pub(in crate::guard) fn judge_name(&self, policy: &Policy, name: &str) -> Result<(), Denial> {
        let is_identity = IDENTITY.contains(&name)
            || self.identity.has_whole(name)
            || self.identity_names.contains(name)
            || (name.starts_with(LEGACY_CLAIMS) && !policy.is_trusted());
        if is_identity {
            return Err(Denial::forbidden(
                "setting.identity",
                format!("parameter \"{name}\" cannot be changed"),
            )
            .hint("Who you are is set by your token alone; log in with another token to be someone else."));
        }
        if name == SEED && policy.may_set(name) && !(policy.is_trusted() && keeps_connection(policy)) {
            return Err(Denial::unsupported(
                "setting.seed",
                "parameter \"seed\" cannot be set on a connection that other clients get",
            )
            .hint("A trusted role may call setseed(), or SET it in session mode."));
        }
        if !DEFAULTS.contains(&name) && !policy.may_set(name) {
            let message = format!(
                "the policy \"{}\" does not let sessions change parameter \"{name}\"",
                policy.name()
            );
            return Err(Denial::forbidden("setting.policy", message).hint(
                "The operator can add it to \"settable\" in the role's policy, or set it on the role.",
            ));
        }
        Ok(())
    }
}

/// What a session gets in the place of a value that would show it the server's own messages; `None` if the value may
/// stand. Drivers that ask for more messages than there are go on as if there were none.
pub fn quieter(policy: &Policy, name: &str, value: &str) -> Option<&'static str> {
    let is_own = SERVERS_OWN.iter().any(|level| level.eq_ignore_ascii_case(value));
    (name == MESSAGES && !policy.is_trusted() && is_own).then_some(QUIET)
}

/// Whether a value of `set_config` may stand. One that is not a literal, `None`, may be any.
pub(in crate::guard) fn is_quiet(policy: &Policy, name: &str, value: Option<&str>) -> bool {
    name != MESSAGES
        || policy.is_trusted()
        || value.is_some_and(|value| quieter(policy, name, value).is_none())
}

/// Keeps a setting within the time limit that the policy has for it. RESET sets the limit, whatever the server's
/// own default is.
fn limit(policy: &Policy, setting: &mut SetSetting, value: Option<&str>) -> Result<(), Denial> {
    let Some(most) = policy.timeouts().limit(&setting.name) else {
        return Ok(());
    };
    if setting.value == SetValue::Default {
        // For the session, it returns to the startup's value, which keeps within the limit.
        if setting.scope == SetScope::Local {
            setting.value = SetValue::Assign(format!("{} TO {}", setting.name, most.as_millis()).into());
        }
        return Ok(());
    }
    if value.is_some_and(|value| policy.timeouts().permit(&setting.name, value)) {
        return Ok(());
    }
    Err(too_long(policy, &setting.name, most))
}

/// The refusal of a time limit that is looser than the policy's.
pub(in crate::guard) fn too_long(policy: &Policy, name: &str, most: Duration) -> Denial {
    let message = format!(
        "the policy \"{}\" limits parameter \"{name}\" to {} ms",
        policy.name(),
        most.as_millis()
    );
    Denial::forbidden("policy.timeout", message).hint("Set a shorter time, or leave the limit as it is.")
}

/// Allows the pinned value alone; RESET sets that value, whatever the server's own default is.
fn pin(setting: &mut SetSetting, is_pinned: bool, assign: &str, value: &str) -> Result<(), Denial> {
    if setting.value == SetValue::Default || is_pinned {
        setting.value = SetValue::Assign(assign.into());
        return Ok(());
    }
    let message = format!("parameter \"{}\" can only be set to {value}", setting.name);
    Err(if &*setting.name == ENCODING {
        Denial::unsupported("setting.pinned", message)
            .hint("Portcullis reads and passes on text as UTF-8 alone; convert it in the client.")
    } else {
        Denial::forbidden("setting.pinned", message)
            .hint("Statements are read by this setting before they reach the server.")
    })
}

/// Names of UTF-8 as `pg_char_to_encoding` reads them: case and punctuation do not matter.
fn is_utf8(value: &str) -> bool {
    let plain: String = value
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    plain == "utf8" || plain == "unicode"
}

/// Spellings of a true boolean (`parse_bool`).
fn is_on(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "on" | "true" | "yes" | "1" | "t" | "y"
    )
}
