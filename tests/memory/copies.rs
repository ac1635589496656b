//! COPY FROM and long values, whole and half sent.

use crate::support::proxy::StackOptions;
use crate::support::raw::{RawClient, message, parse, query, sync};
use crate::{MIB, besiege, head, outcome};

#[test]
fn copy_data_half_sent_and_floods() {
    besiege(StackOptions::pool(8), |siege| {
        let mut sessions: Vec<RawClient> = (0..6).map(|_| siege.attacker()).collect();
        for (number, client) in sessions.iter_mut().enumerate() {
            client.send(&query("COPY scratch_in (run, n, body) FROM STDIN"));
            let answer = client.read();
            assert_eq!(answer.tag, b'G', "{answer:?}");
            let rows = "memory\t1\tx\n".repeat(50_000);
            if number % 2 == 0 {
                // A message that never ends.
                client.send(&head(b'd', 500 * MIB));
                for _ in 0..20 {
                    client.send(rows.as_bytes());
                }
            } else {
                for _ in 0..20 {
                    client.send(&message(b'd', rows.as_bytes()));
                }
                client.send(&message(b'f', b"enough\0"));
                // By the client, unless the same row twice was noticed first.
                assert!(matches!(outcome(client).as_str(), "57014" | "23505"));
            }
        }
        drop(sessions);
    });
}

#[test]
fn values_half_sent() {
    besiege(StackOptions::pool(8), |siege| {
        let mut sessions: Vec<RawClient> = (0..6).map(|_| siege.attacker()).collect();
        for client in &mut sessions {
            client.send(&parse("", "SELECT length($1::text)", &[]));
            client.send(&head(b'B', 200 * MIB));
            // No names, no formats, one value of nearly all that.
            client.send(&[0, 0, 0, 0, 0, 1]);
            client.send(&u32::try_from(200 * MIB - 12).unwrap().to_be_bytes());
            client.send(&vec![b'x'; 8 * MIB]);
        }
        drop(sessions);
        // Whole, a long value passes.
        let mut client = siege.attacker();
        let value = "x".repeat(20 * MIB);
        client.send(&parse("", "SELECT length($1::text)", &[]));
        client.send(&crate::support::raw::bind("", "", &[Some(value.as_bytes())]));
        client.send(&[crate::support::raw::execute("", 0), sync()].concat());
        assert_eq!(outcome(&mut client), "ok");
        drop(client);
    });
}
