//! Verdicts by policy, schemas and statement text.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use moka::Equivalent;
use moka::sync::Cache;

use super::shape::{Shape, ShapeReader};
use crate::base::SqlState;
use crate::guard::policy::policy::Policy;
use crate::guard::rules::scope::Scope;
use crate::guard::verdict::auto_prepare::{self, RepeatedTexts};
use crate::guard::verdict::refusal::Refusal;
use crate::guard::verdict::script::{Script, Template};

/// A verdict, as the cache keeps it.
pub(in crate::guard) type Verdict = Result<Arc<Script>, Arc<Refusal>>;

/// The largest part of the cache that one text may take.
const SHARE: u64 = 64;

/// The part of it that is for shapes.
const SHAPES_SHARE: u64 = 8;

thread_local! {
    /// The shape of the text at hand.
    static SHAPE: RefCell<ShapeReader> = RefCell::default();
}

/// Verdicts, bounded by bytes. The texts themselves are compared, so a hash that collides costs time alone; its
/// seed is random, so that nobody can look for collisions from outside. SipHash would take as long as all the
/// rest of a look-up.
///
/// A text is kept when it is seen for the second time: drivers that put values into their statements would
/// otherwise pay for a place that is never looked at again.
///
/// A text that is seen for the first time may have the shape of others ([`shape`]).
pub(in crate::guard) struct VerdictCache {
    kept: Option<Kept>,
    text_bytes: u64,
    seen: Seen,
    repeated_texts: RepeatedTexts,
}

struct Kept {
    verdicts: Cache<Key, Verdict, RandomState>,
    shapes: Cache<Key, Shape, RandomState>,
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

/// Whose verdicts they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::guard) struct Whose {
    /// The policy's id.
    pub(in crate::guard) policy: u64,
    /// The id of the schemas that may be named.
    pub(in crate::guard) scope: u64,
}

impl Whose {
    pub(in crate::guard) fn new(policy: &Policy, scope: Scope<'_>) -> Self {
        Self {
            policy: policy.id(),
            scope: scope.id(),
        }
    }
}

struct Key {
    whose: Whose,
    text: Box<[u8]>,
}

/// A key that borrows its text: a look-up allocates nothing.
struct BorrowedKey<'a> {
    whose: Whose,
    text: &'a [u8],
}

impl VerdictCache {
    /// A cache that takes about `bytes` of memory; none at all for 0.
    pub(in crate::guard) fn new(bytes: u64, repeated_texts: RepeatedTexts) -> Self {
        Self {
            repeated_texts,
            kept: (bytes > 0).then(|| Kept::new(bytes)),
            text_bytes: bytes / SHARE,
            seen: Seen::new(),
        }
    }

    /// The verdict on a text: the one that is kept, or what `judge` says.
    pub(in crate::guard) fn get_or_judge(
        &self,
        whose: Whose,
        text: &[u8],
        judge: impl Fn(&[u8]) -> Verdict,
    ) -> Verdict {
        let key = BorrowedKey { whose, text };
        let Some(kept) = self
            .kept
            .as_ref()
            .filter(|_| text.len() as u64 <= self.text_bytes)
        else {
            return judge(text);
        };
        // A text without a mark is most likely new, and then there is nothing to look up.
        if !self.seen.before(&key) {
            return self.by_shape(kept, &key, judge);
        }
        if let Some(verdict) = kept.verdicts.get(&key) {
            if let (RepeatedTexts::Prepared, Ok(script)) = (self.repeated_texts, &verdict) {
                script.has_come_again();
            }
            return verdict;
        }
        let verdict = self.by_shape(kept, &key, judge);
        // That there is no memory now says nothing about the text.
        if !matches!(&verdict, Err(refusal) if refusal.sqlstate == SqlState::OUT_OF_MEMORY) {
            kept.verdicts.insert(key.owned(), verdict.clone());
        }
        verdict
    }

    /// The verdict on a text, if it is kept.
    pub(in crate::guard) fn get(&self, whose: Whose, text: &[u8]) -> Option<Verdict> {
        self.kept.as_ref()?.verdicts.get(&BorrowedKey { whose, text })
    }

    /// The verdict on a text that nobody remembers: that of its shape, or what `judge` says.
    fn by_shape(&self, kept: &Kept, key: &BorrowedKey<'_>, judge: impl Fn(&[u8]) -> Verdict) -> Verdict {
        SHAPE.with_borrow_mut(|reading| {
            if !reading.read(key.text) {
                return judge(key.text);
            }
            let of_shape = BorrowedKey {
                whose: key.whose,
                text: &reading.shape,
            };
            if !self.seen.before(&of_shape) {
                return judge(key.text);
            }
            if let Some(known) = kept.shapes.get(&of_shape)
                && let Ok(text) = std::str::from_utf8(key.text)
            {
                let range = known.ahead..text.len() - known.behind;
                let template = known.template.filter(|_| auto_prepare::fit(&reading.numbers));
                let template = template.map(|script| Template {
                    script,
                    numbers: reading.numbers.as_slice().into(),
                });
                let script = Script::of_one(key.whose.policy, text.into(), range, known.lone, template);
                return Ok(Arc::new(script));
            }
            let verdict = judge(key.text);
            if let Ok(script) = &verdict
                && script.text().as_bytes() == key.text
                && let Some((lone, range)) = script.lone()
            {
                let template = match self.repeated_texts {
                    RepeatedTexts::Prepared => template_of(script, &reading.numbers, judge),
                    RepeatedTexts::ParsedEachTime => None,
                };
                let known = Shape {
                    lone,
                    ahead: range.start,
                    behind: key.text.len() - range.end,
                    template,
                };
                kept.shapes.insert(of_shape.owned(), known);
            }
            verdict
        })
    }
}

/// What the texts of a script's shape can be prepared as.
fn template_of(
    script: &Script,
    numbers: &[Range<usize>],
    judge: impl Fn(&[u8]) -> Verdict,
) -> Option<Arc<Script>> {
    let (lone, _) = script.lone().filter(|(lone, _)| lone.is_plain())?;
    let text = auto_prepare::text_of(script.text(), numbers)?;
    let template = judge(text.as_bytes()).ok()?;
    (template.text() == text && template.lone()?.0 == lone).then_some(template)
}

impl Kept {
    fn new(bytes: u64) -> Self {
        let verdicts = Cache::builder().max_capacity(bytes - bytes / SHAPES_SHARE);
        let verdicts = verdicts.weigher(|key: &Key, verdict: &Verdict| {
            let weight = match verdict {
                Ok(script) => script.weight() + script.text().len(),
                Err(refusal) => refusal.weight(),
            };
            key.weight_with(weight)
        });
        let shapes = Cache::builder().max_capacity(bytes / SHAPES_SHARE);
        let shapes = shapes.weigher(|key: &Key, shape: &Shape| {
            let template = shape.template.as_ref();
            let template = template.map_or(0, |script| script.weight() + script.text().len());
            key.weight_with(size_of::<Shape>() + template)
        });
        Self {
            verdicts: verdicts.build_with_hasher(RandomState::default()),
            shapes: shapes.build_with_hasher(RandomState::default()),
        }
    }
}

impl Key {
    /// About the memory that an entry takes, in bytes.
    fn weight_with(&self, value: usize) -> u32 {
        u32::try_from(value + self.text.len() + 200).unwrap_or(u32::MAX)
    }
}

impl BorrowedKey<'_> {
    fn owned(&self) -> Key {
        Key {
            whose: self.whose,
            text: self.text.into(),
        }
    }
}

impl std::fmt::Debug for VerdictCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.kept.as_ref().map_or(0, |kept| kept.verdicts.entry_count());
        f.debug_struct("VerdictCache")
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        BorrowedKey {
            whose: self.whose,
            text: &self.text,
        }
        .hash(state);
    }
}

impl Hash for BorrowedKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whose.hash(state);
        self.text.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.whose == other.whose && self.text == other.text
    }
}

impl Eq for Key {}

impl Equivalent<Key> for BorrowedKey<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.whose == key.whose && *self.text == *key.text
    }
}
