//! The use of a connection, which decides which one is shed at the limit.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::clock::millis;

/// The use of one connection.
#[derive(Debug)]
pub(in crate::proxy) struct Usage {
    requests: AtomicUsize,
    /// Time of the start of the last request, in milliseconds.
    last: AtomicU64,
    /// A signed-in user has used the connection.
    known: AtomicBool,
}

impl Usage {
    /// Creates the record of a connection accepted at `now`.
    pub(in crate::proxy) fn new(now: Duration) -> Self {
        let last = AtomicU64::new(millis(now));
        Self { requests: AtomicUsize::new(0), last, known: AtomicBool::new(false) }
    }

    /// Records the start of a request.
    pub(in crate::proxy) fn enter(&self, now: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.last.store(millis(now), Ordering::Relaxed);
    }

    /// Records the end of a request.
    pub(in crate::proxy) fn leave(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns true if no request is in progress.
    pub(in crate::proxy) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    /// Returns the start of the last request or, before the first, the time of the accept.
    pub(in crate::proxy) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Records that a signed-in user uses the connection.
    pub(in crate::proxy) fn mark_known(&self) {
        if !self.known.load(Ordering::Relaxed) {
            self.known.store(true, Ordering::Relaxed);
        }
    }

    /// Returns true if no signed-in user has used the connection.
    pub(in crate::proxy) fn is_stranger(&self) -> bool {
        !self.known.load(Ordering::Relaxed)
    }
}
