//! `portcullis harden`: makes databases hold by themselves what the guard keeps from end users.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;

use super::check::reason;
use super::check_tls::Encryption;
use super::harden_tenants::Tenants;
use super::serve;
use crate::base::RoleName;
use crate::config::Config;
use crate::harden::{self, Finding, Kind, TenantRoles, Wanted};
use crate::net::tls;

/// What the command line of `portcullis harden` says.
#[derive(Clone, Debug, clap::Args)]
pub struct HardenOptions {
    /// The configuration file: its logins and roles are who the database is hardened against
    #[arg(long, short, value_name = "FILE", default_value = "portcullis.toml")]
    config: PathBuf,
    /// A database, as its owner or a superuser: postgres://user@host/name. May be given more than once; the
    /// password may be in PGPASSWORD
    #[arg(long, value_name = "URL", required = true)]
    database: Vec<String>,
    /// Print the SQL that would run, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// A role that keeps the functions that PUBLIC loses, beside trusted roles: for migrations, monitoring, backups
    #[arg(long, value_name = "ROLE")]
    keep: Vec<String>,
    /// Only make the roles of this tenant, whose schema is there: for a new one. May be given more than once
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
    /// Make and grant tenants' roles, and take nothing from the roles that tenants share yet: before the proxies have
    /// the configuration with `role`
    #[arg(long)]
    add_only: bool,
    /// Take away the roles and the login that this tenant has of its own, and do nothing else; its schema stays
    #[arg(long, value_name = "TENANT", conflicts_with = "tenant")]
    drop_tenant: Option<String>,
    /// The name under [servers] of the database's server, where tenants live in several databases of one name
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// PEM file of authorities: the server's certificate is verified, and its name
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// What came of one finding.
#[derive(Debug)]
enum Outcome {
    Mended,
    /// The platform keeps the right to change this to itself, as RDS does with `pg_catalog`.
    KeptByPlatform,
    Failed(String),
}

/// Hardens each database. Exit code 1 means that something could not be mended or a database not reached, 2 that the
/// configuration has mistakes.
///
/// Not cancel safe in that some things are then mended and others not; running it again goes on.
pub async fn run(options: HardenOptions) -> ExitCode {
    let config = match serve::load(&options.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut wanted = Wanted::of(&config);
    for role in &options.keep {
        wanted = wanted.keeping(RoleName::new(role.as_str()));
    }
    let tenants = match Tenants::new(&config, options.server.as_deref()) {
        Ok(tenants) => tenants,
        Err(why) => {
            let _ = writeln!(io::stderr(), "portcullis harden: {why}");
            return ExitCode::from(2);
        }
    };
    let plan = Plan {
        options,
        config,
        wanted,
        tenants,
    };
    let mut code = ExitCode::SUCCESS;
    for url in &plan.options.database {
        if let Err(why) = plan.carry_out(url).await {
            let _ = writeln!(io::stderr(), "portcullis harden: {why}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// What is to be done to each database.
struct Plan {
    options: HardenOptions,
    config: Config,
    wanted: Wanted,
    tenants: Tenants,
}

impl Plan {
    async fn carry_out(&self, url: &str) -> Result<(), String> {
        let target = target(url)?;
        let name = target
            .get_dbname()
            .or(target.get_user())
            .unwrap_or("?")
            .to_owned();
        let (client, connection) = target
            .connect(encryption(&target, &self.options)?)
            .await
            .map_err(|error| format!("database {name}: {}", reason(&error)))?;
        let driver = tokio::spawn(connection);
        let outcome = match &self.options.drop_tenant {
            Some(tenant) => self.drop_tenant(&client, &name, tenant).await,
            None => self.harden(&client, &name).await,
        };
        drop(client);
        driver.abort();
        outcome
    }

    /// Tenants' own roles first, so that all the rest is looked at with them.
    async fn harden(&self, client: &tokio_postgres::Client, name: &str) -> Result<(), String> {
        let failed = |error: tokio_postgres::Error| format!("database {name}: {}", reason(&error));
        let residents = self.tenants.of(client, name, &self.options.tenant).await?;
        let needed = TenantRoles::of(&self.config, &self.wanted, &residents);
        let mut outcome = Ok(());
        if !needed.is_empty() {
            let found = needed.findings(client).await.map_err(failed)?;
            let (takes, gives): (Vec<_>, Vec<_>) = found.into_iter().partition(TenantRoles::takes_away);
            let takes = if self.options.add_only { Vec::new() } else { takes };
            if self.options.dry_run {
                print_script(name, &[gives, takes].concat());
            } else {
                outcome = self.mend_tenants(client, name, &needed, [gives, takes]).await;
            }
        }
        if !self.options.tenant.is_empty() || self.options.add_only {
            return outcome;
        }
        let wanted = self.wanted.clone().with_residents(&residents);
        let wanted = wanted.with_tenants_elsewhere(client, &self.tenants.directory);
        let wanted = wanted.await.map_err(failed)?;
        let found = harden::findings(client, &wanted).await.map_err(failed)?;
        if self.options.dry_run {
            print_script(name, &found);
            return Ok(());
        }
        mend(client, name, &found).await.and(outcome)
    }

    /// Gives tenants' roles what they need, and only if that has worked takes it from the others; then looks again.
    async fn mend_tenants(
        &self,
        client: &tokio_postgres::Client,
        name: &str,
        needed: &TenantRoles,
        [gives, takes]: [Vec<Finding>; 2],
    ) -> Result<(), String> {
        mend(client, &format!("{name}, roles of tenants"), &gives).await?;
        mend(client, &format!("{name}, roles that tenants share"), &takes).await?;
        let left = needed.findings(client).await;
        let left = left.map_err(|error| format!("database {name}: {}", reason(&error)))?;
        let is_left = |left: &&Finding| {
            left.kind == Kind::Mend && !(self.options.add_only && TenantRoles::takes_away(left))
        };
        match left.iter().find(is_left) {
            None => Ok(()),
            Some(left) => Err(format!(
                "database {name}: {}: {}, still: somebody else has granted it",
                left.object, left.problem
            )),
        }
    }

    async fn drop_tenant(
        &self,
        client: &tokio_postgres::Client,
        name: &str,
        tenant: &str,
    ) -> Result<(), String> {
        let script = self.tenants.farewell(client, name, tenant).await?;
        if self.options.dry_run {
            script.iter().for_each(|statement| say(&format!("{statement};")));
            return Ok(());
        }
        // Sent as one message, it is one transaction.
        client.batch_execute(&script.join("; ")).await.map_err(|error| {
            let detail = error
                .as_db_error()
                .and_then(|error| error.detail())
                .unwrap_or_default();
            format!("database {name}: tenant {tenant}: {} {detail}", reason(&error))
        })?;
        say(&format!(
            "done     database {name}: tenant {tenant} has no roles of its own any more; its schema and tables are \
             where they were"
        ));
        Ok(())
    }
}

/// Mends what can be mended and says how each went.
async fn mend(client: &tokio_postgres::Client, name: &str, found: &[Finding]) -> Result<(), String> {
    let (mut mended, mut kept, mut failed) = (0, 0, 0);
    for finding in found.iter().filter(|finding| finding.kind == Kind::Mend) {
        match outcome(client, finding).await {
            Outcome::Mended => {
                mended += 1;
                say(&format!("mended   {}: {}", finding.object, finding.problem));
            }
            Outcome::KeptByPlatform => kept += 1,
            Outcome::Failed(why) => {
                failed += 1;
                say(&format!(
                    "failed   {}: {}: {why}",
                    finding.object, finding.problem
                ));
            }
        }
    }
    for finding in found.iter().filter(|finding| finding.kind == Kind::Advice) {
        let fix = finding
            .fix
            .as_ref()
            .map_or_else(String::new, |fix| format!(" ({fix})"));
        say(&format!("advice   {}: {}{fix}", finding.object, finding.problem));
    }
    if kept > 0 {
        say(&format!(
            "kept     {kept} rights in pg_catalog: this platform does not let its customers revoke them; the guard \
             alone keeps end users from them"
        ));
    }
    say(&format!(
        "done     database {name}: {mended} mended, {failed} failed"
    ));
    match failed {
        0 => Ok(()),
        failed => Err(format!(
            "database {name}: {failed} things could not be mended; run it as their owner or as a superuser"
        )),
    }
}

async fn outcome(client: &tokio_postgres::Client, finding: &Finding) -> Outcome {
    match harden::mend(client, finding).await {
        Ok(_) => Outcome::Mended,
        Err(error)
            if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
                && finding.object.starts_with("pg_catalog.") =>
        {
            Outcome::KeptByPlatform
        }
        Err(error) => Outcome::Failed(reason(&error)),
    }
}

/// The SQL that would run, to be read or piped into psql; advice as comments.
fn print_script(name: &str, found: &[Finding]) {
    say(&format!("-- database {}", in_comment(name)));
    for finding in found {
        let about = in_comment(&format!("{}: {}", finding.object, finding.problem));
        match (finding.kind, &finding.fix) {
            (Kind::Mend, Some(fix)) => say(&format!("{fix}; -- {about}")),
            (_, Some(fix)) => say(&format!("-- advice: {about}: {}", in_comment(fix))),
            (_, None) => say(&format!("-- advice: {about}")),
        }
    }
}

/// A name may hold a line break, which would end the comment.
fn in_comment(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn target(url: &str) -> Result<tokio_postgres::Config, String> {
    let mut target: tokio_postgres::Config = url
        .parse()
        .map_err(|_| "--database is not a connection URL such as postgres://user@host/name".to_owned())?;
    if target.get_password().is_none()
        && let Ok(password) = std::env::var("PGPASSWORD")
    {
        target.password(password);
    }
    // Names in fixes are written in full, whatever the role's own search path.
    target
        .options("-c search_path=")
        .application_name("portcullis harden");
    Ok(target)
}

/// TLS as the URL's sslmode says; with a file of authorities the server has to prove who it is.
fn encryption(target: &tokio_postgres::Config, options: &HardenOptions) -> Result<Encryption, String> {
    let mode = match (target.get_ssl_mode(), &options.ca_file) {
        (SslMode::Disable, None) => tls::SslMode::Disable,
        (SslMode::Disable, Some(_)) => {
            return Err("--ca-file and sslmode=disable exclude each other".to_owned());
        }
        (_, Some(_)) => tls::SslMode::VerifyFull,
        (SslMode::Prefer, None) => tls::SslMode::Prefer,
        (_, None) => tls::SslMode::Require,
    };
    let settings = tls::ConnectorSettings {
        mode,
        ca_file: options.ca_file.clone(),
        identity: None,
    };
    let connector = tls::Connector::new(settings).map_err(|error| error.to_string())?;
    Ok(Encryption::by(connector))
}

pub(super) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_comment() {
        assert_eq!(in_comment("a\nDROP TABLE t; --"), "a DROP TABLE t; --");
    }

    #[test]
    fn urls_and_key_value_strings_are_understood() {
        assert_eq!(
            target("postgres://me@host/shop").unwrap().get_dbname(),
            Some("shop")
        );
        assert_eq!(
            target("host=/tmp user=me dbname=shop").unwrap().get_user(),
            Some("me")
        );
        assert!(target("postgres://:x:y:z").is_err());
    }
}
