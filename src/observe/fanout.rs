//! One event to two consumers.

use std::sync::Arc;

use crate::base::{Event, Observe, Who};

/// Hands each event to the first consumer, then to the second. Both are known by type: most events mean nothing to
/// one of them, and a call that turns out to be for nothing costs next to nothing.
pub struct Fanout<A, B>(Arc<A>, Arc<B>);

impl<A: Observe, B: Observe> Fanout<A, B> {
    /// A consumer made of two.
    pub fn new(first: Arc<A>, second: Arc<B>) -> Self {
        Self(first, second)
    }
}

impl<A: Observe, B: Observe> Observe for Fanout<A, B> {
    fn observe(&self, event: &Event<'_>, who: Option<&dyn Who>) {
        self.0.observe(event, who);
        self.1.observe(event, who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn both_consumers_see_every_event() {
        struct Count(AtomicUsize);
        impl Observe for Count {
            fn observe(&self, _: &Event<'_>, _: Option<&dyn Who>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
        let fanout = Fanout::new(Arc::clone(&counts[0]), Arc::clone(&counts[1]));
        for _ in 0..3 {
            fanout.observe(&Event::WaitEnded, None);
        }
        assert_eq!(counts.map(|count| count.0.load(Ordering::Relaxed)), [3, 3]);
    }
}
