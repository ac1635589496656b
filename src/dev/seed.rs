//! Makes the demonstration's roles, databases and rows. Safe to run on data that is there already.

use tokio_postgres::{Config, NoTls};

use super::{Cluster, DevError};
use crate::harden::{self, Extent, Request, TenantRoles, Wanted};

/// What one tenant of the demonstration starts with.
pub(super) struct Tenant {
    /// Its name, and that of its database. A plain lower-case word.
    pub(super) name: &'static str,
    rows: &'static str,
}

/// The demonstration's tenants.
pub(super) const TENANTS: [Tenant; 2] = [
    Tenant {
        name: "acme",
        rows: include_str!("../../migrations/demo/seed_acme.sql"),
    },
    Tenant {
        name: "globex",
        rows: include_str!("../../migrations/demo/seed_globex.sql"),
    },
];

const ROLES: &str = include_str!("../../migrations/demo/roles.sql");
const SCHEMA: &str = include_str!("../../migrations/demo/tenant.sql");

/// The passwords of the two logins, new on every run.
pub(super) struct Passwords {
    /// Of `portcullis_app`.
    pub(super) app: String,
    /// Of `portcullis_service`.
    pub(super) service: String,
}

/// Brings a cluster to where the demonstration starts; rows are put into new tables only.
///
/// # Errors
/// [`DevError::Database`].
///
/// Cancel safe: each part is one transaction, and the next run does what is missing.
pub(super) async fn seed(cluster: &Cluster, passwords: &Passwords) -> Result<(), DevError> {
    let session = Session::open(&cluster.superuser_config()).await?;
    session.make_roles(passwords).await?;
    for tenant in &TENANTS {
        session.make_database(tenant.name).await?;
    }
    session.close().await;
    for tenant in &TENANTS {
        let session = Session::open(cluster.superuser_config().dbname(tenant.name)).await?;
        session.fill(tenant).await?;
        session.close().await;
    }
    Ok(())
}

/// Hardens the tenants' databases as `portcullis harden` does, so that the demonstration has its second wall.
///
/// # Errors
/// [`DevError::Database`].
///
/// Cancel safe: the next run does what is missing.
pub(super) async fn harden(cluster: &Cluster, wanted: &Wanted) -> Result<(), DevError> {
    let request = Request {
        wanted,
        tenants: &TenantRoles::default(),
        extent: Extent::Everything,
    };
    for tenant in &TENANTS {
        let session = Session::open(cluster.superuser_config().dbname(tenant.name)).await?;
        let hardened = harden::harden(&session.0, request).await;
        hardened.map_err(|source| DevError::Harden {
            database: tenant.name,
            source,
        })?;
        session.close().await;
    }
    Ok(())
}

/// A superuser's connection.
struct Session(harden::Session);

impl Session {
    async fn open(config: &Config) -> Result<Self, DevError> {
        let session = harden::Session::open(config, NoTls).await;
        session
            .map(Self)
            .map_err(while_asking(|| "connect to the private Postgres".to_owned()))
    }

    async fn make_roles(&self, passwords: &Passwords) -> Result<(), DevError> {
        let doing = || "make the demonstration's roles".to_owned();
        let settings = "SELECT pg_catalog.set_config('portcullis.app_password', $1, false), \
                        pg_catalog.set_config('portcullis.service_password', $2, false)";
        let values = self
            .0
            .client()
            .query(settings, &[&passwords.app, &passwords.service])
            .await;
        values.map_err(while_asking(doing))?;
        self.0
            .client()
            .batch_execute(ROLES)
            .await
            .map_err(while_asking(doing))
    }

    async fn make_database(&self, name: &str) -> Result<(), DevError> {
        let doing = || format!("make the database {name}");
        let found = self
            .0
            .client()
            .query("SELECT FROM pg_catalog.pg_database WHERE datname = $1", &[&name])
            .await;
        if found.map_err(while_asking(doing))?.is_empty() {
            let create = self
                .0
                .client()
                .batch_execute(&format!("CREATE DATABASE {name}"))
                .await;
            create.map_err(while_asking(doing))?;
        }
        Ok(())
    }

    async fn fill(&self, tenant: &Tenant) -> Result<(), DevError> {
        let doing = || format!("fill the database {}", tenant.name);
        let exists = "SELECT pg_catalog.to_regclass('public.todos') IS NOT NULL";
        let exists = self
            .0
            .client()
            .query_one(exists, &[])
            .await
            .and_then(|row| row.try_get::<_, bool>(0));
        let rows = if exists.map_err(while_asking(doing))? {
            ""
        } else {
            tenant.rows
        };
        // One simple Query is one transaction: the table and its first rows come together or not at all.
        self.0
            .client()
            .batch_execute(&format!("{SCHEMA}{rows}"))
            .await
            .map_err(while_asking(doing))
    }

    async fn close(self) {
        self.0.close().await;
    }
}

fn while_asking<D: FnOnce() -> String>(doing: D) -> impl FnOnce(tokio_postgres::Error) -> DevError {
    move |source| DevError::Database {
        doing: doing(),
        source,
    }
}
