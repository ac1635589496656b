//! A login that asks for a replication connection: who may have one, and the greeting on it.

use std::sync::Arc;

use super::LoginError;
use super::census::Seat;
use super::error::Unfit;
use super::login::{Desk, pairs_bytes};
use super::packets::Packets;
use super::{greeting, startup};
use crate::auth::{Principal, Wanted};
use crate::base::{Event, PoolMode};
use crate::guard::Policy;
use crate::session::{ReplicationKind, Teller, Walsender, WalsenderParts};
use crate::tenant::Route;
use crate::wire::startup::Startup;

/// A client that may have a replication connection.
pub(super) struct Streaming {
    pub(super) walsender: Walsender,
    /// Held for as long as the connection lasts.
    pub(super) seat: Seat,
}

impl Desk {
    /// Opens a replication connection for a client and greets it with what the server says there.
    ///
    /// Not cancel safe, yet harmless to drop, as [`Desk::serve`].
    pub(super) async fn admit_replication(
        &self,
        client: &mut Packets,
        startup: &Startup,
        wanted: &Wanted<'_>,
        principal: Arc<Principal>,
        mut seat: Seat,
        kind: ReplicationKind,
    ) -> Result<Streaming, LoginError> {
        let (route, _) = self.directory.route(&principal, wanted.database)?;
        let guard = self.sessions.guard();
        let policy = guard.policy_in(route.mode, principal.role());
        self.check_fitness(&principal, &route, &policy)?;
        let pool = self.enter(&principal, &route, &mut seat)?;
        let settings = startup::settings(startup, guard, &policy, route.schemas.as_ref())?;
        let notice = startup::truncation(&settings);
        let stay = self.begin_stay(client, &principal, &route, pairs_bytes(&settings))?;
        let ticket = self.cancels.register(startup.negotiated_minor());
        let walsender = Walsender::open(WalsenderParts {
            shared: Arc::clone(&self.sessions),
            principal: Arc::clone(&principal),
            tenant: route.tenant.clone(),
            pool,
            policy,
            settings: Arc::new(settings),
            stay,
            ticket,
            kind,
        })
        .await?;
        // The server means the login by it, which is nobody to a client.
        let told = [("session_authorization".to_owned(), route.role.as_str().to_owned())];
        let mut out = Vec::new();
        let parameters = walsender.parameters();
        greeting::welcome(&mut out, notice.as_ref(), parameters, &told, walsender.ticket());
        client.send(&out).await?;
        Teller::new(&self.events, &principal, route.tenant.as_ref()).tell(&Event::LoggedIn {
            role: principal.role(),
            tenant: route.tenant.as_ref(),
        });
        Ok(Streaming { walsender, seat })
    }

    /// The configuration allows it to none but trusted roles in session mode; here it is looked at once more.
    fn check_fitness(&self, principal: &Principal, route: &Route, policy: &Policy) -> Result<(), LoginError> {
        let unfit = if !policy.is_trusted() {
            Unfit::EndUser
        } else if route.mode != PoolMode::Session {
            Unfit::TransactionMode
        } else if !self.settings.replication_roles.contains(principal.role()) {
            Unfit::NotConfigured
        } else {
            return Ok(());
        };
        Err(LoginError::Replication(unfit))
    }
}
