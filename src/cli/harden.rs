//! `portcullis harden`: makes databases hold by themselves what the guard keeps from end users.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio_postgres::config::SslMode;

use super::check_tls::Encryption;
use super::harden_report::{print_script, say, tell_hardened, tell_undone};
use super::harden_tenants::Tenants;
use super::{harden_all, serve};
use crate::base::RoleName;
use crate::config::Config;
use crate::harden::{self, Extent, Request, Session, TenantRoles, Wanted, reason};
use crate::net::tls;

/// What the command line of `portcullis harden` says.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct HardenOptions {
    /// The configuration file: its logins and roles are who the database is hardened against
    #[arg(long, short, value_name = "FILE", default_value = "portcullis.toml")]
    config: PathBuf,
    /// A database, as a superuser or its owner: postgres://user@host/name. May be given more than once; the
    /// password may be in PGPASSWORD
    #[arg(long, value_name = "URL", required = true)]
    database: Vec<String>,
    /// Every database of the configuration on the server that --database names, and of all that exist there those that a
    /// pattern of tenants means. One --database for each server
    #[arg(long)]
    all: bool,
    /// Put back what it has changed in the database, as far as nobody has changed it since
    #[arg(long, conflicts_with_all = ["dry_run", "keep"])]
    undo: bool,
    /// Print the SQL that would run, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// A role that keeps the functions that PUBLIC loses, beside trusted roles and those that are no end user's: one made
    /// after the first run, or an end user's role for which the database is not to be a second wall
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

/// Hardens each database. Exit code 1 means that something remains that end users could use, that a database could not be
/// reached, or that nothing was changed in it; 2 that the configuration has mistakes.
///
/// Cancel safe for each database: one is hardened or not; running it again goes on with the others.
pub async fn run(options: HardenOptions) -> ExitCode {
    let config = match serve::load(&options.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut code = ExitCode::SUCCESS;
    let mut failed = |why: &str| {
        let _ = writeln!(io::stderr(), "portcullis harden: {why}");
        code = ExitCode::FAILURE;
    };
    let mut targets = Vec::new();
    for url in &options.database {
        match target(url) {
            Ok(target) => targets.push(target),
            Err(why) => failed(&why),
        }
    }
    if options.all {
        let (databases, mistakes) = harden_all::databases(&config, targets, &options).await;
        mistakes.iter().for_each(|why| failed(why));
        targets = databases;
    }
    let plan = match Plan::new(config, options) {
        Ok(plan) => plan,
        Err(why) => {
            failed(&why);
            return ExitCode::from(serve::BAD_CONFIG);
        }
    };
    for target in &targets {
        if let Err(why) = plan.visit(target).await {
            failed(&why);
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
    fn new(config: Config, options: HardenOptions) -> Result<Self, String> {
        let mut wanted = Wanted::of(&config);
        for role in &options.keep {
            wanted = wanted.keeping(RoleName::new(role.as_str()));
        }
        Ok(Self {
            tenants: Tenants::new(&config, options.server.as_deref())?,
            wanted,
            config,
            options,
        })
    }

    async fn visit(&self, target: &tokio_postgres::Config) -> Result<(), String> {
        let name = target.get_dbname().or(target.get_user()).unwrap_or("?");
        let session = connect(target, &self.options).await?;
        let outcome = match &self.options.drop_tenant {
            Some(tenant) => self.drop_tenant(session.client(), name, tenant).await,
            None if self.options.undo => match harden::undo(&session).await {
                Ok(undone) => tell_undone(name, &undone),
                Err(error) => Err(format!("database {name}: {error}")),
            },
            None => self.harden(&session, name).await,
        };
        session.close().await;
        outcome
    }

    async fn harden(&self, session: &Session, name: &str) -> Result<(), String> {
        let failed = |error: harden::HardenError| format!("database {name}: {error}");
        let client = session.client();
        let residents = self.tenants.of(client, name, &self.options.tenant).await?;
        let tenants = TenantRoles::of(&self.config, &self.wanted, &residents);
        let wanted = self.wanted.clone().with_residents(&residents);
        let wanted = wanted.with_tenants_elsewhere(client, &self.tenants.directory);
        let wanted = wanted.await.map_err(|error| failed(error.into()))?;
        let extent = match (self.options.add_only, self.options.tenant.is_empty()) {
            (true, _) => Extent::Gifts,
            (false, false) => Extent::TenantRoles,
            (false, true) => Extent::Everything,
        };
        if self.options.dry_run {
            let mut found = tenants
                .findings(client)
                .await
                .map_err(|error| failed(error.into()))?;
            found.retain(|finding| extent != Extent::Gifts || !TenantRoles::takes_away(finding));
            if extent == Extent::Everything {
                let rest = harden::findings(client, &wanted).await;
                found.extend(rest.map_err(|error| failed(error.into()))?);
            }
            print_script(name, &found);
            return Ok(());
        }
        let request = Request {
            wanted: &wanted,
            tenants: &tenants,
            extent,
        };
        tell_hardened(name, &harden::harden(session, request).await.map_err(failed)?)
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

/// A session in a database.
///
/// # Errors
/// Says which database and why.
pub(super) async fn connect(
    target: &tokio_postgres::Config,
    options: &HardenOptions,
) -> Result<Session, String> {
    let name = target.get_dbname().or(target.get_user()).unwrap_or("?");
    let session = Session::open(target, encryption(target, options)?).await;
    session.map_err(|error| format!("database {name}: {}", reason(&error)))
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

#[cfg(test)]
mod tests {
    use super::*;

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
