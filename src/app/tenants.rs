//! Puts a changed tenants file into force while the proxy runs.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Drain, Event, Events, LoginName, Looks, Phase};
use crate::config::{Mistake, TenantsFile};
use crate::pool::{self, Access, PoolKey, Pools};
use crate::tenant::{Directory, DirectoryInForce};

/// How often the file is looked at. One that has changed is read at the second look, and in force within two seconds.
const INTERVAL: Duration = Duration::from_millis(500);

/// Has everything follow the directory in force.
pub(super) struct Follower {
    directory: Arc<DirectoryInForce>,
    pools: Arc<Pools>,
    /// The logins that serve end users.
    end_users: Vec<LoginName>,
    events: Events,
}

impl Follower {
    pub(super) fn new(
        directory: &Arc<DirectoryInForce>,
        pools: &Arc<Pools>,
        end_users: Vec<LoginName>,
        events: &Events,
    ) -> Self {
        Self {
            directory: Arc::clone(directory),
            pools: Arc::clone(pools),
            end_users,
            events: events.clone(),
        }
    }

    /// Opens connections of ranked tenants and begins to watch the tenants file, if there is one. Must be called within a
    /// runtime.
    pub(super) fn follow(self, file: Option<TenantsFile>, drain: Drain) {
        self.keep_warm();
        if let Some(file) = file {
            tokio::spawn(self.watch(file, drain));
        }
    }

    fn keep_warm(&self) {
        self.pools
            .keep_warm(warm_pools(&self.directory.get(), &self.end_users));
    }

    /// Reads the file again when it changes, or at once on SIGHUP, until the drain says stop. A file with a mistake
    /// leaves the old directory in force, and is told once.
    ///
    /// # Cancel safety
    /// Cancel safe: a directory is put into force whole or not at all.
    async fn watch(self, mut file: TenantsFile, drain: Drain) {
        let mut looks = Looks::every(INTERVAL, drain, Phase::Stopping);
        while let Some(look) = looks.next().await {
            let directory = Arc::clone(&self.directory);
            // A large directory takes a while to make, and to take down.
            let reading = tokio::task::spawn_blocking(move || {
                let read = file.refresh(look);
                let outcome =
                    read.map(|read| read.map(|settings| directory.replace(Directory::new(settings))));
                (file, outcome)
            });
            let Ok((same, outcome)) = reading.await else {
                return;
            };
            file = same;
            let Some(outcome) = outcome else { continue };
            if outcome.is_ok() {
                self.keep_warm();
            }
            let error = outcome.err().map(|mistakes| told(&mistakes));
            self.events.emit(&Event::TenantsReloaded {
                file: &file.path().display().to_string(),
                error: error.as_deref(),
            });
        }
    }
}

fn told(mistakes: &[Mistake]) -> String {
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    told.join("; ")
}

/// The logins that serve end users.
pub(super) fn end_user_logins(pool: &pool::Settings) -> Vec<LoginName> {
    let logins = pool.logins.iter();
    logins
        .filter(|(_, login)| login.access == Access::EndUser)
        .map(|(name, _)| name.clone())
        .collect()
}

/// The pools of tenants with a rank, the most important first.
fn warm_pools(directory: &Directory, logins: &[LoginName]) -> impl Iterator<Item = PoolKey> {
    let spots = directory.ranked().into_iter();
    spots
        .filter(|spot| logins.contains(&spot.login))
        .map(|spot| PoolKey {
            server: spot.server,
            database: spot.database,
            login: spot.login,
            login_tenant: spot.login_tenant,
            mode: spot.mode,
        })
}
