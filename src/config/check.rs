//! Raw to checked: each section by itself, then what must hold between them.

mod auth;
mod guard;
mod identity;
mod listen;
mod overlap;
mod own_names;
mod placement;
mod plans;
mod roles;
mod servers;
pub(super) mod tenants;
mod tls;
mod users;
mod ways;

use std::net::SocketAddr;

use crate::base::{LoginName, PoolMode, ServerName};
use crate::{admin, client, observe, pool, session, tenant};

use super::policy_file::PolicyFile;
use super::raw::{Item, Section, Show};
use super::suggest;
use super::tenants_file::TenantsFile;
use tenants::{TellsTenants, TenantRules};

/// Every part's settings.
pub(super) struct Parts {
    pub(super) memory_budget: Option<usize>,
    pub(super) client: client::Settings,
    pub(super) session: session::Settings,
    pub(super) admin: Option<admin::Settings>,
    pub(super) log: observe::LogSettings,
    pub(super) pool: pool::Settings,
    pub(super) auth: crate::auth::Settings,
    pub(super) identity: crate::identity::Settings,
    pub(super) guard: crate::guard::Settings,
    pub(super) policy_files: Vec<PolicyFile>,
    pub(super) tenants: tenant::Settings,
    pub(super) tenants_file: Option<TenantsFile>,
}

/// Checks a whole configuration. `None` where a part cannot be made at all; its mistakes are noted.
pub(super) fn check(top: &Section<'_>) -> Option<Parts> {
    let listen = listen::listen(top);
    let admin = listen::admin(top);
    let log = listen::log(top);
    let servers = servers::servers(top);
    let logins = servers::logins(top);
    let (mut pool, transactions) = servers::pool(top, servers, logins);
    let identity = identity::identity(top);
    let mut policies = guard::policies(top);
    let roles = roles::roles(top, &pool.logins, &policies);
    roles.mark_trusted(&mut pool.logins, &policies);
    let auth = auth::auth(top, &roles, &policies);
    plans::claimed(top, &auth, &pool.plans);
    let rules = TenantRules {
        pool: pool.clone(),
        claim: auth.tenant_claim,
        roles: roles.routes(&pool.logins),
        choice: roles.widest_choice(),
        tells: TellsTenants::by(&identity),
        pool_mode: transactions.mode,
    };
    let (directory, tenants_file) = tenants::directory(top, rules);
    let policy_files = std::mem::take(&mut policies.files);
    let guard = guard::settings(
        policies,
        &identity,
        &roles,
        listen.session.max_statement_bytes,
        transactions.repeated_texts,
    );
    Some(Parts {
        memory_budget: listen.memory_budget,
        client: client::Settings {
            plan_claim: auth.plan_claim,
            replication_roles: roles.with_replication(),
            ..listen.client
        },
        session: crate::session::Settings {
            application_name: transactions.application_name,
            judge_wait_timeout: (!pool.query_wait_timeout.is_zero()).then_some(pool.query_wait_timeout),
            ..listen.session
        },
        admin,
        log,
        pool,
        auth: auth.settings?,
        identity,
        guard,
        policy_files,
        tenants: directory,
        tenants_file,
    })
}

/// A name that Postgres keeps whole.
fn postgres_name(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    if name.len() > tenant::NAME_BYTES {
        item.mistake(format!(
            "is longer than {} bytes: Postgres would cut it",
            tenant::NAME_BYTES
        ));
        return None;
    }
    Some(name)
}

/// The value of a `pool_mode`.
fn pool_mode(item: &Item<'_>) -> Option<PoolMode> {
    let choice = |mode: PoolMode| (mode.as_str(), mode);
    item.choice(&[choice(PoolMode::Transaction), choice(PoolMode::Session)])
}

/// A socket address; `localhost` stands for 127.0.0.1.
fn socket_address(item: &Item<'_>) -> Option<SocketAddr> {
    let text = item.text()?;
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let address = numeric.as_deref().unwrap_or(&text).parse().ok();
    if address.is_none() {
        item.mistake(format!(
            "{text:?} is not an address and port, such as \"127.0.0.1:6432\", \"0.0.0.0:6432\" or \"[::]:6432\""
        ));
    }
    address
}

/// Notes that a name is not among those that are configured.
fn unknown_name<'a>(
    item: &Item<'_>,
    section: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) {
    let mut all: Vec<&str> = known.clone().collect();
    all.sort_unstable();
    let hint = match suggest::nearest(name, known) {
        Some(near) => format!("did you mean {near:?}?"),
        None if all.is_empty() => "there is none".to_owned(),
        None => format!("there are {}", all.join(", ")),
    };
    item.mistake(format!("there is no [{section}.{name}]; {hint}"));
}

impl Show for PoolMode {
    fn show(&self) -> String {
        self.as_str().show()
    }
}

impl Show for SocketAddr {
    fn show(&self) -> String {
        self.to_string().show()
    }
}

impl Show for ServerName {
    fn show(&self) -> String {
        self.as_str().show()
    }
}

impl Show for LoginName {
    fn show(&self) -> String {
        self.as_str().show()
    }
}

impl Show for crate::base::RoleName {
    fn show(&self) -> String {
        self.as_str().show()
    }
}
