//! The checked configuration: every part's settings, ready to build the parts.

use std::fmt::Write as _;
use std::path::Path;

use crate::base::limits;
use crate::{admin, auth, client, guard, identity, observe, pool, session, tenant};

use super::policy_file::PolicyFile;
use super::raw::{Effective, Environment, Notes, Origin, Section, Source};
use super::tenants_file::TenantsFile;
use super::{ConfigError, Mistake, check, files, machine};

/// A configuration in which no mistake was found.
#[derive(Debug)]
pub struct Config {
    /// Where clients connect, and how many.
    pub client: client::Settings,
    /// The most memory that clients may make the process hold, in bytes, as configured; see
    /// [`Config::memory_budget`].
    pub given_memory_budget: Option<usize>,
    /// Time limits of a session.
    pub session: session::Settings,
    /// The HTTP endpoint for metrics and probes, where there is one.
    pub admin: Option<admin::Settings>,
    /// What is logged, and how.
    pub log: observe::LogSettings,
    /// Servers, logins and pool sizes.
    pub pool: pool::Settings,
    /// Issuers, claims and roles.
    pub auth: auth::Settings,
    /// The settings each transaction runs under.
    pub identity: identity::Settings,
    /// Policies and limits of statements.
    pub guard: guard::Settings,
    /// The policies that come from files.
    pub policy_files: Vec<PolicyFile>,
    /// Where tenants live.
    pub tenants: tenant::Settings,
    /// The file that many of them come from, where there is one.
    pub tenants_file: Option<TenantsFile>,
    /// What works, but is probably not what was meant.
    pub warnings: Vec<Mistake>,
    pub(super) effective: Vec<Effective>,
}

impl Config {
    /// Reads a configuration and every file it names. Blocks on the file system.
    ///
    /// # Errors
    /// Every mistake that was found; of a file that is not TOML, only that.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match files::read_text(path, files::LARGE) {
            Ok(text) => Self::parse(text, path, |name| std::env::var_os(name)),
            Err(message) => Err(ConfigError {
                mistakes: vec![Mistake::of_file(path, message)],
            }),
        }
    }

    /// Checks a configuration's text. `path` is its name in mistakes, and relative paths start at its folder.
    pub(super) fn parse(text: String, path: &Path, environment: Environment) -> Result<Self, ConfigError> {
        let source = Source::new(path.to_owned(), text);
        let notes = Notes::new(environment);
        let parts = source.parse(&notes).and_then(|table| {
            let top = Section::new(&notes, &source, String::new(), Some(table.get_ref()), None);
            check::check(&top)
        });
        let (mut mistakes, warnings, effective) = notes.finish();
        match parts {
            Some(parts) if mistakes.is_empty() => Ok(Self {
                client: parts.client,
                given_memory_budget: parts.memory_budget,
                session: parts.session,
                admin: parts.admin,
                log: parts.log,
                pool: parts.pool,
                auth: parts.auth,
                identity: parts.identity,
                guard: parts.guard,
                policy_files: parts.policy_files,
                tenants: parts.tenants,
                tenants_file: parts.tenants_file,
                warnings,
                effective,
            }),
            _ => {
                if mistakes.is_empty() {
                    mistakes.push(Mistake::of_file(path, "cannot be used"));
                }
                Err(ConfigError { mistakes })
            }
        }
    }

    /// The most memory that clients may make the process hold, in bytes: unless configured, a quarter of what the
    /// machine or container has. Blocks on the file system for a moment.
    pub fn memory_budget(&self) -> usize {
        self.given_memory_budget.unwrap_or_else(|| {
            let quarter = usize::try_from(machine::memory() / 4).unwrap_or(usize::MAX);
            quarter.clamp(limits::MEMORY_BUDGET_MIN, limits::MEMORY_BUDGET_MAX)
        })
    }

    /// The values in force, one key a line, defaults marked, secrets hidden.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for Effective { key, value, origin } in &self.effective {
            let mark = match origin {
                Origin::Given => "",
                Origin::Default => "  # default",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key} = {value}{mark}");
        }
        let _ = writeln!(
            text,
            "# {} tenants, {} patterns, {} shared databases",
            self.tenants.tenants.len(),
            self.tenants.patterns.len(),
            self.tenants.databases.len()
        );
        text
    }
}
