//! The demonstration's databases, asked directly: what its policies let each role see and do.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]
#![expect(clippy::indexing_slicing, reason = "a key that is missing is a failed test")]

use std::path::Path;

use portcullis::dev::{Binaries, Cluster, ClusterOptions, Demo};
use tokio_postgres::{Client, NoTls, Transaction};

/// Every version on this machine, and the one that PORTCULLIS_TEST_PG_BIN names.
fn versions() -> Vec<Binaries> {
    let mut found = Binaries::all();
    if let Some(folder) = std::env::var_os("PORTCULLIS_TEST_PG_BIN") {
        found.push(Binaries::in_folder(Path::new(&folder)).expect("PORTCULLIS_TEST_PG_BIN"));
    }
    assert!(
        !found.is_empty(),
        "no PostgreSQL server binaries: apt install postgresql"
    );
    found
}

/// Logs in as the proxy does: over TCP, with the password of the run's configuration.
async fn login(cluster: &Cluster, demo: &Demo, login: &str, database: &str) -> Client {
    let config: toml::Table = std::fs::read_to_string(&demo.config_path)
        .unwrap()
        .parse()
        .unwrap();
    let login = &config["logins"][login];
    let mut options = tokio_postgres::Config::new();
    options.host("127.0.0.1").port(cluster.port()).dbname(database);
    options
        .user(login["user"].as_str().unwrap())
        .password(login["password"].as_str().unwrap());
    let (client, connection) = options.connect(NoTls).await.expect("log in");
    tokio::spawn(connection);
    client
}

/// A transaction as the proxy begins one.
async fn become_user<'a>(client: &'a mut Client, role: &str, user: &str, tenant: &str) -> Transaction<'a> {
    let transaction = client.transaction().await.unwrap();
    let prelude = "SELECT set_config('app.user_id', $1, true), set_config('app.tenant', $2, true), \
                   set_config('role', $3, true)";
    transaction
        .query(prelude, &[&user, &tenant, &role])
        .await
        .unwrap();
    transaction
}

async fn titles(transaction: &Transaction<'_>) -> Vec<String> {
    let rows = transaction
        .query("SELECT owner || ': ' || title FROM todos ORDER BY 1", &[])
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The SQLSTATE of a statement that must fail.
async fn refusal(transaction: &mut Transaction<'_>, sql: &str) -> String {
    let savepoint = transaction.transaction().await.unwrap();
    match savepoint.batch_execute(sql).await {
        Ok(()) => panic!("{sql} was allowed"),
        Err(error) => error.code().expect("an answer of the server").code().to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_sees_what_its_policy_says() {
    for binaries in versions() {
        let start = move || Cluster::start(ClusterOptions::temporary(binaries));
        let cluster = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
        let demo = Demo::prepare(&cluster, 6432).await.unwrap();
        users_see_their_own(&cluster, &demo).await;
        nobody_sees_more_than_is_public(&cluster, &demo).await;
        a_login_alone_sees_nothing(&cluster, &demo).await;
        the_service_sees_all(&cluster, &demo).await;
        // Kept data is prepared on every run: new passwords, the same rows.
        let again = Demo::prepare(&cluster, 6432).await.unwrap();
        users_see_their_own(&cluster, &again).await;
        tokio::task::spawn_blocking(move || cluster.stop())
            .await
            .unwrap()
            .unwrap();
    }
}

async fn users_see_their_own(cluster: &Cluster, demo: &Demo) {
    let mut client = login(cluster, demo, "app", "acme").await;
    let mut alice = become_user(&mut client, "authenticated", "alice", "acme").await;
    let own = titles(&alice).await;
    assert_eq!(own.len(), 3, "{own:?}");
    assert!(own.iter().all(|title| title.starts_with("alice: ")), "{own:?}");
    let row = alice
        .query_one(
            "INSERT INTO todos (title) VALUES ('x') RETURNING owner, tenant",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), ("alice", "acme"));
    for foreign in ["owner = 'carol'", "tenant = 'globex'"] {
        let sql = format!("UPDATE todos SET {foreign}");
        assert_eq!(refusal(&mut alice, &sql).await, "42501");
    }
    let touched = alice
        .execute("UPDATE todos SET done = true WHERE owner = 'carol'", &[])
        .await
        .unwrap();
    assert_eq!(touched, 0);
    for sql in [
        "DROP TABLE todos",
        "CREATE TABLE mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
        "ALTER TABLE todos DISABLE ROW LEVEL SECURITY",
        "TRUNCATE todos",
    ] {
        assert_eq!(refusal(&mut alice, sql).await, "42501", "{sql}");
    }
    alice.rollback().await.unwrap();

    let mut client = login(cluster, demo, "app", "globex").await;
    let bob = become_user(&mut client, "authenticated", "bob", "globex").await;
    let own = titles(&bob).await;
    assert_eq!(own.len(), 3, "{own:?}");
    assert!(own.iter().all(|title| title.starts_with("bob: ")), "{own:?}");
}

async fn nobody_sees_more_than_is_public(cluster: &Cluster, demo: &Demo) {
    let mut client = login(cluster, demo, "app", "acme").await;
    let mut anon = become_user(&mut client, "anon", "", "acme").await;
    let public = ["alice: Publish the spring catalog", "carol: Open day on Saturday"];
    assert_eq!(titles(&anon).await, public);
    assert_eq!(
        refusal(
            &mut anon,
            "INSERT INTO todos (owner, title) VALUES ('alice', 'x')"
        )
        .await,
        "42501"
    );
    drop(anon);
    // Nobody's '' is nobody, not the owner of rows without one.
    let nobody = become_user(&mut client, "authenticated", "", "acme").await;
    assert!(titles(&nobody).await.is_empty());
}

async fn a_login_alone_sees_nothing(cluster: &Cluster, demo: &Demo) {
    for name in ["app", "service"] {
        let mut client = login(cluster, demo, name, "acme").await;
        let mut plain = client.transaction().await.unwrap();
        assert_eq!(
            refusal(&mut plain, "SELECT FROM public.todos").await,
            "42501",
            "{name}"
        );
    }
    let mut client = login(cluster, demo, "app", "acme").await;
    let mut plain = client.transaction().await.unwrap();
    assert_eq!(refusal(&mut plain, "SET ROLE service_role").await, "42501");
    assert_eq!(refusal(&mut plain, "SET ROLE postgres").await, "42501");
}

async fn the_service_sees_all(cluster: &Cluster, demo: &Demo) {
    let mut client = login(cluster, demo, "service", "acme").await;
    let service = become_user(&mut client, "service_role", "", "acme").await;
    assert_eq!(titles(&service).await.len(), 5);
    service
        .batch_execute("CREATE TABLE migrated (n int)")
        .await
        .unwrap();
}
