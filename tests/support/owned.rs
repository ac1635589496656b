//! A database as on RDS: its owner, and that of all in it, is neither a superuser nor exempt from policies.

use super::postgres::Postgres;
use super::raw::RawClient;

/// The owner's role.
pub(crate) const OWNER: &str = "landlord";

/// Another application's login.
pub(crate) const WORKER: &str = "worker";

/// Makes the owner's role and the worker's, once per cluster.
pub(crate) fn make_roles(postgres: &Postgres) {
    let mut superuser = postgres.superuser("postgres");
    superuser.values(&format!("CREATE ROLE {OWNER} LOGIN CREATEROLE CREATEDB"));
    superuser.values(&format!("CREATE ROLE {WORKER} LOGIN"));
}

/// Makes a database of the owner's with the application in it.
pub(crate) fn make_database(postgres: &Postgres, name: &str) {
    session(postgres, OWNER, "postgres").values(&format!("CREATE DATABASE {name}"));
    session(postgres, OWNER, name).values(include_str!("owned.sql"));
}

/// A role's own session, straight on the server.
pub(crate) fn session(postgres: &Postgres, user: &str, database: &str) -> RawClient {
    RawClient::try_unix(postgres.socket_folder(), postgres.port(), user, database)
        .unwrap_or_else(|why| panic!("{user}: {}", why.describe()))
}
