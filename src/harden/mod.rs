//! The database as a second wall: what it lacks to hold when the guard does not, and how that is mended.
//!
//! One query, `policies/sql/harden.sql`, says what is missing, each with the statement that mends it. So looking,
//! mending and looking again are the same thing, and nothing is done twice. Three things are true of every rule there,
//! also of one to come, without its doing:
//!
//! * A right that the database's own code needs is not taken (`needs`, from the fix and `policies/sql/code.sql`).
//! * Only what is gone when the survey is taken again counts as mended (`mend`).
//! * What a fix has changed is found by comparing the rights before and after, and can be put back (`snapshot`, `restore`).

mod code;
mod mend;
mod needs;
mod record;
mod restore;
mod session;
mod snapshot;
mod sql;
mod tenant_roles;
mod wanted;
mod words;

pub use mend::{Extent, Hardened, Request, Undone, harden, undo};
pub use session::Session;
pub use tenant_roles::{TenantRoles, farewell, schemas};
pub use wanted::Wanted;

use crate::base::DatabaseName;
use code::Code;
use snapshot::SnapshotError;
use tokio_postgres::{Client, Row};

/// The query that finds what is missing.
const FINDINGS: &str = include_str!("../../policies/sql/harden.sql");

/// The databases of a server.
const DATABASES: &str = "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname";

/// Who acts on a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `portcullis harden` mends it.
    Mend,
    /// A person has to decide: mending it may take something from the application.
    Advice,
    /// The same, and as long as nobody has decided the wall is not there.
    Gap,
}

/// One thing that a database lacks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// Why a database is not hardened. Nothing has changed in it then.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// What the server says.
    #[error("{}", reason(.0))]
    Server(#[from] tokio_postgres::Error),
    /// It would not be safe to go on.
    #[error("{0}")]
    Refused(String),
}

impl From<SnapshotError> for HardenError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Server(error) => Self::Server(error),
            SnapshotError::Text(error) => {
                Self::Refused(format!("the list of rights cannot be read: {error}"))
            }
        }
    }
}

/// The server's own words, which `tokio_postgres` keeps in the source.
pub fn reason(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => format!("{}: {}", db.code().code(), db.message()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// The databases that the server of this session has and lets in, by name.
///
/// # Errors
/// The server's. Cancel safe: it changes nothing.
pub async fn databases(client: &Client) -> Result<Vec<DatabaseName>, tokio_postgres::Error> {
    let rows = client.query(DATABASES, &[]).await?;
    rows.iter()
        .map(|row| row.try_get::<_, String>(0).map(DatabaseName::new))
        .collect()
}

/// Looks for what the database of this session lacks. Any role may look.
///
/// # Errors
/// The server's, for one that is older than PostgreSQL 14 among others.
///
/// Cancel safe: it changes nothing.
pub async fn findings(client: &Client, wanted: &Wanted) -> Result<Vec<Finding>, tokio_postgres::Error> {
    let code = Code::read(client, wanted).await?;
    survey(client, wanted, &code).await
}

/// The same where the code of the database is known.
async fn survey(
    client: &Client,
    wanted: &Wanted,
    code: &Code,
) -> Result<Vec<Finding>, tokio_postgres::Error> {
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
                &wanted.asked,
            ],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.extend(needs::spared(Finding::of(row)?, code));
    }
    // A gap that a mend is going to close is none.
    let mended: Vec<String> = found
        .iter()
        .filter(|finding| finding.is_mend())
        .map(|finding| finding.object.clone())
        .collect();
    found.retain(|finding| finding.kind != Kind::Gap || !mended.contains(&finding.object));
    Ok(found)
}

impl Finding {
    /// Whether `portcullis harden` mends it.
    pub fn is_mend(&self) -> bool {
        self.kind == Kind::Mend && self.fix.is_some()
    }

    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            rule: row.try_get("rule")?,
            kind: match row.try_get("kind")? {
                "mend" => Kind::Mend,
                "gap" => Kind::Gap,
                _ => Kind::Advice,
            },
            object: row.try_get("object")?,
            problem: row.try_get("problem")?,
            fix: row.try_get("fix")?,
        })
    }
}
