//! Hardening a database and taking it back: each one transaction, judged by what the server says afterwards.

use std::collections::HashMap;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::code::Code;
use super::record::{self, Run};
use super::restore::statements;
use super::snapshot::{Change, Snapshot};
use super::{Finding, HardenError, Kind, Session, TenantRoles, Wanted, reason, survey};

/// Mending one thing may bring up another. More rounds than that mean that something comes back by itself.
const ROUNDS: usize = 4;

/// What a transaction of hardening opens with. One view of the catalogs, so that what others change meanwhile is not
/// taken for ours; nothing waits for long, and two never run at once in a database.
const OPENING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout = '10s'; \
                       SET LOCAL statement_timeout = '5min'; SET LOCAL search_path = ''";

/// The lock that keeps two runs apart; any number that is ours.
const LOCK: &str = "SELECT pg_catalog.pg_try_advisory_xact_lock(7075672616373)";

/// What is asked of a database.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Against whom it is hardened.
    pub wanted: &'a Wanted,
    /// The roles that tenants have of their own in it.
    pub tenants: &'a TenantRoles,
    /// How much of it is done.
    pub extent: Extent,
}

/// How much is done to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Everything,
    /// Tenants' own roles get what they need, and the roles that tenants share lose it.
    TenantRoles,
    /// Tenants' own roles get what they need.
    Gifts,
}

/// What hardening a database came to.
#[derive(Debug, Default)]
pub struct Hardened {
    /// What was missing and is there now.
    pub mended: Vec<Finding>,
    /// What was tried and is missing still, each with the reason.
    pub remaining: Vec<(Finding, String)>,
    /// What a person has to decide, gaps first.
    pub left: Vec<Finding>,
}

/// What taking it back came to.
#[derive(Debug, Default)]
pub struct Undone {
    /// How many things are as they were.
    pub restored: usize,
    /// Things that are gone, or that somebody else has changed since.
    pub skipped: Vec<String>,
    /// Things that could not be put back, each with the reason. They are kept for another try.
    pub remaining: Vec<(String, String)>,
}

/// Mends what can be mended and looks again. What it changes is kept in the database for [`undo`].
///
/// # Errors
/// [`HardenError`]; then nothing has changed.
///
/// Cancel safe: it is one transaction.
pub async fn harden(session: &Session, request: Request<'_>) -> Result<Hardened, HardenError> {
    let client = session.client();
    open(client).await?;
    let done = harden_within(session, request).await;
    close(client, done).await
}

/// Puts back all that [`harden`] has changed in this database, as far as nobody has changed it since.
///
/// # Errors
/// [`HardenError`]; then nothing has changed.
///
/// Cancel safe: it is one transaction.
pub async fn undo(session: &Session) -> Result<Undone, HardenError> {
    let client = session.client();
    open(client).await?;
    let done = undo_within(session).await;
    close(client, done).await
}

async fn open(client: &Client) -> Result<(), HardenError> {
    client.batch_execute(OPENING).await?;
    let is_alone: bool = client.query_one(LOCK, &[]).await?.try_get(0)?;
    if is_alone {
        return Ok(());
    }
    client.batch_execute("ROLLBACK").await?;
    Err(HardenError::Refused("another run is at work in it".to_owned()))
}

async fn close<T>(client: &Client, done: Result<T, HardenError>) -> Result<T, HardenError> {
    if done.is_ok() {
        client.batch_execute("COMMIT").await?;
    } else {
        // The first error is what matters; the connection's end rolls back as well.
        let _ = client.batch_execute("ROLLBACK").await;
    }
    done
}

async fn harden_within(session: &Session, request: Request<'_>) -> Result<Hardened, HardenError> {
    let client = session.client();
    let mut runs = record::read(client).await?;
    let before = Snapshot::take(client).await?;
    let mut outcome = Hardened::default();
    // Tenants' own roles first, so that all the rest is looked at with them.
    mend_tenants(session, request, &mut outcome).await?;
    if request.extent == Extent::Everything {
        request.wanted.exists(client).await?;
        let code = Code::read(client, request.wanted).await?;
        let look = async || Ok(survey(client, request.wanted, &code).await?);
        mend_all(session, look, &mut outcome).await?;
    }
    outcome
        .mended
        .sort_by(|a, b| (&a.rule, &a.object, &a.problem).cmp(&(&b.rule, &b.object, &b.problem)));
    outcome.left.sort_by_key(|finding| finding.kind != Kind::Gap);
    let changes = before.changes(&Snapshot::take(client).await?);
    if !changes.is_empty() {
        let at = client
            .query_one("SELECT pg_catalog.now()::text", &[])
            .await?
            .try_get(0)?;
        runs.push(Run { at, changes });
        record::write(client, &runs).await?;
    }
    Ok(outcome)
}

/// Gives tenants' roles what they need, and only if that has worked takes it from the roles that tenants share.
async fn mend_tenants(
    session: &Session,
    request: Request<'_>,
    outcome: &mut Hardened,
) -> Result<(), HardenError> {
    let (client, tenants) = (session.client(), request.tenants);
    let gifts = async || {
        let mut found = tenants.findings(client).await?;
        found.retain(|finding| !TenantRoles::takes_away(finding));
        Ok(found)
    };
    mend_all(session, gifts, outcome).await?;
    if request.extent == Extent::Gifts {
        return Ok(());
    }
    let takes = async || {
        let mut found = tenants.findings(client).await?;
        found.retain(TenantRoles::takes_away);
        Ok(found)
    };
    if outcome.remaining.is_empty() {
        return mend_all(session, takes, outcome).await;
    }
    let untried = takes().await?.into_iter().filter(Finding::is_mend);
    let untried = untried.map(|finding| (finding, UNTRIED.to_owned()));
    outcome.remaining.extend(untried);
    Ok(())
}

/// Mends what a look finds, and looks again until nothing new comes up.
async fn mend_all(
    session: &Session,
    look: impl AsyncFn() -> Result<Vec<Finding>, HardenError>,
    outcome: &mut Hardened,
) -> Result<(), HardenError> {
    let mut tried: HashMap<Finding, String> = HashMap::new();
    let mut found = look().await?;
    for _ in 0..ROUNDS {
        let new: Vec<Finding> = found
            .iter()
            .filter(|f| f.is_mend() && !tried.contains_key(f))
            .cloned()
            .collect();
        if new.is_empty() {
            break;
        }
        for finding in new {
            let fix = finding.fix.as_deref().unwrap_or_default();
            let why = attempt(session, fix).await?.join("; ");
            tried.insert(finding, why);
        }
        found = look().await?;
    }
    for finding in found {
        if !finding.is_mend() {
            outcome.left.push(finding);
            continue;
        }
        let why = tried.remove(&finding).unwrap_or_default();
        let why = if why.is_empty() { NOTHING.to_owned() } else { why };
        outcome.remaining.push((finding, why));
    }
    outcome.mended.extend(tried.into_keys());
    Ok(())
}

async fn undo_within(session: &Session) -> Result<Undone, HardenError> {
    let client = session.client();
    let mut runs = record::read(client).await?;
    let mut outcome = Undone::default();
    let mut kept = Vec::new();
    while let Some(Run { at, changes }) = runs.pop() {
        let changes = put_back(session, changes, &mut outcome).await?;
        if !changes.is_empty() {
            kept.push(Run { at, changes });
        }
    }
    kept.reverse();
    record::write(client, &kept).await?;
    Ok(outcome)
}

/// Puts the changes of one run back and looks again. Gives back those that are not.
async fn put_back(
    session: &Session,
    changes: Vec<Change>,
    outcome: &mut Undone,
) -> Result<Vec<Change>, HardenError> {
    let client = session.client();
    let now = Snapshot::take(client).await?;
    let mut tried = Vec::new();
    // What is done to a table's rights is done to its columns': columns come last.
    let (columns, others): (Vec<Change>, Vec<Change>) = changes
        .into_iter()
        .partition(|change| change.thing.kind == "COLUMN");
    for change in others.into_iter().chain(columns) {
        let (state, owner) = now.of(&change.thing).unwrap_or((&change.after, ""));
        let script = statements(&change, state, owner).join("; ");
        if script.is_empty() {
            outcome
                .skipped
                .push(format!("{}: changed since, and left", label(&change)));
            continue;
        }
        let why = attempt(session, &script).await?.join("; ");
        tried.push((change, why));
    }
    let later = Snapshot::take(client).await?;
    let mut remaining = Vec::new();
    for (change, why) in tried {
        let is_back = match later.of(&change.thing) {
            Some((state, owner)) => statements(&change, state, owner).is_empty(),
            None => change.was_initial,
        };
        if is_back {
            outcome.restored += 1;
        } else if why.starts_with(GONE) {
            outcome.skipped.push(format!("{}: is gone", label(&change)));
        } else {
            let why = if why.is_empty() { NOTHING.to_owned() } else { why };
            outcome.remaining.push((label(&change), why));
            remaining.push(change);
        }
    }
    Ok(remaining)
}

fn label(change: &Change) -> String {
    let thing = &change.thing;
    let words = [&thing.kind, &thing.object, &thing.part].map(String::as_str);
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The reason where the server gave none.
const NOTHING: &str = "the server took the statement and changed nothing";

/// The reason where the tenants' own roles would be left without.
const UNTRIED: &str = "not tried, as tenants' own roles lack something";

/// What the reason begins with where an object is not there any more.
const GONE: &str = "gone: ";

/// Runs a fix on a savepoint of its own. What the server said against it: an error, which takes the fix back, or
/// warnings.
async fn attempt(session: &Session, fix: &str) -> Result<Vec<String>, HardenError> {
    let client = session.client();
    client.batch_execute("SAVEPOINT portcullis_fix").await?;
    session.warnings();
    match client.batch_execute(fix).await {
        Ok(()) => {
            client.batch_execute("RELEASE portcullis_fix").await?;
            Ok(session.warnings())
        }
        Err(error) => {
            client
                .batch_execute("ROLLBACK TO portcullis_fix; RELEASE portcullis_fix")
                .await?;
            let is_gone = error.code().is_some_and(|code| {
                [
                    SqlState::UNDEFINED_OBJECT,
                    SqlState::UNDEFINED_TABLE,
                    SqlState::UNDEFINED_FUNCTION,
                    SqlState::UNDEFINED_COLUMN,
                    SqlState::INVALID_SCHEMA_NAME,
                ]
                .contains(code)
            });
            let mark = if is_gone { GONE } else { "" };
            Ok(vec![format!("{mark}{}", reason(&error))])
        }
    }
}
