//! Attacks by messages rather than by statements.

use std::time::Duration;

use crate::routes::{TITLES, VAULT, WHO, run};
use crate::support::people::bob;
use crate::support::proxy::Stack;
use crate::support::raw::{self, RawClient, VERSION_3_0};
use crate::watch::listen;

/// An attack: what it does with a session of alice's, and what it is told.
pub(crate) struct WireCase {
    pub(crate) name: &'static str,
    pub(crate) attack: fn(&Stack, &mut RawClient, &mut Vec<u8>),
}

type Said = Vec<u8>;

/// OIDs of pg_proc.dat: set_config, lo_creat, pg_advisory_lock(bigint), setseed.
const SET_CONFIG: u32 = 2078;
const LO_CREAT: u32 = 957;
const ADVISORY_LOCK: u32 = 2880;
const SETSEED: u32 = 1599;

/// Every case.
pub(crate) fn cases() -> Vec<WireCase> {
    let mut cases = messages();
    cases.extend(names());
    cases.extend(pipelines());
    cases.extend(copies());
    cases.extend(vanishings());
    cases
}

fn case(name: &'static str, attack: fn(&Stack, &mut RawClient, &mut Said)) -> WireCase {
    WireCase { name, attack }
}

/// Sends and listens to all that comes up to the next time the session is ready.
fn say(client: &mut RawClient, said: &mut Said, parts: &[Vec<u8>]) {
    client.send(&parts.concat());
    listen(client, 1, said);
}

/// A query and the exploit behind it.
fn exploit(client: &mut RawClient, said: &mut Said) {
    for sql in [WHO, TITLES, VAULT] {
        say(client, said, &[raw::query(sql)]);
    }
}

/// A FunctionCall with arguments of that format (0 is text).
fn call(oid: u32, format: u8, arguments: &[&[u8]]) -> Vec<u8> {
    let mut body = [&oid.to_be_bytes()[..], &[0, 1, 0, format]].concat();
    body.extend(u16::try_from(arguments.len()).unwrap().to_be_bytes());
    for argument in arguments {
        body.extend(u32::try_from(argument.len()).unwrap().to_be_bytes());
        body.extend_from_slice(argument);
    }
    body.extend([0, 0]);
    raw::message(b'F', &body)
}

fn messages() -> Vec<WireCase> {
    vec![
        case("FunctionCall set_config as text", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            say(client, said, &[call(SET_CONFIG, 0, &[b"role", b"member", b"t"])]);
            exploit(client, said);
        }),
        case("FunctionCall set_config in binary", |_, client, said| {
            say(client, said, &[call(SET_CONFIG, 1, &[b"role", b"member", b"\0"])]);
            exploit(client, said);
        }),
        case("FunctionCall lo_creat", |_, client, said| {
            say(client, said, &[call(LO_CREAT, 0, &[b"-1"])]);
        }),
        case("FunctionCall pg_advisory_lock", |_, client, said| {
            say(client, said, &[call(ADVISORY_LOCK, 0, &[b"4242"])]);
        }),
        case("FunctionCall setseed", |_, client, said| {
            say(client, said, &[call(SETSEED, 0, &[b"0.5"])]);
        }),
        case("FunctionCall in a pipeline", |_, client, said| {
            let parts = [
                run("SELECT 1"),
                call(SET_CONFIG, 0, &[b"role", b"member", b"f"]),
                run(WHO),
                raw::sync(),
            ];
            say(client, said, &parts);
        }),
        case("a name in a parameter", |_, client, said| {
            let parse = raw::parse("", "SELECT set_config($1, $2, true)", &[]);
            let bind = raw::bind("", "", &[Some(b"role"), Some(b"member")]);
            say(
                client,
                said,
                &[
                    parse,
                    bind,
                    raw::execute("", 0),
                    run(WHO),
                    run(TITLES),
                    raw::sync(),
                ],
            );
        }),
        case("a function of a parameter", |_, client, said| {
            let parse = raw::parse("", "SELECT ($1::bigint).pg_advisory_lock", &[20]);
            say(
                client,
                said,
                &[
                    parse,
                    raw::bind("", "", &[Some(b"4242")]),
                    raw::execute("", 0),
                    raw::sync(),
                ],
            );
        }),
        case("two statements in one Parse", |_, client, said| {
            say(client, said, &[run("SELECT 1; SET ROLE member"), raw::sync()]);
            say(
                client,
                said,
                &[run("COMMIT; SELECT secret FROM vault"), raw::sync()],
            );
        }),
        case("a NUL within a Query", |_, client, said| {
            say(
                client,
                said,
                &[raw::message(b'Q', b"SELECT 1\0; SET ROLE member\0")],
            );
            exploit(client, said);
        }),
        case("a NUL within a Parse", |_, client, said| {
            say(
                client,
                said,
                &[
                    raw::message(b'P', b"\0SELECT 1\0SET ROLE member\0\0\0"),
                    raw::sync(),
                ],
            );
            exploit(client, said);
        }),
        case("text that is no UTF-8", |_, client, said| {
            say(
                client,
                said,
                &[raw::message(b'Q', b"SELECT '\x83\x5c'; SET ROLE member; -- '\0")],
            );
            say(
                client,
                said,
                &[raw::message(b'Q', b"SELECT '\xc0\xa7; SET ROLE member; -- '\0")],
            );
            exploit(client, said);
        }),
        case("the proxy's own statements", |_, client, said| {
            for name in ["p0", "p1", "p2", "p3", "p4", "p5", "p10", "P1"] {
                say(
                    client,
                    said,
                    &[
                        raw::bind("", name, &[]),
                        raw::execute("", 0),
                        run(WHO),
                        run(VAULT),
                        raw::sync(),
                    ],
                );
                say(client, said, &[raw::describe('S', name), raw::sync()]);
                say(client, said, &[raw::close('S', name), raw::sync()]);
            }
            exploit(client, said);
        }),
        case("the proxy's own statement names, taken", |_, client, said| {
            for name in ["p0", "p1", "p2", "p3", "p4", "p5"] {
                say(
                    client,
                    said,
                    &[raw::parse(name, "SELECT 'mine'", &[]), raw::sync()],
                );
            }
            say(client, said, &[raw::query("BEGIN")]);
            exploit(client, said);
        }),
        case("the proxy's own portal", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            let portal = "portcullis internal";
            let parts = [
                raw::parse("e", "COMMIT", &[]),
                raw::bind(portal, "e", &[]),
                raw::sync(),
            ];
            say(client, said, &parts);
            say(client, said, &[raw::query("CALL keep('attack', 'x')")]);
            say(
                client,
                said,
                &[raw::execute(portal, 0), run(WHO), run(VAULT), raw::sync()],
            );
        }),
        case("a second startup", |_, client, said| {
            client.send(&raw::startup(
                VERSION_3_0,
                &[("user", "bob"), ("database", "globex")],
            ));
            exploit(client, said);
        }),
        case("an SSLRequest within the session", |_, client, said| {
            client.send(&raw::untagged(raw::SSL_REQUEST, &[]));
            exploit(client, said);
        }),
        case("a password within the session", |_, client, said| {
            client.send(&raw::password_message(&bob().token()));
            exploit(client, said);
        }),
        case("an understated length", |_, client, said| {
            let body = b"SELECT 1\0Q\0\0\0\x14SET ROLE member\0";
            client.send(&[&[b'Q'][..], &13_u32.to_be_bytes(), body].concat());
            client.set_patience(Duration::from_millis(700));
            exploit(client, said);
        }),
        case("an overstated length", |_, client, said| {
            client.send(&[&[b'Q'][..], &4000_u32.to_be_bytes(), b"SELECT 1\0"].concat());
            client.send(&raw::query("SET ROLE member"));
            client.set_patience(Duration::from_millis(300));
            exploit(client, said);
        }),
        case("a Query without its NUL", |_, client, said| {
            client.send(&raw::message(b'Q', b"SET ROLE member"));
            exploit(client, said);
        }),
        case("unknown kinds of message", |_, client, said| {
            client.send(
                &[
                    raw::message(b'!', b"x\0"),
                    raw::message(b'R', &[0; 4]),
                    raw::message(b'Z', b"I"),
                ]
                .concat(),
            );
            exploit(client, said);
        }),
        case("a key that was guessed", |stack, client, said| {
            for pid in 0..20_u32 {
                raw::cancel(stack.port(), &[pid.to_be_bytes(), [0; 4]].concat());
            }
            exploit(client, said);
        }),
        case("a key of a transaction that is over", old_key),
    ]
}

/// With the key of her own finished transaction alice cancels whoever has the server connection now.
fn old_key(stack: &Stack, client: &mut RawClient, said: &mut Said) {
    exploit(client, said);
    let key = client.cancel_key.clone();
    let mut victim = stack.login(&bob());
    victim.send(&raw::query("SELECT pg_sleep(0.3), 'finished'"));
    std::thread::sleep(Duration::from_millis(100));
    raw::cancel(stack.port(), &key);
    let frames = victim.until_ready();
    if frames.iter().any(|frame| frame.tag == b'E') {
        said.extend(b"WHO:somebody who cancels others");
    }
}

/// What a client and the proxy call statements and portals.
fn names() -> Vec<WireCase> {
    vec![
        case("a name prepared in SQL, bound by message", |_, client, said| {
            say(
                client,
                said,
                &[raw::query(
                    "PREPARE n AS SELECT set_config('role', 'member', true)",
                )],
            );
            say(client, said, &[raw::query("PREPARE n (text) AS SELECT $1")]);
            let parts = [
                raw::bind("", "n", &[Some(b"x")]),
                raw::execute("", 0),
                run(VAULT),
                raw::sync(),
            ];
            say(client, said, &parts);
            exploit(client, said);
        }),
        case("a refused statement under a name that runs", |_, client, said| {
            for name in ["", "n"] {
                say(client, said, &[raw::parse(name, WHO, &[]), raw::sync()]);
                say(
                    client,
                    said,
                    &[raw::parse(name, "SET ROLE member", &[]), raw::sync()],
                );
                let parts = [
                    raw::bind("", name, &[]),
                    raw::execute("", 0),
                    run(VAULT),
                    raw::sync(),
                ];
                say(client, said, &parts);
            }
        }),
        case(
            "a name that is closed and taken within one batch",
            |_, client, said| {
                let parts = [
                    raw::parse("n", "COMMIT", &[]),
                    raw::bind("p", "n", &[]),
                    raw::close('S', "n"),
                    raw::parse("n", VAULT, &[]),
                    raw::execute("p", 0),
                    raw::bind("", "n", &[]),
                    raw::execute("", 0),
                    run(WHO),
                    raw::sync(),
                ];
                say(client, said, &parts);
            },
        ),
        case("EXECUTE of the server's names", |_, client, said| {
            for name in ["p0", "p1", "p2", "p3", "s1", "portcullis_1", "S_1"] {
                for sql in [
                    "EXECUTE",
                    "EXPLAIN EXECUTE",
                    "EXPLAIN (COSTS OFF) EXECUTE",
                    "DEALLOCATE",
                ] {
                    say(client, said, &[raw::query(&format!("{sql} \"{name}\""))]);
                }
                say(
                    client,
                    said,
                    &[raw::query(&format!("COPY (EXECUTE \"{name}\") TO STDOUT"))],
                );
            }
            exploit(client, said);
        }),
        case("names with quotes and spaces", |_, client, said| {
            for name in [
                "a\"; SET ROLE member; --",
                "a b",
                "'",
                "\\",
                "a\" (set_config('role','member',true)) --",
            ] {
                say(client, said, &[raw::parse(name, WHO, &[]), raw::sync()]);
                say(
                    client,
                    said,
                    &[raw::bind(name, name, &[]), raw::execute(name, 0), raw::sync()],
                );
                let quoted = name.replace('"', "\"\"");
                say(client, said, &[raw::query(&format!("EXECUTE \"{quoted}\""))]);
                say(client, said, &[raw::query(&format!("EXECUTE \"{name}\""))]);
                say(client, said, &[raw::query(&format!("CLOSE \"{name}\""))]);
            }
            exploit(client, said);
        }),
        case("the proxy's own portal, run again", |_, client, said| {
            let portal = "portcullis internal";
            let parts = [
                run("BEGIN"),
                raw::bind("", "", &[]),
                run(WHO),
                raw::describe('P', portal),
                raw::execute(portal, 0),
                raw::close('P', portal),
                run(VAULT),
                raw::sync(),
            ];
            say(client, said, &parts);
            let fetch = "FETCH BACKWARD ALL FROM \"portcullis internal\"";
            say(
                client,
                said,
                &[run("BEGIN"), run(WHO), run(fetch), run(VAULT), raw::sync()],
            );
        }),
        case("the unnamed portal, kept over a commit", |_, client, said| {
            let parts = [
                run("BEGIN"),
                raw::parse("n", VAULT, &[]),
                raw::bind("", "n", &[]),
                raw::parse("c", "COMMIT AND CHAIN", &[]),
                raw::bind("portcullis internal", "c", &[]),
                raw::execute("portcullis internal", 0),
                raw::execute("", 0),
                run(WHO),
                run(TITLES),
                raw::sync(),
            ];
            say(client, said, &parts);
        }),
        case("parameters by the type of a function", |_, client, said| {
            // regproc, regprocedure, regclass, regrole, oidvector
            for oid in [24_u32, 2202, 2205, 4096, 30] {
                for value in [
                    "set_config",
                    "pg_catalog.set_config",
                    "set_config(text,text,boolean)",
                    "member",
                    "2078",
                ] {
                    let parse = raw::parse("", "SELECT $1, $1::text, $1::oid", &[oid]);
                    let bind = raw::bind("", "", &[Some(value.as_bytes())]);
                    say(
                        client,
                        said,
                        &[parse, bind, raw::execute("", 0), run(WHO), raw::sync()],
                    );
                }
            }
        }),
        case("more parameters and formats than there are", |_, client, said| {
            say(client, said, &[raw::parse("n", WHO, &[25, 25, 25]), raw::sync()]);
            let bodies: [&[u8]; 5] = [
                b"\0n\0\0\x01\0\x09\0\0\0\0",
                b"\0n\0\xff\xff\0\0\0\0",
                b"\0n\0\0\0\x7f\xff\0\0",
                b"\0n\0\0\0\0\x01\x80\0\0\0\0\0",
                b"\0n\0\0\0\0\0\0\x03\0\x07\0\0\0\x01 and more",
            ];
            for body in bodies {
                say(
                    client,
                    said,
                    &[
                        raw::message(b'B', body),
                        raw::execute("", 0),
                        run(VAULT),
                        raw::sync(),
                    ],
                );
            }
            exploit(client, said);
        }),
        case("negative limits and odd kinds", |_, client, said| {
            say(
                client,
                said,
                &[
                    raw::parse("n", TITLES, &[]),
                    raw::bind("p", "n", &[]),
                    raw::execute("p", u32::MAX),
                    raw::sync(),
                ],
            );
            for kind in ['\0', 's', 'p', 'X'] {
                say(client, said, &[raw::describe(kind, "n"), run(VAULT), raw::sync()]);
                say(client, said, &[raw::close(kind, "n"), run(VAULT), raw::sync()]);
            }
            exploit(client, said);
        }),
        case("prepared by name, run by other words", |_, client, said| {
            say(client, said, &[raw::query("PREPARE n (text) AS SELECT $1")]);
            for argument in [
                "set_config('role', 'member', true)",
                "(SELECT secret FROM vault)",
                "(SELECT string_agg(title, ',') FROM todos)",
                "U&\"set\\005fconfig\"('role', 'member', true)",
                "('SELECT set_config(''role'', ''member'', false)::tsvector'::text).ts_stat::text",
            ] {
                say(client, said, &[raw::query(&format!("EXECUTE n({argument})"))]);
                say(
                    client,
                    said,
                    &[run(&format!("EXECUTE n({argument})")), run(WHO), raw::sync()],
                );
            }
            exploit(client, said);
        }),
    ]
}

fn pipelines() -> Vec<WireCase> {
    vec![
        case("commit within a pipeline", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            say(
                client,
                said,
                &[run("COMMIT"), run(WHO), run(TITLES), run(VAULT), raw::sync()],
            );
        }),
        case("commit within a pipeline, work after each", |_, client, said| {
            let parts = [
                run("BEGIN"),
                run(WHO),
                run("COMMIT"),
                run(WHO),
                run("ROLLBACK"),
                run(VAULT),
                raw::sync(),
            ];
            say(client, said, &parts);
        }),
        case("chained within a pipeline", |_, client, said| {
            say(
                client,
                said,
                &[
                    run("BEGIN"),
                    run("COMMIT AND CHAIN"),
                    run(WHO),
                    run(VAULT),
                    raw::sync(),
                ],
            );
            say(
                client,
                said,
                &[run("ROLLBACK AND CHAIN"), run(WHO), run(VAULT), raw::sync()],
            );
        }),
        case("two queries in one packet", |_, client, said| {
            client.send(
                &[
                    raw::query("BEGIN"),
                    raw::query("COMMIT"),
                    raw::query(VAULT),
                    raw::query(WHO),
                ]
                .concat(),
            );
            listen(client, 4, said);
        }),
        case("a Query in a pipeline without Sync", |_, client, said| {
            client.send(
                &[
                    run("SELECT 1"),
                    raw::query("COMMIT"),
                    raw::query(VAULT),
                    raw::sync(),
                ]
                .concat(),
            );
            client.set_patience(Duration::from_secs(2));
            listen(client, 3, said);
        }),
        case("a failed Parse, then a Query without Sync", |_, client, said| {
            client.send(
                &[
                    raw::parse("", "SELEKT", &[]),
                    raw::query("COMMIT"),
                    raw::query(VAULT),
                ]
                .concat(),
            );
            client.set_patience(Duration::from_secs(2));
            listen(client, 2, said);
            say(client, said, &[raw::sync()]);
        }),
        case("a failed pipeline, then the next", |_, client, said| {
            let failing = [
                run("BEGIN"),
                run("SELECT 1/0"),
                run("COMMIT"),
                run(VAULT),
                raw::sync(),
            ];
            let next = [run(WHO), run(VAULT), raw::sync()];
            client.send(
                &[
                    failing.concat(),
                    next.concat(),
                    run("ROLLBACK"),
                    run(WHO),
                    raw::sync(),
                ]
                .concat(),
            );
            listen(client, 3, said);
        }),
        case("a portal that commits, executed late", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            let parts = [
                raw::parse("c", "COMMIT", &[]),
                raw::bind("later", "c", &[]),
                run(WHO),
                raw::sync(),
            ];
            say(client, said, &parts);
            say(
                client,
                said,
                &[raw::execute("later", 0), run(WHO), run(VAULT), raw::sync()],
            );
        }),
        case("a portal that rolls back, executed twice", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            say(
                client,
                said,
                &[
                    raw::parse("c", "ROLLBACK", &[]),
                    raw::bind("later", "c", &[]),
                    raw::sync(),
                ],
            );
            let parts = [
                raw::execute("later", 0),
                run(VAULT),
                raw::execute("later", 0),
                run(WHO),
                raw::sync(),
            ];
            say(client, said, &parts);
        }),
        case("a portal without end, then commit", |_, client, said| {
            let series = "SELECT generate_series(1, 1000)";
            let parts = [
                raw::parse("s", series, &[]),
                raw::bind("p", "s", &[]),
                raw::execute("p", 1),
                raw::flush(),
            ];
            client.send(&parts.concat());
            say(client, said, &[run("COMMIT"), run(VAULT), run(WHO), raw::sync()]);
            say(client, said, &[raw::execute("p", 1), raw::sync()]);
        }),
        case(
            "a statement prepared as oneself, run after commit",
            |_, client, said| {
                say(client, said, &[raw::parse("v", VAULT, &[]), raw::sync()]);
                say(
                    client,
                    said,
                    &[
                        run("BEGIN"),
                        run("COMMIT"),
                        raw::bind("", "v", &[]),
                        raw::execute("", 0),
                        raw::sync(),
                    ],
                );
            },
        ),
        case("a thousand commits", |_, client, said| {
            let commits = run("COMMIT").repeat(1000);
            say(client, said, &[commits, run(WHO), run(VAULT), raw::sync()]);
        }),
        case("Parse and Flush, then a Query", |_, client, said| {
            client.send(
                &[
                    raw::parse("", "COMMIT", &[]),
                    raw::flush(),
                    raw::query(WHO),
                    raw::sync(),
                ]
                .concat(),
            );
            client.set_patience(Duration::from_secs(2));
            listen(client, 2, said);
        }),
        case("a savepoint across Syncs", |_, client, said| {
            let first = [run("BEGIN"), run("SAVEPOINT a"), run("SELECT 1/0"), raw::sync()];
            say(client, said, &first);
            say(
                client,
                said,
                &[run("ROLLBACK TO a"), run(WHO), run(VAULT), raw::sync()],
            );
        }),
        case("a savepoint before anything else", |_, client, said| {
            let parts = [
                run("BEGIN"),
                run("SAVEPOINT a"),
                run("ROLLBACK TO a"),
                run(WHO),
                run(TITLES),
                raw::sync(),
            ];
            say(client, said, &parts);
        }),
        case("an SQL cursor by a portal's name", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            say(client, said, &[raw::query("DECLARE x CURSOR FOR SELECT 1")]);
            say(
                client,
                said,
                &[raw::execute("x", 0), run(WHO), run(TITLES), raw::sync()],
            );
        }),
        case(
            "CALL that ends the transaction, in a pipeline",
            |_, client, said| {
                let parts = [run("CALL ends_transaction()"), run(WHO), run(VAULT), raw::sync()];
                say(client, said, &parts);
                say(
                    client,
                    said,
                    &[run(WHO), run("CALL ends_transaction()"), run(VAULT), raw::sync()],
                );
            },
        ),
    ]
}

fn copies() -> Vec<WireCase> {
    vec![
        case("statements behind COPY FROM STDIN", |_, client, said| {
            say(
                client,
                said,
                &[raw::query(
                    "COPY scratch_in FROM STDIN; COMMIT; SELECT secret FROM vault",
                )],
            );
            exploit(client, said);
        }),
        case("a function in the WHERE of COPY", |_, client, said| {
            let sql = "COPY scratch_in (run, n) FROM STDIN WHERE set_config('role', 'member', false) = ''";
            say(client, said, &[raw::query(sql)]);
            say(client, said, &[run(sql), raw::sync()]);
            exploit(client, said);
        }),
        case("a Query within COPY", |_, client, said| {
            client.send(&raw::query("COPY scratch_in FROM STDIN"));
            let parts = [
                raw::query("SET ROLE member"),
                raw::query(VAULT),
                raw::message(b'f', b"x\0"),
            ];
            client.send(&parts.concat());
            client.set_patience(Duration::from_secs(2));
            listen(client, 3, said);
            exploit(client, said);
        }),
        case("Sync and Flush within COPY", |_, client, said| {
            client.send(&raw::query("COPY scratch_in FROM STDIN"));
            client.send(&[raw::sync(), raw::flush(), raw::sync(), raw::message(b'c', &[])].concat());
            client.set_patience(Duration::from_secs(2));
            listen(client, 3, said);
            exploit(client, said);
        }),
        case("a pipeline within COPY", |_, client, said| {
            client.send(&raw::query("COPY scratch_in FROM STDIN"));
            let parts = [
                run("COMMIT"),
                run(VAULT),
                raw::sync(),
                raw::message(b'f', b"x\0"),
                raw::sync(),
            ];
            client.send(&parts.concat());
            client.set_patience(Duration::from_secs(2));
            listen(client, 3, said);
            exploit(client, said);
        }),
        case("copy data outside of COPY", |_, client, said| {
            let parts = [
                raw::message(b'd', b"1\t2\n"),
                raw::message(b'c', &[]),
                raw::message(b'f', b"x\0"),
            ];
            client.send(&parts.concat());
            exploit(client, said);
        }),
        case("copy as somebody else", |_, client, said| {
            let columns = "COPY todos (tenant, owner, title) FROM STDIN";
            client.send(&raw::query(columns));
            client.send(
                &[
                    raw::message(b'd', b"globex\tbob\tforged\n"),
                    raw::message(b'c', &[]),
                ]
                .concat(),
            );
            client.set_patience(Duration::from_secs(2));
            listen(client, 1, said);
            exploit(client, said);
        }),
    ]
}

fn vanishings() -> Vec<WireCase> {
    vec![
        case("gone within a transaction", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            say(client, said, &[raw::query("UPDATE todos SET title = 'attack'")]);
            say(client, said, &[raw::query("SET LOCAL statement_timeout = 1")]);
        }),
        case("gone within a failed transaction", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            say(client, said, &[raw::query("SELECT 1/0")]);
        }),
        case("gone with a result unread", |_, client, _| {
            client.send(&raw::query(
                "SELECT 'WHO:nobody', repeat('x', 1000) FROM generate_series(1, 100000)",
            ));
            std::thread::sleep(Duration::from_millis(50));
        }),
        case("gone with a pipeline unread", |_, client, _| {
            client.send(&[run("SELECT 'WHO:nobody'").repeat(200), raw::sync()].concat());
        }),
        case("gone without a Sync", |_, client, _| {
            client.send(&[run("BEGIN"), run("SELECT 1"), raw::flush()].concat());
            std::thread::sleep(Duration::from_millis(50));
        }),
        case("gone within a message", |_, client, _| {
            let query = raw::query("SELECT 'half a message'");
            client.send(&query[..query.len() / 2]);
        }),
        case("gone within COPY in", |_, client, _| {
            client.send(
                &[
                    raw::query("COPY scratch_in FROM STDIN"),
                    raw::message(b'd', b"attack\t"),
                ]
                .concat(),
            );
            std::thread::sleep(Duration::from_millis(50));
        }),
        case("gone within COPY out", |_, client, _| {
            client.send(&raw::query(
                "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT",
            ));
            std::thread::sleep(Duration::from_millis(50));
        }),
        case("gone while a statement runs", |_, client, _| {
            client.send(&raw::query("SELECT pg_sleep(0.5), 'WHO:nobody'"));
            std::thread::sleep(Duration::from_millis(50));
        }),
        case("gone with a lock of the transaction", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            say(client, said, &[raw::query("SELECT pg_advisory_xact_lock(4242)")]);
        }),
        case("gone with half a close", |_, client, said| {
            say(client, said, &[raw::query("BEGIN")]);
            client.half_close();
        }),
        case("settings of every kind, then gone", |_, client, said| {
            for sql in [
                "SET statement_timeout = 1234",
                "SET TimeZone = 'Asia/Kathmandu'",
                "SET DateStyle = 'German'",
                "SET application_name = 'attack'",
                "SET enable_seqscan = off",
                "SET extra_float_digits = 0",
            ] {
                say(client, said, &[raw::query(sql)]);
            }
            say(client, said, &[raw::query(WHO)]);
        }),
        case("prepared under drivers' names, then gone", |_, client, said| {
            for name in [
                "S_1",
                "_pg3_0",
                "__asyncpg_stmt_1__",
                "sqlx_s_1",
                "lrupsc_1_0",
                "stmtcache_1",
            ] {
                say(
                    client,
                    said,
                    &[raw::parse(name, "SELECT 'WHO:nobody'", &[]), raw::sync()],
                );
            }
        }),
    ]
}
