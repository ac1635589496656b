//! Many messages before an answer is awaited: batches, several Syncs, errors and transaction ends inside.

use crate::support::people::alice;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{bind, execute, parse, query, sync};
use crate::{ALICE, proxied, same_as_postgres};

#[test]
fn several_syncs_in_one_packet() {
    same_as_postgres("syncs", include_str!("../traces/syncs.trace"));
}

#[test]
fn an_error_skips_to_the_sync_and_undoes_the_batch() {
    same_as_postgres("skip", include_str!("../traces/skip.trace"));
}

/// A refusal of our own must look the same: it skips, it undoes, it counts once.
#[test]
fn an_error_comes_without_a_sync() {
    same_as_postgres("unasked", include_str!("../traces/unasked.trace"));
}

#[test]
fn a_refused_statement_in_a_batch() {
    proxied("refused", include_str!("../traces/refused.trace"));
}

#[test]
fn a_transaction_that_ends_inside_a_batch() {
    same_as_postgres("ends", include_str!("../traces/ends.trace"));
}

#[test]
fn a_transaction_left_open_by_a_batch() {
    same_as_postgres("open", include_str!("../traces/open.trace"));
}

#[test]
fn several_queries_in_one_packet() {
    same_as_postgres("queries", include_str!("../traces/queries.trace"));
}

/// After an error the server ignores everything up to Sync, a Query too: nothing may run unbound there.
#[test]
fn a_query_inside_a_failed_batch_is_skipped() {
    same_as_postgres("skipped-query", include_str!("../traces/skipped-query.trace"));
}

#[test]
fn strings_of_several_statements() {
    same_as_postgres("strings", include_str!("../traces/strings.trace"));
}

/// Nothing of a string runs if a part of it is refused.
#[test]
fn a_string_with_a_refused_part_runs_not_at_all() {
    proxied("refused-part", include_str!("../traces/refused-part.trace"));
}

#[test]
fn one_big_batch() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    let count = 20_000_usize;
    let mut packet = parse("s", "SELECT $1::int, who()", &[]);
    for n in 0..count {
        packet.extend(bind("", "s", &[Some(n.to_string().as_bytes())]));
        packet.extend(execute("", 0));
    }
    packet.extend(sync());
    // Nothing is read while it is sent: the proxy must take it all, or push back without a deadlock; a
    // second thread reads so that pushing back is allowed.
    let rows = std::thread::scope(|scope| {
        let mut writer = client.second_half();
        scope.spawn(move || writer.send(&packet));
        client
            .until_ready()
            .into_iter()
            .filter(|frame| frame.tag == b'D')
            .map(|frame| frame.row())
            .collect::<Vec<_>>()
    });
    assert_eq!(rows.len(), count);
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row, &[Some(n.to_string()), Some(ALICE.to_owned())]);
    }
}

#[test]
fn many_syncs_in_one_packet() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    let packet: Vec<u8> = (0..500).flat_map(|n| query(&format!("SELECT {n}"))).collect();
    client.send(&packet);
    for n in 0..500 {
        let row = client
            .until_ready()
            .into_iter()
            .find(|frame| frame.tag == b'D')
            .unwrap()
            .row();
        assert_eq!(row, [Some(n.to_string())]);
    }
}

/// More messages in one batch than replies may be outstanding, most of them without rows, so that the server has
/// little to say; the client reads nothing before it has sent it all.
#[test]
fn a_batch_of_many_thousand_messages() {
    const ROUNDS: usize = 20_000;
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = stack.login(&alice());
    let mut batch = parse("s", "SELECT who() WHERE $1::int % 1000 = 0", &[]);
    for n in 0..ROUNDS {
        batch.extend(bind("", "s", &[Some(n.to_string().as_bytes())]));
        batch.extend(execute("", 0));
    }
    batch.extend(sync());
    let mut sender = client.second_half();
    let sending = std::thread::spawn(move || sender.send(&batch));
    let frames = client.until_ready();
    sending.join().unwrap();
    let count = |tag| frames.iter().filter(|frame| frame.tag == tag).count();
    assert_eq!(
        (count(b'1'), count(b'2'), count(b'C'), count(b'D')),
        (1, ROUNDS, ROUNDS, ROUNDS / 1000)
    );
    assert_eq!(client.value("SELECT who()"), ALICE);
}
