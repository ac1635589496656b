//! Real drivers against the proxy: psql, psycopg 3, asyncpg and node-postgres (`tokio_postgres.rs` has the
//! fifth), each with a pool of four and a pool of one, on the installed PostgreSQL and on 18.
//!
//! `PORTCULLIS_TEST_DRIVERS="psql node"` runs some of them only; without it a missing tool is a failure.
//! `PORTCULLIS_TEST_CHECKS="cancel copy_both_ways"` runs some checks only. `PORTCULLIS_TEST_DIRECT=1` goes
//! straight to Postgres, which shows that a check fails because of the proxy and not by itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::people::{Person, alice, bob, carol, in_seconds, person, sign};
use support::postgres::{Postgres, Version, cluster};
use support::proxy::{Stack, StackOptions};
use support::tools;

/// How many clients the crossing test has.
const CLIENTS: usize = 200;

/// Longest run of one suite.
const LIMIT: Duration = Duration::from_secs(500);

/// A driver's suite.
#[derive(Clone, Copy, Debug)]
enum Suite {
    Psql,
    Psycopg,
    Asyncpg,
    Node,
}

/// What a suite ran against.
struct Target {
    stack: Option<Stack>,
    postgres: &'static Postgres,
    pool_size: usize,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Psql => "psql",
            Self::Psycopg => "psycopg",
            Self::Asyncpg => "asyncpg",
            Self::Node => "node",
        }
    }

    fn command(self) -> Result<Command, String> {
        let script = |name: &str| {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/drivers")
                .join(name)
        };
        let python = |name: &str| {
            let mut command = Command::new(tools::python()?);
            // -B: leave no compiled files in the source tree.
            command.arg("-B").arg(script(name));
            Ok(command)
        };
        match self {
            Self::Psql => {
                tools::psql()?;
                let mut command = Command::new("bash");
                command.arg(script("psql_suite.sh"));
                Ok(command)
            }
            Self::Psycopg => python("psycopg_suite.py"),
            Self::Asyncpg => python("asyncpg_suite.py"),
            Self::Node => {
                let modules = tools::node()?;
                let mut command = Command::new("node");
                command.arg(script("node_suite.mjs")).env("NODE_MODULES", modules);
                Ok(command)
            }
        }
    }
}

impl Target {
    fn start(version: Version, pool_size: usize) -> Option<Self> {
        let direct = env::var_os("PORTCULLIS_TEST_DIRECT").is_some();
        let postgres = cluster(version)?;
        let options = StackOptions {
            postgres: version,
            // The service has session mode, and connections enough for a listener and a sender.
            ..StackOptions::pool(pool_size)
                .with("roles.service_role.pool_mode = \"session\"\nlogins.service.default_pool_size = 2")
        };
        let stack = (!direct).then(|| Stack::start(&options));
        Some(Self {
            pool_size: if direct { 0 } else { pool_size },
            stack,
            postgres,
        })
    }

    fn url(&self, who: &Person) -> String {
        match &self.stack {
            Some(stack) => stack.url(who),
            None => format!(
                "postgres://direct_{}:direct@127.0.0.1:{}/shop",
                who.name,
                self.postgres.port()
            ),
        }
    }

    fn url_with_token(&self, token: &str) -> String {
        let port = self.stack.as_ref().map_or(0, Stack::port);
        format!("postgres://alice:{token}@127.0.0.1:{port}/acme")
    }

    /// Two tenants, one after the other, and through the proxy a user of its own for every client.
    fn clients(&self) -> Vec<Value> {
        let tenants = [("acme", alice()), ("globex", bob())];
        tenants
            .iter()
            .cycle()
            .take(CLIENTS)
            .enumerate()
            .map(|(n, (tenant, fixed))| {
                let who = match self.stack {
                    Some(_) => person(&format!("user{n}"), tenant),
                    None => fixed.clone(),
                };
                json!({ "user": who.name, "tenant": who.tenant, "url": self.url(&who) })
            })
            .collect()
    }
}

/// Runs a suite and returns what it printed; `bend` may spoil the clients of the crossing test.
fn play(
    suite: Suite,
    target: &Target,
    only: Option<&str>,
    bend: fn(&mut Vec<Value>),
) -> (bool, String, String) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = format!(
        "{}-{}-{}",
        suite.name(),
        std::process::id(),
        RUNS.fetch_add(1, Ordering::Relaxed)
    );
    let folder = tempfile::tempdir().unwrap();
    let mut clients = target.clients();
    bend(&mut clients);
    let json_file = write(
        folder.path(),
        "clients.json",
        &Value::Array(clients.clone()).to_string(),
    );
    let text = |client: &Value, key: &str| client[key].as_str().unwrap().to_owned();
    let lines = clients.iter().map(|client| {
        format!(
            "{}\t{}\t{}\n",
            text(client, "user"),
            text(client, "tenant"),
            text(client, "url")
        )
    });
    let tsv_file = write(folder.path(), "clients.tsv", &lines.collect::<String>());
    let out = folder.path().join("out");
    let mut command = suite
        .command()
        .unwrap_or_else(|why| panic!("{} suite: {why}", suite.name()));
    let environment = BTreeMap::from([
        ("URL_ALICE", target.url(&alice())),
        ("URL_BOB", target.url(&bob())),
        ("URL_CAROL", target.url(&carol())),
        (
            "URL_SERVICE",
            target.url_with_token(&alice().token_with(&[("role", json!("service_role"))])),
        ),
        (
            "URL_FOREIGN",
            target.url_with_token(&sign(
                &alice().claims(),
                "another secret, of another issuer, 0123456789",
            )),
        ),
        (
            "URL_EXPIRED",
            target.url_with_token(&alice().token_with(&[("exp", json!(in_seconds(-300)))])),
        ),
        ("POOL_SIZE", target.pool_size.to_string()),
        ("RUN", run.clone()),
        ("CLIENTS_FILE", json_file.display().to_string()),
        ("CLIENTS_TSV", tsv_file.display().to_string()),
    ]);
    let chosen = only
        .map(str::to_owned)
        .or_else(|| env::var("PORTCULLIS_TEST_CHECKS").ok());
    command.envs(environment).env("ONLY", chosen.unwrap_or_default());
    let file = fs::File::create(&out).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let ok = support::run_within(command, LIMIT);
    (ok, fs::read_to_string(out).unwrap(), run)
}

fn run_suite(suite: Suite, version: Version, pool_size: usize) {
    let wanted = env::var("PORTCULLIS_TEST_DRIVERS").unwrap_or_default();
    if !wanted.is_empty() && !wanted.split([' ', ',']).any(|name| name == suite.name()) {
        return;
    }
    let Some(mut target) = Target::start(version, pool_size) else {
        return;
    };
    let (ok, output, run) = play(suite, &target, None, |_| {});
    println!("{output}");
    assert!(
        ok,
        "{suite:?} with a pool of {pool_size} on {version:?}:\n{}",
        failures(&output)
    );
    // What the sessions wrote, seen by the superuser: everything is attributed to who wrote it.
    let foreign = "SELECT owner || '@' || tenant || ' <> ' || note FROM crossing";
    let sql = format!("{foreign} WHERE run = '{run}' AND note <> owner || '@' || tenant");
    assert_eq!(
        target.postgres.ask(&sql),
        Vec::<String>::new(),
        "rows written as somebody else"
    );
    if let Some(stack) = &mut target.stack {
        stack.assert_well();
    }
}

fn failures(output: &str) -> String {
    let failed: Vec<&str> = output.lines().filter(|line| line.starts_with("FAIL ")).collect();
    if failed.is_empty() {
        // It died before or between the checks.
        return output.to_owned();
    }
    failed.join("\n")
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// A client that is told it belongs to the other tenant must make the crossing test fail: the check works.
#[test]
fn the_crossing_check_can_fail() {
    let wanted = env::var("PORTCULLIS_TEST_DRIVERS").unwrap_or_default();
    let target = Target::start(Version::Installed, 4).unwrap();
    for suite in [Suite::Psql, Suite::Psycopg, Suite::Asyncpg, Suite::Node] {
        if !wanted.is_empty() && !wanted.split([' ', ',']).any(|name| name == suite.name()) {
            continue;
        }
        let (ok, output, _) = play(suite, &target, Some("clients_do_not_cross"), |clients| {
            clients.truncate(8);
            clients[5]["tenant"] = json!("acme");
        });
        assert!(
            !ok && output.contains("Crossing"),
            "{suite:?} did not notice:\n{output}"
        );
    }
}

macro_rules! suites {
    ($($module:ident: $version:ident, $pool:literal;)*) => {
        $(mod $module {
            use super::{Suite, Version, run_suite};

            #[test]
            fn psql() {
                run_suite(Suite::Psql, Version::$version, $pool);
            }
            #[test]
            fn psycopg() {
                run_suite(Suite::Psycopg, Version::$version, $pool);
            }
            #[test]
            fn asyncpg() {
                run_suite(Suite::Asyncpg, Version::$version, $pool);
            }
            #[test]
            fn node() {
                run_suite(Suite::Node, Version::$version, $pool);
            }
        })*
    };
}

suites! {
    installed_pool_4: Installed, 4;
    installed_pool_1: Installed, 1;
    pg18_pool_4: Eighteen, 4;
    pg18_pool_1: Eighteen, 1;
}
