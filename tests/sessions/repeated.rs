//! Texts that come again and again by the simple protocol, with `auto_prepare` (`unnamed` has the extended one): whatever the numbers in them, the answers
//! are those of a plain Postgres, and nobody's plan shows anybody else's rows.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::VERSIONS;
use crate::support::people::{alice, bob, carol};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{Frame, RawClient, cancel, query};

/// Proxies that prepare, with a pool of one, before every version there is.
pub(crate) fn stacks() -> impl Iterator<Item = Stack> {
    VERSIONS.into_iter().filter_map(|postgres| {
        Stack::try_start(&StackOptions {
            postgres,
            ..StackOptions::pool(1).with("pool.auto_prepare = true")
        })
    })
}

fn answers(client: &mut RawClient, sql: &str) -> Vec<Frame> {
    client.send(&query(sql));
    client.until_ready()
}

/// What a client can tell of an answer.
pub(crate) fn told(frames: &[Frame]) -> Vec<(char, String)> {
    let told = frames.iter().map(|frame| {
        let body = match frame.tag {
            b'E' | b'N' => "SCMDHPWc"
                .chars()
                .map(|letter| format!("{:?} ", frame.field(letter)))
                .collect(),
            _ => String::from_utf8_lossy(&frame.body).into_owned(),
        };
        (char::from(frame.tag), body)
    });
    told.collect()
}

/// A table of which everybody has rows of their own.
pub(crate) fn make_table(stack: &Stack, table: &str) {
    for sql in [
        format!(
            "CREATE TABLE {table} (tenant text DEFAULT current_tenant(), owner text DEFAULT current_user_id(), n int, body text)"
        ),
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        format!(
            "CREATE POLICY own ON {table} USING (tenant = current_tenant() AND owner = current_user_id())"
        ),
        format!("GRANT ALL ON {table} TO authenticated"),
        format!(
            "CREATE FUNCTION {table}_prepared() RETURNS SETOF text SECURITY DEFINER LANGUAGE sql AS $$ \
             SELECT statement FROM pg_prepared_statements \
             WHERE strpos(statement, '{table}') > 0 AND strpos(statement, '_prepared') = 0 ORDER BY 1 $$"
        ),
    ] {
        stack.postgres().superuser("shop").values(&sql);
    }
}

/// The texts about a table that the one server connection has prepared.
pub(crate) fn prepared(stack: &Stack, table: &str) -> Vec<String> {
    stack
        .login(&carol())
        .values(&format!("SELECT * FROM {table}_prepared()"))
}

/// Takes a table away.
pub(crate) fn drop_table(stack: &Stack, table: &str) {
    let mut owner = stack.postgres().superuser("shop");
    owner.values(&format!("DROP FUNCTION {table}_prepared()"));
    owner.values(&format!("DROP TABLE IF EXISTS {table}"));
}

#[test]
fn answers_are_those_of_postgres_whatever_the_numbers() {
    let shapes = [
        "SELECT n, body FROM repeated WHERE n = # ORDER BY n",
        "SELECT n FROM repeated WHERE n > -# AND (n < # OR NOT n = #) ORDER BY 1 LIMIT # OFFSET #",
        "  SELECT * FROM repeated WHERE n IN (#,#) ; ",
        "SELECT n FROM repeated WHERE n BETWEEN # AND #;",
        "SELECT count(*) FROM repeated WHERE owner = n AND n = #",
        "SELECT nothing FROM repeated WHERE n = # AND n = #",
        "SELECT n FROM repeated WHERE n = # AND # = nothing",
        "SELECT n FROM repeated WHERE n = # AND n LIMIT #",
        "SELECT n FROM repeated WHERE n = # LIMIT -#",
        "UPDATE repeated SET n = n + #, body = # WHERE n = # RETURNING n, body",
        "UPDATE repeated SET n = n * 100000 * # WHERE n > #",
        "INSERT INTO repeated (n, body) VALUES (#, #), (-#, NULL) RETURNING *",
        "INSERT INTO repeated (n, body) VALUES (#, #, #)",
        "DELETE FROM repeated WHERE n = # AND body = #",
        "DELETE FROM repeated WHERE n >= #",
        "SELECT #, n FROM repeated WHERE n = #",
        "SELECT n FROM repeated GROUP BY n HAVING n > # ORDER BY # - n",
        "SELECT n FROM repeated WHERE n = #::smallint",
        "SELECT n FROM repeated WHERE n = # / (n - n)",
        "SELECT n FROM repeated WHERE n = # + n * #",
    ];
    let numbers = [
        "1",
        "2",
        "07",
        "3",
        "12",
        "999999999",
        "2147483647",
        "2147483648",
        "0",
        "5",
        "99999999999999999999",
    ];
    for stack in stacks() {
        make_table(&stack, "repeated");
        let mut clients = [stack.postgres().direct(&alice()), stack.login(&alice())];
        let mut next = numbers.iter().cycle();
        for shape in shapes.iter().cycle().take(shapes.len() * 4) {
            for _ in 0..4 {
                let text = shape.replace('#', "{}");
                let text = text
                    .split("{}")
                    .map(str::to_owned)
                    .reduce(|text, part| text + next.next().unwrap() + &part);
                let text = text.unwrap();
                let [theirs, ours] = clients.each_mut().map(|client| {
                    client.values("DELETE FROM repeated WHERE true");
                    client.values("INSERT INTO repeated (n, body) SELECT i, i FROM generate_series(0, 20) i");
                    told(&answers(client, &text))
                });
                assert_eq!(ours, theirs, "{text}");
            }
        }
        let prepared = prepared(&stack, "repeated");
        let has = |text: &str| prepared.iter().any(|one| one == text);
        assert!(
            has("SELECT n, body FROM repeated WHERE n = $1 ORDER BY n"),
            "{prepared:?}"
        );
        assert!(has("DELETE FROM repeated WHERE true"), "{prepared:?}");
        assert!(
            !prepared
                .iter()
                .any(|one| one.contains("$1::") || one.starts_with("SELECT $1"))
        );
        // Each kind of text is there once, however many numbers there were.
        assert!(prepared.len() <= shapes.len() + 2, "{prepared:?}");
        drop_table(&stack, "repeated");
    }
}

#[test]
fn everybody_sees_their_own_rows_through_the_same_plan() {
    for stack in stacks() {
        make_table(&stack, "repeated_rows");
        let mut clients = [alice(), bob(), carol()].map(|who| {
            let client = stack.login(&who);
            (who.name, client)
        });
        for (name, client) in &mut clients {
            client.values(&format!(
                "INSERT INTO repeated_rows (n, body) VALUES (1, '{name}'), (2, '{name} too')"
            ));
        }
        // Often enough for a generic plan.
        for _ in 0..12 {
            for (name, client) in &mut clients {
                assert_eq!(
                    client.values("SELECT body FROM repeated_rows WHERE n = 1"),
                    std::slice::from_ref(name)
                );
                assert_eq!(
                    client.values("SELECT body FROM repeated_rows WHERE n = 2"),
                    [format!("{name} too")]
                );
                assert_eq!(client.values("SELECT count(*) FROM repeated_rows"), ["2"]);
                assert_eq!(
                    client
                        .values("UPDATE repeated_rows SET n = n + 0 WHERE n >= 1")
                        .len(),
                    0
                );
            }
        }
        let kept = prepared(&stack, "repeated_rows");
        assert!(kept.len() >= 3, "{kept:?}");
        drop_table(&stack, "repeated_rows");
    }
}

#[test]
fn a_table_that_changes_elsewhere_is_not_noticed() {
    for stack in stacks() {
        make_table(&stack, "repeated_shape");
        let change = |sql: &str| stack.postgres().superuser("shop").values(sql);
        let mut client = stack.login(&alice());
        client.values("INSERT INTO repeated_shape (n) VALUES (5)");
        let text = "SELECT * FROM repeated_shape WHERE n = 5";
        let columns = |client: &mut RawClient| answers(client, text)[1].row().len();
        for _ in 0..8 {
            assert_eq!(columns(&mut client), 4);
        }
        assert_eq!(prepared(&stack, "repeated_shape").len(), 1);
        for (column, count) in [("a", 5), ("b", 6), ("c", 7)] {
            change(&format!("ALTER TABLE repeated_shape ADD {column} int"));
            assert_eq!(columns(&mut client), count);
            assert_eq!(columns(&mut client), count);
        }
        change("ALTER TABLE repeated_shape DROP a");
        // Within a block nothing could be sent again: there the text itself is sent.
        client.values("BEGIN");
        assert_eq!(columns(&mut client), 6);
        client.values("COMMIT");
        change("ALTER TABLE repeated_shape ALTER n TYPE text");
        assert_eq!(client.sqlstate(text), "42883");
        change("DROP TABLE repeated_shape");
        assert_eq!(client.sqlstate(text), "42P01");
        drop_table(&stack, "repeated_shape");
    }
}

/// What the server refuses while it plans is refused each time alike, whatever had to make room for the statement.
#[test]
fn what_cannot_be_planned_is_the_same_error_each_time() {
    for postgres in VERSIONS {
        let options = StackOptions {
            postgres,
            ..StackOptions::pool(1)
                .with("pool.auto_prepare = true")
                .with("pool.server_prepared_statements = 2")
        };
        let Some(stack) = Stack::try_start(&options) else {
            continue;
        };
        make_table(&stack, "repeated_plan");
        let mut client = stack.login(&alice());
        for round in 0..8 {
            for text in [
                "SELECT count(*) FROM repeated_plan a FULL JOIN repeated_plan b ON a.n < b.n",
                "SELECT count(*) FROM repeated_plan a FULL JOIN repeated_plan b ON a.n < b.n LIMIT 5",
            ] {
                assert_eq!(client.sqlstate(text), "0A000", "{round}");
            }
            assert_eq!(client.value("SELECT count(*) FROM repeated_plan"), "0");
            assert_eq!(
                client.value("SELECT count(*) FROM repeated_plan WHERE n = 5"),
                "0"
            );
        }
        drop_table(&stack, "repeated_plan");
    }
}

/// A literal is read when the server parses it: `'now'` is another moment each time.
#[test]
fn texts_with_literals_are_read_each_time() {
    for stack in stacks() {
        let mut client = stack.login(&alice());
        for _ in 0..6 {
            assert_eq!(client.value("SELECT 'now'::timestamptz = now()"), "t");
            assert_eq!(client.value("SELECT $$now$$::timestamptz = now()"), "t");
        }
    }
}

/// A cancelled statement is over for its client alone, and is as good as before for the next.
#[test]
fn a_prepared_text_is_cancelled_like_any_other() {
    for stack in stacks() {
        make_table(&stack, "repeated_cancel");
        let mut client = stack.login(&alice());
        client.values("INSERT INTO repeated_cancel (n) VALUES (0), (30)");
        let text = |n: u32| format!("SELECT pg_sleep(n) FROM repeated_cancel WHERE n = {n}");
        for _ in 0..4 {
            assert_eq!(client.values(&text(0)).len(), 1);
        }
        assert_eq!(prepared(&stack, "repeated_cancel").len(), 1);
        client.send(&query(&text(30)));
        thread::sleep(Duration::from_millis(300));
        cancel(stack.port(), &client.cancel_key);
        let frames = client.until_ready();
        let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
        assert_eq!(error.sqlstate(), "57014");
        assert_eq!(client.values(&text(0)).len(), 1);
        let mut other = stack.login(&bob());
        assert_eq!(other.values(&text(30)).len(), 0);
        drop_table(&stack, "repeated_cancel");
    }
}

/// Which policies hold for a role is decided when a plan is made, and PostgreSQL makes none anew for a membership: what a
/// trusted role grants here has the texts prepared again.
#[test]
fn memberships_hold_from_the_next_statement_on() {
    for stack in stacks() {
        make_table(&stack, "repeated_member");
        for sql in [
            "CREATE ROLE repeated_seer",
            "GRANT repeated_seer TO service_role WITH ADMIN OPTION",
            "CREATE POLICY all_of_it ON repeated_member TO repeated_seer USING (true)",
            "INSERT INTO repeated_member VALUES ('other', 'nobody', 1)",
        ] {
            stack.postgres().superuser("shop").values(sql);
        }
        let mut client = stack.login(&alice());
        let mut sees = |expected: &[&str]| {
            for _ in 0..6 {
                assert_eq!(
                    client.values("SELECT owner FROM repeated_member WHERE n = 1"),
                    expected
                );
            }
            assert!(!prepared(&stack, "repeated_member").is_empty());
        };
        let token = alice().token_with(&[("role", json!("service_role"))]);
        let trusted = |sql| drop(stack.try_login(&token, "acme").unwrap().values(sql));
        sees(&[]);
        trusted("GRANT repeated_seer TO authenticated");
        sees(&["nobody"]);
        trusted("REVOKE repeated_seer FROM authenticated");
        sees(&[]);
        drop_table(&stack, "repeated_member");
        stack
            .postgres()
            .superuser("shop")
            .values("DROP ROLE repeated_seer");
    }
}

#[test]
fn nothing_is_prepared_unless_it_is_asked_for() {
    let stack = Stack::start(&StackOptions::pool(1));
    make_table(&stack, "not_repeated");
    let mut client = stack.login(&alice());
    for _ in 0..8 {
        client.values("SELECT n FROM not_repeated WHERE n = 5");
    }
    assert_eq!(prepared(&stack, "not_repeated"), [""; 0]);
    drop_table(&stack, "not_repeated");
}
