//! Sessions within the process, in front of a scripted server.

#[expect(dead_code, reason = "shared with the tests before real servers")]
#[path = "../../../tests/support/matrix.rs"]
mod book;
#[expect(dead_code, reason = "shared with the tests before real servers")]
#[path = "../../../tests/support/messages.rs"]
mod messages;
#[path = "../../../tests/support/trace.rs"]
mod trace;

mod player;
mod stage;

mod cases;
mod matrix;
mod random;
mod traces;
