//! Texts that come again and again as the unnamed statement of the extended protocol, with `auto_prepare`: the client can
//! tell them from those that a plain Postgres reads each time by nothing but the time it takes.

use crate::repeated::{drop_table, make_table, prepared, stacks, told};
use crate::support::people::{alice, bob, carol};
use crate::support::proxy::Stack;
use crate::support::raw::{Frame, RawClient, bind, describe, execute, flush, parse, sync};

/// What a driver sends for a statement with parameters.
fn run(sql: &str, values: &[&str]) -> Vec<u8> {
    [
        parse("", sql, &[]),
        bind_values(values),
        describe('P', ""),
        execute("", 0),
        sync(),
    ]
    .concat()
}

fn bind_values(values: &[&str]) -> Vec<u8> {
    let values: Vec<_> = values.iter().map(|value| Some(value.as_bytes())).collect();
    bind("", "", &values)
}

fn answers(client: &mut RawClient, messages: &[u8]) -> Vec<Frame> {
    client.send(messages);
    client.until_ready()
}

/// The first column, or the error.
fn column(client: &mut RawClient, messages: &[u8]) -> Result<Vec<String>, String> {
    let frames = answers(client, messages);
    if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
        return Err(error.sqlstate());
    }
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    Ok(rows
        .map(|frame| frame.row()[0].clone().unwrap_or_default())
        .collect())
}

fn change(stack: &Stack, sql: &str) {
    stack.postgres().superuser("shop").values(sql);
}

#[test]
fn answers_are_those_of_postgres_whatever_the_values() {
    let texts: &[(&str, &[&[&str]])] = &[
        (
            "SELECT n, body FROM unnamed WHERE n = $1 ORDER BY n",
            &[&["x"], &["99999999999"], &[], &["1", "2"], &["3"]],
        ),
        (
            "SELECT body FROM unnamed WHERE n = $1 LIMIT $2",
            &[&["1", "5"], &["1", "-5"]],
        ),
        (
            "UPDATE unnamed SET n = n + $1 WHERE n > $2 RETURNING n",
            &[&["2147483647", "2"], &["1", "2"]],
        ),
        (
            "INSERT INTO unnamed (n, body) VALUES ($1, $2)",
            &[&["7", "seven"], &["seven", "7"]],
        ),
        (
            "DELETE FROM unnamed WHERE n >= $1 AND body <> $2",
            &[&["15", "x"]],
        ),
        ("SELECT count(*), 5 FROM unnamed WHERE body = $1", &[&["5"]]),
        ("SELECT 7 / $1 FROM unnamed", &[&["1"], &["0"]]),
        ("SELECT $1 FROM unnamed WHERE n = 5", &[&["5"]]),
        (
            "SELECT 'now'::timestamptz = now() OR n = $1 FROM unnamed",
            &[&["5"]],
        ),
        ("SELECT nothing FROM unnamed WHERE n = $1", &[&["5"]]),
        ("SELECT n FROM unnamed WHERE $1", &[&["t"], &["5"]]),
        ("SELECT n FROM unnamed", &[&[]]),
    ];
    for stack in stacks() {
        make_table(&stack, "unnamed");
        let mut clients = [stack.postgres().direct(&alice()), stack.login(&alice())];
        for _ in 0..5 {
            for (text, values) in texts {
                for values in *values {
                    let [theirs, ours] = clients.each_mut().map(|client| {
                        client.values("DELETE FROM unnamed WHERE true");
                        client.values(
                            "INSERT INTO unnamed (n, body) SELECT i, i FROM generate_series(0, 20) i",
                        );
                        told(&answers(client, &run(text, values)))
                    });
                    assert_eq!(ours, theirs, "{text} {values:?}");
                }
            }
        }
        let prepared = prepared(&stack, "unnamed");
        let has = |text: &str| prepared.iter().filter(|one| *one == text).count();
        assert_eq!(has(texts[0].0), 1, "{prepared:?}");
        assert_eq!(has(texts[2].0), 1, "{prepared:?}");
        assert!(!prepared.iter().any(|one| one.contains('\'')), "{prepared:?}");
        drop_table(&stack, "unnamed");
    }
}

#[test]
fn everybody_sees_their_own_rows_through_the_same_statement() {
    for stack in stacks() {
        make_table(&stack, "unnamed_rows");
        let mut clients = [alice(), bob(), carol()].map(|who| (who.name.clone(), stack.login(&who)));
        for (name, client) in &mut clients {
            client.values(&format!(
                "INSERT INTO unnamed_rows (n, body) VALUES (1, '{name}')"
            ));
        }
        // Often enough for a generic plan.
        for _ in 0..12 {
            for (name, client) in &mut clients {
                let read = run("SELECT body FROM unnamed_rows WHERE n = $1", &["1"]);
                assert_eq!(column(client, &read), Ok(vec![(*name).to_owned()]));
            }
        }
        assert_eq!(prepared(&stack, "unnamed_rows").len(), 1);
        drop_table(&stack, "unnamed_rows");
    }
}

/// A statement that a client names, or has without a name, is read when it is prepared: what tables were before does
/// not show.
#[test]
fn a_table_that_changes_elsewhere_is_as_it_is_now() {
    for stack in stacks() {
        make_table(&stack, "unnamed_shape");
        let mut client = stack.login(&alice());
        client.values("INSERT INTO unnamed_shape (n, body) VALUES (5, '5')");
        let body_of = |n: &str| run("SELECT body FROM unnamed_shape WHERE n = $1", &[n]);
        let all_of = |n: &str| run("SELECT * FROM unnamed_shape WHERE n = $1", &[n]);
        let five = Ok(vec!["5".to_owned()]);
        for _ in 0..6 {
            assert_eq!(column(&mut client, &body_of("5")), five);
            assert_eq!(answers(&mut client, &all_of("5"))[3].row().len(), 4);
        }
        assert_eq!(prepared(&stack, "unnamed_shape").len(), 2);
        change(&stack, "ALTER TABLE unnamed_shape ALTER n TYPE bigint");
        assert_eq!(column(&mut client, &body_of("5000000000")), Ok(vec![]));
        assert_eq!(column(&mut client, &body_of("5")), five);
        change(&stack, "ALTER TABLE unnamed_shape ALTER n TYPE text");
        assert_eq!(column(&mut client, &body_of("five")), Ok(vec![]));
        assert_eq!(column(&mut client, &body_of("5")), five);
        change(&stack, "ALTER TABLE unnamed_shape ADD more int");
        assert_eq!(answers(&mut client, &all_of("5"))[3].row().len(), 5);
        change(&stack, "ALTER TABLE unnamed_shape ALTER n TYPE date USING now()");
        client.values("BEGIN");
        assert_eq!(column(&mut client, &body_of("2020-02-02")), Ok(vec![]));
        client.values("COMMIT");
        change(&stack, "DROP TABLE unnamed_shape");
        assert_eq!(column(&mut client, &body_of("5")), Err("42P01".to_owned()));
        drop_table(&stack, "unnamed_shape");
    }
}

/// What could not be sent again, were it stale, is read by the server as ever.
#[test]
fn what_cannot_be_mended_is_not_kept() {
    for stack in stacks() {
        make_table(&stack, "unnamed_bulk");
        let sql = "SELECT n FROM unnamed_bulk WHERE body = $1";
        let mut client = stack.login(&alice());
        client.values("INSERT INTO unnamed_bulk (n, body) VALUES (5, 'five')");
        let five = Ok(vec!["5".to_owned()]);
        let warm = |client: &mut RawClient| {
            for _ in 0..5 {
                assert_eq!(column(client, &run(sql, &["five"])), five);
            }
            assert!(prepared(&stack, "unnamed_bulk").iter().any(|one| one == sql));
        };
        let retype = |to: &str| change(&stack, &format!("ALTER TABLE unnamed_bulk ALTER n TYPE {to}"));
        warm(&mut client);
        // Long values.
        retype("bigint");
        assert_eq!(column(&mut client, &run(sql, &[&"x".repeat(10_000)])), Ok(vec![]));
        // Prepared in one batch and run in another, with somebody else between.
        warm(&mut client);
        answers(
            &mut client,
            &[parse("", sql, &[]), describe('S', ""), sync()].concat(),
        );
        assert_eq!(stack.login(&bob()).values("SELECT n FROM unnamed_bulk").len(), 0);
        retype("int");
        let again = [bind_values(&["five"]), execute("", 0), sync()].concat();
        for _ in 0..3 {
            assert_eq!(column(&mut client, &again), five);
        }
        retype("bigint");
        assert_eq!(
            column(&mut client, &again),
            Err("0A000".to_owned()),
            "as without the proxy: it was read before"
        );
        // Behind another statement of the batch.
        warm(&mut client);
        retype("int");
        let ahead = [parse("", "SELECT 5", &[]), bind_values(&[]), execute("", 0)].concat();
        let both = column(&mut client, &[ahead, run(sql, &["five"])].concat());
        assert_eq!(both.map(|rows| rows.len()), Ok(2));
        // Within a block.
        warm(&mut client);
        client.values("BEGIN");
        retype("bigint");
        assert_eq!(column(&mut client, &run(sql, &["five"])), five);
        client.values("COMMIT");
        drop_table(&stack, "unnamed_bulk");
    }
}

/// Drivers that ask for a description ahead of the values, or bind several times.
#[test]
fn batches_of_all_kinds() {
    for stack in stacks() {
        make_table(&stack, "unnamed_batch");
        let (sql, other) = (
            "SELECT body FROM unnamed_batch WHERE n = $1",
            "SELECT n FROM unnamed_batch WHERE body = $1",
        );
        let write = "UPDATE unnamed_batch SET n = n + $1 WHERE n >= 100";
        let mut clients = [stack.postgres().direct(&alice()), stack.login(&alice())];
        clients[1].values("INSERT INTO unnamed_batch (n, body) VALUES (1, 'one'), (2, 'two'), (100, 'more')");
        for sql in [sql, other, write] {
            for _ in 0..4 {
                answers(&mut clients[1], &run(sql, &["1"]));
            }
        }
        let value = |value: &str| [bind_values(&[value]), execute("", 0)].concat();
        let batches: &[&[Vec<u8>]] = &[
            &[parse("", sql, &[]), value("1"), value("2")],
            &[value("2"), describe('S', "")],
            &[
                parse("", sql, &[]),
                value("1"),
                parse("", other, &[]),
                value("two"),
            ],
            &[value("one")],
            &[
                parse("", sql, &[]),
                value("x"),
                parse("", other, &[]),
                value("two"),
            ],
            &[value("1")],
            &[parse("", sql, &[]), parse("named", other, &[]), value("1")],
            &[
                parse("", sql, &[]),
                value("1"),
                parse("", "SELECT nonsense FROM", &[]),
            ],
            &[value("1")],
            // What has run before the value that does not fit is taken back, and not run again.
            &[parse("", write, &[]), value("7"), value("x")],
            &[parse("", write, &[]), value("x"), value("7")],
            &[parse("", write, &[]), value("7"), execute("", 0)],
            &[parse("", sql, &[23]), value("1")],
            &[parse("", sql, &[25]), value("1")],
        ];
        for batch in batches {
            let batch = [batch.concat(), sync()].concat();
            let [theirs, ours] = clients.each_mut().map(|client| told(&answers(client, &batch)));
            assert_eq!(ours, theirs);
        }
        let more = "SELECT n FROM unnamed_batch WHERE body = 'more'";
        assert_eq!(
            clients[1].value(more),
            "104",
            "by the four alone that have succeeded"
        );
        // With a Flush in the middle.
        let [theirs, ours] = clients.each_mut().map(|client| {
            client.send(&[parse("", sql, &[]), describe('S', ""), flush()].concat());
            let described: Vec<Frame> = (0..3).map(|_| client.read()).collect();
            let rows = answers(client, &[value("1"), sync()].concat());
            (told(&described), told(&rows))
        });
        assert_eq!(ours, theirs);
        drop_table(&stack, "unnamed_batch");
    }
}

/// An error that says nothing of types is the client's at once: what has run out of time is not tried again.
#[test]
fn what_runs_out_of_time_is_not_tried_again() {
    for stack in stacks() {
        make_table(&stack, "unnamed_slow");
        for sql in [
            "CREATE SEQUENCE unnamed_attempts",
            // A value that does not change is reckoned when the plan is made, at Bind.
            "CREATE FUNCTION unnamed_nap(s int) RETURNS int IMMUTABLE SECURITY DEFINER LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM nextval('unnamed_attempts'); PERFORM pg_sleep(s); RETURN s; END $$",
        ] {
            change(&stack, sql);
        }
        let nap = |s| run("SELECT n FROM unnamed_slow WHERE n = unnamed_nap($1)", &[s]);
        let attempts = || -> u64 {
            let mut counter = stack.postgres().superuser("shop");
            counter
                .value("SELECT last_value FROM unnamed_attempts")
                .parse()
                .unwrap()
        };
        let mut clients = [stack.postgres().direct(&alice()), stack.login(&alice())];
        let [theirs, ours] = clients.each_mut().map(|client| {
            for _ in 0..4 {
                assert_eq!(column(client, &nap("0")), Ok(vec![]));
            }
            client.values("SET statement_timeout = 300");
            let before = attempts();
            assert_eq!(column(client, &nap("30")), Err("57014".to_owned()));
            attempts() - before
        });
        assert!(theirs > 0);
        assert_eq!(ours, theirs);
        assert_eq!(prepared(&stack, "unnamed_slow").len(), 1);
        change(&stack, "DROP FUNCTION unnamed_nap");
        change(&stack, "DROP SEQUENCE unnamed_attempts");
        drop_table(&stack, "unnamed_slow");
    }
}
