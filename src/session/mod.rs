//! One authenticated client, many transactions.
//!
//! The session's task owns both sockets while a transaction runs. Each turn it translates what the client
//! has sent (`inbound`, `simple`, `extended`, `command`), moves bytes (`pump`) and passes on what the server
//! has answered (`relay`). It leases a server connection with the first message that needs one and gives it
//! back at the first ReadyForQuery outside a transaction.

mod answer;
mod io;
mod lease;
mod link;
mod linked;
mod memory;
#[cfg(planted)]
#[path = "../../tests/tidy/planted.rs"]
mod planted;
mod replication;
mod request;
mod teller;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use io::patience::Pace;
pub use io::timer::Timer;
pub use lease::cancel::{CancelRegistry, CancelTicket};
pub use lease::probe::{ProbeError, canonical_settings, is_superuser};
pub use memory::application_name::ApplicationName;
pub use replication::{ReplicationKind, Walsender, WalsenderError, WalsenderParts};
pub use teller::Teller;

use crate::auth::Principal;
use crate::base::memory::{Account, Budget, Charge, Stay};
use crate::base::{CheckIn, ClientEnd, DiscardReason, Drain, Event, Events, Fault, SqlState, Turns, limits};
use crate::guard::Guard;
use crate::net::{Inbox, Stream};
use crate::pool::{Customer, Pools};
use crate::server::Parameters;
use crate::tenant::{Route, Tenure};
use crate::wire::encode::{self, TransactionStatus};
use crate::wire::notice;

use answer::ceilings::Tally;
use answer::relay::Answers;
use io::clock::Clock;
use io::pump::Wake;
use io::shutdown::Shutdown;
use lease::session_mode::Kept;
use link::{Left, Link};
use memory::names::Names;
use memory::settings::{SessionSettings, Standing};
use memory::setup::Setup;
use memory::statement::StatementCache;
use request::inbound::Inbound;
use request::pending_message::Pending;
use request::policy::InForce;

/// Names and values in the order of their names, shared until one is changed.
pub type Pairs = Arc<Vec<(String, String)>>;

/// What the deployment allows a session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a transaction may go on after its token has expired.
    pub expiry_grace: Duration,
    /// How long a client may leave a transaction idle (25P03); `None` for ever.
    pub idle_transaction_timeout: Option<Duration>,
    /// How slow a client may be while its server connection waits for it (25P03); `None` for any.
    pub pace: Option<Pace>,
    /// How long a client may be idle between transactions (57P05); `None` for ever.
    pub client_idle_timeout: Option<Duration>,
    /// How long a long statement may wait for its turn to be judged (53400); `None` for ever.
    pub judge_wait_timeout: Option<Duration>,
    /// Largest Query or Parse in bytes; longer ones are refused with 54000.
    pub max_statement_bytes: usize,
    /// What its transactions are called on the server.
    pub application_name: ApplicationName,
}

/// What all sessions of a process share.
pub struct Shared {
    settings: Settings,
    guard: Arc<Guard>,
    pools: Arc<Pools>,
    statements: StatementCache,
    /// Turns at judging long texts.
    turns: Arc<Turns>,
    /// Turns of tenants whose sessions have much to do.
    shares: Arc<Turns>,
    events: Events,
}

impl Shared {
    /// Puts the shared parts together. `judges` long texts are judged at a time; sessions run on
    /// `workers` threads.
    pub fn new(
        settings: Settings,
        guard: Arc<Guard>,
        pools: Arc<Pools>,
        budget: &Budget,
        judges: usize,
        workers: usize,
        events: Events,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings,
            guard,
            pools,
            statements: StatementCache::new(budget),
            turns: Turns::new(judges),
            shares: Turns::new(workers),
            events,
        })
    }

    /// Waits for a tenant's or an address's turn to work on, having done so many units. At once where there is nobody
    /// else to wait for it, or it has not done much lately. Cancel safe.
    pub async fn turn_of(&self, account: &Arc<Account>, units: u32) {
        if !account.may_work_on(units) {
            self.shares.work_on(account.id()).await;
        }
    }

    /// The guard that judges every session's statements.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The settings of a session that begins with these, as its transactions will have them.
    pub fn as_shown<'s>(
        &self,
        principal: &Principal,
        startup: &'s [(String, String)],
    ) -> Cow<'s, [(String, String)]> {
        let subject = self.settings.application_name.subject(principal);
        memory::application_name::with_subject(startup, subject.as_deref())
    }
}

/// Who a session is and where it goes: everything the login has found out.
pub struct Identity {
    /// Who is asking.
    pub principal: Arc<Principal>,
    /// Where its transactions run.
    pub route: Arc<Route>,
    /// Its right to stay there.
    pub tenure: Tenure,
    /// The server connections it may use.
    pub pool: Customer,
    /// The identity settings' values.
    pub values: Vec<(String, String)>,
    /// Settings from the startup packet, names folded and in order, values as the server canonicalises them.
    pub startup: Pairs,
    /// Parameters of a fresh server connection.
    pub parameters: Arc<Parameters>,
    /// Parameters that the greeting reported otherwise.
    pub told: Vec<(String, String)>,
    /// What it may hold, on its tenant's account.
    pub stay: Stay,
}

/// The client's side of a session.
struct Client {
    stream: Stream,
    inbox: Inbox,
    /// Bytes for the client that could not be written at once, and how many of them it has.
    outbox: Vec<u8>,
    written: usize,
    /// Bytes that have come from it and gone to it.
    moved: u64,
    /// What they are charged with.
    charge: Option<Box<Charge>>,
    /// Set once its socket has closed behind a Terminate: until then what it has asked for is done.
    leaves_by: Option<Instant>,
}

/// A session in progress.
pub struct Session {
    shared: Arc<Shared>,
    client: Client,
    identity: Identity,
    policy: InForce,
    tally: Tally,
    setup: Setup,
    names: Names,
    inbound: Inbound,
    /// A message that has waited and goes on next.
    pending: Option<Pending>,
    /// Whether the client's messages are dropped until its next Sync, after an error.
    skipping: Skipping,
    /// Work that its tenant's credit has not been asked for.
    worked: u32,
    link: Option<Box<Link>>,
    kept: Kept,
    answers: Answers,
    ticket: CancelTicket,
    clock: Clock,
    /// Why the server does not grant the role that the statement at hand needs.
    role_fault: Option<Box<Fault>>,
    shutdown: Shutdown,
}

/// Whether the client's messages count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skipping {
    /// They do.
    No,
    /// They are dropped until its next Sync, as the server does after an error.
    ToSync,
}

/// How a session's turn ends. Small: the future of every idle session has room for one.
enum TurnEnd {
    /// Wait for bytes in either direction.
    Wait,
    /// The pending message needs a server connection.
    Lease,
    /// The pending message has a long text, which waits to be judged.
    Judge,
    /// There is more to do, and others may go first.
    Busy,
    /// The session ends; whatever had to be said has been put into the outbox.
    End(ClientEnd),
}

impl Session {
    /// A session on a client connection that has been authenticated and greeted. `inbox` holds what the
    /// client has sent beyond its login, `timer` may have watched over that.
    pub fn new(
        shared: Arc<Shared>,
        stream: Stream,
        inbox: Inbox,
        mut identity: Identity,
        ticket: CancelTicket,
        timer: Timer,
        drain: Drain,
    ) -> Self {
        let policy = InForce::new(&shared.guard, identity.route.mode, identity.principal.role());
        let settings = SessionSettings::new(
            request::policy::bounded(&identity.startup, &policy),
            Arc::clone(&identity.parameters),
            identity.route.search_path.clone(),
            std::mem::take(&mut identity.told),
        )
        .showing(shared.settings.application_name.subject(&identity.principal));
        Self {
            client: Client::new(stream, inbox),
            policy,
            tally: Tally::default(),
            setup: Setup::new(&identity, settings, &shared.statements),
            names: Names::default(),
            inbound: Inbound::default(),
            pending: None,
            skipping: Skipping::No,
            worked: 0,
            link: None,
            kept: Kept::default(),
            answers: Answers::default(),
            ticket,
            clock: Clock::new(timer, &identity.principal),
            role_fault: None,
            shutdown: Shutdown::new(drain),
            shared,
            identity,
        }
    }

    /// Who the session was and where, once it has run.
    pub fn into_who(self: Box<Self>) -> (Arc<Principal>, Arc<Route>) {
        let identity = self.identity;
        (identity.principal, identity.route)
    }

    /// Serves the client until it leaves or has to; after that there is nothing left to run.
    ///
    /// Not cancel safe, yet harmless to drop: a dropped session closes both connections.
    pub async fn run(&mut self) -> ClientEnd {
        let end = loop {
            let worked = std::mem::take(&mut self.worked);
            self.shared.turn_of(self.identity.stay.account(), worked).await;
            match self.take_turn() {
                TurnEnd::Busy => {}
                TurnEnd::Lease => match self.check_out().await {
                    Ok(leased) => self.leased(leased),
                    Err(end) => break end,
                },
                TurnEnd::Judge => match self.wait_to_judge().await {
                    Ok(turned) => self.turned(turned),
                    Err(end) => break end,
                },
                TurnEnd::Wait => match self.pump().await {
                    Wake::Progress => {}
                    Wake::Server => {
                        if let Err(end) = self.relay().await {
                            break end;
                        }
                    }
                    Wake::ClientGone => break self.client_gone(),
                    Wake::ServerGone => break self.server_gone(),
                    Wake::Deadline => {
                        if let Some(end) = self.deadline() {
                            break end;
                        }
                    }
                    Wake::Drained => {
                        self.say_last(&Fault::fatal(
                            SqlState::ADMIN_SHUTDOWN,
                            "terminating connection because Portcullis is shutting down",
                        ));
                        break ClientEnd::Shutdown;
                    }
                },
                TurnEnd::End(end) => break end,
            }
        };
        self.leave(end).await
    }

    /// Ends the session: the last words are written, the server connection is given back or closed.
    async fn leave(&mut self, end: ClientEnd) -> ClientEnd {
        self.abandon(CheckIn::Discard(DiscardReason::from(end)));
        self.client.write_rest().await;
        // Hundreds may leave at once, and to close a socket takes longer than a statement.
        self.shared
            .turn_of(self.identity.stay.account(), limits::SOCKET_WORK)
            .await;
        end
    }

    /// Gives up the lease in whatever state it is. A quiet connection is rolled back and kept; one that
    /// still works for this client is closed, and the pool cancels what it runs.
    fn abandon(&mut self, verdict: CheckIn) {
        self.give_up_kept(verdict);
        let Some(mut link) = self.link.take() else { return };
        link.retire();
        let cancelled = self.ticket.slot().end();
        let quiet = link.is_quiet() && self.answers.are_passed_on();
        let server_works = !matches!(verdict, CheckIn::Discard(DiscardReason::ServerGone));
        // What is left in the middle of a transaction may be more than a rollback takes away.
        let traceless = link.traces.left() == Left::Nothing && !self.keeps();
        if quiet && server_works && !cancelled && traceless {
            link.end().check_in(CheckIn::Rollback);
            return;
        }
        link.end().check_in(verdict);
    }

    /// Puts an error of ours into the outbox.
    fn say(&mut self, fault: &Fault) {
        self.teller().tell(&Event::ErrorSent {
            sqlstate: fault.sqlstate,
        });
        notice::error(&mut self.client.outbox, fault);
    }

    /// Puts ParameterStatus for what has changed into the outbox.
    fn say_reports(&mut self, place: Standing) {
        for (name, value) in self.setup.due_reports(place) {
            encode::parameter_status(&mut self.client.outbox, &name, &value);
        }
    }

    /// Puts ReadyForQuery into the outbox.
    fn say_ready(&mut self, status: TransactionStatus) {
        encode::ready(&mut self.client.outbox, status);
    }

    /// Texts are read by other settings from now on, also on the server connection at hand.
    fn setup_has_changed(&mut self) {
        if let Some(context) = self.link.as_mut().and_then(|link| link.context.as_mut()) {
            *context = self.setup.context();
        }
    }

    fn client_gone(&self) -> ClientEnd {
        match &self.link {
            None if self.client.inbox.is_empty() => ClientEnd::Terminated,
            _ => ClientEnd::Vanished,
        }
    }

    fn server_gone(&mut self) -> ClientEnd {
        self.say_last(
            &Fault::fatal(
                SqlState::CONNECTION_FAILURE,
                "the server closed the connection unexpectedly",
            )
            .with_hint("The transaction was not committed unless its COMMIT was confirmed. Connect again."),
        );
        ClientEnd::ServerGone
    }
}
