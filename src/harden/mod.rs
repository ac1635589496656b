//! The database as a second wall: what it lacks to hold when the guard does not, and how that is mended.
//!
//! One query, `policies/sql/harden.sql`, says what is missing, each with the statement that mends it. So looking,
//! mending and looking again are the same thing, and nothing is done twice.

mod tenant_roles;
mod wanted;

pub use tenant_roles::{TenantRoles, farewell, schemas};
pub use wanted::Wanted;

use tokio_postgres::{Client, Row};

/// The query that finds what is missing.
const FINDINGS: &str = include_str!("../../policies/sql/harden.sql");

/// Who acts on a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `portcullis harden` mends it.
    Mend,
    /// A person has to decide: mending it may take something from the application.
    Advice,
}

/// One thing that a database lacks.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that finds it, such as `table.privileges`.
    pub rule: String,
    /// Who acts on it.
    pub kind: Kind,
    /// What it is about: a table, function or role, as SQL writes it.
    pub object: String,
    /// What is wrong, for people.
    pub problem: String,
    /// The SQL that mends it, where there is one.
    pub fix: Option<String>,
}

/// Looks for what the database of this session lacks. Any role may look.
///
/// # Errors
/// The server's, for one that is older than PostgreSQL 14 among others.
///
/// Cancel safe: it changes nothing.
pub async fn findings(client: &Client, wanted: &Wanted) -> Result<Vec<Finding>, tokio_postgres::Error> {
    let (logins, roles): (Vec<&str>, Vec<&str>) = wanted
        .memberships
        .iter()
        .map(|(login, role)| (login.as_str(), role.as_str()))
        .unzip();
    let rows = client
        .query(
            FINDINGS,
            &[
                &logins,
                &roles,
                &wanted.end_users,
                &wanted.keepers,
                &wanted.functions,
                &wanted.prefixes,
            ],
        )
        .await?;
    rows.iter().map(Finding::of).collect()
}

/// Mends one thing; true if there was something to do. Needs a role that owns what it is about, mostly a superuser.
///
/// # Errors
/// The server's: 42501 where the platform keeps that right to itself.
///
/// Cancel safe: the fix is one transaction.
pub async fn mend(client: &Client, finding: &Finding) -> Result<bool, tokio_postgres::Error> {
    match (&finding.fix, finding.kind) {
        (Some(fix), Kind::Mend) => client.batch_execute(fix).await.map(|()| true),
        _ => Ok(false),
    }
}

impl Finding {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let kind: &str = row.try_get("kind")?;
        Ok(Self {
            rule: row.try_get("rule")?,
            kind: if kind == "mend" { Kind::Mend } else { Kind::Advice },
            object: row.try_get("object")?,
            problem: row.try_get("problem")?,
            fix: row.try_get("fix")?,
        })
    }
}
