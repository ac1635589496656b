//! Replication connections of trusted roles: real tools stream through, the role stays put, and nobody else has them.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::VERSIONS;
use crate::support::people::{alice, in_seconds};
use crate::support::postgres::{Postgres, Version};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{
    Frame, RawClient, Unready, VERSION_3_0, bind, cancel, execute, flush, function_call, message, parse,
    query, startup, sync,
};
use crate::support::{tools, wait_until};

/// The trusted role may have replication connections.
const ALLOWED: &str = "[roles.service_role]\npool_mode = \"session\"\nreplication = true";

/// Servers that have something to replicate, one of each version.
fn clusters() -> &'static [(Version, Postgres)] {
    static CLUSTERS: OnceLock<Vec<(Version, Postgres)>> = OnceLock::new();
    CLUSTERS.get_or_init(|| {
        let start = |version: Version| {
            let settings = "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\n";
            let postgres = Postgres::own_with(version, settings)?;
            let hba = postgres.socket_folder().join("data/pg_hba.conf");
            let lines = fs::read_to_string(&hba).unwrap();
            fs::write(&hba, format!("{lines}host replication all 127.0.0.1/32 scram-sha-256\n")).unwrap();
            postgres.ask(
                "CREATE ROLE lacking LOGIN NOINHERIT PASSWORD 'lacking-password'; GRANT service_role TO lacking; \
                 GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO lacking; \
                 ALTER ROLE portcullis_service REPLICATION; ALTER ROLE service_role REPLICATION; \
                 SELECT pg_reload_conf()",
            );
            Some((version, postgres))
        };
        VERSIONS.into_iter().filter_map(start).collect()
    })
}

/// A stack in front of each of them.
fn stacks(pool_size: usize, config: &str) -> impl Iterator<Item = (&'static Postgres, Stack)> {
    clusters().iter().map(move |(_, postgres)| {
        let options = StackOptions::pool(pool_size).with(config);
        (postgres, Stack::in_front_of(postgres.port(), &options))
    })
}

fn token(role: &str) -> String {
    alice().token_with(&[("role", json!(role)), ("tenant", Value::Null)])
}

fn try_replication(stack: &Stack, token: &str, replication: &str) -> Result<RawClient, Unready> {
    let options = [
        ("user", "somebody"),
        ("database", "acme"),
        ("replication", replication),
    ];
    RawClient::try_login(stack.port(), &options, Some(token))
}

fn replication(stack: &Stack, kind: &str) -> RawClient {
    try_replication(stack, &token("service_role"), kind).unwrap_or_else(|why| panic!("{}", why.describe()))
}

/// The server's own replication connection, for comparison.
fn direct(postgres: &Postgres) -> RawClient {
    let mut client = RawClient::to_unix(postgres.socket_folder(), postgres.port());
    let options = [
        ("user", "postgres"),
        ("database", "shop"),
        ("replication", "database"),
    ];
    client.send(&startup(VERSION_3_0, &options));
    client.finish_login(None).expect("a login");
    client
}

/// What can be compared: types, SQLSTATEs, messages, statuses.
fn shape(frames: &[Frame]) -> Vec<String> {
    let shape = |frame: &Frame| match frame.tag {
        b'E' => format!("E {} {}", frame.sqlstate(), frame.field('M').unwrap_or_default()),
        b'Z' => format!("Z {}", char::from(frame.body[0])),
        tag => char::from(tag).to_string(),
    };
    frames.iter().map(shape).collect()
}

/// Which role is in force, as SQL and as the command of the replication protocol tell it.
fn assert_role(client: &mut RawClient) {
    assert_eq!(client.value("SELECT current_user"), "service_role");
    assert_eq!(client.value("SHOW role"), "service_role");
}

/// A program of the installed Postgres; `None` where it brings none.
fn tool(name: &str) -> Option<PathBuf> {
    let path = tools::installed_postgres().ok()?.join(name);
    if !path.exists() {
        eprintln!("left out: there is no {}", path.display());
        return None;
    }
    Some(path)
}

/// A tool as the trusted role of acme.
fn run(stack: &Stack, name: &str, arguments: &[&str]) -> Option<Command> {
    let mut command = Command::new(tool(name)?);
    command
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "somebody",
            "-w",
            "-p",
            &stack.port().to_string(),
        ])
        .args(arguments)
        .env("PGPASSWORD", token("service_role"))
        .env("PGAPPNAME", "my tool")
        .stdin(Stdio::null());
    Some(command)
}

#[test]
fn a_trusted_role_streams_the_changes_of_all_tenants() {
    for (postgres, mut stack) in stacks(1, ALLOWED) {
        let slot = |action: &str| {
            let arguments = ["-d", "acme", "-S", "streamed", action, "-P", "test_decoding"];
            let arguments = if action == "--drop-slot" {
                &arguments[..5]
            } else {
                &arguments[..]
            };
            run(&stack, "pg_recvlogical", arguments)
        };
        let Some(mut create) = slot("--create-slot") else {
            return;
        };
        assert!(create.status().unwrap().success(), "{}", stack.log());
        let out = stack.config_path().with_file_name("changes");
        let arguments = [
            "-d",
            "acme",
            "-S",
            "streamed",
            "--start",
            "--no-loop",
            "-F",
            "0",
            "-f",
            "-",
        ];
        let mut receive = run(&stack, "pg_recvlogical", &arguments).unwrap();
        let mut receive = receive.stdout(File::create(&out).unwrap()).spawn().unwrap();
        let active = "SELECT count(*) FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid \
                      WHERE slot_name = 'streamed' AND application_name = 'my tool'";
        wait_until("it streams", Duration::from_secs(20), || {
            postgres.ask(active) == ["1"]
        });
        postgres.ask("CREATE TABLE streamed (id int PRIMARY KEY, text text)");
        // Far more than any buffer holds.
        postgres.ask("INSERT INTO streamed SELECT i, repeat('x', 1000) FROM generate_series(1, 5000) i");
        let seen = || {
            fs::read_to_string(&out)
                .unwrap_or_default()
                .matches("INSERT: id[integer]")
                .count()
        };
        wait_until("the changes arrive", Duration::from_secs(30), || seen() == 5000);
        let pid = receive.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(receive.wait().unwrap().success());
        assert!(slot("--drop-slot").unwrap().status().unwrap().success());
        postgres.ask("DROP TABLE streamed");
        let mut next = stack.try_login(&token("service_role"), "acme").expect("a login");
        assert_eq!(next.value("SELECT current_user"), "service_role");
        stack.assert_well();
    }
}

#[test]
fn the_role_is_put_on_and_stays() {
    for (_, mut stack) in stacks(1, ALLOWED) {
        let mut client = replication(&stack, "database");
        assert_eq!(client.parameters["session_authorization"], "service_role");
        client.send(&query("IDENTIFY_SYSTEM"));
        let frames = client.until_ready();
        assert_eq!(frames[1].row()[3].as_deref(), Some("shop"));
        assert_role(&mut client);
        for escape in [
            "SET ROLE portcullis_service",
            "set role none",
            "RESET ROLE",
            "SET role TO DEFAULT",
            "RESET SESSION AUTHORIZATION",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SELECT 1; RESET ROLE",
            "/* */ RESET ROLE",
            "SELECT set_config('role', 'none', false)",
            "DISCARD ALL",
            "SELECT 1; DISCARD ALL",
            "identify_system; RESET ROLE",
        ] {
            let error = client.query(escape).expect_err(escape);
            assert!(
                ["42501", "0A000", "42601"].contains(&error.sqlstate().as_str()),
                "{escape}: {error:?}"
            );
            assert!(
                !error.field('M').unwrap().contains("portcullis refused"),
                "{escape}: {error:?}"
            );
            assert_role(&mut client);
        }
        assert_eq!(client.sqlstate("SHOW role; RESET ROLE"), "42601");
        client.values("RESET ALL");
        assert_role(&mut client);
        // A refused statement fails its transaction, as if the server had refused it.
        client.values("BEGIN");
        client.send(&query("SET ROLE none"));
        assert_eq!(shape(&client.until_ready()).last().unwrap(), "Z E");
        assert_eq!(client.sqlstate("SELECT 1"), "25P02");
        client.values("ROLLBACK");
        assert_role(&mut client);
        // Refusals come in their turn.
        let together = [
            query("SELECT 'one'"),
            query("SET ROLE none"),
            query("SELECT pg_sleep(0.2)"),
            query("RESET ROLE"),
            query("SHOW role"),
        ];
        client.send(&together.concat());
        let mut answers = String::new();
        for _ in 0..together.len() {
            answers.extend(client.until_ready().iter().map(|frame| char::from(frame.tag)));
        }
        assert_eq!(answers, "TDCZEZTDCZEZTDCZ");
        assert_role(&mut client);
        stack.assert_well();
    }
}

/// A walsender refuses the extended protocol and function calls; afterwards it goes on.
#[test]
fn other_protocols_are_refused_as_by_the_server() {
    let select = || [parse("", "SELECT 1", &[]), bind("", "", &[]), execute("", 0)].concat();
    for (postgres, mut stack) in stacks(1, ALLOWED) {
        for (case, messages, answers) in [
            ("a batch", [select(), sync()].concat(), 1),
            ("flushed", [select(), flush(), sync()].concat(), 1),
            (
                "a query behind it",
                [select(), query("SELECT 1"), sync()].concat(),
                1,
            ),
            ("two batches", [select(), sync(), select(), sync()].concat(), 2),
            ("a call", function_call(1598, &[]), 1),
            (
                "copy data out of place",
                [message(b'd', b"x"), message(b'c', b""), query("SELECT 1")].concat(),
                1,
            ),
            ("a lone Sync", sync(), 1),
            ("nothing", query(""), 1),
            ("an error", query("SELECT 1/0"), 1),
        ] {
            let (mut server, mut client) = (direct(postgres), replication(&stack, "database"));
            server.send(&messages);
            client.send(&messages);
            for _ in 0..answers {
                assert_eq!(
                    shape(&client.until_ready()),
                    shape(&server.until_ready()),
                    "{case}"
                );
            }
            assert_role(&mut client);
        }
        let mut client = replication(&stack, "database");
        client.send(&query(&format!("SELECT '{}'", "x".repeat(5 << 20))));
        assert_eq!(shape(&client.until_ready()).len(), 2);
        assert_role(&mut client);
        client.send(b"Q\0\0\0\x03");
        assert_eq!(client.read().sqlstate(), "08P01");
        assert!(client.is_closed());
        stack.assert_well();
    }
}

#[test]
fn nobody_else_has_one() {
    let shared = "roles.service_role.pool_mode = \"transaction\"";
    let without = "roles.service_role.pool_mode = \"session\"";
    for (config, role, reason) in [
        (ALLOWED, "authenticated", "Row Level Security"),
        (shared, "service_role", "pool_mode is transaction"),
        (without, "service_role", "replication = true"),
    ] {
        for (_, mut stack) in stacks(1, config) {
            for kind in ["database", "true", "ON"] {
                let token = alice().token_with(&[("role", json!(role))]);
                let Err(Unready::Refused(error)) = try_replication(&stack, &token, kind) else {
                    panic!("{role} has replication={kind}");
                };
                assert_eq!(error.sqlstate(), "0A000");
                assert_eq!(error.field('V').as_deref(), Some("FATAL"));
                let hint = error.field('H').unwrap_or_default();
                assert!(hint.contains(reason), "{hint}");
            }
            stack.assert_well();
        }
    }
}

#[test]
fn what_the_server_refuses_is_told() {
    let config = format!(
        "{ALLOWED}\nlogin = \"lacking\"\n[logins.lacking]\nuser = \"lacking\"\npassword = \"lacking-password\""
    );
    for (_, mut stack) in stacks(1, &config) {
        for kind in ["database", "true"] {
            let Err(Unready::Refused(error)) = try_replication(&stack, &token("service_role"), kind) else {
                panic!("let in without the attribute");
            };
            assert_eq!(
                (error.sqlstate().as_str(), error.field('V').as_deref()),
                ("42501", Some("FATAL"))
            );
            let text = error.field('M').unwrap();
            assert!(text.to_lowercase().contains("wal"), "{text}");
        }
        let Err(Unready::Refused(error)) = try_replication(&stack, &token("service_role"), "perhaps") else {
            panic!("let in by nonsense");
        };
        assert_eq!(error.sqlstate(), "22023");
        // No place is lost by it.
        let mut next = stack.try_login(&token("service_role"), "acme").expect("a login");
        assert_eq!(next.value("SELECT current_user"), "service_role");
        stack.assert_well();
    }
}

#[test]
fn it_counts_as_a_connection_of_its_pool() {
    let config = format!("{ALLOWED}\n[pool]\nquery_wait_timeout = 3");
    for (_, mut stack) in stacks(1, &config) {
        for end in ["goodbye", "vanish", "cancelled"] {
            let mut client = replication(&stack, "database");
            assert_role(&mut client);
            // Once the proxy knows the role, a login needs no server connection.
            let refused = match stack.try_login(&token("service_role"), "acme") {
                Ok(mut second) => second.sqlstate("SELECT 1"),
                Err(why) => why.sqlstate(),
            };
            assert_eq!(refused, "53300");
            match end {
                "goodbye" => client.send(b"X\0\0\0\x04"),
                "vanish" => client.vanish(),
                _ => {
                    client.send(&query("SELECT pg_sleep(60)"));
                    std::thread::sleep(Duration::from_millis(200));
                    cancel(stack.port(), &client.cancel_key);
                    let frames = client.until_ready();
                    assert!(
                        shape(&frames).iter().any(|frame| frame.starts_with("E 57014")),
                        "{frames:?}"
                    );
                    assert_role(&mut client);
                    drop(client);
                }
            }
            wait_until("there is room", Duration::from_secs(10), || {
                let login = stack.try_login(&token("service_role"), "acme");
                login.is_ok_and(|mut next| {
                    next.query("SELECT current_user")
                        .is_ok_and(|user| user == ["service_role"])
                })
            });
        }
        stack.assert_well();
    }
}

/// Begins to stream from a slot that goes with its connection, in a database where nothing else changes.
fn stream(stack: &Stack, token: &str) -> RawClient {
    let options = [
        ("user", "somebody"),
        ("database", "umbrella"),
        ("replication", "database"),
    ];
    let mut client = RawClient::try_login(stack.port(), &options, Some(token)).expect("a login");
    let create = "CREATE_REPLICATION_SLOT \"raw\" TEMPORARY LOGICAL \"test_decoding\"";
    client.send(&query(create));
    assert_eq!(shape(&client.until_ready()).last().unwrap(), "Z I");
    client.send(&query("START_REPLICATION SLOT \"raw\" LOGICAL 0/0"));
    assert_eq!(client.read().tag, b'W');
    client
}

/// The next message but keepalives.
fn change(client: &mut RawClient) -> Frame {
    loop {
        let frame = client.read();
        if frame.tag != b'd' || frame.body[0] != b'k' {
            return frame;
        }
    }
}

#[test]
fn a_stream_ends_when_it_has_to() {
    let config = format!("{ALLOWED}\n[listen]\nexpiry_grace = 0\nclient_idle_timeout = 1");
    for (postgres, mut stack) in stacks(2, &config) {
        let emit = || {
            let sql = "SELECT pg_logical_emit_message(true, 'p', 'hello')";
            postgres.superuser("umbrella").values(sql)
        };
        // By the client's own wish: then it goes on with commands. No idle timeout meanwhile.
        let mut client = stream(&stack, &token("service_role"));
        std::thread::sleep(Duration::from_millis(1500));
        emit();
        let frame = change(&mut client);
        assert!(frame.tag == b'd' && frame.body[0] == b'w', "{frame:?}");
        let status = [&b"r"[..], &[0; 33]].concat();
        client.send(&[message(b'd', &status), message(b'c', b""), query("SHOW role")].concat());
        while change(&mut client).tag != b'Z' {}
        assert_eq!(client.until_ready()[1].row()[0].as_deref(), Some("service_role"));
        assert_eq!(client.read().sqlstate(), "57P05");
        assert!(client.is_closed());

        // By a message that has no place there.
        let mut client = stream(&stack, &token("service_role"));
        client.send(&query("SELECT 1"));
        assert_eq!(change(&mut client).sqlstate(), "08P01");
        assert!(client.is_closed());

        // By the end of its token.
        let token = alice().token_with(&[
            ("role", json!("service_role")),
            ("tenant", Value::Null),
            ("exp", json!(in_seconds(6))),
        ]);
        let mut client = stream(&stack, &token);
        assert_eq!(change(&mut client).sqlstate(), "57P01");
        assert!(client.is_closed());

        // By the end of the proxy, at once.
        let mut client = stream(&stack, &self::token("service_role"));
        let start = Instant::now();
        stack.signal("TERM");
        assert_eq!(change(&mut client).sqlstate(), "57P01");
        assert!(stack.wait_exit(Duration::from_secs(10)).success());
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn the_whole_cluster_can_be_copied() {
    // What the tools call the database of a physical connection.
    let named = "[[tenants.database]]\nname = \"replication\"\nserver = \"main\"\ndatabase = \"shop\"\ntenant = \"optional\"";
    for (postgres, mut stack) in stacks(1, &format!("{ALLOWED}\n{named}")) {
        let mut client = replication(&stack, "true");
        client.send(&query("IDENTIFY_SYSTEM"));
        assert_eq!(client.until_ready()[1].row()[3], None, "no database");
        assert_eq!(client.value("SHOW role"), "service_role");
        assert_eq!(client.sqlstate("RESET ROLE"), "42501");
        assert!(client.query("SELECT 1").is_err(), "SQL without a database");
        assert_eq!(client.value("SHOW role"), "service_role");
        drop(client);
        // The tools of one version do not copy later ones.
        if postgres.port() == clusters()[0].1.port() {
            let out = stack.config_path().with_file_name("base.tar");
            let arguments = ["-D", "-", "-Ft", "-X", "fetch", "-c", "fast"];
            let Some(mut copy) = run(&stack, "pg_basebackup", &arguments) else {
                return;
            };
            assert!(
                copy.stdout(File::create(&out).unwrap())
                    .status()
                    .unwrap()
                    .success()
            );
            assert!(fs::metadata(&out).unwrap().len() > 10_000_000);
        }
        stack.assert_well();
    }
}

/// A walsender waits no longer for its client than any other server connection; a stream with nothing to say is well.
#[test]
fn one_that_does_not_read_or_stops_in_a_message_is_ended_and_an_idle_stream_is_not() {
    let pace = format!("{ALLOWED}\n[listen]\nclient_progress_timeout = 1");
    for (postgres, stack) in stacks(4, &pace) {
        // Other tests' come and go meanwhile.
        let walsenders = || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND application_name = 'paced'";
            postgres.ask(sql)[0].parse::<usize>().unwrap()
        };
        let paced = |kind| {
            let options = [
                ("user", "somebody"),
                ("database", "acme"),
                ("replication", kind),
                ("application_name", "paced"),
            ];
            let client = RawClient::try_login(stack.port(), &options, Some(&token("service_role")));
            client.unwrap_or_else(|why| panic!("{}", why.describe()))
        };
        // From the start of the log: more than the buffers on the way take.
        postgres.ask(
            "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 16)",
        );
        let mut unread = paced("true");
        let first = postgres.ask("SELECT (pg_current_wal_lsn() - 15000000::numeric)::text");
        unread.send(&query(&format!("START_REPLICATION PHYSICAL {}", first[0])));
        let mut copies = paced("database");
        copies.send(&query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"));
        let mut cut = paced("true");
        let last = postgres.ask("SELECT pg_current_wal_lsn()::text");
        cut.send(&query(&format!("START_REPLICATION PHYSICAL {}", last[0])));
        assert_eq!(cut.read().tag, b'W');
        cut.send(&[b'd', 0, 0, 0, 38, b'r']);
        let mut idle = paced("true");
        idle.send(&query(&format!("START_REPLICATION PHYSICAL {}", last[0])));
        assert_eq!(idle.read().tag, b'W');
        wait_until("the others are ended", Duration::from_secs(6), || {
            walsenders() == 1
        });
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(walsenders(), 1);
        drop((unread, copies, cut, idle));
    }
}
