//! A private Postgres cluster: made, started and stopped by this process.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use super::account::{Account, command};
use super::error::while_doing;
use super::options::major_of;
use super::postmaster::{Postmaster, tail};
use super::watchdog::Watchdog;
use super::{Binaries, ClusterOptions, DataDir, DevError, folder};

/// The name of the superuser.
pub const SUPERUSER: &str = "postgres";

/// How often another port is tried when the free one found was taken before Postgres could listen on it.
const PORT_ATTEMPTS: usize = 3;

/// How long the removal of a temporary folder may take.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);

/// Who may connect: everybody who can enter the private folder of the socket, which is the account that runs the
/// server and root; over TCP only with a password, and the superuser has none.
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// Durability bought with time, of which data that is thrown away needs none (PostgreSQL manual, 14.5).
const NON_DURABLE: [(&str, &str); 3] = [
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
];

/// A running cluster. Dropping it stops it and removes what is temporary, as well as that can be done silently;
/// [`Cluster::stop`] says what went wrong.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    account: Option<Account>,
    port: u16,
    data: PathBuf,
    log: PathBuf,
    // Fields drop in this order, should a start fail half way: the server, its folder, then who watches over both.
    postmaster: Option<Postmaster>,
    run: Option<TempDir>,
    run_path: PathBuf,
    watchdog: Option<Watchdog>,
}

impl Cluster {
    /// Makes the cluster, if it is not there yet, and starts it. Blocks until it accepts connections: two seconds or
    /// so, a minute at most.
    ///
    /// # Errors
    /// Any [`DevError`] about accounts, folders, `initdb` or the start. Nothing is left behind then but
    /// the kept data.
    pub fn start(options: ClusterOptions) -> Result<Self, DevError> {
        let mut cluster = Self::lay_out(options)?;
        if !cluster.data.join("PG_VERSION").exists() {
            cluster.initialize()?;
        }
        cluster.check_version()?;
        let _ = fs::remove_file(&cluster.log);
        let fixed = cluster.options.port;
        for attempt in 1.. {
            cluster.port = match fixed {
                Some(port) => port,
                None => free_port()?,
            };
            match cluster.launch() {
                Err(DevError::Start { log })
                    if fixed.is_none()
                        && attempt < PORT_ATTEMPTS
                        && log.contains("Address already in use") => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        Ok(cluster)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket, where no password is asked.
    pub fn socket_dir(&self) -> PathBuf {
        self.run_path.join("socket")
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// A temporary folder for files of this run. It goes away with the cluster.
    pub fn run_dir(&self) -> &Path {
        &self.run_path
    }

    /// The folder for files that live as long as the data: the kept folder, or the temporary one.
    pub fn home(&self) -> &Path {
        self.data.parent().unwrap_or(&self.run_path)
    }

    /// The server's log of this run.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The binaries it runs.
    pub fn binaries(&self) -> &Binaries {
        &self.options.binaries
    }

    /// The version as `server_version_num` has it, e.g. 150018.
    pub fn server_version_num(&self) -> u32 {
        self.options.binaries.version().num()
    }

    /// The postmaster's process id; none while it is halted.
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Postmaster::pid)
    }

    /// How to connect as superuser, to the database `postgres`: over the Unix socket.
    pub fn superuser_config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.socket_dir())
            .port(self.port)
            .user(SUPERUSER)
            .dbname("postgres");
        config
            .connect_timeout(Duration::from_secs(10))
            .application_name("portcullis dev");
        config
    }

    /// Stops the server at once, as a crash would; [`Cluster::resume`] starts it again. Blocks.
    pub fn halt(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            postmaster.stop_at_once();
        }
    }

    /// Starts a halted server again, on the same port. Blocks; a server that runs is left alone.
    ///
    /// # Errors
    /// [`DevError::Start`], [`DevError::StartTimeout`] or [`DevError::Io`].
    pub fn resume(&mut self) -> Result<(), DevError> {
        if self.postmaster.is_some() && !self.has_died() {
            return Ok(());
        }
        self.launch()
    }

    /// Whether the server has ended although nobody stopped it.
    pub fn has_died(&mut self) -> bool {
        self.postmaster.as_mut().is_some_and(Postmaster::has_ended)
    }

    /// Has the watchdog end a process group if this process is killed.
    pub fn guard_group(&mut self, group: u32) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.note_group(group);
        }
    }

    /// Stops the server and removes what is temporary. Blocks: tenths of a second, 20 s at most.
    ///
    /// # Errors
    /// [`DevError::Io`] when the temporary folder cannot be removed.
    pub fn stop(mut self) -> Result<(), DevError> {
        self.clear_up()
    }

    fn lay_out(options: ClusterOptions) -> Result<Self, DevError> {
        let kept = match &options.data {
            DataDir::Temporary => None,
            DataDir::Kept(folder) => Some(absolute(folder)?),
        };
        let existing = kept.as_ref().map(|folder| folder.join("postgres"));
        let account = Account::choose(existing.as_deref().unwrap_or(Path::new("")))?;
        let run = folder::temporary(account.as_ref())?;
        let run_path = run.path().to_owned();
        let home = kept.clone().unwrap_or_else(|| run_path.clone());
        let data = home.join("postgres");
        let watchdog = match &options.watchdog {
            Some(program) => Some(Watchdog::start(program, &data, &run_path)?),
            None => None,
        };
        let cluster = Self {
            log: home.join("server.log"),
            port: 0,
            data,
            postmaster: None,
            run: Some(run),
            run_path,
            watchdog,
            account,
            options,
        };
        let account = cluster.account.as_ref();
        folder::reachable(&cluster.run_path, account, "TMPDIR")?;
        folder::reachable(cluster.options.binaries.folder(), account, "--pg-bin")?;
        if let Some(kept) = &kept {
            folder::reachable(kept, account, "--data")?;
        }
        folder::private(&cluster.socket_dir(), account)?;
        let mut hba: String = cluster
            .options
            .hba
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        hba.push_str(HBA);
        let path = cluster.hba();
        fs::write(&path, hba).map_err(while_doing(|| format!("write {}", path.display())))?;
        Ok(cluster)
    }

    /// Runs initdb in a folder of another name first, so that one that was cut short is never taken for data.
    fn initialize(&self) -> Result<(), DevError> {
        let fresh = self.data.with_extension("new");
        folder::remove(&fresh, REMOVE_LIMIT)
            .map_err(while_doing(|| format!("remove {}", fresh.display())))?;
        folder::private(&fresh, self.account.as_ref())?;
        let mut initdb = command(&self.options.binaries.program("initdb"), self.account.as_ref());
        initdb
            .arg("-D")
            .arg(&fresh)
            .args(["-U", SUPERUSER, "-E", "UTF8", "--locale=C"]);
        initdb.args([
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--no-instructions",
        ]);
        if self.options.data == DataDir::Temporary {
            initdb.arg("--no-sync");
        }
        initdb.current_dir(&self.run_path);
        let output = initdb.output().map_err(while_doing(|| "run initdb".to_owned()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = said.lines().rev().take(5).collect();
            return Err(DevError::Init {
                output: lines.into_iter().rev().collect::<Vec<_>>().join("; "),
            });
        }
        fs::rename(&fresh, &self.data).map_err(while_doing(|| {
            format!("rename {} to {}", fresh.display(), self.data.display())
        }))
    }

    fn check_version(&self) -> Result<(), DevError> {
        let binaries = self.options.binaries.version();
        match major_of(&self.data) {
            Some(data) if data != binaries.major => Err(DevError::VersionMismatch {
                folder: self.data.clone(),
                data,
                binaries,
            }),
            _ => Ok(()),
        }
    }

    /// Starts the postmaster and waits until it accepts connections.
    fn launch(&mut self) -> Result<(), DevError> {
        let open = || File::options().create(true).append(true).open(&self.log);
        let describe = || format!("write {}", self.log.display());
        let (out, err) = (
            open().map_err(while_doing(describe))?,
            open().map_err(while_doing(describe))?,
        );
        let mut postgres = command(&self.options.binaries.program("postgres"), self.account.as_ref());
        postgres.arg("-D").arg(&self.data).current_dir(&self.run_path);
        for (name, value) in self.settings() {
            postgres.arg("-c").arg(format!("{name}={value}"));
        }
        postgres.stdout(Stdio::from(out)).stderr(Stdio::from(err));
        // Kept before anything can fail, so that an error on the way still stops it.
        let postmaster = self.postmaster.insert(Postmaster::spawn(postgres, &self.data)?);
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.note_postmaster(postmaster.pid());
        }
        postmaster.await_ready(&self.log)
    }

    /// Ours first: of two values for one setting, the last on the command line counts.
    fn settings(&self) -> Vec<(String, String)> {
        let owned = |name: &str, value: String| (name.to_owned(), value);
        let mut settings = vec![
            owned("listen_addresses", Ipv4Addr::LOCALHOST.to_string()),
            owned("port", self.port.to_string()),
            // A list of folders: quoted, a comma in the name is part of it.
            owned(
                "unix_socket_directories",
                format!("\"{}\"", self.socket_dir().display()),
            ),
            owned("hba_file", self.hba().display().to_string()),
            owned("logging_collector", "off".to_owned()),
            owned("log_destination", "stderr".to_owned()),
        ];
        if self.options.data == DataDir::Temporary {
            settings.extend(
                NON_DURABLE
                    .iter()
                    .map(|(name, value)| owned(name, (*value).to_owned())),
            );
        }
        settings.extend(self.options.settings.iter().cloned());
        settings
    }

    fn hba(&self) -> PathBuf {
        self.run_path.join("pg_hba.conf")
    }

    /// Safe to call twice. The watchdog goes last: until then it would finish the work if we were killed.
    fn clear_up(&mut self) -> Result<(), DevError> {
        if let Some(mut postmaster) = self.postmaster.take() {
            postmaster.stop();
        }
        let removed = match self.run.take() {
            Some(run) => folder::remove(&run.keep(), REMOVE_LIMIT),
            None => Ok(()),
        };
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.dismiss();
        }
        removed.map_err(while_doing(|| format!("remove {}", self.run_path.display())))
    }

    /// The end of the server's log, for an error message.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.clear_up();
    }
}

/// A port that nobody listens on right now.
fn free_port() -> Result<u16, DevError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address
        .map_err(while_doing(|| "find a free port".to_owned()))?
        .port())
}

/// Makes a kept folder if need be. Its full name is needed because the server runs in another folder.
fn absolute(folder: &Path) -> Result<PathBuf, DevError> {
    let made = fs::create_dir_all(folder).and_then(|()| fs::canonicalize(folder));
    made.map_err(while_doing(|| format!("make {}", folder.display())))
}
