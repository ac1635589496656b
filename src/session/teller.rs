//! How the session's events leave it: each says whose session it is of.

use crate::auth::Principal;
use crate::base::{Event, Events, RoleName, TenantName, Who};

use crate::session::{Session, Shared};

/// Tells what happens in one session to whom it concerns: metrics, the log, and what meters or audits. Nothing else in the
/// session emits events (`tests/tidy.rs`). It borrows all that it knows, so it is made where it is needed.
#[derive(Clone, Copy)]
pub struct Teller<'s> {
    events: &'s Events,
    principal: &'s Principal,
    tenant: Option<&'s TenantName>,
}

impl<'s> Teller<'s> {
    /// One that speaks of this principal's session in the place of this tenant.
    pub fn new(events: &'s Events, principal: &'s Principal, tenant: Option<&'s TenantName>) -> Self {
        Self {
            events,
            principal,
            tenant,
        }
    }

    /// Tells one event.
    pub fn tell(self, event: &Event<'_>) {
        self.events.emit_of(event, &self);
    }
}

impl Who for Teller<'_> {
    fn tenant(&self) -> Option<&TenantName> {
        self.tenant
    }

    fn role(&self) -> &RoleName {
        self.principal.role()
    }

    fn subject(&self) -> Option<&str> {
        self.principal.subject()
    }
}

impl Session {
    /// The one that speaks of this session.
    #[inline]
    pub(super) fn teller(&self) -> Teller<'_> {
        let identity = &self.identity;
        self.shared
            .teller(&identity.principal, identity.route.tenant.as_ref())
    }
}

impl Shared {
    /// The one that speaks of this principal's session in the place of this tenant.
    #[inline]
    pub(super) fn teller<'s>(
        &'s self,
        principal: &'s Principal,
        tenant: Option<&'s TenantName>,
    ) -> Teller<'s> {
        Teller::new(&self.events, principal, tenant)
    }
}

/// Tells an event that comes from nobody in particular, such as a request to cancel.
pub(super) fn tell_of_nobody(events: &Events, event: &Event<'_>) {
    events.emit(event);
}
