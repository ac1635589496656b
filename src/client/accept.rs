//! Takes sockets and gives each a task of its own.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::canonical::Canonical;
use super::census::Census;
use super::login::{Admitted, Desk, Visit};
use super::packets::Packets;
use super::replication::Streaming;
use super::waiting_room::{Place, WaitingRoom};
use super::{LoginError, Settings};
use crate::auth::{AuthError, Authenticator};
use crate::base::memory::Budget;
use crate::base::{ClientEnd, Drain, Event, Events, Phase, limits};
use crate::identity;
use crate::net::Stream;
use crate::pool::Pools;
use crate::session::{self, CancelRegistry, Session, Teller, Timer};
use crate::tenant::DirectoryInForce;
use crate::wire::notice;

/// How long to wait when no more sockets can be taken (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client that is refused may take to read why.
const REFUSAL_LIMIT: Duration = Duration::from_secs(5);

/// How long what a refused client still sends is read and dropped.
const LINGER: Duration = Duration::from_secs(1);

/// How long sessions may take to say goodbye when the process stops.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

/// How often the tasks of clients that have left are cleared away while nobody comes.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Trusted roles that are remembered as superusers or not, for each pool.
const RANKS: u64 = 10_000;

/// The parts that a gateway joins.
pub struct GatewayParts {
    /// Where clients connect, and how many.
    pub settings: Settings,
    /// Who they are.
    pub authenticator: Arc<Authenticator>,
    /// Where they go.
    pub directory: Arc<DirectoryInForce>,
    /// The server connections they share.
    pub pools: Arc<Pools>,
    /// What their transactions run as.
    pub identity: identity::Settings,
    /// What sessions share.
    pub sessions: Arc<session::Shared>,
    /// What they may make the process hold.
    pub budget: Arc<Budget>,
    /// The role of sessions without a token.
    pub anonymous_role: Option<String>,
    /// Where events go.
    pub events: Events,
}

/// Accepts clients and serves them.
pub struct Gateway {
    desk: Desk,
    /// Clients that have not logged in.
    room: Arc<WaitingRoom>,
}

impl Gateway {
    /// Joins the parts.
    pub fn new(parts: GatewayParts) -> Arc<Self> {
        let settings = &parts.settings;
        let census = Census::new(settings.max_client_conn, settings.max_tenant_client_conn);
        let room = WaitingRoom::new(settings.pending);
        Arc::new(Self {
            desk: Desk {
                settings: parts.settings,
                authenticator: parts.authenticator,
                directory: parts.directory,
                pools: parts.pools,
                identity: parts.identity,
                sessions: parts.sessions,
                cancels: CancelRegistry::new(parts.events.clone()),
                census,
                canonical: Canonical::new(&parts.budget),
                budget: parts.budget,
                ranks: moka::sync::Cache::new(RANKS),
                anonymous_role: parts.anonymous_role,
                events: parts.events,
            },
            room,
        })
    }

    /// Accepts clients until the drain begins, then waits for their sessions; at [`Phase::Stopping`] those
    /// that are left are cut off.
    ///
    /// Dropped, it cuts off everybody.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, mut drain: Drain) {
        if let Err(error) = Stream::ready_listener(&listener) {
            tracing::warn!(%error, "clients' connections go without TCP_NODELAY and SO_KEEPALIVE");
        }
        let mut clients = JoinSet::new();
        let mut phases = drain.clone();
        let mut draining = pin!(phases.reached(Phase::Draining));
        let mut sweeps = interval(SWEEP_INTERVAL);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = poll_fn(|cx| listener.poll_accept(cx)) => match accepted {
                    Ok((socket, address)) => match self.room.enter(address) {
                        // Boxed, for a task is moved several times before it runs.
                        Some(place) => drop(clients.spawn(Box::pin(
                            Arc::clone(&self).client(socket, address, place, drain.clone()),
                        ))),
                        None => self.turn_away(Stream::accepted(socket)),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a client");
                        // Out of files, most likely: somebody who has not logged in has one.
                        self.room.make_room();
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = &mut draining => break,
                _ = sweeps.tick(), if !clients.is_empty() => {}
            }
            // Here rather than as each of them ends, so that no client that leaves wakes this task. What is left of
            // one until then is small: it has been dropped.
            while clients.try_join_next().is_some() {}
        }
        drop(listener);
        tokio::select! {
            () = async { while clients.join_next().await.is_some() {} } => {}
            () = drain.reached(Phase::Stopping) => {}
        }
        // Sessions say goodbye by themselves; who takes too long is cut off.
        let goodbyes = async { while clients.join_next().await.is_some() {} };
        if timeout(GOODBYE_LIMIT, goodbyes).await.is_err() {
            clients.shutdown().await;
        }
    }

    /// What few clients come to is boxed, so that it does not make the task of every session larger.
    async fn client(self: Arc<Self>, socket: TcpStream, address: SocketAddr, place: Place, drain: Drain) {
        let Ok(stream) = Stream::accepted(socket) else {
            return;
        };
        self.desk.events.emit(&Event::ClientAccepted);
        let mut packets = Packets::new(stream, address, place, &self.desk.budget);
        let mut timer = Timer::default();
        let (end, authenticated) = match self.log_in(&mut packets, &mut timer).await {
            Ok(Visit::Cancel(request)) => {
                Box::pin(self.desk.cancels.cancel(&request)).await;
                (ClientEnd::CancelRequest, false)
            }
            Ok(Visit::Session(admitted)) => {
                let (stream, inbox) = packets.into_parts();
                let Admitted {
                    identity,
                    ticket,
                    seat,
                } = *admitted;
                let shared = Arc::clone(&self.desk.sessions);
                // Boxed, and run in place: a future that takes it by value holds it several times over.
                let mut session = Box::new(Session::new(
                    shared, stream, inbox, identity, ticket, timer, drain,
                ));
                let end = session.run().await;
                let (principal, route) = session.into_who();
                drop(seat);
                let teller = Teller::new(&self.desk.events, &principal, route.tenant.as_ref());
                let authenticated = true;
                return teller.tell(&Event::ClientClosed { end, authenticated });
            }
            Ok(Visit::Replication(streaming)) => {
                let (stream, inbox) = packets.into_parts();
                let Streaming { walsender, seat } = *streaming;
                let end = Box::pin(walsender.serve(stream, inbox, drain)).await;
                drop(seat);
                (end, true)
            }
            Err(LoginError::Displaced) => {
                self.turn_out(&mut packets.stream, &LoginError::Displaced);
                (ClientEnd::Refused, false)
            }
            Err(error) => {
                let end = Box::pin(self.refuse(&mut packets, error)).await;
                self.desk.turn_of(&mut packets).await;
                (end, false)
            }
        };
        self.desk.events.emit(&Event::ClientClosed { end, authenticated });
    }

    /// Serves a client up to its greeting, for as long as a login may take and the client has its place. The timer goes
    /// on as the session's.
    async fn log_in(&self, client: &mut Packets, timer: &mut Timer) -> Result<Visit, LoginError> {
        // A moment that the clock cannot hold is as good as never.
        let deadline = Instant::now().checked_add(self.desk.settings.client_login_timeout);
        let place = Arc::clone(client.place());
        let mut over = |cx: &mut Context<'_>| {
            if place.poll_lost(cx).is_ready() {
                return Poll::Ready(LoginError::Displaced);
            }
            match deadline {
                Some(deadline) => timer.poll(deadline, cx).map(|()| LoginError::Timeout),
                None => Poll::Pending,
            }
        };
        // A client that says nothing needs no more than its socket.
        poll_fn(|cx| match client.stream.poll_arrival(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => over(cx).map(Err),
        })
        .await?;
        // Boxed, so that what a login needs is given back when it is over.
        let mut visit = Box::pin(self.desk.serve(client));
        poll_fn(|cx| match visit.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => over(cx).map(Err),
        })
        .await
    }

    /// Tells a client that it has come at a bad time.
    fn turn_away(&self, stream: io::Result<Stream>) {
        if let Ok(mut stream) = stream {
            self.turn_out(&mut stream, &LoginError::TooManyLogins);
        }
    }

    /// Tells a client to go as far as that takes no time. Nothing more is read from it, so it may not come to know.
    fn turn_out(&self, stream: &mut Stream, error: &LoginError) {
        let Some(fault) = error.to_fault() else {
            return;
        };
        self.desk.events.emit(&Event::LoginRefused {
            sqlstate: fault.sqlstate,
            reason: &error.to_string(),
        });
        let mut out = Vec::new();
        notice::error(&mut out, &fault);
        let _ = stream.write_unasked(&out);
        stream.drop_arrived(limits::REFUSED_BYTES);
    }

    /// Tells a client why it gets no session.
    async fn refuse(&self, client: &mut Packets, error: LoginError) -> ClientEnd {
        if error.is_departure() {
            return ClientEnd::Terminated;
        }
        let reason = error.to_string();
        let Some(fault) = error.to_fault() else {
            return ClientEnd::Vanished;
        };
        if let LoginError::Auth(AuthError::NoBearer) = error {
            // libpq asks so ahead of each login for which it has no token yet.
            tracing::debug!("a client was told where to get a token");
        } else {
            self.desk.events.emit(&Event::LoginRefused {
                sqlstate: fault.sqlstate,
                reason: &reason,
            });
        }
        // A handshake that failed has told the client by an alert.
        if let Stream::Closed = client.stream {
            return ClientEnd::Refused;
        }
        let mut out = Vec::new();
        notice::error(&mut out, &fault);
        let place = Arc::clone(client.place());
        place.dismiss();
        let told = async {
            client.stream.write_all(&out).await?;
            client.stream.shutdown().await?;
            let _ = timeout(LINGER, client.drop_rest()).await;
            Ok(ClientEnd::Refused)
        };
        tokio::select! {
            told = timeout(REFUSAL_LIMIT, told) => match told {
                Ok(Ok(end)) => end,
                Ok(Err(error)) => gone(&error),
                Err(_) => ClientEnd::Vanished,
            },
            () = poll_fn(|cx| place.poll_lost(cx)) => ClientEnd::Refused,
        }
    }
}

fn gone(error: &io::Error) -> ClientEnd {
    tracing::debug!(%error, "a refused client left before it was told why");
    ClientEnd::Vanished
}
