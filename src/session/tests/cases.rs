//! That the stage shows what it must, and what random scripts have found.

use std::time::Duration;

use super::messages::{bind, close, parse, sync};
use super::player::Theatre;
use super::stage::{Plan, TERMINATE};
use super::trace::{Peer as _, encode_line, play, render};

#[test]
fn clients_of_one_connection_run_as_themselves() {
    let theatre = Theatre::open(Plan::default());
    let (mut hers, mut his) = (theatre.login("alice"), theatre.login("bob"));
    for _ in 0..3 {
        assert_eq!(hers.value("SELECT who()"), "authenticated|alice|acme");
        assert_eq!(his.value("SELECT who()"), "authenticated|bob|globex");
    }
    play(
        &mut hers,
        r#"
        F Query BEGIN
        F Query "SELECT 'alice'"
        F Query COMMIT
        B CommandComplete BEGIN
        B ReadyForQuery T
        B RowDescription ?column?
        B DataRow alice
        B CommandComplete "SELECT 1"
        B ReadyForQuery T
        B CommandComplete COMMIT
        B ReadyForQuery I
        "#,
    );
    assert_eq!(theatre.stage.record.lock().connections, 1);
    assert!(theatre.stage.record.lock().witnessed > 0);
    theatre.assert_well();
}

/// The server ends its connection where a refused statement is made to fail: the client hears that, and not only that its
/// statement is refused, which would leave it with a connection that closes without a word.
#[test]
fn last_words_are_heard_in_the_place_of_a_refusal() {
    let theatre = Theatre::open(Plan::default());
    let mut client = theatre.login("alice");
    play(
        &mut client,
        "F Query BEGIN\nB CommandComplete BEGIN\nB ReadyForQuery T",
    );
    theatre.stage.vex(&[TERMINATE]);
    client.send(&encode_line("Query \"SET ROLE service_role\""));
    let last = render(&client.try_read().expect("the last words"));
    assert_eq!(last[..3], ["ErrorResponse", "FATAL", "57P01"], "{last:?}");
    assert!(client.try_read().is_err(), "the connection is closed");
    drop(client);
    theatre.assert_well();
}

/// What Portcullis answers by itself takes no values, in whichever pieces they come.
#[test]
fn values_that_nothing_takes_are_refused_in_pieces_as_well() {
    let theatre = Theatre::open(Plan::default());
    let mut client = theatre.login("alice");
    for sql in ["", "SET lock_timeout = '7s'"] {
        client.send(&parse("s", sql, &[]));
        let bind = bind("", "s", &[Some(b"7")]);
        for byte in bind.chunks(1).chain([&sync()[..], &close('S', "s"), &sync()]) {
            client.send(byte);
            theatre.pass(Duration::from_millis(1));
        }
        play(
            &mut client,
            "B ParseComplete\nB ErrorResponse ERROR 08P01\nB ReadyForQuery I\nB CloseComplete\nB ReadyForQuery I",
        );
    }
    drop(client);
    theatre.assert_well();
}

/// What Portcullis answers by itself does not get into the middle of a message that comes in pieces.
#[test]
fn a_reply_of_our_own_waits_for_the_end_of_the_servers_message() {
    for piece in 1..40 {
        let theatre = Theatre::open(Plan {
            piece,
            ..Plan::default()
        });
        let mut client = theatre.login("alice");
        play(
            &mut client,
            r#"
            F Parse s "SHOW lock_timeout"
            F Describe S s
            F Query "RESET ALL"
            B ParseComplete
            B ParameterDescription
            B RowDescription lock_timeout
            B CommandComplete RESET
            B ReadyForQuery I
            "#,
        );
        drop(client);
        theatre.assert_well();
    }
}
