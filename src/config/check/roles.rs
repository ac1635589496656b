//! `[roles]`: which login, policy and tenants each role has.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::base::{LoginName, PoolMode, RoleName};
use crate::pool::{Access, LoginSettings};
use crate::tenant::{NameTrap, OwnName, RoleSettings, RunsAs, TenantChoice};

use super::super::raw::{Item, Section};
use super::guard::Policies;
use super::{pool_mode, tls, unknown_name};

/// The roles as configured; a role with a mistake is kept as far as it can be read.
pub(super) struct Roles(BTreeMap<RoleName, Role>);

struct Role {
    login: Option<LoginName>,
    choice: TenantChoice,
    policy: String,
    runs_as: RunsAs,
    certificate: Certificate,
    pool_mode: Option<PoolMode>,
    replication: Replication,
}

/// Whether a role may have replication connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replication {
    Allowed,
    Refused,
}

/// Whether a role is had without a client certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Certificate {
    Needed,
    Free,
}

pub(super) fn roles(
    top: &Section<'_>,
    logins: &HashMap<LoginName, LoginSettings>,
    policies: &Policies,
) -> Roles {
    let named = top.named("roles");
    if named.is_empty() {
        top.mistake(
            "roles",
            "there is none: add a [roles.authenticated] with its login",
        );
    }
    let mut roles = BTreeMap::new();
    let mut logins_in_use: Vec<(Item<'_>, String, Trust)> = Vec::new();
    for (name, item) in named {
        let Some(section) = item.section() else { continue };
        let login = section.required("login", Item::text).map(LoginName::new);
        let default_policy = policies.default_name().to_owned();
        let policy = section.or("policy", default_policy, |item| policies.named(item));
        let choice = if section.flag("any_tenant", false) {
            TenantChoice::Any
        } else {
            TenantChoice::FromToken
        };
        let certificate = if section.flag("require_certificate", false) {
            Certificate::Needed
        } else {
            Certificate::Free
        };
        if certificate == Certificate::Needed && !tls::asks_for_certificates(top) {
            section.mistake(
                "require_certificate",
                "needs client_ca in [listen.tls]: otherwise no client can show a certificate",
            );
        }
        if let Some(why) = forbidden(&name, logins) {
            item.mistake(why);
        }
        let item = section.get("login").unwrap_or(item);
        if let Some(login) = &login {
            match logins.get(login) {
                Some(settings) => {
                    let trust = Trust::of(policies.is_trusted(&policy));
                    logins_in_use.push((item, settings.user.clone(), trust));
                }
                None => unknown_name(
                    &item,
                    "logins",
                    login.as_str(),
                    logins.keys().map(LoginName::as_str),
                ),
            }
        }
        let pool_mode = section.maybe("pool_mode", pool_mode);
        let replication = replication(&section, policies.is_trusted(&policy), pool_mode);
        let role = Role {
            login,
            choice,
            runs_as: runs_as(policies.is_trusted(&policy)),
            policy,
            certificate,
            pool_mode,
            replication,
        };
        roles.insert(RoleName::new(name), role);
    }
    trusted_apart(&logins_in_use);
    Roles(roles)
}

impl Roles {
    /// Every role's name: the allow-list of tokens.
    pub(super) fn names(&self) -> BTreeSet<RoleName> {
        self.0.keys().cloned().collect()
    }

    /// The policy of each role, by name.
    pub(super) fn policies(&self) -> HashMap<RoleName, String> {
        self.0
            .iter()
            .map(|(name, role)| (name.clone(), role.policy.clone()))
            .collect()
    }

    /// The name of a role's policy.
    pub(super) fn policy(&self, role: &RoleName) -> Option<&str> {
        self.0.get(role).map(|role| role.policy.as_str())
    }

    /// Notes which logins serve trusted roles.
    pub(super) fn mark_trusted(&self, logins: &mut HashMap<LoginName, LoginSettings>, policies: &Policies) {
        let trusted = self.0.values().filter(|role| policies.is_trusted(&role.policy));
        for login in trusted.filter_map(|role| role.login.as_ref()) {
            if let Some(login) = logins.get_mut(login) {
                login.access = Access::Trusted;
            }
        }
    }

    /// The roles that are had with a client certificate alone.
    pub(super) fn with_certificate(&self) -> BTreeSet<RoleName> {
        let needs = |(name, role): (&RoleName, &Role)| {
            (role.certificate == Certificate::Needed).then(|| name.clone())
        };
        self.0.iter().filter_map(needs).collect()
    }

    /// The roles that may have replication connections.
    pub(super) fn with_replication(&self) -> BTreeSet<RoleName> {
        let has = |(name, role): (&RoleName, &Role)| {
            (role.replication == Replication::Allowed).then(|| name.clone())
        };
        self.0.iter().filter_map(has).collect()
    }

    /// Whether some role may choose its tenant freely.
    pub(super) fn widest_choice(&self) -> TenantChoice {
        match self.0.values().any(|role| role.choice == TenantChoice::Any) {
            true => TenantChoice::Any,
            false => TenantChoice::FromToken,
        }
    }

    /// How each role is routed.
    pub(super) fn routes(
        &self,
        logins: &HashMap<LoginName, LoginSettings>,
    ) -> HashMap<RoleName, RoleSettings> {
        self.0
            .iter()
            .filter_map(|(name, role)| {
                let login = role.login.clone()?;
                let settings = RoleSettings {
                    user: OwnName::new(logins.get(&login)?.user.as_str()),
                    runs_as: role.runs_as,
                    login,
                    choice: role.choice,
                    pool_mode: role.pool_mode,
                };
                Some((name.clone(), settings))
            })
            .collect()
    }
}

/// Reads `replication`. What is streamed passes by Row Level Security and by the prelude of transactions, and takes a
/// server connection for as long as it lasts.
fn replication(section: &Section<'_>, is_trusted: bool, mode: Option<PoolMode>) -> Replication {
    if !section.flag("replication", false) {
        return Replication::Refused;
    }
    if !is_trusted {
        section.mistake(
            "replication",
            "is for trusted roles alone: Row Level Security does not apply to what is streamed",
        );
    }
    if mode != Some(PoolMode::Session) {
        section.mistake(
            "replication",
            "needs pool_mode = \"session\" in the same entry: a replication connection is never shared",
        );
    }
    Replication::Allowed
}

fn runs_as(is_trusted: bool) -> RunsAs {
    if is_trusted {
        RunsAs::Itself
    } else {
        RunsAs::TenantsRole
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Trusted,
    EndUser,
}

impl Trust {
    fn of(is_trusted: bool) -> Self {
        if is_trusted { Self::Trusted } else { Self::EndUser }
    }
}

/// Why a role must not have this name: a trap of Postgres, or the login role itself, which a session may always
/// become again (PostgreSQL manual, SET ROLE).
fn forbidden(name: &str, logins: &HashMap<LoginName, LoginSettings>) -> Option<String> {
    if let Some(trap) = NameTrap::of(name) {
        return Some(format!("cannot be the name of a role: {trap}"));
    }
    logins
        .iter()
        .find(|(_, login)| login.user == name)
        .map(|(login, _)| {
            format!("is the user of [logins.{login}]: transactions must not run as the login role itself")
        })
}

/// A trusted role must not share the user that an end user's server connections log in as: whoever
/// escapes from the one role could then become the other.
fn trusted_apart(logins: &[(Item<'_>, String, Trust)]) {
    for (item, user, trust) in logins.iter().filter(|(_, user, _)| !user.is_empty()) {
        let shared = logins
            .iter()
            .find(|(_, other, other_trust)| other == user && *other_trust == Trust::EndUser);
        if let (Trust::Trusted, Some((other, _, _))) = (trust, shared) {
            item.mistake(format!(
                "a trusted role must not log in as {user:?}, as {} does: give trusted roles a login of their own",
                other.key()
            ));
        }
    }
}
