//! Tenants with a schema each under one role, whom the server does not keep apart: one of them tries everything to
//! read or change what is in another's schema.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::VERSIONS;
use crate::support::people::{Person, person};
use crate::support::postgres::{Postgres, cluster};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{Frame, RawClient, bind, describe, execute, message, parse, query, sync};

/// Texts that name what is `s_b`'s, one a line.
const FOREIGN: &str = include_str!("../../src/guard/tests/schemas_foreign.sql");

/// A database with the schemas of two tenants, and a proxy with a pool of one before it.
struct Estate {
    stack: Stack,
    database: String,
    sequence: String,
    _folder: TempDir,
}

/// One for each version and pool mode.
fn estates() -> impl Iterator<Item = Estate> {
    let modes = ["transaction", "session"];
    let all = VERSIONS
        .into_iter()
        .flat_map(move |version| modes.map(|mode| (version, mode)));
    all.filter_map(|(version, mode)| {
        Some(Estate::new(
            &StackOptions {
                postgres: version,
                ..StackOptions::pool(1)
            },
            cluster(version)?,
            mode,
        ))
    })
}

impl Estate {
    fn new(options: &StackOptions, postgres: &Postgres, mode: &str) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let database = format!("estate{}", MADE.fetch_add(1, Ordering::Relaxed));
        postgres
            .superuser("postgres")
            .values(&format!("CREATE DATABASE {database}"));
        postgres.superuser(&database).values(include_str!("schemas.sql"));
        let sequence = "SELECT 's_b.notes_id_seq'::regclass::oid";
        let sequence = postgres.superuser(&database).value(sequence);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.toml");
        let policy = include_str!("../../policies/end_user.toml")
            .replace("name = \"end_user\"", "name = \"own\"")
            .replace(
                "statements = [\n",
                "statements = [\n  \"EXPLAIN\", \"LOCK\", \"TRUNCATE\",\n",
            )
            .replace("settable = [\n", "settable = [\n  \"search_path\",\n");
        fs::write(&file, policy).unwrap();
        let tenant = |name: &str, rest: &str| {
            format!("[[tenants.tenant]]\nname = '{name}'\nserver = 'main'\ndatabase = '{database}'\n{rest}\n")
        };
        let config = format!(
            "[pool]\npool_mode = '{mode}'\n[guard]\npolicies = ['{}']\ndefault_policy = 'own'\n{}{}{}",
            file.display(),
            tenant("a", "schema = 's_a'\nextra_search_path = ['public']"),
            tenant("b", "schema = 's_b'\nextra_search_path = ['public']"),
            tenant("beside", "shared = true"),
        );
        let stack = Stack::try_start(&options.clone().with(&config)).unwrap();
        if std::env::var_os("PORTCULLIS_TEST_HARDENED").is_some() {
            postgres.harden(&[&database], &stack.config_path(), &[]);
        }
        Self {
            stack,
            database,
            sequence,
            _folder: folder,
        }
    }

    fn login(&self, tenant: &str) -> RawClient {
        self.stack.login(&of(tenant))
    }

    fn superuser(&self) -> RawClient {
        self.stack.postgres().superuser(&self.database)
    }

    /// The texts with this database's name and the number of its sequence.
    fn texts(&self) -> Vec<String> {
        let own = |line: &str| {
            let text = line.replace("shop.", &format!("{}.", self.database));
            text.replace("16400", &self.sequence)
        };
        FOREIGN.lines().filter(|line| !line.is_empty()).map(own).collect()
    }
}

fn of(tenant: &str) -> Person {
    person("somebody", tenant)
}

/// All that is in the other tenant's schema.
const STATE: &str = "SELECT concat(count(*), md5(string_agg(n::text, ',' ORDER BY n.id)), (SELECT concat(last_value, is_called) FROM s_b.notes_id_seq)) \
                     FROM s_b.notes n";

/// Sends messages and reads to ReadyForQuery; data that is asked for is refused.
fn say(client: &mut RawClient, messages: &[Vec<u8>]) -> Vec<Frame> {
    client.send(&messages.concat());
    let mut frames = Vec::new();
    while let Ok(frame) = client.try_read() {
        if frame.tag == b'G' {
            client.send(&message(b'f', b"no data\0"));
            if messages.len() > 1 {
                client.send(&sync());
            }
        }
        let done = frame.tag == b'Z';
        frames.push(frame);
        if done {
            break;
        }
    }
    frames
}

fn extended(name: &str, text: &str) -> Vec<Vec<u8>> {
    vec![
        parse(name, text, &[]),
        bind("", name, &[]),
        describe('P', ""),
        execute("", 0),
        sync(),
    ]
}

/// The ways by which a client can have a text run.
fn routes(text: &str) -> Vec<Vec<Vec<u8>>> {
    let simple = |text: &str| vec![query(text)];
    let mut routes = vec![simple(text), extended("", text), extended("named", text)];
    if ["SELECT", "TABLE", "WITH"]
        .iter()
        .any(|word| text.starts_with(word))
    {
        routes.extend([
            simple(&format!("PREPARE q AS {text}; EXECUTE q")),
            simple(&format!(
                "BEGIN; DECLARE c CURSOR FOR {text}; FETCH ALL FROM c; ROLLBACK"
            )),
            simple(&format!("COPY ({text}) TO STDOUT")),
            simple(&format!("EXPLAIN (VERBOSE) {text}")),
            simple(&format!("SELECT 1; {text}")),
            simple(&format!(
                "INSERT INTO notes (body) SELECT x::text FROM ({text}) x"
            )),
        ]);
    }
    routes
}

fn contains(frames: &[Frame], what: &str) -> bool {
    let what = what.as_bytes();
    frames
        .iter()
        .any(|frame| frame.body.windows(what.len()).any(|part| part == what))
}

/// The SQLSTATE of the error, if there is one.
fn state_of(frames: &[Frame]) -> String {
    let error = frames.iter().find(|frame| frame.tag == b'E');
    error.map_or_else(String::new, Frame::sqlstate)
}

/// What is tried would have an effect if nothing kept it from having one.
#[test]
fn the_texts_reach_the_other_schema_where_nothing_refuses_them() {
    let mut effects = 0;
    let mut malformed = Vec::new();
    for estate in estates()
        .filter(|estate| estate.stack.postgres().ask("SHOW server_version")[0].starts_with("18"))
        .take(1)
    {
        for text in estate.texts() {
            let mut client = estate.superuser();
            client.values("BEGIN; SET LOCAL search_path TO s_a, public; SELECT pg_stat_clear_snapshot()");
            let before = client.value(STATE);
            let said = say(&mut client, &[query(&text)]);
            match state_of(&said).as_str() {
                "" => effects += usize::from(contains(&said, "marker") || client.value(STATE) != before),
                "42601" => malformed.push(text),
                _ => {}
            }
        }
    }
    assert!(
        malformed.is_empty(),
        "no SQL at all:\n  {}",
        malformed.join("\n  ")
    );
    assert!(effects > 60, "only {effects} of them have an effect");
}

#[test]
fn nobody_reaches_another_tenants_schema() {
    for mut estate in estates() {
        let texts = estate.texts();
        // The other tenant may say all of it, and has said it before on the only server connection.
        let mut owner = estate.login("b");
        for text in &texts {
            say(&mut owner, &[query("BEGIN")]);
            say(&mut owner, &extended("", text));
            say(&mut owner, &[query("ROLLBACK")]);
        }
        assert_eq!(owner.value("SELECT count(*) FROM s_b.notes"), "4");
        drop(owner);
        let mut superuser = estate.superuser();
        let before = superuser.value(STATE);
        let mut client = estate.login("a");
        let mut failures = Vec::new();
        for text in &texts {
            for (route, messages) in routes(text).iter().enumerate() {
                let said = say(&mut client, messages);
                if contains(&said, "marker") {
                    failures.push(format!("told by route {route}: {text}"));
                }
                if !matches!(state_of(&said).as_str(), "42501" | "42601" | "0A000") {
                    failures.push(format!("{:?} by route {route}: {text}", state_of(&said)));
                }
                say(&mut client, &[query("ROLLBACK")]);
                say(&mut client, &[query("DEALLOCATE ALL")]);
            }
            if superuser.value(STATE) != before {
                failures.push(format!("changed: {text}"));
            }
            // Where nothing is refused, tables would grow with every text.
            if failures.len() > 20 {
                break;
            }
        }
        assert!(
            failures.is_empty(),
            "{}:\n  {}",
            estate.database,
            failures.join("\n  ")
        );
        assert_eq!(
            client.values("SELECT n.body FROM notes n ORDER BY n.id"),
            ["note of a", "another of a"]
        );
        estate.stack.assert_well();
    }
}

/// Who has no schema keeps out of tenants' schemas in the same database as well, and no startup packet changes where
/// names are looked for.
#[test]
fn there_is_no_way_around_the_schema() {
    for mut estate in estates() {
        let mut beside = estate.login("beside");
        for text in [
            "SELECT * FROM s_b.notes",
            "SELECT nextval('s_b.notes_id_seq')",
            "SET search_path = s_b",
        ] {
            assert_eq!(beside.sqlstate(text), "42501", "{text}");
        }
        assert_eq!(beside.value("SELECT count(*) FROM public.shared"), "0");
        drop(beside);
        for options in [("search_path", "s_b"), ("options", "-c search_path=s_b")] {
            let token = of("a").token();
            let options = [("user", "somebody"), ("database", "a"), options];
            let refused = RawClient::try_login(estate.stack.port(), &options, Some(&token));
            assert_eq!(refused.err().map(|why| why.sqlstate()).as_deref(), Some("42501"));
        }
        let mut client = estate.login("a");
        assert_eq!(client.value("SELECT nextval('notes_id_seq') > 2"), "t");
        assert_eq!(
            client.value("SELECT nextval('s_a.notes_id_seq'::regclass) > 2"),
            "t"
        );
        let insert = "INSERT INTO s_a.notes AS n (body) VALUES ('mine') RETURNING n.body";
        assert_eq!(client.value(insert), "mine");
        assert_eq!(
            client.value("SELECT count(*) FROM notes n JOIN public.shared s ON n.id = s.id"),
            "0"
        );
        estate.stack.assert_well();
    }
}
