//! The extended protocol: statements, portals, Describe, Close, Flush.

use serde_json::json;

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, close, describe, execute, flush, parse, sync};
use crate::support::trace::{play, render};
use crate::{ALICE, BOB, proxied, same_as_postgres};

#[test]
fn a_statement_with_parameters() {
    same_as_postgres("parameters", include_str!("../traces/parameters.trace"));
}

#[test]
fn the_unnamed_statement_outlives_its_transaction() {
    same_as_postgres("unnamed", include_str!("../traces/unnamed.trace"));
}

#[test]
fn names_that_do_not_exist() {
    same_as_postgres("unknown", include_str!("../traces/unknown.trace"));
}

#[test]
fn statements_that_are_wrong() {
    same_as_postgres("wrong", include_str!("../traces/wrong.trace"));
}

/// What tokio-postgres sends when a statement is dropped, after all that can have happened to it.
#[test]
fn statements_are_closed() {
    same_as_postgres("closed", include_str!("../traces/closed.trace"));
}

#[test]
fn empty_queries() {
    same_as_postgres("empty", include_str!("../traces/empty.trace"));
}

#[test]
fn portals_with_row_limits() {
    same_as_postgres("portals", include_str!("../traces/portals.trace"));
}

#[test]
fn flush_without_sync() {
    same_as_postgres("flush", include_str!("../traces/flush.trace"));
}

#[test]
fn statements_deallocated_by_sql() {
    for deallocate in [
        "DEALLOCATE s",
        "DEALLOCATE PREPARE s",
        "DEALLOCATE ALL",
        "DISCARD ALL",
    ] {
        let tag = if deallocate.ends_with(" ALL") {
            deallocate
        } else {
            "DEALLOCATE"
        };
        let trace = r#"
            F Parse s "SELECT 1"
            F Sync
            B ParseComplete
            B ReadyForQuery I
            F Query "$DEALLOCATE"
            B CommandComplete "$TAG"
            B ReadyForQuery I
            F Bind "" s
            F Sync
            B ErrorResponse ERROR 26000
            B ReadyForQuery I
            F Parse s "SELECT 2"
            F Bind "" s
            F Execute "" 0
            F Sync
            B ParseComplete
            B BindComplete
            B DataRow 2
            B CommandComplete "SELECT 1"
            B ReadyForQuery I
            "#;
        let trace = trace.replace("$DEALLOCATE", deallocate).replace("$TAG", tag);
        if deallocate == "DISCARD ALL" {
            // Straight on Postgres it would discard the identity of the control's login as well.
            proxied("deallocate", &trace);
        } else {
            same_as_postgres("deallocate", &trace);
        }
    }
}

#[test]
fn names_are_private_to_a_client() {
    let stack = Stack::start(&StackOptions::pool(1));
    let (mut hers, mut his) = (stack.login(&alice()), stack.login(&bob()));
    let prepare = |text: &str| format!("F Parse s \"{text}\"\nF Sync\nB ParseComplete\nB ReadyForQuery I");
    play(&mut hers, &prepare("SELECT 'hers ' || who()"));
    play(&mut his, &prepare("SELECT 'his ' || who()"));
    for _ in 0..3 {
        for (client, answer) in [
            (&mut hers, format!("hers {ALICE}")),
            (&mut his, format!("his {BOB}")),
        ] {
            let trace = format!(
                "F Bind \"\" s\nF Execute \"\" 0\nF Sync\nB BindComplete\nB DataRow \"{answer}\"\n\
                 B CommandComplete \"SELECT 1\"\nB ReadyForQuery I"
            );
            play(client, &trace);
        }
    }
    // What one closes the other still has.
    play(
        &mut hers,
        "F Close S s\nF Sync\nB CloseComplete\nB ReadyForQuery I",
    );
    play(
        &mut his,
        "F Bind \"\" s\nF Sync\nB BindComplete\nB ReadyForQuery I",
    );
    assert_eq!(
        stack
            .try_login(&alice().token(), "acme")
            .map(|_| ())
            .map_err(|why| why.describe()),
        Ok(())
    );
}

/// More statements than one server connection keeps: evicted ones come back by themselves.
#[test]
fn evicted_statements_are_prepared_again() {
    let stack = Stack::start(&StackOptions::pool(1).with("pool.server_prepared_statements = 10"));
    let mut client = stack.login(&alice());
    for n in 0..100 {
        client.send(
            &[
                parse(&format!("s{n}"), &format!("SELECT {n} || who()"), &[]),
                sync(),
            ]
            .concat(),
        );
        assert!(client.until_ready().iter().all(|frame| frame.tag != b'E'));
    }
    for n in (0..100).chain((0..100).rev()) {
        client.send(&[bind("", &format!("s{n}"), &[]), execute("", 0), sync()].concat());
        let frames = client.until_ready();
        assert_eq!(frames[1].row(), [Some(format!("{n}{ALICE}"))]);
    }
    // All in one batch: more than fit at once.
    let batch: Vec<u8> = (0..100)
        .flat_map(|n| [bind("", &format!("s{n}"), &[]), execute("", 0)].concat())
        .collect();
    client.send(&[batch, sync()].concat());
    let rows: Vec<_> = client
        .until_ready()
        .into_iter()
        .filter(|frame| frame.tag == b'D')
        .collect();
    let expected: Vec<_> = (0..100).map(|n| vec![Some(format!("{n}{ALICE}"))]).collect();
    assert_eq!(rows.iter().map(|frame| frame.row()).collect::<Vec<_>>(), expected);
    let held = stack
        .postgres()
        .ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'portcullis_app'");
    assert_ne!(held, ["0"]);
}

/// Longer statements than one server connection keeps, of 1 MiB each: it holds 4 MiB of text, and
/// those that were pushed out come back by themselves. So does one that is longer than all that.
#[test]
fn a_server_connection_keeps_few_long_statements() {
    let stack = Stack::start(&StackOptions::pool(1).with("listen.max_statement_bytes = 8000000"));
    let mut client = stack.login(&alice());
    let padding = |mib: usize| " ".repeat(mib << 20);
    let run = |client: &mut RawClient, n: usize| {
        client.send(&[bind("", &format!("s{n}"), &[]), execute("", 0), sync()].concat());
        let frames = client.until_ready();
        let row = frames.iter().find(|frame| frame.tag == b'D');
        let row = row.unwrap_or_else(|| panic!("{:?}", frames.iter().map(render).collect::<Vec<_>>()));
        assert_eq!(row.row(), [Some(format!("{n}{ALICE}"))]);
    };
    for n in 0..9 {
        let sql = format!("SELECT {n} || who(){}", padding(if n == 8 { 5 } else { 1 }));
        client.send(&[parse(&format!("s{n}"), &sql, &[]), sync()].concat());
        let frames = client.until_ready();
        assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
        run(&mut client, n);
        let kept: usize = client.value("SELECT prepared_bytes()").parse().unwrap();
        assert!(kept <= 4 << 20, "{kept} bytes after {n}");
        assert!(kept > 2 << 20 || !(2..8).contains(&n), "{kept} bytes after {n}");
    }
    for n in (0..9).chain((0..9).rev()) {
        run(&mut client, n);
    }
    // All in one batch.
    let batch: Vec<u8> = (0..9)
        .flat_map(|n| [bind("", &format!("s{n}"), &[]), execute("", 0)].concat())
        .collect();
    client.send(&[batch, sync()].concat());
    let frames = client.until_ready();
    let rows = frames
        .iter()
        .filter(|frame| frame.tag == b'D')
        .map(|frame| frame.row());
    let expected = (0..9).map(|n| vec![Some(format!("{n}{ALICE}"))]);
    assert!(
        rows.eq(expected),
        "{:?}",
        frames.iter().map(render).collect::<Vec<_>>()
    );
}

/// Who changes a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changer {
    /// A trusted role, through the proxy.
    Trusted,
    /// Somebody whom the proxy does not see.
    Elsewhere,
}

impl Changer {
    fn run(self, stack: &Stack, sql: &str) {
        let token = alice().token_with(&[("role", json!("service_role"))]);
        let mut client = match self {
            Self::Trusted => stack.try_login(&token, "acme").unwrap(),
            Self::Elsewhere => stack.postgres().superuser("shop"),
        };
        client.values(sql);
    }
}

/// A table changes under a text that a client has prepared. As on a connection of its own, its statement is
/// stale then and heals by being prepared again; a statement that is prepared after a change that the proxy
/// has seen fits at once.
fn prepare_again_after(table: &str, changer: Changer) {
    let stack = Stack::start(&StackOptions::pool(1));
    changer.run(&stack, &format!("CREATE TABLE {table} (a int)"));
    changer.run(&stack, &format!("GRANT SELECT ON {table} TO authenticated"));
    let text = format!("SELECT * FROM {table}");
    let read = [parse("s", &text, &[]), bind("", "s", &[]), execute("", 0), sync()].concat();
    let again = [bind("", "s", &[]), execute("", 0), sync()].concat();
    let tags = |client: &mut RawClient, messages: &[u8]| -> Vec<u8> {
        client.send(messages);
        client.until_ready().iter().map(|frame| frame.tag).collect()
    };
    let mut first = stack.login(&alice());
    let mut second = stack.login(&alice());
    assert_eq!(tags(&mut first, &read), b"12CZ");
    changer.run(&stack, &format!("ALTER TABLE {table} ADD b int"));
    if changer == Changer::Trusted {
        assert_eq!(tags(&mut second, &read), b"12CZ", "a new statement fits");
    }
    assert_eq!(tags(&mut first, &again), b"EZ", "as on a connection of its own");
    assert_eq!(
        tags(&mut first, &[close('S', "s"), read].concat()),
        b"312CZ",
        "preparing again helps"
    );
    changer.run(&stack, &format!("DROP TABLE {table}"));
}

#[test]
fn statements_fit_a_table_that_a_trusted_role_has_changed() {
    prepare_again_after("altered_inside", Changer::Trusted);
}

#[test]
fn statements_fit_a_table_that_somebody_else_has_changed() {
    prepare_again_after("altered_elsewhere", Changer::Elsewhere);
}

/// A table changes where the proxy does not see it. A statement that somebody has prepared before is prepared anew
/// behind the client's back, if the client learns the new shape.
#[test]
fn stale_statements_heal_where_the_client_learns_the_new_shape() {
    let stack = Stack::start(&StackOptions::pool(1));
    let change = |sql: &str| Changer::Elsewhere.run(&stack, sql);
    change("CREATE TABLE healed (a text)");
    change("INSERT INTO healed VALUES ('a')");
    change("GRANT SELECT ON healed TO authenticated");
    let (mut a, mut b) = (stack.login(&alice()), stack.login(&alice()));
    let sql = "SELECT who(), * FROM healed";
    let parse = |name| parse(name, sql, &[]);
    let run = [bind("", "s", &[]), execute("", 0), sync()].concat();
    let answer = |client: &mut RawClient, messages: &[u8]| -> Vec<String> {
        client.send(messages);
        let frames = client.until_ready();
        frames.iter().map(|frame| render(frame).join(" ")).collect()
    };
    let row = |more: &str| format!("DataRow {}{more}", crate::ALICE);
    let first = answer(&mut a, &[parse("s"), run.clone()].concat());
    assert_eq!(first[2], row(" a"), "{first:?}");

    change("ALTER TABLE healed ADD b text DEFAULT 'b'");
    let fresh = answer(&mut b, &[parse("s"), run.clone()].concat());
    assert_eq!(
        fresh[..3],
        ["ParseComplete".into(), "BindComplete".into(), row(" a b")]
    );

    change("ALTER TABLE healed ADD c text DEFAULT 'c'");
    let described = answer(
        &mut a,
        &[bind("", "s", &[]), describe('P', ""), execute("", 0), sync()].concat(),
    );
    let shape = |columns: &str| format!("RowDescription who {columns}");
    assert_eq!(
        described[..3],
        ["BindComplete".into(), shape("a b c"), row(" a b c")]
    );
    assert_eq!(described[4..], ["ReadyForQuery I"]);

    change("ALTER TABLE healed ADD d int");
    let described = answer(&mut a, &[describe('S', "s"), sync()].concat());
    assert_eq!(
        described,
        [
            "ParameterDescription".into(),
            shape("a b c d"),
            "ReadyForQuery I".into()
        ]
    );

    change("ALTER TABLE healed DROP d");
    let undescribed = answer(&mut a, &run);
    assert!(
        undescribed[0].starts_with("ErrorResponse ERROR 0A000"),
        "{undescribed:?}"
    );

    answer(&mut a, &run);
    change("ALTER TABLE healed DROP c");
    a.values("BEGIN");
    let in_block = answer(&mut a, &[bind("", "s", &[]), describe('P', ""), sync()].concat());
    assert!(
        in_block[0].starts_with("ErrorResponse ERROR 0A000"),
        "{in_block:?}"
    );
    assert_eq!(in_block[1], "ReadyForQuery E");
    a.values("ROLLBACK");

    let gone = answer(&mut b, &run);
    assert_eq!(gone[1], row(" a b"), "prepared anew after the error: {gone:?}");
    change("DROP TABLE healed");
    let gone = answer(&mut b, &[bind("", "s", &[]), describe('P', ""), sync()].concat());
    assert!(gone[0].starts_with("ErrorResponse ERROR 42P01"), "{gone:?}");
    assert_eq!(b.value("SELECT who()"), crate::ALICE);
}

/// What a statement's parameters are is decided when it is parsed. Once it shows that a table has changed elsewhere, whoever
/// prepares a text is told today's types.
#[test]
fn parameters_have_todays_types_once_a_change_has_shown() {
    for stack in crate::stacks_of_one() {
        let change = |sql: &str| Changer::Elsewhere.run(&stack, sql);
        change("CREATE TABLE retyped (a int)");
        change("GRANT ALL ON retyped TO authenticated");
        let types = |client: &mut RawClient| -> Vec<u8> {
            let text = "INSERT INTO retyped VALUES ($1)";
            client.send(&[parse("write", text, &[]), describe('S', "write"), sync()].concat());
            client.until_ready()[1].body.clone()
        };
        let read = [bind("", "read", &[]), execute("", 0), sync()].concat();
        let mut first = stack.login(&alice());
        first.send(&[parse("read", "SELECT * FROM retyped", &[]), read.clone()].concat());
        assert_eq!(first.until_ready().len(), 4);
        for _ in 0..3 {
            assert_eq!(types(&mut stack.login(&alice())), [0, 1, 0, 0, 0, 23]);
        }
        change("ALTER TABLE retyped ALTER a TYPE text");
        first.send(&read);
        assert_eq!(first.until_ready()[0].sqlstate(), "0A000");
        let mut second = stack.login(&alice());
        assert_eq!(types(&mut second), [0, 1, 0, 0, 0, 25]);
        second.send(&[bind("", "write", &[Some(b"x")]), execute("", 0), sync()].concat());
        assert_eq!(
            render(&second.until_ready()[1]),
            ["CommandComplete", "INSERT 0 1"]
        );
        change("DROP TABLE retyped");
    }
}

/// As many parameters as Bind can count, in a statement of almost a megabyte.
#[test]
fn sixty_five_thousand_parameters() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    // With a cast at each it would be more tokens than an end user may send.
    let list: Vec<String> = (1..=65_535).map(|n| format!("${n}")).collect();
    let padding = " ".repeat(200_000);
    let sql = format!("SELECT cardinality(ARRAY[{}]::int[]){padding}", list.join(", "));
    let values = vec![Some(&b"7"[..]); 65_535];
    for name in ["", "many"] {
        client.send(
            &[
                parse(name, &sql, &[]),
                bind("", name, &values),
                execute("", 0),
                sync(),
            ]
            .concat(),
        );
        let frames = client.until_ready();
        let row = frames.iter().find(|frame| frame.tag == b'D');
        let row = row.unwrap_or_else(|| panic!("{:?}", frames.iter().map(render).collect::<Vec<_>>()));
        assert_eq!(row.row(), [Some("65535".to_owned())]);
    }
    assert_eq!(client.value("SELECT who()"), ALICE);
}

/// A function that closes all prepared statements takes ours along: whoever comes next gets another connection.
#[test]
fn statements_that_a_function_has_closed_cost_one_error() {
    for stack in crate::stacks_of_one() {
        stack.postgres().superuser("shop").values(
            "CREATE OR REPLACE FUNCTION close_all_statements() RETURNS void LANGUAGE plpgsql AS \
             $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
        );
        let mut client = stack.login(&alice());
        client.values("SELECT 1");
        client.values("SELECT close_all_statements()");
        assert_eq!(client.sqlstate("SELECT 1"), "26000");
        assert_eq!(client.value("SELECT who()"), crate::ALICE);
        assert_eq!(stack.login(&bob()).value("SELECT who()"), crate::BOB);
    }
}

/// An error that comes ahead of the Sync skips what goes with the Sync, too.
#[test]
fn a_stale_statement_that_fails_at_a_flush_leaves_the_session() {
    for stack in crate::stacks_of_one() {
        let change = |sql: &str| Changer::Elsewhere.run(&stack, sql);
        change("CREATE TABLE flushed (a int)");
        change("GRANT SELECT ON flushed TO authenticated");
        let (mut first, mut client) = (stack.login(&alice()), stack.login(&alice()));
        let prepare = [parse("s", "SELECT * FROM flushed", &[]), describe('S', "s")].concat();
        let run = [bind("", "s", &[]), execute("", 0), sync()].concat();
        // Until the text is one that is known.
        for _ in 0..3 {
            first.send(&[prepare.clone(), run.clone(), close('S', "s"), sync()].concat());
            first.until_ready();
            first.until_ready();
        }
        change("ALTER TABLE flushed ADD b int");
        client.send(&[prepare, flush()].concat());
        let mut answers = std::iter::from_fn(|| Some(client.read().tag));
        assert_eq!(answers.find(|tag| matches!(tag, b'E' | b'T')), Some(b'E'));
        client.send(&run);
        client.until_ready();
        assert_eq!(client.value("SELECT who()"), crate::ALICE);
        change("DROP TABLE flushed");
    }
}
