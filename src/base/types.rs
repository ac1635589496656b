//! Names with a type of their own, so that a tenant is never passed where a role belongs.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name as it was written; nothing is folded or checked.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self::new(name)
            }
        }
    };
}

name_type! {
    /// A Postgres role that a transaction runs as (`SET LOCAL ROLE`).
    RoleName
}
name_type! {
    /// A customer, as the token and the tenant directory name it.
    TenantName
}
name_type! {
    /// A Postgres server, by its key under `[servers]`.
    ServerName
}
name_type! {
    /// A set of credentials for a server, by its key under `[logins]`.
    LoginName
}
name_type! {
    /// A database on a Postgres server.
    DatabaseName
}
name_type! {
    /// What a tenant has booked, by its key under `[plans]`.
    PlanName
}

/// How long a client keeps a server connection (PgBouncer's `pool_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PoolMode {
    /// For one transaction: nothing of a session is ever on it between two of them.
    #[default]
    Transaction,
    /// From its first transaction to its end, so that what Postgres itself keeps for a session works.
    Session,
}

impl PoolMode {
    /// The mode as the configuration and the metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Session => "session",
        }
    }
}

/// Whether the sessions of several tenants use one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// It is one tenant's own, or nothing is told apart by tenant.
    Sole,
    /// Tenants share it.
    Shared,
}

/// A value that is never printed: passwords and keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Wraps the bytes of a secret.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves, for the one place that uses them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new(*b"hunter2")), "<secret>");
    }
}
