//! The use that is made of a connection: which one can go when there are too many.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::clock::millis;

/// The use of one connection.
#[derive(Debug)]
pub(in crate::proxy) struct Usage {
    requests: AtomicUsize,
    /// When the last request began, in milliseconds.
    last: AtomicU64,
    /// Somebody who is signed in has used it.
    known: AtomicBool,
}

impl Usage {
    /// Of a connection that was accepted at `now`.
    pub(in crate::proxy) fn new(now: Duration) -> Self {
        let last = AtomicU64::new(millis(now));
        Self { requests: AtomicUsize::new(0), last, known: AtomicBool::new(false) }
    }

    /// A request begins.
    pub(in crate::proxy) fn enter(&self, now: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.last.store(millis(now), Ordering::Relaxed);
    }

    /// A request is over.
    pub(in crate::proxy) fn leave(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// True if no request is in hand: none came yet, or all are over.
    pub(in crate::proxy) fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }

    /// When the last request began or, before the first, the connection was accepted.
    pub(in crate::proxy) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Notes that somebody who is signed in uses it.
    pub(in crate::proxy) fn by_somebody_known(&self) {
        if !self.known.load(Ordering::Relaxed) {
            self.known.store(true, Ordering::Relaxed);
        }
    }

    /// True if nobody who is signed in has used it.
    pub(in crate::proxy) fn is_strange(&self) -> bool {
        !self.known.load(Ordering::Relaxed)
    }
}
