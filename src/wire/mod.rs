//! The wire protocol, pure: frames, messages, replies (PostgreSQL manual, chapter 54).

pub mod body;
pub mod encode;
pub mod frame;
pub mod notice;
pub mod replies;
pub mod reword;
pub mod row;
pub mod startup;
pub mod tag;
