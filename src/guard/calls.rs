//! Every name in a statement that could reach a reserved or denied function or relation.
//!
//! A function is called by its name and `(`, in any schema and any spelling. Two more ways are easily
//! overlooked, and work on every version:
//! * `(1::bigint).pg_advisory_lock`: attribute notation calls a function of one argument
//!   (`ParseFuncOrColumn` in parse_func.c). A plain name before the point is no safer: in
//!   `SELECT g.pg_advisory_lock FROM generate_series(1, 9) g` it stands for what a function has returned;
//! * `TREAT(1 AS pg_advisory_lock)`: the grammar turns the type's name into a function's.

use std::cell::OnceCell;

use super::denial::Denial;
use super::facts::{self, Facts};
use super::lexer::{Kw, TokenKind};
use super::policy::Policy;
use super::reserved::{Group, Reserved};
use super::rules::is_relation_place;
use super::settings::Settable;
use super::statement::Statement;

/// What the names are judged by.
pub(super) struct Names<'p> {
    pub(super) policy: &'p Policy,
    pub(super) settable: &'p Settable,
}

/// A change to the text that does not change its length: the byte offset of `false`, which becomes `true `.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MakeLocal(pub(super) usize);

impl Names<'_> {
    /// Judges every name of the statement. `relation` is a token that names a relation although a
    /// parenthesis follows: `INSERT INTO set_config (a) …`.
    pub(super) fn judge(
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
            if !self.policy.is_trusted()
                && let Some(group) = Reserved::list().relation(name)
            {
                return Err(Denial::reserved(group, "relation", name, statement.offset(at)));
            }
            let is_called = statement.is_punct(at + 1, b'(') && !relation.contains(&at);
            if is_called || treats || is_attribute_call(statement, at) {
                self.call(statement, at, name, &mut edits)?;
            } else if at > 1 && statement.is_punct(at - 1, b'.') {
                self.attribute(statement, at, name, &facts)?;
            }
        }
        Ok(edits)
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
        if let Some(group) = self.reserved(name)
            && !(name == "ts_rewrite"
                && statement.is_punct(at + 1, b'(')
                && arguments(statement, at + 1).len() == 3)
        {
            return Err(Denial::reserved(group, "function", name, statement.offset(at)));
        }
        let schema = (at > 1 && statement.is_punct(at - 1, b'.'))
            .then(|| statement.name(at - 2))
            .flatten();
        if self.policy.denies_function(schema, name) {
            let message = format!("the policy \"{}\" denies function {name}", self.policy.name());
            return Err(Denial::forbidden("policy.denied_functions", message).at(statement.offset(at)));
        }
        Ok(())
    }

    /// The group that keeps the function from this policy's roles.
    fn reserved(&self, name: &str) -> Option<&'static Group> {
        let trusted = self.policy.is_trusted();
        let group = Reserved::list().function(name)?;
        (group.everyone || !trusted).then_some(group)
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
        let Some(group) = self.reserved(name) else {
            return Ok(());
        };
        // It takes three arguments: such a call cannot be made.
        if name == "set_config" || is_relation_place(statement, at) {
            return Ok(());
        }
        // Parsed once, whatever the number of such names.
        let facts = facts.get_or_init(|| facts::read(statement)).as_ref();
        let is_column = statement
            .name(at - 2)
            .zip(facts)
            .is_some_and(|(before, facts)| is_row(before, name, facts));
        if is_column {
            return Ok(());
        }
        Err(Denial::reserved(group, "function", name, statement.offset(at)))
    }

    /// `set_config` passes only with a literal name that the role may SET and a literal `true` for the third
    /// argument: it then ends with the transaction. `jit` also with `false`, made `true`: drivers switch it
    /// off around their type look-ups, and nobody can see how long that lasts.
    fn set_config(&self, statement: &Statement<'_>, at: usize) -> Result<Option<MakeLocal>, Denial> {
        let offset = statement.offset(at);
        let refused = || {
            Denial::forbidden("reserved.set_config", "set_config is not allowed here")
                .hint("Use SET or SET LOCAL for settings of your session; your identity is set by the token alone.")
                .at(offset)
        };
        let arguments = arguments(statement, at + 1);
        let [(name_at, name_end), _, (local_at, local_end)] = *arguments.as_slice() else {
            return Err(refused());
        };
        let name = statement
            .string(name_at)
            .filter(|_| name_end == name_at + 1)
            .ok_or_else(refused)?;
        let name = name.to_ascii_lowercase();
        if local_end != local_at + 1 || self.settable.is_pinned(&name) {
            return Err(refused());
        }
        self.settable
            .judge_name(self.policy, &name)
            .map_err(|denial| denial.at(offset))?;
        // By source: a quoted "true" is a column.
        match statement.source(local_at).to_ascii_lowercase().as_str() {
            "true" => Ok(None),
            "false" if name == "jit" => Ok(Some(MakeLocal(statement.offset(local_at)))),
            _ => Err(Denial::unsupported(
                "reserved.set_config",
                format!("set_config cannot change \"{name}\" for the session in transaction mode"),
            )
            .hint("Use SET, which is kept for your session, or true as the third argument.")
            .at(offset)),
        }
    }
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

/// Whether `before.name` is a column of a row, or a relation in a schema.
fn is_row(before: &str, name: &str, facts: &Facts) -> bool {
    let is = |listed: &String| listed == before;
    let is_relation = |relation: &String| {
        relation
            .strip_suffix(name)
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|schema| schema == before)
    };
    !facts.function_sources.iter().any(is)
        && (facts.row_sources.iter().any(is) || facts.relations.iter().any(is_relation))
}

/// `SELECT pg_advisory_unlock_all()`: there is nothing to unlock, and drivers send it when they reset.
fn is_harmless_unlock(statement: &Statement<'_>) -> bool {
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

/// Longest call whose arguments are told apart, in tokens: calls nest, and each looks over those inside it.
const CALL_TOKENS: usize = 1_000;

/// The token ranges of the arguments of the call whose parenthesis is at `open`; at most four of them, which
/// is enough to tell that there are too many, and fewer if the call is too long.
fn arguments(statement: &Statement<'_>, open: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut start = open + 1;
    for at in open..statement.len().min(open + CALL_TOKENS) {
        let Some(token) = statement.get(at) else { break };
        match token.kind {
            TokenKind::Punct(b'(' | b'[') => depth += 1,
            TokenKind::Punct(b')' | b']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    found.push((start, at));
                    return found;
                }
            }
            TokenKind::Punct(b',') if depth == 1 => {
                found.push((start, at));
                start = at + 1;
            }
            _ => {}
        }
        if found.len() > 3 {
            break;
        }
    }
    // Not closed within reach: as good as no arguments.
    found.clear();
    found
}
