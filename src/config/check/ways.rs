//! `[auth]`: ways in besides a token as the password.

use std::sync::Arc;

use crate::auth::{NamePattern, OAuthSettings, UsersFile, Ways};

use super::super::raw::{Item, Section, Show};
use super::auth::{TenantClaim, safe_url};
use super::roles::Roles;
use super::tls;
use super::users::{Certificates, UserRules};

/// What `[auth]` says about them.
pub(super) struct OtherWays {
    pub(super) ways: Ways,
    /// Whether users name tenants.
    pub(super) tenants: TenantClaim,
}

pub(super) fn ways(
    top: &Section<'_>,
    auth: &Section<'_>,
    issuers: &[Section<'_>],
    roles: &Roles,
) -> OtherWays {
    let mut tenants = TenantClaim::Absent;
    let users = auth.get("users_file").and_then(|item| {
        let rules = UserRules {
            roles: roles.names(),
            certificates: if tls::asks_for_certificates(top) {
                Certificates::Asked
            } else {
                Certificates::NotAsked
            },
            environment: item.notes().environment,
        };
        let path = item.path()?;
        match rules.read(&path) {
            Ok(users) => {
                if users.iter().any(|user| !user.tenants.is_empty()) {
                    tenants = TenantClaim::Configured;
                }
            }
            Err(mistakes) => {
                mistakes
                    .into_iter()
                    .for_each(|mistake| item.note_mistake(mistake));
                return None;
            }
        }
        let read = move |path: &std::path::Path| {
            rules.read(path).map_err(|mistakes| {
                let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                told.join("; ")
            })
        };
        Some(UsersFile {
            path,
            read: Arc::new(read),
        })
    });
    auth.maybe("users_file", Item::text);
    if !auth.has("users_file") && auth.has("scram_users") {
        auth.mistake("scram_users", "needs users_file");
    }
    let scram_names = auth.or("scram_users", Vec::new(), |item| Some(patterns(item)));
    OtherWays {
        ways: Ways {
            users,
            scram_names,
            oauth: oauth(auth, issuers),
            certificate_roles: roles.with_certificate(),
        },
        tenants,
    }
}

fn oauth(auth: &Section<'_>, issuers: &[Section<'_>]) -> Option<OAuthSettings> {
    let oauth = auth.get("oauth")?.section()?;
    let issuer = oauth.required("issuer", safe_url);
    let scope = oauth.or("scope", "openid".to_owned(), scope);
    let users = oauth.or("users", Vec::new(), |item| Some(patterns(item)));
    if issuers.is_empty() {
        oauth.mistake(
            "issuer",
            "there is no [[auth.issuers]], so no token could be checked",
        );
    }
    Some(OAuthSettings {
        issuer: issuer?,
        scope,
        users,
    })
}

/// Scopes, separated by single spaces (RFC 6749, 3.3).
fn scope(item: &Item<'_>) -> Option<String> {
    let text = item.any_text()?;
    let permitted = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let is_scope = |word: &str| !word.is_empty() && word.bytes().all(permitted);
    if text.is_empty() || text.split(' ').all(is_scope) {
        return Some(text);
    }
    item.mistake("must be scopes separated by single spaces, such as \"openid profile\"");
    None
}

fn patterns(item: &Item<'_>) -> Vec<NamePattern> {
    let read = |item: &Item<'_>| {
        let pattern = NamePattern::parse(&item.text()?);
        if pattern.is_none() {
            item.mistake("must be a user's name, or a pattern with one *, such as \"svc_*\"");
        }
        pattern
    };
    item.elements().iter().filter_map(read).collect()
}

impl Show for NamePattern {
    fn show(&self) -> String {
        self.to_string().show()
    }
}
