//! `[tenants]` and the tenants file: where each tenant lives.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use crate::base::{DatabaseName, PlanName, PoolMode, RoleName, Seen, ServerName, TenantName};
use crate::identity;
use crate::pool::{self, ServerSettings, Share};
use crate::tenant::{Pattern, RoleSettings, Separation, Settings, SharedDatabase, TenantChoice, TenantNeed};

use super::super::raw::{Environment, Item, Notes, Section, Source};
use super::super::tenants_file::TenantsFile;
use super::super::{Mistake, files};
use super::auth::TenantClaim;
use super::overlap::{self, Occupants};
use super::placement::{Kind, placement};
use super::{own_names, pool_mode, postgres_name, unknown_name};

type Servers = HashMap<ServerName, ServerSettings>;

/// The last rank.
const RANK: usize = 1_000_000;

/// What the rest of the configuration asks of a directory; kept for the times when the tenants file is read again.
#[derive(Clone, Debug)]
pub(in crate::config) struct TenantRules {
    /// Servers, plans and logins.
    pub(super) pool: pool::Settings,
    /// Whether tokens name tenants.
    pub(super) claim: TenantClaim,
    /// How each role is routed.
    pub(super) roles: HashMap<RoleName, RoleSettings>,
    /// Whether some role may choose its tenant freely.
    pub(super) choice: TenantChoice,
    /// Whether tables that tenants share can tell them apart.
    pub(super) tells: TellsTenants,
    /// The mode where nothing else is said.
    pub(super) pool_mode: PoolMode,
}

/// Whether some identity setting says whose rows to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TellsTenants {
    BySetting,
    ByNothing,
}

/// What of a directory does not come from the tenants file, and what the file has to fit.
#[derive(Debug)]
pub(in crate::config) struct Frame {
    rules: TenantRules,
    /// The entries of the configuration itself.
    own: Entries,
    environment: Environment,
}

/// Tenants, patterns and shared databases, of the configuration and of the tenants file, if it names one.
pub(super) fn directory(top: &Section<'_>, rules: TenantRules) -> (Settings, Option<TenantsFile>) {
    let section = top.section("tenants");
    let mut own = Entries::default();
    rules.reader(&mut own).read(&section);
    let Some(item) = section.get("file") else {
        return (rules.checked(top, own), None);
    };
    section.maybe("file", Item::text);
    let mut entries = own.clone();
    let mut seen = Seen::default();
    let path = item.path();
    if let Some(path) = &path {
        seen.note(path);
        match rules.reader(&mut entries).read_file(item.notes(), path) {
            Ok(()) => {}
            Err(message) => item.mistake(message),
        }
    }
    let settings = rules.checked(top, entries);
    let frame = Frame {
        rules,
        own,
        environment: item.notes().environment,
    };
    (settings, path.map(|path| TenantsFile::new(path, seen, frame)))
}

impl Frame {
    /// The directory with what the tenants file says now. Blocks on the file system.
    pub(in crate::config) fn read(&self, path: &Path) -> Result<Settings, Vec<Mistake>> {
        let notes = Notes::new(self.environment);
        let mut entries = self.own.clone();
        if let Err(message) = self.rules.reader(&mut entries).read_file(&notes, path) {
            return Err(vec![Mistake::of_file(path, message)]);
        }
        // What is wrong with all entries together is said of this file.
        let source = Source::new(path.to_owned(), String::new());
        let settings = self
            .rules
            .checked(&Section::new(&notes, &source, String::new(), None, None), entries);
        match notes.finish() {
            (mistakes, ..) if mistakes.is_empty() => Ok(settings),
            (mistakes, ..) => Err(mistakes),
        }
    }
}

impl TenantRules {
    fn reader<'a>(&'a self, entries: &'a mut Entries) -> Reader<'a> {
        Reader {
            servers: &self.pool.servers,
            plans: &self.pool.plans,
            claim: self.claim,
            entries,
        }
    }

    /// What must hold between all entries.
    fn checked(&self, top: &Section<'_>, mut entries: Entries) -> Settings {
        entries
            .ranks
            .sort_unstable_by(|a, b| (a.0, a.1.as_str()).cmp(&(b.0, b.1.as_str())));
        let settings = Settings {
            ranked: entries.ranks.into_iter().map(|(_, tenant)| tenant).collect(),
            roles: self.roles.clone(),
            pool_mode: self.pool_mode,
            ..entries.settings
        };
        overlap::patterns_keep_out(top, &settings);
        if entries.count == 0 {
            top.mistake(
                "tenants",
                "there is nothing to connect to: add tenants, a pattern or a database, or a file that has them",
            );
        }
        self.reachable(top, &settings);
        self.shared_is_told_apart(top, &settings);
        own_names::told_apart(top, settings, &self.pool)
    }

    /// A tenant that no session could enter is a mistake.
    fn reachable(&self, top: &Section<'_>, directory: &Settings) {
        let has_tenants = !directory.tenants.is_empty() || !directory.patterns.is_empty();
        if has_tenants && self.claim == TenantClaim::Absent && self.choice == TenantChoice::FromToken {
            top.mistake_path(
                "auth.tenant_claim",
                "is missing: no session could enter a tenant. Name the claim that says whose tenant a user is of, \
                 or set any_tenant = true on the roles that may choose",
            );
        }
    }

    /// Tenants that share tables are told apart by a setting, so some setting has to carry the tenant.
    fn shared_is_told_apart(&self, top: &Section<'_>, directory: &Settings) {
        let placements = directory.tenants.values();
        let mut all = placements.chain(directory.patterns.iter().map(|pattern| &pattern.template));
        let shares = all.any(|placement| placement.separation == Separation::Shared);
        if shares && self.tells == TellsTenants::ByNothing {
            top.mistake_path(
                "identity.settings",
                "tenants share tables, but no setting says whose rows to show: add \"app.tenant_id\" = { tenant = true }",
            );
        }
    }
}

impl TellsTenants {
    /// What these settings do about it.
    pub(super) fn by(identity: &identity::Settings) -> Self {
        let tells = |source: &identity::Source| {
            !matches!(source, identity::Source::Constant(_) | identity::Source::Role)
        };
        match identity.settings.iter().any(|(_, source)| tells(source)) {
            true => Self::BySetting,
            false => Self::ByNothing,
        }
    }
}

/// Entries that have been read, from whatever file.
#[derive(Clone, Debug, Default)]
struct Entries {
    ranks: Vec<(usize, TenantName)>,
    settings: Settings,
    occupants: Occupants,
    /// Also those with mistakes; a file that could not be read counts as one.
    count: usize,
}

/// Reads entries into one directory, from whatever file they come.
struct Reader<'a> {
    servers: &'a Servers,
    plans: &'a HashMap<PlanName, Share>,
    claim: TenantClaim,
    entries: &'a mut Entries,
}

impl Reader<'_> {
    fn read(&mut self, section: &Section<'_>) {
        for entry in section.sections("database") {
            self.entries.count += 1;
            self.database(&entry);
        }
        for entry in section.sections("tenant") {
            self.entries.count += 1;
            self.tenant(&entry);
        }
        for entry in section.sections("pattern") {
            self.entries.count += 1;
            self.pattern(&entry);
        }
    }

    /// Reads a file; the error is that it cannot be read.
    fn read_file(&mut self, notes: &Notes, path: &Path) -> Result<(), String> {
        let text = files::read_text(path, files::LARGE).inspect_err(|_| self.entries.count += 1)?;
        let names = ["database", "tenant", "pattern"];
        let all = Source::new(path.to_owned(), text).in_pieces(notes, &names, |section| self.read(section));
        self.entries.count += usize::from(!all);
        Ok(())
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
        if self.entries.settings.tenants.contains_key(name.as_str()) {
            entry.mistake("name", format!("{name} is the name of a [[tenant]] as well"));
        }
        match self.entries.settings.databases.entry(DatabaseName::new(name)) {
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
        if self.entries.settings.databases.contains_key(name.as_str()) {
            entry.mistake("name", format!("{name} is the name of a [[database]] as well"));
        }
        let tenant = TenantName::new(name);
        if self.entries.settings.tenants.contains_key(&tenant) {
            entry.mistake("name", format!("{tenant} is there twice"));
            return;
        }
        self.entries.occupants.move_in(entry, &tenant, &place);
        if let Some(plan) = plan {
            self.entries.settings.plans.insert(tenant.clone(), plan);
        }
        if let Some(rank) = rank {
            self.entries.ranks.push((rank, tenant.clone()));
        }
        self.entries.settings.tenants.insert(tenant, place);
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
            .entries
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
        self.entries.settings.patterns.push(Pattern {
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
