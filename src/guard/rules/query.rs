//! The rules for a query, wherever in a statement it stands: its verbs, what it writes to, every name in it.

use super::calls::Names;
use super::relations::Relations;
use super::scope::Scope;
use super::settings::Settable;
use crate::guard::policy::policy::Policy;
use crate::guard::reading::class::StatementClass;
use crate::guard::reading::query::Query;
use crate::guard::text::statement::Statement;
use crate::guard::verdict::allowed::MakeLocal;
use crate::guard::verdict::denial::Denial;

/// What is judged by: one policy and what the whole guard shares.
pub(in crate::guard) struct Rules<'p> {
    pub(in crate::guard) policy: &'p Policy,
    pub(in crate::guard) settable: &'p Settable,
    pub(in crate::guard) scope: Scope<'p>,
}

impl Rules<'_> {
    /// Judges what a query does; `whole` is the statement it stands in.
    pub(super) fn query(
        &self,
        statement: &Statement<'_>,
        query: &Query,
        whole: &Statement<'_>,
    ) -> Result<Vec<MakeLocal>, Denial> {
        let start = statement.offset(0);
        let class = if query.into.is_some() {
            StatementClass::SelectInto
        } else {
            query.class
        };
        let reads = query.reads.then_some(StatementClass::Select);
        for class in reads
            .into_iter()
            .chain([class])
            .chain(query.writes.iter().map(|write| write.class))
        {
            if !self.policy.allows(class) {
                return Err(Denial::statement(self.policy, class).at(start));
            }
        }
        self.relations().judge_where(statement, query)?;
        self.relations().judge_allowed(statement)?;
        let skipped = whole.len() - statement.len();
        let mut relations = Vec::new();
        for write in &query.writes {
            let Some(target) = write.target else { continue };
            self.target(statement, target)?;
            if write.class == StatementClass::Insert {
                relations.push(skipped + statement.after_name(target).saturating_sub(1));
            }
        }
        self.names(whole, &relations)
    }

    pub(super) fn relations(&self) -> Relations<'_> {
        Relations { policy: self.policy }
    }

    /// Judges the relation that is written to: the system's own are not the caller's to change. `UPDATE
    /// pg_settings` would be SET by another name.
    pub(super) fn target(&self, statement: &Statement<'_>, at: usize) -> Result<(), Denial> {
        let (schema, Some(name)) = statement.qualified_name(at) else {
            return Ok(());
        };
        // That one would change the server connection for whoever comes next.
        if self.policy.is_trusted() && name != "pg_settings" {
            return Ok(());
        }
        let is_system = match schema {
            Some(schema) => schema == "information_schema" || schema.starts_with("pg_"),
            None => name.starts_with("pg_"),
        };
        if is_system {
            return Err(Denial::forbidden(
                "reserved.catalog_write",
                format!("writing to system relation {name} is not allowed"),
            )
            .hint("Use SET for settings of your session.")
            .at(statement.offset(at)));
        }
        Ok(())
    }

    /// Judges every name of the statement.
    pub(super) fn names(
        &self,
        statement: &Statement<'_>,
        relations: &[usize],
    ) -> Result<Vec<MakeLocal>, Denial> {
        let edits = Names {
            policy: self.policy,
            settable: self.settable,
            scope: self.scope,
        }
        .judge(statement, relations)?;
        self.relations().judge_denied(statement)?;
        Ok(edits)
    }
}
