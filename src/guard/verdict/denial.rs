//! Refusals in the making, and their words.

use super::refusal::Refusal;
use crate::base::memory::Full;
use crate::base::{Fault, PoolMode, SqlState};
use crate::guard::policy::policy::Policy;
use crate::guard::policy::reserved::Group;
use crate::guard::reading::class::{Grant, StatementClass};
use crate::guard::text::lexer::{LexError, LexErrorKind};
use crate::guard::text::split::SplitError;
use crate::guard::text::statement::Statement;
use crate::guard::text::tokenized::TextError;

/// What to do about a statement that needs a server connection of the session's own.
const SESSION_MODE: &str =
    "It works in session mode: the operator can set pool_mode = \"session\" for the role or tenant.";

/// A refusal that does not know the text yet: where it stands is a byte offset.
#[derive(Debug)]
pub(in crate::guard) struct Denial {
    sqlstate: SqlState,
    message: String,
    hint: Option<String>,
    rule: &'static str,
    class: StatementClass,
    at: Option<usize>,
}

impl Denial {
    fn new(sqlstate: SqlState, rule: &'static str, message: impl Into<String>) -> Self {
        Self {
            sqlstate,
            message: message.into(),
            hint: None,
            rule,
            class: StatementClass::Unknown,
            at: None,
        }
    }

    /// Something the caller may not do: 42501.
    pub(in crate::guard) fn forbidden(rule: &'static str, message: impl Into<String>) -> Self {
        Self::new(SqlState::INSUFFICIENT_PRIVILEGE, rule, message)
    }

    /// Something that cannot work in transaction mode: 0A000.
    pub(in crate::guard) fn unsupported(rule: &'static str, message: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, rule, message)
    }

    /// Something that is not formed as PostgreSQL's grammar has it: 42601.
    pub(in crate::guard) fn syntax(message: impl Into<String>) -> Self {
        Self::new(SqlState::SYNTAX_ERROR, "syntax", message)
    }

    /// More than a limit allows: 54000.
    pub(in crate::guard) fn limit(message: impl Into<String>) -> Self {
        Self::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "limit", message)
    }

    /// Deeper than a limit allows: 54001.
    pub(in crate::guard) fn nesting(message: impl Into<String>) -> Self {
        Self::new(SqlState::STATEMENT_TOO_COMPLEX, "limit", message)
    }

    /// Bytes that are no text: 22021.
    pub(in crate::guard) fn encoding(message: impl Into<String>) -> Self {
        Self::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "encoding", message)
    }

    pub(in crate::guard) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(in crate::guard) fn at(mut self, offset: usize) -> Self {
        self.at = Some(offset);
        self
    }

    /// States the class, unless a step closer to the matter has done so.
    pub(in crate::guard) fn class(mut self, class: StatementClass) -> Self {
        if self.class == StatementClass::Unknown {
            self.class = class;
        }
        self
    }

    /// A call or use of a reserved name.
    pub(in crate::guard) fn reserved(group: &'static Group, kind: &str, name: &str, at: usize) -> Self {
        let reason = format!("it {}", group.reason);
        let denial = if group.is_unsupported() {
            Self::unsupported(
                &group.rule,
                format!("{kind} {name} is not supported in transaction mode: {reason}"),
            )
        } else {
            Self::forbidden(&group.rule, format!("{kind} {name} is not allowed: {reason}"))
        };
        let denial = denial.at(at);
        match &group.hint {
            Some(hint) => denial.hint(hint.as_str()),
            None => denial,
        }
    }

    /// A class that the policy does not give.
    pub(in crate::guard) fn statement(policy: &Policy, class: StatementClass) -> Self {
        let mut denial = match class.grant() {
            Grant::Session if policy.mode() == PoolMode::Transaction => Self::unsupported(
                "statement.unsupported",
                format!("{class} is not supported in transaction mode"),
            )
            .hint(SESSION_MODE),
            Grant::Never => Self::unsupported(
                "statement.unsupported",
                format!("{class} is not supported in transaction mode"),
            ),
            Grant::Trusted if !policy.is_trusted() => Self::forbidden(
                "statement.trusted",
                format!("{class} is not allowed for end-user roles"),
            ),
            _ => Self::forbidden(
                "statement.policy",
                format!("the policy \"{}\" does not allow {class}", policy.name()),
            ),
        };
        let hint = denial.hint.take();
        denial
            .hint(hint.unwrap_or_else(|| hint_for(class).to_owned()))
            .class(class)
    }

    /// Says what to do instead where the statement's own words tell what was meant: psql's `\password` sends
    /// `ALTER USER name PASSWORD '…'`.
    pub(in crate::guard) fn explain(self, statement: &Statement<'_>) -> Self {
        let says = |at: usize, words: &[&str]| statement.name(at).is_some_and(|name| words.contains(&name));
        let sets_password =
            says(0, &["alter"]) && says(1, &["user", "role"]) && (3..6).any(|at| says(at, &["password"]));
        if sets_password {
            return self.hint("There is no password to change: it is a token, which its issuer renews.");
        }
        self
    }

    /// The refusal of a text that may be no UTF-8.
    pub(in crate::guard) fn refusal_of(self, text: &[u8]) -> Refusal {
        self.refusal(&String::from_utf8_lossy(text))
    }

    /// The refusal as the client gets it.
    pub(in crate::guard) fn refusal(self, text: &str) -> Refusal {
        let position = self.at.map(|at| {
            let mut end = at.min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let before = text.get(..end).unwrap_or("").chars().count();
            u32::try_from(before + 1).unwrap_or(u32::MAX)
        });
        Refusal {
            sqlstate: self.sqlstate,
            message: self.message,
            hint: self.hint,
            class: self.class,
            rule: self.rule,
            position,
        }
    }
}

impl From<TextError> for Denial {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Encoding { message, at } => Self::encoding(message).at(at),
            TextError::Lex(error) => Self::from(error),
            TextError::Split(SplitError::TooDeep { at }) => {
                Self::nesting("parentheses nest too deeply").at(at)
            }
            TextError::Split(SplitError::TooMany { at, most }) => {
                Self::limit(format!("more than {most} statements in one text")).at(at)
            }
        }
    }
}

impl From<Full> for Denial {
    fn from(full: Full) -> Self {
        let fault = Fault::from(full);
        let denial = Self::new(fault.sqlstate, "memory", fault.message);
        match fault.hint {
            Some(hint) => denial.hint(hint),
            None => denial,
        }
    }
}

impl From<LexError> for Denial {
    fn from(error: LexError) -> Self {
        let denial = match error.kind {
            LexErrorKind::Syntax => Self::syntax(error.message),
            LexErrorKind::TooComplex => Self::nesting(error.message),
            LexErrorKind::TooManyTokens => Self::limit(error.message).hint(
                "Pass values as parameters, an array for a list, or use COPY. The policy's max_tokens is the limit.",
            ),
            LexErrorKind::NoRoom => return Self::from(Full),
        };
        denial.at(error.at)
    }
}

/// What to do instead of a statement of that class.
fn hint_for(class: StatementClass) -> &'static str {
    use StatementClass as C;
    match class {
        C::PrepareTransaction | C::CommitPrepared | C::RollbackPrepared => {
            "Two-phase commit needs a role with a trusted policy."
        }
        C::SelectInto => {
            "Create tables by a migration under a trusted role; use INSERT … SELECT to fill them."
        }
        C::Create | C::Alter | C::Drop | C::Comment | C::Refresh | C::Reindex | C::Cluster => {
            "Schema changes need a role with a trusted policy, or a function that makes them."
        }
        C::CopyFile => "COPY … FROM STDIN and COPY … TO STDOUT carry the data over this connection.",
        C::Do => "Put the code in a function or procedure and call that.",
        C::Lock => "Use SELECT … FOR UPDATE or pg_advisory_xact_lock.",
        C::Truncate => "Use DELETE, which row level security applies to.",
        C::Notify => "Write to a table with a trigger that notifies.",
        C::Discard => "Use DISCARD ALL.",
        C::Explain => "The operator can allow EXPLAIN in the role's policy.",
        _ => "The role's policy decides which statements it may send.",
    }
}
