//! A server connection is had, kept, asked of, cancelled and given back.

pub(super) mod cancel;
pub(super) mod checkout;
pub(super) mod probe;
pub(super) mod session_mode;
