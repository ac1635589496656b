//! Databases that come and go while the pool has been connected to them.

use serde_json::{Value, json};

use crate::support::people::alice;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{RawClient, bind, execute, parse, sync};

/// A trusted session on a database.
fn service(stack: &Stack, database: &str) -> RawClient {
    let token = alice().token_with(&[("role", json!("service_role")), ("tenant", Value::Null)]);
    stack
        .try_login(&token, database)
        .unwrap_or_else(|why| panic!("{database}: {}", why.describe()))
}

fn start(postgres: &Postgres) -> Stack {
    postgres.ask("ALTER ROLE portcullis_service CREATEDB");
    postgres.ask("ALTER ROLE service_role CREATEDB");
    let options = StackOptions::pool(2).with(
        r#"
        [[tenants.pattern]]
        match = "db_*"
        server = "main"
        database = "{tenant}"
        [[tenants.pattern]]
        match = "template*"
        server = "main"
        database = "{tenant}"
        "#,
    );
    Stack::in_front_of(postgres.port(), &options)
}

#[test]
fn a_database_is_dropped_copied_and_renamed_though_the_pool_was_connected() {
    let postgres = Postgres::own();
    let mut stack = start(&postgres);
    let mut home = service(&stack, "acme");
    let use_it = |database: &str| {
        let mut there = service(&stack, database);
        assert_eq!(there.value("SELECT current_database()"), database);
        there
    };
    home.values("CREATE DATABASE db_one");
    // The session stays, and the pool keeps its idle connection.
    let _there = use_it("db_one");
    home.values("CREATE DATABASE db_two TEMPLATE db_one");
    let _there = (use_it("db_one"), use_it("db_two"));
    // The extended protocol, too.
    let _there = use_it("db_two");
    let drop = "DROP DATABASE IF EXISTS \"db_two\"";
    home.send(&[parse("", drop, &[]), bind("", "", &[]), execute("", 0), sync()].concat());
    let tags: Vec<u8> = home.until_ready().iter().map(|frame| frame.tag).collect();
    assert_eq!(tags, b"12CZ");
    // What may run in a transaction block runs as the role itself.
    postgres.ask("ALTER DATABASE db_one OWNER TO service_role");
    home.values("ALTER DATABASE db_one RENAME TO db_three");
    let _there = use_it("db_three");
    // The default template is one that somebody may have been connected to as well.
    let _there = use_it("template1");
    home.values("CREATE DATABASE db_four");
    assert_eq!(home.value("SELECT current_database()"), "shop");
    stack.assert_well();
}

#[test]
fn a_database_in_use_stays_in_use() {
    let postgres = Postgres::own();
    let stack = start(&postgres);
    let mut home = service(&stack, "acme");
    home.values("CREATE DATABASE db_busy");
    let mut there = service(&stack, "db_busy");
    there.values("BEGIN");
    assert_eq!(home.sqlstate("DROP DATABASE db_busy"), "55006");
    assert_eq!(there.value("SELECT current_database()"), "db_busy");
    there.values("COMMIT");
    home.values("DROP DATABASE db_busy");
}

#[test]
fn an_end_user_closes_nothing() {
    let postgres = Postgres::own();
    let stack = start(&postgres);
    let mut user = stack.login(&alice());
    let process = user.value("SELECT pg_backend_pid()");
    for sql in [
        "DROP DATABASE shop",
        "CREATE DATABASE mine TEMPLATE shop",
        "ALTER DATABASE shop RENAME TO mine",
    ] {
        assert_eq!(user.sqlstate(sql), "42501");
    }
    assert_eq!(user.value("SELECT pg_backend_pid()"), process);
}
