//! `portcullis guard`: says what the guard thinks of a statement, or of many.

mod learn;
mod tokens;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::serve;
use crate::base::{PoolMode, RoleName, TenantName};
use crate::guard::{self, Asker, Facts, Guard, Limits, Policy, Refusal, Script, Settings};
use crate::tenant::{self, Directory, RouteError, Schemas};

/// What the command line of `portcullis guard` says.
#[derive(Clone, Debug, clap::Args)]
pub struct GuardOptions {
    /// The configuration whose policies count [default: those built in]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The role; without a configuration, the policy of this name
    #[arg(long, default_value = "end_user")]
    role: String,
    /// The pool mode of the role's sessions: transaction or session
    #[arg(long, default_value = "transaction", value_parser = pool_mode)]
    pool_mode: PoolMode,
    /// The tenant whose statement it is: one that has a schema may name that and those beside it alone
    #[arg(long, value_name = "TENANT", requires = "config")]
    tenant: Option<String>,
    /// Judge NUL-separated texts of a file, one JSON line each [default FILE: standard input]
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", conflicts_with = "sql")]
    batch: Option<PathBuf>,
    /// Print the tokens of the text as JSON lines instead of a verdict; without SQL or --batch, of standard input
    #[arg(long)]
    tokens: bool,
    /// Collect the statements of a log into a registry of statements on standard output; `-` is standard input
    #[arg(long, value_name = "LOG", conflicts_with_all = ["sql", "batch", "tokens"])]
    learn: Option<PathBuf>,
    /// The statement
    #[arg(required_unless_present_any = ["batch", "tokens", "learn"])]
    sql: Option<String>,
}

/// Judges what the command line asks for. Exit code 1 means that the one statement is refused, or that some text
/// could not be split into tokens.
pub fn main(options: &GuardOptions) -> ExitCode {
    let (settings, schemas) = match &options.config {
        Some(path) => match serve::load(path) {
            Ok(config) => match schemas_of(config.tenants, options) {
                Ok(schemas) => (config.guard, schemas),
                Err(error) => {
                    let _ = writeln!(io::stderr(), "portcullis guard: {error}");
                    return ExitCode::FAILURE;
                }
            },
            Err(code) => return code,
        },
        None => (built_in(), None),
    };
    match run(settings, schemas, options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "portcullis guard: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The schemas that statements of the tenant that is asked about may name.
fn schemas_of(tenants: tenant::Settings, options: &GuardOptions) -> Result<Option<Schemas>, RouteError> {
    let Some(name) = &options.tenant else {
        return Ok(None);
    };
    let role = RoleName::new(options.role.as_str());
    let route = Directory::new(tenants).route_for(&role, &[TenantName::new(name.as_str())], name)?;
    Ok(route.schemas.clone())
}

/// A pool mode by its name.
fn pool_mode(text: &str) -> Result<PoolMode, String> {
    [PoolMode::Transaction, PoolMode::Session]
        .into_iter()
        .find(|mode| mode.as_str() == text)
        .ok_or_else(|| "must be transaction or session".to_owned())
}

/// The built-in policies, each under its own name as a role's.
fn built_in() -> Settings {
    let policies = vec![Policy::end_user(), Policy::read_only(), Policy::trusted()];
    let by_role: HashMap<RoleName, String> = policies
        .iter()
        .map(|policy| (RoleName::new(policy.name()), policy.name().to_owned()))
        .collect();
    Settings {
        policies,
        by_role,
        default_policy: Policy::end_user().name().to_owned(),
        cache_bytes: 0,
        ..Settings::default()
    }
}

/// Does what the command line asks for; whether it ends well.
fn run(settings: Settings, schemas: Option<Schemas>, options: &GuardOptions) -> io::Result<bool> {
    let mut out = BufWriter::new(io::stdout().lock());
    let limits = settings.limits;
    if let Some(log) = &options.learn {
        // What is left out is said; the registry is good all the same.
        learn::learn(&limits, &mut *open(log)?, &mut out, &mut io::stderr())?;
        out.flush()?;
        return Ok(true);
    }
    let ends_well = match (&options.batch, &options.sql) {
        (Some(file), _) if options.tokens => tokens::batch(&limits, &mut *open(file)?, &mut out)?,
        (Some(file), _) => {
            let judge = Judge::new(settings, schemas, options);
            batch(&judge, &mut *open(file)?, &mut out)?;
            true
        }
        (None, Some(sql)) if options.tokens => tokens::print(&limits, None, sql.as_bytes(), &mut out)?,
        (None, Some(sql)) => {
            let judge = Judge::new(settings, schemas, options);
            explain(&judge, sql, &mut out)?
        }
        (None, None) => {
            let mut text = Vec::new();
            io::stdin().lock().read_to_end(&mut text)?;
            tokens::print(&limits, None, &text, &mut out)?
        }
    };
    out.flush()?;
    Ok(ends_well)
}

/// A guard, and whose statements it judges.
struct Judge {
    guard: Guard,
    policy: Arc<Policy>,
    schemas: Option<Schemas>,
}

impl Judge {
    fn new(settings: Settings, schemas: Option<Schemas>, options: &GuardOptions) -> Self {
        let guard = Guard::new(settings);
        let policy = guard.policy_in(options.pool_mode, &RoleName::new(options.role.as_str()));
        Self {
            guard,
            policy,
            schemas,
        }
    }

    fn judge(&self, text: &[u8]) -> Result<Arc<Script>, Arc<Refusal>> {
        let asker = Asker {
            schemas: self.schemas.as_ref(),
            account: None,
        };
        self.guard.judge_for(asker, &self.policy, text)
    }
}

/// A file, or standard input for `-`.
fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Prints the verdict on one text, with its rule, hint and facts; true if it is allowed.
///
/// # Errors
///
/// `out` failed.
fn explain(judge: &Judge, sql: &str, out: &mut impl Write) -> io::Result<bool> {
    writeln!(out, "policy:   {}", judge.policy.name())?;
    if let Some(schema) = judge.schemas.as_ref().and_then(Schemas::own) {
        writeln!(out, "schema:   {schema}")?;
    }
    let verdict = judge.judge(sql.as_bytes());
    match &verdict {
        Ok(script) => explain_allowed(script, out)?,
        Err(refusal) => explain_refused(refusal, out)?,
    }
    for facts in judge.guard.facts(sql.as_bytes()) {
        explain_facts(facts.as_ref(), out)?;
    }
    Ok(verdict.is_ok())
}

fn explain_allowed(script: &Script, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "verdict:  allow")?;
    if script.statements().is_empty() {
        writeln!(out, "class:    (empty query)")?;
    }
    for cleared in script.statements() {
        writeln!(out, "class:    {}", cleared.class())?;
        writeln!(out, "action:   {:?}", cleared.action())?;
        writeln!(out, "sql:      {}", cleared.sql())?;
        for found in guard::registrations(cleared.sql().as_bytes(), &Limits::default()).unwrap_or_default() {
            writeln!(out, "fingerprint: {}", found.fingerprint)?;
        }
    }
    Ok(())
}

fn explain_refused(refusal: &Refusal, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "verdict:  refuse")?;
    writeln!(out, "class:    {}", refusal.class)?;
    writeln!(out, "sqlstate: {}", refusal.sqlstate)?;
    writeln!(out, "reason:   {}", refusal.message)?;
    if let Some(hint) = &refusal.hint {
        writeln!(out, "hint:     {hint}")?;
    }
    if let Some(position) = refusal.position {
        writeln!(out, "position: {position}")?;
    }
    writeln!(out, "rule:     {}", refusal.rule)
}

fn explain_facts(facts: Option<&Facts>, out: &mut impl Write) -> io::Result<()> {
    let Some(facts) = facts else {
        return writeln!(out, "parsed:   no (judged by its tokens alone)");
    };
    writeln!(out, "parsed:   yes")?;
    for (label, names) in [
        ("calls:    ", &facts.functions),
        ("tables:   ", &facts.relations),
        ("writes:   ", &facts.written),
    ] {
        if !names.is_empty() {
            writeln!(out, "{label}{}", names.join(", "))?;
        }
    }
    if facts.unfiltered_write {
        writeln!(out, "note:     an UPDATE or DELETE has no WHERE")?;
    }
    Ok(())
}

/// One line of `--batch`.
#[derive(Serialize)]
struct Line<'a> {
    /// The class of the refused statement, or of the first one; empty for an empty query.
    class: &'a str,
    /// `allow` or `refuse`
    verdict: &'static str,
    sqlstate: Option<&'a str>,
    reason: Option<&'a str>,
    rule: Option<&'a str>,
    /// Whether the grammar of the second layer knows every statement of the text.
    parsed: bool,
}

/// Judges NUL-separated texts, one JSON line each; true if all are allowed. A NUL at the very end closes the
/// last text and does not open another.
///
/// # Errors
///
/// `input` or `out` failed.
fn batch(judge: &Judge, input: &mut dyn BufRead, out: &mut impl Write) -> io::Result<bool> {
    let mut all_allowed = true;
    let mut text = Vec::new();
    loop {
        text.clear();
        if input.read_until(0, &mut text)? == 0 {
            return Ok(all_allowed);
        }
        let sql = text.strip_suffix(b"\0").unwrap_or(&text);
        let verdict = judge.judge(sql);
        let facts = judge.guard.facts(sql);
        let is_empty = matches!(&verdict, Ok(script) if script.statements().is_empty());
        let parsed = is_empty || (!facts.is_empty() && facts.iter().all(Option::is_some));
        let line = match &verdict {
            Ok(script) => Line {
                class: script
                    .statements()
                    .first()
                    .map_or("", |cleared| cleared.class().as_str()),
                verdict: "allow",
                sqlstate: None,
                reason: None,
                rule: None,
                parsed,
            },
            Err(refusal) => Line {
                class: refusal.class.as_str(),
                verdict: "refuse",
                sqlstate: Some(refusal.sqlstate.as_str()),
                reason: Some(&refusal.message),
                rule: Some(refusal.rule),
                parsed,
            },
        };
        all_allowed &= verdict.is_ok();
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Settings;

    fn judge_of(schemas: Option<Schemas>) -> Judge {
        let guard = Guard::new(Settings::default());
        Judge {
            policy: guard.policy_for(&"web".into()),
            guard,
            schemas,
        }
    }

    #[test]
    fn a_batch_gives_one_line_for_each_text() {
        let judge = judge_of(None);
        let mut out = Vec::new();
        let mut input = &b"SELECT 1\0DROP TABLE t\0\0SELECT a FROM t FOR UPDATE; SELECT +"[..];
        assert!(!batch(&judge, &mut input, &mut out).unwrap());
        let lines: Vec<serde_json::Value> = out
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let field = |line: usize, key: &str| lines[line][key].as_str().unwrap_or("-").to_owned();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            (field(0, "class"), field(0, "verdict"), field(0, "sqlstate")),
            ("SELECT".into(), "allow".into(), "-".into())
        );
        assert_eq!(
            (field(1, "class"), field(1, "sqlstate")),
            ("DROP".into(), "42501".into())
        );
        assert!(field(1, "reason").contains("DROP"));
        assert_eq!(
            (field(2, "class"), field(2, "verdict")),
            (String::new(), "allow".into())
        );
        assert_eq!(
            (lines[0]["parsed"].as_bool(), lines[3]["parsed"].as_bool()),
            (Some(true), Some(false))
        );
    }

    #[test]
    fn an_explanation_says_why_and_what_to_do() {
        let explained_for = |schemas: Option<Schemas>, sql: &str| {
            let mut out = Vec::new();
            let allowed = explain(&judge_of(schemas), sql, &mut out).unwrap();
            (allowed, String::from_utf8(out).unwrap())
        };
        let explained = |sql: &str| explained_for(None, sql);
        let (allowed, text) = explained("DELETE FROM todos");
        assert!(
            allowed && text.contains("class:    DELETE") && text.contains("no WHERE"),
            "{text}"
        );
        let (allowed, text) = explained("SELECT set_config('role', 'x', true)");
        assert!(
            !allowed && text.contains("42501") && text.contains("hint:") && text.contains("position: 8"),
            "{text}"
        );
        let schemas = Schemas::only("s_a", &[].into());
        let (allowed, text) = explained_for(Some(schemas), "TABLE s_b.notes");
        assert!(
            !allowed && text.contains("schema:   s_a") && text.contains("rule:     schema.other"),
            "{text}"
        );
    }
}
