//! Shutdown signals: the first begins an orderly shutdown, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::error::AppError;

/// Counts SIGTERM and SIGINT.
#[derive(Clone, Debug)]
pub(super) struct Signals(watch::Receiver<u32>);

impl Signals {
    /// Begins to count.
    pub(super) fn listen() -> Result<Self, AppError> {
        let listen = |kind| signal(kind).map_err(AppError::io("failed to listen for signals"));
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let (counted, count) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                counted.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(count))
    }

    /// Resolves when at least this many signals have arrived.
    pub(super) async fn at_least(mut self, wanted: u32) {
        if self.0.wait_for(|count| *count >= wanted).await.is_err() {
            // The runtime is ending.
            std::future::pending::<()>().await;
        }
    }

    /// Returns true if at least this many signals have arrived.
    pub(super) fn has(&self, wanted: u32) -> bool {
        *self.0.borrow() >= wanted
    }
}
