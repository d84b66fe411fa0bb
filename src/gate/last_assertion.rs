//! The last assertion about a visitor, kept with what the gate knows of the visitor.

use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;

/// The last assertion about a visitor. The task that signs the next one holds the lock, so
/// concurrent requests sign it only once.
#[derive(Debug, Default)]
pub struct LastAssertion(pub(super) Mutex<Option<Made>>);

/// An assertion, and the circumstances in which it may be sent again.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) value: HeaderValue,
    /// Number of the app's asserter in this process.
    pub(super) serial: u64,
    /// Monotonic time.
    pub(super) at: Duration,
}
