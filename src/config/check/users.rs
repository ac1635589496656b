//! The users file: services and tools without a token, as `[[user]]`.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use crate::auth::json::Json;
use crate::auth::{CertificateName, Claims, ScramVerifier, UserSettings};
use crate::base::{RoleName, TenantName};

use super::super::raw::{Environment, Item, Notes, Section, Source};
use super::super::{Mistake, files, secret};
use super::unknown_name;

/// What a users file has to fit; kept for the times when it is read again.
pub(super) struct UserRules {
    pub(super) roles: BTreeSet<RoleName>,
    pub(super) certificates: Certificates,
    pub(super) environment: Environment,
}

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificates {
    Asked,
    NotAsked,
}

impl UserRules {
    /// Reads a users file. Blocks on the file system.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<UserSettings>, Vec<Mistake>> {
        let text =
            files::read_text(path, files::LARGE).map_err(|message| vec![Mistake::of_file(path, message)])?;
        let notes = Notes::new(self.environment);
        let (mut users, mut seen) = (Vec::new(), HashSet::new());
        Source::new(path.to_owned(), text).in_pieces(&notes, &["user"], |top| {
            let sections = top.sections("user");
            users.extend(
                sections
                    .iter()
                    .filter_map(|section| self.user(section, &mut seen)),
            );
        });
        match notes.finish() {
            (mistakes, _, _) if mistakes.is_empty() => Ok(users),
            (mistakes, _, _) => Err(mistakes),
        }
    }

    fn user(&self, section: &Section<'_>, seen: &mut HashSet<String>) -> Option<UserSettings> {
        let name = section.need("name").and_then(|item| {
            let name = item.text()?;
            if self.roles.contains(name.as_str()) {
                item.mistake(format!(
                    "{name:?} is a role as well: by that name a token asks for the role"
                ));
            }
            if !seen.insert(name.clone()) {
                item.mistake(format!("{name:?} is there twice"));
            }
            Some(name)
        });
        let role = section.need("role").and_then(|item| {
            let role = RoleName::new(item.text()?);
            if !self.roles.contains(&role) {
                unknown_name(
                    &item,
                    "roles",
                    role.as_str(),
                    self.roles.iter().map(RoleName::as_str),
                );
            }
            Some(role)
        });
        let tenants = section.get("tenants");
        let tenants = tenants.iter().flat_map(Item::texts).map(TenantName::new);
        let claims = section.get("claims").and_then(|item| claims(&item));
        let verifier = section.get("scram_secret").and_then(|item| verifier(&item));
        let certificates = section.get("certificate");
        if certificates.is_some() && self.certificates == Certificates::NotAsked {
            section.mistake(
                "certificate",
                "needs client_ca in [listen.tls]: otherwise no client can show one",
            );
        }
        let elements: Vec<Item<'_>> = certificates.iter().flat_map(Item::elements).collect();
        if certificates.is_some() && elements.is_empty() {
            section.mistake("certificate", "must name at least one certificate");
        }
        if !section.has("scram_secret") && !section.has("certificate") {
            section.mistake(
                "scram_secret",
                "is missing: a user needs scram_secret or certificate, or both",
            );
        }
        Some(UserSettings {
            name: name?,
            role: role?,
            tenants: tenants.collect(),
            claims: claims.unwrap_or_default(),
            verifier,
            certificates: elements.iter().filter_map(certificate).collect(),
        })
    }
}

fn claims(item: &Item<'_>) -> Option<Claims> {
    if !item.is_table() {
        item.mistake("must be a table, such as { team = \"bi\" }");
        return None;
    }
    match item.json()? {
        Json::Object(claims) => Claims::new(claims)
            .map_err(|what| item.mistake(format!("must not hold {what}: the database cannot store it")))
            .ok(),
        _ => None,
    }
}

fn verifier(item: &Item<'_>) -> Option<ScramVerifier> {
    let (secret, _) = secret::read(item)?;
    let verifier = match std::str::from_utf8(secret.expose()) {
        Ok(text) => ScramVerifier::parse(text).map_err(|error| error.to_string()),
        Err(_) => Err("is not UTF-8".to_owned()),
    };
    verifier.map_err(|message| item.mistake(message)).ok()
}

fn certificate(item: &Item<'_>) -> Option<CertificateName> {
    let name = CertificateName::parse(&item.text()?);
    name.map_err(|error| item.mistake(error.to_string())).ok()
}
