//! `[auth]`: issuers, keys, claims.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;

use crate::auth::{
    Algorithm, Authenticator, ClaimPath, IssuerSettings, KeySource, Place, Required, Settings,
};
use crate::base::{Events, RoleName};

use super::super::raw::{Item, Section};
use super::super::{files, secret};
use super::guard::Policies;
use super::identity::claim_path;
use super::roles::Roles;
use super::unknown_name;
use super::ways::{self, OtherWays};

/// What `[auth]` says.
pub(super) struct Auth {
    /// `None` if a part of it could not be read.
    pub(super) settings: Option<Settings>,
    /// Whether tokens name tenants.
    pub(super) tenant_claim: TenantClaim,
    /// Where tokens say their tenant's plan.
    pub(super) plan_claim: Option<ClaimPath>,
}

/// Whether tokens, or users, name tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TenantClaim {
    Configured,
    Absent,
}

/// The algorithms that may be configured, by their names in RFC 7518, 3.1 and RFC 8037, 3.1. `none` is none of them.
const ALGORITHMS: [(&str, Algorithm, KeyKind); 12] = [
    ("HS256", Algorithm::HS256, KeyKind::Shared { bytes: 32 }),
    ("HS384", Algorithm::HS384, KeyKind::Shared { bytes: 48 }),
    ("HS512", Algorithm::HS512, KeyKind::Shared { bytes: 64 }),
    ("RS256", Algorithm::RS256, KeyKind::Public),
    ("RS384", Algorithm::RS384, KeyKind::Public),
    ("RS512", Algorithm::RS512, KeyKind::Public),
    ("PS256", Algorithm::PS256, KeyKind::Public),
    ("PS384", Algorithm::PS384, KeyKind::Public),
    ("PS512", Algorithm::PS512, KeyKind::Public),
    ("ES256", Algorithm::ES256, KeyKind::Public),
    ("ES384", Algorithm::ES384, KeyKind::Public),
    ("EdDSA", Algorithm::EdDSA, KeyKind::Public),
];

/// What kind of key an algorithm takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    /// A secret of at least so many bytes: RFC 7518, 3.2 wants the size of the hash.
    Shared {
        bytes: usize,
    },
    Public,
}

/// Where an issuer's keys may come from.
const KEYS: [&str; 4] = ["secret", "public_key_file", "jwks_file", "jwks_url"];

/// Largest time two clocks may differ, before and after the token's own times.
const LEEWAY: Duration = Duration::from_secs(600);

pub(super) fn auth(top: &Section<'_>, roles: &Roles, policies: &Policies) -> Auth {
    let auth = top.section("auth");
    let role_claim = auth.or("role_claim", "role".to_owned(), |item| {
        claim_path(item).and(item.text())
    });
    let tenant_claim = auth.get("tenant_claim").and_then(|item| claim_path(&item));
    auth.maybe("tenant_claim", Item::text);
    let plan_claim = auth.get("plan_claim").and_then(|item| claim_path(&item));
    auth.maybe("plan_claim", Item::text);
    let default_role = auth.maybe("default_role", |item| end_user_role(item, roles, policies));
    let anonymous_role = auth.maybe("anonymous_role", |item| end_user_role(item, roles, policies));
    let token_cache_bytes = auth.count("token_cache_bytes", 16 << 20, 0, 1 << 40) as u64;
    let sections = auth.sections("issuers");
    let OtherWays { ways, tenants } = ways::ways(top, &auth, &sections, roles);
    if sections.is_empty() && anonymous_role.is_none() && !auth.has("users_file") {
        auth.mistake(
            "issuers",
            "there is none, so nobody could log in: add an [[auth.issuers]]",
        );
    }
    let mut seen = HashSet::new();
    let issuers = sections
        .iter()
        .filter_map(|section| issuer(section, &mut seen))
        .collect();
    let claim = if auth.has("tenant_claim") {
        TenantClaim::Configured
    } else {
        tenants
    };
    let settings: Option<Settings> = ClaimPath::parse(&role_claim).ok().map(|role_claim| Settings {
        issuers,
        role_claim,
        default_role,
        roles: roles.names(),
        tenant_claim,
        anonymous_role,
        token_cache_bytes,
        ways,
    });
    if let Some(settings) = settings.as_ref()
        && top.is_clean("auth")
        && top.is_clean("roles")
    {
        try_out(top, &auth, &sections, settings);
    }
    Auth {
        settings,
        tenant_claim: claim,
        plan_claim,
    }
}

/// Whether `auth` can work with it: this reads the keys and fits them to the algorithms.
fn try_out(top: &Section<'_>, auth: &Section<'_>, issuers: &[Section<'_>], settings: &Settings) {
    let Err(error) = Authenticator::new(settings.clone(), Events::none()) else {
        return;
    };
    for mistake in error.mistakes {
        let message = mistake.reason.to_string();
        let (section, key) = match mistake.place {
            Place::Issuer(index) => (issuers.get(index), "issuer"),
            Place::Algorithms(index) => (issuers.get(index), "algorithms"),
            Place::Keys(index) => {
                let section = issuers.get(index);
                let given = |key: &&str| section.is_some_and(|section| section.has(key));
                (section, KEYS.into_iter().find(given).unwrap_or("issuer"))
            }
            Place::Issuers => (Some(auth), "issuers"),
            Place::DefaultRole => (Some(auth), "default_role"),
            Place::AnonymousRole => (Some(auth), "anonymous_role"),
            Place::Users => (Some(auth), "users_file"),
            Place::Roles => (Some(top), "roles"),
        };
        section.unwrap_or(auth).mistake(key, message);
    }
}

/// A configured role that is not trusted: nobody gets a trusted role without a token that names it.
fn end_user_role(item: &Item<'_>, roles: &Roles, policies: &Policies) -> Option<RoleName> {
    let role = RoleName::new(item.text()?);
    match roles.policy(&role) {
        None => {
            let names = roles.names();
            unknown_name(item, "roles", role.as_str(), names.iter().map(RoleName::as_str));
        }
        Some(policy) if policies.is_trusted(policy) => {
            item.mistake(format!(
                "{role} is trusted: only a token that names it may have it"
            ));
        }
        Some(_) => {}
    }
    Some(role)
}

fn issuer(section: &Section<'_>, seen: &mut HashSet<String>) -> Option<IssuerSettings> {
    let issuer = section.required("issuer", Item::text);
    if let Some(name) = &issuer
        && !seen.insert(name.clone())
    {
        section.mistake("issuer", format!("{name:?} is there twice"));
    }
    let audience = section.required("audience", |item| {
        let audience = item.texts();
        if audience.is_empty() {
            item.mistake(
                "must name at least one audience: a token made for another service must not work here",
            );
        }
        Some(audience)
    });
    let leeway = section.or("leeway", Duration::from_secs(30), |item| {
        item.duration(Duration::ZERO, LEEWAY)
    });
    let require_exp = if section.flag("require_exp", true) {
        Required::Yes
    } else {
        section.warning("require_exp", "tokens without exp are good for ever");
        Required::No
    };
    let keys = keys(section);
    let algorithms = algorithms(section, keys.as_ref())?;
    Some(IssuerSettings {
        issuer: issuer?,
        audience: audience?,
        algorithms,
        keys: keys?,
        leeway,
        require_exp,
    })
}

fn algorithms(section: &Section<'_>, keys: Option<&KeySource>) -> Option<Vec<Algorithm>> {
    let Some(item) = section.get("algorithms") else {
        if section.has("secret") {
            section.or("algorithms", vec!["HS256".to_owned()], |_| None);
            if let Some(KeySource::Secret(secret)) = keys {
                long_enough(section, secret.expose().len(), "HS256", 32);
            }
            return Some(vec![Algorithm::HS256]);
        }
        section.mistake(
            "algorithms",
            "is missing: say how tokens are signed, such as [\"RS256\"]",
        );
        return None;
    };
    let elements = item.elements();
    if elements.is_empty() {
        item.mistake("must name at least one algorithm");
    }
    let algorithms = elements
        .iter()
        .filter_map(|item| algorithm(section, item, keys))
        .collect();
    section.maybe("algorithms", |item| Some(item.texts()));
    Some(algorithms)
}

fn algorithm(section: &Section<'_>, item: &Item<'_>, keys: Option<&KeySource>) -> Option<Algorithm> {
    let name = item.text()?;
    let Some((_, algorithm, kind)) = ALGORITHMS.iter().find(|(known, ..)| *known == name) else {
        item.mistake(if name.eq_ignore_ascii_case("none") {
            format!("{name:?} is not allowed")
        } else {
            let known: Vec<&str> = ALGORITHMS.iter().map(|(name, ..)| *name).collect();
            format!("{name:?} is not known; there are {}", known.join(", "))
        });
        return None;
    };
    match (kind, keys) {
        (KeyKind::Public, Some(KeySource::Secret(_))) => {
            item.mistake(format!("{name} needs a public key, not a secret"))
        }
        (KeyKind::Shared { bytes }, Some(KeySource::Secret(secret))) => {
            long_enough(section, secret.expose().len(), &name, *bytes);
        }
        (KeyKind::Shared { .. }, Some(KeySource::Pem(_) | KeySource::JwksUrl { .. })) => {
            item.mistake(format!(
                "{name} needs a secret: a public key is known to everybody"
            ));
        }
        (_, None | Some(KeySource::JwksFile(_))) | (KeyKind::Public, Some(_)) => {}
    }
    Some(*algorithm)
}

fn long_enough(section: &Section<'_>, length: usize, algorithm: &str, bytes: usize) {
    if length < bytes {
        section.mistake(
            "secret",
            format!(
                "has {length} bytes; {algorithm} needs at least {bytes} (openssl rand -hex {bytes} makes one)"
            ),
        );
    }
}

fn keys(section: &Section<'_>) -> Option<KeySource> {
    let given: Vec<&str> = KEYS.into_iter().filter(|key| section.has(key)).collect();
    // Each is asked for, so that none of them is an unknown key.
    let secret = secret::maybe(section, "secret").map(KeySource::Secret);
    let pem = section.get("public_key_file").and_then(|item| public_key(&item));
    let file = section.get("jwks_file").and_then(|item| key_set_file(&item));
    let url = key_set_url(section);
    let shown = |key| section.maybe(key, Item::text).is_some();
    for key in ["public_key_file", "jwks_file", "jwks_url"] {
        let _ = shown(key);
    }
    match given.as_slice() {
        [_] => secret.or(pem).or(file).or(url),
        [] => {
            section.mistake(
                "jwks_url",
                format!("is missing: an issuer needs one of {}", KEYS.join(", ")),
            );
            None
        }
        [_, second, ..] => {
            section.mistake(
                second,
                format!("an issuer needs exactly one of {}", KEYS.join(", ")),
            );
            None
        }
    }
}

fn public_key(item: &Item<'_>) -> Option<KeySource> {
    let path = item.path()?;
    let bytes = files::read(&path, files::SMALL)
        .map_err(|message| item.mistake(message))
        .ok()?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("PRIVATE KEY-----") {
        item.mistake("holds a private key: give only the public one, openssl pkey -pubout makes it");
        return None;
    }
    if !text.contains("-----BEGIN ") {
        item.mistake("is not a PEM file");
        return None;
    }
    Some(KeySource::Pem(bytes))
}

fn key_set_file(item: &Item<'_>) -> Option<KeySource> {
    let path = item.path()?;
    let read = files::read(&path, files::SMALL);
    let has_keys = read.and_then(|bytes| {
        let set: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| format!("is not JSON: {error}"))?;
        let keys = set.get("keys").is_some_and(serde_json::Value::is_array);
        keys.then_some(())
            .ok_or_else(|| "is no key set: there is no array \"keys\" in it".to_owned())
    });
    match has_keys {
        Ok(()) => Some(KeySource::JwksFile(path)),
        Err(message) => {
            item.mistake(message);
            None
        }
    }
}

fn key_set_url(section: &Section<'_>) -> Option<KeySource> {
    const TIMES: [&str; 4] = [
        "jwks_refresh_interval",
        "jwks_min_interval",
        "jwks_timeout",
        "jwks_max_bytes",
    ];
    let Some(item) = section.get("jwks_url") else {
        for key in TIMES {
            if section.get(key).is_some() {
                section.mistake(key, "needs jwks_url");
            }
        }
        return None;
    };
    let refresh_interval = section.time("jwks_refresh_interval", 300);
    let min_interval = section.time("jwks_min_interval", 10);
    if min_interval > refresh_interval {
        section.mistake("jwks_min_interval", "is more than jwks_refresh_interval");
    }
    let timeout = section.time("jwks_timeout", 5);
    let max_bytes = section.count("jwks_max_bytes", 262_144, 1_024, 16 << 20);
    Some(KeySource::JwksUrl {
        url: safe_url(&item)?,
        refresh_interval,
        min_interval,
        timeout,
        max_bytes,
    })
}

/// Keys that came in clear could be anybody's; only this machine itself is let off.
pub(super) fn safe_url(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let url = match Url::parse(&text) {
        Ok(url) => url,
        Err(error) => {
            item.mistake(format!("is not a URL: {error}"));
            return None;
        }
    };
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if !url.username().is_empty() || url.password().is_some() {
        item.mistake("must not hold a name or password");
        return None;
    }
    if url.scheme() == "https" || (url.scheme() == "http" && local) {
        return Some(text);
    }
    item.mistake(
        "must start with https://; http:// only leads to this machine itself, such as http://127.0.0.1",
    );
    None
}
