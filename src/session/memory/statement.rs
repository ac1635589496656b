//! Prepared statements that work in transaction mode: the client's name leads to a text, the text to a
//! statement that every server connection prepares under the same name.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::sync::{Cache, CacheBuilder};

use crate::base::limits;
use crate::base::memory::Budget;
use crate::guard::{Action, Cleared, Qualified, Script, StatementClass, StatementName};
use crate::identity::PreludeText;
use crate::wire::encode;

/// A text under the name that server connections prepare it by.
#[derive(Debug)]
pub(crate) struct Prepared {
    id: u64,
    /// Made when it is asked for: the unnamed statement seldom needs one.
    name: OnceLock<Box<str>>,
    types: Box<[u8]>,
}

/// A statement of our own that goes ahead of a transaction's first.
#[derive(Debug)]
pub(crate) struct Prelude {
    pub(crate) prepared: Prepared,
    pub(crate) sql: Arc<str>,
}

/// A client's statement, cleared by the guard.
#[derive(Debug)]
pub(crate) struct Statement {
    prepared: Prepared,
    script: Arc<Script>,
    /// The PREPARE that it came from, where it declares types that Parse cannot: by names of the client's.
    command: Option<PrepareCommand>,
    context: Option<u64>,
    kept_for: KeptFor,
}

/// For whose sake server connections keep a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeptFor {
    /// Clients have named it, or nobody keeps it.
    Names,
    /// Its text comes again and again without a name.
    Repetition,
}

/// A PREPARE as the client has sent it.
#[derive(Clone, Debug)]
struct PrepareCommand {
    sql: Box<str>,
    /// The bytes that spell the client's name.
    name: Range<usize>,
}

/// Statements of our own: transaction control around a `CALL`, and reading a setting back.
#[derive(Debug)]
pub(crate) struct Internal {
    pub(crate) begin: Prepared,
    pub(crate) commit: Prepared,
    pub(crate) read_setting: Prepared,
    pub(crate) write_setting: Prepared,
}

/// All texts in use, so that equal texts share one name on the server.
pub(crate) struct StatementCache {
    next_id: AtomicU64,
    /// The first id since all texts have had new names.
    renewed_at: AtomicU64,
    statements: Statements,
    /// Those that no client has named.
    repeated: Statements,
    preludes: Cache<Arc<str>, Arc<Prelude>, RandomState>,
    /// The longest text that is kept here.
    most_kept: usize,
    pub(crate) internal: Internal,
}

/// Equal keys may share a server's statement. The script stands for policy and text: the value keeps it
/// alive, so its address cannot be reused while the entry exists. The context stands for all that decides what
/// a text means when it is parsed, and is not asked again when it runs: the role (whether it may use a schema
/// at all), the search path, and the settings that literals are read by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StatementKey {
    script: usize,
    context: u64,
    types: Box<[u8]>,
}

/// How long a text runs as the same prepared statement. A server makes plans anew when tables change, but not for all
/// that a text by itself would notice: what a role may under row security, a function or table that comes to be
/// nearer on the search path.
const REPEATED_LIFE: Duration = Duration::from_secs(60);

/// OIDs of the types whose values may be read as the login role (`pg_type.dat`): none declared, `boolean`, `text`,
/// `unknown`, `varchar`.
const READ_AS_LOGIN: [u32; 5] = [0, 16, 25, 705, 1043];

/// Whether count and OIDs, as Parse carries them, name these types alone.
fn declares_only(types: &[u8], allowed: &[u32]) -> bool {
    let oids = types.get(2..).unwrap_or_default().chunks(4);
    oids.map(|oid| oid.try_into().map(u32::from_be_bytes))
        .all(|oid| oid.is_ok_and(|oid| allowed.contains(&oid)))
}

/// The largest part of the cache that one statement may take. What is longer is its session's alone.
const SHARE: u64 = 64;

/// Bytes of an entry that has this many bytes of its own, about.
fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes + 300).unwrap_or(u32::MAX)
}

impl Prepared {
    fn new(id: u64, types: &[u8]) -> Self {
        Self {
            id,
            name: OnceLock::new(),
            types: types.into(),
        }
    }

    /// Identifies it among all texts of the process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Its name on every server connection.
    pub(crate) fn name(&self) -> &str {
        self.name.get_or_init(|| server_name(self.id).into_boxed_str())
    }

    /// Count and OIDs of its parameter types, as Parse carries them.
    pub(crate) fn types(&self) -> &[u8] {
        &self.types
    }
}

impl Statement {
    /// The text's name on server connections.
    pub(crate) fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Where it was parsed: role, search path and settings. `None` for one that a transaction with settings of
    /// its own has parsed for itself.
    pub(crate) fn context(&self) -> Option<u64> {
        self.context
    }

    /// Whether it is kept though no client has named it.
    pub(crate) fn is_repeated(&self) -> bool {
        self.kept_for == KeptFor::Repetition
    }

    /// The policy that it was cleared under.
    pub(crate) fn policy(&self) -> u64 {
        self.script.policy()
    }

    /// The PREPARE that makes a server connection know it; `None` if Parse does.
    pub(crate) fn command(&self) -> Option<Renamed> {
        let command = self.command.as_ref()?;
        Some(Renamed(with_name(
            &command.sql,
            &command.name,
            self.prepared.name(),
        )))
    }

    /// Stands for its text among those that are there now.
    pub(crate) fn text_key(&self) -> usize {
        Arc::as_ptr(&self.script).addr()
    }

    /// About how much memory its texts take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.script.bytes() + self.command.as_ref().map_or(0, |command| command.sql.len())
    }

    /// Whether it is to be bound as the login role, with these many bytes of formats and values. Values are read at
    /// Bind by the input functions of their types: those of a domain run its checks, code of the application's.
    pub(crate) fn binds_as_login(&self, bytes: usize) -> bool {
        bytes <= limits::SESSION_SETTING_BYTES
            && self.qualified().is_some()
            && declares_only(self.prepared.types(), &READ_AS_LOGIN)
    }

    /// The same query with every name qualified, where it does nothing but set settings.
    pub(crate) fn qualified(&self) -> Option<&Arc<Qualified>> {
        self.cleared().and_then(Cleared::only_sets)
    }

    /// The text that the server gets.
    pub(crate) fn sent(&self) -> &str {
        self.qualified().map_or(self.sql(), |qualified| qualified.sql())
    }

    /// The one cleared statement, `None` for an empty text.
    pub(crate) fn cleared(&self) -> Option<&Cleared> {
        self.script.statements().first()
    }

    /// The client's text, as the guard has edited it.
    pub(crate) fn sql(&self) -> &str {
        self.script.text()
    }

    /// The client's text.
    pub(crate) fn written(&self) -> &str {
        self.script.written()
    }

    /// What it does.
    pub(crate) fn action(&self) -> Option<&Action> {
        self.cleared().map(Cleared::action)
    }
}

/// Whether a statement is run by Portcullis for the session instead of being sent as it is.
pub(crate) fn is_session_command(action: Option<&Action>) -> bool {
    match action {
        None
        | Some(
            Action::Set(_)
            | Action::SetDefaults(_)
            | Action::ResetAll
            | Action::DiscardAll
            | Action::UnlistenAll
            | Action::CloseAll
            | Action::Deallocate(_)
            | Action::Prepare(_),
        ) => true,
        Some(
            Action::Query
            | Action::CopyIn
            | Action::Call
            | Action::Begin
            | Action::SetTransaction
            | Action::Commit { .. }
            | Action::Rollback { .. }
            | Action::PrepareTransaction
            | Action::SetConfig(_)
            | Action::Savepoint(_)
            | Action::Release(_)
            | Action::RollbackTo(_)
            | Action::Execute(_)
            | Action::Utility,
        ) => false,
    }
}

/// Whether statements of a class may change what other statements mean or return: tables, types, and what a role
/// is, which plans under row security are not made anew for.
pub(crate) fn alters_shapes(class: StatementClass) -> bool {
    matches!(
        class,
        StatementClass::Create
            | StatementClass::Alter
            | StatementClass::Drop
            | StatementClass::Do
            | StatementClass::SelectInto
            | StatementClass::ImportForeignSchema
            | StatementClass::Grant
            | StatementClass::Revoke
    )
}

type Statements = Cache<StatementKey, Arc<Statement>, RandomState>;

/// Statements that take about so many bytes of memory.
fn bounded(bytes: u64) -> CacheBuilder<StatementKey, Arc<Statement>, Cache<StatementKey, Arc<Statement>>> {
    Cache::builder()
        .max_capacity(bytes)
        .weigher(|key: &StatementKey, statement: &Arc<Statement>| {
            weight(statement.bytes() + 2 * key.types.len())
        })
}

impl StatementCache {
    /// An empty cache, bounded by bytes.
    pub(crate) fn new(budget: &Budget) -> Self {
        let bytes = budget.cache(limits::SHARED_STATEMENT_BYTES, 16);
        let mut ids = 0..;
        let mut next = || Prepared::new(ids.next().unwrap_or_default(), encode::NO_TYPES);
        let internal = Internal {
            begin: next(),
            commit: next(),
            read_setting: next(),
            write_setting: next(),
        };
        Self {
            next_id: AtomicU64::new(ids.start),
            renewed_at: AtomicU64::new(ids.start),
            statements: bounded(bytes).build_with_hasher(RandomState::default()),
            repeated: bounded(budget.cache(limits::REPEATED_STATEMENT_BYTES, 64))
                .time_to_live(REPEATED_LIFE)
                .build_with_hasher(RandomState::default()),
            preludes: Cache::builder()
                .max_capacity(budget.cache(limits::PRELUDE_BYTES, 64))
                .weigher(|sql: &Arc<str>, _: &Arc<Prelude>| weight(sql.len()))
                .build_with_hasher(RandomState::default()),
            most_kept: usize::try_from(bytes / SHARE).unwrap_or(usize::MAX),
            internal,
        }
    }

    /// The client's unnamed statement: most are used once, so nothing is remembered of it.
    pub(crate) fn unnamed(&self, script: Arc<Script>, types: &[u8], context: u64) -> Arc<Statement> {
        Arc::new(Statement {
            prepared: self.prepared(types),
            script,
            command: None,
            context: Some(context),
            kept_for: KeptFor::Names,
        })
    }

    /// The client's unnamed statement for the text of one that is kept.
    pub(crate) fn as_unnamed(&self, statement: &Statement, context: u64) -> Arc<Statement> {
        self.unnamed(Arc::clone(&statement.script), statement.prepared.types(), context)
    }

    /// A named statement for a script of at most one statement.
    pub(crate) fn named(&self, script: &Arc<Script>, types: &[u8], context: u64) -> Arc<Statement> {
        self.shared(script, types, context, || None)
    }

    /// The statement that a text runs as which comes again and again without a name.
    pub(crate) fn repeated(&self, script: &Arc<Script>, types: &[u8], context: u64) -> Arc<Statement> {
        self.kept_in(KeptFor::Repetition, script, types, context, || None)
    }

    fn shared(
        &self,
        script: &Arc<Script>,
        types: &[u8],
        context: u64,
        command: impl FnOnce() -> Option<PrepareCommand>,
    ) -> Arc<Statement> {
        self.kept_in(KeptFor::Names, script, types, context, command)
    }

    fn kept_in(
        &self,
        kept_for: KeptFor,
        script: &Arc<Script>,
        types: &[u8],
        context: u64,
        command: impl FnOnce() -> Option<PrepareCommand>,
    ) -> Arc<Statement> {
        let made = || {
            Arc::new(Statement {
                prepared: self.prepared(types),
                script: Arc::clone(script),
                command: command(),
                context: Some(context),
                kept_for,
            })
        };
        if script.bytes() > self.most_kept {
            return made();
        }
        let key = StatementKey {
            script: Arc::as_ptr(script).addr(),
            context,
            types: types.into(),
        };
        let cache = match kept_for {
            KeptFor::Names => &self.statements,
            KeptFor::Repetition => &self.repeated,
        };
        cache.get_with(key, made)
    }

    /// The statement that a PREPARE makes; `None` if the text is none.
    pub(crate) fn prepared_in_sql(
        &self,
        cleared: &Cleared,
        name: &StatementName,
        context: u64,
    ) -> Option<Arc<Statement>> {
        let query = cleared.prepared()?;
        let Some(types) = &query.types else {
            let command = || PrepareCommand {
                sql: cleared.sql().into(),
                name: name.place.clone(),
            };
            return Some(self.shared(&query.script, encode::NO_TYPES, context, || Some(command())));
        };
        let count = u16::try_from(types.len()).ok()?.to_be_bytes();
        let types: Vec<u8> = count
            .into_iter()
            .chain(types.iter().flat_map(|oid| oid.to_be_bytes()))
            .collect();
        Some(self.named(&query.script, &types, context))
    }

    /// The same statement with another verdict: the policy has changed.
    pub(crate) fn judged_again(&self, statement: &Statement, script: Arc<Script>) -> Arc<Statement> {
        self.again(statement, script, statement.context)
    }

    /// The same text, parsed as it is read in another context; `None` means one that nobody else has.
    pub(crate) fn in_context(&self, statement: &Statement, context: Option<u64>) -> Arc<Statement> {
        self.again(statement, Arc::clone(&statement.script), context)
    }

    fn again(&self, statement: &Statement, script: Arc<Script>, context: Option<u64>) -> Arc<Statement> {
        let types = statement.prepared.types();
        let command = || statement.command.clone();
        match context {
            Some(context) => self.shared(&script, types, context, command),
            None => Arc::new(Statement {
                prepared: self.prepared(types),
                script,
                command: command(),
                context: None,
                kept_for: KeptFor::Names,
            }),
        }
    }

    /// Gives every text a new name from now on. Called when tables or types may have changed shape: Parse
    /// promises a statement that fits what is there now, while a server connection's old one answers "cached
    /// plan must not change result type" for as long as it lives (`RevalidateCachedQuery`, plancache.c).
    pub(crate) fn renew(&self) {
        self.renewed_at
            .store(self.next_id.load(Ordering::Relaxed), Ordering::Relaxed);
        self.statements.invalidate_all();
        self.repeated.invalidate_all();
    }

    /// The statement of this id has turned out to return other columns than when it was prepared: tables have changed
    /// where the proxy did not see it, and texts are to be read anew, since the types of their parameters may have
    /// changed as well. Nothing happens where that was done since the statement was first prepared.
    pub(crate) fn columns_have_changed(&self, id: u64) {
        if id >= self.renewed_at.load(Ordering::Relaxed) {
            self.renew();
        }
    }

    /// The statement of a prelude's text, the same for all sessions.
    pub(crate) fn prelude(&self, text: PreludeText) -> Arc<Prelude> {
        if let Some(known) = self.preludes.get(text.as_str()) {
            return known;
        }
        let sql = Arc::<str>::from(text);
        self.preludes.get_with(Arc::clone(&sql), || {
            Arc::new(Prelude {
                prepared: self.prepared(encode::NO_TYPES),
                sql,
            })
        })
    }

    fn prepared(&self, types: &[u8]) -> Prepared {
        Prepared::new(self.next_id.fetch_add(1, Ordering::Relaxed), types)
    }
}

/// The name of the statement of this id on every server connection. It cannot be guessed: SQL that a function
/// makes out of a client's text must not reach a statement by its name.
pub(crate) fn server_name(id: u64) -> String {
    format!("{}{id}", *PREFIX)
}

static PREFIX: LazyLock<String> = LazyLock::new(|| format!("p{:08x}_", rand::random::<u32>()));

/// A name that no server connection has ever prepared a statement by: an id counts from 0, and has no letters.
pub(crate) const NOWHERE: &str = "portcullis prepared no such statement";

/// A cleared PREPARE or EXECUTE with a name of ours in the place of the client's. Only a cleared statement becomes one.
#[derive(Debug)]
pub(crate) struct Renamed(String);

impl Renamed {
    /// An EXECUTE of the server's statement of this name.
    pub(crate) fn execute(cleared: &Cleared, name: &StatementName, ours: &str) -> Self {
        Self(with_name(cleared.sql(), &name.place, ours))
    }

    /// The text to send.
    pub(crate) fn sql(&self) -> &str {
        &self.0
    }
}

/// A statement's text with a name of ours, quoted, in the place of another.
fn with_name(sql: &str, place: &Range<usize>, name: &str) -> String {
    let before = sql.get(..place.start).unwrap_or("");
    let after = sql.get(place.end..).unwrap_or("");
    format!("{before}\"{name}\"{after}")
}

/// Text of [`Internal::begin`].
pub(crate) const BEGIN: &str = "BEGIN";
/// Text of [`Internal::commit`].
pub(crate) const COMMIT: &str = "COMMIT";
/// Undoes a block of our own that has failed.
pub(crate) const ROLLBACK: &str = "ROLLBACK";
/// Text of [`Internal::read_setting`].
pub(crate) const READ_SETTING: &str = "SELECT pg_catalog.current_setting($1)";
/// Sets one setting, as the login role.
pub(crate) const WRITE_SETTING: &str = "SELECT pg_catalog.set_config($1, $2, true)";
/// Text of [`Internal::write_setting`]: behind [`LEAVE_ROLE`], so it becomes the role again.
pub(crate) const WRITE_SETTING_AND_RETURN: &str =
    "SELECT pg_catalog.set_config($1, $2, true), pg_catalog.set_config('role', $3, true)";
/// Back to the login role, which alone may call `set_config` in a hardened
/// database. Only ever sent right ahead of a statement that becomes a role again or fails with its transaction.
pub(crate) const LEAVE_ROLE: &str = "SET ROLE NONE";
/// Forgets what other clients have drawn from sequences on a connection that is shared.
pub(crate) const DISCARD_SEQUENCES: &str = "DISCARD SEQUENCES";
/// As the login role: becomes a role for the rest of the transaction.
pub(crate) const RETURN_TO_ROLE: &str = "SELECT pg_catalog.set_config('role', $1, true)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{Guard, Settings};

    /// A change behind the proxy's back is found by many statements, and counts once.
    #[test]
    fn texts_are_read_anew_once_for_each_change() {
        let guard = Guard::new(Settings::default());
        let script = guard
            .judge(&guard.policy_for(&"web".into()), b"SELECT 1")
            .unwrap();
        let cache = StatementCache::new(&Budget::unlimited());
        let id = || cache.named(&script, encode::NO_TYPES, 0).prepared().id();
        let (first, again) = (id(), id());
        assert_eq!(first, again);
        cache.columns_have_changed(first);
        let second = id();
        assert_ne!(first, second);
        cache.columns_have_changed(first);
        assert_eq!(id(), second);
        cache.columns_have_changed(second);
        assert_ne!(id(), second);
    }

    /// However much is prepared: what sessions no longer hold does not stay.
    #[test]
    fn shared_statements_are_bounded_by_their_bytes() {
        let guard = Guard::new(Settings::default());
        let policy = guard.policy_for(&"web".into());
        let cache = StatementCache::new(&Budget::unlimited());
        // As long as one may be.
        let padding = " ".repeat(1_000_000);
        let prepare = |n: u32| {
            let script = guard.judge(&policy, format!("SELECT {n}{padding}").as_bytes());
            cache.named(&script.unwrap(), encode::NO_TYPES, 0)
        };
        for n in 0..200 {
            prepare(n);
        }
        cache.statements.run_pending_tasks();
        let held = cache.statements.weighted_size();
        assert!(held <= limits::SHARED_STATEMENT_BYTES, "{held} bytes");
        assert!(held > limits::SHARED_STATEMENT_BYTES / 2, "{held} bytes");
    }
}
