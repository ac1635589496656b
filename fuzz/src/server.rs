//! What the guard allows, on a real server: it may change rows of the caller's, but no catalog and not the role.

use portcullis::guard::Action;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

/// Catalogs that no end user's statement may write to; a row that was written has another `xmin`.
const CATALOGS: [&str; 14] = [
    "pg_class",
    "pg_attribute",
    "pg_proc",
    "pg_type",
    "pg_namespace",
    "pg_authid",
    "pg_auth_members",
    "pg_db_role_setting",
    "pg_trigger",
    "pg_policy",
    "pg_rewrite",
    "pg_largeobject_metadata",
    "pg_constraint",
    "pg_default_acl",
];

const WHO: &str = "SELECT concat_ws('|', current_user, session_user, current_setting('app.user_id', true), \
    current_setting('app.tenant', true), current_setting('search_path'), current_setting('row_security'))";

/// A superuser's session, in which everything is rolled back.
pub struct Server {
    runtime: Runtime,
    client: Client,
    snapshot: String,
    /// Statements that ran to their end.
    pub completed: u64,
}

impl Server {
    /// Connects; `role` is the end user's.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub fn connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (client, connection) = runtime.block_on(tokio_postgres::connect(url, NoTls))?;
        runtime.spawn(connection);
        let counts: Vec<String> = CATALOGS
            .iter()
            .map(|name| {
                format!("SELECT concat(count(*), '/', max(xmin::text::bigint)) AS c FROM pg_catalog.{name}")
            })
            .collect();
        let snapshot = format!(
            "SELECT string_agg(c, ' ') FROM ({}) AS s",
            counts.join(" UNION ALL ")
        );
        let server = Self {
            runtime,
            client,
            snapshot,
            completed: 0,
        };
        let settings = "SET statement_timeout = '2s'; SET lock_timeout = '1s'";
        server.runtime.block_on(server.client.batch_execute(settings))?;
        Ok(server)
    }

    /// Runs a text if the guard allows it: each statement by Parse, as the proxy sends it. Panics if a catalog or
    /// the role has changed.
    pub fn try_out(&mut self, bytes: &[u8]) {
        let Some(script) = super::judged(bytes) else {
            return;
        };
        for cleared in script.statements() {
            if !matches!(cleared.action(), Action::Query | Action::SetConfig(_)) {
                continue;
            }
            let sql = cleared.sql().to_owned();
            let before = self.ask(&self.snapshot.clone());
            let begin = "BEGIN; SELECT set_config('app.user_id', 'alice', true), \
                         set_config('app.tenant', 'acme', true), set_config('role', 'authenticated', true)";
            self.runtime
                .block_on(self.client.batch_execute(begin))
                .expect("a transaction");
            let who = self.ask(WHO);
            let done = self.runtime.block_on(async {
                let statement = self.client.prepare(&sql).await?;
                if !statement.params().is_empty() {
                    return Ok(false);
                }
                self.client.execute(&statement, &[]).await.map(|_| true)
            });
            if matches!(done, Ok(true)) {
                self.completed += 1;
                assert_eq!(self.ask(WHO), who, "it is somebody else after {sql:?}");
                self.runtime
                    .block_on(self.client.batch_execute("RESET ROLE"))
                    .expect("the superuser again");
                assert_eq!(
                    self.ask(&self.snapshot.clone()),
                    before,
                    "a catalog has changed after {sql:?}"
                );
            }
            self.runtime
                .block_on(self.client.batch_execute("ROLLBACK"))
                .expect("the end of it");
        }
    }

    fn ask(&self, sql: &str) -> String {
        let row = self.runtime.block_on(self.client.query_one(sql, &[]));
        row.expect("an answer").get(0)
    }
}
