//! `portcullis check`: every mistake in the configuration at once, and whether what it names can be reached.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio_postgres::config::SslMode;

use super::check_budget::{self, Seats};
use super::check_tls::Encryption;
use super::serve;
use super::{check_patterns, check_separation};
use crate::auth::Authenticator;
use crate::base::memory::Budget;
use crate::base::{DatabaseName, Events, LoginName, RoleName, ServerName, TenantName};
use crate::config::Config;
use crate::harden::{self, Finding, Kind, Wanted, reason};
use crate::net::Endpoint;
use crate::{pool, tenant};

/// What the command line of `portcullis check` says.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckOptions {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = "portcullis.toml")]
    pub config: PathBuf,
    /// Only read the configuration; ask no server and no issuer
    #[arg(long)]
    pub offline: bool,
    /// Print every value in force, defaults marked, secrets hidden
    #[arg(long)]
    pub show: bool,
}

/// Checks and says what it finds. Exit code 2 means mistakes in the file, 1 that something cannot be
/// reached or is not as it should be.
///
/// Cancel safe: it changes nothing.
pub async fn run(options: CheckOptions) -> ExitCode {
    let config = match serve::load(&options.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut findings = Findings::default();
    for warning in &config.warnings {
        findings.warning(&warning.to_string());
    }
    if options.show {
        let _ = write!(io::stdout(), "{}", config.describe());
    }
    findings.good(&format!("{} can be read", options.config.display()));
    match &config.client.tls {
        Some(tls) => findings.good(&format!(
            "TLS to clients: {:?}, its files go together",
            tls.demand
        )),
        None => findings.good("TLS to clients: none"),
    }
    check_memory(&config, &findings);
    if !options.offline {
        check_logins(&config, &mut findings).await;
        check_separation::check(&config, &mut findings).await;
        check_keys(config, &mut findings).await;
    }
    findings.exit_code()
}

/// What was found, written down as it is found.
#[derive(Default)]
pub(super) struct Findings {
    bad: usize,
}

impl Findings {
    pub(super) fn good(&self, what: &str) {
        let _ = writeln!(io::stdout(), "ok       {what}");
    }

    pub(super) fn warning(&self, what: &str) {
        let _ = writeln!(io::stdout(), "warning  {what}");
    }

    pub(super) fn bad(&mut self, what: &str) {
        self.bad += 1;
        let _ = writeln!(io::stdout(), "failed   {what}");
    }

    fn exit_code(&self) -> ExitCode {
        if self.bad == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// How much memory clients can have, and whether so many sessions fit.
fn check_memory(config: &Config, findings: &Findings) {
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let (budget, sessions) = (config.memory_budget(), config.client.max_client_conn);
    findings.good(&format!(
        "memory_budget: {} MiB{}",
        mib(budget),
        match config.given_memory_budget {
            Some(_) => "",
            None => ", a quarter of what there is",
        }
    ));
    let (wanted, apart) = (Budget::wanted_for(sessions), budget / 4);
    if wanted > apart {
        findings.warning(&format!(
            "max_client_conn = {sessions}: so many sessions may take {} MiB, more than the {} MiB of memory_budget that are \
             set apart for them; beyond that a login may be refused with 53200",
            mib(wanted),
            mib(apart)
        ));
    }
    if config.guard.cache_bytes > budget as u64 / 8 {
        findings.warning(&format!(
            "guard.cache_bytes: an eighth of memory_budget is used, {} MiB",
            mib(budget / 8)
        ));
    }
}

async fn check_keys(config: Config, findings: &mut Findings) {
    match Authenticator::new(config.auth, Events::none()) {
        Ok(authenticator) => {
            if let Some(users) = authenticator.users() {
                findings.good(&format!("users file: {users} users"));
            }
            for report in Arc::clone(&authenticator).refresh().await {
                match report.error {
                    None => findings.good(&format!("issuer {}: {} keys", report.issuer, report.keys)),
                    Some(error) => findings.bad(&format!("issuer {}: {error}", report.issuer)),
                }
            }
        }
        Err(error) => findings.bad(&error.to_string()),
    }
}

/// Where a login is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) server: ServerName,
    pub(super) database: DatabaseName,
    pub(super) login: LoginName,
    /// Whose login it is, where each tenant has one.
    pub(super) tenant: Option<TenantName>,
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "login {}", self.login)?;
        if let Some(tenant) = &self.tenant {
            write!(f, " of tenant {tenant}")?;
        }
        write!(f, " on {}/{}", self.server, self.database)
    }
}

async fn check_logins(config: &Config, findings: &mut Findings) {
    let mut seen = Seen {
        wanted: Wanted::of(config),
        databases: BTreeSet::new(),
        servers: BTreeSet::new(),
    };
    let named = spots(&config.tenants);
    for spot in &named {
        check_spot(config, spot, &mut seen, findings).await;
    }
    for spot in check_patterns::spots(config, findings).await.difference(&named) {
        check_spot(config, spot, &mut seen, findings).await;
    }
}

/// What need not be looked at again.
struct Seen {
    wanted: Wanted,
    databases: BTreeSet<(ServerName, DatabaseName)>,
    servers: BTreeSet<ServerName>,
}

async fn check_spot(config: &Config, spot: &Spot, seen: &mut Seen, findings: &mut Findings) {
    let place = spot.to_string();
    let Some(target) = target(&config.pool, spot) else {
        return;
    };
    let (client, connection) = match target.connect(Encryption::of(&config.pool, &spot.server)).await {
        Ok(connected) => connected,
        Err(error) => return findings.bad(&format!("{place}: {}", reason(&error))),
    };
    let driver = tokio::spawn(connection);
    findings.good(&format!("{place}: connects"));
    if seen.servers.insert(spot.server.clone()) {
        check_seats(&client, config, &spot.server, findings).await;
    }
    let roles = config.tenants.roles.iter();
    // Roles of a tenant's own are looked at with the tenant.
    let roles = roles
        .filter(|(_, role)| role.login == spot.login && spot.tenant.is_none())
        .map(|(name, _)| name);
    for role in roles {
        check_role(&client, &place, role, findings).await;
    }
    check_login_role(&client, &place, findings).await;
    if seen
        .databases
        .insert((spot.server.clone(), spot.database.clone()))
    {
        check_database(&client, config, spot, &seen.wanted, findings).await;
    }
    drop(client);
    driver.abort();
}

/// Every placement that the configuration names outright, for each login.
fn spots(tenants: &tenant::Settings) -> BTreeSet<Spot> {
    let placed = tenants.tenants.iter();
    let placed = placed.map(|(tenant, place)| (&place.server, &place.database, Some(tenant)));
    let shared = tenants.databases.values().map(|d| (&d.server, &d.database, None));
    placed
        .chain(shared)
        .flat_map(|(server, database, tenant)| {
            let entered = move |role: &tenant::RoleSettings| {
                let tenant = tenant.filter(|_| role.user.names_tenant());
                (tenant.is_some() || !role.user.names_tenant()).then(|| Spot {
                    server: server.clone(),
                    database: database.clone(),
                    login: role.login.clone(),
                    tenant: tenant.cloned(),
                })
            };
            tenants.roles.values().filter_map(entered)
        })
        .collect()
}

/// How to log in there; `None` where the configuration does not say it.
pub(super) fn target(pool: &pool::Settings, spot: &Spot) -> Option<tokio_postgres::Config> {
    let server = pool.servers.get(&spot.server)?;
    let (user, password) = pool.logins.get(&spot.login)?.of(spot.tenant.as_ref())?;
    let mut target = tokio_postgres::Config::new();
    match &server.endpoint {
        Endpoint::Tcp { host, port } => target.host(host).port(*port),
        Endpoint::Unix(path) => {
            let port = path.extension().and_then(|port| port.to_str()?.parse().ok());
            target.host_path(path.parent()?).port(port.unwrap_or(5432))
        }
    };
    target
        .ssl_mode(match &server.tls {
            None => SslMode::Disable,
            Some(tls) if tls.allows_plaintext() => SslMode::Prefer,
            Some(_) => SslMode::Require,
        })
        .user(&user)
        .dbname(spot.database.as_str())
        .application_name("portcullis check")
        .connect_timeout(pool.server_connect_timeout);
    // Without one that cannot be read the server says what it misses.
    if let Ok(Some(password)) = password.look_up() {
        target.password(password.expose());
    }
    Some(target)
}

/// Whether the pools may ask for more connections than the server has.
async fn check_seats(
    client: &tokio_postgres::Client,
    config: &Config,
    server: &ServerName,
    findings: &mut Findings,
) {
    let fits = |seats| check_budget::fits(&config.pool, &config.tenants, server, seats);
    match Seats::of(client).await.map(fits) {
        Ok(Ok(good)) => findings.good(&good),
        Ok(Err(warning)) => findings.warning(&warning),
        Err(error) => findings.bad(&format!("server {server}: {}", reason(&error))),
    }
}

/// Whether the login may become the role.
async fn check_role(client: &tokio_postgres::Client, place: &str, role: &RoleName, findings: &mut Findings) {
    let asked = client
        .query_one(
            "SELECT pg_catalog.set_config('role', $1, true), rolsuper \
             FROM pg_catalog.pg_roles WHERE rolname = $1",
            &[&role.as_str()],
        )
        .await;
    match asked {
        Ok(row) if row.get::<_, bool>(1) => {
            findings.bad(&format!(
                "{place}: role {role} is a superuser, whom no policy binds"
            ));
        }
        Ok(_) => findings.good(&format!("{place}: may become {role}")),
        Err(error) => findings.bad(&format!("{place}: cannot become {role}: {}", reason(&error))),
    }
}

/// The second wall (design: a transaction without identity sees nothing): the login inherits nothing and
/// holds nothing by itself.
async fn check_login_role(client: &tokio_postgres::Client, place: &str, findings: &mut Findings) {
    let asked = client
        .query_one(
            "SELECT rolinherit, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication, \
                    (SELECT count(*) FROM pg_catalog.pg_class c \
                      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace NOT IN \
                            ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) \
                        AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')), \
                    current_setting('max_prepared_transactions') \
             FROM pg_catalog.pg_roles WHERE rolname = session_user",
            &[],
        )
        .await;
    let row = match asked {
        Ok(row) => row,
        Err(error) => return findings.bad(&format!("{place}: {}", reason(&error))),
    };
    if row.get(0) {
        findings.warning(&format!("{place}: inherits its roles' rights; make it NOINHERIT"));
    }
    if row.get(1) {
        findings.bad(&format!(
            "{place}: has an attribute that RLS or policies do not bind"
        ));
    }
    match row.get::<_, i64>(2) {
        0 => findings.good(&format!("{place}: sees no table without identity")),
        tables => findings.warning(&format!("{place}: has rights of its own on {tables} tables")),
    }
    if row.get::<_, &str>(3) != "0" {
        findings.warning(&format!("{place}: max_prepared_transactions is not 0"));
    }
}

/// What the database lacks to hold by itself, a line for each rule. None of it is an error: the guard comes first.
async fn check_database(
    client: &tokio_postgres::Client,
    config: &Config,
    spot: &Spot,
    wanted: &Wanted,
    findings: &mut Findings,
) {
    let place = format!("database {}/{}", spot.server, spot.database);
    let found = match check_separation::with_tenants(client, config, spot, wanted).await {
        Ok(wanted) => harden::findings(client, &wanted).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) if found.is_empty() => findings.good(&format!("{place}: hardened")),
        Ok(found) => {
            for group in found.chunk_by(|a, b| a.rule == b.rule) {
                findings.warning(&format!("{place}: {}", in_one_line(group)));
            }
        }
        Err(error) => findings.bad(&format!("{place}: {}", reason(&error))),
    }
}

/// Findings of one rule: the first few, and what to do about them.
pub(super) fn in_one_line(group: &[Finding]) -> String {
    /// Named one by one; a database without hardening has scores of them.
    const NAMED: usize = 3;
    let named: Vec<String> = group
        .iter()
        .take(NAMED)
        .map(|finding| match (finding.kind, &finding.fix) {
            (Kind::Advice, Some(fix)) => format!("{}: {} ({fix})", finding.object, finding.problem),
            _ => format!("{}: {}", finding.object, finding.problem),
        })
        .collect();
    let more = match group.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let what_to_do = match group.first() {
        Some(Finding {
            kind: Kind::Mend,
            rule,
            ..
        }) => format!(" [{rule}: `portcullis harden` mends it]"),
        Some(Finding { rule, .. }) => format!(" [{rule}]"),
        None => String::new(),
    };
    format!("{}{more}{what_to_do}", named.join("; "))
}
