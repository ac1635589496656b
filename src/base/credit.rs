//! How much work a tenant's sessions may do before others are asked to go first.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use super::limits;

/// Work that may be done at once, filled up every millisecond: a token bucket that needs the clock only when it is empty.
#[derive(Debug)]
pub struct Credit {
    left: AtomicI64,
    /// The millisecond it was filled up in.
    filled: AtomicU64,
}

impl Credit {
    /// A full one.
    pub const fn new() -> Self {
        Self {
            left: AtomicI64::new(limits::WORK_PER_MILLISECOND),
            filled: AtomicU64::new(0),
        }
    }

    /// Takes so many units of work, and says whether they were there. What is taken beyond it is not owed.
    pub fn take(&self, units: u32) -> bool {
        let units = i64::from(units);
        self.left.fetch_sub(units, Ordering::Relaxed) >= units || self.fill(units)
    }

    /// Fills it up if it is time to, less what is taken.
    #[cold]
    fn fill(&self, units: i64) -> bool {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        // A millisecond is never the one before the first.
        let now = 1 + u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        if self.filled.swap(now, Ordering::Relaxed) == now {
            return false;
        }
        self.left
            .store(limits::WORK_PER_MILLISECOND - units, Ordering::Relaxed);
        true
    }
}

impl Default for Credit {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_used_up_within_a_millisecond_and_there_again_in_the_next() {
        let credit = Credit::new();
        let mut taken = 0;
        while credit.take(1) {
            taken += 1;
            assert!(taken < 1_000_000, "it is never used up");
        }
        assert!(taken >= limits::WORK_PER_MILLISECOND);
        sleep(Duration::from_millis(2));
        assert!(credit.take(1));
    }

    #[test]
    fn debts_are_forgotten() {
        let credit = Credit::new();
        assert!(credit.take(0));
        credit.take(u32::MAX);
        sleep(Duration::from_millis(2));
        assert!(credit.take(1) && credit.take(1));
    }
}
