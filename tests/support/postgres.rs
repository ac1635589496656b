//! A private Postgres per version and test process, with the schema of `schema.sql`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::leash::Leash;
use super::people::Person;
use super::proxy::ordinary_config;
use super::raw::RawClient;
use super::{tools, wait_until};

/// Which Postgres a test runs against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The machine's own: `PORTCULLIS_TEST_PG_BIN`, else the newest one found.
    Installed,
    /// PostgreSQL 18 from a package that brings nothing but the server's binaries.
    Eighteen,
}

/// A running server; it ends with the test process.
pub(crate) struct Postgres {
    folder: PathBuf,
    port: u16,
    // Held for as long as the process lives.
    _leash: Leash,
    _child: Mutex<Child>,
}

const SCHEMA: &str = include_str!("schema.sql");

const SETTINGS: &str = "\
    listen_addresses = '127.0.0.1'\nmax_connections = 500\nshared_buffers = '64MB'\nfsync = off\n\
    synchronous_commit = off\nfull_page_writes = off\nautovacuum = off\njit = off\n\
    password_encryption = 'scram-sha-256'\nstatement_timeout = '1min'\n";

const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// The cluster of that version; started by whoever asks first. `None` if its binaries cannot be had,
/// which is said once and is an error only for [`Version::Installed`].
pub(crate) fn cluster(version: Version) -> Option<&'static Postgres> {
    static INSTALLED: OnceLock<Postgres> = OnceLock::new();
    static EIGHTEEN: OnceLock<Option<Postgres>> = OnceLock::new();
    match version {
        Version::Installed => Some(INSTALLED.get_or_init(|| {
            let binaries = tools::installed_postgres().unwrap_or_else(|why| panic!("{why}"));
            Postgres::start(&binaries, "")
        })),
        Version::Eighteen => EIGHTEEN
            .get_or_init(|| match tools::postgres_18() {
                Ok(binaries) => Some(Postgres::start(&binaries, "")),
                Err(why) => {
                    eprintln!("PostgreSQL 18 is left out: {why}");
                    None
                }
            })
            .as_ref(),
    }
}

impl Postgres {
    /// A server of its own for a test that stops or kills it.
    pub(crate) fn own() -> Self {
        let binaries = tools::installed_postgres().unwrap_or_else(|why| panic!("{why}"));
        Self::start(&binaries, "")
    }

    /// A server of its own with more lines in its `postgresql.conf`; `None` if there is none of that version.
    pub(crate) fn own_with(version: Version, settings: &str) -> Option<Self> {
        cluster(version)?;
        let binaries = match version {
            Version::Installed => tools::installed_postgres(),
            Version::Eighteen => tools::postgres_18(),
        };
        Some(Self::start(&binaries.ok()?, settings))
    }

    /// Its TCP port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket.
    pub(crate) fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// A superuser's session.
    pub(crate) fn superuser(&self, database: &str) -> RawClient {
        RawClient::superuser(&self.folder, self.port, database)
    }

    /// A session of somebody straight on Postgres, for what a trace is compared with.
    pub(crate) fn direct(&self, who: &Person) -> RawClient {
        let user = format!("direct_{}", who.name);
        RawClient::try_unix(&self.folder, self.port, &user, "shop")
            .unwrap_or_else(|why| panic!("{user}: {}", why.describe()))
    }

    /// The first column of each row of a superuser's query in `shop`.
    pub(crate) fn ask(&self, sql: &str) -> Vec<String> {
        self.superuser("shop").values(sql)
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn crash(&self) {
        let mut child = self._child.lock().unwrap();
        let _ = Command::new("kill")
            .args(["-QUIT", &child.id().to_string()])
            .status();
        let _ = child.wait();
    }

    fn start(binaries: &Path, settings: &str) -> Self {
        let owner = tools::server_user();
        let folder = tempfile::Builder::new()
            .prefix("portcullis-test-")
            .tempdir()
            .unwrap();
        // The leash removes it, so that it goes even after SIGKILL.
        let folder = folder.keep();
        let binaries = tools::readable_by(owner, binaries, &folder);
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let data = folder.join("data");
        let mut initdb = tools::as_user(owner, &binaries.join("initdb"));
        initdb
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data);
        let output = initdb.current_dir(&folder).output().unwrap();
        assert!(
            output.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let port = free_port();
        append(&data.join("postgresql.conf"), SETTINGS);
        append(&data.join("postgresql.conf"), settings);
        let place = format!(
            "port = {port}\nunix_socket_directories = '{}'\n",
            folder.display()
        );
        append(&data.join("postgresql.conf"), &place);
        fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        let log = File::create(folder.join("postgres.log")).unwrap();
        let child = tools::as_user(owner, &binaries.join("postgres"))
            .arg("-D")
            .arg(&data)
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let leash = Leash::new(child.id(), "INT", Some(&folder));
        let postgres = Self {
            folder,
            port,
            _leash: leash,
            _child: Mutex::new(child),
        };
        wait_until("Postgres accepts connections", Duration::from_secs(60), || {
            RawClient::try_superuser(&postgres.folder, port, "postgres").is_ok()
        });
        postgres.load_schema();
        postgres
    }

    fn load_schema(&self) {
        for section in SCHEMA.split("\n-- in ").skip(1) {
            let (database, sql) = section.split_once('\n').unwrap();
            let mut client = self.superuser(database.trim());
            if database.trim() == "postgres" {
                // CREATE DATABASE refuses to share a Query with anything else.
                for statement in sql.split_inclusive(";\n") {
                    client.values(statement);
                }
            } else {
                client.values(sql);
            }
        }
        if std::env::var_os("PORTCULLIS_TEST_HARDENED").is_some() {
            self.harden(&["shop", "umbrella"], &self.config_file(), &[]);
        }
    }

    /// `portcullis harden` for databases, against the roles of a configuration; what it says.
    pub(crate) fn harden(&self, databases: &[&str], config: &Path, more: &[&str]) -> String {
        let (success, said) = self.try_harden("postgres", databases, config, more);
        assert!(success, "portcullis harden: {said}");
        said
    }

    /// The same as any role, and whether its exit code is 0.
    pub(crate) fn try_harden(
        &self,
        user: &str,
        databases: &[&str],
        config: &Path,
        more: &[&str],
    ) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("harden").arg("--config").arg(config).args(more);
        for database in databases {
            let (host, port) = (self.folder.display(), self.port);
            let url = format!("host={host} port={port} user={user} dbname={database}");
            command.args(["--database", &url]);
        }
        let output = command.output().expect("portcullis harden");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// The ordinary configuration as a file.
    fn config_file(&self) -> PathBuf {
        let path = self.folder.join("harden.toml");
        let mut config = ordinary_config(1, self.port, 1);
        // Some tests use session mode, whose locks are then left to all.
        let pool = config
            .get_mut("pool")
            .and_then(toml::Value::as_table_mut)
            .unwrap();
        pool.insert("pool_mode".to_owned(), "session".into());
        fs::write(&path, config.to_string()).unwrap();
        path
    }
}

impl Drop for Postgres {
    /// Only a server of a test's own is ever dropped; the shared ones end by their leash.
    fn drop(&mut self) {
        self.crash();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port that nobody listens on, and that no connection is given: those that the kernel picks begin above.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test programs that run at the same time begin at different ones.
    let start = std::process::id().wrapping_mul(797);
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

fn append(path: &Path, text: &str) {
    let mut whole = fs::read_to_string(path).unwrap();
    whole.push_str(text);
    fs::write(path, whole).unwrap();
}
