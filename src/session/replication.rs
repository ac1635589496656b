//! A replication connection: a walsender that one client has to itself, for trusted roles that are allowed it.
//!
//! No prelude can travel here: a walsender refuses the extended protocol, and a physical one knows no SQL. So the role
//! is put on by the startup packet, for the whole connection, and there are no identity settings. The connection takes
//! the place of a pooled one, so that every limit counts it, and serves nobody afterwards. `relay` passes the messages on.

mod relay;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::auth::Principal;
use crate::base::memory::Stay;
use crate::base::{
    CheckIn, ClientEnd, DiscardReason, Drain, Event, Fault, Phase, PoolMode, SqlState, TenantName,
};
use crate::guard::Policy;
use crate::net::{Inbox, Stream};
use crate::pool::{Customer, Lease, PoolError};
use crate::server::{Parameters, ServerError};
use crate::session::io::clock::Clock;
use crate::session::io::patience::{Owes, Pace, Progress, too_slow};
use crate::session::io::pump::{expired, flush, release, write_some};
use crate::session::io::shutdown::Shutdown;
use crate::session::io::timer::Timer;
use crate::session::memory::application_name;
use crate::session::request::inbound::Inbound;
use crate::session::request::policy::bounded;
use crate::session::teller::Teller;
use crate::session::{CancelTicket, Client, Pairs, ProbeError, Shared, canonical_settings};
use crate::wire::encode::TransactionStatus;
use crate::wire::notice;
use relay::{Copying, Downstream, Skipping};

/// What a replication connection is for: `replication` of the startup packet (PostgreSQL manual, 55.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicationKind {
    /// The whole cluster's WAL: `true`.
    Physical,
    /// A database's changes, and SQL: `database`.
    Database,
}

/// Why a replication connection could not be opened.
#[derive(Debug, Error)]
pub enum WalsenderError {
    /// No server connection could be had in whose place it would come.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The server does not take the role or a startup setting.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The server does not take the connection.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// What a replication connection is made of.
pub struct WalsenderParts {
    /// What all sessions share.
    pub shared: Arc<Shared>,
    /// Who is asking.
    pub principal: Arc<Principal>,
    /// The tenant in whose place it is, if it is in one's.
    pub tenant: Option<TenantName>,
    /// The server connections it counts among.
    pub pool: Customer,
    /// Its role's policy.
    pub policy: Arc<Policy>,
    /// Settings from the startup packet, names folded.
    pub settings: Pairs,
    /// What it may hold, on its tenant's account.
    pub stay: Stay,
    /// Its cancel key.
    pub ticket: CancelTicket,
    /// What it is for.
    pub kind: ReplicationKind,
}

impl WalsenderParts {
    fn teller(&self) -> Teller<'_> {
        self.shared.teller(&self.principal, self.tenant.as_ref())
    }
}

/// A replication connection that has been opened.
pub struct Walsender {
    parts: WalsenderParts,
    lease: Lease,
}

impl Walsender {
    /// Opens the connection in the place of a pooled one, with the role in force.
    ///
    /// # Errors
    /// See [`WalsenderError`]; `query_wait_timeout` bounds the wait, `server_connect_timeout` the login.
    ///
    /// Not cancel safe, yet harmless to drop: a dropped lease closes its connection.
    pub async fn open(parts: WalsenderParts) -> Result<Self, WalsenderError> {
        let role = parts.principal.role();
        let subject = parts.shared.settings.application_name.subject(&parts.principal);
        let settings = bounded(&parts.settings, &parts.policy);
        let settings = application_name::with_subject(&settings, subject.as_deref());
        // The startup packet's settings are taken with the rights of the login: first it is seen whether the role may
        // have them, and whether it can be put on.
        let mut startup = vec![("role".to_owned(), role.as_str().to_owned())];
        startup.extend(settings.iter().cloned());
        canonical_settings(parts.pool.checkout(role).await?, &startup).await?;
        let replication = match parts.kind {
            ReplicationKind::Physical => "true",
            ReplicationKind::Database => "database",
        };
        startup.push(("replication".to_owned(), replication.to_owned()));
        let mut lease = parts.pool.checkout(role).await?;
        if let Err(error) = lease.reconnect(&startup).await {
            lease.check_in(CheckIn::Discard(DiscardReason::ServerGone));
            return Err(error.into());
        }
        Ok(Self { parts, lease })
    }

    /// What the server said of itself.
    pub fn parameters(&self) -> &Parameters {
        self.lease.parameters()
    }

    /// The client's cancel key.
    pub fn ticket(&self) -> &CancelTicket {
        &self.parts.ticket
    }

    /// Serves the client until it leaves or has to. `inbox` holds what it has sent beyond its login.
    ///
    /// Not cancel safe, yet harmless to drop: both connections are closed.
    pub async fn serve(self, stream: Stream, inbox: Inbox, drain: Drain) -> ClientEnd {
        let Self { parts, lease } = self;
        parts.ticket.slot().begin(Arc::clone(lease.cancel_key()));
        let mut replication = Replication {
            clock: Clock::new(Timer::default(), &parts.principal),
            client: Client::new(stream, inbox),
            parts,
            lease,
            upstream: Vec::new(),
            sent: 0,
            server_listens: true,
            server_inbox: Inbox::default(),
            inbound: Inbound::default(),
            downstream: Downstream::Head,
            awaits_ready: false,
            status: TransactionStatus::Idle,
            copying: Copying::No,
            skipping: Skipping::No,
            refused: None,
            last_words: false,
            shutdown: Shutdown::new(drain),
        };
        let end = replication.run().await;
        replication.leave(end).await
    }
}

/// A replication connection at work.
struct Replication {
    parts: WalsenderParts,
    client: Client,
    lease: Lease,
    /// Bytes for the server, and how many of them it has.
    upstream: Vec<u8>,
    sent: usize,
    /// Until it takes no more bytes; it may still have something to say then.
    server_listens: bool,
    server_inbox: Inbox,
    inbound: Inbound,
    downstream: Downstream,
    /// Whether a message was sent that ends with a ReadyForQuery.
    awaits_ready: bool,
    status: TransactionStatus,
    copying: Copying,
    skipping: Skipping,
    /// What the client is told in the place of the server's next error.
    refused: Option<Fault>,
    /// Whether the server has said why it closes.
    last_words: bool,
    clock: Clock,
    shutdown: Shutdown,
}

/// What has happened.
enum Wake {
    /// Bytes have moved: look again what can be done.
    Progress,
    /// The connection ends.
    End(ClientEnd),
}

impl Replication {
    async fn run(&mut self) -> ClientEnd {
        loop {
            if let Err(end) = self.relay_down() {
                return end;
            }
            if let Err(end) = self.relay_up() {
                return end;
            }
            if let Wake::End(end) = poll_fn(|cx| self.poll_pump(cx)).await {
                return end;
            }
        }
    }

    /// Writes the last words and closes both connections.
    async fn leave(mut self, end: ClientEnd) -> ClientEnd {
        self.parts.ticket.slot().end();
        let reason = match end {
            // The server notices a Terminate by itself, whatever it does.
            ClientEnd::Terminated => DiscardReason::SessionEnded,
            other => DiscardReason::from(other),
        };
        self.lease.check_in(CheckIn::Discard(reason));
        self.client.write_rest().await;
        end
    }

    /// Moves bytes in whichever direction can move. Cancel safe: bytes are in the buffers or still in the sockets.
    fn poll_pump(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let mut moved = match self.client.poll_write(cx) {
            Ok(moved) => moved,
            Err(_) => return Poll::Ready(Wake::End(ClientEnd::Vanished)),
        };
        if self.server_listens {
            let stream = &mut self.lease.stream;
            let wrote = write_some(stream, &self.upstream, &mut self.sent, cx)
                .and_then(|wrote| flush(stream, cx).map(|()| wrote));
            match wrote {
                Ok(wrote) => moved |= wrote,
                // It may have said why before it closed: that is read to its end.
                Err(_) => self.server_listens = false,
            }
            release(&mut self.upstream, &mut self.sent, 0);
        }
        // Back-pressure: a client that does not read is not read for, nor one that sends faster than the server takes.
        if self.client.outbox.is_empty() && self.server_inbox.has_room() {
            match self.server_inbox.poll_fill(&mut self.lease.stream, cx) {
                Poll::Ready(Ok(1..)) => moved = true,
                Poll::Ready(_) => return Poll::Ready(Wake::End(self.server_gone())),
                Poll::Pending => {}
            }
        }
        if self.upstream.is_empty() && self.client.inbox.has_room() {
            match self.client.inbox.poll_fill(&mut self.client.stream, cx) {
                Poll::Ready(Ok(count @ 1..)) => {
                    self.client.moved += count as u64;
                    self.clock.is_idle_from(Instant::now());
                    moved = true;
                }
                Poll::Ready(_) => return Poll::Ready(Wake::End(ClientEnd::Vanished)),
                Poll::Pending => {}
            }
        }
        // Looked at also while bytes move: a stream may never pause.
        if let Some(deadline) = self.next_deadline()
            && self.clock.poll(deadline, cx).is_ready()
        {
            if let Some(end) = self.deadline() {
                return Poll::Ready(Wake::End(end));
            }
            // The next one is to be waited for.
            moved = true;
        }
        if self.must_go(cx) {
            self.say_last(&Fault::fatal(
                SqlState::ADMIN_SHUTDOWN,
                "terminating connection because Portcullis is shutting down",
            ));
            return Poll::Ready(Wake::End(ClientEnd::Shutdown));
        }
        if moved {
            return Poll::Ready(Wake::Progress);
        }
        Poll::Pending
    }

    /// A stream has no end of its own and is taken up again where it was: it goes when the drain begins, as does
    /// an idle connection. What else is under way may go on until the process stops.
    fn must_go(&mut self, cx: &mut Context<'_>) -> bool {
        match self.shutdown.phase(cx) {
            Phase::Running => false,
            Phase::Draining => self.copying == Copying::Both || self.idles() == Some(TransactionStatus::Idle),
            Phase::Stopping => true,
        }
    }

    /// Where the server waits for the client: its status. `None` while it works.
    fn idles(&self) -> Option<TransactionStatus> {
        let idle = !self.awaits_ready && self.upstream.is_empty() && self.client.outbox.is_empty();
        idle.then_some(self.status)
    }

    /// What the client owes before the server can go on, and how slow it may be.
    ///
    /// A standby that has nothing to say but takes what it is sent, or the other way round, is well: the server has a
    /// limit of its own for one that does not answer (`wal_sender_timeout`).
    fn owes(&self) -> Option<(Owes, Pace)> {
        let pace = self.parts.shared.settings.pace?;
        if !self.client.outbox.is_empty() {
            let bytes = match self.copying {
                Copying::Both => 0,
                Copying::No | Copying::In => pace.bytes,
            };
            return Some((Owes::Reading, Pace { bytes, ..pace }));
        }
        if !self.upstream.is_empty() {
            return None;
        }
        let has_begun = !matches!(self.inbound, Inbound::Head) || !self.client.inbox.is_empty();
        let in_block = self
            .idles()
            .is_some_and(|status| status != TransactionStatus::Idle);
        let sends = self.copying == Copying::In
            || matches!(self.inbound, Inbound::Forward(1..))
            || (has_begun && in_block);
        sends.then_some((Owes::Sending, pace))
    }

    /// How long the client may be silent now. Never limited while it has something under way.
    fn idle_limit(&self) -> Option<Duration> {
        let settings = &self.parts.shared.settings;
        match self.idles()? {
            TransactionStatus::Idle => settings.client_idle_timeout,
            TransactionStatus::InBlock | TransactionStatus::Failed => settings.idle_transaction_timeout,
        }
    }

    /// When the token or certificate has to be good for no longer.
    fn expiry(&self) -> Option<Instant> {
        let grace = match self.idles() {
            Some(TransactionStatus::Idle) => Duration::ZERO,
            _ => self.parts.shared.settings.expiry_grace,
        };
        self.clock.expiry(grace)
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        let limit = match self.owes() {
            Some((owes, pace)) => self.clock.due(owes, self.client.moved, pace),
            None => {
                let limit = self.idle_limit();
                self.clock.idle_until(limit)
            }
        };
        limit.into_iter().chain(self.expiry()).min()
    }

    /// A deadline may have passed: says what ends the connection, if something does.
    fn deadline(&mut self) -> Option<ClientEnd> {
        let now = Instant::now();
        if self.expiry().is_some_and(|expiry| expiry <= now) {
            self.say_last(&expired(self.parts.principal.credential()));
            return Some(ClientEnd::Expired);
        }
        if let Some((owes, pace)) = self.owes() {
            if owes == Owes::Reading {
                self.client.push_out();
            }
            if self.clock.look(self.client.moved, pace, now) != Progress::TooLittle {
                return None;
            }
            self.say_last(&too_slow(pace));
            return Some(ClientEnd::Timeout);
        }
        if self
            .idle_limit()
            .is_none_or(|limit| self.clock.idle_for(now) < limit)
        {
            return None;
        }
        let (sqlstate, message) = match self.status {
            TransactionStatus::Idle => (
                SqlState::IDLE_SESSION_TIMEOUT,
                "terminating connection due to client_idle_timeout",
            ),
            TransactionStatus::InBlock | TransactionStatus::Failed => (
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle_transaction_timeout",
            ),
        };
        self.say_last(&Fault::fatal(sqlstate, message));
        Some(ClientEnd::Timeout)
    }

    fn server_gone(&mut self) -> ClientEnd {
        if !self.last_words {
            self.say_last(&Fault::fatal(
                SqlState::CONNECTION_FAILURE,
                "the server closed the connection unexpectedly",
            ));
        }
        ClientEnd::ServerGone
    }

    /// What ends the session, where it can be said: in the middle of a message of the server's it cannot.
    fn say_last(&mut self, fault: &Fault) {
        if matches!(self.downstream, Downstream::Head) {
            self.say(fault);
        }
    }

    /// Puts an error of ours into the outbox.
    fn say(&mut self, fault: &Fault) {
        self.parts.teller().tell(&Event::ErrorSent {
            sqlstate: fault.sqlstate,
        });
        notice::error(&mut self.client.outbox, fault);
    }

    /// The policy as it is now: a changed one is followed.
    fn policy(&self) -> Arc<Policy> {
        let guard = self.parts.shared.guard();
        guard.policy_in(PoolMode::Session, self.parts.principal.role())
    }
}

impl From<&WalsenderError> for Fault {
    /// What a client may know. A trusted role is told what the server says, also where that names the login: the
    /// connection is of no use until it is put right.
    fn from(error: &WalsenderError) -> Self {
        match error {
            WalsenderError::Pool(error) => Self::from(error),
            WalsenderError::Probe(error) => Self::from(error),
            WalsenderError::Server(ServerError::Refused { sqlstate, message }) => {
                let fault = Self::fatal(*sqlstate, message.clone());
                match sqlstate.as_str() {
                    "42501" | "28000" => fault.with_hint(
                        "Login and role both need the REPLICATION attribute, and physical replication a line for it \
                         in pg_hba.conf.",
                    ),
                    _ => fault,
                }
            }
            WalsenderError::Server(error) => Self::from(error),
        }
    }
}
