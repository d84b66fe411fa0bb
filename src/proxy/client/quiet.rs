//! Notices that a connection has been quiet for too long, at the price of an addition a read: the
//! timer is not moved when something happens, only looked at when it is due.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// How long a connection has been quiet, to within a look.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Quiet {
    timer: Option<Pin<Box<Sleep>>>,
    every: Duration,
    happened: u64,
    happened_then: u64,
    lasted: Duration,
}

impl Quiet {
    /// Something was read or written.
    pub(in crate::proxy) fn stir(&mut self) {
        self.happened = self.happened.wrapping_add(1);
    }

    /// Asked while the connection waits, always by the same task: whether nothing happened for
    /// `limit`, or for up to half as much longer.
    pub(in crate::proxy) fn lasts(&mut self, limit: Duration, cx: &mut Context<'_>) -> bool {
        let over = match &self.timer {
            None => true,
            // It was polled by this task, and wakes it.
            Some(timer) => timer.is_elapsed(),
        };
        if !over && self.every <= limit / 2 {
            return false;
        }
        if self.happened != self.happened_then || self.timer.is_none() {
            self.lasted = Duration::ZERO;
        } else if over {
            self.lasted += self.every;
        }
        self.happened_then = self.happened;
        self.every = limit / 2;
        let timer = self.timer.insert(Box::pin(sleep(self.every)));
        // Polled once, so that it wakes the task when it is due.
        timer.as_mut().poll(cx).is_ready() || self.lasted >= limit
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    async fn wait(quiet: &mut Quiet, limit: Duration) {
        poll_fn(|cx| if quiet.lasts(limit, cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_is_noticed_soon_after_the_limit() {
        let mut quiet = Quiet::default();
        let start = tokio::time::Instant::now();
        wait(&mut quiet, Duration::from_mins(1)).await;
        let took = start.elapsed().as_secs();
        assert!((60..=91).contains(&took), "{took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_begins_the_wait_anew() {
        let mut quiet = Quiet::default();
        let limit = Duration::from_mins(1);
        let start = tokio::time::Instant::now();
        for _ in 0..10 {
            let waited = tokio::time::timeout(Duration::from_secs(50), wait(&mut quiet, limit));
            assert!(waited.await.is_err(), "given up after {:?}", start.elapsed());
            quiet.stir();
        }
        wait(&mut quiet, limit).await;
        let took = start.elapsed().as_secs();
        assert!((560..=591).contains(&took), "{took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_holds_at_once() {
        let mut quiet = Quiet::default();
        let long = tokio::time::timeout(
            Duration::from_millis(10),
            wait(&mut quiet, Duration::from_mins(1)),
        );
        assert!(long.await.is_err());
        quiet.stir();
        let start = tokio::time::Instant::now();
        wait(&mut quiet, Duration::from_secs(2)).await;
        assert!(start.elapsed() <= Duration::from_secs(4), "{:?}", start.elapsed());
    }
}
