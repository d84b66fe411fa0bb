//! Detects idle connections. Activity only bumps a counter; the timer is never reset, so a read
//! costs one addition.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Idle time of a connection, accurate to one check interval.
#[derive(Debug, Default)]
pub(in crate::proxy) struct IdleWatch {
    timer: Option<Pin<Box<Sleep>>>,
    every: Duration,
    happened: u64,
    happened_then: u64,
    lasted: Duration,
}

impl IdleWatch {
    /// Records a read or a write.
    pub(in crate::proxy) fn touch(&mut self) {
        self.happened = self.happened.wrapping_add(1);
    }

    /// Returns true if the connection was idle for `limit`, or up to half as much longer. The same
    /// task calls this whenever the connection waits.
    pub(in crate::proxy) fn is_idle_for(&mut self, limit: Duration, cx: &mut Context<'_>) -> bool {
        let over = match &self.timer {
            None => true,
            // This task polled the timer, so it gets the wake-up.
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
        // The first poll registers the task for the wake-up.
        timer.as_mut().poll(cx).is_ready() || self.lasted >= limit
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    async fn wait(quiet: &mut IdleWatch, limit: Duration) {
        poll_fn(|cx| if quiet.is_idle_for(limit, cx) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_is_noticed_soon_after_the_limit() {
        let mut quiet = IdleWatch::default();
        let start = tokio::time::Instant::now();
        wait(&mut quiet, Duration::from_mins(1)).await;
        let took = start.elapsed().as_secs();
        assert!((60..=91).contains(&took), "{took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_begins_the_wait_anew() {
        let mut quiet = IdleWatch::default();
        let limit = Duration::from_mins(1);
        let start = tokio::time::Instant::now();
        for _ in 0..10 {
            let waited = tokio::time::timeout(Duration::from_secs(50), wait(&mut quiet, limit));
            assert!(waited.await.is_err(), "given up after {:?}", start.elapsed());
            quiet.touch();
        }
        wait(&mut quiet, limit).await;
        let took = start.elapsed().as_secs();
        assert!((560..=591).contains(&took), "{took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_holds_at_once() {
        let mut quiet = IdleWatch::default();
        let long = tokio::time::timeout(
            Duration::from_millis(10),
            wait(&mut quiet, Duration::from_mins(1)),
        );
        assert!(long.await.is_err());
        quiet.touch();
        let start = tokio::time::Instant::now();
        wait(&mut quiet, Duration::from_secs(2)).await;
        assert!(start.elapsed() <= Duration::from_secs(4), "{:?}", start.elapsed());
    }
}
