//! Upstreams that lead back to the gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::upstream::is_loopback;
use crate::config::key_path::KeyPath;
use crate::config::raw::RawApp;
use crate::config::reader::Reader;
use crate::proxy::settings::{
    AppSettings, HostPattern, ListenerSettings, PortalSettings, UpstreamAddress,
};

/// The addresses and names that lead to the gateway.
pub(super) struct Gateway<'a> {
    pub(super) listeners: &'a [ListenerSettings],
    pub(super) admin: Option<SocketAddr>,
    pub(super) apps: &'a [AppSettings],
    pub(super) portal: Option<&'a PortalSettings>,
}

impl Gateway<'_> {
    /// Rejects upstreams that are listeners. Warns about those with a host of the gateway, and about
    /// its admin listener.
    pub(super) fn check_upstreams(&self, raw: &[RawApp], r: &mut Reader<'_>) {
        for (i, (app, raw)) in self.apps.iter().zip(raw).enumerate() {
            let upstreams = &app.upstream.addresses;
            // With errors among them, their positions are unknown.
            if raw.upstreams.as_ref().map_or(0, Vec::len) != upstreams.len() {
                continue;
            }
            for (j, upstream) in upstreams.iter().enumerate() {
                let key = KeyPath::of("apps").index(i).key("upstreams").index(j);
                self.check(upstream, &key, r);
            }
        }
    }

    fn check(&self, upstream: &UpstreamAddress, key: &KeyPath, r: &mut Reader<'_>) {
        if let Some(n) = self.listeners.iter().position(|l| is_bound_by(upstream, l.address)) {
            let why = format!(
                "is the gateway itself (listeners[{n}]), so requests would go in a circle: write \
                 the address of the app"
            );
            r.fail(key, why);
        } else if self.admin.is_some_and(|admin| is_bound_by(upstream, admin)) {
            r.warn(
                key,
                "is the admin listener of the gateway: users that the rules let in see its metrics",
            );
        } else if self.is_published(upstream) {
            r.warn(
                key,
                "has a name of the gateway: if the name leads here on this machine as well, \
                 requests go in a circle. Write the name or address of the app's own server",
            );
        }
    }

    /// Returns true if browsers may reach the gateway at the name and port of an upstream.
    fn is_published(&self, upstream: &UpstreamAddress) -> bool {
        let port = matches!(upstream.port, 80 | 443)
            || self.listeners.iter().any(|listener| listener.address.port() == upstream.port);
        let is_name = |host: &HostPattern| *host == HostPattern::Exact(upstream.host.clone());
        let of_app = self.apps.iter().any(|app| app.hosts.iter().any(is_name));
        port && (of_app || self.portal.is_some_and(|portal| portal.host == upstream.host))
    }
}

/// Returns true if connections to an upstream end at a socket that is bound to `address`.
fn is_bound_by(upstream: &UpstreamAddress, address: SocketAddr) -> bool {
    let bound = address.ip();
    let ends_there = |ip: IpAddr| {
        // A connection to an unspecified address is one to loopback.
        let ip = match ip.to_canonical() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        let by_any = bound.is_unspecified() && (bound.is_ipv6() || ip.is_ipv4());
        ip == bound || by_any && ip.is_loopback()
    };
    let leads_there = match upstream.host.parse::<IpAddr>() {
        Ok(ip) => ends_there(ip),
        Err(_) if is_loopback(&upstream.host) => {
            ends_there(Ipv4Addr::LOCALHOST.into()) || ends_there(Ipv6Addr::LOCALHOST.into())
        }
        Err(_) => false,
    };
    leads_there && upstream.port == address.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_the_sockets_that_are_bound_to_it() {
        let bound = |host: &str, address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            let upstream =
                UpstreamAddress { tls: false, host: host.to_owned(), port: 8443, weight: 1 };
            is_bound_by(&upstream, address)
        };
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:8443"),
            ("127.0.0.1", "0.0.0.0:8443"),
            ("127.0.0.1", "[::]:8443"),
            ("::1", "[::]:8443"),
            ("::1", "[::1]:8443"),
            ("10.0.0.1", "10.0.0.1:8443"),
            ("localhost", "127.0.0.1:8443"),
            ("localhost", "0.0.0.0:8443"),
            ("0.0.0.0", "127.0.0.1:8443"),
        ] {
            assert!(bound(host, address), "{host} {address}");
        }
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:8444"),
            ("127.0.0.2", "127.0.0.1:8443"),
            ("10.0.0.2", "10.0.0.1:8443"),
            ("10.0.0.2", "0.0.0.0:8443"),
            ("::1", "0.0.0.0:8443"),
            ("app", "0.0.0.0:8443"),
        ] {
            assert!(!bound(host, address), "{host} {address}");
        }
    }
}
