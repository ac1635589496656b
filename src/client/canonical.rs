//! What servers show for the settings that clients begin with.

use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;
use moka::Equivalent;
use moka::sync::Cache;

use crate::base::limits;
use crate::base::memory::Budget;
use crate::pool::PoolKey;
use crate::session::Pairs;

/// Startup settings that a server has accepted, with the values it shows for them. A driver sends the same with
/// every login, so they are kept as a whole: one look-up, and sessions share what comes of it.
pub(super) struct Canonical(Cache<Key, Pairs, RandomState>);

#[derive(PartialEq, Eq)]
struct Key {
    pool: PoolKey,
    asked: Vec<(String, String)>,
}

/// A key that borrows its parts: a look-up allocates nothing.
struct BorrowedKey<'a> {
    pool: &'a PoolKey,
    asked: &'a [(String, String)],
}

impl Canonical {
    pub(super) fn new(budget: &Budget) -> Self {
        let bytes =
            |pairs: &[(String, String)]| pairs.iter().map(|(n, v)| n.len() + v.len() + 50).sum::<usize>();
        let weigh = move |key: &Key, shown: &Pairs| {
            u32::try_from(bytes(&key.asked) + bytes(shown) + 200).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(budget.cache(limits::CANONICAL_BYTES, 64))
                .weigher(weigh)
                .build_with_hasher(RandomState::default()),
        )
    }

    /// What the pool's server shows for these settings, if it was asked before.
    pub(super) fn get(&self, pool: &PoolKey, asked: &[(String, String)]) -> Option<Pairs> {
        self.0.get(&BorrowedKey { pool, asked })
    }

    pub(super) fn put(&self, pool: PoolKey, asked: Vec<(String, String)>, shown: Pairs) {
        self.0.insert(Key { pool, asked }, shown);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        BorrowedKey {
            pool: &self.pool,
            asked: &self.asked,
        }
        .hash(state);
    }
}

impl Hash for BorrowedKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pool.hash(state);
        self.asked.hash(state);
    }
}

impl Equivalent<Key> for BorrowedKey<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.pool == key.pool && *self.asked == *key.asked
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::PoolMode;

    #[test]
    fn what_is_known_is_known_of_one_pool_and_one_list() {
        let pool = |database: &str| PoolKey {
            server: "main".into(),
            database: database.into(),
            login: "app".into(),
            login_tenant: None,
            mode: PoolMode::Transaction,
        };
        let asked = |value: &str| vec![("datestyle".to_owned(), value.to_owned())];
        let shown: Pairs = Arc::new(asked("ISO, DMY"));
        let canonical = Canonical::new(&Budget::unlimited());
        canonical.put(pool("a"), asked("iso,dmy"), Arc::clone(&shown));
        assert_eq!(canonical.get(&pool("a"), &asked("iso,dmy")), Some(shown));
        assert_eq!(canonical.get(&pool("b"), &asked("iso,dmy")), None);
        assert_eq!(canonical.get(&pool("a"), &asked("ISO")), None);
        assert_eq!(canonical.get(&pool("a"), &[]), None);
    }
}
