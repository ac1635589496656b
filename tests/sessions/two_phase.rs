//! Two-phase commit, and what else refuses a transaction block: both run as the role of the session, and the server
//! connection is its login's again afterwards.

use serde_json::json;

use crate::VERSIONS;
use crate::support::people::{alice, person};
use crate::support::postgres::Postgres;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, execute, parse, query, sync};
use crate::support::trace::play;

/// On every version a server that prepares transactions, and the proxy with a pool of one in front of it. Only the
/// login may call `set_config`, so that a connection that is left as a role serves nobody.
fn on_every_version(test: impl Fn(&Postgres, &mut Stack)) {
    for version in VERSIONS {
        let Some(postgres) = Postgres::own_with(version, "max_prepared_transactions = 10\n") else {
            continue;
        };
        for sql in [
            "CREATE ROLE direct_service LOGIN; GRANT service_role TO direct_service; \
             ALTER ROLE direct_service SET role = 'service_role'",
            "CREATE ROLE other_service; GRANT other_service TO portcullis_service",
            "CREATE TABLE owned (n int); ALTER TABLE owned OWNER TO service_role",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC; \
             GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) \
             TO portcullis_app, portcullis_service, direct_service, service_role",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM service_role",
        ] {
            postgres.ask(sql);
        }
        let options = StackOptions::pool(1)
            .with("roles.other_service = { login = \"service\", policy = \"trusted\", any_tenant = true }");
        let mut stack = Stack::in_front_of(postgres.port(), &options);
        test(&postgres, &mut stack);
        assert!(postgres.ask("SELECT gid FROM pg_prepared_xacts").is_empty());
        stack.assert_well();
    }
}

fn trusted(stack: &Stack, role: &str) -> RawClient {
    let token = alice().token_with(&[("role", json!(role))]);
    stack
        .try_login(&token, "acme")
        .unwrap_or_else(|why| panic!("{}", why.describe()))
}

/// Plays a trace as a trusted role straight against Postgres, and through.
fn alike(postgres: &Postgres, stack: &Stack, trace: &str) {
    play(
        &mut postgres.direct(&person("service", "acme")),
        &trace.replace("$RUN", "direct"),
    );
    let mut client = trusted(stack, "service_role");
    play(&mut client, &trace.replace("$RUN", "proxied"));
    assert_eq!(
        client.value("SELECT current_user || session_user"),
        "service_roleportcullis_service"
    );
}

#[test]
fn a_transaction_is_prepared_and_finished_as_on_the_server() {
    on_every_version(|postgres, stack| {
        alike(
            postgres,
            stack,
            r#"
            F Query "BEGIN"
            B CommandComplete BEGIN
            B ReadyForQuery T
            F Query "INSERT INTO scratch (run, n, tenant, owner) VALUES ('$RUN', 1, 't', 'o')"
            B CommandComplete "INSERT 0 1"
            B ReadyForQuery T
            F Query "PREPARE TRANSACTION '$RUN'"
            B CommandComplete "PREPARE TRANSACTION"
            B ReadyForQuery I
            F Query "SELECT count(*) FROM scratch WHERE run = '$RUN'"
            B RowDescription count
            B DataRow 0
            B CommandComplete "SELECT 1"
            B ReadyForQuery I
            F Query "COMMIT PREPARED '$RUN'"
            B CommandComplete "COMMIT PREPARED"
            B ReadyForQuery I
            F Query "SELECT count(*) FROM scratch WHERE run = '$RUN'"
            B RowDescription count
            B DataRow 1
            B CommandComplete "SELECT 1"
            B ReadyForQuery I
            F Query "COMMIT PREPARED '$RUN'"
            B ErrorResponse ERROR 42704
            B ReadyForQuery I
            F Query "BEGIN; DELETE FROM scratch WHERE run = '$RUN'; PREPARE TRANSACTION '$RUN'; SELECT 1"
            B CommandComplete BEGIN
            B CommandComplete "DELETE 1"
            B CommandComplete "PREPARE TRANSACTION"
            B RowDescription ?column?
            B DataRow 1
            B CommandComplete "SELECT 1"
            B ReadyForQuery I
            F Query "ROLLBACK PREPARED U&'$RUN'"
            B CommandComplete "ROLLBACK PREPARED"
            B ReadyForQuery I
            F Query "SELECT count(*) FROM scratch WHERE run = '$RUN'"
            B RowDescription count
            B DataRow 1
            B CommandComplete "SELECT 1"
            B ReadyForQuery I
            "#,
        );
    });
}

#[test]
fn the_extended_protocol_prepares_and_finishes_too() {
    on_every_version(|postgres, stack| {
        alike(
            postgres,
            stack,
            r#"
            F Parse "" BEGIN
            F Bind "" ""
            F Execute "" 0
            F Parse "" "INSERT INTO scratch (run, n, tenant, owner) VALUES ($1, 1, 't', 'o')"
            F Bind "" "" $RUN-x
            F Execute "" 0
            F Parse "" "PREPARE TRANSACTION '$RUN'"
            F Bind "" ""
            F Describe P ""
            F Execute "" 0
            F Sync
            B ParseComplete
            B BindComplete
            B CommandComplete BEGIN
            B ParseComplete
            B BindComplete
            B CommandComplete "INSERT 0 1"
            B ParseComplete
            B BindComplete
            B NoData
            B CommandComplete "PREPARE TRANSACTION"
            B ReadyForQuery I
            F Parse finish "COMMIT PREPARED '$RUN'"
            F Describe S finish
            F Sync
            B ParseComplete
            B ParameterDescription
            B NoData
            B ReadyForQuery I
            F Bind "" finish
            F Describe P ""
            F Execute "" 0
            F Sync
            B BindComplete
            B NoData
            B CommandComplete "COMMIT PREPARED"
            B ReadyForQuery I
            F Bind "" finish
            F Execute "" 0
            F Sync
            B BindComplete
            B ErrorResponse ERROR 42704
            B ReadyForQuery I
            F Parse "" "COMMIT PREPARED 'other'"
            F Bind "" ""
            F Execute "" 0
            F Parse "" "SELECT 1"
            F Sync
            B ParseComplete
            B BindComplete
            B ErrorResponse ERROR 42704
            B ReadyForQuery I
            F Parse "" "SELEC"
            F Parse "" "COMMIT PREPARED 'other'"
            F Bind "" ""
            F Execute "" 0
            F Sync
            B ErrorResponse ERROR 42601
            B ReadyForQuery I
            F Query "DELETE FROM scratch WHERE run = '$RUN-x'"
            B CommandComplete "DELETE 1"
            B ReadyForQuery I
            "#,
        );
    });
}

#[test]
fn what_cannot_be_prepared_is_rolled_back() {
    on_every_version(|postgres, stack| {
        alike(
            postgres,
            stack,
            r#"
            F Query "PREPARE TRANSACTION '$RUN'"
            B NoticeResponse WARNING 25P01
            B CommandComplete ROLLBACK
            B ReadyForQuery I
            F Query "BEGIN; SELECT 1/0"
            B CommandComplete BEGIN
            B ErrorResponse ERROR 22012
            B ReadyForQuery E
            F Query "PREPARE TRANSACTION '$RUN'"
            B CommandComplete ROLLBACK
            B ReadyForQuery I
            F Query "BEGIN"
            B CommandComplete BEGIN
            B ReadyForQuery T
            F Query "COMMIT PREPARED '$RUN'"
            B ErrorResponse ERROR 25001
            B ReadyForQuery E
            F Query "ROLLBACK"
            B CommandComplete ROLLBACK
            B ReadyForQuery I
            F Query "BEGIN; SET lock_timeout = '7s'; SAVEPOINT a; SET LOCAL work_mem = '1MB'; PREPARE TRANSACTION '$RUN'"
            B CommandComplete BEGIN
            B CommandComplete SET
            B CommandComplete SAVEPOINT
            B CommandComplete SET
            B CommandComplete "PREPARE TRANSACTION"
            B ReadyForQuery I
            F Query "BEGIN; PREPARE TRANSACTION '$RUN'"
            B CommandComplete BEGIN
            B ErrorResponse ERROR 42710
            B ReadyForQuery I
            F Query "ROLLBACK PREPARED '$RUN'"
            B CommandComplete "ROLLBACK PREPARED"
            B ReadyForQuery I
            F Query "SELECT current_setting('lock_timeout'), current_setting('work_mem')"
            B RowDescription current_setting current_setting
            B DataRow 7s 4MB
            B CommandComplete "SELECT 1"
            B ReadyForQuery I
            F Query "PREPARE TRANSACTION x"
            B ErrorResponse ERROR 42601
            B ReadyForQuery I
            "#,
        );
    });
}

#[test]
fn only_the_role_that_has_prepared_a_transaction_finishes_it() {
    on_every_version(|postgres, stack| {
        let mut service = trusted(stack, "service_role");
        service.values("BEGIN; SELECT 1; PREPARE TRANSACTION 'mine'");
        let mut other = trusted(stack, "other_service");
        assert_eq!(other.sqlstate("COMMIT PREPARED 'mine'"), "42501");
        assert_eq!(other.value("SELECT current_user"), "other_service");
        let mut user = stack.login(&alice());
        for sql in [
            "PREPARE TRANSACTION 'x'",
            "COMMIT PREPARED 'mine'",
            "ROLLBACK PREPARED 'mine'",
        ] {
            assert_eq!(user.sqlstate(sql), "42501", "{sql}");
        }
        service.values("ROLLBACK PREPARED 'mine'");
        // A role that the server does not grant any more: the client hears of it, and nobody else.
        postgres.ask("REVOKE other_service FROM portcullis_service");
        for _ in 0..2 {
            assert_eq!(other.sqlstate("VACUUM owned"), "42501");
            other.send(
                &[
                    parse("", "VACUUM owned", &[]),
                    bind("", "", &[]),
                    execute("", 0),
                    sync(),
                ]
                .concat(),
            );
            let tags: Vec<u8> = other.until_ready().iter().map(|frame| frame.tag).collect();
            assert_eq!(tags, b"1EZ");
            assert_eq!(service.value("SELECT current_user"), "service_role");
        }
    });
}

#[test]
fn who_vanishes_leaves_no_role_behind() {
    on_every_version(|_, stack| {
        for sql in ["COMMIT PREPARED 'none'", "VACUUM owned"] {
            for _ in 0..10 {
                let mut client = trusted(stack, "service_role");
                client.send(&query(sql));
                client.vanish();
                let mut next = trusted(stack, "other_service");
                assert_eq!(
                    next.value("SELECT current_user || session_user"),
                    "other_serviceportcullis_service"
                );
            }
        }
    });
}

#[test]
fn an_owner_vacuums_its_table() {
    on_every_version(|postgres, stack| {
        // No warning that it is not the owner's.
        alike(
            postgres,
            stack,
            r#"
            F Query "VACUUM owned"
            B CommandComplete VACUUM
            B ReadyForQuery I
            F Parse "" "CREATE INDEX CONCURRENTLY $RUN ON owned (n)"
            F Bind "" ""
            F Execute "" 0
            F Sync
            B ParseComplete
            B BindComplete
            B CommandComplete "CREATE INDEX"
            B ReadyForQuery I
            "#,
        );
    });
}

/// Behind the end of another transaction in the same pipeline nothing is in force, and the server might run what refuses
/// a transaction block.
#[test]
fn nothing_runs_as_the_login_behind_the_end_of_a_transaction() {
    on_every_version(|postgres, stack| {
        postgres.ask("ALTER ROLE portcullis_service CREATEDB");
        let mut client = trusted(stack, "other_service");
        for ahead in [&["BEGIN", "COMMIT"][..], &["ROLLBACK"], &["BEGIN", "ROLLBACK"]] {
            let mut batch = Vec::new();
            for sql in ahead.iter().chain(&["CREATE DATABASE made_as_login"]) {
                batch.extend([parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat());
            }
            batch.extend(sync());
            client.send(&batch);
            let error = client.until_ready().into_iter().find(|frame| frame.tag == b'E');
            assert!(error.is_some(), "{ahead:?}");
            let made = "SELECT count(*) FROM pg_database WHERE datname = 'made_as_login'";
            assert_eq!(postgres.ask(made), ["0"], "{ahead:?}");
            assert_eq!(client.value("SELECT current_user"), "other_service");
        }
        postgres.ask("ALTER ROLE portcullis_service NOCREATEDB");
    });
}
