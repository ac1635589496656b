//! `[identity.settings]`: what each transaction is told about its user.

use std::collections::HashSet;

use crate::auth::ClaimPath;
use crate::identity::{Settings, Source};
use crate::tenant::NAME_BYTES;

use super::super::raw::{Item, Origin, Section, Show};

/// Most settings: each costs every transaction, and a function call takes at most 1,664 columns.
const SETTINGS: usize = 256;

pub(super) fn identity(top: &Section<'_>) -> Settings {
    let section = top.section("identity");
    let named = section.named("settings");
    if named.len() > SETTINGS {
        section.mistake("settings", format!("there are more than {SETTINGS}"));
    }
    let mut seen = HashSet::new();
    let settings = named
        .into_iter()
        .filter_map(|(name, item)| {
            name_is_right(&name, &item);
            if !seen.insert(name.to_ascii_lowercase()) {
                item.mistake("is there twice: Postgres does not tell upper from lower case in these names");
            }
            let source = source(&item, &section)?;
            Some((name, source))
        })
        .collect();
    Settings { settings }
}

/// Custom settings have two parts or more, each an identifier (`valid_custom_variable_name`, guc.c).
fn name_is_right(name: &str, item: &Item<'_>) {
    if !name.contains('.') {
        let nested = item.is_table() && nested_name(item).is_some();
        item.mistake(if nested {
            format!("quote the setting's whole name, such as \"{name}.user_id\"")
        } else {
            "a setting's name needs a dot, such as \"app.user_id\"; settings of Postgres itself cannot carry identity"
                .to_owned()
        });
        return;
    }
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let right = name.split('.').all(|part| {
        part.starts_with(starts) && part.chars().all(|c| starts(c) || c.is_ascii_digit() || c == '$')
    });
    if !right || name.len() > NAME_BYTES {
        item.mistake("is no name of a setting: letters, digits and _ between dots, at most 63 bytes in all");
    }
}

/// Whether the table is what TOML makes of an unquoted `app.user_id = { claim = "sub" }`.
fn nested_name(item: &Item<'_>) -> Option<()> {
    item.holds_only_tables().then_some(())
}

fn source(item: &Item<'_>, identity: &Section<'_>) -> Option<Source> {
    if item.is_table() && item.holds_only_tables() {
        return None;
    }
    let section = item.section()?;
    let claim = section.get("claim");
    let default = section.get("default");
    let value = section.get("value");
    let tenant = section.get("tenant");
    let role = section.get("role");
    let claims = section.get("claims");
    if let (Some(default), None) = (&default, &claim) {
        default.mistake("only a claim can be absent and have a default");
    }
    let (source, shown) = match (claim, value, tenant, role, claims) {
        (Some(claim), None, None, None, None) => {
            let path = claim_path(&claim)?;
            let default = match default {
                Some(default) => Some(setting_value(&default)?),
                None => None,
            };
            let shown = format!("{{ claim = {} }}", claim.text()?.show());
            (Source::Claim { path, default }, shown)
        }
        (None, Some(value), None, None, None) => {
            let value = setting_value(&value)?;
            let shown = format!("{{ value = {} }}", value.show());
            (Source::Constant(value), shown)
        }
        (None, None, Some(tenant), None, None) => (
            must_be_true(&tenant, Source::Tenant)?,
            "{ tenant = true }".to_owned(),
        ),
        (None, None, None, Some(role), None) => {
            (must_be_true(&role, Source::Role)?, "{ role = true }".to_owned())
        }
        (None, None, None, None, Some(claims)) => (
            must_be_true(&claims, Source::Claims)?,
            "{ claims = true }".to_owned(),
        ),
        _ => {
            item.mistake(
                "must be exactly one of { claim = \"…\" }, { value = \"…\" }, { tenant = true }, { role = true }, \
                 { claims = true }",
            );
            return None;
        }
    };
    identity.record_path(item.key(), shown, Origin::Given);
    Some(source)
}

/// The path of a claim, such as `sub` or `$.app_metadata.role`.
pub(super) fn claim_path(item: &Item<'_>) -> Option<ClaimPath> {
    let text = item.text()?;
    ClaimPath::parse(&text)
        .map_err(|error| item.mistake(format!("{text:?} is not the path of a claim: {error}")))
        .ok()
}

fn must_be_true(item: &Item<'_>, source: Source) -> Option<Source> {
    if item.flag()? {
        return Some(source);
    }
    item.mistake("must be true, or the whole entry left out");
    None
}

/// The value of a setting: any text without NUL, which Postgres cannot hold.
fn setting_value(item: &Item<'_>) -> Option<String> {
    let value = item.any_text()?;
    if value.contains('\0') {
        item.mistake("must not contain NUL");
        return None;
    }
    Some(value)
}
