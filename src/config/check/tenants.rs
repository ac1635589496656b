//! `[tenants]` and the tenants file: where each tenant lives.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::base::{DatabaseName, PlanName, ServerName, TenantName};
use crate::identity;
use crate::pool::{self, ServerSettings, Share};
use crate::tenant::{Pattern, Separation, Settings, SharedDatabase, TenantNeed};

use super::super::files;
use super::super::raw::{Item, Section, Source};
use super::auth::TenantClaim;
use super::overlap::{self, Occupants};
use super::placement::{Kind, placement};
use super::roles::Roles;
use super::{pool_mode, postgres_name, unknown_name};

type Servers = HashMap<ServerName, ServerSettings>;

/// The last rank.
const RANK: usize = 1_000_000;

/// Tenants, patterns and shared databases, of the configuration and of the tenants file; without roles.
pub(super) fn directory(top: &Section<'_>, pool: &pool::Settings, claim: TenantClaim) -> Settings {
    let section = top.section("tenants");
    let mut reader = Reader {
        servers: &pool.servers,
        plans: &pool.plans,
        claim,
        ranks: Vec::new(),
        settings: Settings::default(),
        occupants: Occupants::default(),
        entries: 0,
    };
    reader.read(&section);
    if let Some(item) = section.get("file") {
        section.maybe("file", Item::text);
        reader.read_file(&item);
    }
    reader
        .ranks
        .sort_unstable_by(|a, b| (a.0, a.1.as_str()).cmp(&(b.0, b.1.as_str())));
    let ranked = reader.ranks.into_iter().map(|(_, tenant)| tenant).collect();
    let settings = Settings {
        ranked,
        ..reader.settings
    };
    overlap::patterns_keep_out(top, &settings);
    if reader.entries == 0 {
        top.mistake(
            "tenants",
            "there is nothing to connect to: add tenants, a pattern or a database, or a file that has them",
        );
    }
    settings
}

/// A tenant that no session could enter is a mistake.
pub(super) fn reachable(top: &Section<'_>, directory: &Settings, claim: TenantClaim, roles: &Roles) {
    let has_tenants = !directory.tenants.is_empty() || !directory.patterns.is_empty();
    if has_tenants && claim == TenantClaim::Absent && !roles.any_chooses_tenant() {
        top.mistake_path(
            "auth.tenant_claim",
            "is missing: no session could enter a tenant. Name the claim that says whose tenant a user is of, \
             or set any_tenant = true on the roles that may choose",
        );
    }
}

/// Tenants that share tables are told apart by a setting, so some setting has to carry the tenant.
pub(super) fn shared_is_told_apart(top: &Section<'_>, directory: &Settings, identity: &identity::Settings) {
    let placements = directory.tenants.values();
    let mut all = placements.chain(directory.patterns.iter().map(|pattern| &pattern.template));
    let shares = all.any(|placement| placement.separation == Separation::Shared);
    let told = identity
        .settings
        .iter()
        .any(|(_, source)| !matches!(source, identity::Source::Constant(_) | identity::Source::Role));
    if shares && !told {
        top.mistake_path(
            "identity.settings",
            "tenants share tables, but no setting says whose rows to show: add \"app.tenant_id\" = { tenant = true }",
        );
    }
}

/// Reads entries into one directory, from whatever file they come.
struct Reader<'a> {
    servers: &'a Servers,
    plans: &'a HashMap<PlanName, Share>,
    ranks: Vec<(usize, TenantName)>,
    claim: TenantClaim,
    settings: Settings,
    occupants: Occupants,
    /// Entries that were read, also those with mistakes; a file that could not be read counts as one.
    entries: usize,
}

impl Reader<'_> {
    fn read(&mut self, section: &Section<'_>) {
        for entry in section.sections("database") {
            self.entries += 1;
            self.database(&entry);
        }
        for entry in section.sections("tenant") {
            self.entries += 1;
            self.tenant(&entry);
        }
        for entry in section.sections("pattern") {
            self.entries += 1;
            self.pattern(&entry);
        }
    }

    fn read_file(&mut self, item: &Item<'_>) {
        let Some(path) = item.path() else { return };
        match files::read_text(&path, files::LARGE) {
            Ok(text) => {
                let source = Source::new(path, text);
                let names = ["database", "tenant", "pattern"];
                let all = source.in_pieces(item.notes(), &names, |section| self.read(section));
                self.entries += usize::from(!all);
            }
            Err(message) => {
                self.entries += 1;
                item.mistake(message);
            }
        }
    }

    fn database(&mut self, entry: &Section<'_>) {
        let name = entry.need("name").and_then(|item| item.text());
        let server = server(entry, self.servers);
        let database = match entry.get("database") {
            Some(item) => postgres_name(&item),
            None => name.clone(),
        };
        let default = match self.claim {
            TenantClaim::Configured => TenantNeed::Required,
            TenantClaim::Absent => TenantNeed::Optional,
        };
        let choices = [
            ("required", TenantNeed::Required),
            ("optional", TenantNeed::Optional),
        ];
        let tenant = entry
            .get("tenant")
            .and_then(|item| item.choice(&choices))
            .unwrap_or(default);
        let (Some(name), Some(server), Some(database)) = (name, server, database) else {
            return;
        };
        let shared = SharedDatabase {
            server,
            database: DatabaseName::new(database),
            tenant,
            pool_mode: entry.get("pool_mode").and_then(|item| pool_mode(&item)),
        };
        if self.settings.tenants.contains_key(name.as_str()) {
            entry.mistake("name", format!("{name} is the name of a [[tenant]] as well"));
        }
        match self.settings.databases.entry(DatabaseName::new(name)) {
            Entry::Occupied(entered) => entry.mistake("name", format!("{} is there twice", entered.key())),
            Entry::Vacant(free) => {
                free.insert(shared);
            }
        }
    }

    fn tenant(&mut self, entry: &Section<'_>) {
        let name = entry.need("name").and_then(|item| item.text());
        let server = server(entry, self.servers);
        let place = placement(entry, server, Kind::Tenant(name.as_deref()));
        let plan = self.plan(entry);
        let rank = entry.get("rank").and_then(|item| item.count(1, RANK));
        let (Some(name), Some(place)) = (name, place) else {
            return;
        };
        if self.settings.databases.contains_key(name.as_str()) {
            entry.mistake("name", format!("{name} is the name of a [[database]] as well"));
        }
        let tenant = TenantName::new(name);
        if self.settings.tenants.contains_key(&tenant) {
            entry.mistake("name", format!("{tenant} is there twice"));
            return;
        }
        self.occupants.move_in(entry, &tenant, &place);
        if let Some(plan) = plan {
            self.settings.plans.insert(tenant.clone(), plan);
        }
        if let Some(rank) = rank {
            self.ranks.push((rank, tenant.clone()));
        }
        self.settings.tenants.insert(tenant, place);
    }

    fn pattern(&mut self, entry: &Section<'_>) {
        let matches = entry.need("match").and_then(|item| prefix(&item));
        let server = server(entry, self.servers);
        let template = placement(entry, server, Kind::Pattern);
        let plan = self.plan(entry);
        let (Some(prefix), Some(template)) = (matches, template) else {
            return;
        };
        if let Some(before) = self
            .settings
            .patterns
            .iter()
            .find(|pattern| prefix.starts_with(&*pattern.prefix))
        {
            entry.mistake(
                "match",
                format!("never matches: \"{}*\" comes before it", before.prefix),
            );
        }
        self.settings.patterns.push(Pattern {
            prefix,
            template,
            plan,
        });
    }

    /// The plan that is named, if any.
    fn plan(&self, entry: &Section<'_>) -> Option<PlanName> {
        let item = entry.get("plan")?;
        let name = item.text()?;
        match self.plans.get_key_value(name.as_str()) {
            // The same allocation for every tenant.
            Some((known, _)) => Some(known.clone()),
            None => {
                unknown_name(&item, "plans", &name, self.plans.keys().map(PlanName::as_str));
                None
            }
        }
    }
}

/// The server that is named, or the only one there is.
fn server(entry: &Section<'_>, servers: &Servers) -> Option<ServerName> {
    let Some(item) = entry.get("server") else {
        let mut names = servers.keys();
        return match (names.next(), names.next()) {
            (Some(only), None) => Some(only.clone()),
            (None, _) => None,
            (Some(_), Some(_)) => {
                entry.mistake("server", "is missing: there is more than one server");
                None
            }
        };
    };
    let name = ServerName::new(item.text()?);
    match servers.get_key_value(&name) {
        // The same allocation for every tenant.
        Some((known, _)) => Some(known.clone()),
        None => {
            unknown_name(
                &item,
                "servers",
                name.as_str(),
                servers.keys().map(ServerName::as_str),
            );
            None
        }
    }
}

fn prefix(item: &Item<'_>) -> Option<Box<str>> {
    let text = item.text()?;
    let prefix = text.strip_suffix('*');
    let plain = prefix.is_some_and(|prefix| {
        prefix
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    });
    if !plain {
        item.mistake("must be \"*\", or the start of tenants' names and a *, such as \"proj_*\"");
        return None;
    }
    prefix.map(Into::into)
}

/// Schemas that many tenants search after their own.
pub(super) fn shared_list(names: Vec<String>) -> Arc<[Box<str>]> {
    names.into_iter().map(String::into_boxed_str).collect()
}
