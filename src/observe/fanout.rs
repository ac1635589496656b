//! One event to several consumers.

use std::sync::Arc;

use crate::base::{Event, Observe};

/// Hands each event to every consumer, in order.
pub struct Fanout(Box<[Arc<dyn Observe>]>);

impl Fanout {
    /// A consumer made of several.
    pub fn new(consumers: impl IntoIterator<Item = Arc<dyn Observe>>) -> Self {
        Self(consumers.into_iter().collect())
    }
}

impl Observe for Fanout {
    fn observe(&self, event: &Event<'_>) {
        for consumer in &self.0 {
            consumer.observe(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_consumer_sees_every_event() {
        struct Count(AtomicUsize);
        impl Observe for Count {
            fn observe(&self, _: &Event<'_>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
        let fanout = Fanout::new(counts.iter().map(|count| Arc::clone(count) as Arc<dyn Observe>));
        for _ in 0..3 {
            fanout.observe(&Event::WaitEnded);
        }
        assert_eq!(counts.map(|count| count.0.load(Ordering::Relaxed)), [3, 3]);
    }
}
