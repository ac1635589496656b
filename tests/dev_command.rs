//! `portcullis dev` as a newcomer runs it: paste the lines, then stop it in every way there is.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

#[path = "support/processes.rs"]
mod processes;

/// How long any of it may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A temporary folder that the account which runs Postgres may enter.
fn temporary() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn portcullis_dev(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .args(["dev", "--port", "0"])
        .env("TMPDIR", temporary)
        .stdin(Stdio::null());
    command
}

/// A demonstration that runs, and the URLs its banner shows: alice, bob, anonymous.
struct Running {
    child: Child,
    urls: Vec<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut urls = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(url) = line
                .split('"')
                .nth(1)
                .filter(|url| url.starts_with("postgres://"))
            {
                urls.push(url.to_owned());
            }
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        assert_eq!(urls.len(), 3, "the banner shows three lines to paste");
        Self { child, urls }
    }

    fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }
}

fn kill(name: &str, pid: u32) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -s {name} {pid}")])
        .status()
        .unwrap();
    assert!(status.success());
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// No file is left and no process has the folder's name in its arguments.
fn is_clean(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none() && !processes::mention(folder)
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn owners(client: &Client) -> Vec<String> {
    let rows = client
        .query("SELECT owner || '/' || tenant FROM todos ORDER BY id", &[])
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_show_what_they_promise() {
    let folder = temporary();
    let mut demo = Running::start(portcullis_dev(folder.path()));
    let [alice, bob, anonymous] = demo.urls.as_slice() else {
        unreachable!("three were counted")
    };

    let client = connect(alice).await.unwrap();
    assert_eq!(owners(&client).await, ["alice/acme"; 3]);
    client
        .execute("INSERT INTO todos (title) VALUES ('Try it')", &[])
        .await
        .unwrap();
    assert_eq!(owners(&client).await, ["alice/acme"; 4]);
    for sql in [
        "DROP TABLE todos",
        "SET ROLE service_role",
        "SELECT set_config('app.user_id', 'carol', true)",
    ] {
        let error = client.batch_execute(sql).await.expect_err(sql);
        let error = error.as_db_error().expect("an answer of the proxy");
        assert_eq!(error.code().code(), "42501", "{sql}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{sql}");
    }
    assert_eq!(owners(&client).await.len(), 4, "the session goes on");

    assert_eq!(owners(&connect(bob).await.unwrap()).await, ["bob/globex"; 3]);
    assert_eq!(
        owners(&connect(anonymous).await.unwrap()).await,
        ["alice/acme", "carol/acme"]
    );

    // One letter of the signature changed; the other tenant's database; no such tenant.
    let (head, tail) = alice.split_once('@').unwrap();
    let forged = format!("{}{}@{tail}", &head[..head.len() - 5], "AAAAA");
    for (url, codes) in [
        (forged, &["28P01"][..]),
        (alice.replace("/acme", "/globex"), &["28000"]),
        (alice.replace("/acme", "/nowhere"), &["28000", "3D000"]),
    ] {
        let error = connect(&url).await.expect_err("a refusal");
        let error = error.as_db_error().expect("an answer of the proxy");
        assert!(codes.contains(&error.code().code()), "{error:?}");
    }

    demo.signal("INT");
    assert!(demo.child.wait().unwrap().success());
    assert!(is_clean(folder.path()));
}

#[test]
fn every_way_to_stop_leaves_nothing() {
    for name in ["INT", "TERM", "HUP", "KILL"] {
        let folder = temporary();
        let mut demo = Running::start(portcullis_dev(folder.path()));
        assert!(!is_clean(folder.path()));
        demo.signal(name);
        let status = demo.child.wait().unwrap();
        assert_eq!(status.success(), name != "KILL", "{name}: {status}");
        eventually("a clean folder", || is_clean(folder.path()));
    }
}

#[test]
fn it_ends_with_the_process_that_started_it() {
    let folder = temporary();
    let mut shell = Command::new("sh");
    let line = format!("'{}' dev --port 0 & wait", env!("CARGO_BIN_EXE_portcullis"));
    shell
        .args(["-c", &line])
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null());
    let mut demo = Running::start(shell);
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    eventually("a clean folder", || is_clean(folder.path()));
}

#[test]
fn a_script_runs_between_start_and_stop() {
    let folder = temporary();
    let data = temporary();
    for run in 1..=2 {
        let mut command = portcullis_dev(folder.path());
        command.arg("--data").arg(data.path());
        let script = "test -n \"$PORTCULLIS_URL_ALICE$PORTCULLIS_URL_BOB$PORTCULLIS_URL_ANON\" && exit 7";
        let status = command.args(["--exec", script]).status().unwrap();
        assert_eq!(status.code(), Some(7), "run {run}");
        assert!(is_clean(folder.path()));
    }
}

#[test]
fn a_stopped_script_is_a_failed_one() {
    let folder = temporary();
    let report = folder.path().join("report");
    let mut command = portcullis_dev(folder.path());
    command.args([
        "--exec",
        &format!("touch '{}'; sleep 60; exit 0", report.display()),
    ]);
    let mut child = command.spawn().unwrap();
    eventually("the script's start", || report.exists());
    std::fs::remove_file(&report).unwrap();
    kill("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(is_clean(folder.path()));
}
