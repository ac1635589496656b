//! `portcullis dev`: a private Postgres, two demo tenants and the proxy, until somebody says stop.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use crate::base::{Drain, DrainHandle, Phase};
use crate::dev::watchdog::Watch;
use crate::dev::{
    Binaries, Cluster, ClusterOptions, DataDir, Demo, DemoUrl, DevError, Script, StopReason, StopSignals,
};

/// How long the proxy has to begin, and to end.
const PROXY_LIMIT: Duration = Duration::from_secs(10);

/// How often it is checked that the private Postgres still runs.
const HEALTH_POLL: Duration = Duration::from_millis(500);

/// What the command line of `portcullis dev` says.
#[derive(Clone, Debug, clap::Args)]
pub struct DevOptions {
    /// Port of the proxy on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 6432)]
    pub port: u16,
    /// Keep the data in this folder and use it again next time [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of the PostgreSQL server programs [default: the newest that this machine has]
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Start everything, run this shell command with the URLs in its environment (PORTCULLIS_URL_ALICE,
    /// PORTCULLIS_URL_BOB, PORTCULLIS_URL_ANON), stop everything, exit with its code
    #[arg(long, value_name = "COMMAND")]
    pub exec: Option<String>,
}

/// What the command line of the watchdog says. Not for people: `portcullis dev` starts it.
#[derive(Clone, Debug, clap::Args)]
pub struct WatchdogOptions {
    /// Data directory of the Postgres to stop
    #[arg(long)]
    pub data: PathBuf,
    /// Temporary folder to remove
    #[arg(long)]
    pub remove: PathBuf,
}

/// Runs the demonstration and gives the exit code. `serve` runs the proxy with a configuration file until the
/// drain says stop.
///
/// Not cancel safe: dropped, it leaves the clearing up to the watchdog.
pub async fn run<E: Display>(
    options: DevOptions,
    serve: impl AsyncFnOnce(PathBuf, Drain) -> Result<(), E>,
) -> ExitCode {
    match demonstrate(options, serve).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "portcullis dev: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole life of a watchdog process.
///
/// Not cancel safe.
pub async fn watch(options: WatchdogOptions) -> ExitCode {
    // The signals that end the first process must not end this one: it is there for afterwards.
    let signals = StopSignals::listen();
    let watch = Watch {
        data: options.data,
        remove: options.remove,
    };
    let watched = spawn_blocking(move || watch.run(io::stdin())).await;
    drop(signals);
    if watched.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Why the demonstration failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error("the proxy ended: {0}")]
    Proxy(String),
    #[error("the proxy did not listen on port {0} in time")]
    ProxySilent(u16),
    #[error("the private Postgres ended by itself: {0}")]
    ServerDied(String),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

async fn demonstrate<E: Display>(
    options: DevOptions,
    serve: impl AsyncFnOnce(PathBuf, Drain) -> Result<(), E>,
) -> Result<u8, Failure> {
    let mut stop = StopSignals::listen()?;
    let port = claim_port(options.port)?;
    let mut starting = start_cluster(&options)?;
    let mut cluster = tokio::select! {
        started = &mut starting => started??,
        reason = stop.next() => {
            // A start cannot be cut short; it takes a few seconds at most unless a crash is being recovered from.
            if let Ok(cluster) = starting.await? {
                spawn_blocking(move || cluster.stop()).await??;
            }
            return Ok(stopped_early(&options, reason));
        }
    };
    let outcome = present(&options, port, &mut cluster, serve, &mut stop).await;
    let ended = spawn_blocking(move || cluster.stop()).await?;
    let code = outcome?;
    ended?;
    Ok(code)
}

/// Starts the cluster on a thread that may block.
fn start_cluster(options: &DevOptions) -> Result<JoinHandle<Result<Cluster, DevError>>, Failure> {
    let watchdog = Some(std::env::current_exe()?);
    let (folder, quiet) = (options.pg_bin.clone(), options.exec.is_some());
    let data = options.data.clone().map_or(DataDir::Temporary, DataDir::Kept);
    Ok(spawn_blocking(move || {
        let binaries = match folder {
            Some(folder) => Binaries::in_folder(&folder)?,
            None => data.matching_binaries()?,
        };
        if !quiet {
            say(format_args!("Starting PostgreSQL {} …\n", binaries.version()));
        }
        Cluster::start(ClusterOptions {
            data,
            watchdog,
            ..ClusterOptions::temporary(binaries)
        })
    }))
}

/// From the running cluster to the reason to stop it.
async fn present<E: Display>(
    options: &DevOptions,
    port: u16,
    cluster: &mut Cluster,
    serve: impl AsyncFnOnce(PathBuf, Drain) -> Result<(), E>,
    stop: &mut StopSignals,
) -> Result<u8, Failure> {
    let demo = tokio::select! {
        demo = Demo::prepare(cluster, port) => demo?,
        reason = stop.next() => return Ok(stopped_early(options, reason)),
    };
    let (handle, drain) = DrainHandle::new();
    let proxy = serve(demo.config_path.clone(), drain);
    let mut proxy = std::pin::pin!(async { proxy.await.map_err(|error| error.to_string()) });
    tokio::select! {
        ended = &mut proxy => return Err(proxy_ended(ended)),
        listens = until_listening(port) => listens?,
        reason = stop.next() => return Ok(stopped_early(options, reason)),
    }
    let outcome = match &options.exec {
        Some(line) => execute(line, port, &demo, cluster, stop, proxy.as_mut()).await,
        None => {
            say(Banner {
                demo: &demo,
                cluster,
                port,
            });
            attend(cluster, stop, proxy.as_mut()).await.map(|_| 0)
        }
    };
    handle.advance(Phase::Stopping);
    if outcome.is_ok() {
        // What the proxy says now is of no interest: it was told to end.
        let _ = timeout(PROXY_LIMIT, proxy).await;
    }
    outcome
}

/// The proxy as it runs beside everything else.
type Proxy<'a, F> = Pin<&'a mut F>;

/// Runs the command of `--exec` to its end.
async fn execute<F: Future<Output = Result<(), String>>>(
    line: &str,
    port: u16,
    demo: &Demo,
    cluster: &mut Cluster,
    stop: &mut StopSignals,
    proxy: Proxy<'_, F>,
) -> Result<u8, Failure> {
    let mut variables: Vec<_> = demo
        .urls
        .iter()
        .map(|url| (url.variable(), url.url.clone()))
        .collect();
    variables.push(("PORTCULLIS_PORT".to_owned(), port.to_string()));
    variables.push((
        "PORTCULLIS_CONFIG".to_owned(),
        demo.config_path.display().to_string(),
    ));
    let script = Script::start(line, variables)?;
    if let Some(group) = script.group() {
        cluster.guard_group(group);
    }
    tokio::select! {
        code = script.finish(stop) => Ok(code?),
        ended = proxy => Err(proxy_ended(ended)),
        () = until_dead(cluster) => Err(Failure::ServerDied(cluster.log_tail())),
    }
}

/// Waits for a reason to stop.
async fn attend<F: Future<Output = Result<(), String>>>(
    cluster: &mut Cluster,
    stop: &mut StopSignals,
    proxy: Proxy<'_, F>,
) -> Result<StopReason, Failure> {
    tokio::select! {
        reason = stop.next() => Ok(reason),
        ended = proxy => Err(proxy_ended(ended)),
        () = until_dead(cluster) => Err(Failure::ServerDied(cluster.log_tail())),
    }
}

fn proxy_ended(ended: Result<(), String>) -> Failure {
    Failure::Proxy(ended.err().unwrap_or_else(|| "it was not told to".to_owned()))
}

/// Stopped before there was anything to show: fine for a person at a terminal, a failure for a script.
fn stopped_early(options: &DevOptions, reason: StopReason) -> u8 {
    if options.exec.is_some() {
        reason.exit_code()
    } else {
        0
    }
}

/// Says early that the port is taken, rather than after seconds of starting a cluster.
fn claim_port(port: u16) -> Result<u16, Failure> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => Ok(listener.local_addr()?.port()),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(DevError::PortTaken { port }.into()),
        Err(e) => Err(e.into()),
    }
}

async fn until_listening(port: u16) -> Result<(), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + PROXY_LIMIT;
    while TcpStream::connect(address).await.is_err() {
        if Instant::now() >= deadline {
            return Err(Failure::ProxySilent(port));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn until_dead(cluster: &mut Cluster) {
    while !cluster.has_died() {
        sleep(HEALTH_POLL).await;
    }
}

/// Prints to standard output; that nobody reads it is no reason to stop.
fn say(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Each line to paste, alone on its line, with a comment above that may be pasted as well.
fn lines(urls: &[DemoUrl]) -> String {
    let describe = |url: &DemoUrl| match url.is_anonymous() {
        true => format!("nobody in particular, at {}", url.tenant),
        false => format!("{} of {}", url.user, url.tenant),
    };
    urls.iter()
        .map(|url| format!("\n# {}\n{}\n", describe(url), url.line))
        .collect()
}

/// What a newcomer sees.
struct Banner<'a> {
    demo: &'a Demo,
    cluster: &'a Cluster,
    port: u16,
}

impl Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { demo, cluster, port } = self;
        let version = cluster.binaries().version();
        writeln!(
            f,
            "Portcullis listens on 127.0.0.1:{port}, before PostgreSQL {version}. Paste one of these:"
        )?;
        write!(f, "{}", lines(&demo.urls))?;
        writeln!(f, "\nTry there:")?;
        writeln!(
            f,
            "  SELECT id, tenant, owner, title FROM todos;         -- your own todos, no others"
        )?;
        writeln!(
            f,
            "  INSERT INTO todos (title) VALUES ('Try it');        -- lands with you, in your tenant"
        )?;
        writeln!(
            f,
            "  DROP TABLE todos;                                   -- refused, as are the next two"
        )?;
        writeln!(f, "  SET ROLE service_role;")?;
        writeln!(f, "  SELECT set_config('app.user_id', 'carol', true);")?;
        writeln!(f, "\nConfiguration  {}", demo.config_path.display())?;
        writeln!(f, "Signing key    {}", demo.signing_key.display())?;
        writeln!(f, "Server log     {}", cluster.log().display())?;
        writeln!(f, "\nCtrl-C stops everything.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(exec: &str) -> DevOptions {
        DevOptions {
            port: 0,
            data: None,
            pg_bin: None,
            exec: Some(exec.to_owned()),
        }
    }

    /// Listens where the configuration says, and no more.
    async fn listen(config: PathBuf, mut drain: Drain) -> Result<(), String> {
        let text = std::fs::read_to_string(config).unwrap();
        let config: toml::Table = text.parse().unwrap();
        let address = config["listen"]["address"].as_str().unwrap().to_owned();
        let _listener = tokio::net::TcpListener::bind(address).await.unwrap();
        drain.reached(Phase::Stopping).await;
        Ok(())
    }

    #[tokio::test]
    async fn a_script_gets_the_urls_and_gives_the_exit_code() {
        let script = "for user in ALICE BOB ANON; do
            eval url=\\$PORTCULLIS_URL_$user
            case $url in postgres://*@127.0.0.1:$PORTCULLIS_PORT/*) ;; *) exit 1 ;; esac
        done
        test -f \"$PORTCULLIS_CONFIG\" && exit 7";
        assert_eq!(demonstrate(options(script), listen).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_proxy_that_fails_is_told_about_and_all_is_stopped() {
        let fail = async |_, _| Err::<(), _>("no such thing");
        let error = demonstrate(options("exit 0"), fail).await.unwrap_err();
        assert_eq!(error.to_string(), "the proxy ended: no such thing");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_said_before_anything_is_started() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = demonstrate(
            DevOptions {
                port,
                ..options("exit 0")
            },
            listen,
        )
        .await
        .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&port.to_string()) && text.contains("--port"),
            "{text}"
        );
    }

    #[test]
    fn the_banner_shows_a_line_for_everybody() {
        let url = |user, tenant| DemoUrl {
            user,
            tenant,
            url: format!("postgres://{user}@host/{tenant}"),
            line: format!("psql \"postgres://{user}@host/{tenant}\""),
        };
        let urls = vec![url("alice", "acme"), url("bob", "globex"), url("anon", "acme")];
        let text = lines(&urls);
        for url in &urls {
            assert!(text.lines().any(|line| line == url.line), "{text}");
        }
    }
}
