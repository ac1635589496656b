//! The ceilings of a policy hold for a transaction, whatever it is cut into and by whatever way its data comes.

use crate::policies::{Bed, ask, beds, beds_in, extended};
use crate::support::people::{alice, bob};
use crate::support::proxy::Stack;
use crate::support::raw::{RawClient, bind, close, execute, parse, query, sync};
use crate::{ALICE, BOB};

/// Functions that tell what they are given by a notice for each row, and by the text of an error.
const TELLING: &str = "\
    CREATE OR REPLACE FUNCTION public.tell_by_notices(n int) RETURNS int LANGUAGE plpgsql AS $$ \
    BEGIN FOR i IN 1..n LOOP RAISE NOTICE 'row %', i; END LOOP; RETURN n; END $$; \
    CREATE OR REPLACE FUNCTION public.tell_by_error(n int) RETURNS int LANGUAGE plpgsql AS $$ \
    BEGIN RAISE 'told' USING DETAIL = repeat('x', n); END $$";

fn telling(keys: &str) -> Vec<Bed> {
    let beds = beds(keys);
    for bed in &beds {
        bed.stack.postgres().superuser("shop").values(TELLING);
    }
    beds
}

fn rows(n: usize) -> String {
    format!("SELECT g FROM generate_series(1, {n}) g")
}

/// Runs what comes inside a block, each as a message of its own; the answers, with the end of the session.
fn in_block(stack: &Stack, statements: &[&str]) -> Vec<String> {
    let mut client = stack.login(&alice());
    assert_eq!(ask(&mut client, &[query("BEGIN")]), "C ZT");
    let mut answers = Vec::new();
    for sql in statements {
        answers.push(ask(&mut client, &[query(sql)]));
        if answers.last().is_some_and(|answer| answer.ends_with("E53400")) {
            break;
        }
    }
    answers
}

fn assert_next_is_well(stack: &mut Stack) {
    let mut next = stack.login(&bob());
    assert_eq!(next.value("SELECT who()"), BOB);
    drop(next);
    stack.assert_well();
}

#[test]
fn rows_are_counted_until_the_transaction_ends() {
    for Bed { mut stack, .. } in beds("max_rows = 5") {
        let three = rows(3);
        // Statements, and a cursor's pieces.
        assert_eq!(
            in_block(&stack, &[&three, &three]),
            ["T D D D C ZT", "T D D E53400"]
        );
        let declare = format!("DECLARE c CURSOR FOR {}", rows(9));
        let fetch = "FETCH 2 FROM c";
        assert_eq!(
            in_block(&stack, &[&declare, fetch, fetch, fetch]),
            ["C ZT", "T D D C ZT", "T D D C ZT", "T D E53400"]
        );
        // Nothing inside it begins a new count: savepoints, errors, settings.
        let within = [
            "SAVEPOINT a",
            &three,
            "SELECT 1/0",
            "ROLLBACK TO a",
            "SET application_name = 'x'",
            &three,
        ];
        assert_eq!(in_block(&stack, &within).last().unwrap(), "T D D E53400");
        // Portals by turns, in a batch and in a block.
        let mut client = stack.login(&alice());
        let by_turns = |count: usize| {
            let mut batch = vec![
                parse("s", &rows(9), &[]),
                bind("a", "s", &[]),
                bind("b", "s", &[]),
            ];
            batch.extend((0..count).map(|n| execute(if n % 2 == 0 { "a" } else { "b" }, 2)));
            batch.extend([close('S', "s"), sync()]);
            batch
        };
        assert_eq!(ask(&mut client, &by_turns(2)), "1 2 2 D D s D D s 3 ZI");
        assert_eq!(ask(&mut client, &by_turns(3)), "1 2 2 D D s D D s D E53400 ZI");
        // Each Sync ends a transaction, and so does each COMMIT.
        let mut synced = [extended(&three), extended(&three)].concat();
        synced.push(query("SELECT 1"));
        client.send(&synced.concat());
        for _ in 0..3 {
            let frames = client.until_ready();
            assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
        }
        let committed =
            format!("BEGIN; {three}; COMMIT; BEGIN; {three}; COMMIT AND CHAIN; {three}; COMMIT; {three}");
        let answer = ask(&mut client, &[query(&committed)]);
        assert!(!answer.contains('E') && answer.ends_with("ZI"), "{answer}");
        assert_eq!(client.value("SELECT who()"), ALICE);
        drop(client);
        assert_next_is_well(&mut stack);
    }
}

/// A session that keeps its connection keeps cursors beyond their transaction: each fetch counts where it is made.
#[test]
fn cursors_that_are_held_count_where_they_are_read() {
    for Bed { mut stack, .. } in beds_in("session", "max_rows = 5") {
        let mut client = stack.login(&alice());
        let declare = format!("DECLARE c CURSOR WITH HOLD FOR {}", rows(99));
        assert_eq!(ask(&mut client, &[query(&declare)]), "C ZI");
        let fetch = [query("FETCH 3 FROM c")];
        for _ in 0..3 {
            assert_eq!(ask(&mut client, &fetch), "T D D D C ZI");
        }
        assert_eq!(ask(&mut client, &[query("BEGIN")]), "C ZT");
        assert_eq!(ask(&mut client, &fetch), "T D D D C ZT");
        assert_eq!(ask(&mut client, &fetch), "T D D E53400");
        assert_next_is_well(&mut stack);
    }
}

#[test]
fn what_a_function_tells_by_notices_is_counted_as_rows() {
    for Bed { mut stack, .. } in telling("max_rows = 5") {
        let mut client = stack.login(&alice());
        assert_eq!(
            ask(&mut client, &[query("SELECT tell_by_notices(4)")]),
            "T N N N N D C ZI"
        );
        assert_eq!(
            ask(&mut client, &[query("SELECT tell_by_notices(1000)")]),
            "T N N N N N E53400 ZI"
        );
        assert_eq!(
            ask(&mut client, &extended("SELECT tell_by_notices(1000)")),
            "1 2 T N N N N N E53400 ZI"
        );
        assert_eq!(client.value("SELECT who()"), ALICE);
        drop(client);
        assert_next_is_well(&mut stack);
    }
}

/// Whatever a client is sent of 100 kB that a table might hold, by every way there is.
#[test]
fn bytes_are_counted_by_whatever_way_they_come() {
    for Bed { mut stack, .. } in telling("max_row_bytes = 2000") {
        let mut client = stack.login(&alice());
        let received = |client: &mut RawClient, message: &[Vec<u8>]| {
            client.send(&message.concat());
            let frames = client.until_ready();
            let bytes: usize = frames.iter().map(|frame| frame.body.len()).sum();
            let last = frames
                .iter()
                .rev()
                .find(|frame| frame.tag == b'E')
                .map(|frame| frame.sqlstate());
            (bytes, last)
        };
        for sql in [
            "SELECT repeat('x', 100000)",
            "SELECT repeat('x', 100000)::int",
            "SELECT tell_by_error(100000)",
            "SELECT tell_by_notices(10000)",
            "COPY (SELECT repeat('x', 100) FROM generate_series(1, 1000)) TO STDOUT",
            "INSERT INTO scratch (run, n, body) SELECT gen_random_uuid(), g, repeat('x', 100) FROM generate_series(1, 1000) g \
             RETURNING body",
        ] {
            for message in [vec![query(sql)], extended(sql)] {
                let (bytes, last) = received(&mut client, &message);
                assert!(bytes < 4_000, "{sql}: {bytes}");
                assert_eq!(last.as_deref(), Some("53400"), "{sql}");
            }
        }
        // An ordinary error is told as it is, and errors of one transaction add up.
        assert_eq!(
            received(&mut client, &[query("SELECT tell_by_error(900)")])
                .1
                .unwrap(),
            "P0001"
        );
        let mut block = vec!["SAVEPOINT a"];
        block.extend(["SELECT tell_by_error(900)", "ROLLBACK TO a"].repeat(9));
        let answers = in_block(&stack, &block);
        assert!(answers.last().unwrap().ends_with("E53400"), "{answers:?}");
        assert!(answers.len() < 7, "{answers:?}");
        assert_eq!(client.value("SELECT who()"), ALICE);
        drop(client);
        assert_next_is_well(&mut stack);
    }
}
