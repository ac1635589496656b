//! The directory in force: it may be replaced while sessions run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::{Directory, Route, RouteError};
use crate::auth::Principal;

/// The directory that logins are routed by. Sessions keep the route they have got, as long as it [holds](Tenure::holds).
#[derive(Debug)]
pub struct DirectoryInForce {
    directory: RwLock<Arc<Directory>>,
    /// Counts replacements.
    version: AtomicU64,
}

/// A session's right to stay on its route.
#[derive(Debug)]
pub struct Tenure {
    directories: Arc<DirectoryInForce>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The route held when the directory had this version.
    Held(u64),
    /// It does not any more.
    Lapsed,
}

impl DirectoryInForce {
    /// Puts a first directory into force.
    pub fn new(directory: Directory) -> Arc<Self> {
        Arc::new(Self {
            directory: RwLock::new(Arc::new(directory)),
            version: AtomicU64::new(0),
        })
    }

    /// The directory as it is now.
    pub fn get(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read())
    }

    /// Puts another directory into force, whole.
    pub fn replace(&self, directory: Directory) {
        let before = std::mem::replace(&mut *self.directory.write(), Arc::new(directory));
        self.version.fetch_add(1, Ordering::Release);
        // Not under the lock: it may be large.
        drop(before);
    }

    /// The route of a session that names `database` in its startup packet, and its right to stay there.
    ///
    /// # Errors
    /// As [`Directory::route`].
    pub fn route(
        self: &Arc<Self>,
        principal: &Principal,
        database: &str,
    ) -> Result<(Arc<Route>, Tenure), RouteError> {
        // The version first: a directory that is replaced in between is looked at again.
        let version = self.version.load(Ordering::Acquire);
        let route = self.get().route(principal, database)?;
        let tenure = Tenure {
            directories: Arc::clone(self),
            state: State::Held(version),
        };
        Ok((route, tenure))
    }
}

impl Tenure {
    /// Whether a look has shown that it does not hold any more.
    pub fn has_lapsed(&self) -> bool {
        self.state == State::Lapsed
    }

    /// Whether the session may stay on its route: the directory in force would send it to the same place, and what its
    /// statements may name there has not become another tenant's. Once lapsed it stays so.
    ///
    /// One atomic load as long as the directory is the same.
    pub fn holds(&mut self, principal: &Principal, route: &Route) -> bool {
        let version = self.directories.version.load(Ordering::Acquire);
        match self.state {
            State::Lapsed => false,
            State::Held(known) if known == version => true,
            State::Held(_) => {
                let directory = self.directories.get();
                let holds = directory.keeps(principal.role(), principal.tenants(), route);
                self.state = match holds {
                    true => State::Held(version),
                    false => State::Lapsed,
                };
                holds
            }
        }
    }
}
