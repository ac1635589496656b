//! What hardening has changed in a database, kept in that database for `--undo`.
//!
//! It is the comment of a schema of our own, as JSON. A comment needs no right to be read, so that backups by other
//! roles go on working, and only the schema's owner can change it.

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::HardenError;
use super::snapshot::Change;
use super::sql::literal;

/// The schema whose comment it is.
pub(super) const SCHEMA: &str = "portcullis_undo";

/// The changes of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// When, as the server writes it.
    pub(super) at: String,
    pub(super) changes: Vec<Change>,
}

/// The runs of a database in order; empty if nothing is kept.
///
/// # Errors
/// It belongs to somebody who could have it do more than hardening did, or cannot be read.
pub(super) async fn read(client: &Client) -> Result<Vec<Run>, HardenError> {
    let kept = client
        .query_opt(
            "SELECT pg_catalog.obj_description(n.oid, 'pg_namespace') AS runs, o.rolname::text AS owner, \
                    o.rolsuper OR o.rolname = current_user AS is_trusted \
             FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner WHERE n.nspname = $1",
            &[&SCHEMA],
        )
        .await?;
    let Some(kept) = kept else {
        return Ok(Vec::new());
    };
    if !kept.try_get::<_, bool>("is_trusted")? {
        let owner: String = kept.try_get("owner")?;
        return Err(HardenError::Refused(format!(
            "what was changed is kept in schema {SCHEMA}, which is {owner}'s and not a superuser's: run it as {owner}"
        )));
    }
    let runs: Option<String> = kept.try_get("runs")?;
    let runs = serde_json::from_str(runs.as_deref().unwrap_or("[]"));
    runs.map_err(|error| {
        HardenError::Refused(format!("the comment of schema {SCHEMA} cannot be read: {error}"))
    })
}

/// Keeps these runs, or nothing at all where there are none.
///
/// # Errors
/// The server's: the role may not create a schema, or something else is in it.
pub(super) async fn write(client: &Client, runs: &[Run]) -> Result<(), HardenError> {
    if runs.is_empty() {
        let gone = client
            .batch_execute(&format!("DROP SCHEMA IF EXISTS {SCHEMA}"))
            .await;
        return Ok(gone?);
    }
    let runs = serde_json::to_string(runs)
        .map_err(|error| HardenError::Refused(format!("the changes cannot be written down: {error}")))?;
    let make = format!(
        "CREATE SCHEMA IF NOT EXISTS {SCHEMA}; COMMENT ON SCHEMA {SCHEMA} IS {}",
        literal(&runs)
    );
    client.batch_execute(&make).await.map_err(|error| {
        HardenError::Refused(format!(
            "cannot keep what it changes in a schema {SCHEMA} for --undo, so nothing is changed: {}",
            super::reason(&error)
        ))
    })
}
