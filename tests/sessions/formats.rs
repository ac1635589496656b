//! Answers that must be PostgreSQL's own to the byte: binary formats, Describe ahead of Bind, statements of several
//! MiB. Each batch goes to the server itself and through the proxy, and the answers are compared.

use crate::support::people::alice;
use crate::support::postgres::cluster;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{Frame, RawClient, bind, close, describe, execute, message, parse, query, sync};
use crate::{ALICE, VERSIONS};

/// All that can be told apart in an answer. Of an error what a user sees: its source line is the server's affair.
fn told(frames: &[Frame]) -> Vec<(char, Vec<u8>)> {
    let fields = |frame: &Frame| {
        let fields = ['V', 'C', 'M', 'P'].map(|letter| frame.field(letter).unwrap_or_default());
        fields.join("|").into_bytes()
    };
    let told = frames.iter().map(|frame| match frame.tag {
        b'E' | b'N' => (char::from(frame.tag), fields(frame)),
        tag => (char::from(tag), frame.body.clone()),
    });
    told.collect()
}

/// Sends each batch, which ends in one ReadyForQuery, both ways. `tags` are those of the answer.
fn same_bytes(batches: &[(&str, Vec<u8>)]) {
    for version in VERSIONS {
        let Some(postgres) = cluster(version) else {
            continue;
        };
        let options = StackOptions {
            postgres: version,
            ..StackOptions::pool(1)
        };
        let mut stack = Stack::start(&options);
        let (mut direct, mut through) = (postgres.direct(&alice()), stack.login(&alice()));
        for (at, (tags, batch)) in batches.iter().enumerate() {
            let [directly, through] = [&mut direct, &mut through].map(|client: &mut RawClient| {
                client.send(batch);
                told(&client.until_ready())
            });
            let got: String = directly.iter().map(|(tag, _)| *tag).collect();
            assert_eq!(got, *tags, "batch {at} to the server itself, {version:?}");
            assert!(
                directly == through,
                "batch {at}, {version:?}:\ndirectly {}\nthrough  {}",
                shortened(&directly),
                shortened(&through)
            );
        }
        assert_eq!(through.value("SELECT who()"), ALICE);
        stack.assert_well();
    }
}

fn shortened(told: &[(char, Vec<u8>)]) -> String {
    let frames = told.iter().map(|(tag, body)| {
        format!(
            "{tag} {:?}",
            String::from_utf8_lossy(&body[..body.len().min(200)])
        )
    });
    frames.collect::<Vec<_>>().join("\n         ")
}

/// A Bind with format codes of its own for parameters and results.
fn bind_as(
    portal: &str,
    statement: &str,
    formats: &[u16],
    values: &[Option<&[u8]>],
    results: &[u16],
) -> Vec<u8> {
    let count = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let mut body = [portal.as_bytes(), &[0], statement.as_bytes(), &[0]].concat();
    body.extend(count(formats.len()));
    body.extend(formats.iter().flat_map(|format| format.to_be_bytes()));
    body.extend(count(values.len()));
    for value in values {
        let length = value.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
        body.extend(length.to_be_bytes());
        body.extend_from_slice(value.unwrap_or_default());
    }
    body.extend(count(results.len()));
    body.extend(results.iter().flat_map(|format| format.to_be_bytes()));
    message(b'B', &body)
}

#[test]
fn binary_parameters_and_results() {
    let sql = "SELECT $1::int4 + 1, $2::bytea, $3::float8, $4::text, '2026-01-02 03:04:05+00'::timestamptz, \
               12.5::numeric, NULL::int8, '{1,2}'::int4[]";
    let values: [Option<&[u8]>; 4] = [
        Some(&7_i32.to_be_bytes()),
        Some(&[0, 1, 255, b'\\', b'\'']),
        Some(&1.5_f64.to_be_bytes()),
        None,
    ];
    let as_text: [Option<&[u8]>; 4] = [Some(b"7"), Some(b"\\x0001ff"), Some(b"1.5"), Some(b"t")];
    let mixed: [Option<&[u8]>; 4] = [Some(b"7"), Some(&[0, 9, 0]), Some(b"1.5"), Some(b"t")];
    let run = |bind: Vec<u8>| [bind, describe('P', ""), execute("", 0), sync()].concat();
    same_bytes(&[
        (
            "1tTZ",
            [parse("s", sql, &[]), describe('S', "s"), sync()].concat(),
        ),
        ("2TDCZ", run(bind_as("", "s", &[1], &values, &[1]))),
        ("2TDCZ", run(bind_as("", "s", &[1], &values, &[]))),
        ("2TDCZ", run(bind_as("", "s", &[], &as_text, &[1]))),
        (
            "2TDCZ",
            run(bind_as("", "s", &[0, 1, 0, 0], &mixed, &[1, 0, 1, 0, 1, 0, 1, 0])),
        ),
        // Format codes and values that do not fit.
        ("EZ", run(bind_as("", "s", &[1, 1], &values, &[]))),
        ("EZ", run(bind_as("", "s", &[2], &values, &[]))),
        ("2TEZ", run(bind_as("", "s", &[1], &values, &[7]))),
        ("EZ", run(bind_as("", "s", &[1], &values, &[1, 0]))),
        (
            "EZ",
            run(bind_as("", "s", &[1], &[Some(&[0, 7]), None, None, None], &[1])),
        ),
        // The unnamed statement in a transaction of its own, types declared.
        ("1Z", [parse("", "SELECT $1, $2", &[23, 17]), sync()].concat()),
        ("2TDCZ", run(bind_as("", "", &[1], &values[..2], &[1]))),
        ("EZ", run(bind_as("", "", &[1], &values[..1], &[1]))),
        // A binary portal in pieces, across Sync.
        ("CZ", query("BEGIN")),
        (
            "12DsZ",
            [
                parse("g", "SELECT generate_series(1, $1::int4)", &[]),
                bind_as("p", "g", &[1], &[Some(&4_i32.to_be_bytes())], &[1]),
                execute("p", 1),
                sync(),
            ]
            .concat(),
        ),
        ("TDDsZ", [describe('P', "p"), execute("p", 2), sync()].concat()),
        ("DC3Z", [execute("p", 0), close('P', "p"), sync()].concat()),
        ("CZ", query("COMMIT")),
        (
            "HdddcCZ",
            query("COPY (SELECT 7::int4, 'x'::text UNION ALL SELECT 8, NULL) TO STDOUT (FORMAT binary)"),
        ),
    ]);
}

/// COPY FROM STDIN in the binary format: whole, cut anywhere, empty, and in several ways broken.
#[test]
fn binary_copies() {
    let head = [&b"PGCOPY\n\xff\r\n\0"[..], &[0; 8]].concat();
    let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let row = |n: i32, body: Option<&[u8]>| {
        let body = body.map_or_else(|| vec![0xff; 4], field);
        [vec![0, 3], field(b"binary-copy"), field(&n.to_be_bytes()), body].concat()
    };
    let end = [0xff, 0xff];
    let rows = [
        row(1, Some(b"one\n\\.\n")),
        row(2, None),
        row(3, Some(&[b'x'; 20_000])),
    ]
    .concat();
    let good = [&head[..], &rows, &end].concat();
    let data = |bytes: &[u8]| message(b'd', bytes);
    let (done, fail) = (message(b'c', &[]), message(b'f', b"enough\0"));
    let copy = "COPY scratch_in (run, n, body) FROM STDIN (FORMAT binary)";
    let delete = "DELETE FROM scratch WHERE run = 'binary-copy'";
    let look = "SELECT n, length(body) FROM scratch WHERE run = 'binary-copy' ORDER BY n";
    // Gone with the batch, so that the other one finds nothing.
    let all = format!("{copy}; {look}; {delete}");
    let cut: Vec<u8> = good.chunks(777).flat_map(data).collect();
    let by_byte: Vec<u8> = good[..100]
        .chunks(1)
        .flat_map(data)
        .chain(data(&good[100..]))
        .collect();
    let run = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
    let extended = [run(copy), by_byte, done.clone(), run(look), run(delete), sync()];
    let mut batches = vec![
        ("GCTDDDCCZ", [query(&all), data(&good), done.clone()].concat()),
        ("GCTDDDCCZ", [query(&all), cut, done.clone()].concat()),
        ("12GC12DDDC12CZ", extended.concat()),
        (
            "GCTCCZ",
            [query(&all), data(&head), data(&end), done.clone()].concat(),
        ),
    ];
    for broken in [
        [data(&head[..5]), done.clone()].concat(),
        [data(b"run\t1\tbody\n"), done.clone()].concat(),
        [data(&head), data(&rows[..10]), done.clone()].concat(),
        [data(&head), data(&[0, 9]), done.clone()].concat(),
        [data(&head), data(&[0, 3, 0xff, 0xff, 0xff, 0xfe]), done.clone()].concat(),
        [data(&head), data(&rows), fail.clone()].concat(),
        [data(&good), data(&row(4, None)), done.clone()].concat(),
        done.clone(),
        fail,
    ] {
        batches.push(("GEZ", [query(copy), broken].concat()));
        batches.push(("TCZ", query(look)));
    }
    same_bytes(&batches);
}

#[test]
fn statements_of_several_mib() {
    let long = "x".repeat(3 << 20);
    let length = format!("SELECT length('{long}') AS n, $1::int AS one");
    let run = |name: &str| {
        [
            bind("", name, &[Some(b"1")]),
            describe('P', ""),
            execute("", 0),
            sync(),
        ]
        .concat()
    };
    same_bytes(&[
        (
            "NTDCZ",
            query(&format!(
                "SELECT length('{long}'), '{}' AS \"{}\"",
                &long[..9],
                &long[..70]
            )),
        ),
        // The error is where it is, three million characters in.
        ("EZ", query(&format!("SELECT length('{long}'), nothing"))),
        (
            "TDCCZ",
            query(&format!("SELECT length('{long}'); SET LOCAL TimeZone = 'UTC'")),
        ),
        (
            "1tTZ",
            [parse("s", &length, &[]), describe('S', "s"), sync()].concat(),
        ),
        ("2TDCZ", run("s")),
        ("12TDCZ", [parse("", &length, &[]), run("")].concat()),
        ("2TDCZ", run("")),
        (
            "EZ",
            [parse("t", &format!("SELECT '{long}', nothing"), &[]), run("t")].concat(),
        ),
        ("2TDCZ", run("s")),
        ("TDCZ", query(&format!("SELECT '{long}'"))),
        ("3Z", [close('S', "s"), sync()].concat()),
    ]);
}

#[test]
fn statements_are_described_long_before_they_are_bound() {
    same_bytes(&[
        (
            "1Z",
            [
                parse("s", "SELECT title FROM todos WHERE title > $1 ORDER BY 1", &[]),
                sync(),
            ]
            .concat(),
        ),
        ("tTZ", [describe('S', "s"), sync()].concat()),
        ("TDCZ", query("SELECT 1")),
        ("tTtTZ", [describe('S', "s"), describe('S', "s"), sync()].concat()),
        ("EZ", [describe('P', ""), sync()].concat()),
        (
            "2TZ",
            [bind("", "s", &[Some(b"zzz")]), describe('P', ""), sync()].concat(),
        ),
        (
            "1tnZ",
            [
                parse("w", "SET LOCAL TimeZone = 'UTC'", &[]),
                describe('S', "w"),
                sync(),
            ]
            .concat(),
        ),
        ("1tnZ", [parse("", "", &[]), describe('S', ""), sync()].concat()),
        ("CZ", query("BEGIN")),
        ("tTZ", [describe('S', "s"), sync()].concat()),
        ("EZ", query("SELECT 1/0")),
        // A failed transaction describes nothing that returns rows (`exec_describe_statement_message`, postgres.c).
        ("EZ", [describe('S', "s"), sync()].concat()),
        ("CZ", query("ROLLBACK")),
        ("tTZ", [describe('S', "s"), sync()].concat()),
    ]);
}

/// What the parser has to say of a statement comes ahead of its rows, once, whatever the protocol.
#[test]
fn notices_of_parsing_come_first() {
    let long = format!("SELECT 1 AS \"{}\"", "x".repeat(70));
    same_bytes(&[
        ("NTDCZ", query(&long)),
        ("N1Z", [parse("s", &long, &[]), sync()].concat()),
        ("2DCZ", [bind("", "s", &[]), execute("", 0), sync()].concat()),
        ("CZ", query("BEGIN")),
        ("NCZ", query(&format!("DECLARE c CURSOR FOR {long}"))),
        ("TDCZ", query("FETCH c")),
        ("CZ", query("ROLLBACK")),
    ]);
}
