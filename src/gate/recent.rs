//! The age up to which the gate uses an answer of a store again. One age holds for sessions, pending logins
//! and tokens: what an operator ends is rejected within a second on every node.

use std::time::Duration;

/// Lifetime of a cached answer, counted from before the store lookup. Less than a second, to leave time for
/// the round trip.
const FRESH: Duration = Duration::from_millis(900);

/// Returns true if an answer that was requested at `asked_at` may be used at `now`. Both are monotonic times.
pub(super) fn is_fresh(asked_at: Duration, now: Duration) -> bool {
    now.saturating_sub(asked_at) < FRESH
}
