//! Verdicts by policy and statement text.

use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::fast::RandomState;
use moka::Equivalent;
use moka::sync::Cache;

use super::{Refusal, Script};

/// A verdict, as the cache keeps it.
pub(super) type Verdict = Result<Arc<Script>, Arc<Refusal>>;

/// The largest part of the cache that one text may take.
const SHARE: u64 = 64;

/// Verdicts, bounded by bytes. The texts themselves are compared, so a hash that collides costs time alone; its
/// seed is random, so that nobody can look for collisions from outside. SipHash would take as long as all the
/// rest of a look-up.
///
/// A text is kept when it is seen for the second time: drivers that put values into their statements would
/// otherwise pay for a place that is never looked at again.
pub(super) struct VerdictCache {
    verdicts: Option<Cache<Key, Verdict, RandomState>>,
    text_bytes: u64,
    seen: Seen,
}

/// Marks of texts seen lately, one to a slot. A mark that is lost costs one more judgement.
struct Seen {
    hasher: RandomState,
    marks: Box<[AtomicU32]>,
}

/// Slots for [`Seen`]: a power of two, 256 KiB in all.
const SLOTS: usize = 1 << 16;

impl Seen {
    fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            marks: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Whether the text was seen before; from now on it was.
    fn before(&self, key: &BorrowedKey<'_>) -> bool {
        let hash = self.hasher.hash_one(key);
        let (slot, mark) = ((hash as usize) % SLOTS, (hash >> 32) as u32 | 1);
        self.marks
            .get(slot)
            .is_some_and(|seen| seen.swap(mark, Ordering::Relaxed) == mark)
    }
}

struct Key {
    policy: u64,
    text: Box<[u8]>,
}

/// A key that borrows its text: a look-up allocates nothing.
struct BorrowedKey<'a> {
    policy: u64,
    text: &'a [u8],
}

impl VerdictCache {
    /// A cache that takes about `bytes` of memory; none at all for 0.
    pub(super) fn new(bytes: u64) -> Self {
        let build = || {
            Cache::builder()
                .max_capacity(bytes)
                .weigher(|key: &Key, verdict: &Verdict| {
                    let weight = match verdict {
                        Ok(script) => script.weight() + script.text().len(),
                        Err(refusal) => refusal.weight(),
                    };
                    u32::try_from(weight + key.text.len() + 200).unwrap_or(u32::MAX)
                })
                .build_with_hasher(RandomState::default())
        };
        Self {
            verdicts: (bytes > 0).then(build),
            text_bytes: bytes / SHARE,
            seen: Seen::new(),
        }
    }

    pub(super) fn get(&self, policy: u64, text: &[u8]) -> Option<Verdict> {
        self.verdicts.as_ref()?.get(&BorrowedKey { policy, text })
    }

    /// Keeps a verdict, unless its text is new, or so long that it would push many others out.
    pub(super) fn put(&self, policy: u64, text: &[u8], verdict: &Verdict) {
        if let Some(verdicts) = &self.verdicts
            && text.len() as u64 <= self.text_bytes
            && self.seen.before(&BorrowedKey { policy, text })
        {
            verdicts.insert(
                Key {
                    policy,
                    text: text.into(),
                },
                verdict.clone(),
            );
        }
    }
}

impl std::fmt::Debug for VerdictCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.verdicts.as_ref().map_or(0, Cache::entry_count);
        f.debug_struct("VerdictCache")
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        BorrowedKey {
            policy: self.policy,
            text: &self.text,
        }
        .hash(state);
    }
}

impl Hash for BorrowedKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.policy.hash(state);
        self.text.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy && self.text == other.text
    }
}

impl Eq for Key {}

impl Equivalent<Key> for BorrowedKey<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.policy == key.policy && *self.text == *key.text
    }
}
