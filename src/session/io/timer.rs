//! One timer per client that is armed lazily: a deadline that moves later costs nothing.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Fires at the deadline that was asked for last. One task polls it.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    state: State,
}

/// Whether the sleep knows whom to wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unheard,
    Armed,
}

impl Timer {
    /// Ready when `deadline` has passed.
    pub fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // A timer that is armed too early wakes us once and is armed anew: cheaper than moving it with
        // every transaction.
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
            self.state = State::Unheard;
        }
        if self.state == State::Armed && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        // Outside of the task's budget: used up, it would leave the sleep without anybody to wake.
        while pin!(unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            self.state = State::Unheard;
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        self.state = State::Armed;
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::task::consume_budget;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_latest_deadline_asked_for() {
        let start = Instant::now();
        let mut timer = Timer::default();
        let soon = start + Duration::from_secs(1);
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(soon, cx))).await.is_pending());
        let late = start + Duration::from_secs(5);
        poll_fn(|cx| timer.poll(late, cx)).await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn fires_where_the_task_had_no_budget_left_when_it_was_armed() {
        let soon = Instant::now() + Duration::from_secs(1);
        let mut timer = Timer::default();
        poll_fn(|cx| {
            while pin!(consume_budget()).poll(cx).is_ready() {}
            assert!(timer.poll(soon, cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let fired = timeout(Duration::from_secs(5), poll_fn(|cx| timer.poll(soon, cx)));
        assert!(fired.await.is_ok());
    }
}
