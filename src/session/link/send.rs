//! What is sent to the server, each message with what will answer it.

use std::sync::Arc;

use super::{ANYTHING, INTERNAL_PORTAL, Link, LocalSetting, REFUSED, Text};
use crate::base::{Fault, RoleName};
use crate::guard::{Action, Cleared, Qualified, StatementClass};
use crate::identity::Bound;
use crate::session::link::effect::Effect;
use crate::session::link::warrant::{ParseWarrant, Warrant};
use crate::session::memory::opening::Opening;
use crate::session::memory::statement::{Renamed, Statement};
use crate::session::request::repeated::Repeated;
use crate::wire::body::FunctionCall;
use crate::wire::encode::{NO_TYPES, TransactionStatus};
use crate::wire::replies::{Awaited, Delivery};

/// The count of the formats of one result column.
const ONE_RESULT: [u8; 2] = [0, 1];

impl Link {
    /// The right to run a statement. Puts the binding into force ahead of it, unless it is in force or the
    /// statement goes without.
    pub(in crate::session) fn warrant(&mut self, action: Option<&Action>, opening: &Opening) -> Warrant {
        Warrant::without_identity(action)
            .or_else(|| Warrant::in_role(self, action))
            .unwrap_or_else(|| self.warrant_for_any(opening))
    }

    /// The right to have a statement read, by the same means.
    pub(in crate::session) fn parse_warrant(
        &mut self,
        action: Option<&Action>,
        opening: &Opening,
    ) -> ParseWarrant {
        ParseWarrant::without_identity(action).unwrap_or_else(|| self.warrant_for_any(opening).into())
    }

    /// The right to run any statement.
    pub(in crate::session) fn warrant_for_any(&mut self, opening: &Opening) -> Warrant {
        if let Some(warrant) = Warrant::in_failed_block(self) {
            return warrant;
        }
        if let Some(bound) = self.acting.bound() {
            return Warrant::with_identity(bound);
        }
        let bound = self.put_prelude(opening);
        Warrant::with_identity(self.acting.is_bound(bound))
    }

    fn put_prelude(&mut self, opening: &Opening) -> Bound {
        let begins_batch = self.batch.is_fresh() && self.upstream.is_empty();
        self.put_modes(&opening.modes);
        let statement = &opening.prelude.prepared;
        if self.acting.begins_binding() {
            self.leave_role();
        }
        if self.sequences.go_ahead_of_prelude(self.block.is_open()) {
            self.forget_sequences();
        }
        self.close_unclosed();
        self.prepare(
            statement,
            Text::of_prelude(&opening.prelude),
            Delivery::Hide,
            Effect::None,
        );
        let portal = self.free_portal();
        let bound = self.upstream.prelude(&opening.binding, portal, statement.name());
        self.after_hidden(portal, Effect::None);
        if begins_batch {
            self.prelude_ends_here();
        }
        bound
    }

    /// The same for a client's statement, by Parse or PREPARE, as the client has prepared it.
    pub(in crate::session) fn prepare_statement(
        &mut self,
        statement: &Statement,
        delivery: Delivery,
        effect: Effect,
        warrant: &ParseWarrant,
    ) {
        let prepared = statement.prepared();
        let Some(command) = statement.command() else {
            return self.prepare(prepared, Text::statement(statement, warrant), delivery, effect);
        };
        if self.lease.prepared().touch(prepared.id()) {
            return;
        }
        let command = Text::renamed(&command, warrant);
        self.make_place(prepared.id(), command);
        self.upstream.parse("", command, NO_TYPES);
        self.forget_unnamed();
        self.expect(Awaited::Parse, Delivery::Hide, Effect::None);
        self.upstream.bind_text::<&str>(INTERNAL_PORTAL, "", &[]);
        self.expect(Awaited::Bind, Delivery::Hide, Effect::None);
        self.upstream.execute(INTERNAL_PORTAL);
        self.note_transient(prepared.id());
        let done = Effect::Prepared(prepared.id(), Box::new(effect));
        self.expect(Awaited::Execution, Delivery::Hide, done);
        self.upstream.close_portal(INTERNAL_PORTAL);
        self.expect(Awaited::Close, Delivery::Hide, Effect::None);
    }

    /// Parses a client's statement under the name that the client's stands for.
    pub(in crate::session) fn parse_statement(
        &mut self,
        client_name: &[u8],
        statement: &Statement,
        effect: Effect,
        warrant: &ParseWarrant,
    ) {
        let is_kept = !client_name.is_empty() || statement.is_repeated();
        if is_kept && self.shares(statement) {
            let prepared = statement.prepared();
            self.prepare(
                prepared,
                Text::statement(statement, warrant),
                Delivery::Forward,
                effect,
            );
            self.prepared_in_batch(prepared.id());
        } else {
            self.parse_unnamed(statement, Delivery::Forward, effect, warrant);
        }
    }

    /// Parses an EXECUTE for its errors alone: what the client's name in it stands for is found out when it is
    /// bound, and another text is sent then.
    pub(in crate::session) fn parse_untranslated(
        &mut self,
        statement: &Statement,
        effect: Effect,
        warrant: &ParseWarrant,
    ) {
        self.parse_unnamed(statement, Delivery::Forward, effect, warrant);
        self.forget_unnamed();
    }

    /// Parses an EXECUTE with the server's name in it.
    pub(in crate::session) fn parse_translated(&mut self, sql: &Renamed, warrant: &ParseWarrant) {
        self.upstream.parse("", Text::renamed(sql, warrant), NO_TYPES);
        self.forget_unnamed();
        self.expect(Awaited::Parse, Delivery::Hide, Effect::None);
    }

    /// Sends an EXECUTE of a simple query with the server's name in it.
    pub(in crate::session) fn run_translated(&mut self, sql: &Renamed, effect: Effect, warrant: Warrant) {
        self.run_unnamed(
            Text::renamed(sql, warrant.to_parse()),
            Delivery::ForwardLate,
            effect,
        );
    }

    /// Whether the server's statement of this text, as it would be parsed now, serves all who share it.
    pub(in crate::session) fn shares(&self, statement: &Statement) -> bool {
        self.context == statement.context()
    }

    fn parse_unnamed(
        &mut self,
        statement: &Statement,
        delivery: Delivery,
        effect: Effect,
        warrant: &ParseWarrant,
    ) {
        let prepared = statement.prepared();
        self.upstream
            .parse("", Text::statement(statement, warrant), prepared.types());
        // A named statement that passes through here is parsed anew each time, and so is one that others may send, too.
        let is_own = self.shares(statement) && !statement.is_repeated();
        self.lease.unnamed = is_own.then_some(prepared.id());
        self.expect(Awaited::Parse, delivery, effect);
    }

    /// Sends one statement of a simple query: Parse, Bind, Describe, Execute on unnamed statement and
    /// portal.
    pub(in crate::session) fn run_once(&mut self, cleared: &Cleared, effect: Effect, warrant: Warrant) {
        self.run_unnamed(
            Text::cleared(cleared, warrant.to_parse()),
            delivery_of_rows(cleared),
            effect,
        );
    }

    /// The same, with a prepared statement in the place of the text.
    pub(in crate::session) fn run_prepared(
        &mut self,
        repeated: &Repeated,
        cleared: &Cleared,
        effect: Effect,
        warrant: Warrant,
    ) {
        self.batch.asks_for_work();
        let statement = &repeated.statement;
        let prepared = statement.prepared();
        self.prepare(
            prepared,
            Text::statement(statement, warrant.to_parse()),
            Delivery::NoticesOnly,
            Effect::None,
        );
        self.upstream.bind_text("", prepared.name(), &repeated.values());
        self.portals.close(b"");
        let bound = Effect::Bound(Arc::clone(statement), None);
        self.expect(Awaited::Bind, Delivery::NoticesOnly, bound);
        self.execute_unnamed(delivery_of_rows(cleared), effect);
    }

    /// Sends the statement that a FunctionCall stands for, with the values of the call. What the client has
    /// bound stays as it is.
    pub(in crate::session) fn call_function(
        &mut self,
        cleared: &Cleared,
        call: &FunctionCall<'_>,
        effect: Effect,
        warrant: Warrant,
    ) {
        self.batch.asks_for_work();
        self.upstream
            .parse("", Text::cleared(cleared, warrant.to_parse()), NO_TYPES);
        self.forget_unnamed();
        self.expect(Awaited::Parse, Delivery::Hide, Effect::None);
        let tail = call.values.len() + ONE_RESULT.len() + call.result_format.len();
        self.upstream
            .bind_head(INTERNAL_PORTAL.as_bytes(), "", tail, &warrant);
        for part in [call.values, &ONE_RESULT, &call.result_format] {
            self.upstream.body(part);
        }
        self.expect(Awaited::Bind, Delivery::Hide, Effect::None);
        self.upstream.execute(INTERNAL_PORTAL);
        self.expect(Awaited::Execution, Delivery::FunctionResult, effect);
        self.upstream.close_portal(INTERNAL_PORTAL);
        self.expect(Awaited::Close, Delivery::Hide, Effect::None);
    }

    /// The same for a query that only sets settings, which is bound as the login role and run as `role`.
    pub(in crate::session) fn run_setting(
        &mut self,
        qualified: &Qualified,
        role: &RoleName,
        effect: Effect,
        warrant: Warrant,
    ) {
        self.leave_role();
        self.bind_unnamed(
            Text::qualified(qualified, warrant.to_parse()),
            Delivery::NoticesOnly,
        );
        self.return_to_role(role);
        self.execute_unnamed(Delivery::ForwardRows, effect);
    }

    /// Sends a cleared SET in the form that ends with the transaction.
    pub(in crate::session) fn set_locally(
        &mut self,
        setting: &LocalSetting,
        delivery: Delivery,
        effect: Effect,
        warrant: Warrant,
    ) {
        self.run_unnamed(Text::local(setting, warrant.to_parse()), delivery, effect);
    }

    /// Binds a statement without parameters to the client's portal once more.
    pub(in crate::session) fn bind_again(&mut self, portal: &[u8], cleared: &Cleared, warrant: &Warrant) {
        self.upstream
            .parse("", Text::cleared(cleared, warrant.to_parse()), NO_TYPES);
        self.forget_unnamed();
        self.expect(Awaited::Parse, Delivery::Hide, Effect::None);
        // No parameter formats, no parameters, no result formats.
        let rest = [0; 6];
        self.upstream.bind_head(portal, "", rest.len(), warrant);
        self.upstream.body(&rest);
        self.expect(Awaited::Bind, Delivery::Hide, Effect::None);
    }

    /// Sends an Execute as it is.
    pub(in crate::session) fn execute(&mut self, body: &[u8], effect: Effect, warrant: Warrant) {
        self.batch.executes();
        self.upstream.execute_as_sent(body, &warrant);
        self.expect(Awaited::Execution, Delivery::Forward, effect);
    }

    /// Runs a statement on unnamed statement and portal.
    pub(in crate::session) fn run_unnamed(&mut self, text: Text<'_>, rows: Delivery, effect: Effect) {
        let ahead = match rows {
            Delivery::Hide => Delivery::Hide,
            _ => Delivery::NoticesOnly,
        };
        self.bind_unnamed(text, ahead);
        self.execute_unnamed(rows, effect);
    }

    /// `ahead` is for the answers to Parse and Bind, which a simple query does not have.
    fn bind_unnamed(&mut self, text: Text<'_>, ahead: Delivery) {
        self.batch.asks_for_work();
        self.upstream.parse("", text, NO_TYPES);
        self.forget_unnamed();
        self.expect(Awaited::Parse, ahead, Effect::None);
        self.upstream.bind_text::<&str>("", "", &[]);
        self.portals.close(b"");
        self.expect(Awaited::Bind, ahead, Effect::PortalChanged);
    }

    fn execute_unnamed(&mut self, rows: Delivery, effect: Effect) {
        self.upstream.describe_portal("");
        self.expect(Awaited::PortalDescription, rows, Effect::None);
        self.upstream.execute("");
        let rows = match rows {
            Delivery::ForwardLate => Delivery::ForwardRows,
            rows => rows,
        };
        self.expect(Awaited::Execution, rows, effect);
    }

    /// Lets the server fail here if its transaction has failed.
    pub(in crate::session) fn heed_failure(&mut self) {
        self.heed_failure_of(Text::ours(ANYTHING));
    }

    /// The same for a statement that the server knows already: one that ends the transaction is not refused
    /// (`IsTransactionExitStmt`, postgres.c).
    pub(super) fn heed_failure_of(&mut self, text: Text<'_>) {
        if self.block.status() == TransactionStatus::Failed {
            self.upstream.parse("", text, NO_TYPES);
            self.forget_unnamed();
            self.expect(Awaited::Parse, Delivery::Hide, Effect::None);
        }
    }

    /// Makes the server fail here, and the client see `fault` as the reason.
    pub(in crate::session) fn poison(&mut self, fault: Fault) {
        self.upstream.parse("", Text::ours(REFUSED), NO_TYPES);
        self.forget_unnamed();
        self.expect(
            Awaited::Parse,
            Delivery::Forward,
            Effect::Refused(Box::new(fault)),
        );
    }

    /// Ends the batch.
    pub(in crate::session) fn sync(&mut self) {
        self.end_batch(Delivery::Forward);
    }

    /// Ends a batch that has only parsed and described, once the client has its replies: it may think about
    /// them without holding the connection. Some drivers prepare with a Flush and send the Sync much later.
    pub(in crate::session) fn let_go(&mut self) {
        if self.batch.awaits_replies_alone()
            && self.awaits_sync()
            && self.upstream.is_empty()
            && !self.block.is_open()
        {
            self.end_batch(Delivery::Hide);
        }
    }

    pub(in crate::session) fn end_batch(&mut self, ready: Delivery) {
        // What has failed skips everything to the Sync.
        if !self.block.is_open() && !self.batch.has_failed() {
            self.retire();
            self.close_unclosed();
        }
        self.upstream.sync();
        self.expect(Awaited::Ready, ready, Effect::None);
        self.batch.syncs();
    }

    /// Asks for the replies so far, unless that has been done: the client's next message waits for them.
    pub(in crate::session) fn wait_for_replies(&mut self) {
        if self.is_unasked() {
            self.flush();
        }
    }

    /// Asks for the replies so far.
    pub(in crate::session) fn flush(&mut self) {
        self.upstream.flush();
        self.batch.flushes();
    }

    /// The name under which the server knows a client's statement now; sends what is missing for that.
    pub(in crate::session) fn statement_name<'a>(
        &mut self,
        client_name: &[u8],
        statement: &'a Statement,
        warrant: &ParseWarrant,
    ) -> &'a str {
        let prepared = statement.prepared();
        let is_kept = !client_name.is_empty() || self.uses_repeated(prepared.id());
        if is_kept && self.shares(statement) {
            self.prepare_statement(statement, Delivery::Hide, Effect::None, warrant);
            return prepared.name();
        }
        if self.lease.unnamed != Some(prepared.id()) {
            self.parse_unnamed(statement, Delivery::Hide, Effect::None, warrant);
        }
        ""
    }
}

/// A simple query of Postgres describes no rows before the statement has run, where running it is what makes them.
fn delivery_of_rows(cleared: &Cleared) -> Delivery {
    match cleared.class() {
        StatementClass::Select | StatementClass::CopyFrom | StatementClass::CopyTo => Delivery::ForwardRows,
        _ => Delivery::ForwardLate,
    }
}
