//! What the guard answers: proof that a text may run, or why it may not.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::allowed::Allowed;
use super::auto_prepare;
use crate::guard::reading::action::Action;
use crate::guard::reading::class::StatementClass;
use crate::guard::reading::set_only::Qualified;

/// A whole text that the guard has allowed. Only the guard makes one:
///
/// ```compile_fail
/// let forged = portcullis::guard::Script { text: "DROP TABLE t".into(), written: None, statements: Box::new([]), form: portcullis::guard::Form::Known, template: None, comes_again: Default::default() };
/// ```
#[derive(Debug)]
pub struct Script {
    policy: u64,
    text: Arc<str>,
    /// As the client wrote it, where that is something else.
    written: Option<Box<str>>,
    statements: Box<[Cleared]>,
    form: Form,
    template: Option<Template>,
    /// Once it has come again: whether it can be prepared as it stands.
    comes_again: OnceLock<bool>,
}

/// What a text can be prepared as.
#[derive(Clone, Debug)]
pub struct Template {
    /// The statement to prepare. Its parameters are all of type `integer`.
    pub script: Arc<Script>,
    /// The bytes of the client's text that are the parameters' values, in their order.
    pub numbers: Arc<[Range<usize>]>,
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
    pub(in crate::guard) fn new(policy: u64, text: Arc<str>, statements: Vec<Cleared>, form: Form) -> Self {
        Self {
            policy,
            text,
            written: None,
            statements: statements.into(),
            form,
            template: None,
            comes_again: OnceLock::new(),
        }
    }

    /// Keeps what the client wrote, where that is another text.
    pub(in crate::guard) fn written_as(mut self, written: &str) -> Self {
        self.written = (written != &*self.text).then(|| written.into());
        self
    }

    /// A text whose statement is judged already: it covers these bytes.
    pub(in crate::guard) fn of_one(
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
    pub(in crate::guard) fn has_come_again(&self) {
        self.comes_again.get_or_init(|| {
            let plain = self.lone().is_some_and(|(lone, _)| lone.is_plain());
            plain && !auto_prepare::is_read_anew(&self.text)
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
            let runs = self.keeps_coming() && !auto_prepare::has_parameter(&self.text);
            runs.then(|| Template {
                script: Arc::clone(self),
                numbers: Arc::default(),
            })
        };
        self.template.clone().or_else(itself)
    }

    /// The sole statement, if there is one and it is a query, and the bytes that it covers.
    pub(in crate::guard) fn lone(&self) -> Option<(Lone, Range<usize>)> {
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

    /// The policy it was judged by, as [`Policy::id`](crate::guard::Policy::id) says.
    pub fn policy(&self) -> u64 {
        self.policy
    }

    /// The text to send where the whole text is sent. It can differ from what the client wrote in the third
    /// argument of `set_config`, never in length. See [`Action::SetConfig`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as the client wrote it: what is to be judged if it is judged again.
    pub fn written(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
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
    pub(in crate::guard) fn weight(&self) -> usize {
        let prepared = self.statements.iter().filter_map(Cleared::prepared);
        let scripts = prepared.map(|query| query.script.weight() + query.script.text().len());
        let prepared: usize = scripts.sum();
        let written = self.written.as_ref().map_or(0, |written| written.len());
        written + size_of::<Self>() + self.statements.len() * (size_of::<Cleared>() + 64) + prepared
    }
}

/// What the guard has found out about a query that is the only statement of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guard) struct Lone {
    class: StatementClass,
    marks_connection: bool,
    only_sets: bool,
    reads_sequences: bool,
}

impl Lone {
    /// Whether it can be prepared behind the client's back, and nothing is to be done around it.
    pub(in crate::guard) fn is_plain(&self) -> bool {
        auto_prepare::is_plain(self.class)
            && !self.marks_connection
            && !self.only_sets
            && !self.reads_sequences
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
    pub(in crate::guard) fn new(text: Arc<str>, range: Range<usize>, allowed: Allowed) -> Self {
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
    pub(in crate::guard) fn with_prepared(
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
