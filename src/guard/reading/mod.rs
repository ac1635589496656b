//! What a statement is and does, from its tokens alone or from the grammar, whatever anybody's policy says of it.

pub(super) mod action;
pub(super) mod call_site;
pub(super) mod class;
pub(super) mod copy;
pub(super) mod facts;
pub(super) mod filters;
pub(super) mod leading_keywords;
pub(super) mod prepared;
pub(super) mod query;
pub(super) mod schema_names;
pub(super) mod set_only;
pub(super) mod set_statement;
pub(super) mod temporary;
pub(super) mod transaction;
pub(super) mod utility;
