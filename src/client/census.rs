//! How many clients there are: in all, and of each tenant.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::LoginError;
use crate::base::TenantName;

/// Counts sessions against their limits.
#[derive(Debug)]
pub(super) struct Census {
    max: usize,
    max_per_tenant: Option<usize>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    /// Only tenants that have sessions, and only while a limit asks for it.
    tenants: HashMap<TenantName, usize>,
}

/// A place among the sessions; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    census: Arc<Census>,
    tenant: Option<TenantName>,
}

impl Census {
    pub(super) fn new(max: usize, max_per_tenant: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_per_tenant,
            counts: Mutex::default(),
        })
    }

    /// Takes a place, if there is one.
    pub(super) fn sit(self: &Arc<Self>) -> Result<Seat, LoginError> {
        let mut counts = self.counts.lock();
        if counts.total >= self.max {
            return Err(LoginError::TooManyClients(self.max));
        }
        counts.total += 1;
        Ok(Seat {
            census: Arc::clone(self),
            tenant: None,
        })
    }
}

impl Seat {
    /// Counts the session to its tenant as well.
    pub(super) fn belongs_to(&mut self, tenant: &TenantName) -> Result<(), LoginError> {
        let Some(max) = self.census.max_per_tenant else {
            return Ok(());
        };
        let mut counts = self.census.counts.lock();
        let count = counts.tenants.entry(tenant.clone()).or_default();
        if *count >= max {
            return Err(LoginError::TooManyOfTenant {
                tenant: tenant.clone(),
                max,
            });
        }
        *count += 1;
        self.tenant = Some(tenant.clone());
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.census.counts.lock();
        counts.total -= 1;
        if let Some(tenant) = &self.tenant
            && let Some(count) = counts.tenants.get_mut(tenant)
        {
            *count -= 1;
            if *count == 0 {
                counts.tenants.remove(tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_come_back() {
        let census = Census::new(2, Some(1));
        let (acme, globex) = (TenantName::new("acme"), TenantName::new("globex"));
        let mut first = census.sit().unwrap();
        first.belongs_to(&acme).unwrap();
        let mut second = census.sit().unwrap();
        assert!(second.belongs_to(&acme).is_err());
        second.belongs_to(&globex).unwrap();
        assert!(census.sit().is_err());
        drop(first);
        census.sit().unwrap().belongs_to(&acme).unwrap();
        drop(second);
        assert!(census.counts.lock().tenants.is_empty());
        assert_eq!(census.counts.lock().total, 0);
    }
}
