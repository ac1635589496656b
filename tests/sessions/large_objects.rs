//! Large objects through FunctionCall, as libpq's `lo_*` functions, pgjdbc and ODBC use them.

use serde_json::json;

use crate::VERSIONS;
use crate::support::people::alice;
use crate::support::postgres::cluster;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, function_call};
use crate::support::trace::play;

/// `loread` and `lowrite` by their numbers (`pg_proc.dat`).
const LOWRITE: u32 = 955;

fn service(stack: &Stack) -> RawClient {
    let token = alice().token_with(&[("role", json!("service_role"))]);
    stack
        .try_login(&token, "acme")
        .unwrap_or_else(|why| panic!("{}", why.describe()))
}

#[test]
fn a_trusted_role_reads_and_writes() {
    let trace = r#"
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F FunctionCall 715 "$OID"
        B FunctionCallResponse $OID
        B ReadyForQuery T
        F FunctionCall 952 "$OID" "393216"
        B FunctionCallResponse 0
        B ReadyForQuery T
        F FunctionCall 955 "0" "some bytes"
        B FunctionCallResponse 10
        B ReadyForQuery T
        F FunctionCall 956 "0" "5" "0"
        B FunctionCallResponse 5
        B ReadyForQuery T
        F FunctionCall 954 "0" "99"
        B FunctionCallResponse "\\x6279746573"
        B ReadyForQuery T
        F FunctionCall 954 "0" "99"
        B FunctionCallResponse "\\x"
        B ReadyForQuery T
        F FunctionCall 953 "0"
        B FunctionCallResponse 0
        B ReadyForQuery T
        F Query "COMMIT"
        B CommandComplete COMMIT
        B ReadyForQuery I
        F FunctionCall 954 "0" "4"
        B ErrorResponse ERROR 42704
        B ReadyForQuery I
        F FunctionCall 715
        B ErrorResponse ERROR 08P01
        B ReadyForQuery I
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F FunctionCall 954 "99" "4"
        B ErrorResponse ERROR 42704
        B ReadyForQuery E
        F FunctionCall 957 "1"
        B ErrorResponse ERROR 25P02
        B ReadyForQuery E
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        F Parse "" "SELECT 1/0"
        F Bind "" ""
        F Execute "" 0
        F FunctionCall 964 "$OID"
        F Sync
        B ParseComplete
        B ErrorResponse ERROR 22012
        B ReadyForQuery I
        F FunctionCall 964 "$OID"
        B FunctionCallResponse 1
        B ReadyForQuery I
        "#;
    for version in VERSIONS {
        let Some(postgres) = cluster(version) else {
            continue;
        };
        play(&mut postgres.superuser("shop"), &trace.replace("$OID", "4321001"));
        let mut stack = Stack::start(&StackOptions {
            postgres: version,
            ..StackOptions::pool(1)
        });
        play(&mut service(&stack), &trace.replace("$OID", "4321002"));
        stack.assert_well();
    }
}

#[test]
fn leaves_what_the_client_has_prepared_and_bound() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = service(&stack);
    play(
        &mut client,
        r#"
        F Query "BEGIN"
        B CommandComplete BEGIN
        B ReadyForQuery T
        F Parse "" "SELECT generate_series(1, 3)"
        F Bind "" ""
        F Execute "" 1
        F FunctionCall 957 "1"
        B ParseComplete
        B BindComplete
        B DataRow 1
        B PortalSuspended
        B FunctionCallResponse _
        B ReadyForQuery T
        F Execute "" 1
        F Bind "again" ""
        F Execute "again" 1
        F Sync
        B DataRow 2
        B PortalSuspended
        B BindComplete
        B DataRow 1
        B PortalSuspended
        B ReadyForQuery T
        F Query "ROLLBACK"
        B CommandComplete ROLLBACK
        B ReadyForQuery I
        "#,
    );
}

#[test]
fn long_values_go_both_ways() {
    let stack = Stack::start(&StackOptions::pool(1));
    let mut client = service(&stack);
    let text = "long ".repeat(40_000);
    client.values("BEGIN");
    let oid = client.value("SELECT lo_create(0)");
    client.value(&format!("SELECT lo_open({oid}, 393216)"));
    client.send(&function_call(LOWRITE, &["0", &text]));
    let frames = client.until_ready();
    assert_eq!(frames[0].body, [&6_u32.to_be_bytes()[..], b"200000"].concat());
    client.value("SELECT lo_lseek(0, 0, 0)");
    client.send(&function_call(954, &["0", "200000"]));
    let frames = client.until_ready();
    assert_eq!(frames[0].tag, b'V');
    // Hexadecimal digits behind `\x`.
    assert_eq!(frames[0].body.len(), 4 + 2 + 2 * text.len());
    client.value(&format!("SELECT lo_unlink({oid})"));
    client.values("COMMIT");
}
