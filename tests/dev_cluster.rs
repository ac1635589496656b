//! The private cluster of `portcullis dev`, on every PostgreSQL version that this machine has.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portcullis::dev::{Binaries, Cluster, ClusterOptions, DataDir};
use tokio_postgres::NoTls;

#[path = "support/processes.rs"]
mod processes;

/// Every version on this machine, and the one that PORTCULLIS_TEST_PG_BIN names.
fn versions() -> Vec<Binaries> {
    let mut found = Binaries::all();
    if let Some(folder) = std::env::var_os("PORTCULLIS_TEST_PG_BIN") {
        found.push(Binaries::in_folder(Path::new(&folder)).expect("PORTCULLIS_TEST_PG_BIN"));
    }
    assert!(
        !found.is_empty(),
        "no PostgreSQL server binaries: apt install postgresql"
    );
    found
}

/// One value, asked of the cluster as superuser.
fn ask(cluster: &Cluster, sql: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, connection) = cluster.superuser_config().connect(NoTls).await.expect("connect");
        let connection = tokio::spawn(connection);
        let rows = client.simple_query(sql).await.expect(sql);
        drop(client);
        connection.await.unwrap().unwrap();
        let value = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        value.unwrap_or_default()
    })
}

fn is_running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; nobody has asked for its exit code yet.
    !status.is_empty() && !status.contains(") Z ")
}

#[test]
fn a_temporary_cluster_comes_and_goes() {
    for binaries in versions() {
        let cluster =
            Cluster::start(ClusterOptions::temporary(binaries).set("max_connections", "17")).unwrap();
        assert_eq!(
            ask(&cluster, "SHOW server_version_num"),
            cluster.server_version_num().to_string()
        );
        assert_eq!(ask(&cluster, "SHOW max_connections"), "17");
        assert_eq!(ask(&cluster, "SHOW port"), cluster.port().to_string());
        assert_eq!(ask(&cluster, "SHOW fsync"), "off");
        let (run, pid) = (cluster.run_dir().to_owned(), cluster.pid().unwrap());
        assert!(run.exists() && is_running(pid));
        cluster.stop().unwrap();
        assert!(!run.exists() && !is_running(pid));
    }
}

#[test]
fn a_dropped_cluster_goes_as_well() {
    let binaries = Binaries::find().unwrap();
    let cluster = Cluster::start(ClusterOptions::temporary(binaries)).unwrap();
    let (run, pid) = (cluster.run_dir().to_owned(), cluster.pid().unwrap());
    drop(cluster);
    assert!(!run.exists() && !is_running(pid));
}

#[test]
fn kept_data_is_there_the_next_time_even_after_a_crash() {
    for binaries in versions() {
        let folder = tempfile::tempdir().unwrap();
        allow_passage(folder.path());
        let data = DataDir::Kept(folder.path().join("kept"));
        let options = ClusterOptions {
            data,
            ..ClusterOptions::temporary(binaries)
        };
        let mut cluster = Cluster::start(options.clone()).unwrap();
        assert_eq!(ask(&cluster, "SHOW fsync"), "on");
        ask(&cluster, "CREATE TABLE kept (n int)");
        ask(&cluster, "INSERT INTO kept VALUES (42)");
        cluster.halt();
        assert_eq!(cluster.pid(), None);
        cluster.resume().unwrap();
        assert_eq!(ask(&cluster, "SELECT n FROM kept"), "42");
        let run = cluster.run_dir().to_owned();
        cluster.stop().unwrap();
        assert!(!run.exists() && folder.path().join("kept/postgres/PG_VERSION").exists());
        // What a machine that lost its power leaves behind.
        std::fs::write(
            folder.path().join("kept/postgres/postmaster.pid"),
            "1\n/gone\n1000\n",
        )
        .unwrap();
        let cluster = Cluster::start(options).unwrap();
        assert_eq!(ask(&cluster, "SELECT n FROM kept"), "42");
    }
}

#[test]
fn data_of_another_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    allow_passage(folder.path());
    let version = folder.path().join("postgres/PG_VERSION");
    std::fs::create_dir(version.parent().unwrap()).unwrap();
    std::fs::write(&version, "9\n").unwrap();
    let data = DataDir::Kept(folder.path().to_owned());
    let options = ClusterOptions {
        data,
        ..ClusterOptions::temporary(Binaries::find().unwrap())
    };
    let error = Cluster::start(options).unwrap_err().to_string();
    assert!(
        error.contains("made by PostgreSQL 9") && error.contains("--pg-bin"),
        "{error}"
    );
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let options = ClusterOptions::temporary(Binaries::find().unwrap()).set("shared_buffers", "nonsense");
    let error = Cluster::start(options).unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
}

/// The variable that makes [`a_process_to_kill`] do its work; it names the file to report to.
const VICTIM: &str = "PORTCULLIS_TEST_VICTIM";

#[test]
#[ignore = "not a test of its own: the process that the tests below kill"]
fn a_process_to_kill() {
    let report = std::env::var_os(VICTIM).expect(VICTIM);
    let watchdog = Some(env!("CARGO_BIN_EXE_portcullis").into());
    let binaries = Binaries::find().unwrap();
    let cluster = Cluster::start(ClusterOptions {
        watchdog,
        ..ClusterOptions::temporary(binaries)
    })
    .unwrap();
    std::fs::write(report, cluster.pid().unwrap().to_string()).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

/// Starts [`a_process_to_kill`] with a temporary folder of its own.
fn victim(temporary: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "a_process_to_kill"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
        .env("TMPDIR", temporary)
        .env(VICTIM, temporary.join("report"))
        .spawn()
        .unwrap()
}

#[expect(clippy::panic, reason = "a test stops at the first surprise")]
/// Waits until `done` gives something, 30 s at most.
fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(value) = done() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come about");
}

fn is_empty_but_for_the_report(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .all(|entry| entry.file_name() == "report")
}

#[test]
fn the_watchdog_clears_up_after_a_process_that_was_killed() {
    let temporary = tempfile::tempdir().unwrap();
    allow_passage(temporary.path());
    let mut process = victim(temporary.path());
    let report = temporary.path().join("report");
    let postmaster: u32 = eventually("the report", || {
        std::fs::read_to_string(&report).ok()?.parse().ok()
    });
    assert!(is_running(postmaster) && !is_empty_but_for_the_report(temporary.path()));
    process.kill().unwrap();
    process.wait().unwrap();
    eventually("the postmaster's end", || (!is_running(postmaster)).then_some(()));
    eventually("an empty folder", || {
        is_empty_but_for_the_report(temporary.path()).then_some(())
    });
}

#[test]
fn the_watchdog_clears_up_a_start_that_was_cut_short() {
    for after_ms in [100, 700, 1300] {
        let temporary = tempfile::tempdir().unwrap();
        allow_passage(temporary.path());
        let mut process = victim(temporary.path());
        eventually("a folder", || {
            (!is_empty_but_for_the_report(temporary.path())).then_some(())
        });
        std::thread::sleep(Duration::from_millis(after_ms));
        process.kill().unwrap();
        process.wait().unwrap();
        eventually("an empty folder", || {
            is_empty_but_for_the_report(temporary.path()).then_some(())
        });
        // What was still being started must not come back.
        std::thread::sleep(Duration::from_secs(1));
        assert!(
            is_empty_but_for_the_report(temporary.path()),
            "after {after_ms} ms"
        );
        assert!(!processes::mention(temporary.path()), "after {after_ms} ms");
    }
}

/// The account that Postgres runs as when these tests run as root must get through a temporary folder.
fn allow_passage(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}
