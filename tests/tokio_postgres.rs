//! tokio-postgres against the proxy, with a pool of four and a pool of one, on the installed PostgreSQL and
//! on 18; the same checks as the suites of `drivers.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod support;

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt as _, TryStreamExt as _, stream};
use support::people::{Person, alice, bob, carol, person};
use support::postgres::{Postgres, Version, cluster};
use support::proxy::{Stack, StackOptions};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::error::{Error, SqlState};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

const ALICE: &str = "authenticated|alice|acme";
const COPY_ROWS: usize = 100_000;
const BIG: usize = 64 * 1024 * 1024;
const CLIENTS: usize = 200;
const TURNS: usize = 5;

/// What a check talks to: the proxy, or with `PORTCULLIS_TEST_DIRECT=1` Postgres itself.
struct Gateway {
    stack: Option<Stack>,
    postgres: &'static Postgres,
    pool_size: usize,
    /// Tells the rows of this check apart.
    run: String,
}

impl Gateway {
    async fn connect(&self, who: &Person) -> Client {
        self.try_connect(who, &who.token()).await.unwrap()
    }

    async fn try_connect(&self, who: &Person, token: &str) -> Result<Client, Error> {
        let mut config = Config::new();
        config.host("127.0.0.1");
        match &self.stack {
            Some(stack) => config
                .port(stack.port())
                .user(&who.name)
                .password(token)
                .dbname(&who.tenant),
            None => config
                .port(self.postgres.port())
                .user(format!("direct_{}", who.name))
                .password(if token.starts_with("ey") { "direct" } else { token })
                .dbname("shop"),
        };
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

fn code(result: Result<impl std::fmt::Debug, Error>) -> SqlState {
    match result {
        Ok(got) => panic!("expected an error, got {got:?}"),
        Err(error) => error
            .code()
            .cloned()
            .unwrap_or_else(|| panic!("no SQLSTATE: {error}")),
    }
}

async fn who(client: &Client) -> String {
    client.query_one("SELECT who()", &[]).await.unwrap().get(0)
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn login(gateway: &Gateway) {
    let client = gateway.connect(&alice()).await;
    assert_eq!(who(&client).await, ALICE);
    let client = gateway.connect(&bob()).await;
    assert_eq!(who(&client).await, "authenticated|bob|globex");
    let error = gateway.try_connect(&alice(), "not a token").await;
    assert_eq!(code(error.map(|_| ())), SqlState::INVALID_PASSWORD);
}

async fn rows(gateway: &Gateway) {
    let people = [
        (alice(), vec!["alice one", "alice two"]),
        (bob(), vec!["bob one", "bob three", "bob two"]),
        (carol(), vec!["carol one"]),
    ];
    for (person, titles) in people {
        let client = gateway.connect(&person).await;
        assert_eq!(
            texts(&client, "SELECT title FROM todos ORDER BY title").await,
            titles
        );
    }
}

async fn parameters(gateway: &Gateway) {
    let client = gateway.connect(&alice()).await;
    let sql = "SELECT $1::int, $2::bigint, $3::float8, $4::bool, $5::text, $6::text, $7::bytea, $8::int[]";
    let text = "it's é中😀";
    let bytes: &[u8] = &[0, 255, b'\\'];
    let array = vec![Some(1), None, Some(3)];
    let row = client
        .query_one(
            sql,
            &[
                &42,
                &(-1_i64 << 40),
                &1.5,
                &true,
                &text,
                &None::<&str>,
                &bytes,
                &array,
            ],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i64>(1)), (42, -1 << 40));
    assert_eq!((row.get::<_, f64>(2), row.get::<_, bool>(3)), (1.5, true));
    assert_eq!(
        (row.get::<_, &str>(4), row.get::<_, Option<&str>>(5)),
        (text, None)
    );
    assert_eq!(
        (row.get::<_, &[u8]>(6), row.get::<_, Vec<Option<i32>>>(7)),
        (bytes, array)
    );
    // A type the driver does not know makes it ask the catalog, with statements of its own.
    let statement = client.prepare("SELECT 'happy'::mood, $1::mood[]").await.unwrap();
    assert_eq!(statement.columns()[0].type_().name(), "mood");
}

async fn prepared_across_transactions(gateway: &Gateway) {
    let client = gateway.connect(&alice()).await;
    let statement = client
        .prepare("SELECT pg_backend_pid() + $1::int - 1")
        .await
        .unwrap();
    let pid = async || {
        client
            .query_one(&statement, &[&1])
            .await
            .unwrap()
            .get::<_, i32>(0)
    };
    for _ in 0..5 {
        pid().await;
    }
    if gateway.pool_size > 1 {
        let first = pid().await;
        let mut holders = Vec::new();
        loop {
            assert!(
                holders.len() < gateway.pool_size - 1,
                "the first server connection was never given out again"
            );
            let holder = gateway.connect(&bob()).await;
            holder.batch_execute("BEGIN").await.unwrap();
            let held: i32 = holder
                .query_one("SELECT pg_backend_pid()", &[])
                .await
                .unwrap()
                .get(0);
            holders.push(holder);
            if held == first {
                break;
            }
        }
        assert_ne!(
            pid().await,
            first,
            "the same server connection, although it was taken"
        );
    }
    drop(statement);
    assert_eq!(who(&client).await, ALICE);
}

/// Both connections count their statements from s0: equal names, different texts.
async fn prepared_names_are_private(gateway: &Gateway) {
    let (hers, his) = (gateway.connect(&alice()).await, gateway.connect(&bob()).await);
    let her_statement = hers.prepare("SELECT 'alice' || $1::text || who()").await.unwrap();
    let his_statement = his.prepare("SELECT 'bob' || $1::text || who()").await.unwrap();
    for turn in 0..10 {
        let turn = turn.to_string();
        let row = hers.query_one(&her_statement, &[&turn]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), format!("alice{turn}{ALICE}"));
        let row = his.query_one(&his_statement, &[&turn]).await.unwrap();
        assert_eq!(
            row.get::<_, String>(0),
            format!("bob{turn}authenticated|bob|globex")
        );
    }
}

async fn error_and_recovery(gateway: &Gateway) {
    let client = gateway.connect(&alice()).await;
    let wrong = [
        ("SELECT 1/0", SqlState::DIVISION_BY_ZERO),
        ("SELEC 1", SqlState::SYNTAX_ERROR),
        ("SELECT * FROM no_such_table", SqlState::UNDEFINED_TABLE),
        ("DROP TABLE todos", SqlState::INSUFFICIENT_PRIVILEGE),
        ("SET ROLE service_role", SqlState::INSUFFICIENT_PRIVILEGE),
    ];
    for (sql, expected) in wrong {
        assert_eq!(code(client.batch_execute(sql).await), expected, "{sql}");
        assert_eq!(code(client.query(sql, &[]).await), expected, "{sql}");
        assert_eq!(who(&client).await, ALICE, "{sql}");
    }
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(
        code(client.query("SELECT 1/0", &[]).await),
        SqlState::DIVISION_BY_ZERO
    );
    assert_eq!(
        code(client.query("SELECT 1", &[]).await),
        SqlState::IN_FAILED_SQL_TRANSACTION
    );
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(who(&client).await, ALICE);
}

async fn transactions_and_savepoints(gateway: &Gateway) {
    let mut client = gateway.connect(&alice()).await;
    let run = &gateway.run;
    let insert = &*format!("INSERT INTO scratch (run, n) VALUES ('{run}', $1)");
    let mut outer = client.transaction().await.unwrap();
    outer.execute(insert, &[&1]).await.unwrap();
    let nested = outer.savepoint("a").await.unwrap();
    nested.execute(insert, &[&2]).await.unwrap();
    assert_eq!(
        code(nested.execute(insert, &[&2]).await),
        SqlState::UNIQUE_VIOLATION
    );
    nested.rollback().await.unwrap();
    let row = outer.query_one("SELECT who()", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), ALICE);
    let nested = outer.savepoint("b").await.unwrap();
    nested.execute(insert, &[&3]).await.unwrap();
    nested.commit().await.unwrap();
    outer.commit().await.unwrap();
    let left = &*format!("SELECT n::text FROM scratch WHERE run = '{run}' ORDER BY n");
    assert_eq!(texts(&client, left).await, ["1", "3"]);
    // Dropped without commit: the driver rolls back in the background.
    let dropped = client.transaction().await.unwrap();
    dropped
        .execute("DELETE FROM scratch WHERE run = $1", &[run])
        .await
        .unwrap();
    drop(dropped);
    assert_eq!(texts(&client, left).await, ["1", "3"]);
    let serializable = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::Serializable)
        .read_only(true)
        .start()
        .await
        .unwrap();
    let row = serializable
        .query_one("SHOW transaction_isolation", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "serializable");
    assert_eq!(
        code(serializable.execute(insert, &[&9]).await),
        SqlState::READ_ONLY_SQL_TRANSACTION
    );
    serializable.rollback().await.unwrap();
    client
        .execute("DELETE FROM scratch WHERE run = $1", &[run])
        .await
        .unwrap();
}

async fn copy_both_ways(gateway: &Gateway) {
    let run = &gateway.run;
    let client = gateway.connect(&alice()).await;
    let line = |n: usize| format!("row {n} é中 of tokio");
    let chunks = (0..COPY_ROWS).map(|n| Bytes::from(format!("{run}\t{n}\t{}\n", line(n))));
    assert_eq!(copy_in(&client, chunks).await.unwrap(), COPY_ROWS as u64);
    let whole: String = (0..COPY_ROWS).map(line).collect();
    let sql = "SELECT count(*), md5(string_agg(body, '' ORDER BY n)) = md5($2) FROM scratch WHERE run = $1";
    let row = client.query_one(sql, &[run, &whole]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), i64::try_from(COPY_ROWS).unwrap());
    assert!(row.get::<_, bool>(1), "on the server");
    let out = format!("COPY (SELECT body FROM scratch WHERE run = '{run}' ORDER BY n) TO STDOUT");
    let stream = client.copy_out(&*out).await.unwrap();
    let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
    let back = chunks.concat();
    let mut lines = back.split(|byte| *byte == b'\n');
    for n in 0..COPY_ROWS {
        assert_eq!(lines.next(), Some(line(n).as_bytes()), "row {n}");
    }
    assert_eq!(lines.next(), Some(&b""[..]));
    let gone = client
        .execute("DELETE FROM scratch WHERE run = $1", &[run])
        .await
        .unwrap();
    assert_eq!(gone, COPY_ROWS as u64);
    // A bad row fails the COPY, not the session; a sink that is dropped half-way stores nothing.
    let bad = copy_in(&client, std::iter::once(Bytes::from("tokio\tx\ty\n"))).await;
    assert_eq!(code(bad), SqlState::INVALID_TEXT_REPRESENTATION);
    let sink = client
        .copy_in::<_, Bytes>("COPY scratch_in (run, n, body) FROM STDIN")
        .await
        .unwrap();
    drop(sink);
    assert_eq!(who(&client).await, ALICE);
}

async fn copy_in(client: &Client, chunks: impl Iterator<Item = Bytes>) -> Result<u64, Error> {
    let sink = client
        .copy_in("COPY scratch_in (run, n, body) FROM STDIN")
        .await?;
    let mut sink = pin!(sink);
    sink.send_all(&mut stream::iter(chunks.map(Ok))).await?;
    sink.finish().await
}

async fn big_value(gateway: &Gateway) {
    let client = gateway.connect(&alice()).await;
    let text: String = "0123456789abcdef-".repeat(BIG / 17 + 1)[..BIG].to_owned();
    let sql = "SELECT length(v), md5(v), v FROM (SELECT $1::text AS v) AS x";
    let row = client.query_one(sql, &[&text]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), i32::try_from(BIG).unwrap());
    assert!(row.get::<_, &str>(2) == text, "the value came back changed");
    let other = client.query_one(sql, &[&row.get::<_, &str>(2)]).await.unwrap();
    assert_eq!(row.get::<_, &str>(1), other.get::<_, &str>(1));
}

async fn cancel(gateway: &Gateway) {
    let client = gateway.connect(&alice()).await;
    let token = client.cancel_token();
    let start = Instant::now();
    let (slept, ()) = tokio::join!(client.query("SELECT pg_sleep(30)", &[]), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        token.cancel_query(NoTls).await.unwrap();
    });
    assert_eq!(code(slept), SqlState::QUERY_CANCELED);
    assert!(
        start.elapsed() < Duration::from_millis(2500),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(who(&client).await, ALICE);
    // The key of a session that runs nothing reaches nobody else's query.
    let other = gateway.connect(&bob()).await;
    let (unharmed, ()) = tokio::join!(
        other.query_one("SELECT 'unharmed' FROM pg_sleep(1.5)", &[]),
        async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            for _ in 0..5 {
                token.cancel_query(NoTls).await.unwrap();
            }
        }
    );
    assert_eq!(unharmed.unwrap().get::<_, &str>(0), "unharmed");
}

/// Requests polled together leave in one packet, each with its own Sync.
async fn pipeline(gateway: &Gateway) {
    let client = gateway.connect(&alice()).await;
    let statement = client.prepare("SELECT $1::int, who()").await.unwrap();
    let numbers: Vec<i32> = (0..200).collect();
    let results = join_all(numbers.iter().map(|n| {
        let (client, statement) = (&client, &statement);
        async move { client.query_one(statement, &[n]).await }
    }))
    .await;
    for (n, row) in results.into_iter().enumerate() {
        let row = row.unwrap();
        assert_eq!(
            (row.get::<_, i32>(0), row.get::<_, &str>(1)),
            (i32::try_from(n).unwrap(), ALICE)
        );
    }
    let insert = format!("INSERT INTO scratch (run, n) VALUES ('{}', 1)", gateway.run);
    let mine: [&(dyn ToSql + Sync); 1] = [&gateway.run];
    let (begin, insert, commit, after, wrong, refused, count) = tokio::join!(
        client.batch_execute("BEGIN"),
        client.batch_execute(&insert),
        client.batch_execute("COMMIT"),
        client.query_one("SELECT who()", &[]),
        client.query("SELECT 1/0", &[]),
        client.query("DROP TABLE todos", &[]),
        client.execute("DELETE FROM scratch WHERE run = $1", &mine),
    );
    begin.and(insert).and(commit).unwrap();
    assert_eq!(after.unwrap().get::<_, &str>(0), ALICE);
    assert_eq!(code(wrong), SqlState::DIVISION_BY_ZERO);
    assert_eq!(code(refused), SqlState::INSUFFICIENT_PRIVILEGE);
    assert_eq!(count.unwrap(), 1);
}

async fn portals(gateway: &Gateway) {
    let mut client = gateway.connect(&alice()).await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction
        .bind("SELECT generate_series(1, 1050)", &[])
        .await
        .unwrap();
    let mut total = 0;
    loop {
        let rows = transaction.query_portal(&portal, 100).await.unwrap();
        if rows.is_empty() {
            break;
        }
        total += rows.iter().map(|row| row.get::<_, i32>(0)).sum::<i32>();
    }
    assert_eq!(total, 1050 * 1051 / 2);
    transaction.commit().await.unwrap();
    assert_eq!(who(&client).await, ALICE);
}

async fn simple_queries(gateway: &Gateway) {
    let client = gateway.connect(&alice()).await;
    let sql = "SELECT 1; BEGIN; SELECT 2; COMMIT; SELECT who()";
    let messages = client.simple_query(sql).await.unwrap();
    let values: Vec<&str> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert_eq!(values, ["1", "2", ALICE]);
    client
        .batch_execute("SET TimeZone TO 'Asia/Tokyo'")
        .await
        .unwrap();
    assert_eq!(texts(&client, "SHOW TimeZone").await, ["Asia/Tokyo"]);
    let other = gateway.connect(&bob()).await;
    assert_ne!(texts(&other, "SHOW TimeZone").await, ["Asia/Tokyo"]);
}

async fn clients_do_not_cross(gateway: &Gateway) {
    let run = &gateway.run;
    let tenants = ["acme", "globex"];
    let direct = gateway.stack.is_none();
    let clients = (0..CLIENTS).map(|n| match (direct, n % 2) {
        (true, 0) => alice(),
        (true, _) => bob(),
        (false, tenant) => person(&format!("user{n}"), tenants[tenant]),
    });
    let results = join_all(clients.map(|who| {
        async move {
            let client = gateway.connect(&who).await;
            let mine = format!("{}@{}", who.name, who.tenant);
            let insert = client.prepare("INSERT INTO crossing (run, note) VALUES ($1, $2)").await?;
            let select = client
                .prepare(
                    "SELECT tenant, note, current_user_id() || '@' || current_tenant() FROM crossing WHERE run = $1",
                )
                .await?;
            for turn in 0..TURNS {
                client.execute(&insert, &[run, &mine]).await?;
                if turn % 2 == 1 {
                    client.batch_execute("BEGIN").await?;
                }
                let rows = client.query(&select, &[run]).await?;
                if turn % 2 == 1 {
                    client.batch_execute("COMMIT").await?;
                }
                let home = format!("@{}", who.tenant);
                for row in &rows {
                    let (tenant, note, session): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
                    assert!(
                        tenant == who.tenant && note.ends_with(&home) && session == mine,
                        "{mine} saw a row of {tenant} written by {note}, in a session of {session}"
                    );
                }
                assert!(rows.len() > turn, "{mine}: own rows are missing");
            }
            Ok::<(), Error>(())
        }
    }))
    .await;
    for result in results {
        result.unwrap();
    }
    let sql = format!("SELECT note FROM crossing WHERE run = '{run}' AND note <> owner || '@' || tenant");
    assert_eq!(
        gateway.postgres.ask(&sql),
        Vec::<String>::new(),
        "rows written as somebody else"
    );
    let sql = format!("SELECT count(*) FROM crossing WHERE run = '{run}'");
    assert_eq!(gateway.postgres.ask(&sql), [(CLIENTS * TURNS).to_string()]);
    gateway
        .postgres
        .ask(&format!("DELETE FROM crossing WHERE run = '{run}'"));
}

/// Runs one check in front of one stack, within two minutes.
fn run_check(name: &str, version: Version, pool_size: usize, check: impl AsyncFn(&Gateway)) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let Some(postgres) = cluster(version) else {
        return;
    };
    let options = StackOptions {
        postgres: version,
        ..StackOptions::pool(pool_size)
    };
    let direct = std::env::var_os("PORTCULLIS_TEST_DIRECT").is_some();
    let mut gateway = Gateway {
        stack: (!direct).then(|| Stack::start(&options)),
        postgres,
        pool_size: if direct { 0 } else { pool_size },
        run: format!(
            "tokio-{}-{}",
            std::process::id(),
            RUNS.fetch_add(1, Ordering::Relaxed)
        ),
    };
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let limited = timeout(Duration::from_secs(120), check(&gateway));
        limited
            .await
            .unwrap_or_else(|_| panic!("{name}: not done in time"));
    });
    if let Some(stack) = &mut gateway.stack {
        stack.assert_well();
    }
}

macro_rules! checks {
    ($names:tt in $($module:ident: $version:ident, $pool:literal;)*) => {
        $(checks!(@module $module $version $pool $names);)*
    };
    (@module $module:ident $version:ident $pool:literal [$($check:ident),* $(,)?]) => {
        mod $module {
            use super::{Version, run_check};

            $(#[test]
            fn $check() {
                run_check(stringify!($check), Version::$version, $pool, async |gateway| super::$check(gateway).await);
            })*
        }
    };
}

checks! {
    [
        login, rows, parameters, prepared_across_transactions, prepared_names_are_private, error_and_recovery,
        transactions_and_savepoints, copy_both_ways, big_value, cancel, pipeline, portals, simple_queries,
        clients_do_not_cross,
    ] in
    installed_pool_4: Installed, 4;
    installed_pool_1: Installed, 1;
    pg18_pool_4: Eighteen, 4;
    pg18_pool_1: Eighteen, 1;
}
