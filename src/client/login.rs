//! Finds out who a client is and where it goes, and greets it.

use std::sync::Arc;

use super::canonical::Canonical;
use super::census::{Census, Seat};
use super::greeting::{self, Rank};
use super::own_options::OwnOptions;
use super::packets::Packets;
use super::replication::Streaming;
use super::startup::APPLICATION_NAME;
use super::{LoginError, Settings, TlsDemand, startup};
use crate::auth::{Authenticator, Principal, Wanted};
use crate::base::memory::{Budget, Holder, Stay};
use crate::base::{Event, Events, PlanName, RoleName, limits};
use crate::guard::Policy;
use crate::identity;
use crate::pool::{Customer, PoolKey, Pools};
use crate::session::{
    self, CancelRegistry, CancelTicket, Identity, Pairs, Teller, canonical_settings, is_superuser,
};
use crate::tenant::{DirectoryInForce, Route};
use crate::wire::startup::{CancelRequest, FirstPacket, Startup};

/// Everything a login needs to know.
pub(super) struct Desk {
    pub(super) settings: Settings,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) directory: Arc<DirectoryInForce>,
    pub(super) pools: Arc<Pools>,
    pub(super) identity: identity::Settings,
    pub(super) sessions: Arc<session::Shared>,
    pub(super) cancels: Arc<CancelRegistry>,
    pub(super) census: Arc<Census>,
    pub(super) budget: Arc<Budget>,
    pub(super) canonical: Canonical,
    /// What is known of the roles that may be superusers.
    pub(super) ranks: moka::sync::Cache<(PoolKey, RoleName), Rank>,
    pub(super) anonymous_role: Option<String>,
    pub(super) events: Events,
}

/// What a client came for.
pub(super) enum Visit {
    /// A session.
    Session(Box<Admitted>),
    /// A replication connection.
    Replication(Box<Streaming>),
    /// To cancel a query.
    Cancel(CancelRequest),
}

/// A client that may have a session.
pub(super) struct Admitted {
    pub(super) identity: Identity,
    pub(super) ticket: CancelTicket,
    /// Held for as long as the session lasts.
    pub(super) seat: Seat,
}

/// Times a client may ask for encryption: once for each kind, as libpq does.
const ENCRYPTION_REQUESTS: usize = 2;

impl Desk {
    /// Waits for the turn of a client's address to have a socket accepted or closed. Cancel safe.
    pub(super) async fn turn_of(&self, client: &mut Packets) {
        self.sessions.turn_of(client.account(), limits::SOCKET_WORK).await;
    }

    /// Serves a client up to its greeting.
    ///
    /// Not cancel safe, yet harmless to drop: nothing is held but the connection and its seat.
    pub(super) async fn serve(&self, client: &mut Packets) -> Result<Visit, LoginError> {
        self.turn_of(client).await;
        let mut startup = match self.first_packet(client).await? {
            FirstPacket::Startup(startup) => startup,
            FirstPacket::Cancel(request) => {
                client.place().keep();
                return Ok(Visit::Cancel(request));
            }
            FirstPacket::SslRequest | FirstPacket::GssEncRequest => return Err(LoginError::EncryptionLoop),
        };
        self.check_encryption(client)?;
        let own = OwnOptions::take(&mut startup)?;
        let user = startup.get("user").filter(|user| !user.is_empty());
        let user = user.ok_or(LoginError::NoUser)?;
        let database = startup.get("database").filter(|name| !name.is_empty());
        let wanted = Wanted {
            user,
            database: database.unwrap_or(user),
        };
        let principal = self.authenticate(client, &startup, &own, &wanted).await?;
        // Not before: who has proved nothing yet must not keep others out.
        client.place().keep();
        let seat = self.census.sit()?;
        if let Some(kind) = startup::replication(&startup)? {
            // Boxed: rarely needed, and larger than the rest.
            let streaming = self.admit_replication(client, &startup, &wanted, principal, seat, kind);
            return Ok(Visit::Replication(Box::new(Box::pin(streaming).await?)));
        }
        let admitted = self.admit(client, &startup, &wanted, principal, seat).await?;
        Ok(Visit::Session(Box::new(admitted)))
    }

    /// The first packet that asks for more than encryption.
    async fn first_packet(&self, client: &mut Packets) -> Result<FirstPacket, LoginError> {
        let tls = self.settings.tls.as_ref();
        if let Some(tls) = tls
            && client.begins_with_handshake().await?
        {
            client.take_direct_tls(&tls.acceptor).await?;
            return client.first_packet().await;
        }
        for _ in 0..ENCRYPTION_REQUESTS {
            match (client.first_packet().await?, tls) {
                (FirstPacket::SslRequest, Some(tls)) if !client.stream.is_encrypted() => {
                    client.grant_tls(&tls.acceptor).await?;
                }
                (FirstPacket::SslRequest | FirstPacket::GssEncRequest, _) => client.send(b"N").await?,
                (other, _) => return Ok(other),
            }
        }
        client.first_packet().await
    }

    /// Whether the client may go on as it has come.
    fn check_encryption(&self, client: &Packets) -> Result<(), LoginError> {
        match &self.settings.tls {
            Some(tls) if tls.demand == TlsDemand::Require && !client.stream.is_encrypted() => {
                Err(LoginError::TlsRequired)
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn admit(
        &self,
        client: &mut Packets,
        startup: &Startup,
        wanted: &Wanted<'_>,
        principal: Arc<Principal>,
        mut seat: Seat,
    ) -> Result<Admitted, LoginError> {
        let (route, tenure) = self.directory.route(&principal, wanted.database)?;
        let pool = self.enter(&principal, &route, &mut seat)?;
        let parameters = pool.parameters().await?;
        let guard = self.sessions.guard();
        let policy = guard.policy_in(route.mode, principal.role());
        let settings = startup::settings(startup, guard, &policy, route.schemas.as_ref())?;
        let notice = startup::truncation(&settings);
        let settings = self.canonicalise(&pool, &route.role, settings).await?;
        let rank = self.rank(&pool, &principal, &policy).await?;
        let values = self.identity.values(&principal, route.tenant.as_ref());
        let own = pairs_bytes(&settings) + 2 * pairs_bytes(&values);
        let stay = self.begin_stay(client, &principal, &route, own)?;
        let shown = self.sessions.as_shown(&principal, &settings);
        let told = greeting::differences(&parameters, &route, rank, &shown);
        let ticket = self.cancels.register(startup.negotiated_minor());

        let mut out = Vec::new();
        greeting::welcome(&mut out, notice.as_ref(), &parameters, &told, &ticket);
        client.send(&out).await?;
        Teller::new(&self.events, &principal, route.tenant.as_ref()).tell(&Event::LoggedIn {
            role: principal.role(),
            tenant: route.tenant.as_ref(),
        });
        Ok(Admitted {
            identity: Identity {
                values,
                principal,
                route,
                tenure,
                pool,
                startup: settings,
                parameters,
                told,
                stay,
            },
            ticket,
            seat,
        })
    }

    /// Begins what a session holds for as long as it lasts: `own` bytes and its claims, beside what each has.
    pub(super) fn begin_stay(
        &self,
        client: &Packets,
        principal: &Principal,
        route: &Route,
        own: usize,
    ) -> Result<Stay, LoginError> {
        let account = self.budget.account(match &route.tenant {
            Some(tenant) => Holder::Tenant(tenant.clone()),
            None => Holder::Role(principal.role().clone()),
        });
        let tls = match client.stream.is_encrypted() {
            true => limits::TLS_BYTES,
            false => 0,
        };
        Ok(Stay::begin(&account, tls, own + principal.claim_bytes())?)
    }

    /// Takes the client's place in its tenant's count and at its pool.
    pub(super) fn enter(
        &self,
        principal: &Principal,
        route: &Route,
        seat: &mut Seat,
    ) -> Result<Customer, LoginError> {
        if let Some(tenant) = &route.tenant {
            seat.belongs_to(tenant)?;
        }
        let key = PoolKey {
            server: route.server.clone(),
            database: route.database.clone(),
            login: route.login.clone(),
            login_tenant: route.login_tenant.clone(),
            mode: route.mode,
        };
        let plan = route.plan.clone().or_else(|| self.claimed_plan(principal));
        let tenant = route.tenant.as_ref();
        Ok(self.pools.enter(&key, tenant, plan.as_ref(), route.tenancy)?)
    }

    /// The plan that a token names. Only one that is for a single tenant speaks for that tenant: among several it
    /// would lift whichever its bearer enters. A plan that is not configured is as good as none.
    fn claimed_plan(&self, principal: &Principal) -> Option<PlanName> {
        let claim = self.settings.plan_claim.as_ref()?;
        let [_] = principal.tenants() else { return None };
        Some(PlanName::new(claim.find(principal.claims().object())?.as_name()?))
    }

    /// Whether clients of this role are told that they are superusers. Only trusted roles are asked about, once
    /// in each database: drivers do no more with it than to draw a prompt.
    async fn rank(
        &self,
        pool: &Customer,
        principal: &Principal,
        policy: &Policy,
    ) -> Result<Rank, LoginError> {
        if !policy.is_trusted() {
            return Ok(Rank::Ordinary);
        }
        let key = (pool.key().clone(), principal.role().clone());
        if let Some(rank) = self.ranks.get(&key) {
            return Ok(rank);
        }
        let lease = pool.checkout(principal.role()).await?;
        let rank = match is_superuser(lease, principal.role()).await? {
            true => Rank::Superuser,
            false => Rank::Ordinary,
        };
        self.ranks.insert(key, rank);
        Ok(rank)
    }

    /// The settings with the values that the server shows for them. Drivers send the same few, so a server is
    /// rarely asked.
    async fn canonicalise(
        &self,
        pool: &Customer,
        role: &RoleName,
        settings: Vec<(String, String)>,
    ) -> Result<Pairs, LoginError> {
        // A client without a name has nothing to ask, and waits for no server connection.
        if settings
            .iter()
            .all(|(name, value)| name == APPLICATION_NAME && value.is_empty())
        {
            return Ok(Arc::new(settings));
        }
        if let Some(shown) = self.canonical.get(pool.key(), &settings) {
            return Ok(shown);
        }
        let lease = pool.checkout(role).await?;
        let values = canonical_settings(lease, &settings).await?;
        let mut shown = settings.clone();
        for (pair, value) in shown.iter_mut().zip(values) {
            pair.1 = value;
        }
        let shown = Arc::new(shown);
        self.canonical
            .put(pool.key().clone(), settings, Arc::clone(&shown));
        Ok(shown)
    }
}

/// About how much memory pairs take, in bytes.
pub(super) fn pairs_bytes(pairs: &[(String, String)]) -> usize {
    let pair = |(name, value): &(String, String)| name.len() + value.len() + size_of::<(String, String)>();
    pairs.iter().map(pair).sum()
}

/// Whether nobody on the way can read what the client sends.
pub(super) fn is_private(client: &Packets) -> bool {
    client.stream.is_encrypted() || client.address.ip().to_canonical().is_loopback()
}
