//! Proof that memory was asked for; what it stands for goes back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::limits;
use super::{Account, Full};

/// Bytes on a tenant's account.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// A charge of nothing so far.
    pub fn new(account: &Arc<Account>) -> Self {
        Self {
            account: Arc::clone(account),
            bytes: 0,
        }
    }

    /// How much it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it at least so many bytes.
    ///
    /// # Errors
    /// The tenant may not hold so much now; then the charge is what it was.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Full> {
        let more = bytes.saturating_sub(self.bytes);
        self.account.take(more)?;
        self.bytes += more;
        Ok(())
    }

    /// Makes it exactly so many bytes, of memory that is there already.
    pub fn set(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            self.account.take_unasked(more);
            self.bytes += more;
        }
        self.shrink_to(bytes);
    }

    /// Gives back what is beyond so many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        if less > 0 {
            self.account.give_back(less);
            self.bytes -= less;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// What a session has for as long as it lasts.
#[derive(Debug)]
pub struct Stay {
    /// Bytes of what is set apart for sessions; none where that was used up.
    reserved: usize,
    pub(super) charge: Charge,
}

impl Stay {
    /// A session's own: `tls` bytes for its encryption, and `own` for what it has brought. A little of the latter is
    /// free. First comes what is set apart for sessions, then what its tenant may have of the rest.
    ///
    /// # Errors
    /// There is no room for another session of the tenant.
    pub fn begin(account: &Arc<Account>, tls: usize, own: usize) -> Result<Self, Full> {
        let base = limits::SESSION_BYTES + tls;
        let own = own.saturating_sub(limits::SESSION_OWN_BYTES);
        let reserved = if account.budget.reserve(base) { base } else { 0 };
        let mut stay = Self {
            charge: Charge::new(account),
            reserved,
        };
        stay.charge.grow_to(own + base - reserved)?;
        Ok(stay)
    }

    /// Whose it is.
    pub fn account(&self) -> &Arc<Account> {
        &self.charge.account
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let reserved = &self.charge.account.budget.reserved;
        reserved.fetch_sub(self.reserved, Ordering::Relaxed);
    }
}
