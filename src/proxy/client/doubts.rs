//! Tells the operator that a trusted proxy says what cannot be believed: once a day for each kind, since
//! it is so for every request.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::sender::Doubt;
use crate::base::clock::millis;

/// Between two warnings of one kind.
const AGAIN: Duration = Duration::from_hours(24);

/// When each kind of doubt may be told again, in milliseconds of monotonic time.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Doubts([AtomicU64; Doubt::COUNT]);

impl Doubts {
    /// Warns of `doubt` about what `proxy` said, unless that was done within a day.
    pub(in crate::proxy) fn tell(&self, doubt: Doubt, proxy: IpAddr, at: Duration) {
        if !self.is_due(doubt, at) {
            return;
        }
        let reason = doubt.as_str();
        let effect = match doubt {
            Doubt::NoAddress | Doubt::Address | Doubt::Addresses => {
                "the address of the client is unknown: no rule or token for its network holds"
            }
            Doubt::Scheme => "the request counts as plain http",
        };
        tracing::warn!(%proxy, reason, effect, "a trusted proxy is not understood");
    }

    fn is_due(&self, doubt: Doubt, at: Duration) -> bool {
        let Some(due) = self.0.get(doubt.number()) else { return false };
        let seen = due.load(Ordering::Relaxed);
        let next = millis(at + AGAIN);
        millis(at) >= seen
            && due.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_a_day() {
        let doubts = Doubts::default();
        let due = |doubt, hours| doubts.is_due(doubt, Duration::from_hours(hours));
        assert!(due(Doubt::Address, 0));
        assert!(!due(Doubt::Address, 23));
        assert!(due(Doubt::Scheme, 23));
        assert!(due(Doubt::Address, 24));
    }
}
