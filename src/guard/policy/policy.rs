//! What one role may do: read from `policies/*.toml`, checked, immutable.

mod file;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::names::NameSet;
use super::registry::Registered;
use super::timeouts::Timeouts;
use crate::base::PoolMode;
use crate::guard::reading::class::{ClassSet, Grant, StatementClass};

/// Most tokens of a text under a policy that does not say: what applications send in one statement is far less, and what
/// reads them takes memory and time for each.
const END_USER_TOKENS: usize = 200_000;

/// The same under a trusted policy: restored dumps insert thousands of rows at a time.
const TRUSTED_TOKENS: usize = 2_000_000;

/// What one role may do. Immutable.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Tells policies apart in the verdict cache, also two of one name after a reload.
    id: u64,
    name: Box<str>,
    trusted: bool,
    /// How long its sessions keep a server connection, which decides what can work at all.
    mode: PoolMode,
    statements: ClassSet,
    functions: Lists,
    relations: Lists,
    schemas: Lists,
    /// Functions of the application's own that bear reserved names.
    own_functions: NameSet,
    settable: NameSet,
    require_where: RequireWhere,
    registered: Option<Arc<Registered>>,
    ceilings: Ceilings,
    /// Most tokens of one text.
    max_tokens: usize,
    timeouts: Timeouts,
}

/// Names that are allowed and names that are denied.
#[derive(Clone, Debug, Default)]
struct Lists {
    /// `None` allows every name.
    allowed: Option<NameSet>,
    denied: NameSet,
}

/// Which UPDATE and DELETE must have a WHERE.
#[derive(Clone, Debug)]
enum RequireWhere {
    Never,
    Always,
    Of(NameSet),
}

/// The most that one transaction may return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Rows, lines of COPY and notices.
    pub rows: Option<u64>,
    /// Bytes of these and of errors, as the protocol carries them.
    pub bytes: Option<u64>,
}

impl Ceilings {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_none() && self.bytes.is_none()
    }
}

/// Reads a file that a policy names, by the name as the policy has it.
pub type ReadFile<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

/// One mistake in a policy's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyMistake {
    /// The key it concerns; empty if the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl Policy {
    /// A policy that allows nothing but transaction control.
    pub fn nothing(name: &str) -> Self {
        let mut statements = ClassSet::default();
        for class in StatementClass::ALL
            .iter()
            .filter(|class| class.grant() == Grant::Always)
        {
            statements.insert(*class);
        }
        Self {
            name: name.into(),
            statements,
            ..Self::empty()
        }
    }

    /// A policy that allows and limits nothing.
    fn empty() -> Self {
        Self {
            id: next_id(),
            name: "".into(),
            trusted: false,
            mode: PoolMode::Transaction,
            statements: ClassSet::default(),
            functions: Lists::default(),
            relations: Lists::default(),
            schemas: Lists::default(),
            own_functions: NameSet::default(),
            settable: NameSet::default(),
            require_where: RequireWhere::Never,
            registered: None,
            ceilings: Ceilings::default(),
            max_tokens: END_USER_TOKENS,
            timeouts: Timeouts::default(),
        }
    }

    /// The same policy for sessions that keep their server connection.
    pub(in crate::guard) fn in_session_mode(&self) -> Self {
        Self {
            id: next_id(),
            mode: PoolMode::Session,
            ..self.clone()
        }
    }

    /// Whether the role administers: it has every statement that can work here.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Most tokens that one text may have.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The policy's name, as configuration refers to it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells policies apart, also two of one name.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How long its sessions keep a server connection.
    pub(in crate::guard) fn mode(&self) -> PoolMode {
        self.mode
    }

    pub(in crate::guard) fn allows(&self, class: StatementClass) -> bool {
        self.statements.contains(class) && (class.grant() != Grant::Session || self.mode == PoolMode::Session)
    }

    /// What a role under this policy needs of a table, as GRANT spells it: what its statements do.
    pub fn table_privileges(&self) -> Vec<&'static str> {
        let classes = [
            StatementClass::Select,
            StatementClass::Insert,
            StatementClass::Update,
            StatementClass::Delete,
        ];
        let allowed = classes.into_iter().filter(|class| self.allows(*class));
        allowed.map(StatementClass::as_str).collect()
    }

    pub(in crate::guard) fn denies_function(&self, schema: Option<&str>, name: &str) -> bool {
        self.functions.denied.has(schema, name)
    }

    /// Whether only listed functions may be called.
    pub(in crate::guard) fn lists_functions(&self) -> bool {
        self.functions.allowed.is_some()
    }

    pub(in crate::guard) fn allows_function(&self, schema: Option<&str>, name: &str) -> bool {
        let allowed = &self.functions.allowed;
        allowed.as_ref().is_none_or(|list| list.admits(schema, name))
    }

    /// Whether a function of a reserved name is the application's own, as written.
    pub(in crate::guard) fn owns_function(&self, schema: Option<&str>, name: &str) -> bool {
        !self.own_functions.is_empty() && self.own_functions.admits(schema, name)
    }

    pub(in crate::guard) fn denies_relation(&self, schema: Option<&str>, name: &str) -> bool {
        self.relations.denied.has(schema, name)
    }

    pub(in crate::guard) fn denies_schema(&self, schema: &str) -> bool {
        self.schemas.denied.has(None, schema)
    }

    /// Whether any relation or schema is denied at all.
    pub(in crate::guard) fn has_denied_relations(&self) -> bool {
        !self.relations.denied.is_empty() || !self.schemas.denied.is_empty()
    }

    /// Whether only listed relations, or relations of listed schemas, may be used.
    pub(in crate::guard) fn lists_relations(&self) -> bool {
        self.relations.allowed.is_some() || self.schemas.allowed.is_some()
    }

    /// Whether a relation is on every list of allowed ones that there is. A name without schema is in
    /// `pg_catalog` if it begins with `pg_`, as the catalog is always searched, and else in whatever schema the
    /// operator's search path names.
    pub(in crate::guard) fn allows_relation(&self, schema: Option<&str>, name: &str) -> bool {
        let schema = schema.or_else(|| name.starts_with("pg_").then_some("pg_catalog"));
        let relations = &self.relations.allowed;
        relations.as_ref().is_none_or(|list| list.admits(schema, name))
            && schema.is_none_or(|schema| self.allows_schema(schema))
    }

    /// Whether names may carry this schema.
    pub(in crate::guard) fn allows_schema(&self, schema: &str) -> bool {
        let schemas = &self.schemas.allowed;
        schemas.as_ref().is_none_or(|list| list.admits(None, schema))
    }

    /// Whether an UPDATE or DELETE of the relation must have a WHERE.
    pub(in crate::guard) fn requires_where(&self, schema: Option<&str>, name: &str) -> bool {
        match &self.require_where {
            RequireWhere::Never => false,
            RequireWhere::Always => true,
            RequireWhere::Of(relations) => relations.has(schema, name),
        }
    }

    /// The statements and functions that alone may run, if the policy is so.
    pub(in crate::guard) fn registered(&self) -> Option<&Registered> {
        self.registered.as_deref()
    }

    /// The most that one transaction may return.
    pub fn ceilings(&self) -> Ceilings {
        self.ceilings
    }

    /// The longest that a transaction of these roles may take in one respect or another.
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Whether a session may change the setting, its name in lower case.
    pub(in crate::guard) fn may_set(&self, name: &str) -> bool {
        self.trusted || self.settable.has_setting(name)
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_policies_parse() {
        for (policy, trusted) in [
            (Policy::end_user(), false),
            (Policy::trusted(), true),
            (Policy::read_only(), false),
        ] {
            assert_eq!(policy.is_trusted(), trusted, "{}", policy.name());
            assert!(
                policy.allows(StatementClass::Select),
                "{} fell back to nothing",
                policy.name()
            );
        }
        assert!(!Policy::end_user().allows(StatementClass::Explain));
        assert!(!Policy::read_only().allows(StatementClass::Insert));
        assert!(Policy::trusted().allows(StatementClass::Create));
        assert!(!Policy::nothing("x").allows(StatementClass::Select));
        assert!(Policy::nothing("x").allows(StatementClass::Rollback));
    }

    #[test]
    fn every_mistake_is_listed_with_its_key() {
        let mistakes = Policy::parse(
            "name = ''\nstatements = ['SELECT', 'SELEKT', 'CREATE', 'COMMIT PREPARED']\n\
             denied_statements = ['ROLLBACK']\ndenied_functions = ['', 'a*b']\nsettable = ['*']",
        )
        .unwrap_err();
        let keys: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "name",
                "statements",
                "statements",
                "statements",
                "denied_statements",
                "denied_functions",
                "denied_functions",
                "settable"
            ]
        );
        assert!(Policy::parse("nam = 'x'").is_err());
        assert!(Policy::parse("name = 'x'\ntrusted = true\nstatements = ['SELECT']").is_err());
    }
}
