//! Verdicts by policy and statement text.

use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Marks of texts seen lately, four of 16 bits to a slot, the latest first. A mark that is lost, or that two texts
/// share, costs time alone.
struct Seen {
    hasher: RandomState,
    marks: Box<[AtomicU64]>,
}

/// Slots for [`Seen`]: a power of two, 256 KiB in all.
const SLOTS: usize = 1 << 15;

impl Seen {
    fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            marks: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Whether the text was seen before; from now on it was.
    fn before(&self, key: &BorrowedKey<'_>) -> bool {
        let hash = self.hasher.hash_one(key);
        let (slot, mark) = ((hash as usize) % SLOTS, hash >> 48 | 1);
        let Some(slot) = self.marks.get(slot) else {
            return false;
        };
        let marks = slot.load(Ordering::Relaxed);
        let is_marked = (0..4).any(|at| (marks >> (16 * at)) & 0xffff == mark);
        if !is_marked {
            // Two threads at once: one mark is lost.
            slot.store(marks << 16 | mark, Ordering::Relaxed);
        }
        is_marked
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

    /// The verdict on a text: the one that is kept, or what `judge` says.
    pub(super) fn get_or_judge(&self, policy: u64, text: &[u8], judge: impl FnOnce() -> Verdict) -> Verdict {
        let key = BorrowedKey { policy, text };
        let Some(verdicts) = self
            .verdicts
            .as_ref()
            .filter(|_| text.len() as u64 <= self.text_bytes)
        else {
            return judge();
        };
        // A text without a mark is most likely new, and then there is nothing to look up.
        if !self.seen.before(&key) {
            return judge();
        }
        if let Some(verdict) = verdicts.get(&key) {
            return verdict;
        }
        let verdict = judge();
        let key = Key {
            policy,
            text: text.into(),
        };
        verdicts.insert(key, verdict.clone());
        verdict
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
