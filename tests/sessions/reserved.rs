//! What reserved functions would leave behind, and settings that cost others: by what the next client finds.

use serde_json::json;

use crate::policies::{Bed, beds};
use crate::support::people::{alice, bob};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, execute, parse, sync};
use crate::{ALICE, VERSIONS};

/// A number whose check digit is wrong: only a backend that was told to be weak takes it, and no reset tells it otherwise.
const WRONG: &str = "SELECT isbn13('978-0-11-000533-9')";

fn stacks(config: &str) -> impl Iterator<Item = Stack> {
    VERSIONS.into_iter().filter_map(move |postgres| {
        Stack::try_start(&StackOptions {
            postgres,
            ..StackOptions::pool(1).with(config)
        })
    })
}

/// The extension in a schema of its own, which calls have to name: `shop` is everybody's.
fn with_isn(stack: &Stack) {
    static MAKING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = MAKING.lock();
    stack.postgres().superuser("shop").values(
        "CREATE SCHEMA IF NOT EXISTS books; GRANT USAGE ON SCHEMA books TO PUBLIC; \
         CREATE EXTENSION IF NOT EXISTS isn SCHEMA books; \
         CREATE OR REPLACE PROCEDURE books.nothing(x bool) LANGUAGE sql AS ''",
    );
}

fn is_weak(client: &mut RawClient) -> bool {
    client.query(&WRONG.replace("isbn13", "books.isbn13")).is_ok()
}

fn service(stack: &Stack) -> RawClient {
    let token = alice().token_with(&[("role", json!("service_role"))]);
    RawClient::login(stack.port(), "somebody", "acme", &token)
}

#[test]
fn no_end_user_leaves_a_weak_backend_to_the_next() {
    for mode in ["", "pool.pool_mode = 'session'"] {
        for mut stack in stacks(mode) {
            with_isn(&stack);
            let mut client = stack.login(&alice());
            for sql in [
                "SELECT books.isn_weak(true)",
                "SELECT isn_weak(true)",
                "SELECT \"books\".\"isn_weak\"(true)",
                "SELECT U&\"books\".U&\"isn\\005fweak\" /**/ (true)",
                "SELECT shop.books.isn_weak(true)",
                "SELECT (true).isn_weak",
                "SELECT (g).isn_weak, g.isn_weak FROM unnest(ARRAY[true]) g",
                "SELECT TREAT(true AS books.isn_weak)",
                "SELECT 1 FROM books.isn_weak(true)",
                "SELECT 1 FROM ROWS FROM (books.isn_weak(true)) r",
                "INSERT INTO todos (title) VALUES ('x') RETURNING books.isn_weak(true)",
                "PREPARE w AS SELECT books.isn_weak($1)",
                "COPY (SELECT books.isn_weak(true)) TO STDOUT",
                "DECLARE w CURSOR FOR SELECT books.isn_weak(true)",
                "CALL books.nothing(books.isn_weak(true))",
            ] {
                assert_eq!(client.sqlstate(sql), "42501", "{sql}");
                client.send(&[parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat());
                let frames = client.until_ready();
                assert!(frames.iter().any(|frame| frame.tag == b'E'), "{sql}");
                assert!(!is_weak(&mut client), "{sql}");
            }
            drop(client);
            assert!(!is_weak(&mut stack.login(&bob())));
            stack.assert_well();
        }
    }
}

/// Trusted roles may: then their connection serves nobody else, whatever the mode and however it was called.
#[test]
fn a_trusted_role_takes_a_weak_backend_with_it() {
    for mode in ["", "pool.pool_mode = 'session'"] {
        for mut stack in stacks(mode) {
            with_isn(&stack);
            for sql in [
                "SELECT books.isn_weak(true)",
                "PREPARE w AS SELECT books.isn_weak(true); EXECUTE w",
                "DO $$ BEGIN PERFORM books.isn_weak(true); END $$",
                "CALL books.nothing(books.isn_weak(true))",
            ] {
                let mut client = service(&stack);
                client.values(sql);
                drop(client);
                assert!(!is_weak(&mut service(&stack)), "{sql}");
            }
            stack.assert_well();
        }
    }
}

/// Jobs of pg_cron, told by a table: its schema is reserved, and its names where a search path leads to it.
#[test]
fn a_schema_is_reserved_whatever_path_leads_to_it() {
    for Bed { mut stack, .. } in beds("own_functions = ['shop_jobs.schedule', 'plan']") {
        let mut superuser = stack.postgres().superuser("shop");
        superuser.values(
            "CREATE SCHEMA IF NOT EXISTS cron; CREATE SCHEMA IF NOT EXISTS shop_jobs; \
             GRANT USAGE ON SCHEMA cron, shop_jobs TO PUBLIC; \
             CREATE TABLE IF NOT EXISTS cron.job (command text); TRUNCATE cron.job; \
             CREATE OR REPLACE FUNCTION cron.schedule(text, text) RETURNS int SECURITY DEFINER LANGUAGE sql \
               AS 'INSERT INTO cron.job VALUES ($2) RETURNING 1'; \
             CREATE OR REPLACE FUNCTION cron.unschedule(text) RETURNS int SECURITY DEFINER LANGUAGE sql \
               AS 'INSERT INTO cron.job VALUES ($1) RETURNING 1'; \
             CREATE OR REPLACE FUNCTION shop_jobs.schedule(text, text) RETURNS int LANGUAGE sql AS 'SELECT 7'",
        );
        let mut client = stack.login(&alice());
        for sql in [
            "SELECT cron.schedule('* * * * *', 'x')",
            "SELECT \"cron\".schedule('* * * * *', 'x')",
            "SELECT shop.cron.schedule('* * * * *', 'x')",
            "SELECT * FROM cron.schedule('* * * * *', 'x')",
            "SET search_path = cron, public; SELECT schedule('* * * * *', 'x')",
            "BEGIN; SET LOCAL search_path = cron; SELECT schedule('* * * * *', 'x'); COMMIT",
            "SELECT set_config('search_path', 'cron', true), schedule('* * * * *', 'x')",
            "SELECT ('x'::text).unschedule",
            "SELECT g.unschedule FROM unnest(ARRAY['x']) g",
        ] {
            assert_eq!(client.sqlstate(sql), "42501", "{sql}");
        }
        assert_eq!(superuser.value("SELECT count(*) FROM cron.job"), "0");
        // The application's own, by the operator's word.
        assert_eq!(client.value("SELECT shop_jobs.schedule('a', 'b')"), "7");
        assert_eq!(client.value("SELECT who()"), ALICE);
        superuser.values("DROP SCHEMA cron, shop_jobs CASCADE");
        stack.assert_well();
    }
}

/// What makes one statement take from others: memory of the planner, workers, memory and disk of the executor.
#[test]
fn settings_that_cost_others_stay_with_the_operator() {
    for mut stack in stacks("") {
        let mut client = stack.login(&alice());
        for name in [
            "join_collapse_limit",
            "from_collapse_limit",
            "geqo_threshold",
            "geqo_effort",
            "geqo_pool_size",
            "work_mem",
            "hash_mem_multiplier",
            "logical_decoding_work_mem",
            "maintenance_work_mem",
            "temp_buffers",
            "temp_file_limit",
            "max_parallel_workers_per_gather",
            "max_parallel_workers",
            "min_parallel_table_scan_size",
            "parallel_setup_cost",
            "parallel_tuple_cost",
            "effective_io_concurrency",
            "default_statistics_target",
            "jit_above_cost",
            "jit_optimize_above_cost",
            "max_stack_depth",
            "enable_partitionwise_join",
            "enable_partitionwise_aggregate",
        ] {
            let shown = format!("SHOW {name}");
            let before = client.value(&shown);
            let value = if name.starts_with("enable_") { "on" } else { "97" };
            for sql in [
                format!("SET {name} = {value}"),
                format!("BEGIN; SET LOCAL {name} = {value}"),
                format!("SELECT set_config('{name}', '{value}', true)"),
                format!("SELECT set_config('{}', '{value}', false)", name.to_uppercase()),
            ] {
                assert_eq!(client.sqlstate(&sql), "42501", "{sql}");
                let _ = client.query("ROLLBACK");
            }
            assert_eq!(client.value(&shown), before, "{name}");
        }
        for option in ["-c join_collapse_limit=97", "-c geqo=off"] {
            let options = [("user", "somebody"), ("database", "acme"), ("options", option)];
            let refused = RawClient::try_login(stack.port(), &options, Some(&alice().token())).err();
            assert_eq!(refused.expect(option).sqlstate(), "42501", "{option}");
        }
        // What drivers and applications set stays theirs.
        for sql in [
            "SET jit = off",
            "SET enable_seqscan = off",
            "SET extra_float_digits = 3",
            "SET random_page_cost = 1.1",
        ] {
            assert!(client.query(sql).is_ok(), "{sql}");
        }
        stack.assert_well();
    }
}

#[test]
fn the_built_in_policy_ends_statements() {
    for mut stack in stacks("") {
        let mut client = stack.login(&alice());
        let shown = "SHOW statement_timeout";
        for looser in [
            "SET statement_timeout = 0",
            "SET statement_timeout = '61s'",
            "BEGIN; SET LOCAL statement_timeout = '2h'",
            "SELECT set_config('statement_timeout', '0', false)",
        ] {
            assert_eq!(client.sqlstate(looser), "42501", "{looser}");
            let _ = client.query("ROLLBACK");
        }
        client.values("SET statement_timeout = '100ms'");
        assert_eq!(client.sqlstate("SELECT pg_sleep(30)"), "57014");
        client.values("RESET statement_timeout");
        assert_eq!(client.value(shown), "1min");
        drop(client);
        // The server's own default plays no part in it, and a trusted role is free.
        stack
            .postgres()
            .superuser("postgres")
            .values("ALTER ROLE portcullis_app IN DATABASE shop SET statement_timeout = '9min'");
        assert_eq!(stack.login(&bob()).value(shown), "1min");
        stack
            .postgres()
            .superuser("postgres")
            .values("ALTER ROLE portcullis_app IN DATABASE shop RESET statement_timeout");
        let mut trusted = service(&stack);
        trusted.values("SET statement_timeout = 0");
        assert_eq!(trusted.value(shown), "0");
        stack.assert_well();
    }
}
