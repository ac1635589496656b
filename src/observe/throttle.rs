//! A bound on how many log lines one kind of event may write per second.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const WINDOW: Duration = Duration::from_secs(1);

/// Admits a number of lines per second and counts the others.
pub(super) struct Throttle {
    lines_per_second: u32,
    state: Mutex<State>,
}

struct State {
    began: Instant,
    admitted: u32,
    suppressed: u64,
}

impl Throttle {
    pub(super) fn new(lines_per_second: u32) -> Self {
        let state = State {
            began: Instant::now(),
            admitted: 0,
            suppressed: 0,
        };
        Self {
            lines_per_second,
            state: Mutex::new(state),
        }
    }

    /// Whether a line may be written at `now`. If so: how many were left out since the last one.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if now.saturating_duration_since(state.began) >= WINDOW {
            state.began = now;
            state.admitted = 0;
        }
        if state.admitted < self.lines_per_second {
            state.admitted += 1;
            Some(std::mem::take(&mut state.suppressed))
        } else {
            state.suppressed = state.suppressed.saturating_add(1);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_so_many_a_second_and_tells_how_many_it_left_out() {
        let throttle = Throttle::new(2);
        let start = Instant::now();
        assert_eq!(throttle.admit(start), Some(0));
        assert_eq!(throttle.admit(start), Some(0));
        assert_eq!(throttle.admit(start), None);
        assert_eq!(throttle.admit(start + Duration::from_millis(900)), None);
        assert_eq!(throttle.admit(start + Duration::from_secs(2)), Some(2));
        assert_eq!(throttle.admit(start + Duration::from_secs(2)), Some(0));
        assert_eq!(throttle.admit(start + Duration::from_secs(2)), None);
    }

    proptest::proptest! {
        #[test]
        fn every_line_is_either_admitted_or_told_of(gaps in proptest::collection::vec(0u64..700, 1..100)) {
            let throttle = Throttle::new(3);
            let mut now = Instant::now();
            let (mut admitted, mut told) = (0, 0);
            for gap in &gaps {
                now += Duration::from_millis(*gap);
                if let Some(suppressed) = throttle.admit(now) {
                    admitted += 1;
                    told += suppressed;
                }
            }
            let pending = throttle.state.lock().suppressed;
            proptest::prop_assert_eq!(admitted + told + pending, gaps.len() as u64);
        }
    }
}
