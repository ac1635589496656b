//! `[guard]`: policies and limits of statements.

use crate::guard::{Limits, Policy, RepeatedTexts, Settings};
use crate::identity;

use super::super::policy_file::{PolicyFile, Unusable};
use super::super::raw::{Item, Section};
use super::super::suggest;
use super::roles::Roles;

/// The policies: built in and from files.
pub(super) struct Policies {
    all: Vec<Policy>,
    pub(super) files: Vec<PolicyFile>,
    default_policy: String,
    cache_bytes: u64,
    reserved_prefixes: Vec<String>,
}

pub(super) fn policies(top: &Section<'_>) -> Policies {
    let guard = top.section("guard");
    let mut all = vec![Policy::end_user(), Policy::read_only(), Policy::trusted()];
    let mut from_files: Vec<String> = Vec::new();
    let mut files = Vec::new();
    guard.or("policies", Vec::new(), |item| Some(item.texts()));
    for item in guard.get("policies").iter().flat_map(Item::elements) {
        let Some((file, policy)) = policy_file(&item) else {
            continue;
        };
        let name = policy.name().to_owned();
        if from_files.contains(&name) {
            item.mistake(format!("there is another policy named {name:?}"));
        }
        // A file's policy takes the place of the one built in under that name.
        all.retain(|other| other.name() != name);
        all.push(policy);
        files.push(file);
        from_files.push(name);
    }
    let mut policies = Policies {
        all,
        files,
        default_policy: "end_user".to_owned(),
        cache_bytes: guard.count("cache_bytes", 32 << 20, 0, 1 << 40) as u64,
        reserved_prefixes: guard.or("reserved_prefixes", Vec::new(), |item| {
            Some(item.elements().iter().filter_map(prefix).collect())
        }),
    };
    policies.default_policy = guard.or("default_policy", "end_user".to_owned(), |item| {
        let name = policies.named(item)?;
        if policies.is_trusted(&name) {
            item.mistake(format!("{name:?} is trusted: a role gets it only by name"));
        }
        Some(name)
    });
    policies
}

pub(super) fn settings(
    policies: Policies,
    identity: &identity::Settings,
    roles: &Roles,
    statement_bytes: usize,
    repeated_texts: RepeatedTexts,
) -> Settings {
    let mut identity_settings: Vec<String> = identity.settings.iter().map(|(name, _)| name.clone()).collect();
    identity_settings.extend(
        policies
            .reserved_prefixes
            .iter()
            .map(|prefix| format!("{prefix}*")),
    );
    Settings {
        policies: policies.all,
        by_role: roles.policies(),
        default_policy: policies.default_policy,
        identity_settings,
        cache_bytes: policies.cache_bytes,
        repeated_texts,
        limits: Limits {
            text_bytes: statement_bytes,
            ..Limits::default()
        },
    }
}

impl Policies {
    /// The policy of a role that names none.
    pub(super) fn default_name(&self) -> &str {
        &self.default_policy
    }

    /// Whether a policy is trusted; one that does not exist is not.
    pub(super) fn is_trusted(&self, name: &str) -> bool {
        self.all
            .iter()
            .any(|policy| policy.name() == name && policy.is_trusted())
    }

    /// The name of a policy that exists.
    pub(super) fn named(&self, item: &Item<'_>) -> Option<String> {
        let name = item.text()?;
        let names = || self.all.iter().map(Policy::name);
        if names().any(|known| known == name) {
            return Some(name);
        }
        let hint = suggest::nearest(&name, names()).map_or_else(
            || format!("there are {}", names().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean {near:?}?"),
        );
        item.mistake(format!("there is no policy {name:?}; {hint}"));
        None
    }
}

/// What the names of some settings start with; a `*` after it changes nothing.
fn prefix(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let prefix = text.strip_suffix('*').unwrap_or(&text);
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.') || !c.is_ascii();
    if prefix.is_empty() || !prefix.chars().all(named) {
        item.mistake("must be how names of settings start, such as \"request.\"");
        return None;
    }
    Some(prefix.to_owned())
}

fn policy_file(item: &Item<'_>) -> Option<(PolicyFile, Policy)> {
    match PolicyFile::load(&item.path()?) {
        Ok(read) => Some(read),
        Err(Unusable::Unreadable(message)) => {
            item.mistake(message);
            None
        }
        Err(Unusable::Mistaken(mistakes)) => {
            for mistake in mistakes {
                item.note_mistake(mistake);
            }
            None
        }
    }
}
