//! A text as PostgreSQL reads it: tokens, statements, and the questions one asks of a statement's tokens.

pub(super) mod keyword_list;
pub(super) mod lexer;
pub(super) mod split;
pub(super) mod statement;
pub(super) mod tokenized;
pub(super) mod working_memory;
