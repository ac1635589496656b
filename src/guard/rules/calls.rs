//! Every name in a statement that could reach a reserved or denied function or relation.
//!
//! A function is called by its name and `(`, in any schema and any spelling. Two more ways are easily
//! overlooked, and work on every version:
//! * `(1::bigint).pg_advisory_lock`: attribute notation calls a function of one argument
//!   (`ParseFuncOrColumn` in parse_func.c). A plain name before the point is no safer: in
//!   `SELECT g.pg_advisory_lock FROM generate_series(1, 9) g` it stands for what a function has returned;
//! * `TREAT(1 AS pg_advisory_lock)`: the grammar turns the type's name into a function's.

use std::cell::OnceCell;

use super::scope::{self, Scope};
use super::settings::{Settable, is_quiet, too_long};
use crate::base::PoolMode;
use crate::guard::policy::policy::Policy;
use crate::guard::policy::reserved::{Called, Group, Notation, Reserved, SearchPath};
use crate::guard::reading::call_site::{arguments, is_selected};
use crate::guard::reading::facts::{self, Facts};
use crate::guard::text::keyword_list;
use crate::guard::text::lexer::{Kw, TokenKind};
use crate::guard::text::statement::Statement;
use crate::guard::verdict::allowed::MakeLocal;
use crate::guard::verdict::denial::Denial;

/// What the names are judged by.
pub(in crate::guard) struct Names<'p> {
    pub(in crate::guard) policy: &'p Policy,
    pub(in crate::guard) settable: &'p Settable,
    pub(in crate::guard) scope: Scope<'p>,
}

impl Names<'_> {
    /// Judges every name of the statement. `relation` is a token that names a relation although a
    /// parenthesis follows: `INSERT INTO set_config (a) …`.
    pub(in crate::guard) fn judge(
        &self,
        statement: &Statement<'_>,
        relation: &[usize],
    ) -> Result<Vec<MakeLocal>, Denial> {
        let mut edits = Vec::new();
        if is_harmless_unlock(statement) {
            return Ok(edits);
        }
        let facts = OnceCell::new();
        let treats = (0..statement.len()).any(|at| is_treat(statement, at));
        for at in 0..statement.len() {
            let Some(name) = statement.name(at) else { continue };
            let is_called = statement.is_punct(at + 1, b'(') && !relation.contains(&at);
            if !self.policy.is_trusted()
                && let Some(group) = Reserved::list().relation(name)
                // What is called there is a function, and those are listed by themselves.
                && (!group.beside_tenants_only || (self.scope.is_held() && !is_called))
            {
                return Err(Denial::reserved(group, "relation", name, statement.offset(at)));
            }
            if is_called || treats || is_attribute_call(statement, at) {
                self.call(statement, at, name, &mut edits)?;
                // What looks like a call may be a list of columns; only the grammar can tell.
                let is_no_matter = self.lists(statement, at, name)
                    || (!treats && is_type(statement, at))
                    || (is_called && is_no_call(statement, at, name, parsed(statement, &facts)));
                if !is_no_matter {
                    return Err(self.unlisted(name, statement.offset(at)));
                }
            } else if at > 1 && statement.is_punct(at - 1, b'.') {
                self.attribute(statement, at, name, &facts)?;
            }
        }
        Ok(edits)
    }

    /// Whether the policy's list of allowed functions, if it has one, has the name that ends at token `at`; words
    /// that cannot be functions count as listed.
    fn lists(&self, statement: &Statement<'_>, at: usize, name: &str) -> bool {
        if !self.policy.lists_functions() || name == "set_config" {
            return true;
        }
        let is_word = matches!(statement.get(at), Some(token) if token.kind == TokenKind::Word);
        let schema = schema(statement, at);
        (is_word && schema.is_none() && keyword_list::is_never_function(name))
            || self.policy.allows_function(schema, name)
    }

    fn unlisted(&self, name: &str, at: usize) -> Denial {
        let message = format!(
            "the policy \"{}\" does not allow function {name}",
            self.policy.name()
        );
        Denial::forbidden("policy.allowed_functions", message)
            .hint("The operator can add it to \"allowed_functions\" in the role's policy.")
            .at(at)
    }

    /// Judges the call of the function whose name ends at token `at`.
    fn call(
        &self,
        statement: &Statement<'_>,
        at: usize,
        name: &str,
        edits: &mut Vec<MakeLocal>,
    ) -> Result<(), Denial> {
        if name == "set_config" {
            edits.extend(self.set_config(statement, at)?);
            return Ok(());
        }
        let is_called = statement.is_punct(at + 1, b'(') || !is_attribute_call(statement, at);
        let notation = if is_called {
            Notation::Call
        } else {
            Notation::Attribute
        };
        if let Some(group) = self.reserved(schema(statement, at), name, notation)
            && !(name == "ts_rewrite"
                && statement.is_punct(at + 1, b'(')
                && arguments(statement, at + 1).len() == 3)
            && !is_own_activity(statement, at)
        {
            return Err(Denial::reserved(group, "function", name, statement.offset(at)));
        }
        let called = if statement.is_punct(at + 1, b'(') {
            at + 1
        } else {
            statement.len()
        };
        self.scope
            .call(statement, name, || arguments(statement, called))
            .map_err(|denial| denial.at(statement.offset(at)))?;
        let schema = schema(statement, at);
        if let Some(schema) =
            schema.filter(|schema| *schema != "pg_catalog" && !self.policy.allows_schema(schema))
        {
            let message = format!(
                "the policy \"{}\" does not allow schema {schema}",
                self.policy.name()
            );
            return Err(Denial::forbidden("policy.allowed_schemas", message).at(statement.offset(at)));
        }
        if self.policy.denies_function(schema, name) {
            return Err(self.denied(name, statement.offset(at)));
        }
        Ok(())
    }

    fn denied(&self, name: &str, at: usize) -> Denial {
        let message = format!("the policy \"{}\" denies function {name}", self.policy.name());
        Denial::forbidden("policy.denied_functions", message).at(at)
    }

    /// The group that keeps the function from this policy's roles.
    fn reserved(&self, schema: Option<&str>, name: &str, notation: Notation) -> Option<&'static Group> {
        let trusted = self.policy.is_trusted();
        let session = self.policy.mode() == PoolMode::Session;
        let search_path = if self.policy.may_set("search_path") {
            SearchPath::OfSession
        } else {
            SearchPath::OfOperator
        };
        let group = Reserved::list().function(Called {
            schema,
            name,
            notation,
            search_path,
        })?;
        let is_reserved = (group.everyone || !trusted)
            && !(group.transaction_mode_only && session)
            && (self.scope.is_held() || !group.beside_tenants_only);
        (is_reserved && !self.policy.owns_function(schema, name)).then_some(group)
    }

    /// Judges the name after a point at token `at`: a column, a relation in a schema, or a call of a function with
    /// what stands before the point as its argument. A row is no argument that a reserved function takes, so it
    /// is a column where what stands before is known to be a row; unless that is known, it is a call.
    fn attribute(
        &self,
        statement: &Statement<'_>,
        at: usize,
        name: &str,
        facts: &OnceCell<Option<Facts>>,
    ) -> Result<(), Denial> {
        let facts = || parsed(statement, facts);
        let before = statement.name(at - 2).unwrap_or("");
        // It takes three arguments: such a call cannot be made.
        if let Some(group) = self
            .reserved(None, name, Notation::Attribute)
            .filter(|_| name != "set_config")
            && !is_written_place(statement, at)
            && !facts().is_some_and(|facts| is_row(before, name, facts))
        {
            return Err(Denial::reserved(group, "function", name, statement.offset(at)));
        }
        if self.scope.is_by_name(name)
            && !is_written_place(statement, at)
            && !facts().is_some_and(|facts| is_row(before, name, facts))
        {
            return Err(scope::unnamed_sequence(name).at(statement.offset(at)));
        }
        // Functions that a policy denies may take a row.
        if self.policy.denies_function(None, name)
            && !is_written_place(statement, at)
            && !facts().is_some_and(|facts| is_relation(before, name, facts))
        {
            return Err(self.denied(name, statement.offset(at)));
        }
        if self.policy.lists_functions()
            && !self.policy.allows_function(None, name)
            && facts().is_none_or(|facts| facts.function_sources.iter().any(|source| source == before))
        {
            return Err(self.unlisted(name, statement.offset(at)));
        }
        Ok(())
    }

    /// `set_config` passes only with a literal name that the role may SET, and a literal third argument. With
    /// `true` it ends with the transaction; with `false` it is made to, and where it stands by itself the
    /// session keeps what it set. Elsewhere only `jit` may be set for longer than that: drivers switch it off
    /// around their type look-ups, and nobody can see how long it lasts.
    fn set_config(&self, statement: &Statement<'_>, at: usize) -> Result<Option<MakeLocal>, Denial> {
        let offset = statement.offset(at);
        let arguments = arguments(statement, at + 1);
        let [(name_at, name_end), (value_at, value_end), (local_at, local_end)] = *arguments.as_slice()
        else {
            return Err(self.unreadable_set_config(offset));
        };
        let name = statement
            .string(name_at)
            .filter(|_| name_end == name_at + 1)
            .ok_or_else(|| self.unreadable_set_config(offset))?;
        let name = name.to_ascii_lowercase();
        if local_end != local_at + 1 {
            return Err(self.unreadable_set_config(offset));
        }
        if self.settable.is_pinned(&name) {
            return Err(refused_set_config(offset));
        }
        self.settable
            .judge_name(self.policy, &name)
            .and_then(|()| self.scope.setting(&name))
            .map_err(|denial| denial.at(offset))?;
        let value = statement.string(value_at).filter(|_| value_end == value_at + 1);
        if !is_quiet(self.policy, &name, value.as_deref()) {
            return Err(refused_messages(self.policy).at(offset));
        }
        if let Some(most) = self.policy.timeouts().limit(&name)
            && !value.is_some_and(|value| self.policy.timeouts().permit(&name, &value))
        {
            return Err(too_long(self.policy, &name, most).at(offset));
        }
        // By source: a quoted "true" is a column.
        let local = statement.source(local_at).to_ascii_lowercase();
        let make_local = |keep| {
            Some(MakeLocal {
                at: statement.offset(local_at),
                keep,
            })
        };
        match local.as_str() {
            "true" => Ok(None),
            "false" if is_selected(statement, at) && !self.settable.is_characteristic(&name) => {
                Ok(make_local(Some(name.into())))
            }
            "false" if name == "jit" => Ok(make_local(None)),
            _ => Err(not_kept(&name).at(offset)),
        }
    }

    /// A call that does not say which setting it changes, or for how long. It could be any: nobody may say
    /// so without saying which, but who is trusted is told that it is the form that is at fault.
    fn unreadable_set_config(&self, offset: usize) -> Denial {
        if !self.policy.is_trusted() {
            return refused_set_config(offset);
        }
        Denial::unsupported(
            "reserved.set_config",
            "set_config is supported only with a literal name and a literal true or false",
        )
        .hint("The value may be a parameter or any expression; the name may not. Or use SET.")
        .at(offset)
    }
}

/// What `set_config` would set for the session in a place where that is not noticed.
pub(in crate::guard) fn not_kept(name: &str) -> Denial {
    Denial::unsupported(
        "reserved.set_config",
        format!("set_config cannot change \"{name}\" for the session in this place"),
    )
    .hint("Use SET, or SELECT set_config(…) by itself with true or false as the third argument.")
}

fn refused_set_config(offset: usize) -> Denial {
    Denial::forbidden("reserved.set_config", "set_config is not allowed here")
        .hint("Use SET or SET LOCAL for settings of your session; your identity is set by the token alone.")
        .at(offset)
}

/// The value cannot be changed in a text that a parameter or an expression gives it.
fn refused_messages(policy: &Policy) -> Denial {
    let message = format!(
        "the policy \"{}\" lets set_config set \"client_min_messages\" to a literal of notice or above alone",
        policy.name()
    );
    Denial::forbidden("setting.messages", message).hint("Use SET client_min_messages.")
}

/// `TREAT (`
fn is_treat(statement: &Statement<'_>, at: usize) -> bool {
    statement.kw(at) == Kw::Treat && statement.is_punct(at + 1, b'(')
}

/// Whether the name at `at` follows `)`, `]` or a parameter and a point.
fn is_attribute_call(statement: &Statement<'_>, at: usize) -> bool {
    at > 1
        && statement.is_punct(at - 1, b'.')
        && matches!(
            statement.get(at - 2).map(|token| token.kind),
            Some(TokenKind::Punct(b')' | b']') | TokenKind::Param)
        )
}

/// Whether the name that ends at token `at` is a type or an alias: one stands after `::` and `AS`.
fn is_type(statement: &Statement<'_>, at: usize) -> bool {
    let first = if schema(statement, at).is_some() {
        at - 2
    } else {
        at
    };
    first > 0 && (statement.source(first - 1) == "::" || statement.kw(first - 1) == Kw::As)
}

/// The facts of the statement, parsed once whatever the number of names that ask for them.
fn parsed<'f>(statement: &Statement<'_>, facts: &'f OnceCell<Option<Facts>>) -> Option<&'f Facts> {
    facts.get_or_init(|| facts::read(statement)).as_ref()
}

/// Whether a name with a parenthesis after it is known to be no function's: a keyword, or the name of something
/// whose columns are listed. That the grammar finds no call is not enough, since it makes something else of some.
fn is_no_call(statement: &Statement<'_>, at: usize, name: &str, facts: Option<&Facts>) -> bool {
    let is = |function: &String| {
        let rest = function.strip_suffix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let is_word = matches!(statement.get(at), Some(token) if token.kind == TokenKind::Word);
    facts.is_some_and(|facts| {
        let is_other =
            (is_word && keyword_list::is_keyword(name)) || facts.column_lists.iter().any(|list| list == name);
        is_other && !facts.functions.iter().any(is)
    })
}

/// Whether `before.name` is a column of a row, or a relation in a schema.
fn is_row(before: &str, name: &str, facts: &Facts) -> bool {
    let is = |listed: &String| listed == before;
    !facts.function_sources.iter().any(is)
        && (facts.row_sources.iter().any(is) || is_relation(before, name, facts))
}

/// Whether `schema.name` is a relation.
fn is_relation(schema: &str, name: &str, facts: &Facts) -> bool {
    let is = |relation: &String| {
        relation
            .strip_suffix(name)
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|before| before == schema)
    };
    facts.relations.iter().any(is) && !facts.function_sources.iter().any(|source| source == schema)
}

/// Whether the name whose last part is at `at` follows a word that nothing but a relation follows. FROM is no such
/// word: `IS DISTINCT FROM g.f` and `substring(a FROM g.f)` are expressions.
fn is_written_place(statement: &Statement<'_>, at: usize) -> bool {
    let mut first = at;
    while first > 1 && statement.is_punct(first - 1, b'.') {
        first -= 2;
    }
    first > 0
        && matches!(
            statement.kw(first - 1),
            Kw::Into | Kw::Update | Kw::Table | Kw::Only | Kw::Copy
        )
}

/// The schema of the name that ends at token `at`.
fn schema<'a>(statement: &Statement<'a>, at: usize) -> Option<&'a str> {
    (at > 1 && statement.is_punct(at - 1, b'.'))
        .then(|| statement.name(at - 2))
        .flatten()
}

/// `SELECT pg_advisory_unlock_all()`: there is nothing to unlock, and drivers send it when they reset.
pub(in crate::guard) fn is_harmless_unlock(statement: &Statement<'_>) -> bool {
    let at = if statement.name(1) == Some("pg_catalog") && statement.is_punct(2, b'.') {
        3
    } else {
        1
    };
    statement.kw(0) == Kw::Select
        && statement.name(at) == Some("pg_advisory_unlock_all")
        && statement.is_punct(at + 1, b'(')
        && statement.is_punct(at + 2, b')')
        && statement.len() == at + 3
}

/// `pg_stat_get_activity(pg_backend_pid())`, its name at `at`: one row, of the caller's own session. To the letter: any
/// other argument may be another session's.
fn is_own_activity(statement: &Statement<'_>, at: usize) -> bool {
    let qualified = statement.name(at + 2) == Some("pg_catalog") && statement.is_punct(at + 3, b'.');
    let pid = if qualified { at + 4 } else { at + 2 };
    statement.name(at) == Some("pg_stat_get_activity")
        && statement.is_punct(at + 1, b'(')
        && statement.name(pid) == Some("pg_backend_pid")
        && statement.is_punct(pid + 1, b'(')
        && statement.is_punct(pid + 2, b')')
        && statement.is_punct(pid + 3, b')')
}
