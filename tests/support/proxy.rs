//! The proxy under test, as a child process in front of a test cluster.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use toml::{Table, Value};

use super::leash::Leash;
use super::people::{AUDIENCE, ISSUER, Person, SECRET};
use super::postgres::{Postgres, Version, cluster, free_port};
use super::raw::{RawClient, Unready};

/// What differs from the ordinary configuration.
#[derive(Clone, Debug)]
pub(crate) struct StackOptions {
    /// Connections per server, database and login.
    pub(crate) pool_size: usize,
    /// Which Postgres.
    pub(crate) postgres: Version,
    /// TOML laid over the ordinary configuration, key by key.
    pub(crate) config: String,
    /// Keys taken out of the ordinary configuration: section and name.
    pub(crate) without: Vec<(&'static str, &'static str)>,
}

/// A proxy and the cluster behind it. Dropping it ends the proxy.
pub(crate) struct Stack {
    postgres: Option<&'static Postgres>,
    port: u16,
    folder: TempDir,
    child: Child,
    leash: Option<Leash>,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            pool_size: 4,
            postgres: Version::Installed,
            config: String::new(),
            without: Vec::new(),
        }
    }
}

impl StackOptions {
    /// The ordinary stack with a pool of this size.
    pub(crate) fn pool(pool_size: usize) -> Self {
        Self {
            pool_size,
            ..Self::default()
        }
    }

    /// With TOML laid over the ordinary configuration.
    pub(crate) fn with(mut self, config: &str) -> Self {
        self.config.push_str(config);
        self.config.push('\n');
        self
    }

    /// Without a key of the ordinary configuration.
    pub(crate) fn without(mut self, section: &'static str, key: &'static str) -> Self {
        self.without.push((section, key));
        self
    }
}

/// The proxy under test: the one that was built with the tests, or another build of it (`PORTCULLIS_TEST_BINARY`), for
/// what is measured.
fn binary() -> std::ffi::OsString {
    std::env::var_os("PORTCULLIS_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis").into())
}

impl Stack {
    /// Starts the proxy in front of the shared cluster of that version; `None` if there is none.
    pub(crate) fn try_start(options: &StackOptions) -> Option<Self> {
        let postgres = cluster(options.postgres)?;
        Some(Self::launch(
            free_port(),
            postgres.port(),
            Some(postgres),
            options,
        ))
    }

    /// The same for the installed version, which is always there.
    pub(crate) fn start(options: &StackOptions) -> Self {
        Self::try_start(options).expect("the installed Postgres")
    }

    /// The same on a port of the test's choice, for options that say where to listen.
    pub(crate) fn on_port(port: u16, options: &StackOptions) -> Self {
        let postgres = cluster(options.postgres).expect("the installed Postgres");
        Self::launch(port, postgres.port(), Some(postgres), options)
    }

    /// In front of any server on 127.0.0.1.
    pub(crate) fn in_front_of(server_port: u16, options: &StackOptions) -> Self {
        Self::launch(free_port(), server_port, None, options)
    }

    fn launch(
        port: u16,
        server_port: u16,
        postgres: Option<&'static Postgres>,
        options: &StackOptions,
    ) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("portcullis-test-")
            .tempdir()
            .unwrap();
        let mut config = ordinary_config(port, server_port, options.pool_size);
        // `PORTCULLIS_TEST_POOL_MODE=session` runs any test in session mode; those where clients share the one
        // connection of a pool cannot pass.
        if let Ok(mode) = std::env::var("PORTCULLIS_TEST_POOL_MODE") {
            lay_over(&mut config, format!("pool.pool_mode = {mode:?}").parse().unwrap());
        }
        lay_over(
            &mut config,
            options.config.parse::<Table>().expect("a test's TOML"),
        );
        for (section, key) in &options.without {
            let section = config.get_mut(*section).and_then(Value::as_table_mut);
            section
                .and_then(|table| table.remove(*key))
                .expect("a key of the ordinary configuration");
        }
        let path = folder.path().join("portcullis.toml");
        fs::write(&path, config.to_string()).unwrap();
        let log = fs::File::create(folder.path().join("proxy.log")).unwrap();
        let child = Command::new(binary())
            .args(["serve", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let leash = Some(Leash::new(child.id(), "TERM", Some(folder.path())));
        let mut stack = Self {
            postgres,
            port,
            folder,
            child,
            leash,
        };
        stack.wait_for_port();
        stack
    }

    /// The cluster behind it.
    pub(crate) fn postgres(&self) -> &'static Postgres {
        self.postgres.expect("a stack in front of a test cluster")
    }

    /// Where it listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its configuration file.
    pub(crate) fn config_path(&self) -> std::path::PathBuf {
        self.folder.path().join("portcullis.toml")
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("proxy.log")).unwrap_or_default()
    }

    /// The URL a driver uses for somebody.
    pub(crate) fn url(&self, person: &Person) -> String {
        let Person { name, tenant } = person;
        format!(
            "postgres://{name}:{}@127.0.0.1:{}/{tenant}",
            person.token(),
            self.port
        )
    }

    /// A raw session of somebody.
    pub(crate) fn login(&self, person: &Person) -> RawClient {
        RawClient::login(self.port, &person.name, &person.tenant, &person.token())
    }

    /// A raw session with a token and a database of the test's choice.
    pub(crate) fn try_login(&self, token: &str, database: &str) -> Result<RawClient, Unready> {
        let options = [("user", "somebody"), ("database", database)];
        RawClient::try_login(self.port, &options, Some(token))
    }

    /// The SQLSTATE, message and hint with which a login is refused.
    pub(crate) fn refusal(&self, token: &str, database: &str) -> (String, String, String) {
        match self.try_login(token, database) {
            Ok(_) => panic!("the login was let in"),
            Err(Unready::Closed(why)) => panic!("closed without an error: {why}"),
            Err(Unready::Refused(frame)) => (
                frame.sqlstate(),
                frame.field('M').unwrap_or_default(),
                frame.field('H').unwrap_or_default(),
            ),
        }
    }

    /// Sends it a signal, e.g. `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < limit, "the proxy still runs:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// It has not ended and has not panicked.
    pub(crate) fn assert_well(&mut self) {
        let log = self.log();
        assert!(!log.contains("panicked at"), "the proxy panicked:\n{log}");
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "the proxy ended:\n{log}"
        );
    }

    fn wait_for_port(&mut self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("`portcullis serve` ended with {status}:\n{}", self.log());
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "the proxy does not listen:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // First the leash: afterwards the process number may be somebody else's.
        self.leash = None;
        let log = self.log();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("the proxy's log ends with:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        } else {
            assert!(!log.contains("panicked at"), "the proxy panicked:\n{log}");
        }
    }
}

/// The configuration that options are laid over.
pub(crate) fn ordinary_config(port: u16, server_port: u16, pool_size: usize) -> Table {
    let text = format!(
        r#"
        [listen]
        address = "127.0.0.1:{port}"
        [log]
        level = "info"
        [pool]
        default_pool_size = {pool_size}
        query_wait_timeout = 120
        [servers.main]
        host = "127.0.0.1"
        port = {server_port}
        [logins.app]
        user = "portcullis_app"
        password = "app-login-password"
        [logins.service]
        user = "portcullis_service"
        password = "service-login-password"
        [roles.authenticated]
        login = "app"
        [roles.member]
        login = "app"
        [roles.anon]
        login = "app"
        any_tenant = true
        [roles.service_role]
        login = "service"
        policy = "trusted"
        any_tenant = true
        [auth]
        role_claim = "role"
        tenant_claim = "tenant"
        anonymous_role = "anon"
        [[auth.issuers]]
        issuer = "{ISSUER}"
        audience = ["{AUDIENCE}"]
        algorithms = ["HS256"]
        leeway = 0
        secret = "{SECRET}"
        [identity.settings]
        "app.user_id" = {{ claim = "sub" }}
        "app.tenant" = {{ tenant = true }}
        "app.role" = {{ claim = "role" }}
        "request.jwt.claims" = {{ claims = true }}
        [[tenants.tenant]]
        name = "acme"
        server = "main"
        database = "shop"
        shared = true
        [[tenants.tenant]]
        name = "globex"
        server = "main"
        database = "shop"
        shared = true
        [[tenants.tenant]]
        name = "initech"
        server = "main"
        database = "shop"
        schema = "initech"
        [[tenants.tenant]]
        name = "umbrella"
        server = "main"
        database = "umbrella"
        "#
    );
    text.parse().expect("the ordinary configuration")
}

/// Tables merge; anything else is replaced.
fn lay_over(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}
