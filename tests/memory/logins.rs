//! Clients that have not logged in, and sessions without number.

use std::time::Duration;

use crate::support::people::{alice, bob};
use crate::support::proxy::StackOptions;
use crate::support::raw::{RawClient, VERSION_3_0, startup};
use crate::{besiege, head};

#[test]
fn logins_half_sent() {
    besiege(
        StackOptions::pool(4).with("listen.client_login_timeout = 60"),
        |siege| {
            let packet = startup(
                VERSION_3_0,
                &[
                    ("user", "a"),
                    ("database", "acme"),
                    ("options", &"x".repeat(9_000)),
                ],
            );
            let mut sockets = Vec::new();
            for number in 0..700 {
                let mut client = RawClient::connect(siege.stack.port());
                if number % 2 == 0 {
                    client.send(&packet[..packet.len() - 1]);
                } else {
                    client.send(&startup(VERSION_3_0, &[("user", "a"), ("database", "acme")]));
                    assert_eq!(client.read().tag, b'R');
                    client.send(&head(b'p', 16 * 1024));
                    client.send(&vec![b'x'; 16 * 1024 - 1]);
                }
                sockets.push(client);
            }
            // Somebody with an ordinary token is let in all the time, from the same address.
            assert_eq!(siege.attacker().value("SELECT 1"), "1");
            drop(sockets);
        },
    );
}

#[test]
fn sessions_without_number() {
    besiege(StackOptions::pool(4), |siege| {
        let mut sessions = Vec::new();
        let refused = loop {
            match siege.stack.try_login(&alice().token(), "acme") {
                Ok(client) => sessions.push(client),
                Err(why) => break why.sqlstate(),
            }
            assert!(sessions.len() < 3_000);
        };
        assert_eq!(refused, "53200", "after {}", sessions.len());
        assert!(sessions.len() > 1_000, "{}", sessions.len());
        // Another tenant has room.
        assert!(siege.stack.login(&bob()).value("SELECT who()").contains("bob"));
        // Each of them waits with half a message.
        for client in &mut sessions {
            client.send(&head(b'Q', 16_000));
            client.send(&vec![b'-'; 15_000]);
        }
        std::thread::sleep(Duration::from_millis(500));
        drop(sessions);
    });
}
