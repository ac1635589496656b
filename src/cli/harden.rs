//! `portcullis harden`: makes databases hold by themselves what the guard keeps from end users.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio_postgres::config::SslMode;

use super::check_tls::Encryption;
use super::harden_all;
use super::serve;
use crate::base::RoleName;
use crate::harden::{self, Finding, Hardened, Kind, Session, Undone, Wanted, reason};
use crate::net::tls;

/// What the command line of `portcullis harden` says.
#[derive(Clone, Debug, clap::Args)]
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
    let mut wanted = Wanted::of(&config);
    for role in &options.keep {
        wanted = wanted.keeping(RoleName::new(role.as_str()));
    }
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
    for target in &targets {
        if let Err(why) = visit(target, &options, &wanted).await {
            failed(&why);
        }
    }
    code
}

async fn visit(
    target: &tokio_postgres::Config,
    options: &HardenOptions,
    wanted: &Wanted,
) -> Result<(), String> {
    let name = target.get_dbname().or(target.get_user()).unwrap_or("?");
    let failed = |error: harden::HardenError| format!("database {name}: {error}");
    let session = connect(target, options).await?;
    let outcome = if options.dry_run {
        let found = harden::findings(session.client(), wanted).await;
        print_script(name, &found.map_err(|error| failed(error.into()))?);
        Ok(())
    } else if options.undo {
        tell_undone(name, &harden::undo(&session).await.map_err(failed)?)
    } else {
        tell_hardened(name, &harden::harden(&session, wanted).await.map_err(failed)?)
    };
    session.close().await;
    outcome
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

/// Says what came of each finding.
fn tell_hardened(name: &str, outcome: &Hardened) -> Result<(), String> {
    for finding in &outcome.mended {
        say(&format!("mended   {}: {}", finding.object, finding.problem));
    }
    for (finding, why) in &outcome.remaining {
        say(&format!(
            "remains  {}: {}: {why}",
            finding.object, finding.problem
        ));
    }
    for finding in &outcome.left {
        let what = if finding.kind == Kind::Gap {
            "gap     "
        } else {
            "advice  "
        };
        let fix = finding
            .fix
            .as_ref()
            .map_or_else(String::new, |fix| format!(" ({fix})"));
        say(&format!("{what} {}: {}{fix}", finding.object, finding.problem));
    }
    let (mended, remaining) = (outcome.mended.len(), outcome.remaining.len());
    let unchanged = if mended == 0 { "; nothing was changed" } else { "" };
    say(&format!(
        "done     database {name}: {mended} mended, {remaining} failed{unchanged}"
    ));
    let mut missing: Vec<&str> = outcome
        .remaining
        .iter()
        .map(|(finding, _)| finding.object.as_str())
        .collect();
    let gaps = outcome.left.iter().filter(|finding| finding.kind == Kind::Gap);
    missing.extend(gaps.map(|finding| finding.object.as_str()));
    missing.dedup();
    match wall_is_missing(&missing) {
        None => Ok(()),
        Some(what) => Err(format!("database {name}: {what}")),
    }
}

/// What the wall lacks. Whoever may call `set_config` is whoever it says.
fn wall_is_missing(objects: &[&str]) -> Option<String> {
    let first = objects.first()?;
    let identity = objects
        .iter()
        .find(|object| object.starts_with("pg_catalog.set_config("));
    let (named, why) = match identity {
        Some(named) => (
            named,
            ": end users may call what identity is set with, so the guard alone keeps them apart",
        ),
        None => (first, ""),
    };
    let more = match objects.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "the second wall is not there{why}; see {named}{more} above. What the server does not let this role change needs \
         the owner or a superuser"
    ))
}

fn tell_undone(name: &str, outcome: &Undone) -> Result<(), String> {
    for skipped in &outcome.skipped {
        say(&format!("skipped  {skipped}"));
    }
    for (thing, why) in &outcome.remaining {
        say(&format!("remains  {thing}: {why}"));
    }
    let (restored, remaining) = (outcome.restored, outcome.remaining.len());
    say(&format!(
        "done     database {name}: {restored} put back, {remaining} failed"
    ));
    match remaining {
        0 => Ok(()),
        remaining => Err(format!(
            "database {name}: {remaining} things could not be put back; run it as the role that hardened it"
        )),
    }
}

/// The SQL that would run, to be read or piped into psql; advice as comments.
fn print_script(name: &str, found: &[Finding]) {
    say(&format!("-- database {}", in_comment(name)));
    for finding in found {
        let about = in_comment(&format!("{}: {}", finding.object, finding.problem));
        match (finding.kind, &finding.fix) {
            (Kind::Mend, Some(fix)) => say(&format!("{fix}; -- {about}")),
            (kind, Some(fix)) => say(&format!("-- {}: {about}: {}", word(kind), in_comment(fix))),
            (kind, None) => say(&format!("-- {}: {about}", word(kind))),
        }
    }
}

fn word(kind: Kind) -> &'static str {
    if kind == Kind::Gap { "gap" } else { "advice" }
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

fn say(line: &str) {
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
