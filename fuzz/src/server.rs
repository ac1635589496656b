//! What the guard allows, on a real server: it may change rows of the caller's, but no catalog and not the role,
//! and leave nothing behind.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use portcullis::guard::Action;
use portcullis::wire::{encode, frame};

/// The environment variable that says where the server is: the path of its Unix socket (`…/.s.PGSQL.PORT`). A server
/// to throw away, whose superuser `postgres` needs no password.
pub const SOCKET: &str = "PORTCULLIS_FUZZ_SOCKET";

/// Catalogs that no end user's statement may write to; a row that was written has another `xmin`.
const CATALOGS: [&str; 14] = [
    "pg_class",
    "pg_attribute",
    "pg_proc",
    "pg_type",
    "pg_namespace",
    "pg_authid",
    "pg_auth_members",
    "pg_db_role_setting",
    "pg_trigger",
    "pg_policy",
    "pg_rewrite",
    "pg_largeobject_metadata",
    "pg_constraint",
    "pg_default_acl",
];

const BEGIN: &str = "BEGIN; SELECT set_config('app.user_id', 'alice', true), set_config('app.tenant', 'acme', true), \
    set_config('role', 'authenticated', true)";

const WHO: &str = "SELECT concat_ws('|', current_user, session_user, current_setting('app.user_id', true), \
    current_setting('app.tenant', true), current_setting('search_path'), current_setting('row_security'), \
    current_setting('session_replication_role'), current_setting('standard_conforming_strings'))";

/// What a transaction that is rolled back can leave all the same.
const LEFT: &str = "ROLLBACK; SELECT 'lock' FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' \
    UNION ALL SELECT 'statement ' || name FROM pg_prepared_statements WHERE from_sql \
    UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE name <> '' \
    UNION ALL SELECT 'channel ' || c FROM pg_listening_channels() AS c";

/// Settings of the session: what goes on too long is no finding.
const SETTINGS: &str = "-c statement_timeout=50ms -c lock_timeout=20ms -c client_min_messages=error";

const SCHEMA: &str = include_str!("../../tests/support/schema.sql");
const ATTACKS: &str = include_str!("../../tests/attacks/schema.sql");

/// Time for our own questions. In a failed transaction it fails like them.
const PATIENCE: &str = "SET LOCAL statement_timeout = '30s'";

/// Parts of one attempt that end in ReadyForQuery: the opening, the statement, more time, who it is, the catalogs, what
/// is left.
const PARTS: usize = 6;

/// A superuser's session, in which everything is rolled back.
pub struct Server {
    stream: UnixStream,
    /// What has come and is not read yet.
    received: Vec<u8>,
    /// Asks for the catalogs, but only where the transaction has written anything.
    written: String,
    /// What is said of a statement that does no harm.
    harmless: Vec<String>,
    /// Statements that were sent.
    pub tried: u64,
    /// Statements that ran to their end.
    pub completed: u64,
}

impl Server {
    /// Logs in as the superuser to the database of the attacks, and makes it if it is not there.
    ///
    /// # Panics
    /// The server cannot be reached, or says something else than expected.
    pub fn connect(socket: &Path) -> Self {
        let mut maker = Self::log_in(socket, "postgres");
        if maker
            .ask("SELECT datname FROM pg_database WHERE datname = 'arena'")
            .is_empty()
        {
            for section in SCHEMA.split("\n-- in ").skip(1) {
                let (database, sql) = section.split_once('\n').expect("a line that names the database");
                match database.trim() {
                    // CREATE DATABASE shares a message with nothing else.
                    "postgres" => sql.split_inclusive(";\n").for_each(|sql| drop(maker.ask(sql))),
                    database => drop(Self::log_in(socket, database).ask(sql)),
                }
            }
            maker.ask("CREATE DATABASE arena TEMPLATE shop");
            Self::log_in(socket, "arena").ask(ATTACKS);
        }
        let mut server = Self::log_in(socket, "arena");
        let counts = CATALOGS.map(|name| {
            format!("SELECT concat(count(*), '/', max(xmin::text::bigint)) AS c FROM pg_catalog.{name}")
        });
        let snapshot = format!(
            "SELECT string_agg(c, ' ') FROM ({}) AS s",
            counts.join(" UNION ALL ")
        );
        let before = server.ask(&snapshot).concat();
        server.written = format!(
            "RESET ROLE; SELECT CASE WHEN pg_current_xact_id_if_assigned() IS NULL THEN '{before}' \
             ELSE ({snapshot}) END"
        );
        let harmless = server.attempt("SELECT 1");
        assert!(harmless.completed && harmless.left.is_empty(), "nothing works");
        server.harmless = harmless.says;
        // What cannot fail proves nothing.
        for harm in [
            "SELECT set_config('role', 'member', true)",
            "CREATE TABLE a ()",
            "SET LOCAL app.tenant = 'b'",
        ] {
            let outcome = server.attempt(harm);
            assert!(
                outcome.completed && outcome.says != server.harmless,
                "{harm} is overlooked"
            );
        }
        for harm in ["SELECT pg_advisory_lock(1)", "PREPARE a AS SELECT 1"] {
            assert!(!server.attempt(harm).left.is_empty(), "{harm} is overlooked");
            server.ask("DISCARD ALL");
        }
        server
    }

    fn log_in(socket: &Path, database: &str) -> Self {
        let stream = UnixStream::connect(socket).expect("the server's socket");
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("a time limit");
        let mut server = Self {
            stream,
            received: Vec::new(),
            written: String::new(),
            harmless: Vec::new(),
            tried: 0,
            completed: 0,
        };
        let mut packet = Vec::from(196_608_u32.to_be_bytes());
        for text in ["user", "postgres", "database", database, "options", SETTINGS, ""] {
            packet.extend([text.as_bytes(), b"\0"].concat());
        }
        let length = u32::try_from(packet.len() + 4).expect("a short packet");
        server.send(&[&length.to_be_bytes()[..], &packet].concat());
        assert!(!server.part().failed, "no login to {database}");
        server
    }

    /// The rows of a query of our own.
    fn ask(&mut self, sql: &str) -> Vec<String> {
        self.send(&query(sql));
        let part = self.part();
        assert!(!part.failed, "{sql:.200} fails");
        part.rows
    }

    /// Runs a text if the guard allows it: each statement by Parse, as the proxy sends it.
    ///
    /// # Panics
    /// A catalog or the role has changed, or something is left: a finding.
    pub fn try_out(&mut self, bytes: &[u8]) {
        let Some(script) = super::judged(bytes) else {
            return;
        };
        for cleared in script.statements() {
            if !matches!(
                cleared.action(),
                Action::Query | Action::SetConfig(_) | Action::Call | Action::CopyIn
            ) {
                continue;
            }
            let outcome = self.attempt(cleared.sql());
            self.tried += 1;
            assert_eq!(outcome.left, "", "something is left of {:?}", cleared.sql());
            if outcome.completed {
                self.completed += 1;
                crate::statements::remember(cleared.sql());
                assert_eq!(outcome.says, self.harmless, "{:?} has an effect", cleared.sql());
            }
            if self.tried.is_power_of_two() {
                eprintln!("{} statements tried, {} completed", self.tried, self.completed);
            }
        }
    }

    /// One statement and all questions about it in one packet: what fails makes the questions fail at once.
    fn attempt(&mut self, sql: &str) -> Outcome {
        let mut packet = query(BEGIN);
        encode::parse(&mut packet, "", sql, encode::NO_TYPES);
        encode::bind_text(&mut packet, "", "", &vec!["1"; parameters(sql)]);
        // A hundred rows of each are enough.
        encode::frame(&mut packet, b'E', &[0, 0, 0, 0, 100]);
        // Ends a COPY FROM STDIN, and is overlooked elsewhere.
        encode::frame(&mut packet, b'f', b"\0");
        encode::sync(&mut packet);
        for sql in [PATIENCE, WHO, &self.written, LEFT] {
            packet.extend(query(sql));
        }
        self.send(&packet);
        let [_, statement, _, who, catalogs, left] = [(); PARTS].map(|()| self.part());
        Outcome {
            completed: !statement.failed && !who.failed,
            says: [who.rows, catalogs.rows].concat(),
            left: left.rows.concat(),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a server that listens");
    }

    /// Reads up to the next ReadyForQuery.
    fn part(&mut self) -> Part {
        let mut part = Part::default();
        loop {
            match frame::head(&self.received).expect("a frame of the server's") {
                Some(head) if self.received.len() >= frame::HEAD_BYTES + head.body_len => {
                    let rest = self.received.split_off(frame::HEAD_BYTES + head.body_len);
                    let whole = std::mem::replace(&mut self.received, rest);
                    match head.tag {
                        b'Z' => return part,
                        b'E' => part.failed = true,
                        // The last row of each of our questions has one column.
                        b'D' => part
                            .rows
                            .push(String::from_utf8_lossy(whole.get(11..).unwrap_or_default()).into()),
                        _ => {}
                    }
                }
                _ => {
                    let mut buffer = [0; 16_384];
                    let count = self.stream.read(&mut buffer).expect("a server that answers");
                    assert!(count > 0, "the server has hung up");
                    self.received.extend(&buffer[..count]);
                }
            }
        }
    }
}

/// What is known after an attempt.
struct Outcome {
    completed: bool,
    says: Vec<String>,
    left: String,
}

/// What came up to a ReadyForQuery.
#[derive(Default)]
struct Part {
    rows: Vec<String>,
    failed: bool,
}

fn query(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::frame(&mut out, b'Q', &[sql.as_bytes(), b"\0"].concat());
    out
}

/// How many parameters the statement seems to have. A wrong guess makes it fail, no more.
fn parameters(sql: &str) -> usize {
    let digits = sql.split('$').skip(1).filter_map(|rest| rest.bytes().next());
    let numbers = digits
        .filter(u8::is_ascii_digit)
        .map(|digit| usize::from(digit - b'0'));
    numbers.max().unwrap_or(0)
}
