//! Limits from the descriptor limit of the process, divided between clients, apps and everything
//! else.

use super::load::Room;
use crate::proxy::settings::{AppSettings, ProxySettings};

/// Default maximum of client connections. Beyond it memory is the limit, not descriptors.
const CONNECTIONS: usize = 10_000;
/// Default maximum of concurrent requests to one app.
const REQUESTS_PER_APP: usize = 4_000;
/// Default maximum of concurrent requests to one app without a session. A response that its client
/// does not read holds some 600 KiB, most of it Pingora's read-ahead from the app.
const STRANGERS_PER_APP: usize = 500;
/// Idle connections to apps in the pool.
const IDLE_UPSTREAM: usize = 256;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Capacity {
    /// Open client connections.
    pub(in crate::proxy) connections: usize,
    /// Connections that are closing while their slots are in use again.
    pub(in crate::proxy) closing: usize,
    /// Idle connections to apps.
    pub(in crate::proxy) idle_upstream: usize,
    /// Concurrent requests to all apps together: each may need a connection.
    pub(in crate::proxy) at_apps: usize,
}

impl Capacity {
    /// Divides `descriptors`, and warns if the configuration exceeds them.
    pub(in crate::proxy) fn of(descriptors: usize, settings: &ProxySettings) -> Self {
        let capacity = Self::shared(descriptors, settings.network.max_connections);
        capacity.compare(&settings.apps);
        capacity
    }

    /// Divides `descriptors`, with the configured number of client `connections`. An eighth is left
    /// for stores, files, the admin listener and closing connections.
    pub(in crate::proxy) fn shared(descriptors: usize, connections: Option<usize>) -> Self {
        let eighth = (descriptors / 8).max(32);
        let idle_upstream = IDLE_UPSTREAM.min(eighth);
        let rest = descriptors.saturating_sub(eighth.min(4 * 1024) + idle_upstream).max(64);
        let wanted = connections.unwrap_or_else(|| CONNECTIONS.min(rest / 2));
        let most = rest - rest / 4;
        if wanted > most {
            tracing::warn!(
                wanted,
                most,
                descriptors,
                "network.max_connections exceeds the descriptor limit; raise LimitNOFILE"
            );
        }
        let connections = wanted.min(most);
        let closing = (eighth / 2).min(1024);
        Self { connections, closing, idle_upstream, at_apps: rest - connections }
    }

    /// Returns the default maximum of concurrent requests to one of `apps` apps.
    pub(in crate::proxy) fn per_app(self, apps: usize) -> Room {
        let most = (self.at_apps / apps.max(1)).clamp(8, REQUESTS_PER_APP);
        Room::of(most).with_strangers(STRANGERS_PER_APP)
    }

    /// Warns if the configured request limits of the apps exceed the descriptors.
    pub(in crate::proxy) fn compare(self, apps: &[AppSettings]) {
        let asked: usize = apps.iter().filter_map(|app| app.max_requests).sum();
        if asked > self.at_apps {
            let most = self.at_apps;
            tracing::warn!(
                asked,
                most,
                "the sum of apps.max_requests exceeds the descriptor limit; raise LimitNOFILE"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_never_add_up_to_more_than_there_is() {
        for descriptors in [256, 1024, 4096, 65_536, 524_288, 1_048_576] {
            for wanted in [None, Some(1), Some(100), Some(1_000_000)] {
                let shares = Capacity::shared(descriptors, wanted);
                let sum = shares.connections + shares.closing + shares.idle_upstream;
                let apps = shares.at_apps;
                assert!(sum + apps <= descriptors, "{descriptors} {wanted:?}: {shares:?}");
                assert!(shares.connections > 0 && apps >= 32, "{descriptors}: {shares:?}");
                assert!(3 * shares.per_app(3).most <= apps.max(24), "{descriptors}: {shares:?}");
            }
        }
    }

    #[test]
    fn plenty_of_descriptors_is_not_plenty_of_memory() {
        let shares = Capacity::shared(524_288, None);
        let room = Room::of(REQUESTS_PER_APP).with_strangers(STRANGERS_PER_APP);
        assert_eq!((shares.connections, shares.per_app(1)), (CONNECTIONS, room));
        assert_eq!(Capacity::shared(524_288, Some(50_000)).connections, 50_000);
    }
}
