//! What the guard answers: proof that a text may run, or why it may not.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::StatementClass;
use super::bare::Qualified;
use super::rules::Allowed;
use super::template::{self, Template};
use crate::base::SqlState;

/// A whole text that the guard has allowed. Only the guard makes one:
///
/// ```compile_fail
/// let forged = portcullis::guard::Script { text: "DROP TABLE t".into(), statements: Box::new([]), form: portcullis::guard::Form::Known, template: None, comes_again: Default::default() };
/// ```
#[derive(Debug)]
pub struct Script {
    policy: u64,
    text: Arc<str>,
    statements: Box<[Cleared]>,
    form: Form,
    template: Option<Template>,
    /// Once it has come again: whether it can be prepared as it stands.
    comes_again: OnceLock<bool>,
}

/// Whether the statements of a text are known to be formed as PostgreSQL's grammar has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As far as a grammar of our own can tell, or there is but one statement.
    Known,
    /// Only the server knows.
    Unknown,
}

impl Script {
    pub(super) fn new(policy: u64, text: Arc<str>, statements: Vec<Cleared>, form: Form) -> Self {
        Self {
            policy,
            text,
            statements: statements.into(),
            form,
            template: None,
            comes_again: OnceLock::new(),
        }
    }

    /// A text whose statement is judged already: it covers these bytes.
    pub(super) fn of_one(
        policy: u64,
        text: Arc<str>,
        range: Range<usize>,
        lone: Lone,
        template: Option<Template>,
    ) -> Self {
        let allowed = Allowed {
            class: lone.class,
            action: Action::Query,
            edits: Vec::new(),
            marks_connection: lone.marks_connection,
            // Such a text holds a literal, which texts of one shape do not.
            only_sets: None,
            reads_sequences: lone.reads_sequences,
        };
        let statement = Cleared::new(Arc::clone(&text), range, allowed);
        Self {
            template,
            ..Self::new(policy, text, vec![statement], Form::Known)
        }
    }

    /// The text was asked about once more.
    pub(super) fn has_come_again(&self) {
        self.comes_again.get_or_init(|| {
            let plain = self.lone().is_some_and(|(lone, _)| lone.is_plain());
            plain && !template::is_read_anew(&self.text)
        });
    }

    /// Whether it has come several times and can be prepared as it stands, with its parameters: one SELECT, INSERT,
    /// UPDATE or DELETE.
    pub fn keeps_coming(&self) -> bool {
        self.comes_again.get().is_some_and(|can| *can)
    }

    /// What it can be prepared as to run without parameters of the client's, if texts of its kind have come several
    /// times.
    pub fn template(self: &Arc<Self>) -> Option<Template> {
        let itself = || {
            let runs = self.keeps_coming() && !template::has_parameter(&self.text);
            runs.then(|| Template {
                script: Arc::clone(self),
                numbers: Arc::default(),
            })
        };
        self.template.clone().or_else(itself)
    }

    /// The sole statement, if there is one and it is a query, and the bytes that it covers.
    pub(super) fn lone(&self) -> Option<(Lone, Range<usize>)> {
        let [one] = &*self.statements else { return None };
        let lone = Lone {
            class: one.class,
            marks_connection: one.marks_connection,
            only_sets: one.only_sets.is_some(),
            reads_sequences: one.reads_sequences,
        };
        let is_query =
            matches!(one.action, Action::Query) && one.prepared.is_none() && self.form == Form::Known;
        is_query.then(|| (lone, one.range.clone()))
    }

    /// Whether some statement may turn out to be no SQL at all after those before it have run.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The policy it was judged by, as [`Policy::id`](super::Policy::id) says.
    pub fn policy(&self) -> u64 {
        self.policy
    }

    /// The text to send where the whole text is sent. It can differ from what the client wrote in the third
    /// argument of `set_config`, never in length. See [`Action::SetConfig`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its statements in order; none if the text is empty or holds only white space, comments and `;`.
    pub fn statements(&self) -> &[Cleared] {
        &self.statements
    }

    /// About how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.weight() + self.text.len()
    }

    /// About how much memory it takes, in bytes, its text left out.
    pub(super) fn weight(&self) -> usize {
        let prepared = self.statements.iter().filter_map(Cleared::prepared);
        let scripts = prepared.map(|query| query.script.weight() + query.script.text().len());
        let prepared: usize = scripts.sum();
        size_of::<Self>() + self.statements.len() * (size_of::<Cleared>() + 64) + prepared
    }
}

/// What the guard has found out about a query that is the only statement of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lone {
    class: StatementClass,
    marks_connection: bool,
    only_sets: bool,
    reads_sequences: bool,
}

impl Lone {
    /// Whether it can be prepared behind the client's back, and nothing is to be done around it.
    pub(super) fn is_plain(&self) -> bool {
        template::is_plain(self.class) && !self.marks_connection && !self.only_sets && !self.reads_sequences
    }
}

/// One statement that the guard has allowed. Only the guard makes one.
#[derive(Debug)]
pub struct Cleared {
    text: Arc<str>,
    range: Range<usize>,
    action: Action,
    class: StatementClass,
    marks_connection: bool,
    only_sets: Option<Arc<Qualified>>,
    reads_sequences: bool,
    prepared: Option<PreparedQuery>,
}

/// What a PREPARE prepares.
#[derive(Debug)]
pub struct PreparedQuery {
    /// The query as a text of its own.
    pub script: Arc<Script>,
    /// Bytes of the whole text that come before it.
    pub start: usize,
    /// The OIDs of the declared types, none if none are declared; `None` if one has a name that only the server
    /// knows.
    pub types: Option<Box<[u32]>>,
}

impl Cleared {
    pub(super) fn new(text: Arc<str>, range: Range<usize>, allowed: Allowed) -> Self {
        let sql = text.get(range.clone()).unwrap_or_default();
        let only_sets = allowed.only_sets;
        let only_sets = only_sets.map(|schemas| Arc::new(Qualified::new(sql, range.start, &schemas)));
        Self {
            text,
            range,
            action: allowed.action,
            class: allowed.class,
            marks_connection: allowed.marks_connection,
            only_sets,
            reads_sequences: allowed.reads_sequences,
            prepared: None,
        }
    }

    /// A PREPARE, under this policy, of the query that covers these bytes of the text.
    pub(super) fn with_prepared(
        mut self,
        policy: u64,
        query: Range<usize>,
        class: StatementClass,
        types: Option<Box<[u32]>>,
    ) -> Self {
        let start = query.start;
        let text: Arc<str> = self.text.get(query).unwrap_or("").into();
        let query = Allowed {
            class,
            action: Action::Query,
            edits: Vec::new(),
            marks_connection: self.marks_connection,
            only_sets: None,
            reads_sequences: self.reads_sequences,
        };
        let query = Self::new(Arc::clone(&text), 0..text.len(), query);
        let script = Arc::new(Script::new(policy, text, vec![query], Form::Known));
        self.prepared = Some(PreparedQuery { script, start, types });
        self
    }

    /// What a PREPARE prepares.
    pub fn prepared(&self) -> Option<&PreparedQuery> {
        self.prepared.as_ref()
    }

    /// The text that it is a part of.
    pub fn whole(&self) -> &Arc<str> {
        &self.text
    }

    /// Bytes of the whole text that come before it.
    pub fn start(&self) -> usize {
        self.range.start
    }

    /// The statement's own text, from its first token to its last, without the `;`.
    pub fn sql(&self) -> &str {
        self.text.get(self.range.clone()).unwrap_or("")
    }

    /// What the session has to do with it.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// What kind of statement it is.
    pub fn class(&self) -> StatementClass {
        self.class
    }

    /// Whether it leaves on its connection what no reset takes away: the temporary schema of an object that ends with
    /// the transaction, where connections are shared, or a seed of `random()`.
    pub fn marks_connection(&self) -> bool {
        self.marks_connection
    }

    /// The text to send if it does nothing but call `set_config` and `current_setting` with constants and parameters. It
    /// may then be bound as the login role: where `set_config` is revoked from everybody else, nobody else can.
    pub fn only_sets(&self) -> Option<&Arc<Qualified>> {
        self.only_sets.as_ref()
    }

    /// Whether it names `lastval` or `currval`, which tell what the connection has drawn from sequences.
    pub fn reads_sequences(&self) -> bool {
        self.reads_sequences
    }
}

/// What the session has to do with an allowed statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Runs under the caller's identity.
    Query,
    /// `COPY … FROM STDIN`: runs under the caller's identity, then takes data from the client.
    CopyIn,
    /// `CALL` or `DO`: must run inside a transaction block, so that a COMMIT inside it fails.
    Call,
    /// `BEGIN` or `START TRANSACTION`, with any options.
    Begin,
    /// Sets a characteristic of the transaction: must go ahead of the identity, which takes a snapshot.
    SetTransaction,
    /// `COMMIT` or `END`.
    Commit {
        /// `AND CHAIN`: a new transaction begins at once, without identity.
        chain: bool,
    },
    /// `ROLLBACK` or `ABORT`.
    Rollback {
        /// `AND CHAIN`: a new transaction begins at once, without identity.
        chain: bool,
    },
    /// `PREPARE TRANSACTION`: ends the transaction here, to be finished by whoever names it.
    PrepareTransaction,
    /// `SAVEPOINT name`, the name as the server sees it.
    Savepoint(Box<str>),
    /// `RELEASE [SAVEPOINT] name`
    Release(Box<str>),
    /// `ROLLBACK TO [SAVEPOINT] name`
    RollbackTo(Box<str>),
    /// `SET` or `RESET` of one setting that the role may change.
    Set(SetSetting),
    /// `SET SESSION CHARACTERISTICS`: the modes of transactions to come, as settings of the session; at least
    /// one.
    SetDefaults(Box<[SetSetting]>),
    /// A query whose `set_config` calls set these for the session, in lower case. Its text says `true` where
    /// the client said `false`, so that they end with the transaction; what they are is to be read back.
    SetConfig(Box<[Box<str>]>),
    /// `RESET ALL`
    ResetAll,
    /// `DISCARD ALL`
    DiscardAll,
    /// `UNLISTEN`, of one channel or all: nothing is ever listened to.
    UnlistenAll,
    /// `CLOSE ALL`
    CloseAll,
    /// `DEALLOCATE name`, the name as the server sees it, or `DEALLOCATE ALL` as `None`.
    Deallocate(Option<Box<str>>),
    /// `PREPARE name … AS query` ([`Cleared::prepared`]).
    Prepare(StatementName),
    /// `EXECUTE name …`, also in `CREATE TABLE … AS` and `EXPLAIN`: runs under the caller's identity, with the
    /// server's name in the place of the client's.
    Execute(StatementName),
    /// Refuses to run in a transaction block (`VACUUM`, `CREATE DATABASE`, `COMMIT PREPARED`, …): trusted roles
    /// alone, and always the sole statement of its text.
    Utility,
}

impl Action {
    /// Whether it is transaction control, which the guard has read to its last token.
    pub fn is_control(&self) -> bool {
        matches!(
            self,
            Self::Begin
                | Self::Commit { .. }
                | Self::Rollback { .. }
                | Self::PrepareTransaction
                | Self::Savepoint(_)
                | Self::Release(_)
                | Self::RollbackTo(_)
        )
    }
}

/// A client's name of a prepared statement within the text of another statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementName {
    /// The name as the server sees it.
    pub name: Box<str>,
    /// The bytes of [`Cleared::sql`] that spell it.
    pub place: Range<usize>,
}

/// A change to one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSetting {
    /// The setting's name in lower case, as the server compares names without regard to case.
    pub name: Box<str>,
    /// How long it lasts.
    pub scope: SetScope,
    /// What it becomes.
    pub value: SetValue,
}

/// How long a `SET` lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetScope {
    /// For the session: `SET`, `SET SESSION`, `RESET`.
    Session,
    /// To the end of the transaction: `SET LOCAL`.
    Local,
}

/// What a `SET` sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// SQL text that can follow `SET LOCAL `, such as `"timezone" TO 'UTC'` or `TIME ZONE 'UTC'`. It holds
    /// no comment outside a literal and is made of whole tokens.
    Assign(Box<str>),
    /// `RESET x` or `SET x TO DEFAULT`.
    Default,
}

/// Why a text may not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 42501 what is forbidden, 0A000 what cannot work in transaction mode, 42601 and 22021 what cannot be
    /// read, 54000 and 54001 what is beyond a limit.
    pub sqlstate: SqlState,
    /// What happened, for the client.
    pub message: String,
    /// What to do instead, where there is something.
    pub hint: Option<String>,
    /// The class of the refused statement.
    pub class: StatementClass,
    /// The rule that refused it, as a short name that does not change.
    pub rule: &'static str,
    /// Where in the text: in characters, from 1 (PostgreSQL manual, 53.8, field `P`).
    pub position: Option<u32>,
}

impl Refusal {
    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.message.len() + self.hint.as_ref().map_or(0, String::len)
    }
}
