//! FunctionCall, which drivers use for large objects (libpq's `lo_*`, pgjdbc, ODBC): re-issued as the SELECT that
//! it stands for, so that the guard judges it and the identity goes ahead of it as of any other statement.

use std::sync::Arc;

use crate::base::{Fault, SqlState};
use crate::guard::Script;
use crate::session::Session;
use crate::session::memory::holding::Judged;
use crate::session::request::inbound::Outcome;
use crate::session::request::pending_message::Found;
use crate::wire::body::FunctionCall;

/// A function by the number it has in every database.
struct Function {
    oid: u32,
    name: &'static str,
    arguments: usize,
}

/// What a FunctionCall may name: the functions of the large object interface
/// (`src/include/catalog/pg_proc.dat`; `lo_initialize`, fe-lobj.c).
const FUNCTIONS: [Function; 14] = [
    function(952, "lo_open", 2),
    function(953, "lo_close", 1),
    function(954, "loread", 2),
    function(955, "lowrite", 2),
    function(956, "lo_lseek", 3),
    function(3170, "lo_lseek64", 3),
    function(957, "lo_creat", 1),
    function(715, "lo_create", 1),
    function(958, "lo_tell", 1),
    function(3171, "lo_tell64", 1),
    function(1004, "lo_truncate", 2),
    function(3172, "lo_truncate64", 2),
    function(964, "lo_unlink", 1),
    function(3457, "lo_from_bytea", 2),
];

const fn function(oid: u32, name: &'static str, arguments: usize) -> Function {
    Function { oid, name, arguments }
}

impl Session {
    /// FunctionCall.
    pub(in crate::session) fn function_call(&mut self, call: &FunctionCall<'_>) -> Outcome {
        if let Some(link) = self.link.as_mut().filter(|link| link.batch.is_open()) {
            // As with a Query: had a message before it failed, the server would skip this one.
            if !link.replies.is_empty() {
                link.wait_for_replies();
                return Outcome::Blocked;
            }
        }
        if !self.is_settled_for(None) {
            return Outcome::Blocked;
        }
        match statement(call).and_then(|text| self.judge(text.as_bytes(), None)) {
            Ok(script) => self.call(call, script),
            Err(fault) => self.fail_query(fault),
        }
    }

    /// A FunctionCall that may run.
    pub(in crate::session) fn call(&mut self, call: &FunctionCall<'_>, script: Arc<Script>) -> Outcome {
        let Some(mut linked) = self.linked() else {
            return Outcome::Lease(Found::Verdict(Judged::new(self.account(), script)));
        };
        if let Some(cleared) = script.statements().first() {
            let warrant = linked.warrant(Some(cleared.action()));
            let effect = match linked.before_execution(cleared, b"") {
                Ok(effect) => effect,
                Err(fault) => return self.fail_query(fault),
            };
            linked.link.call_function(cleared, call, effect, warrant);
        }
        self.end_batch();
        Outcome::Done
    }
}

/// The statement that a call stands for.
fn statement(call: &FunctionCall<'_>) -> Result<String, Fault> {
    let Some(function) = FUNCTIONS.iter().find(|function| function.oid == call.oid) else {
        return Err(Fault::error(
            SqlState::INSUFFICIENT_PRIVILEGE,
            "the function-call protocol message is refused, except for large objects",
        )
        .with_hint("Call the function with SELECT or CALL."));
    };
    if function.arguments != call.count {
        return Err(Fault::error(
            SqlState::PROTOCOL_VIOLATION,
            format!(
                "function call message contains {} arguments but function requires {}",
                call.count, function.arguments
            ),
        ));
    }
    let values: Vec<String> = (1..=call.count).map(|number| format!("${number}")).collect();
    Ok(format!(
        "SELECT pg_catalog.{}({})",
        function.name,
        values.join(",")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(oid: u32, count: usize) -> FunctionCall<'static> {
        FunctionCall {
            oid,
            count,
            values: &[],
            result_format: [0, 0],
        }
    }

    #[test]
    fn a_call_stands_for_a_statement() {
        assert_eq!(
            statement(&call(955, 2)).unwrap(),
            "SELECT pg_catalog.lowrite($1,$2)"
        );
        assert_eq!(
            statement(&call(955, 3)).unwrap_err().sqlstate,
            SqlState::PROTOCOL_VIOLATION
        );
        // set_config
        assert_eq!(
            statement(&call(2078, 3)).unwrap_err().sqlstate,
            SqlState::INSUFFICIENT_PRIVILEGE
        );
    }
}
