//! The tenants file changes while the proxy runs: who may log in then, what becomes of sessions, and that tenants that
//! come later are kept apart like those that were there at start.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::people::{Person, alice, bob, person};
use crate::support::postgres::{Postgres, Version, cluster, free_port};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, execute, parse, query, sync};
use crate::support::{metric, wait_until};
use crate::{ALICE, BOB, VERSIONS};

/// How soon a change has to be in force.
const SOON: Duration = Duration::from_secs(2);

/// A stack whose tenants all come from a file.
struct Bed {
    stack: Stack,
    metrics_port: u16,
    file: PathBuf,
    _folder: TempDir,
}

fn entry(name: &str, rest: &str) -> String {
    format!("[[tenant]]\nname = '{name}'\n{rest}\n")
}

/// A tenant of the ordinary schema that shares its tables.
fn sharing(name: &str) -> String {
    entry(name, "database = 'shop'\nshared = true")
}

impl Bed {
    fn new(version: Version, config: &str, tenants: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tenants.toml");
        fs::write(&file, tenants).unwrap();
        let metrics_port = free_port();
        let config = format!(
            "admin.address = '127.0.0.1:{metrics_port}'\ntenants.tenant = []\ntenants.file = '{}'\n{config}",
            file.display()
        );
        let stack = Stack::try_start(&StackOptions {
            postgres: version,
            ..StackOptions::pool(4).with(&config)
        })?;
        Some(Self {
            stack,
            metrics_port,
            file,
            _folder: folder,
        })
    }

    fn ordinary(tenants: &str) -> Self {
        Self::new(Version::Installed, "", tenants).unwrap()
    }

    /// As operators should: a new file takes the place of the old one.
    fn replace(&self, tenants: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, tenants).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    /// Replaces the file and waits until that is in force; says how long that took.
    fn put(&self, tenants: &str) -> Duration {
        let before = self.reloads("ok");
        let start = Instant::now();
        self.replace(tenants);
        wait_until("the new file", SOON, || self.reloads("ok") > before);
        start.elapsed()
    }

    fn reloads(&self, result: &str) -> f64 {
        let series = format!("portcullis_tenant_reloads_total{{result=\"{result}\"}}");
        metric(self.metrics_port, &series)
    }

    /// The refusal of somebody's login.
    fn refusal(&self, who: &Person) -> (String, String, String) {
        self.stack.refusal(&who.token(), &who.tenant)
    }
}

/// How the next statement of a session ends it.
fn last_words(client: &mut RawClient, messages: &[Vec<u8>]) -> String {
    client.send(&messages.concat());
    let error = client.read_error();
    assert!(client.is_closed());
    error.sqlstate()
}

#[test]
fn an_added_tenant_logs_in_without_a_restart() {
    let mut bed = Bed::ordinary(&sharing("acme"));
    let mut before = bed.stack.login(&alice());
    assert_eq!(before.value("SELECT who()"), ALICE);
    assert_eq!(bed.refusal(&bob()).0, "3D000");
    let took = bed.put(&(sharing("acme") + &sharing("globex")));
    eprintln!("in force after {took:?}");
    assert_eq!(bed.stack.login(&bob()).value("SELECT who()"), BOB);
    // Whoever was there is none the wiser, in a transaction or out of it.
    before.values("BEGIN; SELECT 1");
    bed.put(&(sharing("globex") + &sharing("acme") + &sharing("third")));
    assert_eq!(before.value("SELECT who()"), ALICE);
    before.values("COMMIT");
    assert_eq!(before.value("SELECT who()"), ALICE);
    bed.stack.assert_well();
}

#[test]
fn a_file_with_a_mistake_leaves_the_old_one_and_is_told_once() {
    let bed = Bed::ordinary(&sharing("acme"));
    let mistakes = [
        "[[tenant]\n".to_owned(),
        sharing("acme") + &sharing("globex") + &entry("globex", ""),
        sharing("acme") + &sharing("globex") + &entry("third", "server = 'nowhere'"),
        sharing("acme") + &sharing("globex") + &entry("third", "database = 'shop'"),
    ];
    for (number, mistake) in (1_u8..).zip(&mistakes) {
        bed.replace(mistake);
        wait_until("the mistake", SOON, || bed.reloads("failed") >= f64::from(number));
    }
    fs::remove_file(&bed.file).unwrap();
    wait_until("no file", SOON, || bed.reloads("failed") >= 5.0);
    std::thread::sleep(3 * SOON / 2);
    bed.stack.signal("HUP");
    std::thread::sleep(SOON / 4);
    assert_eq!(bed.stack.log().matches("cannot be used").count(), 5);
    assert_eq!((bed.reloads("failed"), bed.reloads("ok")), (5.0, 0.0));
    assert_eq!(bed.stack.login(&alice()).value("SELECT who()"), ALICE);
    assert_eq!(bed.refusal(&bob()).0, "3D000");
    bed.put(&(sharing("acme") + &sharing("globex")));
    assert_eq!(bed.stack.login(&bob()).value("SELECT who()"), BOB);
}

/// A file that goes on changing is not read before it has been left alone, unless the operator says so.
#[test]
fn a_signal_has_the_file_read_at_once() {
    let bed = Bed::ordinary(&sharing("acme"));
    let both = sharing("acme") + &sharing("globex");
    let touch = |number: usize| fs::write(&bed.file, format!("{both}#{}\n", "x".repeat(number))).unwrap();
    for number in 0..20 {
        touch(number);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(bed.reloads("ok"), 0.0);
    touch(21);
    bed.stack.signal("HUP");
    wait_until("the signal", Duration::from_millis(400), || {
        bed.reloads("ok") > 0.0
    });
    assert_eq!(bed.stack.login(&bob()).value("SELECT who()"), BOB);
}

#[test]
fn a_tenant_that_was_taken_out_is_as_unknown_as_any_other() {
    let bed = Bed::ordinary(&(sharing("acme") + &sharing("globex")));
    let mut gone: Vec<RawClient> = (0..3).map(|_| bed.stack.login(&bob())).collect();
    let mut stays = bed.stack.login(&alice());
    gone[1].values("BEGIN; SELECT 1");
    gone[2].send(&[parse("kept", "SELECT who()", &[]), sync()].concat());
    gone[2].until_ready();
    bed.put(&sharing("acme"));
    let unknown = bed.refusal(&person("somebody", "nobody"));
    let (sqlstate, message, hint) = bed.refusal(&bob());
    assert_eq!((sqlstate, message.replace("globex", "nobody"), hint), unknown);
    // Those who choose their tenant are told the same.
    let chooses = alice().token_with(&[("role", json!("service_role")), ("tenant", json!(null))]);
    let (sqlstate, message, _) = bed.stack.refusal(&chooses, "globex");
    assert_eq!(sqlstate, "3D000", "{message}");
    // Sessions end before they run anything more.
    let run = [bind("", "kept", &[]), execute("", 0), sync()];
    for (client, messages) in gone.iter_mut().zip([
        vec![query("SELECT who()")],
        vec![query("INSERT INTO scratch (run) VALUES ('gone'); COMMIT")],
        run.to_vec(),
    ]) {
        assert_eq!(last_words(client, &messages), "57P01");
    }
    assert_eq!(stays.value("SELECT who()"), ALICE);
    assert_eq!(
        stays.value("SELECT count(*) FROM scratch WHERE run = 'gone'"),
        "0"
    );
    let ended = "portcullis_client_connections_closed_total{end=\"displaced\"}";
    wait_until("their ends", SOON, || metric(bed.metrics_port, ended) == 3.0);
    // A statement that runs is not cut off.
    bed.put(&(sharing("acme") + &sharing("globex")));
    let mut works = bed.stack.login(&bob());
    works.send(&query("SELECT pg_sleep(2)"));
    bed.put(&sharing("acme"));
    let frames = works.until_ready();
    assert!(frames.iter().any(|frame| frame.tag == b'D'));
    assert_eq!(last_words(&mut works, &[query("SELECT 1")]), "57P01");
}

#[test]
fn connections_of_a_tenant_with_a_rank_are_opened_when_it_comes() {
    let bed = Bed::ordinary(&sharing("acme"));
    let idle = || {
        let series = "portcullis_pool_connections{database=\"umbrella\",login=\"app\",mode=\"transaction\",\
                      server=\"main\",state=\"idle\"}";
        metric(bed.metrics_port, series)
    };
    assert_eq!(idle(), 0.0);
    bed.put(&(sharing("acme") + &entry("umbrella", "rank = 1")));
    wait_until("a connection", SOON, || idle() == 1.0);
}

/// A database in which `a` has a schema and `beside` has none; `b` comes later.
fn estate(postgres: &Postgres) -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let database = format!("later{}", MADE.fetch_add(1, Ordering::Relaxed));
    postgres
        .superuser("postgres")
        .values(&format!("CREATE DATABASE {database}"));
    postgres.superuser(&database).values(include_str!("schemas.sql"));
    database
}

#[test]
fn a_tenant_that_comes_later_is_kept_apart_as_if_it_had_always_been_there() {
    let modes = ["transaction", "session"];
    for (version, mode) in VERSIONS
        .into_iter()
        .flat_map(|version| modes.map(|mode| (version, mode)))
    {
        let Some(postgres) = cluster(version) else {
            continue;
        };
        let database = estate(postgres);
        let place = |rest: &str| format!("database = '{database}'\n{rest}");
        let in_schema = |name: &str| {
            entry(
                name,
                &place(&format!("schema = 's_{name}'\nextra_search_path = ['public']")),
            )
        };
        let first = in_schema("a") + &entry("beside", &place("shared = true"));
        let pool = format!("pool.pool_mode = '{mode}'\npool.default_pool_size = 20");
        let bed = Bed::new(version, &pool, &first).unwrap();
        let login = |tenant: &str| bed.stack.login(&person("somebody", tenant));
        let theirs = "SELECT body FROM s_b.notes LIMIT 1";
        let marker = "marker of b";

        let mut a = login("a");
        assert_eq!(a.sqlstate(theirs), "42501");
        // Nobody's schema may be named by those that have none. The verdict is kept, and so is a prepared statement.
        let mut beside: Vec<RawClient> = (0..5).map(|_| login("beside")).collect();
        for client in &mut beside {
            assert_eq!(client.value(theirs), marker);
            assert_eq!(client.value(theirs), marker);
        }
        beside[1].values("BEGIN; SELECT 1");
        beside[2].send(&[parse("kept", theirs, &[]), sync()].concat());
        beside[2].until_ready();
        // One that never sends its Sync cannot be ended, and gets no further.
        let unsynced = [parse("", "SELECT 1", &[]), bind("", "", &[]), execute("", 0)];
        beside[4].send(&unsynced.concat());
        let mut trusted = {
            let token = person("somebody", "beside").token_with(&[("role", json!("service_role"))]);
            bed.stack
                .try_login(&token, "beside")
                .unwrap_or_else(|why| panic!("{}", why.describe()))
        };
        assert_eq!(trusted.value("SELECT 1"), "1");

        bed.put(&(first.clone() + &in_schema("b")));

        let run = [bind("", "kept", &[]), execute("", 0), sync()];
        let afresh = [parse("", theirs, &[]), bind("", "", &[]), execute("", 0), sync()];
        for (client, messages) in beside.iter_mut().zip([
            vec![query(theirs)],
            vec![query(theirs)],
            run.to_vec(),
            afresh.to_vec(),
            afresh.to_vec(),
        ]) {
            assert_eq!(last_words(client, &messages), "57P01", "{version:?} {mode}");
        }
        let mut beside = login("beside");
        assert_eq!(beside.sqlstate(theirs), "42501");
        assert_eq!(beside.value("SELECT 'still here'"), "still here");
        // Those that had a schema are none the wiser, and no nearer.
        assert_eq!(a.sqlstate(theirs), "42501");
        assert_eq!(a.value("SELECT body FROM notes ORDER BY id LIMIT 1"), "note of a");
        assert_eq!(trusted.value("SELECT 1"), "1");
        let mut b = login("b");
        assert_eq!(b.value("SELECT body FROM notes LIMIT 1"), marker);
        assert_eq!(b.value(theirs), marker);
        assert_eq!(b.sqlstate("SELECT body FROM s_a.notes"), "42501");

        // What was one tenant's becomes another's: the one that had it is not there any more.
        let renamed = first.replace("'a'", "'renamed'") + &in_schema("b");
        bed.put(&renamed);
        assert_eq!(last_words(&mut a, &[query("SELECT body FROM notes")]), "57P01");
        assert_eq!(
            login("renamed").value("SELECT body FROM notes ORDER BY id LIMIT 1"),
            "note of a"
        );
        assert_eq!(b.value(theirs), marker);
    }
}
