//! The extended protocol: statements, portals, Describe, Close, Flush.

use serde_json::json;

use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, close, describe, execute, flush, parse, sync};
use crate::support::trace::{play, render};
use crate::{ALICE, BOB, proxied, same_as_postgres};

#[test]
fn a_statement_with_parameters() {
    same_as_postgres(
        "parameters",
        r#"
        F Parse s "SELECT $1::text AS a, $2 AS b, who()" 0 23
        F Describe S s
        F Bind "" s "x y" NULL
        F Describe P ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B ParameterDescription 25 23
        B RowDescription a b who
        B BindComplete
        B RowDescription a b who
        B DataRow "x y" NULL authenticated|alice|acme
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Parse i "INSERT INTO scratch (run, n) VALUES ('$RUN', $1)"
        F Describe S i
        F Bind "" i 7
        F Describe P ""
        F Execute "" 0
        F Close S i
        F Sync
        B ParseComplete
        B ParameterDescription 23
        B NoData
        B BindComplete
        B NoData
        B CommandComplete "INSERT 0 1"
        B CloseComplete
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn the_unnamed_statement_outlives_its_transaction() {
    same_as_postgres(
        "unnamed",
        r#"
        F Parse "" "SELECT $1::int + 1"
        F Sync
        B ParseComplete
        B ReadyForQuery I
        F Describe S ""
        F Sync
        B ParameterDescription 23
        B RowDescription ?column?
        B ReadyForQuery I
        F Bind "" "" 1
        F Execute "" 0
        F Sync
        B BindComplete
        B DataRow 2
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Bind "" "" 41
        F Execute "" 0
        F Sync
        B BindComplete
        B DataRow 42
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query "SELECT 'a simple query takes the unnamed statement away'"
        B RowDescription ?column?
        B DataRow "a simple query takes the unnamed statement away"
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Bind "" "" 1
        F Sync
        B ErrorResponse ERROR 26000
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn names_that_do_not_exist() {
    same_as_postgres(
        "unknown",
        r#"
        F Bind "" nothing
        F Sync
        B ErrorResponse ERROR 26000
        B ReadyForQuery I
        F Describe S nothing
        F Sync
        B ErrorResponse ERROR 26000
        B ReadyForQuery I
        F Describe P nothing
        F Sync
        B ErrorResponse ERROR 34000
        B ReadyForQuery I
        F Execute nothing 0
        F Sync
        B ErrorResponse ERROR 34000
        B ReadyForQuery I
        F Close S nothing
        F Close P nothing
        F Close S ""
        F Close P ""
        F Sync
        B CloseComplete
        B CloseComplete
        B CloseComplete
        B CloseComplete
        B ReadyForQuery I
        F Parse twice "SELECT 1"
        F Parse twice "SELECT 2"
        F Sync
        B ParseComplete
        B ErrorResponse ERROR 42P05
        B ReadyForQuery I
        F Bind "" twice
        F Execute "" 0
        F Close S twice
        F Bind "" twice
        F Sync
        B BindComplete
        B DataRow 1
        B CommandComplete "SELECT 1"
        B CloseComplete
        B ErrorResponse ERROR 26000
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn statements_that_are_wrong() {
    same_as_postgres(
        "wrong",
        r#"
        F Parse s "SELEC 1"
        F Sync
        B ErrorResponse ERROR 42601
        B ReadyForQuery I
        F Bind "" s
        F Sync
        B ErrorResponse ERROR 26000
        B ReadyForQuery I
        F Parse s "SELECT * FROM nothing"
        F Sync
        B ErrorResponse ERROR 42P01
        B ReadyForQuery I
        F Parse s "SELECT 1; SELECT 2"
        F Sync
        B ErrorResponse ERROR 42601
        B ReadyForQuery I
        F Parse s "SELECT $1::int"
        F Bind "" s
        F Sync
        B ParseComplete
        B ErrorResponse ERROR 08P01
        B ReadyForQuery I
        F Bind "" s "no number"
        F Sync
        B ErrorResponse ERROR 22P02
        B ReadyForQuery I
        F Bind "" s 5
        F Execute "" 0
        F Sync
        B BindComplete
        B DataRow 5
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        "#,
    );
}

/// What tokio-postgres sends when a statement is dropped, after all that can have happened to it.
#[test]
fn statements_are_closed() {
    same_as_postgres(
        "closed",
        r#"
        F Parse a "SELECT 1"
        F Sync
        F Close S a
        F Sync
        B ParseComplete
        B ReadyForQuery I
        B CloseComplete
        B ReadyForQuery I
        F Parse a "SELECT 1/0"
        F Describe S a
        F Sync
        B ParseComplete
        B ParameterDescription
        B RowDescription ?column?
        B ReadyForQuery I
        F Bind "" a
        F Execute "" 0
        F Sync
        F Close S a
        F Sync
        B ErrorResponse ERROR 22012
        B ReadyForQuery I
        B CloseComplete
        B ReadyForQuery I
        F Parse a "SELEC"
        F Describe S a
        F Sync
        F Close S a
        F Sync
        B ErrorResponse ERROR 42601
        B ReadyForQuery I
        B CloseComplete
        B ReadyForQuery I
        F Query "BEGIN"
        F Parse a "SELECT 2"
        F Sync
        F Bind "" a
        F Execute "" 0
        F Close S a
        F Parse a "SELECT 3"
        F Bind "" a
        F Execute "" 0
        F Sync
        F Close S a
        F Sync
        F Query "SELECT 1/0"
        F Close S a
        F Sync
        F Query "ROLLBACK"
        F Close S a
        F Sync
        B CommandComplete BEGIN
        B ReadyForQuery T
        B ParseComplete
        B ReadyForQuery T
        B BindComplete
        B DataRow 2
        B CommandComplete "SELECT 1"
        B CloseComplete
        B ParseComplete
        B BindComplete
        B DataRow 3
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        B CloseComplete
        B ReadyForQuery T
        B ErrorResponse ERROR 22012
        B ReadyForQuery E
        B CloseComplete
        B ReadyForQuery E
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        B CloseComplete
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn empty_queries() {
    same_as_postgres(
        "empty",
        r#"
        F Query ""
        B EmptyQueryResponse
        B ReadyForQuery I
        F Query " ; ; -- nothing"
        B EmptyQueryResponse
        B ReadyForQuery I
        F Query "SELECT 1;;"
        B RowDescription ?column?
        B DataRow 1
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Parse "" ""
        F Bind "" ""
        F Describe P ""
        F Execute "" 0
        F Sync
        B ParseComplete
        B BindComplete
        B NoData
        B EmptyQueryResponse
        B ReadyForQuery I
        F Sync
        F Sync
        B ReadyForQuery I
        B ReadyForQuery I
        F Flush
        F Sync
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn portals_with_row_limits() {
    same_as_postgres(
        "portals",
        r#"
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Parse s "SELECT generate_series(1, $1::int) AS n"
        F Bind p s 5
        F Execute p 2
        F Sync
        B ParseComplete
        B BindComplete
        B DataRow 1
        B DataRow 2
        B PortalSuspended
        B ReadyForQuery T
        F Bind q s 1
        F Describe P p
        F Execute p 2
        F Execute q 10
        F Sync
        B BindComplete
        B RowDescription n
        B DataRow 3
        B DataRow 4
        B PortalSuspended
        B DataRow 1
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        F Bind p s 5
        F Sync
        B ErrorResponse ERROR 42P03
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Bind p s 3
        F Execute p 1
        F Execute p 1
        F Close P p
        F Sync
        B BindComplete
        B DataRow 1
        B PortalSuspended
        B DataRow 2
        B PortalSuspended
        B CloseComplete
        B ReadyForQuery I
        F Bind p s 3
        F Execute p 1
        F Sync
        B BindComplete
        B DataRow 1
        B PortalSuspended
        B ReadyForQuery I
        F Execute p 1
        F Sync
        B ErrorResponse ERROR 34000
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn flush_without_sync() {
    same_as_postgres(
        "flush",
        r#"
        F Parse s "SELECT who()"
        F Flush
        B ParseComplete
        F Describe S s
        F Flush
        B ParameterDescription
        B RowDescription who
        F Bind "" s
        F Flush
        B BindComplete
        F Execute "" 0
        F Flush
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        F Bind "" s
        F Execute "" 0
        F Flush
        B BindComplete
        B DataRow authenticated|alice|acme
        B CommandComplete "SELECT 1"
        F Sync
        B ReadyForQuery I
        "#,
    );
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
