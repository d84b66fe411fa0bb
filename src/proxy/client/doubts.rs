//! Warns about trusted proxies that send unusable headers: once a day for each kind, because every
//! request repeats it.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::sender::Doubt;
use crate::base::clock::millis;

/// Interval between two warnings of one kind.
const AGAIN: Duration = Duration::from_hours(24);

/// The next time that each kind may warn, in milliseconds of monotonic time.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Doubts {
    headers: [AtomicU64; Doubt::COUNT],
    proxy_protocol: AtomicU64,
}

impl Doubts {
    /// Warns about `doubt` in the headers of `proxy`, at most once a day.
    pub(in crate::proxy) fn warn(&self, doubt: Doubt, proxy: IpAddr, at: Duration) {
        if !self.is_due(doubt, at) {
            return;
        }
        let reason = doubt.as_str();
        let effect = match doubt {
            Doubt::NoAddress | Doubt::Address | Doubt::Addresses => {
                "the client address is unknown: rules and tokens for its network do not match"
            }
            Doubt::Scheme => "the scheme is treated as plain http",
        };
        tracing::warn!(%proxy, reason, effect, "trusted proxy sent an unusable forwarding header");
    }

    fn is_due(&self, doubt: Doubt, at: Duration) -> bool {
        self.headers.get(doubt.number()).is_some_and(|due| is_due(due, at))
    }

    /// Warns about a connection of `proxy` that was closed for its PROXY header, at most once a day.
    pub(in crate::proxy) fn proxy_header(&self, proxy: IpAddr, error: &io::Error, at: Duration) {
        // A proxy that closes at once only checks whether the port is open.
        if error.kind() != io::ErrorKind::UnexpectedEof && is_due(&self.proxy_protocol, at) {
            tracing::warn!(%proxy, %error, "connection of a trusted proxy closed");
        }
    }
}

fn is_due(due: &AtomicU64, at: Duration) -> bool {
    let seen = due.load(Ordering::Relaxed);
    let next = millis(at + AGAIN);
    millis(at) >= seen
        && due.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
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
