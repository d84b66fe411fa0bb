//! Ids of connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// Returns the id of a new connection. An id is never reused, so a late failure of an old
/// connection does not close the one that replaced it.
pub(super) fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
