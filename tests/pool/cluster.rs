//! A private Postgres for this test binary. It ends with the process, however that ends.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use portcullis::net::Endpoint;

/// The shared cluster's TCP socket.
pub(crate) fn tcp() -> Endpoint {
    Endpoint::Tcp {
        host: "127.0.0.1".into(),
        port: CLUSTER.port,
    }
}

/// The shared cluster's Unix socket.
pub(crate) fn unix() -> Endpoint {
    Endpoint::Unix(CLUSTER.dir.join(format!(".s.PGSQL.{}", CLUSTER.port)))
}

/// Runs a statement as superuser; the first column of the first row as text.
pub(crate) async fn admin(sql: &str) -> Option<String> {
    let config = format!("host=127.0.0.1 port={} user=admin dbname=postgres", CLUSTER.port);
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let rows = client.simple_query(sql).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

struct Cluster {
    dir: PathBuf,
    port: u16,
    /// Its standard input is the life line: when this process ends the pipe closes and the shell stops the server.
    _shell: Child,
}

/// One line per way to log in; the first match counts.
const HBA: &str = "\
local all all trust
host all admin 127.0.0.1/32 trust
host all u_trust 127.0.0.1/32 trust
host all u_plain 127.0.0.1/32 password
host all u_md5 127.0.0.1/32 md5
host all u_scram,u_odd 127.0.0.1/32 scram-sha-256
host all u_reject 127.0.0.1/32 reject
";

/// `u_odd` has defaults that would break the guard if they held.
const ROLES: &str = "\
CREATE ROLE u_trust LOGIN;
CREATE ROLE u_reject LOGIN PASSWORD 's3cret';
CREATE ROLE u_scram LOGIN PASSWORD 's3cret';
CREATE ROLE u_plain LOGIN PASSWORD 's3cret';
CREATE ROLE u_odd LOGIN PASSWORD 's3cret';
ALTER ROLE u_odd SET standard_conforming_strings = off;
ALTER ROLE u_odd SET client_encoding = 'LATIN1';
SET password_encryption = 'md5';
CREATE ROLE u_md5 LOGIN PASSWORD 's3cret';
CREATE TABLE notes (note text);
GRANT ALL ON notes TO u_trust;
";

const RUN: &str = r#"
"$1/postgres" -D "$2/data" -k "$2" -p "$3" -c listen_addresses=127.0.0.1 -c fsync=off \
    -c max_connections=60 -c logging_collector=off >"$2/log" 2>&1 &
server=$!
cat
kill -INT $server
wait $server
rm -rf "$2"
"#;

impl Cluster {
    fn start() -> Self {
        let bin = binaries();
        let dir = tempfile::Builder::new()
            .prefix("pool-test-")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        let ids = unprivileged();
        if let Some((uid, gid)) = ids {
            chown(&dir, Some(uid), Some(gid)).unwrap();
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            if let Some((uid, gid)) = ids {
                command.uid(uid).gid(gid);
            }
            command.current_dir(&dir);
            command
        };
        let made = command(&bin.join("initdb"))
            .args(["-U", "admin", "-A", "trust", "-E", "UTF8", "--no-sync", "-D"])
            .arg(dir.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(dir.join("data/pg_hba.conf"), HBA).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let shell = command(Path::new("/bin/sh"))
            .args(["-c", RUN, "sh"])
            .arg(&bin)
            .arg(&dir)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let psql = || {
            let mut psql = command(&bin.join("psql"));
            psql.args([
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "admin",
                "-d",
                "postgres",
                "-h",
            ])
            .arg(&dir);
            psql.arg("-p").arg(port.to_string()).stderr(Stdio::null());
            psql
        };
        let began = Instant::now();
        while !psql()
            .args(["-c", "SELECT 1"])
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
        {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "no Postgres: see {}",
                dir.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        // Line by line, as a block of statements would be one transaction with one password_encryption.
        let roles = ROLES.lines().flat_map(|line| ["-c", line]);
        assert!(psql().args(roles).status().unwrap().success());
        Self {
            dir,
            port,
            _shell: shell,
        }
    }
}

/// Postgres refuses to run as root: then an unprivileged user runs it.
fn unprivileged() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let fields = line.split(':').collect::<Vec<_>>();
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).unwrap())
}

/// The folder of `initdb` and `postgres`: from PATH, else the newest of the distribution's.
fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).collect::<Vec<_>>();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let mut versions = fs::read_dir(parent)
            .map(|entries| {
                entries
                    .flatten()
                    .map(|entry| entry.path().join("bin"))
                    .collect::<Vec<_>>()
            })
            .unwrap_or_default();
        versions.sort();
        candidates.extend(versions.into_iter().rev());
    }
    // Links are followed, as the server looks for its files beside itself.
    let found = candidates
        .iter()
        .find_map(|dir| fs::canonicalize(dir.join("initdb")).ok());
    let Some(initdb) = found else {
        panic!("no Postgres server binaries: install postgresql")
    };
    initdb.parent().unwrap().to_owned()
}
